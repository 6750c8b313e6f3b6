#include "app/cmd_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>

#include "conf_files.h"

/* Runs the command and takes what it writes to standard output (@out) and to standard error. */
struct run {
	int code;
	char out[4096];
	char err[4096];
};

static void read_back(int fd, char *text, size_t size)
{
	ssize_t n;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n = read(fd, text, size - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

static int temporary(void)
{
	char name[] = "/tmp/hw-check-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

static void run(struct run *r, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)"check", (char *)a, (char *)b, (char *)c, NULL};
	int argc = a ? b ? c ? 4 : 3 : 2 : 1;
	int out = temporary(), err = temporary(), stdout_was, stderr_was;

	fflush(stdout);
	fflush(stderr);
	stdout_was = dup(1);
	stderr_was = dup(2);
	assert_true(dup2(out, 1) == 1 && dup2(err, 2) == 2);
	r->code = hw_cmd_check(argc, argv);
	fflush(stdout);
	fflush(stderr);
	assert_true(dup2(stdout_was, 1) == 1 && dup2(stderr_was, 2) == 2);
	close(stdout_was);
	close(stderr_was);
	read_back(out, r->out, sizeof(r->out));
	read_back(err, r->err, sizeof(r->err));
}

static void a_good_file_is_ok(void **state)
{
	const struct load *l = *state;
	struct run r;
	char expected[256];

	conf_files_put(&l->files, "open.lua",
		"return policy { api = 1, authorize = { subscribe = allow } }\n");
	conf_files_put(&l->files, "hookwire.json",
		"{\"hooks\": [{\"lua\": \"open.lua\"}], \"tenants\": {\"a\": {\"hooks\": "
		"[{\"lua\": "
		"\"open.lua\"}]}}}");
	run(&r, "-c", l->files.conf, NULL);
	assert_int_equal(r.code, 0);
	snprintf(expected, sizeof(expected), "%s: ok (1 file, 1 tenant)\n", l->files.conf);
	assert_string_equal(r.out, expected);
	assert_string_equal(r.err, "");
}

static void every_problem_is_printed_and_the_code_is_1(void **state)
{
	const struct load *l = *state;
	struct run r;
	char expected[1024];

	conf_files_put(
		&l->files, "hookwire.json", "{\"worker\": 1,\n\"drain_ms\": \"x\", \"hooks\": []}");
	run(&r, "--config", l->files.conf, NULL);
	assert_int_equal(r.code, 1);
	snprintf(expected, sizeof(expected),
		"%s:1:2: \"worker\" is not a key here; did you mean \"workers\"?\n"
		"%s:2:13: \"drain_ms\" is a string; write a whole number from 0 to 3600000\n"
		"%s:2:18: warning: ",
		l->files.conf, l->files.conf, l->files.conf);
	assert_memory_equal(r.out, expected, strlen(expected));
	assert_non_null(strstr(r.out, ": 2 errors, 1 warning\n"));
	assert_string_equal(r.err, "");
}

static void hooks_that_do_not_load_are_told_at_their_places(void **state)
{
	const struct load *l = *state;
	struct run r;
	char expected[512];

	conf_files_put(&l->files, "bad.lua", "return policy {\n  api = 1,\n  authorize = (,\n}\n");
	conf_files_put(&l->files, "hookwire.json",
		"{\"hooks\": [{\"lua\": \"bad.lua\"}],\n"
		" \"tenants\": {\"a\": {\"hooks\": [{\"lua\": \"bad.lua\"}]}}}");
	run(&r, "-c", l->files.conf, NULL);
	assert_int_equal(r.code, 1);
	snprintf(
		expected, sizeof(expected), "%s:1:20: hook \"bad\" does not load: ", l->files.conf);
	assert_memory_equal(r.out, expected, strlen(expected));
	snprintf(expected, sizeof(expected),
		"\n%s:2:38: hook \"bad\" does not load: ", l->files.conf);
	assert_non_null(strstr(r.out, expected));
	assert_non_null(strstr(r.out, "bad.lua:3: "));
	assert_non_null(strstr(r.out, ": 2 errors, 0 warnings\n"));
}

static void warnings_alone_are_0(void **state)
{
	const struct load *l = *state;
	struct run r;

	conf_files_put(&l->files, "hookwire.json", "{}");
	run(&r, "-c", l->files.conf, NULL);
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "warning: "));
}

static void a_missing_file_is_1(void **state)
{
	struct run r;

	(void)state;
	run(&r, "-c", "/nonexistent/x.json", NULL);
	assert_int_equal(r.code, 1);
	assert_non_null(
		strstr(r.out, "/nonexistent/x.json: this file cannot be read: No such file"));
}

static void wrong_usage_is_2_and_nothing_on_standard_output(void **state)
{
	static const char *const lines[][3] = {
		{NULL}, {"-c"}, {"--nope"}, {"file"}, {"-c", "a", "b"}};
	struct run r;

	(void)state;
	for (size_t i = 0; i < HW_COUNT(lines); i++) {
		run(&r, lines[i][0], lines[i][1], lines[i][2]);
		assert_int_equal(r.code, 2);
		assert_string_equal(r.out, "");
		assert_string_not_equal(r.err, "");
	}
}

static void help_is_printed(void **state)
{
	struct run r;

	(void)state;
	run(&r, "--help", NULL, NULL);
	assert_int_equal(r.code, 0);
	assert_non_null(strstr(r.out, "usage: hookwire check -c FILE"));
	assert_non_null(strstr(r.out, "Exit status"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_good_file_is_ok),
		TEST(every_problem_is_printed_and_the_code_is_1),
		TEST(hooks_that_do_not_load_are_told_at_their_places),
		TEST(warnings_alone_are_0),
		TEST(a_missing_file_is_1),
		TEST(wrong_usage_is_2_and_nothing_on_standard_output),
		TEST(help_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
