#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http1_transcript.h"

#define HOST "Host: a.test\r\n"

static const struct hw_http1_limits usual = {HW_HTTP1_HEAD_BYTES, HW_HTTP1_MAX_HEADERS, 1 << 20};

/* A reader over one string, for tests that look at single outcomes. */
struct probe {
	struct hw_http1 r;
	struct hw_http1_request request;
	const char *p;
	size_t left;
};

static void probe_init(struct probe *b, const char *text)
{
	hw_http1_init(&b->r, &usual, &b->request);
	b->p = text;
	b->left = strlen(text);
}

static int probe_read(struct probe *b)
{
	size_t used;
	int rc = hw_http1_read(&b->r, b->p, b->left, &used);

	assert_true(used <= b->left);
	b->p += used;
	b->left -= used;
	return rc;
}

static void probe_next(struct probe *b, const char *text)
{
	assert_int_equal(b->left, 0);
	b->p = text;
	b->left = strlen(text);
}

static void assert_str(struct hw_str s, const char *expected)
{
	if (!hw_str_eq(s, hw_str_of(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", HW_STR_ARG(s), expected);
}

static void transcribe(
	struct http1_transcript *t, const char *text, const size_t *cuts, size_t n_cuts)
{
	t->limits = usual;
	http1_transcript_run(t, text, strlen(text), cuts, n_cuts);
}

/* Reads @text whole and cut at every byte: the same status (0: no error) each time. */
static void assert_status_of(
	const char *text, size_t len, const struct hw_http1_limits *limits, unsigned status)
{
	struct http1_transcript whole, split;

	whole.limits = split.limits = *limits;
	http1_transcript_run(&whole, text, len, NULL, 0);
	if (whole.status != status)
		fail_msg("wanted %u, got: %.*s\nof: %.*s", status,
			HW_STR_ARG(hw_buf_view(&whole.text)), (int)len, text);
	for (size_t cut = 1; cut<len; cut += len> 1000 ? 211 : 1) {
		http1_transcript_run(&split, text, len, &cut, 1);
		if (!http1_transcript_same(&whole, &split))
			fail_msg("cut at %zu: %.*s", cut, HW_STR_ARG(hw_buf_view(&split.text)));
		http1_transcript_fini(&split);
	}
	http1_transcript_fini(&whole);
}

static void assert_status(const char *text, unsigned status)
{
	assert_status_of(text, strlen(text), &usual, status);
}

static void a_request_is_read_into_views_of_the_input(void **state HW_UNUSED)
{
	const char *text = "POST /publish?a=1&b=?2 HTTP/1.1\r\n" HOST
			   "X-Padded: \t two words \t\r\nX-Empty:\r\nx-padded: again\r\n"
			   "Content-Length: 5\r\n\r\nhello";
	struct hw_http1_request *q;
	struct probe b;
	size_t n;

	probe_init(&b, text);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IDLE);
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IN_BODY);
	q = b.r.request;
	assert_ptr_equal(q, &b.request);
	assert_str(q->method, "POST");
	assert_ptr_equal(q->method.p, text);
	assert_str(q->target, "/publish?a=1&b=?2");
	assert_str(q->path, "/publish");
	assert_str(q->query, "a=1&b=?2");
	assert_str(q->host, "a.test");
	assert_int_equal(q->minor, 1);
	assert_true(q->keep_alive && q->has_content_length && hw_http1_has_body(q));
	assert_false(q->chunked || q->expect_continue || q->has_upgrade);
	assert_int_equal(q->content_length, 5);
	assert_int_equal(q->n_headers, 5);
	assert_str(q->headers[1].name, "X-Padded");
	assert_str(hw_http1_header(q, "X-PADDED", &n), "two words");
	assert_int_equal(n, 2);
	assert_str(hw_http1_header(q, "x-empty", &n), "");
	assert_non_null(hw_http1_header(q, "x-empty", NULL).p);
	assert_null(hw_http1_header(q, "absent", &n).p);
	assert_int_equal(n, 0);
	assert_int_equal(probe_read(&b), HW_HTTP1_BODY);
	assert_str(b.r.piece, "hello");
	assert_ptr_equal(b.r.piece.p, text + strlen(text) - 5);
	assert_int_equal(probe_read(&b), HW_HTTP1_END);
	assert_null(b.r.head.data); /* nothing was ever kept */
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	hw_http1_fini(&b.r);
}

static void only_a_partial_head_is_kept_and_until_the_read_after_its_end(void **state HW_UNUSED)
{
	struct probe b;
	char first[] = "GET /some/path?q HTTP/1.1\r\nHo",
	     second[] = "st: a.test\r\nContent-Length: 2\r\n\r\n", third[] = "ok";

	probe_init(&b, first);
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IN_HEAD);
	memset(first, '!', sizeof(first));
	probe_next(&b, second);
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	memset(second, '!', sizeof(second));
	probe_next(&b, third);
	assert_int_equal(probe_read(&b), HW_HTTP1_BODY);
	assert_int_equal(probe_read(&b), HW_HTTP1_END);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IDLE);
	assert_str(b.r.request->path, "/some/path");
	assert_str(b.r.request->host, "a.test");
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	assert_null(b.r.head.data);
	hw_http1_fini(&b.r);
}

static void an_empty_line_before_a_request_holds_no_memory(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, "\r");
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IN_HEAD);
	probe_next(&b, "\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_IDLE);
	assert_null(b.r.head.data);
	probe_next(&b, "\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_int_equal(b.r.status, 400);
	hw_http1_fini(&b.r);
}

static void pipelined_requests_come_one_after_the_other(void **state HW_UNUSED)
{
	struct hw_buf text, expected;
	struct http1_transcript t;

	hw_buf_init(&text);
	hw_buf_init(&expected);
	for (int i = 0; i < 100; i++) {
		hw_buf_printf(
			&text, "POST /%d HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n%03d", i, i);
		hw_buf_printf(&expected, "POST /%d %03d\n", i, i);
	}
	hw_buf_putc(&text, '\0');
	hw_buf_putc(&expected, '\0');
	transcribe(&t, text.data, NULL, 0);
	assert_str(hw_buf_view(&t.reads), expected.data);
	http1_transcript_fini(&t);
	for (size_t step = 1; step < 100; step += 7) {
		size_t cuts[8000], n = 0;

		for (size_t at = step; at < text.len - 1; at += step)
			cuts[n++] = at;
		transcribe(&t, text.data, cuts, n);
		assert_str(hw_buf_view(&t.reads), expected.data);
		http1_transcript_fini(&t);
	}
	hw_buf_fini(&text);
	hw_buf_fini(&expected);
}

static void keep_alive_follows_version_and_connection(void **state HW_UNUSED)
{
	static const struct {
		const char *version, *header;
		bool keep_alive;
	} cases[] = {
		{"1.1", "", true},
		{"1.1", "Connection: close\r\n", false},
		{"1.1", "Connection: keep-alive\r\n", true},
		{"1.1", "Connection: x, ,CLOSE\r\n", false},
		{"1.1", "Connection: keep-alive, close\r\n", false},
		{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
		{"1.1", "Connection:\r\n", true},
		{"1.1", "Connection: closed\r\n", true},
		{"1.0", "", false},
		{"1.0", "Connection: Keep-Alive\r\n", true},
		{"1.0", "Connection: keep-alive, close\r\n", false},
		{"1.0", "Connection: upgrade\r\n", false},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[200];
		struct probe b;

		snprintf(text, sizeof(text), "GET / HTTP/%s\r\n" HOST "%s\r\n", cases[i].version,
			cases[i].header);
		probe_init(&b, text);
		assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
		assert_int_equal(b.request.keep_alive, cases[i].keep_alive);
		assert_int_equal(probe_read(&b), HW_HTTP1_END);
		assert_int_equal(
			hw_http1_phase(&b.r), cases[i].keep_alive ? HW_HTTP1_IDLE : HW_HTTP1_DONE);
		probe_next(&b, text);
		assert_int_equal(
			probe_read(&b), cases[i].keep_alive ? HW_HTTP1_HEAD : HW_HTTP1_MORE);
		if (!cases[i].keep_alive)
			assert_int_equal(b.left, 0);
		hw_http1_fini(&b.r);
	}
	assert_status("GET / HTTP/1.1\r\n" HOST "Connection: close;x\r\n\r\n", 400);
	assert_status("GET / HTTP/1.1\r\n" HOST "Connection: keep alive\r\n\r\n", 400);
}

static void upgrade_needs_both_headers_and_http11(void **state HW_UNUSED)
{
	static const struct {
		const char *version, *headers;
		bool has_upgrade;
	} cases[] = {
		{"1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\n", true},
		{"1.1", "Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n", true},
		{"1.1", "Upgrade: websocket\r\n", false},
		{"1.1", "Connection: upgrade\r\n", false},
		{"1.0", "Upgrade: websocket\r\nConnection: Upgrade\r\n", false},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[200];
		struct probe b;

		snprintf(text, sizeof(text), "GET /ws HTTP/%s\r\n" HOST "%s\r\n\x81\x80 frame",
			cases[i].version, cases[i].headers);
		probe_init(&b, text);
		assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
		assert_int_equal(b.request.has_upgrade, cases[i].has_upgrade);
		assert_int_equal((unsigned char)b.p[0], 0x81); /* not one byte too far */
		hw_http1_fini(&b.r);
	}
}

static void expectations_are_met_or_refused(void **state HW_UNUSED)
{
	static const struct {
		const char *version, *headers;
		int status; /* 0: no error */
		bool expect_continue;
	} cases[] = {
		{"1.1", "Expect: 100-Continue\r\nContent-Length: 2\r\n", 0, true},
		{"1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", 0, true},
		{"1.1", "Expect: 100-continue\r\n", 0, false}, /* nothing to wait for */
		{"1.0", "Expect: 100-continue\r\nContent-Length: 2\r\n", 0, false},
		{"1.0", "Expect: x\r\nContent-Length: 2\r\n", 0, false},
		{"1.1", "Expect: x\r\n", 417, false},
		{"1.1", "Expect:\r\n", 417, false},
		{"1.1", "Expect: 100-continue\r\nExpect: x\r\n", 417, false},
		{"1.1", "Expect: x\r\nExpect: 100-continue\r\n", 417, false},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[200];
		struct probe b;

		snprintf(text, sizeof(text), "POST / HTTP/%s\r\n" HOST "%s\r\n", cases[i].version,
			cases[i].headers);
		probe_init(&b, text);
		assert_int_equal(probe_read(&b), cases[i].status ? HW_HTTP1_ERROR : HW_HTTP1_HEAD);
		if (cases[i].status)
			assert_int_equal(b.r.status, cases[i].status);
		else
			assert_int_equal(b.request.expect_continue, cases[i].expect_continue);
		hw_http1_fini(&b.r);
	}
}

static void targets_are_split_or_refused(void **state HW_UNUSED)
{
	static const struct {
		const char *method, *target, *path, *query; /* path NULL: 400 */
	} cases[] = {
		{"GET", "/", "/", NULL},
		{"GET", "/a/b?", "/a/b", ""},
		{"GET", "/?/x?y", "/", "/x?y"},
		{"GET", "//double", "//double", NULL},
		{"GET", "/a%2Fb", "/a%2Fb", NULL},
		{"GET", "/%zz", "/%zz", NULL}, /* for percent-decoding to refuse */
		{"GET", "/a|b{c}\"<>\\^`[]", "/a|b{c}\"<>\\^`[]", NULL},
		{"GET", "http://a.test", "/", NULL},
		{"GET", "http://a.test?x=1", "/", "x=1"},
		{"GET", "HTTP://A.TEST/p?q", "/p", "q"},
		{"GET", "https://a.test/p", "/p", NULL},
		{"OPTIONS", "*", "*", NULL},
		{"OPTIONS", "/x", "/x", NULL},
		{"GET", "*", NULL, NULL},
		{"OPTIONS", "*x", NULL, NULL},
		{"GET", "", NULL, NULL},
		{"GET", "a", NULL, NULL},
		{"GET", "?a", NULL, NULL},
		{"GET", "/a#b", NULL, NULL},
		{"GET", "http://", NULL, NULL},
		{"GET", "http:///p", NULL, NULL},
		{"GET", "http://b.test/", NULL, NULL},
		{"GET", "http://a.test:80/", NULL, NULL},
		{"GET", "http://u@a.test/", NULL, NULL},
		{"GET", "ws://a.test/", NULL, NULL},
		{"GET", "http:/a.test/", NULL, NULL},
		{"CONNECT", "a.test:80", NULL, NULL},
		{"CONNECT", "/", NULL, NULL},
		{"CONNECT", "*", NULL, NULL},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[200];
		struct probe b;

		snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n" HOST "\r\n", cases[i].method,
			cases[i].target);
		probe_init(&b, text);
		if (cases[i].path) {
			assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
			assert_str(b.request.target, cases[i].target);
			assert_str(b.request.path, cases[i].path);
			assert_int_equal(b.request.query.p != NULL, cases[i].query != NULL);
			assert_str(b.request.query, cases[i].query);
		} else {
			if (probe_read(&b) != HW_HTTP1_ERROR)
				fail_msg("accepted: %s", text);
			assert_int_equal(b.r.status, 400);
		}
		hw_http1_fini(&b.r);
	}
}

static void hosts_are_checked(void **state HW_UNUSED)
{
	static const char *const good[] = {"a", "a.test:80", "A-b_c~d.1.", "1.2.3.4:0", "[::1]",
		"[::1]:65535", "[2001:DB8::1.2.3.4]",
		"[0000:0000:0000:0000:0000:ffff:255.255.255.255]"};
	static const char *const refused[] = {"", ":80", "a:", "a:b", "a:1:2", "a:065536",
		"a:65536", "a b", "a,b", "a/b", "a?b", "a@b", "a%41", "a*", "a!", "\xc3\xa4", "[",
		"[]", "[:]", "[::1", "::1", "[::1]x", "[::1]:", "[::g]", "[fe80::1%25eth0]",
		"[v1.x]", "a[::1]", "[::1][::1]",
		"[00000:0000:0000:0000:0000:ffff:255.255.255.255]"};
	char text[200];

	for (size_t i = 0; i < HW_COUNT(good); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s \r\n\r\n", good[i]);
		assert_status(text, 0);
		snprintf(text, sizeof(text), "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", good[i],
			good[i]);
		assert_status(text, 0);
	}
	for (size_t i = 0; i < HW_COUNT(refused); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", refused[i]);
		assert_status(text, 400);
		snprintf(text, sizeof(text), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", refused[i]);
		assert_status(text, 400);
	}
	assert_status("GET / HTTP/1.0\r\n\r\n", 0);
	assert_status("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
	assert_status("GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n", 400);
}

static void http10_takes_the_host_of_its_target(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, "GET http://a.test:8080/p HTTP/1.0\r\n\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_str(b.request.host, "a.test:8080");
	hw_http1_fini(&b.r);
	probe_init(&b, "GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_null(b.request.host.p);
	hw_http1_fini(&b.r);
}

/* The byte @c, at each of 20 places of a longer value, so that every lane of a wide scan meets it.
 */
static void every_byte_of_a_value_is_judged(void **state HW_UNUSED)
{
	for (int c = 0; c < 256; c++) {
		bool good = c == '\t' || (c >= 0x20 && c != 0x7f);

		for (size_t at = 0; at < 20; at++) {
			char text[] =
				"GET / HTTP/1.1\r\n" HOST "X: 12345678901234567890123\r\n\r\n";

			*(strstr(text, "X: 1") + 4 + at) = (char)c;
			assert_status_of(text, sizeof(text) - 1, &usual, good ? 0 : 400);
		}
	}
}

static void every_byte_of_names_methods_and_targets_is_judged(void **state HW_UNUSED)
{
	const char *tchars = "!#$%&'*+-.^_`|~";

	for (int c = 1; c < 256; c++) {
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool token = alnum || strchr(tchars, c);
		char text[200];

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "a%cb: x\r\n\r\n", c);
		if (c != ':')
			assert_status(text, token ? 0 : 400);
		snprintf(text, sizeof(text), "a%cb / HTTP/1.1\r\n" HOST "\r\n", c);
		assert_status(text, token ? 0 : 400);
		snprintf(text, sizeof(text), "GET /a%cb HTTP/1.1\r\n" HOST "\r\n", c);
		assert_status(text, c > 0x20 && c < 0x7f && c != '#' ? 0 : 400);
	}
}

static void versions_are_exact(void **state HW_UNUSED)
{
	static const struct {
		const char *version;
		unsigned status;
	} cases[] = {{"HTTP/1.1", 0}, {"HTTP/1.0", 0}, {"HTTP/1.2", 505}, {"HTTP/1.9", 505},
		{"HTTP/2.0", 505}, {"HTTP/9.9", 505}, {"HTTP/0.9", 400}, {"HTTP/2", 400},
		{"HTTP/1", 400}, {"HTTP/1.", 400}, {"HTTP/11", 400}, {"HTTP/1.1.1", 400},
		{"HTTP/01.1", 400}, {"HTTP/1,1", 400}, {"HTTP/a.1", 400}, {"HTTP/1.a", 400},
		{"Http/1.1", 400}, {"HTTP /1.1", 400}, {"", 400}, {" HTTP/1.1", 400},
		{"HTTP/1.1 ", 400}, {"HTTP/1.1\t", 400}, {"X", 400}};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[100];

		snprintf(text, sizeof(text), "GET / %s\r\n" HOST "\r\n", cases[i].version);
		assert_status(text, cases[i].status);
	}
}

static void refusals_come_as_soon_as_their_line(void **state HW_UNUSED)
{
	assert_status("GET / HTTP/2.0\r\n", 505);
	assert_status("GET /\r\n", 400);
	assert_status("\x16\x03\x01\x02", 400); /* TLS: before there is any line */
	assert_status("SSH-2.0-x\r\n", 400);
	assert_status("GET / HTTP/1.1\rX", 400);
	assert_status("GET / HTTP/1.1\r\nHost: a\r\n b", 0); /* not complete yet */
	assert_status("GET / HTTP/1.1\r\nHost: a\r\n b\r\n", 400);
	assert_status("GET / HTTP/1.1\r\nContent-Length: x\r\n", 400);
}

static void reasons_speak_to_a_person(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, "\x16\x03\x01");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_non_null(strstr(b.r.reason, "TLS"));
	hw_http1_fini(&b.r);
	probe_init(&b, "GET / HTTP/1.1\r\nX : y\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_non_null(strstr(b.r.reason, "before the colon"));
	hw_http1_fini(&b.r);
	probe_init(&b, "GET / HTTP/1.1\r\nX\t: y\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_non_null(strstr(b.r.reason, "before the colon"));
	hw_http1_fini(&b.r);
	probe_init(&b, "GET /a#b HTTP/1.1\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_non_null(strstr(b.r.reason, "fragment"));
	hw_http1_fini(&b.r);
	probe_init(&b, "GET /a\xff HTTP/1.1\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_non_null(strstr(b.r.reason, "must be escaped"));
	hw_http1_fini(&b.r);
}

static void a_bare_cr_is_refused_with_the_byte_behind_it(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, "GET / HTTP/1.1\r\nA: b\r");
	assert_int_equal(probe_read(&b), HW_HTTP1_MORE);
	probe_next(&b, "x");
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_int_equal(b.r.status, 400);
	hw_http1_fini(&b.r);
}

static void a_refused_whole_head_can_still_be_looked_at(void **state HW_UNUSED)
{
	static const struct {
		const char *header;
		int status;
	} cases[] = {{"Content-Length: 1048577\r\n", 413}, {"Transfer-Encoding: gzip\r\n", 501},
		{"Expect: x\r\n", 417}};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[200];
		struct probe b;

		snprintf(text, sizeof(text),
			"POST /p HTTP/1.1\r\n" HOST "%sOrigin: https://o\r\n\r\n", cases[i].header);
		probe_init(&b, text);
		assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
		assert_int_equal(b.r.status, cases[i].status);
		assert_true(b.r.request_known);
		assert_str(hw_http1_header(b.r.request, "origin", NULL), "https://o");
		assert_str(b.r.request->path, "/p");
		hw_http1_fini(&b.r);
	}
}

static void an_error_in_a_body_does_not_point_at_its_head(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\rX");
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_int_equal(probe_read(&b), HW_HTTP1_ERROR);
	assert_false(b.r.request_known);
	assert_int_equal(hw_http1_phase(&b.r), HW_HTTP1_DONE);
	hw_http1_fini(&b.r);
}

/* A head of exactly @bytes. */
static void head_of(struct hw_buf *out, size_t bytes)
{
	hw_buf_puts(out, "GET / HTTP/1.1\r\n" HOST "X: ");
	while (out->len < bytes - 4)
		hw_buf_putc(out, 'x');
	hw_buf_puts(out, "\r\n\r\n");
}

static void the_head_limit_is_exact_however_it_is_cut(void **state HW_UNUSED)
{
	struct hw_http1_limits small = {100, 64, 10};
	struct hw_buf text;
	char one[100];

	hw_buf_init(&text);
	head_of(&text, 100);
	assert_status_of(text.data, text.len, &small, 0);
	memcpy(one, text.data, sizeof(one));
	hw_buf_add(&text, one, sizeof(one)); /* a second one */
	assert_status_of(text.data, text.len, &small, 0);
	hw_buf_clear(&text);
	head_of(&text, 101);
	assert_status_of(text.data, text.len, &small, 431);
	assert_status_of(text.data, 99, &small, 0);
	assert_status_of(text.data, 100, &small, 431); /* as soon as it cannot end in time */
	hw_buf_clear(&text);
	hw_buf_puts(&text, "GET /");
	while (text.len < 100)
		hw_buf_putc(&text, 'x');
	assert_status_of(text.data, 99, &small, 0);
	assert_status_of(text.data, 100, &small, 431);
	hw_buf_clear(&text);
	head_of(&text, HW_HTTP1_HEAD_BYTES);
	assert_status_of(text.data, text.len, &usual, 0);
	hw_buf_clear(&text);
	head_of(&text, HW_HTTP1_HEAD_BYTES + 1);
	assert_status_of(text.data, text.len, &usual, 431);
	hw_buf_fini(&text);
}

static void a_head_limit_that_shrinks_meanwhile_is_applied(void **state HW_UNUSED)
{
	struct hw_http1_limits limits = usual;
	struct hw_http1_request request;
	struct hw_http1 r;
	const char *text = "GET /0123456789012345678901234567890123456789 HTTP/1.1\r\n";
	size_t used;

	hw_http1_init(&r, &limits, &request);
	assert_int_equal(hw_http1_read(&r, text, 40, &used), HW_HTTP1_MORE);
	limits.max_head_bytes = 20;
	assert_int_equal(hw_http1_read(&r, text + 40, 2, &used), HW_HTTP1_ERROR);
	assert_int_equal(r.status, 431);
	hw_http1_fini(&r);
}

static void header_and_body_limits_are_exact(void **state HW_UNUSED)
{
	struct hw_http1_limits few = {1000, 2, 10};
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define LIMITED(text, status) assert_status_of(text, sizeof(text) - 1, &few, status)
	LIMITED("GET / HTTP/1.1\r\n" HOST "A: b\r\n\r\n", 0);
	LIMITED("GET / HTTP/1.1\r\n" HOST "A: b\r\nA: b\r\n\r\n", 431);
	LIMITED(POST "Content-Length: 10\r\n\r\n0123456789", 0);
	LIMITED(POST "Content-Length: 11\r\n\r\n", 413);
	LIMITED(POST "Content-Length: 18446744073709551615\r\n\r\n", 413);
	LIMITED(POST "Content-Length: 18446744073709551616\r\n\r\n", 400);
	LIMITED(CHUNKED "a\r\n0123456789\r\n0\r\n\r\n", 0);
	LIMITED(CHUNKED "b\r\n", 413);
	LIMITED(CHUNKED "4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n", 0);
	LIMITED(CHUNKED "4\r\n0123\r\n7\r\n", 413);
	LIMITED(CHUNKED "4\r\n0123\r\n4\r\n4567\r\n3\r\n", 413);
	LIMITED(CHUNKED "0000000000000001\r\nx\r\n0\r\n\r\n", 0);
	LIMITED(CHUNKED "00000000000000001\r\nx\r\n0\r\n\r\n", 400);
	LIMITED(CHUNKED "0\r\na: b\r\nc:d\r\n\r\n", 0);
	LIMITED(CHUNKED "0\r\na: b\r\nc:d\r\ne:f\r\n\r\n", 431);
#undef LIMITED
}

static void more_headers_than_a_request_holds_are_refused_whatever_the_limit(void **state HW_UNUSED)
{
	struct hw_http1_limits many = {HW_HTTP1_HEAD_BYTES, 1000, 10};
	struct hw_buf text;

	hw_buf_init(&text);
	hw_buf_puts(&text, "GET / HTTP/1.1\r\n" HOST);
	for (size_t i = 1; i < HW_HTTP1_MAX_HEADERS; i++)
		hw_buf_puts(&text, "A:b\r\n");
	hw_buf_puts(&text, "\r\n");
	assert_status_of(text.data, text.len, &many, 0);
	text.len -= 2;
	hw_buf_puts(&text, "A:b\r\n\r\n");
	assert_status_of(text.data, text.len, &many, 431);
	hw_buf_fini(&text);
}

static void extensions_and_trailers_are_bounded_exactly(void **state HW_UNUSED)
{
	struct hw_http1_limits limits = {200, 64, 100000};
	struct hw_buf text;

	for (size_t over = 0; over < 2; over++) {
		hw_buf_init(&text);
		hw_buf_puts(&text, CHUNKED);
		/* ";a" and the CR behind it count, in all chunks together */
		for (size_t i = 0; i < HW_HTTP1_EXTENSION_BYTES / 2 + over; i++)
			hw_buf_puts(&text, "1;a\r\nx\r\n");
		hw_buf_puts(&text, "0\r\n\r\n");
		assert_status_of(text.data, text.len, &limits, over ? 400 : 0);
		hw_buf_fini(&text);

		hw_buf_init(&text);
		hw_buf_puts(&text, CHUNKED "0\r\nT:");
		for (size_t i = 0; i < 200 - 6 + over; i++)
			hw_buf_putc(&text, 't');
		hw_buf_puts(&text, "\r\n\r\n");
		assert_status_of(text.data, text.len, &limits, over ? 431 : 0);
		hw_buf_fini(&text);
	}
}

static void every_pair_of_cuts_reads_the_same(void **state HW_UNUSED)
{
	static const char *const inputs[] = {
		"\r\nGET /a?b HTTP/1.1\r\n" HOST "X: y z\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\nrest",
		POST "Content-Length: 7\r\n\r\n1234567POST / HTTP/1.1\r\n" HOST "\r\n",
		CHUNKED "5;x=\"\\\"\"\r\nhello\r\n00\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
		"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n",
		"GET / HTTP/1.1\r\n" HOST "A: b\nc\r\n\r\n",
		CHUNKED "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
		CHUNKED "2\r\nhi\r\n2\r\nhixx",
		"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
		POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nokGET bad",
	};

	for (size_t i = 0; i < HW_COUNT(inputs); i++) {
		size_t len = strlen(inputs[i]), cuts[2];
		struct http1_transcript whole, split;

		transcribe(&whole, inputs[i], NULL, 0);
		for (cuts[0] = 0; cuts[0] <= len; cuts[0]++) {
			for (cuts[1] = cuts[0]; cuts[1] <= len; cuts[1]++) {
				transcribe(&split, inputs[i], cuts, 2);
				if (!http1_transcript_same(&whole, &split))
					fail_msg("input %zu cut at %zu and %zu:\n%.*s", i, cuts[0],
						cuts[1], HW_STR_ARG(hw_buf_view(&split.text)));
				http1_transcript_fini(&split);
			}
		}
		http1_transcript_fini(&whole);
	}
}

static void a_chunked_body_comes_in_pieces_of_the_input(void **state HW_UNUSED)
{
	struct probe b;

	probe_init(&b, CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n");
	assert_int_equal(probe_read(&b), HW_HTTP1_HEAD);
	assert_true(b.request.chunked && hw_http1_has_body(&b.request));
	assert_false(b.request.has_content_length);
	assert_int_equal(probe_read(&b), HW_HTTP1_BODY);
	assert_str(b.r.piece, "abc");
	assert_int_equal(probe_read(&b), HW_HTTP1_BODY);
	assert_str(b.r.piece, "de");
	assert_int_equal(probe_read(&b), HW_HTTP1_END);
	assert_int_equal(b.left, 0);
	hw_http1_fini(&b.r);
}

static void a_reader_is_small(void **state HW_UNUSED)
{
	assert_true(sizeof(struct hw_http1) <= 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_into_views_of_the_input),
		cmocka_unit_test(only_a_partial_head_is_kept_and_until_the_read_after_its_end),
		cmocka_unit_test(an_empty_line_before_a_request_holds_no_memory),
		cmocka_unit_test(pipelined_requests_come_one_after_the_other),
		cmocka_unit_test(keep_alive_follows_version_and_connection),
		cmocka_unit_test(upgrade_needs_both_headers_and_http11),
		cmocka_unit_test(expectations_are_met_or_refused),
		cmocka_unit_test(targets_are_split_or_refused),
		cmocka_unit_test(hosts_are_checked),
		cmocka_unit_test(http10_takes_the_host_of_its_target),
		cmocka_unit_test(every_byte_of_a_value_is_judged),
		cmocka_unit_test(every_byte_of_names_methods_and_targets_is_judged),
		cmocka_unit_test(versions_are_exact),
		cmocka_unit_test(refusals_come_as_soon_as_their_line),
		cmocka_unit_test(reasons_speak_to_a_person),
		cmocka_unit_test(a_bare_cr_is_refused_with_the_byte_behind_it),
		cmocka_unit_test(a_refused_whole_head_can_still_be_looked_at),
		cmocka_unit_test(an_error_in_a_body_does_not_point_at_its_head),
		cmocka_unit_test(the_head_limit_is_exact_however_it_is_cut),
		cmocka_unit_test(a_head_limit_that_shrinks_meanwhile_is_applied),
		cmocka_unit_test(header_and_body_limits_are_exact),
		cmocka_unit_test(more_headers_than_a_request_holds_are_refused_whatever_the_limit),
		cmocka_unit_test(extensions_and_trailers_are_bounded_exactly),
		cmocka_unit_test(every_pair_of_cuts_reads_the_same),
		cmocka_unit_test(a_chunked_body_comes_in_pieces_of_the_input),
		cmocka_unit_test(a_reader_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
