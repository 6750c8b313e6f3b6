#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli_token.h"
#include "app/cmd_policy.h"
#include "app/policy_case.h"
#include "hook/coverage.h"

#define SUFFIX ".test.lua"

static const char usage[] =
	"usage: hookwire policy test [--coverage] [-q] DIR|FILE...\n"
	"\n"
	"Runs the cases of policies: all files NAME.test.lua of a directory and those below it, "
	"or\n"
	"the files that are named (NAME.lua stands for the NAME.test.lua beside it). A policy "
	"runs\n"
	"as it does in the broker; its clock is the case's, and ctx.http gets the case's answers.\n"
	"\n"
	"  --coverage   say which lines of each policy no case ran\n"
	"  -q, --quiet  no line for a case that passes\n"
	"  -h, --help   this text\n"
	"\n"
	"A file of cases returns a list. What it names beside the cases holds for all of them:\n"
	"  return {\n"
	"    config = { open_resources = { \"notice\" } },\n"
	"    case {\n"
	"      name = \"a member follows the list\",\n"
	"      session = { user_id = \"u1\", tenant_id = \"acme\", claims = { family = \"f1\" } "
	"},\n"
	"      ask = \"subscribe\", topic = \"gift-list:f1\",\n"
	"      expect = \"allow\",\n"
	"    },\n"
	"  }\n"
	"docs/hooks.md, \"Test your policy\", has all keys.\n"
	"\n"
	"Exit status: 0 if all cases pass, 1 if one fails, 2 if a file of cases cannot be used or\n"
	"the command line is wrong.\n";

struct tester {
	struct hw_policy_stage stage;
	bool coverage, quiet;
	size_t n_passed, n_failed, n_files;
	bool broken; /* a file could not be used */
	struct covered *covered;
	size_t n_covered;
};

/* A policy may have several files of cases. */
struct covered {
	struct hw_coverage *lines;
	char *shown;
};

/* ---- which files ---- */

struct names {
	char **p;
	size_t n;
};

static int add_name(struct names *names, const char *path)
{
	char **more = realloc(names->p, (names->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	names->p = more;
	names->p[names->n] = strdup(path);
	if (!names->p[names->n])
		return -ENOMEM;
	names->n++;
	return 0;
}

static void names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->p[i]);
	free(names->p);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n > m && strcmp(s + n - m, suffix) == 0;
}

static int find_below(struct names *names, const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	int rc = d ? 0 : -errno;

	while (d && rc == 0 && (entry = readdir(d)) != NULL) {
		size_t len = strlen(dir);
		struct stat st;
		char *path;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s%s%s", dir, len > 0 && dir[len - 1] == '/' ? "" : "/",
			    entry->d_name) < 0)
			rc = -ENOMEM;
		else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			rc = find_below(names, path);
		else if (ends_with(path, SUFFIX))
			rc = add_name(names, path);
		if (rc != -ENOMEM)
			free(path);
	}
	if (d)
		closedir(d);
	return rc;
}

static int find_named(struct names *names, const char *path)
{
	struct stat st;
	char *beside;
	int rc;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return find_below(names, path);
	if (ends_with(path, SUFFIX) || !ends_with(path, ".lua"))
		return add_name(names, path);
	if (asprintf(&beside, "%.*s" SUFFIX, (int)(strlen(path) - strlen(".lua")), path) < 0)
		return -ENOMEM;
	rc = stat(beside, &st) < 0 ? -errno : add_name(names, beside);
	if (rc < 0)
		fprintf(stderr, "hookwire policy test: it would be in %s: %s\n", beside,
			strerror(-rc));
	free(beside);
	return rc;
}

/* ---- coverage ---- */

/* A policy that does not compile is not covered, and its cases say why. */
static void cover(struct tester *t, const struct hw_policy_cases *cases)
{
	struct hw_coverage *lines = NULL;
	struct covered *more;
	struct hw_buf source;

	hw_hook_env_cover(t->stage.kit.env, NULL);
	if (!t->coverage || cases->kind != HW_HOOK_LUA)
		return;
	for (size_t i = 0; i < t->n_covered && !lines; i++)
		if (strcmp(t->covered[i].lines->path, cases->policy) == 0)
			lines = t->covered[i].lines;
	hw_buf_init(&source);
	if (!lines && hw_policy_read_file(cases->policy, &source) == 0 &&
		hw_coverage_create(cases->policy, hw_buf_view(&source), &lines) == 0) {
		more = realloc(t->covered, (t->n_covered + 1) * sizeof(*more));
		if (more) {
			t->covered = more;
			t->covered[t->n_covered++] = (struct covered){
				lines, strndup(cases->path, strlen(cases->path) - strlen(SUFFIX))};
		} else {
			hw_coverage_destroy(&lines);
		}
	}
	hw_buf_fini(&source);
	hw_hook_env_cover(t->stage.kit.env, lines);
}

/* "12, 40-43" */
static void print_missed(const struct hw_coverage *c)
{
	const char *between = "; not run: ";
	size_t last, end;

	for (size_t i = 1; i <= c->n_lines; i = end) {
		end = i + 1;
		if (c->lines[i] != HW_COVERAGE_CODE)
			continue;
		/* lines without code do not part what belongs together */
		for (last = i; end <= c->n_lines && c->lines[end] != HW_COVERAGE_RAN; end++)
			if (c->lines[end] == HW_COVERAGE_CODE)
				last = end;
		printf(last > i ? "%s%zu-%zu" : "%s%zu", between, i, last);
		between = ", ";
	}
}

static void print_coverage(const struct covered *covered)
{
	const struct hw_coverage *c = covered->lines;
	size_t n_code = 0, n_ran = 0;

	for (size_t i = 1; i <= c->n_lines; i++) {
		n_code += c->lines[i] != HW_COVERAGE_NOTHING;
		n_ran += c->lines[i] == HW_COVERAGE_RAN;
	}
	printf("coverage %s.lua: %zu of %zu lines, %.1f%%", covered->shown ? covered->shown : "",
		n_ran, n_code, n_code ? 100.0 * (double)n_ran / (double)n_code : 100.0);
	print_missed(c);
	putchar('\n');
}

/* ---- running ---- */

static void play(struct tester *t, struct hw_policy_cases *cases, const json_t *item)
{
	json_t *one = json_object_get(item, "case");
	long long line = json_integer_value(json_object_get(item, "line"));
	const char *name = json_string_value(json_object_get(one, "name"));
	struct hw_buf why;
	bool passed;

	hw_buf_init(&why);
	passed = hw_policy_case_play(&t->stage, cases, one, &why);
	if (!name)
		name = "(no name)";
	if (passed) {
		t->n_passed++;
		if (!t->quiet)
			printf("ok   %s:%lld: %s\n", cases->path, line, name);
	} else {
		t->n_failed++;
		printf("FAIL %s:%lld: %s\n", cases->path, line, name);
		fwrite(why.data ? why.data : "", 1, why.len, stdout);
	}
	hw_buf_fini(&why);
}

static void run_file(struct tester *t, const char *path)
{
	struct hw_policy_cases cases;
	struct hw_err err = {{0}};
	json_t *item;
	size_t i;

	t->n_files++;
	if (hw_policy_cases_load(&t->stage, path, &cases, &err) < 0) {
		fflush(stdout);
		fprintf(stderr, "hookwire policy test: %s\n", err.text);
		t->broken = true;
		return;
	}
	cover(t, &cases);
	json_array_foreach(cases.cases, i, item) play(t, &cases, item);
	hw_policy_cases_fini(&cases);
}

static int run_all(struct tester *t, const struct names *names)
{
	int rc = hw_policy_stage_open(&t->stage);

	if (rc < 0)
		fprintf(stderr, "hookwire policy test: %s\n", strerror(-rc));
	for (size_t i = 0; rc == 0 && i < names->n; i++)
		run_file(t, names->p[i]);
	for (size_t i = 0; i < t->n_covered; i++)
		print_coverage(&t->covered[i]);
	if (rc == 0)
		printf("%zu passed, %zu failed, in %zu file%s\n", t->n_passed, t->n_failed,
			t->n_files, t->n_files == 1 ? "" : "s");
	hw_policy_stage_close(&t->stage);
	for (size_t i = 0; i < t->n_covered; i++) {
		hw_coverage_destroy(&t->covered[i].lines);
		free(t->covered[i].shown);
	}
	free(t->covered);
	if (rc < 0 || t->broken)
		return 2;
	return t->n_failed > 0 ? 1 : 0;
}

static int test(struct tester *t, int n, char **paths)
{
	struct names names = {0};
	int code = 2, rc = 0;

	for (int i = 0; i < n && rc == 0; i++) {
		rc = find_named(&names, paths[i]);
		if (rc < 0)
			fprintf(stderr, "hookwire policy test: %s: %s\n", paths[i], strerror(-rc));
	}
	if (rc == 0 && names.n == 0)
		fputs("hookwire policy test: there is no file NAME" SUFFIX "\n", stderr);
	if (rc == 0 && names.n > 0) {
		qsort(names.p, names.n, sizeof(*names.p), compare_names);
		code = run_all(t, &names);
	}
	names_fini(&names);
	return hw_cli_end("policy test", code, 2);
}

int hw_cmd_policy_test(int argc, char **argv)
{
	static const struct option options[] = {
		{"coverage", no_argument, NULL, 'C'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct tester t = {0};
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c != 'C' && c != 'q') {
			fprintf(stderr, "try: %s --help\n", argv[0]);
			return 2;
		}
		t.coverage |= c == 'C';
		t.quiet |= c == 'q';
	}
	if (optind == argc) {
		fprintf(stderr, "%s: it needs a directory or a file; try: %s --help\n", argv[0],
			argv[0]);
		return 2;
	}
	return test(&t, argc - optind, argv + optind);
}
