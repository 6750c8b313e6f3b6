#include "app/cmd_validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "wire/event.h"

#define READ_BYTES 65536

/* Lines and their blanks are those of the reference validator: people compare the two. */
static void put_list(struct hw_buf *out, const struct hw_event_report *report, bool warnings)
{
	bool any = false;

	for (size_t i = 0; i < report->n_problems; i++) {
		if (report->problems[i].warning != warnings)
			continue;
		if (!any)
			hw_buf_puts(out, warnings ? "\n\nWarnings:" : "\n\nErrors:");
		any = true;
		hw_buf_puts(out, "\n - ");
		hw_buf_str(out, hw_event_report_text(report, i));
	}
}

static void put_parsed(struct hw_buf *out, const struct hw_event *ev)
{
	hw_buf_puts(out, "\n\nParsed:\n Topic: ");
	hw_buf_str(out, ev->topic);
	hw_buf_puts(out, "\n Event: ");
	hw_json_js_text(out, ev->event);
	hw_buf_puts(out, "\n Entity: ");
	hw_json_js_text(out, ev->entity_id);
}

/* Where what is printed comes from, when there is more than one text, and how it is wanted. */
struct source {
	const char *what; /* NULL: there is only one */
	size_t n;
	bool printed; /* something stands on standard output already */
	bool json;    /* for machines */
	bool strict;  /* warnings are as bad as errors */
};

static void put_json_list(
	struct hw_buf *out, const char *member, const struct hw_event_report *report, bool warnings)
{
	bool any = false;

	hw_buf_printf(out, ",\"%s\":[", member);
	for (size_t i = 0; i < report->n_problems; i++) {
		if (report->problems[i].warning != warnings)
			continue;
		if (any)
			hw_buf_putc(out, ',');
		any = true;
		hw_buf_json(out, hw_event_report_text(report, i));
	}
	hw_buf_putc(out, ']');
}

/* {"line":3,"valid":false,"errors":["…"],"warnings":[]}; @broken: it is no JSON, and this says why.
 */
static void put_json(struct hw_buf *out, const struct source *source, bool valid,
	const struct hw_event_report *report, const char *broken)
{
	hw_buf_putc(out, '{');
	if (source->what)
		hw_buf_printf(out, "\"%s\":%zu,", source->what, source->n);
	hw_buf_puts(out, valid ? "\"valid\":true" : "\"valid\":false");
	if (broken) {
		hw_buf_puts(out, ",\"errors\":[");
		hw_buf_json(out, hw_str_of(broken));
		hw_buf_puts(out, "],\"warnings\":[]");
	} else {
		put_json_list(out, "errors", report, false);
		put_json_list(out, "warnings", report, true);
	}
	hw_buf_puts(out, "}\n");
}

static void put_source(struct hw_buf *out, struct source *source)
{
	if (source->what)
		hw_buf_printf(
			out, "%s%s %zu:\n", source->printed ? "\n" : "", source->what, source->n);
	source->printed = true;
}

/* A text of which there is nothing to print but that it cannot be read. */
static void complain(const struct source *source, const char *before, const struct hw_err *err)
{
	fflush(stdout); /* keep the order where both go to one place */
	fputs(before, stderr);
	if (source->what)
		fprintf(stderr, "%s %zu, ", source->what, source->n);
	fprintf(stderr, "%s\n", err->text);
}

static void put_text(struct hw_buf *out, struct source *source, bool valid,
	const struct hw_event *ev, const struct hw_event_report *report)
{
	put_source(out, source);
	hw_buf_puts(out, valid ? "✓ Event is valid" : "✗ Event is invalid");
	put_list(out, report, false);
	put_list(out, report, true);
	if (valid)
		put_parsed(out, ev);
	hw_buf_putc(out, '\n');
}

/* One text. Returns the exit code. */
static int validate(struct hw_str text, struct source *source)
{
	char broken[sizeof("Invalid JSON: ") + sizeof(((struct hw_err *)0)->text)];
	struct hw_event_report report;
	struct hw_event ev;
	struct hw_err err;
	struct hw_buf out;
	bool valid;
	int rc;

	hw_event_report_init(&report);
	hw_buf_init(&out);
	rc = hw_event_parse(text, 0, &ev, &report, &err);
	valid = rc == 0 && !(source->strict && report.n_problems > 0);
	if (source->json && rc == -EINVAL) {
		snprintf(broken, sizeof(broken), "Invalid JSON: %s", err.text);
		put_json(&out, source, false, &report, broken);
		rc = HW_EVENT_INVALID;
	} else if (rc >= 0 && source->json) {
		put_json(&out, source, valid, &report, NULL);
	} else if (rc >= 0) {
		put_text(&out, source, valid, &ev, &report);
	}
	if (out.failed)
		rc = hw_err_set(&err, -ENOMEM, "out of memory");
	if (rc >= 0)
		fwrite(out.data, 1, out.len, stdout);
	else
		complain(source, rc == -EINVAL ? "✗ Invalid JSON: " : "hookwire validate: ", &err);
	hw_buf_fini(&out);
	hw_event_report_fini(&report);
	return valid && rc >= 0 ? 0 : 1;
}

/* White space as String.prototype.trim has it (ECMA-262 WhiteSpace and LineTerminator), the byte
 * order mark too. */
static const char *const blanks[] = {"\t", "\n", "\v", "\f", "\r", " ", "\u00a0", "\u1680",
	"\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
	"\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"};

/* How many bytes of white space stand at the beginning, or at the end, of @s: one character. */
static size_t blank_len(struct hw_str s, bool at_end)
{
	for (size_t i = 0; i < HW_COUNT(blanks); i++) {
		size_t n = strlen(blanks[i]);

		if (n <= s.len && memcmp(at_end ? s.p + s.len - n : s.p, blanks[i], n) == 0)
			return n;
	}
	return 0;
}

static struct hw_str trim(struct hw_str s)
{
	size_t n;

	while ((n = blank_len(s, false)) > 0) {
		s.p += n;
		s.len -= n;
	}
	while ((n = blank_len(s, true)) > 0)
		s.len -= n;
	return s;
}

/* Whether some line is an object by itself. If none is, a text that is no JSON is one broken
 * document and not many broken lines. */
static bool has_lines(struct hw_str text)
{
	struct hw_json value;

	while (text.p) {
		struct hw_str line = trim(hw_str_cut(&text, '\n'));

		if (hw_json_whole(line, 0, &value, NULL) == 0 && value.kind == HW_JSON_OBJECT)
			return true;
	}
	return false;
}

static int validate_lines(struct hw_str text, struct source *source)
{
	int code = 0;

	source->what = "line";
	while (text.p) {
		struct hw_str line = trim(hw_str_cut(&text, '\n'));

		source->n++;
		if (line.len > 0)
			code |= validate(line, source);
	}
	return code;
}

static int usage(void)
{
	char now[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(hw_clock_wall_ms(&hw_clock_system), now);
	printf("Usage: hookwire validate '{\"topic\":\"...\",\"event\":\"...\",\"data\":{...}}'\n"
	       "\n"
	       "Example valid event:\n"
	       "{\n"
	       "  \"topic\": \"gift-list:123\",\n"
	       "  \"event\": \"UPDATED\",\n"
	       "  \"data\": {\n"
	       "    \"entity_id\": \"gift-456\",\n"
	       "    \"payload\": {\n"
	       "      \"name\": \"Updated Gift\"\n"
	       "    },\n"
	       "    \"user_id\": \"user-789\",\n"
	       "    \"timestamp\": \"%s\"\n"
	       "  }\n"
	       "}\n",
		now);
	return 1;
}

static int read_all(FILE *in, struct hw_buf *out)
{
	size_t n;

	do {
		char *to = hw_buf_reserve(out, READ_BYTES);

		if (!to)
			return -ENOMEM;
		n = fread(to, 1, READ_BYTES, in);
		out->len += n;
	} while (n > 0);
	return ferror(in) ? -EIO : 0;
}

static int validate_input(struct source *source)
{
	struct hw_json value;
	struct hw_buf input;
	struct hw_str text;
	int rc, code = 1;

	hw_buf_init(&input);
	rc = read_all(stdin, &input);
	text = trim(hw_buf_view(&input));
	if (rc != 0)
		fprintf(stderr, "hookwire validate: cannot read standard input: %s\n",
			strerror(-rc));
	else if (text.len == 0)
		code = usage();
	else if (hw_json_whole(text, 0, &value, NULL) == 0 || !has_lines(text))
		code = validate(text, source);
	else
		code = validate_lines(
			hw_buf_view(&input), source); /* untrimmed, for the line numbers */
	hw_buf_fini(&input);
	return code;
}

static int help(void)
{
	puts("Usage: hookwire validate [--json] [--strict] [EVENT...]\n"
	     "\n"
	     "Says whether JSON texts are events that the broker accepts, and what is wrong or "
	     "unusual about\n"
	     "each. Without arguments it reads standard input: one JSON document is one event, "
	     "else every\n"
	     "line is one (NDJSON).\n"
	     "\n"
	     "  hookwire validate "
	     "'{\"topic\":\"gift-list:123\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"g1\"}}'"
	     "\n"
	     "  hookwire validate < event.json\n"
	     "  hookwire validate < events.ndjson\n"
	     "\n"
	     "  --json       one JSON object a line: valid, errors, warnings, and its line or "
	     "event "
	     "number\n"
	     "  --strict     warnings make an event invalid too\n"
	     "  -h, --help   show this\n"
	     "\n"
	     "Errors make an event invalid; warnings do not, but with --strict.\n"
	     "Exit code: 0 if every event is valid, else 1.");
	return 0;
}

static int validate_arguments(int n, char **arguments, struct source *source)
{
	int code = 0;

	source->what = n > 1 ? "event" : NULL;
	for (int i = 0; i < n; i++) {
		source->n++;
		code |= validate(hw_str_of(arguments[i]), source);
	}
	return code;
}

int hw_cmd_validate(int argc, char **argv)
{
	struct source source = {.what = NULL};
	int code, n = 0;

	/* options may stand anywhere before "--"; whatever else there is is a text */
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help();
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				argv[n++] = argv[i];
		} else if (strcmp(argv[i], "--json") == 0) {
			source.json = true;
		} else if (strcmp(argv[i], "--strict") == 0) {
			source.strict = true;
		} else {
			argv[n++] = argv[i];
		}
	}
	if (n == 0 || (n == 1 && argv[0][0] == 0))
		code = validate_input(&source);
	else
		code = validate_arguments(n, argv, &source);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "hookwire validate: cannot write: %s\n", strerror(errno));
		code = 1;
	}
	return code;
}
