#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/http1_response.h"

static void assert_written(const struct hw_http1_response *response, const char *expected)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_buf_puts(&out, "before");
	assert_int_equal(hw_http1_response_write(&out, response), 0);
	assert_int_equal(out.len, 6 + strlen(expected));
	assert_memory_equal(out.data + 6, expected, strlen(expected));
	hw_buf_fini(&out);
}

static void assert_refused(const struct hw_http1_response *response)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_buf_puts(&out, "before");
	assert_int_equal(hw_http1_response_write(&out, response), -EINVAL);
	assert_int_equal(out.len, 6);
	hw_buf_fini(&out);
}

static void a_response_has_its_length_and_headers(void **state HW_UNUSED)
{
	const struct hw_http1_header headers[] = {
		{HW_STR("Content-Type"), HW_STR("application/json")},
		{HW_STR("X-Empty"), HW_STR_NULL},
	};
	struct hw_http1_response r = {.status = 200,
		.minor = 1,
		.keep_alive = true,
		.headers = headers,
		.n_headers = 2,
		.body = HW_STR("{}")};

	assert_written(&r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty: \r\n"
			   "Content-Length: 2\r\n\r\n{}");
	r.head_only = true;
	assert_written(&r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty: \r\n"
			   "Content-Length: 2\r\n\r\n");
}

static void the_connection_header_says_what_the_default_does_not(void **state HW_UNUSED)
{
	struct hw_http1_response r = {.status = 404, .minor = 1, .keep_alive = false};

	assert_written(
		&r, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	r.minor = 0;
	assert_written(
		&r, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	r.keep_alive = true;
	assert_written(&r,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

/* RFC 9110 7.8: an intermediary must know that Upgrade is not for others. */
static void an_upgrade_header_is_listed_in_connection(void **state HW_UNUSED)
{
	const struct hw_http1_header headers[] = {{HW_STR("Upgrade"), HW_STR("websocket")}};
	struct hw_http1_response r = {
		.status = 426, .minor = 1, .keep_alive = true, .headers = headers, .n_headers = 1};

	assert_written(&r, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
			   "Content-Length: 0\r\nConnection: upgrade\r\n\r\n");
	r.keep_alive = false;
	assert_written(&r, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
			   "Content-Length: 0\r\nConnection: close, upgrade\r\n\r\n");
}

static void bodiless_statuses_have_no_length(void **state HW_UNUSED)
{
	struct hw_http1_response r = {.status = 204, .minor = 1, .keep_alive = true};

	assert_written(&r, "HTTP/1.1 204 No Content\r\n\r\n");
	r.status = 304;
	assert_written(&r, "HTTP/1.1 304 Not Modified\r\n\r\n");
	r.body = HW_STR("x");
	assert_refused(&r);
	r.body = HW_STR_NULL;
	r.framing = HW_HTTP1_UNTIL_CLOSE;
	assert_refused(&r);
}

static void a_stream_ends_with_the_connection(void **state HW_UNUSED)
{
	struct hw_http1_response r = {.status = 200,
		.minor = 1,
		.keep_alive = true,
		.framing = HW_HTTP1_UNTIL_CLOSE,
		.body = HW_STR("retry: 1\n\n")};

	assert_written(&r, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nretry: 1\n\n");
}

static void what_would_break_the_framing_is_never_sent(void **state HW_UNUSED)
{
	const struct hw_http1_header refused[] = {
		{HW_STR("X"), HW_STR("a\r\nSet-Cookie: b")},
		{HW_STR("X"), HW_STR("a\nb")},
		{HW_STR("X"), HW_STR("a\rb")},
		{HW_STR("X"), HW_STR("a\0b")},
		{HW_STR("X"), HW_STR("a\x7f")},
		{HW_STR("X\r\nY"), HW_STR("a")},
		{HW_STR("X Y"), HW_STR("a")},
		{HW_STR("X:"), HW_STR("a")},
		{HW_STR(""), HW_STR("a")},
		{HW_STR("content-length"), HW_STR("5")},
		{HW_STR("Transfer-Encoding"), HW_STR("chunked")},
		{HW_STR("CONNECTION"), HW_STR("close")},
	};

	for (size_t i = 0; i < HW_COUNT(refused); i++) {
		struct hw_http1_header headers[] = {{HW_STR("Fine"), HW_STR("a")}, refused[i]};
		struct hw_http1_response r = {
			.status = 200, .minor = 1, .headers = headers, .n_headers = 2};

		assert_refused(&r);
	}
	assert_written(&(struct hw_http1_response){.status = 599, .minor = 1, .keep_alive = true},
		"HTTP/1.1 599 Unknown\r\nContent-Length: 0\r\n\r\n");
	assert_refused(&(struct hw_http1_response){.status = 101});
	assert_refused(&(struct hw_http1_response){.status = 600});
	assert_refused(&(struct hw_http1_response){.status = 0});
}

static void every_status_of_the_protocol_has_its_phrase(void **state HW_UNUSED)
{
	static const unsigned used[] = {200, 204, 207, 400, 401, 403, 404, 405, 408, 413, 415, 417,
		422, 426, 429, 431, 500, 501, 503, 505};

	for (size_t i = 0; i < HW_COUNT(used); i++)
		assert_string_not_equal(hw_http1_status_text(used[i]), "Unknown");
	assert_string_equal(hw_http1_status_text(299), "Unknown");
	assert_string_equal(hw_http1_status_text(431), "Request Header Fields Too Large");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_response_has_its_length_and_headers),
		cmocka_unit_test(the_connection_header_says_what_the_default_does_not),
		cmocka_unit_test(an_upgrade_header_is_listed_in_connection),
		cmocka_unit_test(bodiless_statuses_have_no_length),
		cmocka_unit_test(a_stream_ends_with_the_connection),
		cmocka_unit_test(what_would_break_the_framing_is_never_sent),
		cmocka_unit_test(every_status_of_the_protocol_has_its_phrase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
