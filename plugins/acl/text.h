/* The text of an access list and its places: comments are taken out, and what is wrong is named by
 * line and column. */
#pragma once

#include <hookwire/plugin.h>

/** Puts blanks in the place of comments, so that everything else stays where it is. -1: one does
 * not end, *at is where it begins. */
int acl_text_blank_comments(char *text, size_t len, size_t *at);
/** Is it one array of JSON, with white space around? 0, or -1: *at is where it is not. @scratch has
 * the text's size. */
int acl_text_check(const struct hw_host *host, struct hw_slice text, char *scratch,
	size_t scratch_size, size_t *at);
/** Where the next item of @container begins, given how far it has been read. */
const char *acl_text_item(struct hw_slice container, size_t position);
/** Lines and columns begin at 1; columns count characters. */
void acl_text_place(struct hw_slice text, size_t at, unsigned *line, unsigned *column);
