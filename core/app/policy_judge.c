#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/policy_play.h"

#define NAME_BYTES 64

static char *text_of(const json_t *value)
{
	return value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS)
		     : strdup("nothing");
}

static void expect_value(
	struct hw_play *p, const char *what, const json_t *wanted, const json_t *got)
{
	char *w, *g;

	if (wanted == got ||
		(got && json_equal((json_t *)(uintptr_t)wanted, (json_t *)(uintptr_t)got)))
		return;
	/* an empty table of Lua's is either */
	if (json_is_object(wanted) && json_object_size(wanted) == 0 && json_is_array(got) &&
		json_array_size(got) == 0)
		return;
	w = text_of(wanted);
	g = text_of(got);
	hw_play_complain(p, "%s: expected %s", what, w ? w : "?");
	hw_play_complain(p, "%*s  actual   %s", (int)strlen(what) - 1, "", g ? g : "?");
	free(w);
	free(g);
}

static void expect_text(struct hw_play *p, const char *what, const char *wanted, const char *got)
{
	json_t *w = json_string(wanted), *g = json_string_nocheck(got ? got : "");

	expect_value(p, what, w, g);
	json_decref(w);
	json_decref(g);
}

bool hw_play_expects(struct hw_play *p, const char *what)
{
	return strcmp(hw_play_text(p, "expect", ""), what) == 0;
}

void hw_play_expect_contained(struct hw_play *p, const char *key, const char *got)
{
	const char *wanted = hw_play_text(p, key, NULL);

	if (wanted && !strstr(got, wanted)) {
		hw_play_complain(p, "%s: expected to contain \"%s\"", key, wanted);
		hw_play_complain(p, "%*s  actual   %s", (int)strlen(key) - 1, "", got);
	}
}

static bool changes_event(const struct hw_play *p)
{
	return p->question->stage == HW_STAGE_TRANSFORM || p->question->stage == HW_STAGE_FILTER;
}

static const char *verdict_name(const struct hw_play *p)
{
	if (!p->heard)
		return "defer";
	/* it allowed what it may not: another tenant's session, say */
	if (p->said.verdict == HW_ALLOW && p->ask.verdict == HW_ERROR)
		return "error";
	switch (p->said.verdict) {
	case HW_DEFER:
		return "defer";
	case HW_ALLOW:
		return "allow";
	case HW_DENY:
		return changes_event(p) ? "drop" : "deny";
	default:
		return p->said.said ? "unavailable" : "error";
	}
}

static void judge_verdict(struct hw_play *p)
{
	static const char *const names[] = {
		"allow", "deny", "defer", "drop", "unavailable", "error", "refused"};
	const char *wanted = hw_play_text(p, "expect", NULL), *got = verdict_name(p);
	bool known = false;

	for (size_t i = 0; wanted && i < HW_COUNT(names); i++)
		known |= strcmp(wanted, names[i]) == 0;
	if (wanted && !known)
		hw_play_complain(p,
			"'expect' is one of allow, deny, defer, drop, unavailable, error, refused, "
			"not '%s'",
			wanted);
	else if (!wanted && p->question->stage != HW_STAGE_LIFECYCLE)
		hw_play_complain(
			p, "it says not what to expect: expect = \"%s\" is what came", got);
	else if (wanted && strcmp(wanted, got) != 0) {
		hw_play_complain(p, "expected %s", wanted);
		hw_play_complain(p, "actual   %s%s%s%s%s", got,
			p->said.verdict == HW_DENY ? " " : "",
			p->said.verdict == HW_DENY ? p->ask.code : "", p->message[0] ? ": " : "",
			p->message);
		if (!p->heard)
			hw_play_complain(
				p, "         the policy has no function for %s", p->question->name);
	}
	if (p->heard && p->said.verdict == HW_ERROR && !p->said.said &&
		!(wanted && strcmp(wanted, "error") == 0))
		hw_play_complain(p, "         %s", p->detail);
}

static json_t *identity_json(const struct hw_identity *id)
{
	json_t *out = json_pack("{s:s%, s:s%, s:b, s:I, s:o?, s:[]}", "user_id", id->user_id.p,
		id->user_id.len, "tenant_id", id->tenant_id.p, id->tenant_id.len, "act_as",
		id->act_as, "expires_at", (json_int_t)id->expires_at, "claims",
		json_loadb(id->claims.p, id->claims.len, 0, NULL), "tenants");

	for (size_t i = 0; i < id->n_tenants; i++)
		json_array_append_new(json_object_get(out, "tenants"),
			json_stringn(id->tenants[i].p, id->tenants[i].len));
	return out;
}

/* Of an identity only what the case names is compared. */
static void judge_identity(struct hw_play *p)
{
	json_t *wanted = hw_play_look(p, "identity"), *value, *got;
	char what[NAME_BYTES];
	const char *key;

	if (!wanted)
		return;
	if (!p->ask.identity) {
		hw_play_complain(p, "identity: there is none");
		return;
	}
	got = identity_json(p->ask.identity);
	json_object_foreach(wanted, key, value)
	{
		snprintf(what, sizeof(what), "identity.%s", key);
		expect_value(p, what, value, json_object_get(got, key));
	}
	json_decref(got);
}

static void judge_event(struct hw_play *p)
{
	const json_t *wanted = hw_play_look(p, "changed");
	json_t *got;

	if (!wanted || !changes_event(p))
		return;
	if (json_is_false(wanted)) {
		if (p->ask.new_event)
			hw_play_complain(p, "changed: the event was changed to %.*s",
				(int)p->ask.new_event_len, p->ask.new_event);
		return;
	}
	got = p->ask.new_event ? json_loadb(p->ask.new_event, p->ask.new_event_len, 0, NULL) : NULL;
	expect_value(p, "changed", wanted, got);
	json_decref(got);
}

static void judge_requests(struct hw_play *p)
{
	const json_t *wanted = hw_play_look(p, "requests");
	struct hw_str rest = hw_buf_view(&p->stage->requests), line;
	json_t *got;

	if (!wanted)
		return;
	got = json_array();
	while (rest.len > 0) {
		line = hw_str_cut(&rest, '\n');
		json_array_append_new(got, json_stringn(line.p, line.len));
	}
	expect_value(p, "requests", wanted, got);
	json_decref(got);
}

/* Events that were published go their way when the call is over. */
static void judge_published(struct hw_play *p)
{
	hw_policy_stage_pass(p->stage, 0);
	if (hw_play_look(p, "published"))
		expect_value(p, "published", hw_play_look(p, "published"), p->stage->published);
}

static void judge_log(struct hw_play *p)
{
	struct hw_buf log;

	hw_buf_init(&log);
	hw_policy_stage_read_log(p->stage, &log);
	hw_buf_putc(&log, '\0');
	hw_play_expect_contained(p, "log", log.failed ? "" : log.data);
	/* of those that only the log hears of */
	if (p->question->stage == HW_STAGE_FILTER && hw_play_expects(p, "error"))
		hw_play_expect_contained(p, "error", log.failed ? "" : log.data);
	hw_buf_fini(&log);
}

void hw_play_judge(struct hw_play *p)
{
	const char *code = hw_play_text(p, "code", NULL),
		   *message = hw_play_text(p, "message", NULL);

	judge_verdict(p);
	if (code)
		expect_text(p, "code", code, p->ask.code);
	if (message)
		expect_text(p, "message", message, p->message);
	if (hw_play_expects(p, "error") && p->question->stage != HW_STAGE_FILTER)
		hw_play_expect_contained(p, "error", p->detail);
	if (hw_play_look(p, "act_as") && p->question->operation == HW_OP_PUBLISH &&
		json_is_true(hw_play_look(p, "act_as")) != p->ask.act_as)
		hw_play_complain(p, "act_as: expected %s", p->ask.act_as ? "false" : "true");
	judge_identity(p);
	judge_event(p);
}

void hw_play_judge_effects(struct hw_play *p)
{
	judge_requests(p);
	judge_published(p);
	judge_log(p);
}
