#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/cli_token.h"
#include "app/cmd_policy.h"
#include "app/policy_case.h"
#include "app/policy_replay.h"

#define KINDS_MAX 64 /* ways to change, and reasons; what is beyond is counted together */
#define EXAMPLES 10  /* unless --examples says otherwise */
#define EXAMPLES_MAX 10000

static const char usage[] =
	"usage: hookwire policy replay -c FILE [--http FILE] [--examples N] [--json] LOG\n"
	"\n"
	"Asks the hooks of a configuration what a decision log was asked, and says which of those\n"
	"decisions would be others today. LOG is what \"decisions\" of a broker's configuration\n"
	"wrote; - is standard input. Each decision is asked of hooks that have just begun, with "
	"the\n"
	"clock at its time; nothing comes of it but the answer. What cannot be asked again is\n"
	"counted and named, and counts as neither.\n"
	"\n"
	"  -c, --config FILE  the configuration whose hooks are asked\n"
	"  --http FILE        what ctx.http gets: a JSON array of answers, as \"http\" of a case "
	"of\n"
	"                     policy test. Nothing is asked of the network\n"
	"  --examples N       show so many of the decisions that change (default: 10)\n"
	"  --json             one JSON object, for machines\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 if none would change, 1 if one would, 2 if it could not be found out.\n";

struct options {
	const char *config, *log, *http;
	size_t n_examples;
	bool json;
};

/* Decisions that changed alike, or are not asked for a like reason. */
struct kind {
	char before[HW_REPLAY_ANSWER_MAX], after[HW_REPLAY_ANSWER_MAX];
	size_t n;
};

struct left_out {
	size_t n, first_line;
	char example[HW_REPLAY_WHY_MAX];
};

struct report {
	const struct options *options;
	const char *name;
	struct hw_replay replay;
	json_t *stubs;
	size_t n_lines, n_replayed, n_changed;
	bool torn;
	struct kind kinds[KINDS_MAX + 1]; /* the last: all others */
	size_t n_kinds;
	struct left_out left_out[HW_REPLAY_N_OUTCOMES];
	json_t *examples;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "hookwire policy replay: %s: %s\n", what, why);
	return 2;
}

/* ---- what is counted ---- */

static void count_kind(struct report *r, const struct hw_replayed *d)
{
	struct kind *kind = r->kinds;
	size_t i = 0;

	while (i < r->n_kinds &&
		(strcmp(kind[i].before, d->before) != 0 || strcmp(kind[i].after, d->after) != 0))
		i++;
	if (i == r->n_kinds && r->n_kinds < KINDS_MAX) {
		memcpy(kind[i].before, d->before, sizeof(kind[i].before));
		memcpy(kind[i].after, d->after, sizeof(kind[i].after));
		r->n_kinds++;
	}
	kind[i].n++; /* of KINDS_MAX: of all that found no place */
}

/* A text of the line as JSON, or absent. */
static void set_raw(json_t *object, const char *name, struct hw_str raw)
{
	if (raw.p)
		json_object_set_new(
			object, name, json_loadb(raw.p, raw.len, JSON_DECODE_ANY, NULL));
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static void add_example(struct report *r, const struct hw_replayed *d)
{
	json_t *one = json_object();

	json_object_set_new(one, "line", json_integer((json_int_t)r->n_lines));
	set_raw(one, "time", d->time);
	set_raw(one, "stage", d->stage);
	set_raw(one, "op", d->op);
	set_raw(one, "tenant", d->tenant);
	set_raw(one, "user_id", d->user_id);
	set_raw(one, "topic", d->topic);
	json_object_set_new(one, "before", json_string(d->before));
	json_object_set_new(one, "by_before", text_or_null(d->by_before));
	json_object_set_new(one, "after", json_string(d->after));
	json_object_set_new(one, "by_after", text_or_null(d->by_after));
	json_array_append_new(r->examples, one);
}

static void count(struct report *r, const struct hw_replayed *d)
{
	struct left_out *left_out = &r->left_out[d->outcome];

	if (d->outcome <= HW_REPLAY_CHANGED)
		r->n_replayed++;
	if (d->outcome == HW_REPLAY_CHANGED) {
		r->n_changed++;
		count_kind(r, d);
		if (json_array_size(r->examples) < r->options->n_examples)
			add_example(r, d);
	}
	if (left_out->n++ == 0) {
		left_out->first_line = r->n_lines;
		memcpy(left_out->example, d->why, sizeof(left_out->example));
	}
}

/* ---- reading ---- */

static bool is_blank(struct hw_str line)
{
	while (line.len > 0 && strchr(" \t\r", line.p[line.len - 1]))
		line.len--;
	return line.len == 0;
}

/* The last line of a log that is being written, or whose broker was killed, may be half a line. */
static int replay_all(struct report *r, FILE *log)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int code = 0;

	while (code == 0 && (n = getline(&line, &size, log)) >= 0) {
		bool whole = n > 0 && line[n - 1] == '\n';
		struct hw_str text = {line, (size_t)n - whole};
		struct hw_replayed d;
		int rc;

		if (is_blank(text))
			continue;
		r->n_lines++;
		rc = hw_replay_line(&r->replay, text, &d);
		if (rc < 0) {
			code = complain(r->name, strerror(-rc));
		} else if (!whole && d.outcome == HW_REPLAY_UNREADABLE) {
			r->torn = true;
			r->n_lines--;
		} else {
			count(r, &d);
		}
	}
	if (code == 0 && ferror(log))
		code = complain(r->name, strerror(errno));
	free(line);
	return code;
}

/* ---- telling ---- */

static const char *const names[HW_REPLAY_N_OUTCOMES] = {
	[HW_REPLAY_UNREADABLE] = "unreadable",
	[HW_REPLAY_AUTHENTICATE] = "authenticate",
	[HW_REPLAY_REDACTED] = "redacted",
	[HW_REPLAY_UNDECLARED] = "undeclared",
	[HW_REPLAY_HTTP] = "http",
	[HW_REPLAY_WAITS] = "waits",
};

static const char *const reasons[HW_REPLAY_N_OUTCOMES] = {
	[HW_REPLAY_UNREADABLE] = "no decision is on the line",
	[HW_REPLAY_AUTHENTICATE] = "authenticate: the log holds no token",
	[HW_REPLAY_REDACTED] = "a hook may have looked at what the log has redacted",
	[HW_REPLAY_UNDECLARED] =
		"a filter or redact reads of recipients what the logged ones did not",
	[HW_REPLAY_HTTP] = "a hook asks over HTTP, and nobody answers",
	[HW_REPLAY_WAITS] = "a hook does not come to an end",
};

static size_t n_left_out(const struct report *r)
{
	size_t n = 0;

	for (int i = HW_REPLAY_CHANGED + 1; i < HW_REPLAY_N_OUTCOMES; i++)
		n += r->left_out[i].n;
	return n;
}

static json_t *changes_of(const struct report *r)
{
	json_t *changes = json_array();

	for (size_t i = 0; i < r->n_kinds; i++)
		json_array_append_new(
			changes, json_pack("{s:s,s:s,s:I}", "before", r->kinds[i].before, "after",
					 r->kinds[i].after, "count", (json_int_t)r->kinds[i].n));
	if (r->kinds[KINDS_MAX].n > 0)
		json_array_append_new(changes, json_pack("{s:n,s:n,s:I}", "before", "after",
						       "count", (json_int_t)r->kinds[KINDS_MAX].n));
	return changes;
}

static void tell_json(const struct report *r)
{
	json_t *left_out = json_object();
	json_t *all = json_pack("{s:I,s:I,s:I,s:o,s:O,s:I,s:o,s:b,s:s}", "decisions",
		(json_int_t)r->n_lines, "replayed", (json_int_t)r->n_replayed, "changed",
		(json_int_t)r->n_changed, "changes", changes_of(r), "examples", r->examples,
		"not_replayed", (json_int_t)n_left_out(r), "not_replayed_by", left_out, "torn",
		(int)r->torn, "http", r->stubs ? "answers of --http" : "unavailable");

	for (int i = HW_REPLAY_CHANGED + 1; i < HW_REPLAY_N_OUTCOMES; i++) {
		const struct left_out *l = &r->left_out[i];

		if (l->n > 0)
			json_object_set_new(left_out, names[i],
				json_pack("{s:I,s:I,s:s}", "count", (json_int_t)l->n, "first_line",
					(json_int_t)l->first_line, "first", l->example));
	}
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

/* As JSON writes it, which is safe on a terminal: a log is what clients said. */
static void put_value(struct hw_buf *out, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text)
		return;
	hw_buf_putc(out, ' ');
	hw_buf_json(out, (struct hw_str){text, json_string_length(value)});
	/* without quotes, where nothing needs them */
	if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			 ".,:;*_@+-/") == json_string_length(value) &&
		text[0]) {
		out->len -= json_string_length(value) + 2;
		hw_buf_puts(out, text);
	}
}

static void put_answer(struct hw_buf *out, const json_t *answer, const json_t *by)
{
	hw_buf_puts(out, json_string_value(answer));
	if (json_is_string(by))
		hw_buf_printf(out, " (%s)", json_string_value(by));
}

static void tell_example(const json_t *one)
{
	static const char *const shown[] = {"time", "tenant", "user_id", "stage", "op", "topic"};
	struct hw_buf out;

	hw_buf_init(&out);
	hw_buf_printf(
		&out, "  line %lld:", (long long)json_integer_value(json_object_get(one, "line")));
	for (size_t i = 0; i < HW_COUNT(shown); i++)
		put_value(&out, json_object_get(one, shown[i]));
	hw_buf_puts(&out, ": ");
	put_answer(&out, json_object_get(one, "before"), json_object_get(one, "by_before"));
	hw_buf_puts(&out, " -> ");
	put_answer(&out, json_object_get(one, "after"), json_object_get(one, "by_after"));
	if (!out.failed)
		printf("%.*s\n", (int)out.len, out.data);
	hw_buf_fini(&out);
}

static void tell_left_out(const struct report *r)
{
	struct hw_buf example;

	printf("not asked again: %zu\n", n_left_out(r));
	for (int i = HW_REPLAY_CHANGED + 1; i < HW_REPLAY_N_OUTCOMES; i++) {
		const struct left_out *l = &r->left_out[i];

		if (l->n == 0)
			continue;
		printf("%6zu  %s", l->n, reasons[i]);
		if (i != HW_REPLAY_AUTHENTICATE) {
			hw_buf_init(&example);
			hw_buf_json(&example, hw_str_of(l->example));
			printf("; first in line %zu: %.*s", l->first_line, (int)example.len,
				example.data ? example.data : "");
			hw_buf_fini(&example);
		}
		putchar('\n');
	}
}

static void tell(const struct report *r)
{
	const json_t *one;
	size_t i;

	printf("%zu decisions, %zu asked again: %zu would change\n", r->n_lines, r->n_replayed,
		r->n_changed);
	for (i = 0; i < r->n_kinds; i++)
		printf("%6zu  %s -> %s\n", r->kinds[i].n, r->kinds[i].before, r->kinds[i].after);
	if (r->kinds[KINDS_MAX].n > 0)
		printf("%6zu  others\n", r->kinds[KINDS_MAX].n);
	if (json_array_size(r->examples) > 0)
		puts(json_array_size(r->examples) < r->n_changed ? "the first of them:"
								 : "these are:");
	json_array_foreach(r->examples, i, one) tell_example(one);
	if (n_left_out(r) > 0)
		tell_left_out(r);
	if (r->torn)
		puts("the last line is half a line and is left out");
	printf("ctx.http: nothing was asked of the network; %s\n",
		r->stubs ? "answers are those of --http" : "every request counts as unanswered");
}

/* ---- all of it ---- */

static int load_stubs(struct report *r)
{
	struct hw_buf text, scratch;
	const char *wrong = NULL;
	int rc, code = 0;

	hw_buf_init(&text);
	hw_buf_init(&scratch);
	rc = hw_policy_read_file(r->options->http, &text);
	if (rc == 0) {
		r->stubs = json_loadb(text.data ? text.data : "", text.len, 0, NULL);
		wrong = json_is_array(r->stubs) ? hw_policy_stub_check(r->stubs, &scratch)
						: "a JSON array of answers is wanted";
	}
	if (rc < 0 || wrong)
		code = complain(r->options->http, wrong ? wrong : strerror(-rc));
	r->replay.stubs = r->stubs;
	hw_buf_fini(&text);
	hw_buf_fini(&scratch);
	return code;
}

static int read_log(struct report *r)
{
	FILE *log = strcmp(r->name, "-") == 0 ? stdin : fopen(r->name, "re");
	int code;

	if (!log)
		return complain(r->name, strerror(errno));
	code = replay_all(r, log);
	if (log != stdin)
		fclose(log);
	if (code == 0 && r->n_lines > 0 && r->left_out[HW_REPLAY_UNREADABLE].n == r->n_lines)
		code = complain(r->name, "it is no decision log");
	return code;
}

static int replay(const struct options *o)
{
	struct report r = {.options = o, .name = o->log, .examples = json_array()};
	int rc = hw_replay_open(&r.replay, o->config), code = 0;

	if (rc < 0)
		code = complain(o->config, strerror(-rc));
	if (code == 0 && o->http)
		code = load_stubs(&r);
	if (code == 0)
		code = read_log(&r);
	if (code == 0) {
		if (o->json)
			tell_json(&r);
		else
			tell(&r);
		code = r.n_changed > 0;
	}
	hw_replay_close(&r.replay);
	json_decref(r.stubs);
	json_decref(r.examples);
	return hw_cli_end("policy replay", code, 2);
}

static bool take_number(const char *text, size_t *out)
{
	uint64_t n;

	if (hw_str_to_u64(hw_str_of(text), &n) != 0 || n > EXAMPLES_MAX)
		return false;
	*out = (size_t)n;
	return true;
}

int hw_cmd_policy_replay(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"http", required_argument, NULL, 'H'},
		{"examples", required_argument, NULL, 'N'},
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.n_examples = EXAMPLES};
	const char *wrong = NULL;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'c':
			o.config = optarg;
			break;
		case 'H':
			o.http = optarg;
			break;
		case 'N':
			if (!take_number(optarg, &o.n_examples))
				wrong = "--examples is a number up to 10000";
			break;
		case 'J':
			o.json = true;
			break;
		default:
			fprintf(stderr, "try: %s --help\n", argv[0]);
			return 2;
		}
	}
	o.log = optind < argc ? argv[optind++] : NULL;
	if (!wrong && !o.config)
		wrong = "it needs -c FILE";
	if (!wrong && !o.log)
		wrong = "it needs a LOG, or - for standard input";
	if (!wrong && optind < argc)
		wrong = "there is a word too many";
	if (wrong) {
		fprintf(stderr, "%s: %s; try: %s --help\n", argv[0], wrong, argv[0]);
		return 2;
	}
	return replay(&o);
}
