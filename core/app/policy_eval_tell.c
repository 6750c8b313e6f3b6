#include <stdio.h>
#include <string.h>

#include "app/policy_eval.h"

static void put_verdict(enum hw_verdict verdict, const char *code, const char *message)
{
	fputs(verdict == HW_ALLOW     ? "allow"
		: verdict == HW_DENY  ? "deny"
		: verdict == HW_DEFER ? "no opinion"
				      : "unavailable",
		stdout);
	if (code && verdict == HW_DENY)
		printf(" %s", code);
	if (message[0])
		printf(": %s", message);
}

static void print_identity(const struct hw_identity *id)
{
	printf("user %.*s of tenant %.*s, claims %.*s", HW_STR_ARG(id->user_id),
		HW_STR_ARG(id->tenant_id), HW_STR_ARG(id->claims));
	if (id->expires_at > 0)
		printf(", until %lld", (long long)id->expires_at);
	if (id->act_as)
		fputs(", acts for others", stdout);
	putchar('\n');
}

void hw_eval_tell(const struct hw_evaluation *e)
{
	const struct hw_ask *a = &e->ask;

	if (a->stage == HW_STAGE_TRANSFORM && a->verdict == HW_DENY)
		fputs("drop", stdout);
	else if (a->stage == HW_STAGE_FILTER && a->verdict != HW_ALLOW)
		fputs(a->verdict == HW_DENY ? "withheld" : "withheld: a hook failed", stdout);
	else
		put_verdict(a->verdict, a->code, a->message);
	if (a->act_as)
		fputs(", and may name another user", stdout);
	putchar('\n');
	if (a->identity)
		print_identity(a->identity);
	if ((a->stage == HW_STAGE_TRANSFORM || a->stage == HW_STAGE_FILTER) &&
		a->verdict == HW_ALLOW)
		printf("%.*s\n", HW_STR_ARG(a->event));
}

/* What a hook that was heard last makes of the rest. */
static bool ends_it(const struct hw_evaluation *e, const struct hw_eval_said *s)
{
	if (s->verdict == HW_DEFER)
		return false;
	return s->verdict != HW_ALLOW || (e->ask.stage == HW_STAGE_AUTHORIZE && !s->global);
}

static void explain_one(const struct hw_evaluation *e, size_t i)
{
	const struct hw_eval_said *s = &e->said[i];
	bool transform = e->ask.stage == HW_STAGE_TRANSFORM;

	printf("  %-6s  %s (%s): ", s->global ? "global" : "tenant", s->name, s->source);
	if (s->shadow) {
		puts("not asked: it is a shadow, and decides nothing");
		return;
	}
	if (!s->heard) {
		puts(e->last > 0 && i >= e->last && ends_it(e, &e->said[e->last - 1])
				? "not reached"
				: "not asked: it has no function for this");
		return;
	}
	if (transform && s->verdict == HW_DENY)
		fputs("drop", stdout);
	else if (transform && s->verdict == HW_ALLOW)
		fputs(s->changed ? "changed it" : "left it alone", stdout);
	else
		put_verdict(s->verdict, s->code, s->message);
	if (s->detail[0])
		printf(" (%s)", s->detail);
	printf(", %.1f ms\n", (double)s->took_us / 1000);
}

static const char *source_of(const struct hw_evaluation *e, const struct hw_eval_seen *s)
{
	for (size_t i = 0; i < e->n_said; i++)
		if (e->said[i].global == s->global && strcmp(e->said[i].name, s->name) == 0)
			return e->said[i].source;
	return "";
}

static bool was_seen(const struct hw_evaluation *e, const struct hw_eval_said *said)
{
	for (size_t i = 0; i < e->n_seen; i++)
		if (e->seen[i].global == said->global && strcmp(e->seen[i].name, said->name) == 0)
			return true;
	return false;
}

static void explain_seen(const struct hw_evaluation *e, const struct hw_eval_seen *s)
{
	bool filter = s->stage == HW_STAGE_FILTER;

	printf("  %-6s  %s (%s) %s: ", s->global ? "global" : "tenant", s->name, source_of(e, s),
		filter ? "filter" : "redact");
	if (s->verdict == HW_ALLOW)
		fputs(filter ? "pass" : s->changed ? "changed it" : "left it alone", stdout);
	else
		fputs(s->verdict == HW_DENY || s->verdict == HW_DEFER ? "withhold" : "failed",
			stdout);
	if (s->detail[0])
		printf(" (%s)", s->detail);
	if (s->inputs.len > 0)
		printf(", from %.*s", (int)s->inputs.len, s->inputs.data);
	printf(", %.1f ms\n", (double)s->took_us / 1000);
}

static void explain_view(const struct hw_evaluation *e)
{
	bool ended = e->ask.verdict != HW_ALLOW;

	if (e->n_seen > 0)
		printf("decided by: %s\n", e->ask.decided_by);
	else
		puts("decided by: nobody: no hook has a filter or a redact");
	for (size_t i = 0; i < e->n_seen; i++)
		explain_seen(e, &e->seen[i]);
	for (size_t i = 0; i < e->n_said; i++)
		if (!was_seen(e, &e->said[i]))
			printf("  %-6s  %s (%s): %s\n", e->said[i].global ? "global" : "tenant",
				e->said[i].name, e->said[i].source,
				ended ? "not reached, or it has no function for this"
				      : "not asked: it has no function for this");
}

void hw_eval_explain(const struct hw_evaluation *e)
{
	const struct hw_eval_options *o = e->options;

	if (o->user)
		printf("asked: %s%s%s as %s of %s, claims %s\n", o->what, o->topic ? " " : "",
			o->topic ? o->topic : "", o->user, o->tenant, o->claims);
	if (e->ask.stage == HW_STAGE_FILTER) {
		explain_view(e);
		return;
	}
	if (e->ask.stage == HW_STAGE_TRANSFORM || (e->ask.decided_by && e->ask.decided_by[0])) {
		if (e->ask.decided_by && e->ask.decided_by[0])
			printf("decided by: %s\n", e->ask.decided_by);
	} else {
		puts("decided by: nobody");
	}
	for (size_t i = 0; i < e->n_said; i++)
		explain_one(e, i);
}
