#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/conf_schema.h"
#include "hook/decisions.h"
#include "hook/redact.h"

/* "decisions": which decisions are written, and where. */

HW_CONF_READ(decisions)
{
	struct hw_conf_global *g = target;

	g->decisions.enabled = true;
	if (!hw_conf_value_get(v, HW_STR("path")))
		hw_conf_error(r, v,
			"\"decisions\" does not say where to; add \"path\": "
			"\"/var/log/hookwire/decisions.ndjson\", or write null for no log");
}

/* The file is made by the broker, its directory is not. */
static void warn_without_directory(
	struct hw_conf_reader *r, const struct hw_conf_value *v, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	struct stat st;
	char *directory;

	if (!slash || slash == path || !r->files)
		return;
	directory = hw_str_dup((struct hw_str){path, (size_t)(slash - path)});
	if (directory && stat(directory, &st) < 0)
		hw_conf_warn(r, v,
			"there is no such directory yet, and decisions are dropped until there "
			"is; make it");
	free(directory);
}

HW_CONF_READ(decisions_path)
{
	struct hw_conf_global *g = target;

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "a path in quotes"))
		return;
	if (v->text.len == 0) {
		hw_conf_error(r, v, "\"path\" is empty; write a path");
		return;
	}
	g->decisions.path = hw_conf_path_of(r, v);
	warn_without_directory(r, v, g->decisions.path);
}

HW_CONF_READ(decisions_sample)
{
	static const char wanted[] = "a share from 0 to 1, like 0.01; 1 is all of them";
	struct hw_conf_global *g = target;
	char shown[HW_CONF_SHOW_MAX];
	double share;

	if (!hw_conf_expect(r, v, HW_CONF_NUMBER, wanted))
		return;
	share = strtod(v->text.p, NULL);
	if (share >= 0 && share <= 1)
		g->decisions.sample = share;
	else
		hw_conf_error(r, v, "\"sample\" is %s, which is out of range; write %s",
			hw_conf_show(v, shown), wanted);
}

struct word {
	const char *name;
	unsigned bit;
};

/* Words of an array as bits. */
static bool read_words(struct hw_conf_reader *r, const struct hw_conf_value *v,
	const struct word *words, const char *wanted, unsigned *out)
{
	unsigned bits = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, wanted))
		return false;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		const struct word *word = words;
		char shown[HW_CONF_SHOW_MAX];

		if (!hw_conf_expect(r, item, HW_CONF_STRING, wanted))
			continue;
		while (word->name && !hw_str_eq(item->text, hw_str_of(word->name)))
			word++;
		if (word->name)
			bits |= word->bit;
		else
			hw_conf_error(r, item, "%s is none of them; write %s",
				hw_conf_show(item, shown), wanted);
	}
	*out = bits;
	return true;
}

HW_CONF_READ(decisions_stages)
{
	static const struct word words[] = {{"authenticate", 1u << HW_STAGE_AUTHENTICATE},
		{"authorize", 1u << HW_STAGE_AUTHORIZE}, {"transform", 1u << HW_STAGE_TRANSFORM},
		{"filter", 1u << HW_STAGE_FILTER}, {NULL, 0}};
	static const char wanted[] = "an array of \"authenticate\", \"authorize\", \"transform\" "
				     "and \"filter\" (which is with redact)";
	struct hw_conf_global *g = target;

	if (read_words(r, v, words, wanted, &g->decisions.stages) && v->n_children == 0)
		hw_conf_error(r, v,
			"of no stage is nothing written; write %s, or null for "
			"\"decisions\"",
			wanted);
}

HW_CONF_READ(decisions_always)
{
	static const struct word words[] = {
		{"deny", HW_DECISIONS_DENY}, {"error", HW_DECISIONS_ERROR}, {NULL, 0}};
	struct hw_conf_global *g = target;

	(void)read_words(r, v, words, "an array of \"deny\" and \"error\"", &g->decisions.always);
}

HW_CONF_READ(decisions_redact)
{
	static const char wanted[] =
		"an array of paths: [\"claims.email\", \"event.data.payload.*.price\"]";
	struct hw_conf_global *g = target;
	const char **list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, wanted))
		return;
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	if (v->n_children > HW_REDACT_RULES_MAX)
		hw_conf_error(r, v,
			"more than %d paths; a shorter one takes out all that is "
			"inside of it",
			HW_REDACT_RULES_MAX);
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		char shown[HW_CONF_SHOW_MAX];
		struct hw_err err;

		if (!hw_conf_expect(r, item, HW_CONF_STRING, wanted))
			continue;
		if (hw_decisions_check(item->text, &err) < 0)
			hw_conf_error(r, item, "%s names nothing of a decision: %s",
				hw_conf_show(item, shown), err.text);
		else
			list[n++] = item->text.p;
	}
	g->decisions.redact = list;
	g->decisions.n_redact = n;
}

void hw_conf_decisions_rules(
	struct hw_conf_reader *r, const struct hw_conf_value *root, struct hw_conf_global *g)
{
	const struct hw_conf_value *v = hw_conf_value_get(root, HW_STR("decisions")), *line;

	if (!v || !g->decisions.enabled || g->decisions.line_bytes <= g->decisions.buffer_bytes)
		return;
	line = hw_conf_value_get(v, HW_STR("line_bytes"));
	hw_conf_error(r, line ? line : hw_conf_value_get(v, HW_STR("buffer_bytes")),
		"a line of \"line_bytes\" (%llu) finds no room in \"buffer_bytes\" (%llu); make "
		"the buffer larger",
		(unsigned long long)g->decisions.line_bytes,
		(unsigned long long)g->decisions.buffer_bytes);
}
