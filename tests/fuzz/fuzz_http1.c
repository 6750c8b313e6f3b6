// links: wire
/* The HTTP/1.1 reader: the same bytes whole and cut where the input says must be read the same, and
 * what is accepted must keep the promises of its header. */
#include "../lib/http1_transcript.h"

#define PREFIX 5 /* limits, then four distances between cuts, used in turn */
#define MAX_CUTS 512

static void check_request(const struct hw_http1_request *q)
{
	HTTP1_CHECK(q->method.len > 0 && q->target.len > 0 && q->path.len > 0);
	HTTP1_CHECK(q->path.p[0] == '/' || hw_str_eq(q->path, HW_STR("*")));
	HTTP1_CHECK(q->minor <= 1 && (q->minor == 0 || q->host.len > 0));
	HTTP1_CHECK(!(q->chunked && (q->has_content_length || q->minor == 0)));
	HTTP1_CHECK(q->has_content_length || q->content_length == 0);
	HTTP1_CHECK(q->n_headers <= HW_HTTP1_MAX_HEADERS);
	for (size_t i = 0; i < q->n_headers; i++) {
		const struct hw_http1_header *h = &q->headers[i];

		HTTP1_CHECK(h->name.len > 0);
		for (size_t k = 0; k < h->name.len; k++)
			HTTP1_CHECK(
				h->name.p[k] > ' ' && h->name.p[k] != ':' && h->name.p[k] != 0x7f);
		for (size_t k = 0; k < h->value.len; k++)
			HTTP1_CHECK((unsigned char)h->value.p[k] >= ' ' || h->value.p[k] == '\t');
	}
}

/* Reads whole by hand, looking at each head and at the amount of each body. */
static void check_promises(const struct hw_http1_limits *limits, const char *p, size_t len)
{
	struct hw_http1_request request;
	struct hw_http1 r;
	uint64_t body = 0, content_length = 0;
	bool chunked = false;
	size_t used;

	hw_http1_init(&r, limits, &request);
	for (;;) {
		int rc = hw_http1_read(&r, p, len, &used);

		HTTP1_CHECK(rc > 0 && used <= len);
		p += used;
		len -= used;
		if (rc == HW_HTTP1_MORE || rc == HW_HTTP1_ERROR)
			break;
		if (rc == HW_HTTP1_HEAD) {
			check_request(&request);
			HTTP1_CHECK(used <= limits->max_head_bytes + 2);
			body = 0;
			content_length = request.content_length;
			chunked = request.chunked;
		} else if (rc == HW_HTTP1_BODY) {
			body += r.piece.len;
			HTTP1_CHECK(r.piece.p + r.piece.len <= p && body <= limits->max_body_bytes);
		} else {
			HTTP1_CHECK(chunked || body == content_length);
		}
	}
	hw_http1_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hw_http1_limits choices[] = {
		{HW_HTTP1_HEAD_BYTES, HW_HTTP1_MAX_HEADERS, 1 << 20},
		{128, 4, 16},
	};
	struct http1_transcript whole, split;
	size_t cuts[MAX_CUTS], n_cuts = 0, at = 0, len;
	const char *input;

	if (size < PREFIX)
		return 0;
	input = (const char *)data + PREFIX;
	len = size - PREFIX;
	for (size_t i = 0; n_cuts < MAX_CUTS; i++) {
		at += data[1 + i % 4];
		if (at > len || (i > 3 && at == 0))
			break;
		cuts[n_cuts++] = at;
	}
	whole.limits = split.limits = choices[data[0] & 1];
	http1_transcript_run(&whole, input, len, NULL, 0);
	http1_transcript_run(&split, input, len, cuts, n_cuts);
	HTTP1_CHECK(http1_transcript_same(&whole, &split));
	HTTP1_CHECK(whole.status != 0 ||
		    hw_http1_phase(&whole.reader) == hw_http1_phase(&split.reader));
	http1_transcript_fini(&whole);
	http1_transcript_fini(&split);
	check_promises(&choices[data[0] & 1], input, len);
	return 0;
}
