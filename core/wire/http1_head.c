#include <string.h>

#include "wire/http1_internal.h"

/* What the header lines said, before it is weighed as a whole. */
struct head {
	struct hw_str authority; /* of an absolute-form target */
	struct hw_str transfer_encoding;
	bool has_host;
	bool has_transfer_encoding;
	bool has_upgrade;
	bool connection_close;
	bool connection_keep_alive;
	bool connection_upgrade;
	bool expects_continue;
	bool expects_other;
};

int hw_http1_refuse(struct hw_http1 *r, unsigned status, const char *reason)
{
	r->status = (uint16_t)status;
	r->reason = reason;
	r->state = HW_HTTP1_S_DONE;
	return HW_HTTP1_ERROR;
}

static int refuse_control(struct hw_http1 *r, struct hw_str data, size_t at)
{
	if (data.p[0] == 0x16)
		return hw_http1_refuse(
			r, 400, "this looks like TLS, but here plain HTTP is spoken");
	switch (data.p[at]) {
	case '\n':
		return hw_http1_refuse(r, 400, "a line ends with a bare LF instead of CR LF");
	case '\r':
		return hw_http1_refuse(r, 400, "a CR without its LF");
	case '\0':
		return hw_http1_refuse(r, 400, "a NUL byte in the request head");
	default:
		return hw_http1_refuse(r, 400, "a control byte in the request head");
	}
}

/* The line at *@pos, which moves behind its CR LF. 0, HW_HTTP1_MORE, HW_HTTP1_ERROR. */
static int next_line(struct hw_http1 *r, struct hw_str data, size_t *pos, struct hw_str *line)
{
	size_t end = *pos + hw_http1_find_control(data.p + *pos, data.len - *pos);

	if (end == data.len)
		return HW_HTTP1_MORE;
	if (data.p[end] != '\r')
		return refuse_control(r, data, end);
	if (end + 1 == data.len)
		return HW_HTTP1_MORE;
	if (data.p[end + 1] != '\n')
		return refuse_control(r, data, end);
	*line = (struct hw_str){data.p + *pos, end - *pos};
	*pos = end + 2;
	return 0;
}

static int parse_version(struct hw_http1 *r, struct hw_str version)
{
	const char *v = version.p;

	if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
		v[6] != '.' || v[7] < '0' || v[7] > '9')
		return hw_http1_refuse(
			r, 400, "the request line does not end with an HTTP version");
	if (v[5] == '0')
		return hw_http1_refuse(r, 400, "HTTP/0.9 is not accepted");
	if (v[5] != '1' || v[7] > '1')
		return hw_http1_refuse(r, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	r->request->minor = (uint8_t)(v[7] - '0');
	return 0;
}

static int parse_request_line(struct hw_http1 *r, struct head *h, struct hw_str line)
{
	struct hw_http1_request *request = r->request;
	struct hw_str rest = line;
	const char *reason;
	int rc;

	request->method = hw_str_cut(&rest, ' ');
	if (!hw_http1_is_token(request->method))
		return hw_http1_refuse(r, 400, "the request does not start with a method");
	if (!rest.p)
		return hw_http1_refuse(r, 400, "the request line has no target");
	request->target = hw_str_cut(&rest, ' ');
	if (!rest.p) /* HTTP/0.9 had no version; we never answer in it */
		return hw_http1_refuse(r, 400, "the request line has no HTTP version");
	rc = parse_version(r, rest);
	if (rc)
		return rc;
	reason = hw_http1_target_parse(request, &h->authority);
	return reason ? hw_http1_refuse(r, 400, reason) : 0;
}

static int take_host(struct hw_http1 *r, struct head *h, struct hw_str value)
{
	if (h->has_host)
		return hw_http1_refuse(r, 400, "more than one Host header");
	if (!hw_http1_host_valid(value))
		return hw_http1_refuse(r, 400, "the Host header names no valid host");
	h->has_host = true;
	r->request->host = value;
	return 0;
}

static int take_content_length(struct hw_http1 *r, struct hw_str value)
{
	struct hw_http1_request *request = r->request;

	if (request->has_content_length)
		return hw_http1_refuse(r, 400, "more than one Content-Length");
	if (hw_str_to_u64(value, &request->content_length) != 0)
		return hw_http1_refuse(r, 400, "Content-Length is not a decimal number");
	/* 1*DIGIT allows them, but somebody may read octal */
	if (value.len > 1 && value.p[0] == '0')
		return hw_http1_refuse(r, 400, "Content-Length has leading zeros");
	request->has_content_length = true;
	return 0;
}

static int take_transfer_encoding(struct hw_http1 *r, struct head *h, struct hw_str value)
{
	if (h->has_transfer_encoding)
		return hw_http1_refuse(r, 400, "more than one Transfer-Encoding");
	if (value.len == 0)
		return hw_http1_refuse(r, 400, "Transfer-Encoding is empty");
	h->has_transfer_encoding = true;
	h->transfer_encoding = value;
	return 0;
}

static int take_connection(struct hw_http1 *r, struct head *h, struct hw_str value)
{
	struct hw_str item;

	while (hw_http1_list_next(&value, &item)) {
		if (!hw_http1_is_token(item))
			return hw_http1_refuse(
				r, 400, "the Connection header is not a list of tokens");
		if (hw_str_eq_nocase(item, HW_STR("close")))
			h->connection_close = true;
		else if (hw_str_eq_nocase(item, HW_STR("keep-alive")))
			h->connection_keep_alive = true;
		else if (hw_str_eq_nocase(item, HW_STR("upgrade")))
			h->connection_upgrade = true;
	}
	return 0;
}

/* Looks at the few headers that decide the framing; everything else is the caller's. */
static int take_header(struct hw_http1 *r, struct head *h, const struct hw_http1_header *header)
{
	struct hw_str name = header->name, value = header->value;

	switch (name.len) {
	case 4:
		if (hw_str_eq_nocase(name, HW_STR("Host")))
			return take_host(r, h, value);
		break;
	case 6:
		if (hw_str_eq_nocase(name, HW_STR("Expect"))) {
			bool known = hw_str_eq_nocase(value, HW_STR("100-continue"));

			h->expects_continue |= known;
			h->expects_other |= !known;
		}
		break;
	case 7:
		if (hw_str_eq_nocase(name, HW_STR("Upgrade")))
			h->has_upgrade = true;
		break;
	case 10:
		if (hw_str_eq_nocase(name, HW_STR("Connection")))
			return take_connection(r, h, value);
		break;
	case 14:
		if (hw_str_eq_nocase(name, HW_STR("Content-Length")))
			return take_content_length(r, value);
		break;
	case 17:
		if (hw_str_eq_nocase(name, HW_STR("Transfer-Encoding")))
			return take_transfer_encoding(r, h, value);
		break;
	}
	return 0;
}

static int check_host(struct hw_http1 *r, const struct head *h)
{
	struct hw_http1_request *request = r->request;

	if (!h->has_host && request->minor == 1)
		return hw_http1_refuse(r, 400, "the Host header is missing");
	if (!h->authority.p)
		return 0;
	if (!h->has_host)
		request->host = h->authority;
	else if (!hw_str_eq_nocase(h->authority, request->host))
		return hw_http1_refuse(r, 400, "the request target and Host name different hosts");
	return 0;
}

/* RFC 9112 6.1 and 6.3: how long the body is, with everything refused that two readers may see
 * differently. */
static int decide_framing(struct hw_http1 *r, const struct head *h)
{
	struct hw_http1_request *request = r->request;

	if (h->has_transfer_encoding) {
		if (request->has_content_length)
			return hw_http1_refuse(
				r, 400, "Content-Length together with Transfer-Encoding");
		if (request->minor == 0)
			return hw_http1_refuse(r, 400, "Transfer-Encoding in an HTTP/1.0 request");
		if (!hw_str_eq_nocase(h->transfer_encoding, HW_STR("chunked")))
			return hw_http1_refuse(
				r, 501, "the only Transfer-Encoding known here is chunked");
		request->chunked = true;
	}
	if (request->minor == 1 && h->expects_other)
		return hw_http1_refuse(r, 417, "the only Expect known here is 100-continue");
	if (request->content_length > r->limits->max_body_bytes)
		return hw_http1_refuse(r, 413, "the body is larger than allowed");
	request->expect_continue =
		request->minor == 1 && h->expects_continue && hw_http1_has_body(request);
	return 0;
}

static int finish(struct hw_http1 *r, const struct head *h)
{
	struct hw_http1_request *request = r->request;
	int rc = check_host(r, h);

	if (rc)
		return rc;
	request->keep_alive =
		!h->connection_close && (request->minor == 1 || h->connection_keep_alive);
	request->has_upgrade = request->minor == 1 && h->has_upgrade && h->connection_upgrade;
	r->request_known = true; /* should it be refused from here on */
	rc = decide_framing(r, h);
	if (rc)
		return rc;
	r->request_known = false;
	r->keep_alive = request->keep_alive;
	r->left = request->content_length;
	r->body_bytes = 0;
	r->line_bytes = 0;
	r->n_lines = 0;
	if (request->chunked)
		r->state = HW_HTTP1_S_SIZE_FIRST;
	else
		r->state = request->content_length ? HW_HTTP1_S_LENGTH : HW_HTTP1_S_END;
	return HW_HTTP1_HEAD;
}

static void clear(struct hw_http1_request *request)
{
	request->host = HW_STR_NULL;
	request->content_length = 0;
	request->has_content_length = false;
	request->chunked = false;
	request->expect_continue = false;
	request->n_headers = 0;
}

int hw_http1_head_parse(struct hw_http1 *r, struct hw_str data, size_t *used)
{
	struct hw_http1_request *request = r->request;
	struct head h = {0};
	struct hw_str line;
	size_t pos = 0;
	int rc;

	clear(request);
	rc = next_line(r, data, &pos, &line);
	if (!rc)
		rc = parse_request_line(r, &h, line);
	while (!rc) {
		struct hw_http1_header *header = &request->headers[request->n_headers];
		const char *reason;

		rc = next_line(r, data, &pos, &line);
		if (rc)
			return rc;
		if (line.len == 0) {
			rc = finish(r, &h);
			if (rc == HW_HTTP1_HEAD)
				*used = pos;
			return rc;
		}
		if (request->n_headers >= r->limits->max_headers ||
			request->n_headers >= HW_HTTP1_MAX_HEADERS)
			return hw_http1_refuse(r, 431, "too many header lines");
		reason = hw_http1_header_line(line, header);
		if (reason)
			return hw_http1_refuse(r, 400, reason);
		request->n_headers++;
		rc = take_header(r, &h, header);
	}
	return rc;
}
