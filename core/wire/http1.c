#include "wire/http1.h"

#include <errno.h>

#include "wire/http1_internal.h"

void hw_http1_init(
	struct hw_http1 *r, const struct hw_http1_limits *limits, struct hw_http1_request *request)
{
	*r = (struct hw_http1){.request = request, .limits = limits, .state = HW_HTTP1_S_NEXT};
	hw_buf_init(&r->head);
}

void hw_http1_fini(struct hw_http1 *r)
{
	hw_buf_fini(&r->head);
	r->state = HW_HTTP1_S_DONE;
}

/* RFC 9112 2.2: one empty line before a request is ignored, for clients that add one to their body.
 * It is dropped at once, so that a connection that waits behind it still holds nothing. */
static bool skip_empty_line(struct hw_http1 *r, struct hw_str data)
{
	if (r->skipped_empty_line || data.len < 2 || data.p[0] != '\r' || data.p[1] != '\n')
		return false;
	r->skipped_empty_line = true;
	return true;
}

/* Parses what is here of a head, HW_HTTP1_MORE being final when the limit is reached. The limit is
 * applied to the bytes and not to what has come so far: a head ends the same way however it is
 * split. */
static int parse(struct hw_http1 *r, struct hw_str data, size_t *head_len)
{
	size_t max = r->limits->max_head_bytes;
	int rc;

	if (data.len > max)
		data.len = max;
	rc = hw_http1_head_parse(r, data, head_len);
	if (rc == HW_HTTP1_MORE && data.len == max)
		return hw_http1_refuse(r, 431, "the request head is too long");
	return rc;
}

/* Whether a kept head could end, or be refused, with the bytes @more: if not they need no look yet.
 * This bounds the work of a head that dribbles: it is parsed again once a line, not once a byte. */
static bool decides(const struct hw_http1 *r, struct hw_str more)
{
	return r->head.data[r->head.len - 1] == '\r' ||
	       r->head.len + more.len >= r->limits->max_head_bytes ||
	       hw_http1_find_control(more.p, more.len) < more.len;
}

/* A head of which a part is kept. */
static int continue_head(struct hw_http1 *r, const char *p, size_t len, size_t *used)
{
	size_t kept = r->head.len, max = r->limits->max_head_bytes;
	size_t room = max > kept ? max - kept : 0, n = len < room ? len : room;
	bool look = decides(r, (struct hw_str){p, len});
	size_t head_len = 0;
	int rc;

	hw_buf_add(&r->head, p, n);
	if (r->head.failed)
		return -ENOMEM;
	if (!look) {
		*used += n;
		return HW_HTTP1_MORE;
	}
	if (skip_empty_line(r, hw_buf_view(&r->head))) {
		hw_buf_fini(&r->head);
		*used += 2 - kept;
		return 0;
	}
	rc = parse(r, hw_buf_view(&r->head), &head_len);
	if (rc == HW_HTTP1_MORE)
		*used += n;
	else if (rc == HW_HTTP1_HEAD)
		*used += head_len - kept;
	return rc;
}

static int read_head(struct hw_http1 *r, const char *p, size_t len, size_t *used)
{
	int rc = 0;

	while (!rc) {
		struct hw_str data;
		size_t head_len = 0;

		if (*used == len)
			return HW_HTTP1_MORE;
		data = (struct hw_str){p + *used, len - *used};
		if (r->head.len > 0) {
			rc = continue_head(r, data.p, data.len, used);
			continue;
		}
		if (skip_empty_line(r, data)) {
			*used += 2;
			continue;
		}
		rc = parse(r, data, &head_len);
		if (rc == HW_HTTP1_HEAD) {
			*used += head_len;
		} else if (rc == HW_HTTP1_MORE) {
			hw_buf_add(&r->head, data.p, data.len);
			if (r->head.failed)
				return -ENOMEM;
			*used = len;
		}
	}
	return rc;
}

int hw_http1_read(struct hw_http1 *r, const char *p, size_t len, size_t *used)
{
	*used = 0;
	switch (r->state) {
	case HW_HTTP1_S_NEXT:
		hw_buf_fini(&r->head);
		r->skipped_empty_line = false;
		r->state = HW_HTTP1_S_HEAD;
		return read_head(r, p, len, used);
	case HW_HTTP1_S_HEAD:
		return read_head(r, p, len, used);
	case HW_HTTP1_S_END:
		r->state = r->keep_alive ? HW_HTTP1_S_NEXT : HW_HTTP1_S_DONE;
		return HW_HTTP1_END;
	case HW_HTTP1_S_DONE:
		*used = len;
		return HW_HTTP1_MORE;
	default: {
		int rc = hw_http1_body_read(r, p, len, used);

		if (rc == HW_HTTP1_END)
			r->state = r->keep_alive ? HW_HTTP1_S_NEXT : HW_HTTP1_S_DONE;
		return rc;
	}
	}
}

enum hw_http1_phase hw_http1_phase(const struct hw_http1 *r)
{
	switch (r->state) {
	case HW_HTTP1_S_NEXT:
		return HW_HTTP1_IDLE;
	case HW_HTTP1_S_HEAD:
		return r->head.len > 0 ? HW_HTTP1_IN_HEAD : HW_HTTP1_IDLE;
	case HW_HTTP1_S_DONE:
		return HW_HTTP1_DONE;
	default:
		return HW_HTTP1_IN_BODY;
	}
}
