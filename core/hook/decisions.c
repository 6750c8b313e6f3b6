#include "hook/decisions_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/hex.h"
#include "hook/decision_file.h"
#include "hook/redact.h"

#define CHAIN_BYTES 8     /* of a chain's hash, to tell it from others */
#define TOKEN_PART_MIN 16 /* of a part of a token: what is shorter is found anywhere */
#define MEMBER_MAX 258    /* a topic or a trace of 255 bytes, with its quotes */

/* What workers need of the settings, as long as they need it. */
struct rules {
	atomic_uint n_refs;
	size_t line_bytes;
	struct hw_redact redact;
};

enum dropped { DROPPED_REDACT, DROPPED_LARGE, DROPPED_MEMORY, DROPPED_BUFFER, DROPPED_WRITE };

struct hw_decisions {
	struct hw_hook_env *env;
	struct hw_metric *dropped[DROPPED_WRITE + 1];
	struct hw_decision_file *file;
	pthread_mutex_t lock; /* of @rules, for as long as it takes to count one */
	struct rules *rules;
};

/* ---- what may be redacted ---- */

static const char *const roots[] = {
	"claims", "event", "user_id", "session", "address", "topic", "message", NULL};

int hw_decisions_check(struct hw_str path, struct hw_err *err)
{
	static const char *const known = "a path begins with claims, event, user_id, session, "
					 "address, topic or message";
	struct hw_redact *redact = calloc(1, sizeof(*redact));
	const struct hw_redact_rule *rule;
	int rc;

	if (!redact)
		return hw_err_set(err, -ENOMEM, "out of memory");
	rc = hw_redact_add(redact, path, roots, err);
	rule = &redact->rules[0];
	if (rc < 0)
		rc = hw_err_set(err, -EINVAL, "%s; %s", err->text, known);
	else if (rule->n_names > 1 && !hw_str_eq(rule->names[0], HW_STR("claims")) &&
		 !hw_str_eq(rule->names[0], HW_STR("event")))
		rc = hw_err_set(err, -EINVAL, "there is nothing inside of %.*s",
			HW_STR_ARG(rule->names[0]));
	free(redact);
	return rc;
}

/* ---- settings ---- */

static struct rules *rules_of(struct hw_decisions *d)
{
	struct rules *rules;

	pthread_mutex_lock(&d->lock);
	rules = d->rules;
	if (rules)
		atomic_fetch_add_explicit(&rules->n_refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&d->lock);
	return rules;
}

static void rules_unref(struct rules *rules)
{
	if (rules && atomic_fetch_sub_explicit(&rules->n_refs, 1, memory_order_acq_rel) == 1)
		free(rules);
}

static int make_rules(const struct hw_decisions_settings *s, struct rules **out)
{
	struct rules *rules = calloc(1, sizeof(*rules));
	int rc = rules ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < s->n_redact; i++)
		rc = hw_redact_add(&rules->redact, hw_str_of(s->redact[i]), roots, NULL);
	if (rc < 0) {
		free(rules);
		return rc;
	}
	atomic_init(&rules->n_refs, 1);
	rules->line_bytes = s->line_bytes;
	*out = rules;
	return 0;
}

static uint64_t gate_of(const struct hw_decisions_settings *s)
{
	uint64_t threshold = (uint64_t)(s->sample * (double)(UINT64_C(1) << 32));

	/* a sample so small that it rounds to none is still not none */
	if (threshold == 0 && s->sample > 0)
		threshold = 1;
	return s->stages | (uint64_t)s->always << HW_DECISIONS_GATE_ALWAYS |
	       threshold << HW_DECISIONS_GATE_SAMPLE;
}

static void put_in_force(struct hw_decisions *d, struct rules *rules, uint64_t gate)
{
	struct rules *old;

	pthread_mutex_lock(&d->lock);
	old = d->rules;
	d->rules = rules;
	pthread_mutex_unlock(&d->lock);
	atomic_store_explicit(&d->env->decisions_gate, gate, memory_order_relaxed);
	rules_unref(old);
}

int hw_decisions_configure(struct hw_decisions *d, const struct hw_decisions_settings *settings)
{
	struct rules *rules = NULL;
	int rc;

	if (!settings) {
		put_in_force(d, NULL, 0);
		return hw_decision_file_configure(d->file, NULL, 0);
	}
	rc = make_rules(settings, &rules);
	if (rc == 0)
		rc = hw_decision_file_configure(d->file, settings->path, settings->buffer_bytes);
	if (rc == 0)
		put_in_force(d, rules, gate_of(settings));
	else
		rules_unref(rules);
	return rc;
}

void hw_decisions_reopen(struct hw_decisions *d)
{
	hw_decision_file_reopen(d->file);
}

static struct hw_metric *dropped_metric(struct hw_metrics *metrics, enum dropped why)
{
	static const char *const labels[] = {"reason=\"redact\"", "reason=\"large\"",
		"reason=\"memory\"", "reason=\"buffer\"", "reason=\"write\""};

	return hw_metrics_get(metrics, HW_METRIC_COUNTER, "hookwire_decisions_dropped_total",
		"Decisions that were to be logged and are not", labels[why]);
}

struct hw_decisions *hw_decisions_create(struct hw_hook_env *env)
{
	struct hw_decisions *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->env = env;
	for (int i = 0; i <= DROPPED_WRITE; i++)
		d->dropped[i] = dropped_metric(env->metrics, (enum dropped)i);
	d->file = hw_decision_file_create(env->log,
		hw_metrics_get(env->metrics, HW_METRIC_COUNTER, "hookwire_decisions_logged_total",
			"Decisions in the decision log", ""),
		d->dropped[DROPPED_WRITE]);
	if (!d->file) {
		free(d);
		return NULL;
	}
	pthread_mutex_init(&d->lock, NULL);
	env->decisions = d;
	return d;
}

bool hw_decisions_destroy(struct hw_decisions **decisions)
{
	struct hw_decisions *d = *decisions;
	bool ended;

	*decisions = NULL;
	if (!d)
		return true;
	put_in_force(d, NULL, 0);
	d->env->decisions = NULL;
	ended = hw_decision_file_destroy(&d->file);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return ended;
}

/* ---- a line ---- */

/* One decision, whatever it was about. */
struct decision {
	enum hw_hook_stage stage;
	const struct hw_hook_bench *global, *tenant;
	struct hw_str tenant_id, user_id, session, address, claims, topic, event;
	struct hw_str reads; /* FILTER: a JSON array */
	int64_t expires_at;
	const char *op; /* NULL: the stage has none */
	enum hw_verdict verdict;
	const char *code, *message, *by;
	bool changed, act_as;
	int64_t began_ns;
	struct hw_str token; /* AUTHENTICATE: what must not be in it */
};

struct line {
	const struct rules *rules;
	struct hw_buf text, redacted;
	int rc; /* of the redaction: -EINVAL, -ENOMEM */
};

static void put_name(struct line *l, const char *name)
{
	hw_buf_printf(&l->text, ",\"%s\":", name);
}

static void put(struct line *l, const char *name, struct hw_str value)
{
	if (!value.p)
		return;
	put_name(l, name);
	hw_buf_json(&l->text, value);
}

/* Such a one as may have to go. */
static void put_guarded(struct line *l, const char *name, struct hw_str value)
{
	if (value.len == 0)
		return;
	if (!hw_redact_takes(&l->rules->redact, name) && !hw_redact_is_token(value)) {
		put(l, name, value);
		return;
	}
	put_name(l, name);
	hw_buf_puts(&l->text, "null");
	hw_buf_printf(&l->redacted, "%s\"/%s\"", l->redacted.len > 0 ? "," : "", name);
}

static void put_json(struct line *l, const char *name, struct hw_str json)
{
	if (!json.p || l->rc < 0)
		return;
	put_name(l, name);
	l->rc = hw_redact_json(&l->rules->redact, name, json, &l->text, &l->redacted);
}

/* A text of the event, as what is left of it in the line says it. */
static void put_member(struct line *l, size_t event_at, const char *member, const char *name)
{
	struct hw_str event = {l->text.data + event_at, l->text.len - event_at};
	struct hw_json key, value;
	struct hw_json_reader r;

	if (l->text.failed || l->rc < 0)
		return;
	hw_json_init(&r, event, HW_JSON_UTF8_DONE);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		char text[MEMBER_MAX];

		if (!hw_json_is(key, hw_str_of(member)) || value.kind != HW_JSON_STRING ||
			value.raw.len > sizeof(text))
			continue;
		/* it stands in the buffer that it is added to */
		memcpy(text, value.raw.p, value.raw.len);
		put_name(l, name);
		hw_buf_add(&l->text, text, value.raw.len);
		return;
	}
}

static void put_event(struct line *l, const struct decision *d)
{
	size_t at;

	if (!d->event.p)
		return;
	at = l->text.len + strlen(",\"event\":");
	put_json(l, "event", d->event);
	put_member(l, at, "trace_id", "trace");
	if (!d->topic.p && !hw_redact_takes(&l->rules->redact, "topic"))
		put_member(l, at, "topic", "topic");
}

static const struct hw_hook_entry *find_entry(
	const struct hw_hook_bench *const benches[2], const char *name)
{
	for (size_t b = 0; b < 2; b++) {
		for (size_t i = 0; benches[b] && i < benches[b]->n_entries; i++) {
			const struct hw_hook_entry *entry =
				hw_hook_chain_entry(benches[b]->chain, i);

			if (entry->name == name)
				return entry;
		}
	}
	return NULL;
}

static void put_chain(struct line *l, const char *name, const struct hw_hook_bench *bench)
{
	char hex[CHAIN_BYTES * 2 + 1];

	if (!bench)
		return;
	hw_hex(hw_hook_chain_hash(bench->chain), CHAIN_BYTES, hex);
	put(l, name, hw_str_of(hex));
}

/* Which entry it was, of which configuration. */
static void put_origin(struct line *l, const struct decision *d)
{
	const struct hw_hook_bench *const benches[2] = {d->global, d->tenant};
	const struct hw_hook_entry *entry = find_entry(benches, d->by);

	if (entry) {
		put(l, "by", hw_str_of(entry->name));
		put(l, "scope", entry->global ? HW_STR("global") : HW_STR("tenant"));
		put_name(l, "generation");
		hw_buf_u64(&l->text, entry->generation);
	}
	put_chain(l, "global_chain", d->global);
	put_chain(l, "tenant_chain", d->tenant);
}

static const char *verdict_word(enum hw_verdict verdict)
{
	return verdict == HW_ALLOW ? "allow" : verdict == HW_DENY ? "deny" : "error";
}

static void put_answer(struct line *l, const struct decision *d)
{
	put(l, "verdict", hw_str_of(verdict_word(d->verdict)));
	if (d->verdict != HW_ALLOW)
		put(l, "code", hw_str_of(d->code));
	put_guarded(l, "message", hw_str_of(d->message));
	if (d->changed)
		hw_buf_puts(&l->text, ",\"changed\":true");
	if (d->act_as)
		hw_buf_puts(&l->text, ",\"act_as\":true");
}

static void write_line(
	const struct hw_decisions *decisions, struct line *l, const struct decision *d)
{
	char time[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(hw_clock_wall_ms(decisions->env->clock), time);
	hw_buf_printf(&l->text, "{\"time\":\"%s\",\"stage\":\"%s\"", time, hw_stage_name(d->stage));
	put(l, "op", hw_str_of(d->op));
	put(l, "tenant", d->tenant_id);
	put_guarded(l, "user_id", d->user_id);
	put_guarded(l, "session", d->session);
	put_guarded(l, "address", d->address);
	put_json(l, "claims", d->claims);
	if (d->reads.p) {
		put_name(l, "reads");
		hw_buf_str(&l->text, d->reads);
	}
	if (d->expires_at > 0)
		hw_buf_printf(&l->text, ",\"expires_at\":%lld", (long long)d->expires_at);
	put_guarded(l, "topic", d->topic);
	put_event(l, d);
	put_answer(l, d);
	put_origin(l, d);
	hw_buf_printf(&l->text, ",\"took_us\":%lld",
		(long long)((hw_hook_now_ns() - d->began_ns) / 1000));
	if (l->redacted.len > 0) {
		hw_buf_puts(&l->text, ",\"redacted\":[");
		hw_buf_str(&l->text, hw_buf_view(&l->redacted));
		hw_buf_putc(&l->text, ']');
	}
	hw_buf_puts(&l->text, "}\n");
}

/* As it stands, or as JSON writes it. */
static bool holds(struct hw_str text, struct hw_str part, struct hw_buf *scratch)
{
	if (memmem(text.p, text.len, part.p, part.len))
		return true;
	hw_buf_clear(scratch);
	hw_buf_json(scratch, part);
	return scratch->failed ||
	       memmem(text.p, text.len, scratch->data + 1, scratch->len - 2) != NULL;
}

/* Whether a hook has put the request's token, or a part of it, into what it says. Of a part its
 * beginning is looked for: the end may not have found room in a message. */
static bool holds_token(struct hw_str text, struct hw_str token)
{
	struct hw_str rest = token;
	struct hw_buf scratch;
	bool found;

	if (token.len == 0)
		return false;
	hw_buf_init(&scratch);
	found = holds(text, token, &scratch);
	while (!found && rest.p) {
		struct hw_str part = hw_str_cut(&rest, '.');

		if (part.len < TOKEN_PART_MIN)
			continue;
		part.len = TOKEN_PART_MIN;
		found = holds(text, part, &scratch);
	}
	hw_buf_fini(&scratch);
	return found;
}

/* 0, or why it is dropped. */
static int finish_line(struct hw_decisions *decisions, const struct line *l,
	const struct decision *d, enum dropped *why)
{
	struct hw_str text = hw_buf_view(&l->text);
	int rc = 0;

	if (l->rc == -ENOMEM || l->text.failed || l->redacted.failed)
		*why = DROPPED_MEMORY;
	else if (l->rc < 0 || holds_token(text, d->token))
		*why = DROPPED_REDACT;
	else if (text.len > l->rules->line_bytes)
		*why = DROPPED_LARGE;
	else if ((rc = hw_decision_file_add(decisions->file, text)) < 0)
		*why = rc == -ENOMEM ? DROPPED_MEMORY : DROPPED_BUFFER;
	else
		return 0;
	return -1;
}

static void log_decision(struct hw_decisions *decisions, const struct decision *d)
{
	struct line l = {.rules = rules_of(decisions)};
	enum dropped why = DROPPED_LARGE;

	if (!l.rules)
		return; /* it was turned off just now */
	hw_buf_init(&l.text);
	hw_buf_init(&l.redacted);
	/* before any work is done on what cannot end well */
	if (d->claims.len + d->event.len > l.rules->line_bytes) {
		hw_metric_add(decisions->dropped[why], 1);
	} else {
		write_line(decisions, &l, d);
		if (finish_line(decisions, &l, d, &why) < 0)
			hw_metric_add(decisions->dropped[why], 1);
	}
	hw_buf_fini(&l.text);
	hw_buf_fini(&l.redacted);
	rules_unref((struct rules *)(uintptr_t)l.rules);
}

/* ---- which ---- */

/* The moment it began is as good as a die, and no worker writes where another one reads. The
 * finalizer of MurmurHash3: every bit counts in every other. */
static uint32_t throw_die(int64_t began_ns, unsigned worker)
{
	uint64_t h = (uint64_t)began_ns ^ (uint64_t)worker << 56;

	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (uint32_t)(h ^ h >> 33);
}

static bool wanted(const struct hw_hook_bench *global, enum hw_verdict verdict, int64_t began_ns)
{
	uint64_t gate = atomic_load_explicit(&global->env->decisions_gate, memory_order_relaxed);
	unsigned always = (unsigned)(gate >> HW_DECISIONS_GATE_ALWAYS) & 3;

	if (global->trial || !global->env->decisions)
		return false;
	if (verdict == HW_DENY ? always & HW_DECISIONS_DENY
			       : verdict != HW_ALLOW && always & HW_DECISIONS_ERROR)
		return true;
	return throw_die(began_ns, global->worker) < gate >> HW_DECISIONS_GATE_SAMPLE;
}

static struct hw_str str_of(struct hw_slice s)
{
	return (struct hw_str){s.p, s.len};
}

static void take_who(struct decision *d, const struct hw_who *who)
{
	d->tenant_id = str_of(who->tenant_id);
	d->user_id = str_of(who->user_id);
	d->session = str_of(who->session);
	d->address = str_of(who->address);
	d->claims = str_of(who->claims);
	d->expires_at = who->expires_at;
}

static void take_request(struct decision *d, const struct hw_ask *ask)
{
	d->address = str_of(ask->request->address);
	d->token = str_of(ask->request->token);
	if (ask->identity) {
		d->tenant_id = ask->identity->tenant_id;
		d->user_id = ask->identity->user_id;
	}
}

static void take_question(struct decision *d, const struct hw_question *question)
{
	static const char *const names[] = {
		[HW_OP_SUBSCRIBE] = "subscribe",
		[HW_OP_WILDCARD] = "wildcard",
		[HW_OP_PUBLISH] = "publish",
		[HW_OP_PRESENCE] = "presence",
		[HW_OP_SESSION] = "session",
	};

	d->op = names[question->operation];
	if (question->operation != HW_OP_SESSION)
		d->topic = str_of(question->topic);
	if (question->event.len > 0)
		d->event = str_of(question->event);
}

void hw_decisions_note(const struct hw_ask *ask, struct hw_str event, int64_t began_ns)
{
	struct decision d = {.stage = ask->stage,
		.global = ask->global,
		.tenant = ask->tenant,
		.verdict = ask->verdict,
		.code = ask->code,
		.message = ask->message,
		.by = ask->decided_by,
		.act_as = ask->act_as,
		.changed = ask->new_event != NULL,
		.began_ns = began_ns};

	if (!wanted(ask->global, ask->verdict, began_ns))
		return;
	if (ask->stage == HW_STAGE_AUTHENTICATE)
		take_request(&d, ask);
	else
		take_who(&d, ask->who);
	if (ask->stage == HW_STAGE_AUTHORIZE)
		take_question(&d, ask->question);
	if (ask->stage == HW_STAGE_TRANSFORM)
		d.event = event;
	log_decision(ask->global->env->decisions, &d);
}

/* ---- views ---- */

struct recipient {
	struct hw_buf reads, claims, user_id;
	struct hw_str user; /* JSON */
};

/* Two entries may read the same. */
static bool has_name(const struct hw_buf *names, struct hw_str name)
{
	struct hw_buf quoted;
	bool has;

	hw_buf_init(&quoted);
	hw_buf_json(&quoted, name);
	has = quoted.failed ||
	      (names->len > 0 && memmem(names->data, names->len, quoted.data, quoted.len) != NULL);
	hw_buf_fini(&quoted);
	return has;
}

static void add_read(struct recipient *r, const struct hw_read *read, struct hw_json value)
{
	struct hw_str name = read->what == HW_READ_USER     ? HW_STR("user_id")
			     : read->what == HW_READ_TENANT ? HW_STR("tenant_id")
							    : hw_str_of(read->name);

	if (has_name(&r->reads, name))
		return;
	if (r->reads.len > 1)
		hw_buf_putc(&r->reads, ',');
	hw_buf_json(&r->reads, name);
	if (read->what == HW_READ_USER)
		r->user = value.raw;
	if (read->what != HW_READ_CLAIM || value.kind == HW_JSON_NONE)
		return;
	if (r->claims.len > 1)
		hw_buf_putc(&r->claims, ',');
	hw_buf_json(&r->claims, read->claim);
	hw_buf_putc(&r->claims, ':');
	hw_buf_str(&r->claims, value.raw);
}

/* What the entries could know of who receives. */
static void find_recipient(const struct hw_view *view, struct recipient *r)
{
	struct hw_hook_bench *const benches[2] = {view->global, view->tenant};
	const struct hw_json *value = view->values;

	hw_buf_putc(&r->reads, '[');
	hw_buf_putc(&r->claims, '{');
	for (size_t stage = 0; stage < 2; stage++) {
		for (size_t b = 0; b < 2; b++) {
			for (size_t i = 0; i < benches[b]->n_entries; i++) {
				const struct hw_hook_entry *entry =
					hw_hook_chain_entry(benches[b]->chain, i);

				if (!hw_entry_asked(entry,
					    stage ? HW_STAGE_REDACT : HW_STAGE_FILTER,
					    HW_OP_SUBSCRIBE))
					continue;
				for (size_t j = 0; j < entry->reads[stage].n; j++)
					add_read(r, &entry->reads[stage].reads[j], *value++);
			}
		}
	}
	hw_buf_putc(&r->reads, ']');
	hw_buf_putc(&r->claims, '}');
}

void hw_decisions_note_view(const struct hw_view *view, enum hw_verdict verdict, int64_t began_ns)
{
	struct recipient r = {.user = HW_STR_NULL};
	struct decision d = {.stage = HW_STAGE_FILTER,
		.global = view->global,
		.tenant = view->tenant,
		.tenant_id = view->tenant_id,
		.topic = view->topic,
		.event = view->event,
		.verdict = verdict,
		.by = view->decided_by,
		.changed = view->new_event != NULL,
		.began_ns = began_ns};
	struct hw_decisions *decisions = view->global->env->decisions;
	struct hw_json user;

	if (!wanted(view->global, verdict, began_ns))
		return;
	hw_buf_init(&r.reads);
	hw_buf_init(&r.claims);
	hw_buf_init(&r.user_id);
	find_recipient(view, &r);
	d.reads = hw_buf_view(&r.reads);
	d.claims = hw_buf_view(&r.claims);
	if (r.user.p && hw_json_whole(r.user, HW_JSON_UTF8_DONE, &user, NULL) == 0 &&
		hw_json_unescape(&r.user_id, user) == 0)
		d.user_id = hw_buf_view(&r.user_id);
	if (r.reads.failed || r.claims.failed || r.user_id.failed)
		hw_metric_add(decisions->dropped[DROPPED_MEMORY], 1);
	else
		log_decision(decisions, &d);
	hw_buf_fini(&r.reads);
	hw_buf_fini(&r.claims);
	hw_buf_fini(&r.user_id);
}
