/* Feeds an HTTP/1.1 reader cut into pieces and writes down all it says, so that two ways of cutting
 * the same bytes can be compared. It also breaks what the contract does not promise: every piece is
 * a heap block of its own that is freed after the read, and the shared request is overwritten. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/http1.h"

#define HTTP1_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

struct http1_transcript {
	struct hw_http1 reader;
	struct hw_http1_request request;
	struct hw_http1_limits limits;
	struct hw_buf text;    /* everything */
	struct hw_buf reads;   /* only complete requests: "METHOD target body\n" */
	struct hw_buf pending; /* the request that may become one */
	bool in_body;
	unsigned status; /* of the error; 0: none */
};

static inline void http1_transcript_head(struct http1_transcript *t)
{
	const struct hw_http1_request *q = t->reader.request;

	hw_buf_printf(&t->text, "HEAD %.*s %.*s path=%.*s query=%s%.*s host=%.*s 1.%d%s%s%s%s",
		HW_STR_ARG(q->method), HW_STR_ARG(q->target), HW_STR_ARG(q->path),
		q->query.p ? "?" : "-", HW_STR_ARG(q->query), HW_STR_ARG(q->host), q->minor,
		q->keep_alive ? " keep" : " close", q->chunked ? " chunked" : "",
		q->expect_continue ? " expect" : "", q->has_upgrade ? " upgrade" : "");
	if (q->has_content_length) {
		hw_buf_puts(&t->text, " length=");
		hw_buf_u64(&t->text, q->content_length);
	}
	for (size_t i = 0; i < q->n_headers; i++)
		hw_buf_printf(&t->text, "\n%.*s=[%.*s]", HW_STR_ARG(q->headers[i].name),
			HW_STR_ARG(q->headers[i].value));
	hw_buf_putc(&t->text, '\n');
	hw_buf_clear(&t->pending);
	hw_buf_printf(&t->pending, "%.*s %.*s", HW_STR_ARG(q->method), HW_STR_ARG(q->target));
}

/* One outcome but MORE. false: there was an error. */
static inline bool http1_transcript_outcome(struct http1_transcript *t, int rc)
{
	switch (rc) {
	case HW_HTTP1_HEAD:
		http1_transcript_head(t);
		t->in_body = false;
		return true;
	case HW_HTTP1_BODY:
		HTTP1_CHECK(t->reader.piece.len > 0);
		hw_buf_puts(&t->text, t->in_body ? "" : "BODY ");
		hw_buf_puts(&t->pending, t->in_body ? "" : " ");
		hw_buf_str(&t->text, t->reader.piece);
		hw_buf_str(&t->pending, t->reader.piece);
		t->in_body = true;
		return true;
	case HW_HTTP1_END:
		hw_buf_puts(&t->text, t->in_body ? "\nEND\n" : "END\n");
		hw_buf_str(&t->reads, hw_buf_view(&t->pending));
		hw_buf_putc(&t->reads, '\n');
		return true;
	default:
		HTTP1_CHECK(rc == HW_HTTP1_ERROR);
		HTTP1_CHECK(t->reader.status >= 400 && t->reader.reason);
		t->status = t->reader.status;
		hw_buf_printf(&t->text, "%sERROR %u %s%s\n", t->in_body ? "\n" : "", t->status,
			t->reader.reason, t->reader.request_known ? " (known)" : "");
		return false;
	}
}

/* One read of the socket. false: there was an error. */
static inline bool http1_transcript_piece(struct http1_transcript *t, const char *p, size_t len)
{
	char *copy = malloc(len ? len : 1);
	size_t pos = 0, used;
	bool going_on = true;

	HTTP1_CHECK(copy);
	memcpy(copy, p, len);
	for (size_t turn = 0; going_on; turn++) {
		int rc = hw_http1_read(&t->reader, copy + pos, len - pos, &used);

		HTTP1_CHECK(used <= len - pos && turn <= 4 * len + 8);
		pos += used;
		if (rc == HW_HTTP1_MORE) {
			HTTP1_CHECK(pos == len);
			break;
		}
		going_on = http1_transcript_outcome(t, rc);
	}
	if (hw_http1_phase(&t->reader) == HW_HTTP1_IDLE)
		HTTP1_CHECK(!t->reader.head.data);
	if (!going_on) /* what follows an error is swallowed */
		HTTP1_CHECK(hw_http1_read(&t->reader, copy, len, &used) == HW_HTTP1_MORE &&
			    used == len && hw_http1_phase(&t->reader) == HW_HTTP1_DONE);
	free(copy);
	memset(&t->request, 0xa5, sizeof(t->request)); /* another connection used it */
	return going_on;
}

/* Cuts @input behind each of @cuts (ascending, may repeat) and reads the pieces. */
static inline void http1_transcript_run(struct http1_transcript *t, const char *input, size_t len,
	const size_t *cuts, size_t n_cuts)
{
	size_t pos = 0;
	bool going_on = true;

	hw_http1_init(&t->reader, &t->limits, &t->request);
	hw_buf_init(&t->text);
	hw_buf_init(&t->reads);
	hw_buf_init(&t->pending);
	t->status = 0;
	t->in_body = false;
	for (size_t i = 0; i <= n_cuts && going_on; i++) {
		size_t end = i < n_cuts ? cuts[i] : len;

		going_on = http1_transcript_piece(t, input + pos, end - pos);
		pos = end;
	}
	HTTP1_CHECK(!t->text.failed && !t->reads.failed && !t->pending.failed);
}

static inline void http1_transcript_fini(struct http1_transcript *t)
{
	hw_http1_fini(&t->reader);
	hw_buf_fini(&t->text);
	hw_buf_fini(&t->reads);
	hw_buf_fini(&t->pending);
}

/* Both said the same. */
static inline bool http1_transcript_same(
	const struct http1_transcript *a, const struct http1_transcript *b)
{
	return hw_str_eq(hw_buf_view(&a->text), hw_buf_view(&b->text));
}
