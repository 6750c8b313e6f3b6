/* Entries for tests of the chain: each says what its test told it to, at once or after having been
 * resumed, and writes down that it was asked. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook/entry_internal.h"

/* What happened, in order: "a" asked, "a!" cancelled. */
struct fake_log {
	char text[4096];
	unsigned n_attached, n_detached, n_freed;
};

struct fake {
	struct hw_hook_entry base;
	struct fake_log *log;
	/* the answer */
	enum hw_verdict verdict;
	bool pend;              /* answers HW_PENDING first */
	struct hw_ask *waiting; /* the last that was answered so */
	const char *code, *message, *user, *tenant, *claims, *granted[3];
	int64_t expires_at;
	bool act_as;
	char append;          /* TRANSFORM: this letter to the event */
	const char *redacted; /* REDACT: this event instead */
	int attach_rc;
};

static inline struct fake *fake_of(struct hw_hook_entry *entry)
{
	return HW_CONTAINER_OF(entry, struct fake, base);
}

static inline char *fake_dup(const char *text)
{
	return text ? strdup(text) : NULL;
}

static inline void fake_fill(
	const struct fake *f, const struct hw_ask *ask, struct hw_entry_answer *answer)
{
	answer->verdict = f->verdict;
	answer->code = f->code;
	snprintf(answer->message, sizeof(answer->message), "%s", f->message ? f->message : "");
	answer->act_as = f->act_as;
	if (ask->stage == HW_STAGE_AUTHENTICATE) {
		answer->user_id = fake_dup(f->user);
		answer->tenant_id = fake_dup(f->tenant);
		answer->claims = fake_dup(f->claims);
		answer->expires_at = f->expires_at;
		answer->has_expires_at = f->expires_at != 0;
		answer->tenants = calloc(3, sizeof(char *));
		for (; answer->n_tenants < 3 && f->granted[answer->n_tenants]; answer->n_tenants++)
			answer->tenants[answer->n_tenants] = strdup(f->granted[answer->n_tenants]);
	}
	if (ask->stage == HW_STAGE_REDACT && f->redacted) {
		answer->event = strdup(f->redacted);
		answer->event_len = strlen(f->redacted);
	}
	if (ask->stage == HW_STAGE_TRANSFORM && f->append) {
		answer->event_len = ask->event.len + 1;
		answer->event = malloc(answer->event_len);
		memcpy(answer->event, ask->event.p, ask->event.len);
		answer->event[ask->event.len] = f->append;
	}
}

static inline enum hw_verdict fake_call(struct hw_hook_entry *entry, struct hw_entry_state *state,
	struct hw_ask *ask, struct hw_entry_answer *answer)
{
	struct fake *f = fake_of(entry);

	if ((void *)state != (void *)f) /* the chain gave another entry's state */
		abort();
	strcat(f->log->text, entry->name);
	for (size_t i = 0; ask->audience && i < ask->audience->reads->n; i++) {
		if (ask->audience->reads != &entry->reads[ask->stage == HW_STAGE_REDACT])
			abort();
		snprintf(f->log->text + strlen(f->log->text), 64, "[%.*s]",
			HW_STR_ARG(ask->audience->values[i].raw));
	}
	if (f->pend) {
		f->waiting = ask;
		return HW_PENDING;
	}
	fake_fill(f, ask, answer);
	return f->verdict;
}

/* What an entry does when its outside work is done. */
static inline void fake_resume(struct fake *f, struct hw_ask *ask)
{
	struct hw_entry_answer answer = {0};

	fake_fill(f, ask, &answer);
	hw_hooks_resume(ask, &answer);
}

static inline int fake_attach(
	struct hw_hook_entry *entry, struct hw_hook_bench *bench, struct hw_entry_state **out)
{
	struct fake *f = fake_of(entry);

	(void)bench;
	if (f->attach_rc < 0)
		return f->attach_rc;
	f->log->n_attached++;
	*out = (struct hw_entry_state *)(void *)f;
	return 0;
}

static inline void fake_detach(struct hw_hook_entry *entry, struct hw_entry_state *state)
{
	(void)state;
	fake_of(entry)->log->n_detached++;
}

static inline void fake_cancel(
	struct hw_hook_entry *entry, struct hw_entry_state *state, struct hw_ask *ask)
{
	struct fake *f = fake_of(entry);

	(void)state;
	(void)ask;
	strcat(f->log->text, entry->name);
	strcat(f->log->text, "!");
}

static inline void fake_free(struct hw_hook_entry *entry)
{
	struct fake *f = fake_of(entry);

	f->log->n_freed++;
	hw_entry_fini(entry);
	free(f);
}

static const struct hw_entry_ops fake_ops = {
	fake_attach, fake_detach, fake_call, fake_cancel, fake_free, NULL};

static inline struct fake *fake_create(
	struct hw_hook_env *env, struct fake_log *log, const char *name, bool global)
{
	struct hw_hook_spec spec = {
		.name = name, .kind = HW_HOOK_PLUGIN, .path = "/nowhere", .global = global};
	struct fake *f = calloc(1, sizeof(*f));

	if (!f || hw_entry_init(&f->base, &fake_ops, env, &spec) < 0)
		abort();
	f->log = log;
	f->base.hash[0] = (uint8_t)name[0];
	f->base.registers = UINT32_MAX;
	return f;
}
