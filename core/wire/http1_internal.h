/* What the parts of the HTTP/1.1 codec share: the classes of bytes (RFC 9110 5.6, RFC 3986), lines,
 * lists, and the states of the reader. Included inside wire only. */
#pragma once

#include "wire/http1.h"

enum {
	HW_HTTP1_C_TOKEN = 1,  /* tchar */
	HW_HTTP1_C_TARGET = 2, /* visible ASCII but '#' */
	HW_HTTP1_C_HOST = 4,   /* of a host name: letters, digits, "-._~" */
};
extern const uint8_t hw_http1_classes[256];

static inline bool hw_http1_is(char c, int class)
{
	return hw_http1_classes[(unsigned char)c] & class;
}

/* A control byte that may stand nowhere in a line: all but HTAB. */
static inline bool hw_http1_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* The value of a hexadecimal digit, -1 for anything else. */
static inline int hw_http1_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/** The index of the first byte that hw_http1_control names, @len when there is none. */
size_t hw_http1_find_control(const char *p, size_t len);
bool hw_http1_is_token(struct hw_str s);

/** Cuts "name: value" in two. @line has no control bytes. NULL, or why the line is refused. */
const char *hw_http1_header_line(struct hw_str line, struct hw_http1_header *out);

/** Takes the next element of a comma-separated list, trimmed; empty ones are skipped (RFC
 * 9110 5.6.1). false at the end. Quoted strings are not known here: for lists of tokens. */
bool hw_http1_list_next(struct hw_str *rest, struct hw_str *item);

/** Whether the list @name of @request, over all its lines, has @item in any case. */
bool hw_http1_list_has(
	const struct hw_http1_request *request, const char *name, struct hw_str item);

/* For writers: a token, and a value that ends no line. */
bool hw_http1_header_sendable(const struct hw_http1_header *header);
void hw_http1_header_add(struct hw_buf *out, struct hw_str name, struct hw_str value);

/** Splits request->target into path and query; *@authority is that of absolute-form, or
 * HW_STR_NULL. request->method is set. NULL, or why it is refused. */
const char *hw_http1_target_parse(struct hw_http1_request *request, struct hw_str *authority);
bool hw_http1_host_valid(struct hw_str host);

/* What comes next on the connection; a body goes through the rows until END is reported:
 *
 *   next ─> head ─┬────────────────────────────────────────────> end ─> next or done
 *                 ├─> length ──────────────────────────────────>
 *                 └─> size ─> ext ─> size_lf ─> data ─> data_cr ─> data_lf ─> size …
 *                                       └─> trailers ─> last_lf ─> end      (chunk of size 0)
 *
 * An error leads to done from everywhere. The order of the values is used: see framing_byte. */
enum hw_http1_state {
	HW_HTTP1_S_NEXT, /* a request may have ended and its head still be kept */
	HW_HTTP1_S_HEAD,
	HW_HTTP1_S_LENGTH,
	HW_HTTP1_S_SIZE_FIRST, /* chunk-size wants its first digit */
	HW_HTTP1_S_SIZE,
	HW_HTTP1_S_EXT_NAME_FIRST,
	HW_HTTP1_S_EXT_NAME,
	HW_HTTP1_S_EXT_VALUE_FIRST,
	HW_HTTP1_S_EXT_TOKEN,
	HW_HTTP1_S_EXT_QUOTED,
	HW_HTTP1_S_EXT_QUOTED_PAIR,
	HW_HTTP1_S_EXT_QUOTED_END,
	HW_HTTP1_S_SIZE_LF,
	HW_HTTP1_S_DATA,
	HW_HTTP1_S_DATA_CR,
	HW_HTTP1_S_DATA_LF,
	HW_HTTP1_S_TRAILER_FIRST,
	HW_HTTP1_S_TRAILER_NAME,
	HW_HTTP1_S_TRAILER_VALUE,
	HW_HTTP1_S_TRAILER_LF,
	HW_HTTP1_S_LAST_LF,
	HW_HTTP1_S_END, /* all has come; END is to be reported */
	HW_HTTP1_S_DONE,
};

/** Sets status and reason, ends the reader, and returns HW_HTTP1_ERROR. */
int hw_http1_refuse(struct hw_http1 *r, unsigned status, const char *reason);

/** Parses a whole head at the start of @data into r->request and prepares the state for the body:
 * HW_HTTP1_HEAD with @used set, HW_HTTP1_MORE (incomplete) or HW_HTTP1_ERROR. Depends on nothing
 * but the bytes, whatever was tried before. */
int hw_http1_head_parse(struct hw_http1 *r, struct hw_str data, size_t *used);

/** Reads in the states of a body: HW_HTTP1_MORE, _BODY, _ERROR, or _END when all has come. */
int hw_http1_body_read(struct hw_http1 *r, const char *p, size_t len, size_t *used);
