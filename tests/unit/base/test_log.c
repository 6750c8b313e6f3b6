#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/utf8.h"

/* A socket that keeps the boundaries of writes: what one read gives is what one write wrote. */
struct sink {
	int fds[2];
	struct hw_log *log;
	char line[8192];
	size_t len;
};

static void sink_open(struct sink *s, enum hw_log_level level, enum hw_log_format format)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s->fds), 0);
	s->log = hw_log_create(s->fds[1], level, format);
	assert_non_null(s->log);
}

static void sink_close(struct sink *s)
{
	hw_log_destroy(&s->log);
	assert_null(s->log);
	close(s->fds[0]);
	close(s->fds[1]);
}

/* Every line: one write, one newline at its end and nowhere else, no control byte, UTF-8, bounded.
 */
static void sink_read(struct sink *s)
{
	ssize_t n = recv(s->fds[0], s->line, sizeof(s->line) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	assert_true(n <= 4096);
	assert_int_equal(s->line[n - 1], '\n');
	for (ssize_t i = 0; i < n - 1; i++)
		assert_true((unsigned char)s->line[i] >= 0x20 && s->line[i] != 0x7f);
	assert_true(hw_utf8_valid(s->line, (size_t)n));
	s->line[n - 1] = '\0';
	s->len = (size_t)n - 1;
}

static void assert_silent(struct sink *s)
{
	assert_int_equal(recv(s->fds[0], s->line, sizeof(s->line), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void assert_time(const char *p)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	for (size_t i = 0; shape[i]; i++) {
		if (shape[i] == 'd')
			assert_true(p[i] >= '0' && p[i] <= '9');
		else
			assert_int_equal(p[i], shape[i]);
	}
}

static void assert_text(struct sink *s, const char *behind_the_time)
{
	sink_read(s);
	assert_time(s->line);
	assert_string_equal(s->line + 24, behind_the_time);
}

static void assert_json(struct sink *s, const char *behind_the_time)
{
	sink_read(s);
	assert_memory_equal(s->line, "{\"ts\":\"", 7);
	assert_time(s->line + 7);
	assert_string_equal(s->line + 31, behind_the_time);
}

static void text_lines_have_the_documented_form(void **state HW_UNUSED)
{
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "session", "session closed");
	assert_text(&s, " INFO  session: session closed");
	hw_log(s.log, HW_LOG_WARN, "hub", "topic full", HW_F_Z("key", "value"),
		HW_F_STR("key2", HW_STR("with space")), HW_F_INT("code", -4401), HW_F_UINT("n", 7));
	assert_text(&s, " WARN  hub: topic full key=value key2=\"with space\" code=-4401 n=7");
	hw_log(s.log, HW_LOG_DEBUG, "a", "m");
	assert_text(&s, " DEBUG a: m");
	hw_log(s.log, HW_LOG_ERROR, "a", "m");
	assert_text(&s, " ERROR a: m");
	sink_close(&s);
}

static void json_lines_have_the_documented_form(void **state HW_UNUSED)
{
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_JSON);
	hw_log(s.log, HW_LOG_INFO, "session", "session closed");
	assert_json(&s, "\",\"level\":\"info\",\"area\":\"session\",\"msg\":\"session closed\"}");
	hw_log(s.log, HW_LOG_ERROR, "hub", "say \"no\"", HW_F_Z("key", "value"),
		HW_F_STR("nul", HW_STR("a\0b")), HW_F_INT("code", -4401), HW_F_UINT("n", 7));
	assert_json(&s, "\",\"level\":\"error\",\"area\":\"hub\",\"msg\":\"say "
			"\\\"no\\\"\",\"key\":\"value\","
			"\"nul\":\"a\\u0000b\",\"code\":-4401,\"n\":7}");
	sink_close(&s);
}

static void numbers_reach_their_ends(void **state HW_UNUSED)
{
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_INT("min", INT64_MIN), HW_F_INT("max", INT64_MAX),
		HW_F_UINT("u", UINT64_MAX), HW_F_INT("zero", 0));
	assert_text(&s, " INFO  a: m min=-9223372036854775808 max=9223372036854775807 "
			"u=18446744073709551615 zero=0");
	sink_close(&s);
}

static void values_are_quoted_when_they_need_it(void **state HW_UNUSED)
{
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_Z("empty", ""), HW_F_Z("null", NULL),
		HW_F_Z("eq", "a=b"), HW_F_Z("quote", "a\"b"), HW_F_Z("back", "a\\b"),
		HW_F_Z("path", "/x/y-z_1.json:3"), HW_F_Z("accent", "caf\xc3\xa9"));
	assert_text(&s,
		" INFO  a: m empty=\"\" null=\"\" eq=\"a=b\" quote=\"a\\\"b\" back=\"a\\\\b\" "
		"path=/x/y-z_1.json:3 accent=\"caf\xc3\xa9\"");
	sink_close(&s);
}

static void hostile_bytes_cannot_break_a_line(void **state HW_UNUSED)
{
	static const char hostile[] =
		"x\n2026-01-01T00:00:00.000Z INFO  forged: line\r\x1b[2J\xff\xc2\x9b";
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "a\n", "m\n\xff \"as it is\" \\", HW_F_Z("v", hostile));
	assert_text(&s, " INFO  a\\n: m\\n\xef\xbf\xbd \"as it is\" \\ "
			"v=\"x\\n2026-01-01T00:00:00.000Z INFO  "
			"forged: line\\r\\u001b[2J\xef\xbf\xbd\\u009b\"");
	hw_log_configure(s.log, HW_LOG_DEBUG, HW_LOG_JSON);
	hw_log(s.log, HW_LOG_INFO, "a\n", "m", HW_F_Z("n\n\"", "\"\\"));
	assert_json(&s,
		"\",\"level\":\"info\",\"area\":\"a\\n\",\"msg\":\"m\",\"n\\n\\\"\":\"\\\"\\\\\"}");
	for (int c = 1; c < 256; c++) {
		char text[] = {(char)c, 0};

		hw_log_configure(s.log, HW_LOG_DEBUG, c % 2 ? HW_LOG_JSON : HW_LOG_TEXT);
		hw_log(s.log, HW_LOG_INFO, text, text, HW_F_Z(text, text));
		sink_read(&s);
	}
	sink_close(&s);
}

/* A reader for the one kind of JSON there is in a log: a flat object. Returns the number of
 * members. */
static int count_members(const char *p)
{
	int n = 0;
	int in_string = 0;

	assert_int_equal(*p, '{');
	for (; *p; p++) {
		if (in_string && *p == '\\')
			p++;
		else if (*p == '"')
			in_string = !in_string;
		else if (!in_string && *p == ':')
			n++;
		else if (!in_string && *p == '}')
			assert_int_equal(p[1], '\0');
	}
	assert_false(in_string);
	assert_int_equal(p[-1], '}');
	return n;
}

static void one_long_value_leaves_room_for_the_others(void **state HW_UNUSED)
{
	static char text[5000];
	struct sink s;

	memset(text, 'x', sizeof(text) - 1);
	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_Z("long", text), HW_F_Z("id", "42"));
	sink_read(&s);
	assert_string_equal(s.line + s.len - 10, "x\xe2\x80\xa6 id=42");
	hw_log_configure(s.log, HW_LOG_DEBUG, HW_LOG_JSON);
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_Z("long", text), HW_F_Z("id", "42"));
	sink_read(&s);
	assert_int_equal(count_members(s.line), 6);
	assert_non_null(strstr(s.line, "x\xe2\x80\xa6\",\"id\":\"42\"}"));
	sink_close(&s);
}

static void long_lines_are_cut_cleanly_at_every_length(void **state HW_UNUSED)
{
	/* of one to six bytes in the line, so that the limit falls into all of them */
	static const char *const chars[] = {
		"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\n", "\x01", "\xff", "\""};
	static char text[2100];
	struct sink s;

	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	for (size_t len = 1900; len < 2070; len++) {
		const char *c = chars[len % HW_COUNT(chars)];
		size_t n = 0;

		while (n + strlen(c) <= len) {
			memcpy(text + n, c, strlen(c));
			n += strlen(c);
		}
		for (int json = 0; json < 2; json++) {
			hw_log_configure(s.log, HW_LOG_DEBUG, json ? HW_LOG_JSON : HW_LOG_TEXT);
			hw_log(s.log, HW_LOG_INFO, "a", "m",
				HW_F_STR("v", ((struct hw_str){text, n})),
				HW_F_STR("w", ((struct hw_str){text, len / 2})),
				HW_F_STR("x", ((struct hw_str){text, len - 1900})),
				HW_F_STR("y", ((struct hw_str){text, n})), HW_F_Z("z", "1"));
			sink_read(&s);
			if (json)
				assert_true(count_members(s.line) >= 6);
		}
	}
	sink_close(&s);
}

static void fields_without_room_are_left_out_and_marked(void **state HW_UNUSED)
{
	static char text[5000];
	struct hw_log_field fields[400];
	struct sink s;

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < HW_COUNT(fields); i++)
		fields[i] = HW_F_UINT("count_of_things", i);
	sink_open(&s, HW_LOG_DEBUG, HW_LOG_TEXT);
	hw_log_write(s.log, HW_LOG_INFO, "a", "m", fields, HW_COUNT(fields));
	sink_read(&s);
	assert_string_equal(s.line + s.len - 4, " \xe2\x80\xa6");
	assert_non_null(strstr(s.line, " count_of_things=100 "));
	hw_log_configure(s.log, HW_LOG_DEBUG, HW_LOG_JSON);
	hw_log_write(s.log, HW_LOG_INFO, "a", "m", fields, HW_COUNT(fields));
	sink_read(&s);
	assert_true(count_members(s.line) > 100);
	assert_string_equal(s.line + s.len - 12, ",\"cut\":true}");
	/* names, area and message are no way around the bound either */
	hw_log(s.log, HW_LOG_INFO, text, text, HW_F_Z(text, text));
	sink_read(&s);
	assert_int_equal(count_members(s.line), 5);
	assert_string_equal(s.line + s.len - 12, ",\"cut\":true}");
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_Z(text, "v"));
	sink_read(&s);
	assert_int_equal(count_members(s.line), 5);
	assert_true(s.len < 200);
	sink_close(&s);
}

static int n_evaluated;

static int64_t evaluate(void)
{
	return ++n_evaluated;
}

static void quiet_levels_cost_nothing(void **state HW_UNUSED)
{
	struct sink s;
	struct hw_log *none = NULL;

	sink_open(&s, HW_LOG_WARN, HW_LOG_TEXT);
	assert_false(hw_log_on(s.log, HW_LOG_INFO));
	assert_true(hw_log_on(s.log, HW_LOG_WARN));
	assert_true(hw_log_on(s.log, HW_LOG_ERROR));
	assert_false(hw_log_on(NULL, HW_LOG_ERROR));
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_INT("x", evaluate()));
	hw_log(none, HW_LOG_ERROR, "a", "m", HW_F_INT("x", evaluate()));
	hw_log_write(s.log, HW_LOG_INFO, "a", "m", NULL, 0);
	hw_log_write(NULL, HW_LOG_ERROR, "a", "m", NULL, 0);
	assert_int_equal(n_evaluated, 0);
	assert_silent(&s);
	hw_log_configure(s.log, HW_LOG_INFO, HW_LOG_TEXT);
	hw_log(s.log, HW_LOG_INFO, "a", "m", HW_F_INT("x", evaluate()));
	assert_text(&s, " INFO  a: m x=1");
	hw_log_destroy(&none);
	sink_close(&s);
}

#define N_THREADS 4
#define N_LINES 500 /* of all threads together more than a pipe or a socket takes */

static void *write_long_lines(void *log)
{
	for (int i = 0; i < N_LINES; i++)
		hw_log(log, HW_LOG_INFO, "a", "a line of some length, so that the reader gets full",
			HW_F_UINT("i", (unsigned)i));
	return NULL;
}

/* As when nobody reads the end of a pipe, or journald stands still: descriptors that block. */
static void a_reader_that_is_full_costs_the_line_and_keeps_errno(void **state HW_UNUSED)
{
	for (int kind = 0; kind < 3; kind++) {
		pthread_t threads[N_THREADS];
		struct hw_log *log;
		char text[4096];
		int fds[2];

		assert_int_equal(kind == 0   ? pipe2(fds, 0)
				 : kind == 1 ? pipe2(fds, O_NONBLOCK)
					     : socketpair(AF_UNIX, SOCK_STREAM, 0, fds),
			0);
		log = hw_log_create(fds[1], HW_LOG_INFO, HW_LOG_TEXT);
		alarm(30);
		for (int i = 0; i < N_THREADS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, write_long_lines, log), 0);
		for (int i = 0; i < N_THREADS; i++)
			pthread_join(threads[i], NULL);
		errno = ENOENT;
		hw_log(log, HW_LOG_INFO, "a", "one more");
		assert_int_equal(errno, ENOENT);
		alarm(0);
		assert_true(read(fds[0], text, sizeof(text)) > 0);
		hw_log_destroy(&log);
		close(fds[0]);
		close(fds[1]);
	}
}

struct writer {
	struct hw_log *log;
	int number;
};

static void *write_lines(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < N_LINES; i++) {
		hw_log(w->log, HW_LOG_INFO, "a", "m", HW_F_INT("thread", w->number),
			HW_F_INT("i", i));
		if (i % 100 == 0)
			hw_log_configure(w->log, HW_LOG_DEBUG, HW_LOG_TEXT);
	}
	return NULL;
}

static void threads_do_not_mix_their_lines(void **state HW_UNUSED)
{
	pthread_t threads[N_THREADS];
	struct writer writers[N_THREADS];
	int next[N_THREADS] = {0};
	FILE *file = tmpfile();
	char line[200];
	struct hw_log *log = hw_log_create(fileno(file), HW_LOG_INFO, HW_LOG_TEXT);

	fcntl(fileno(file), F_SETFL, O_APPEND);
	for (int i = 0; i < N_THREADS; i++) {
		writers[i] = (struct writer){log, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		int thread, i;

		assert_int_equal(sscanf(line + 24, " INFO a: m thread=%d i=%d", &thread, &i), 2);
		assert_int_equal(next[thread]++, i);
	}
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(next[i], N_LINES);
	hw_log_destroy(&log);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines_have_the_documented_form),
		cmocka_unit_test(json_lines_have_the_documented_form),
		cmocka_unit_test(numbers_reach_their_ends),
		cmocka_unit_test(values_are_quoted_when_they_need_it),
		cmocka_unit_test(hostile_bytes_cannot_break_a_line),
		cmocka_unit_test(one_long_value_leaves_room_for_the_others),
		cmocka_unit_test(long_lines_are_cut_cleanly_at_every_length),
		cmocka_unit_test(fields_without_room_are_left_out_and_marked),
		cmocka_unit_test(quiet_levels_cost_nothing),
		cmocka_unit_test(a_reader_that_is_full_costs_the_line_and_keeps_errno),
		cmocka_unit_test(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
