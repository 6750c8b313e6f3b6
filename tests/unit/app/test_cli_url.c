#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/cli_follow.h"
#include "app/cli_token.h"
#include "app/cli_url.h"

/* ---- addresses ---- */

static void expect_url(const char *text, const char *host, const char *port, const char *authority,
	const char *target)
{
	struct hw_cli_url url;
	struct hw_err err = {""};

	if (hw_cli_url_parse(hw_str_of(text), "ws", "/ws", &url, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(url.host, host);
	assert_string_equal(url.port, port);
	assert_string_equal(url.authority, authority);
	assert_string_equal(url.target, target);
}

static void an_address_is_taken_apart(void **state)
{
	(void)state;
	expect_url("ws://127.0.0.1:8080/ws", "127.0.0.1", "8080", "127.0.0.1:8080", "/ws");
	expect_url("WS://a.example", "a.example", "80", "a.example", "/ws");
	expect_url("ws://a.example/", "a.example", "80", "a.example", "/ws");
	expect_url("ws://a.example?x=1", "a.example", "80", "a.example", "/ws?x=1");
	expect_url("ws://a:1/b/ws?x=%20/", "a", "1", "a:1", "/b/ws?x=%20/");
	expect_url("ws://[::1]:65535/p", "::1", "65535", "[::1]:65535", "/p");
	expect_url("ws://[fe80::1]", "fe80::1", "80", "[fe80::1]", "/ws");
}

static void tls_is_told_by_the_scheme(void **state)
{
	struct hw_cli_url url;

	(void)state;
	assert_int_equal(hw_cli_url_parse(HW_STR("wss://a"), "ws", "/ws", &url, NULL), 0);
	assert_true(url.tls);
	assert_string_equal(url.port, "443");
	assert_int_equal(hw_cli_url_parse(HW_STR("http://a"), "http", "/publish", &url, NULL), 0);
	assert_false(url.tls);
	assert_string_equal(url.target, "/publish");
}

static void a_wrong_address_is_refused_and_nothing_written(void **state)
{
	static const char *const wrong[] = {"", "ws", "ws:", "ws:/a", "ws//a", "a:80", "http://a",
		"wsss://a", "ws://", "ws:///ws", "ws://:80", "ws://a:", "ws://a:0", "ws://a:65536",
		"ws://a:8o", "ws://a:-1", "ws://u:p@a/", "ws://a b", "ws://a/ b", "ws://a/\x7f",
		"ws://a/\xc3\xa4", "ws://a/#f", "ws://a#f", "ws://[::1", "ws://[]", "ws://[::1]x",
		"ws://[::1]:", "ws://[g%]", "ws://a\r\nX: y/"};
	struct hw_cli_url url, before;

	(void)state;
	memset(&url, 7, sizeof(url));
	before = url;
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		struct hw_err err = {""};

		if (hw_cli_url_parse(hw_str_of(wrong[i]), "ws", "/ws", &url, &err) != -EINVAL ||
			!err.text[0])
			fail_msg("\"%s\" is taken", wrong[i]);
	}
	assert_memory_equal(&url, &before, sizeof(url));
}

static void too_long_an_address_is_refused_at_its_limits(void **state)
{
	char text[4096];
	struct hw_cli_url url;
	size_t room = HW_CLI_TARGET_MAX;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "ws://h/", 7);
	text[6 + room] = '\0';
	assert_int_equal(hw_cli_url_parse(hw_str_of(text), "ws", "/ws", &url, NULL), 0);
	assert_int_equal(strlen(url.target), HW_CLI_TARGET_MAX);
	text[6 + room] = 'a';
	text[7 + room] = '\0';
	assert_int_equal(hw_cli_url_parse(hw_str_of(text), "ws", "/ws", &url, NULL), -EINVAL);
	memset(text, 'a', sizeof(text));
	memcpy(text, "ws://", 5);
	text[5 + 300] = '\0';
	assert_int_equal(hw_cli_url_parse(hw_str_of(text), "ws", "/ws", &url, NULL), -EINVAL);
}

/* ---- trying again ---- */

static void pauses_double_up_to_a_limit_and_vary_by_half(void **state)
{
	(void)state;
	assert_int_equal(hw_cli_backoff_ms(0, 0), HW_CLI_BACKOFF_FIRST_MS);
	assert_int_equal(hw_cli_backoff_ms(1, 0), 2 * HW_CLI_BACKOFF_FIRST_MS);
	assert_int_equal(hw_cli_backoff_ms(2, 0), 4 * HW_CLI_BACKOFF_FIRST_MS);
	assert_int_equal(hw_cli_backoff_ms(1000000, 0), HW_CLI_BACKOFF_MAX_MS);
	assert_int_equal(
		hw_cli_backoff_ms(0, HW_CLI_BACKOFF_FIRST_MS / 2), HW_CLI_BACKOFF_FIRST_MS / 2);
	for (uint32_t random = 0; random < 1000; random++) {
		uint32_t ms = hw_cli_backoff_ms(3, random * 4294967U);

		assert_in_range(ms, 4 * HW_CLI_BACKOFF_FIRST_MS, 8 * HW_CLI_BACKOFF_FIRST_MS);
	}
}

static void only_what_will_not_change_is_final(void **state)
{
	static const uint16_t final[] = {1002, 1003, 1007, 1008, 4400, 4401, 4403, 4413};
	static const uint16_t passing[] = {1000, 1001, 1005, 1006, 1011, 4408, 4429, 4503, 4508};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(final); i++)
		assert_true(hw_cli_close_is_final(final[i]));
	for (size_t i = 0; i < HW_COUNT(passing); i++)
		assert_false(hw_cli_close_is_final(passing[i]));
	assert_true(hw_cli_status_is_final(400));
	assert_true(hw_cli_status_is_final(401));
	assert_true(hw_cli_status_is_final(499));
	assert_false(hw_cli_status_is_final(408));
	assert_false(hw_cli_status_is_final(429));
	assert_false(hw_cli_status_is_final(503));
	assert_false(hw_cli_status_is_final(302));
}

/* ---- tokens ---- */

static int read_token(
	const char *token, const char *file, char *out, size_t size, struct hw_err *err)
{
	struct hw_buf buf;
	int rc;

	hw_buf_init(&buf);
	rc = hw_cli_token_read(token, file, &buf, err);
	snprintf(out, size, "%.*s", (int)buf.len, buf.len ? buf.data : "");
	hw_cli_token_forget(&buf);
	return rc;
}

static void a_token_comes_from_the_argument_the_file_or_the_environment(void **state)
{
	char path[] = "/tmp/hookwire-token-XXXXXX", out[128];
	struct hw_err err = {""};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, " from.file\r\n", 12), 12);
	close(fd);
	setenv(HW_CLI_TOKEN_ENV, "from.env", 1);
	assert_int_equal(read_token("from.argument", NULL, out, sizeof(out), &err), 0);
	assert_string_equal(out, "from.argument");
	assert_int_equal(read_token(NULL, path, out, sizeof(out), &err), 0);
	assert_string_equal(out, "from.file");
	assert_int_equal(read_token(NULL, NULL, out, sizeof(out), &err), 0);
	assert_string_equal(out, "from.env");
	assert_int_equal(read_token("a", path, out, sizeof(out), &err), -EINVAL);
	unlink(path);
	assert_int_equal(read_token(NULL, path, out, sizeof(out), &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	unsetenv(HW_CLI_TOKEN_ENV);
	assert_int_equal(read_token(NULL, NULL, out, sizeof(out), &err), -ENOENT);
	assert_non_null(strstr(err.text, HW_CLI_TOKEN_ENV));
}

static void what_is_no_token_is_refused_without_showing_it(void **state)
{
	char out[128], *longest = malloc(HW_CLI_TOKEN_MAX + 2);
	struct hw_err err = {""};

	(void)state;
	assert_int_equal(read_token("  ", NULL, out, sizeof(out), &err), -EINVAL);
	assert_int_equal(read_token("sesame open", NULL, out, sizeof(out), &err), -EINVAL);
	assert_null(strstr(err.text, "sesame"));
	assert_int_equal(read_token("sesame\r\nX: y", NULL, out, sizeof(out), &err), -EINVAL);
	assert_null(strstr(err.text, "sesame"));
	memset(longest, 'a', HW_CLI_TOKEN_MAX + 1);
	longest[HW_CLI_TOKEN_MAX + 1] = '\0';
	assert_int_equal(read_token(longest, NULL, out, sizeof(out), &err), -EINVAL);
	longest[HW_CLI_TOKEN_MAX] = '\0';
	assert_int_equal(read_token(longest, NULL, out, sizeof(out), &err), 0);
	hw_cli_token_hide(longest);
	assert_null(strchr(longest, 'a'));
	hw_cli_token_hide(NULL);
	free(longest);
}

/* ---- topics and their cursors ---- */

static void start(struct hw_follow *f, struct hw_str cursor)
{
	const struct hw_str names[] = {HW_STR("a:1"), HW_STR("b:*")};

	assert_int_equal(hw_follow_init(f, names, HW_COUNT(names), cursor), 0);
}

static void expect_subscribe(struct hw_follow *f, const char *expected)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_follow_subscribe(f, &out);
	hw_buf_putc(&out, '\0');
	assert_string_equal(out.data, expected);
	hw_buf_fini(&out);
}

/* What is said must be exactly @said. */
static void expect_read(struct hw_follow *f, const char *text, int outcome, const char *said)
{
	struct hw_buf say;

	hw_buf_init(&say);
	assert_int_equal(hw_follow_read(f, hw_str_of(text), &say), outcome);
	hw_buf_putc(&say, '\0');
	assert_string_equal(say.data, said);
	hw_buf_fini(&say);
}

static void all_topics_are_asked_for_once(void **state)
{
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR(""));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[\"a:1\",\"b:*\"]}");
	expect_subscribe(&f, "");
	hw_follow_fini(&f);
	start(&f, HW_STR("e-1"));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[{\"topic\":\"a:1\","
			     "\"cursor\":\"e-1\"},"
			     "{\"topic\":\"b:*\",\"cursor\":\"e-1\"}]}");
	hw_follow_fini(&f);
}

static void during_recovery_an_event_moves_its_own_topic_only(void **state)
{
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR("e-1"));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[{\"topic\":\"a:1\","
			     "\"cursor\":\"e-1\"},"
			     "{\"topic\":\"b:*\",\"cursor\":\"e-1\"}]}");
	expect_read(&f, "{\"topic\":\"b:7\",\"event\":\"ADDED\",\"data\":{},\"id\":\"e-9\"}",
		HW_FOLLOW_EVENT, "");
	assert_string_equal(f.topics[0].cursor, "e-1");
	assert_string_equal(f.topics[1].cursor, "e-9");
	hw_follow_lost(&f);
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s2\",\"topics\":[{\"topic\":\"a:1\","
			     "\"cursor\":\"e-1\"},"
			     "{\"topic\":\"b:*\",\"cursor\":\"e-9\"}]}");
	hw_follow_fini(&f);
}

static void after_the_reply_an_event_moves_all_topics(void **state)
{
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR(""));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[\"a:1\",\"b:*\"]}");
	expect_read(&f,
		"{\"type\":\"reply\",\"id\":\"s1\",\"ok\":true,\"topics\":{\"a:1\":{\"ok\":true,"
		"\"cursor\":\"e-2\"},"
		"\"b:*\":{\"ok\":true,\"cursor\":\"e-3\"}}}",
		HW_FOLLOW_CONTROL, "");
	assert_int_equal(hw_follow_count(&f, HW_FOLLOW_LIVE), 2);
	assert_string_equal(f.topics[0].cursor, "e-2");
	assert_string_equal(f.topics[1].cursor, "e-3");
	expect_read(&f,
		"{\"topic\":\"b:7\",\"event\":\"X\",\"data\":{\"id\":\"no\"},\"id\":\"e-4\"}",
		HW_FOLLOW_EVENT, "");
	expect_read(&f, "{\"topic\":\"a:1\",\"event\":\"X\",\"data\":{}}", HW_FOLLOW_EVENT, "");
	assert_string_equal(f.topics[0].cursor, "e-4");
	assert_string_equal(f.topics[1].cursor, "e-4");
	expect_read(&f, "{\"type\":\"cursor\",\"cursor\":\"e-8\"}", HW_FOLLOW_CONTROL, "");
	assert_string_equal(f.topics[0].cursor, "e-8");
	hw_follow_fini(&f);
}

static void refusals_are_said_and_only_those_that_may_pass_are_tried_again(void **state)
{
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR(""));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[\"a:1\",\"b:*\"]}");
	expect_read(&f,
		"{\"type\":\"reply\",\"id\":\"s1\",\"ok\":true,\"topics\":{\"a:1\":{\"ok\":false,"
		"\"code\":"
		"\"forbidden_topic\"},\"b:*\":{\"ok\":false,\"code\":\"unavailable\"}}}",
		HW_FOLLOW_CONTROL,
		"a:1: refused: forbidden_topic\nb:*: refused: unavailable (trying again)\n");
	hw_follow_lost(&f);
	assert_int_equal(hw_follow_count(&f, HW_FOLLOW_REFUSED), 1);
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s2\",\"topics\":[\"b:*\"]}");
	/* the answer to a request of before changes nothing */
	expect_read(&f,
		"{\"type\":\"reply\",\"id\":\"s1\",\"ok\":true,\"topics\":{\"b:*\":{\"ok\":true}}}",
		HW_FOLLOW_CONTROL, "");
	assert_int_equal(hw_follow_count(&f, HW_FOLLOW_LIVE), 0);
	expect_read(&f,
		"{\"type\":\"error\",\"id\":\"s2\",\"code\":\"bad_request\",\"message\":\"no\"}",
		HW_FOLLOW_CONTROL, "bad_request: no\nb:*: refused: bad_request\n");
	assert_int_equal(hw_follow_count(&f, HW_FOLLOW_REFUSED), 2);
	hw_follow_fini(&f);
}

static void gaps_revocations_and_advice_are_understood(void **state)
{
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR(""));
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[\"a:1\",\"b:*\"]}");
	expect_read(&f, "{\"type\":\"gap\",\"topics\":[\"a:1\"],\"reason\":\"retention\"}",
		HW_FOLLOW_CONTROL, "a:1: a gap: events were lost for good: retention\n");
	expect_read(&f,
		"{\"type\":\"unsubscribed\",\"topics\":[\"b:*\"],\"code\":\"forbidden_topic\"}",
		HW_FOLLOW_CONTROL, "b:*: the access was revoked: forbidden_topic\n");
	assert_int_equal(f.topics[1].state, HW_FOLLOW_REFUSED);
	expect_read(&f,
		"{\"type\":\"goaway\",\"retry_after_ms\":500,\"jitter_ms\":20,\"reason\":\"x\"}",
		HW_FOLLOW_CONTROL, "");
	assert_int_equal(f.retry_after_ms, 500);
	assert_int_equal(f.retry_jitter_ms, 20);
	hw_follow_fini(&f);
}

static void what_a_broker_never_says_does_no_harm(void **state)
{
	static const char *const odd[] = {"", "[]", "7", "{", "{\"type\":}", "{}x", "{\"a\":1,}"};
	char text[512];
	struct hw_follow f;

	(void)state;
	start(&f, HW_STR(""));
	for (size_t i = 0; i < HW_COUNT(odd); i++)
		expect_read(&f, odd[i], HW_FOLLOW_ODD, "");
	expect_read(&f, "{\"type\":7}", HW_FOLLOW_CONTROL, "");
	expect_read(&f, "{\"type\":\"reply\",\"id\":\"s0\",\"topics\":7}", HW_FOLLOW_CONTROL, "");
	expect_read(&f, "{\"type\":\"gap\",\"topics\":7}", HW_FOLLOW_CONTROL, "");
	/* a cursor longer than there is room is passed over */
	expect_subscribe(&f, "{\"type\":\"subscribe\",\"id\":\"s1\",\"topics\":[\"a:1\",\"b:*\"]}");
	snprintf(text, sizeof(text), "{\"topic\":\"a:1\",\"id\":\"%0200d\"}", 1);
	expect_read(&f, text, HW_FOLLOW_EVENT, "");
	assert_string_equal(f.topics[0].cursor, "");
	hw_follow_fini(&f);
}

static void an_event_is_one_line(void **state)
{
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	hw_follow_line(&out, HW_STR("{\"a\":\r\n [1,\n2]}"));
	hw_buf_putc(&out, '\0');
	assert_string_equal(out.data, "{\"a\":   [1, 2]}");
	hw_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_taken_apart),
		cmocka_unit_test(tls_is_told_by_the_scheme),
		cmocka_unit_test(a_wrong_address_is_refused_and_nothing_written),
		cmocka_unit_test(too_long_an_address_is_refused_at_its_limits),
		cmocka_unit_test(pauses_double_up_to_a_limit_and_vary_by_half),
		cmocka_unit_test(only_what_will_not_change_is_final),
		cmocka_unit_test(a_token_comes_from_the_argument_the_file_or_the_environment),
		cmocka_unit_test(what_is_no_token_is_refused_without_showing_it),
		cmocka_unit_test(all_topics_are_asked_for_once),
		cmocka_unit_test(during_recovery_an_event_moves_its_own_topic_only),
		cmocka_unit_test(after_the_reply_an_event_moves_all_topics),
		cmocka_unit_test(refusals_are_said_and_only_those_that_may_pass_are_tried_again),
		cmocka_unit_test(gaps_revocations_and_advice_are_understood),
		cmocka_unit_test(what_a_broker_never_says_does_no_harm),
		cmocka_unit_test(an_event_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
