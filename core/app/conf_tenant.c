#include <string.h>

#include "app/conf_schema.h"
#include "journal/journal.h"
#include "wire/topic.h"

/* "tenants" and "topics": objects whose keys are names that the operator chose. */

#define TENANT_MAX_BYTES 255

static const char *tenant_problem(struct hw_str id)
{
	if (id.len == 0)
		return "it is empty";
	if (id.len > TENANT_MAX_BYTES)
		return "it has more than 255 bytes";
	if (hw_str_eq(id, HW_STR("*")))
		return NULL;
	if (id.p[0] == '@')
		return "names that begin with \"@\" are the broker's own";
	for (size_t i = 0; i < id.len; i++) {
		if ((unsigned char)id.p[i] < ' ' || id.p[i] == 0x7f)
			return "it has a control character";
		if (id.p[i] == '*')
			return "\"*\" alone stands for those without an entry of their own";
	}
	return NULL;
}

static void read_tenant(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_tenant *tenant)
{
	const char *problem = tenant_problem(v->key);
	size_t n_errors = r->report->n_errors;
	const struct hw_conf_value *hooks;

	hw_conf_defaults(&hw_conf_keys_tenant, tenant);
	tenant->id = v->key.p;
	tenant->unit = r->part->name;
	tenant->part = r->part;
	tenant->pos = hw_conf_pos_of_key(r, v);
	tenant->text = hw_conf_text_of(r, v);
	if (problem)
		hw_conf_error_key(r, v,
			"this cannot name a tenant: %s; write the tenant_id that tokens carry",
			problem);
	if (!hw_conf_expect(r, v, HW_CONF_OBJECT, "an object: {\"hooks\": […]}"))
		return;
	hw_conf_read_members(r, &hw_conf_keys_tenant, v, tenant);
	hooks = hw_conf_value_get(v, HW_STR("hooks"));
	if (r->report->n_errors > n_errors)
		return;
	if (!hooks || hooks->n_children == 0)
		hw_conf_warn(r, v,
			"this tenant has no entry in \"hooks\": whatever it asks for is denied; "
			"add one, like "
			"{\"lua\": \"policies/family.lua\"}");
}

HW_CONF_READ(tenants)
{
	struct hw_conf_part *part = r->part;

	(void)target; /* the same for the main file and an included one */
	if (!hw_conf_expect(r, v, HW_CONF_OBJECT, "an object: {\"acme\": {\"hooks\": […]}}"))
		return;
	part->tenants = hw_conf_arena_array(&part->arena, v->n_children, sizeof(*part->tenants));
	if (!part->tenants)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next)
		read_tenant(r, item, &part->tenants[part->n_tenants++]);
}

HW_CONF_READ(history)
{
	struct hw_conf_topic_class *class = target;
	char shown[HW_CONF_SHOW_MAX];

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "\"none\""))
		return;
	if (hw_str_eq(v->text, HW_STR("none")))
		class->history_none = true;
	else
		hw_conf_error(r, v,
			"\"history\" cannot be %s; write \"none\", or leave it out to keep history",
			hw_conf_show(v, shown));
}

static void read_topic(struct hw_conf_reader *r, const struct hw_conf_value *v,
	const struct hw_conf_global *g, struct hw_conf_topic_class *class)
{
	const struct hw_conf_value *retention;

	class->pattern = v->key.p;
	class->pos = hw_conf_pos_of_key(r, v);
	class->retention = g->journal.retention;
	if (!hw_topic_pattern_valid(v->key))
		hw_conf_error_key(r, v,
			"this matches no topic: a topic is a resource of small letters, digits and "
			"-, a "
			"colon, and an id; write one, or \"cursor:*\" for all of a resource");
	if (!hw_conf_expect(r, v, HW_CONF_OBJECT, "an object: {\"history\": \"none\"}"))
		return;
	hw_conf_read_members(r, &hw_conf_keys_topic, v, class);
	retention = hw_conf_value_get(v, HW_STR("retention"));
	class->kept_apart = retention || hw_conf_value_get(v, HW_STR("history"));
	if (class->history_none && retention)
		hw_conf_error_key(r, retention,
			"a topic without history has nothing to retain; remove \"retention\" or "
			"\"history\"");
	if (class->history_none && class->conflate != HW_CONFLATE_NONE)
		hw_conf_error_key(r, hw_conf_value_get(v, HW_STR("conflate")),
			"a client that is behind is sent nothing of a topic without history, so "
			"that "
			"there is nothing to conflate; remove \"conflate\" or \"history\"");
	if (v->n_children == 0)
		hw_conf_error_key(r, v,
			"this says nothing about the topic; write {\"history\": \"none\"}, "
			"{\"retention\": {…}} or {\"conflate\": \"latest\"}");
}

HW_CONF_READ(topics)
{
	struct hw_conf_global *g = target;
	struct hw_conf_topic_class *list;
	size_t n = 0;

	if (!hw_conf_expect(
		    r, v, HW_CONF_OBJECT, "an object: {\"cursor:*\": {\"history\": \"none\"}}"))
		return;
	if (v->n_children >= HW_JOURNAL_MAX_CLASSES) {
		hw_conf_error(r, v,
			"\"topics\" has %zu patterns, and each is a journal of its own in every "
			"tenant; keep "
			"at most %d",
			v->n_children, HW_JOURNAL_MAX_CLASSES - 1);
		return;
	}
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next)
		read_topic(r, item, g, &list[n++]);
	g->topics = list;
	g->n_topics = n;
}
