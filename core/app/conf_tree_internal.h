/* Shared by the files of the tree reader: the reader's place in the text and its small moves.
 * Nobody else includes this. */
#pragma once

#include "app/conf_arena.h"
#include "app/conf_tree.h"

struct hw_conf_tree {
	struct hw_conf_arena arena;
	struct hw_conf_value *root;
	char *file;
	char *unit;
};

/* start..p read | p..end to come; line and column are those of p */
struct hw_conf_parser {
	const char *p;
	const char *end;
	uint32_t line;
	uint32_t column;
	unsigned depth;
	bool stopped; /* what follows cannot be understood; an error says why */
	struct hw_conf_tree *tree;
	struct hw_conf_report *report;
	const struct hw_conf_tree_options *options;
	struct hw_buf scratch; /* of the string being read */
};

/* Moves over @n bytes that are there. */
void hw_conf_parser_skip(struct hw_conf_parser *s, size_t n);
void hw_conf_parser_error(struct hw_conf_parser *s, uint32_t line, uint32_t column,
	const char *format, ...) HW_PRINTF(4, 5);

/* Reads the string whose opening quote is at p, up to behind its closing one. Fills text, written,
 * secret and broken of @value, or, of a @key, only @value's key. */
void hw_conf_parser_string(struct hw_conf_parser *s, struct hw_conf_value *value, bool key);
