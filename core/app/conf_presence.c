#include "app/conf_schema.h"
#include "wire/topic.h"

/* "presence": of which topics it is kept, and which claims are shown. */

enum { LIST_MAX = 64 }; /* all of them are looked through when somebody comes */

/* Strings of which none has a problem; @problem says why, or NULL. */
static void read_list(struct hw_conf_reader *r, const struct hw_conf_value *v, const char *wanted,
	const char *(*problem)(struct hw_str text), const char *const **out, size_t *n_out)
{
	const char **list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, wanted))
		return;
	if (v->n_children > LIST_MAX) {
		hw_conf_error(r, v,
			"more than %d entries, and all are looked through when somebody comes; "
			"write %s",
			LIST_MAX, wanted);
		return;
	}
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		char shown[HW_CONF_SHOW_MAX];
		const char *why;

		if (!hw_conf_expect(r, item, HW_CONF_STRING, wanted))
			continue;
		why = problem(item->text);
		if (why)
			hw_conf_error(r, item, "%s %s", hw_conf_show(item, shown), why);
		else
			list[n++] = item->text.p;
	}
	*out = list;
	*n_out = n;
}

static const char *topic_problem(struct hw_str text)
{
	return hw_topic_pattern_valid(text) ? NULL
					    : "is neither a topic nor a pattern; write "
					      "\"room:123\", or \"room:*\" for every room";
}

static const char *claim_problem(struct hw_str text)
{
	return text.len ? NULL : "names no claim; write its name, like \"name\"";
}

HW_CONF_READ(presence_topics)
{
	struct hw_conf_global *g = target;

	read_list(r, v, "an array of topics and patterns: [\"room:*\"]", topic_problem,
		&g->presence.topics, &g->presence.n_topics);
}

HW_CONF_READ(presence_claims)
{
	struct hw_conf_global *g = target;

	read_list(r, v, "an array of names of claims: [\"name\", \"avatar\"]", claim_problem,
		&g->presence.claims, &g->presence.n_claims);
}
