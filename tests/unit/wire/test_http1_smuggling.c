#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http1_transcript.h"

#define CORPUS HW_SOURCE_DIR "/tests/lib/smuggling/"
#define MAX_CASES 400

struct attempt {
	char name[80];
	bool accept;
	unsigned status;
	struct hw_buf reads; /* as the transcript writes them */
	struct hw_buf raw;
};

struct corpus {
	size_t n;
	struct attempt attempts[MAX_CASES];
};

static void read_file(struct hw_buf *out, const char *name)
{
	char path[512], part[4096];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), CORPUS "%s", name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s is missing", path);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		hw_buf_add(out, part, n);
	assert_false(ferror(file));
	fclose(file);
}

/* Appends the JSON string that begins at @p (behind its quote) and returns what is behind it. Of
 * the escapes only those that the corpus uses. */
static const char *take_string(struct hw_buf *out, const char *p)
{
	for (; *p && *p != '"'; p++) {
		if (*p == '\\') {
			p++;
			hw_buf_putc(out, *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p);
			assert_non_null(strchr("nr\"\\", *p));
		} else {
			hw_buf_putc(out, *p);
		}
	}
	assert_int_equal(*p, '"');
	return p + 1;
}

static const char *member(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	if (!at)
		fail_msg("no %s in: %s", name, line);
	return at + strlen(name);
}

static void parse_line(struct attempt *a, const char *line)
{
	struct hw_buf text;
	const char *p;

	hw_buf_init(&text);
	take_string(&text, member(line, "\"name\": \""));
	assert_true(text.len < sizeof(a->name));
	memcpy(a->name, text.data, text.len);
	hw_buf_clear(&text);
	take_string(&text, member(line, "\"expect\": \""));
	a->accept = hw_str_eq(hw_buf_view(&text), HW_STR("accept"));
	assert_true(a->accept || hw_str_eq(hw_buf_view(&text), HW_STR("reject")));
	if (!a->accept)
		a->status = (unsigned)strtoul(member(line, "\"status\": "), NULL, 10);
	for (p = member(line, "\"reads\": ["); *p != ']'; p++) {
		if (*p != '"')
			continue;
		p = take_string(&a->reads, p + 1);
		hw_buf_putc(&a->reads, '\n');
		if (*p == ']')
			break;
	}
	hw_buf_clear(&text);
	take_string(&text, member(line, "\"file\": \""));
	hw_buf_putc(&text, '\0');
	read_file(&a->raw, text.data);
	hw_buf_fini(&text);
}

static int load(void **state)
{
	struct corpus *corpus = calloc(1, sizeof(*corpus));
	struct hw_buf text;
	char *line, *rest;

	assert_non_null(corpus);
	hw_buf_init(&text);
	read_file(&text, "cases.json");
	hw_buf_putc(&text, '\0');
	for (line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strchr(line, '{'))
			continue;
		assert_true(corpus->n < MAX_CASES);
		parse_line(&corpus->attempts[corpus->n++], line);
	}
	hw_buf_fini(&text);
	*state = corpus;
	return 0;
}

static int unload(void **state)
{
	struct corpus *corpus = *state;

	for (size_t i = 0; i < corpus->n; i++) {
		hw_buf_fini(&corpus->attempts[i].reads);
		hw_buf_fini(&corpus->attempts[i].raw);
	}
	free(corpus);
	return 0;
}

static void run(struct http1_transcript *t, const struct attempt *a, const size_t *cuts, size_t n)
{
	t->limits = (struct hw_http1_limits){HW_HTTP1_HEAD_BYTES, HW_HTTP1_MAX_HEADERS, 1 << 20};
	http1_transcript_run(t, a->raw.data, a->raw.len, cuts, n);
}

static void each_attempt_is_refused_or_read_one_way(void **state)
{
	struct corpus *corpus = *state;
	size_t n_bad = 0;

	for (size_t i = 0; i < corpus->n; i++) {
		const struct attempt *a = &corpus->attempts[i];
		struct http1_transcript t;

		run(&t, a, NULL, 0);
		if (t.status != a->status ||
			!hw_str_eq(hw_buf_view(&t.reads), hw_buf_view(&a->reads))) {
			print_error("%s: wanted %u after [%.*s], got %u after [%.*s]\n%.*s\n",
				a->name, a->status, HW_STR_ARG(hw_buf_view(&a->reads)), t.status,
				HW_STR_ARG(hw_buf_view(&t.reads)),
				HW_STR_ARG(hw_buf_view(&t.text)));
			n_bad++;
		}
		if (t.reads.len && memmem(t.reads.data, t.reads.len, " /smuggled", 10) &&
			!strstr(a->name, "body")) {
			print_error("%s: the smuggled request was read\n", a->name);
			n_bad++;
		}
		/* a case that waits for more bytes would prove nothing */
		if (a->accept && hw_http1_phase(&t.reader) != HW_HTTP1_IDLE &&
			hw_http1_phase(&t.reader) != HW_HTTP1_DONE) {
			print_error("%s: ends inside a request\n", a->name);
			n_bad++;
		}
		http1_transcript_fini(&t);
	}
	assert_int_equal(n_bad, 0);
}

static void no_cut_changes_what_is_read(void **state)
{
	struct corpus *corpus = *state;

	for (size_t i = 0; i < corpus->n; i++) {
		const struct attempt *a = &corpus->attempts[i];
		struct http1_transcript whole, split;

		run(&whole, a, NULL, 0);
		/* the few long ones hold runs of one byte: there every 97th cut will do */
		for (size_t cut = 0; cut <= a->raw.len; cut += a->raw.len > 1500 ? 97 : 1) {
			run(&split, a, &cut, 1);
			if (!http1_transcript_same(&whole, &split))
				fail_msg("%s cut at %zu: [%.*s] and whole [%.*s]", a->name, cut,
					HW_STR_ARG(hw_buf_view(&split.text)),
					HW_STR_ARG(hw_buf_view(&whole.text)));
			http1_transcript_fini(&split);
		}
		http1_transcript_fini(&whole);
	}
}

static void byte_by_byte_changes_nothing(void **state)
{
	struct corpus *corpus = *state;

	for (size_t i = 0; i < corpus->n; i++) {
		const struct attempt *a = &corpus->attempts[i];
		struct http1_transcript whole, split;
		size_t *cuts = malloc(a->raw.len * sizeof(*cuts));

		assert_non_null(cuts);
		for (size_t k = 0; k < a->raw.len; k++)
			cuts[k] = k;
		run(&whole, a, NULL, 0);
		run(&split, a, cuts, a->raw.len);
		if (!http1_transcript_same(&whole, &split))
			fail_msg("%s: [%.*s] and whole [%.*s]", a->name,
				HW_STR_ARG(hw_buf_view(&split.text)),
				HW_STR_ARG(hw_buf_view(&whole.text)));
		http1_transcript_fini(&whole);
		http1_transcript_fini(&split);
		free(cuts);
	}
}

static void the_corpus_is_complete(void **state)
{
	struct corpus *corpus = *state;
	size_t n_files = 0, n_refused = 0;
	struct dirent *entry;
	DIR *dir = opendir(CORPUS);

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n_files += strstr(entry->d_name, ".raw") != NULL;
	closedir(dir);
	for (size_t i = 0; i < corpus->n; i++)
		n_refused += !corpus->attempts[i].accept;
	assert_int_equal(corpus->n, n_files); /* no file without a case */
	assert_true(n_refused >= 80);
	assert_true(corpus->n - n_refused >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_corpus_is_complete),
		cmocka_unit_test(each_attempt_is_refused_or_read_one_way),
		cmocka_unit_test(no_cut_changes_what_is_read),
		cmocka_unit_test(byte_by_byte_changes_nothing),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
