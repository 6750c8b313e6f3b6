#include "app/policy_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/generation_make.h"
#include "crypto/hex.h"
#include "crypto/random.h"
#include "hook/audience.h"
#include "hook/redact.h"
#include "session/who.h"
#include "wire/json.h"
#include "wire/topic.h"

#define MARK_BYTES 16

/* ---- the configuration ---- */

static bool has_plugin(const struct hw_conf_hook *hooks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hooks[i].source == HW_CONF_PLUGIN)
			return true;
	return false;
}

/* A plugin's threads take their time. */
static bool needs_real_time(const struct hw_conf *conf)
{
	bool needs = has_plugin(conf->global->hooks, conf->global->n_hooks);

	for (size_t i = 0; i < conf->n_tenants; i++)
		needs |= has_plugin(conf->tenants[i]->hooks, conf->tenants[i]->n_hooks);
	return needs;
}

static void make_mark(struct hw_replay *r)
{
	uint8_t bytes[MARK_BYTES];
	char hex[MARK_BYTES * 2 + 1];

	hw_random(bytes, sizeof(bytes));
	hw_hex(bytes, sizeof(bytes), hex);
	snprintf(r->mark, sizeof(r->mark), "withheld-%s", hex);
	r->withheld.mark = hw_str_of(r->mark);
}

int hw_replay_open(struct hw_replay *r, const char *config)
{
	struct hw_conf_report report;
	int rc;

	*r = (struct hw_replay){.stage = {.log_fd = -1, .wake_fd = -1}};
	hw_conf_report_init(&report);
	rc = hw_conf_load(config, &r->conf, &report);
	if (rc == 0)
		rc = hw_policy_stage_open_with(&r->stage, r->conf->global->script_path);
	if (rc == 0)
		rc = hw_generation_make(r->stage.kit.env, r->conf, NULL, &report, &r->generation);
	for (size_t i = 0; i < report.n_items; i++)
		fprintf(stderr, "%s\n", report.items[i].text);
	hw_conf_report_fini(&report);
	if (rc > 0)
		rc = -EINVAL;
	if (rc == 0) {
		r->stage.real_time = needs_real_time(r->conf);
		make_mark(r);
		hw_hook_env_withhold(r->stage.kit.env, &r->withheld);
	}
	return rc;
}

void hw_replay_close(struct hw_replay *r)
{
	hw_generation_unref(&r->generation);
	hw_policy_stage_close(&r->stage);
	hw_conf_destroy(&r->conf);
}

/* ---- a line ---- */

struct line {
	struct hw_json time, stage, op, tenant, user_id, session, address, claims, expires_at,
		topic, event, reads, verdict, code, changed, act_as, by, redacted;
};

static const struct {
	const char *name;
	size_t offset;
	enum hw_json_kind kind; /* NONE: any */
} members[] = {
	{"time", offsetof(struct line, time), HW_JSON_STRING},
	{"stage", offsetof(struct line, stage), HW_JSON_STRING},
	{"op", offsetof(struct line, op), HW_JSON_STRING},
	{"tenant", offsetof(struct line, tenant), HW_JSON_STRING},
	{"user_id", offsetof(struct line, user_id), HW_JSON_STRING},
	{"session", offsetof(struct line, session), HW_JSON_STRING},
	{"address", offsetof(struct line, address), HW_JSON_STRING},
	{"claims", offsetof(struct line, claims), HW_JSON_OBJECT},
	{"expires_at", offsetof(struct line, expires_at), HW_JSON_NUMBER},
	{"topic", offsetof(struct line, topic), HW_JSON_STRING},
	{"event", offsetof(struct line, event), HW_JSON_OBJECT},
	{"reads", offsetof(struct line, reads), HW_JSON_ARRAY},
	{"verdict", offsetof(struct line, verdict), HW_JSON_STRING},
	{"code", offsetof(struct line, code), HW_JSON_STRING},
	{"changed", offsetof(struct line, changed), HW_JSON_TRUE},
	{"act_as", offsetof(struct line, act_as), HW_JSON_TRUE},
	{"by", offsetof(struct line, by), HW_JSON_STRING},
	{"redacted", offsetof(struct line, redacted), HW_JSON_ARRAY},
};

/* null is what was taken out. */
static bool read_line(struct hw_str text, struct line *l)
{
	struct hw_json key, value;
	struct hw_json_reader r;
	int rc;

	memset(l, 0, sizeof(*l));
	hw_json_init(&r, text, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return false;
	while ((rc = hw_json_member(&r, &key)) == 0) {
		if (hw_json_value(&r, &value) != 0)
			return false;
		for (size_t i = 0; i < HW_COUNT(members); i++) {
			if (!hw_json_is(key, hw_str_of(members[i].name)))
				continue;
			if (value.kind != members[i].kind && value.kind != HW_JSON_NULL)
				return false;
			memcpy((char *)l + members[i].offset, &value, sizeof(value));
		}
	}
	return rc == HW_JSON_END && hw_json_finish(&r) == 0 && l->stage.raw.p && l->verdict.raw.p &&
	       l->time.raw.p;
}

/* Of the line's time; HW_POLICY_NOW_MS if it is none. */
static int64_t wall_ms_of(struct hw_json time)
{
	char text[HW_ISO8601_LEN + 1];
	struct tm tm = {0};
	size_t len;
	int ms = 0, end = 0;

	if (hw_json_copy(time, text, sizeof(text) - 1, &len) != 0)
		return HW_POLICY_NOW_MS;
	text[len] = '\0';
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &end) != 7 ||
		end != HW_ISO8601_LEN)
		return HW_POLICY_NOW_MS;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * 1000 + ms;
}

/* ---- a question ---- */

struct question {
	struct hw_replay *replay;
	const struct line *line;
	struct hw_replayed *out;
	struct hw_buf user_id, session, address, claims, event, topic, tenant;
	struct hw_who who;
	struct hw_question question;
	struct hw_hook_bench *global, *tenant_bench;
	struct hw_ask ask;
	struct hw_view view;
	bool decided;
	char plugin[80]; /* that was asked */
	const struct hw_conf_tenant *rules;
};

static void give_up(struct question *q, enum hw_replay_outcome outcome, const char *format, ...)
	HW_PRINTF(3, 4);
static void give_up(struct question *q, enum hw_replay_outcome outcome, const char *format, ...)
{
	va_list args;

	if (q->out->outcome > HW_REPLAY_CHANGED)
		return; /* the first reason is the one */
	q->out->outcome = outcome;
	va_start(args, format);
	vsnprintf(q->out->why, sizeof(q->out->why), format, args);
	va_end(args);
}

/* What a text says; the mark where it was taken out. */
static int take_text(const struct question *q, struct hw_json from, struct hw_buf *out)
{
	if (from.kind == HW_JSON_NULL)
		hw_buf_puts(out, q->replay->mark);
	else if (from.kind == HW_JSON_STRING && hw_json_unescape(out, from) != 0)
		return -EINVAL;
	return out->failed ? -ENOMEM : 0;
}

static int take_json(
	const struct question *q, struct hw_json from, const char *root, struct hw_buf *out)
{
	struct hw_str paths = q->line->redacted.raw.p ? q->line->redacted.raw : HW_STR("[]");
	char mark[sizeof(q->replay->mark) + 2];

	if (!from.raw.p)
		return 0;
	snprintf(mark, sizeof(mark), "\"%s\"", q->replay->mark);
	return hw_redact_mark(from.raw, root, paths, hw_str_of(mark), out);
}

static int take_all(struct question *q)
{
	const struct line *l = q->line;
	int rc = take_text(q, l->user_id, &q->user_id);

	if (rc == 0)
		rc = take_text(q, l->session, &q->session);
	if (rc == 0)
		rc = take_text(q, l->address, &q->address);
	if (rc == 0)
		rc = take_text(q, l->topic, &q->topic);
	if (rc == 0)
		rc = take_text(q, l->tenant, &q->tenant);
	if (rc == 0)
		rc = take_json(q, l->claims, "claims", &q->claims);
	if (rc == 0)
		rc = take_json(q, l->event, "event", &q->event);
	if (rc == -EINVAL)
		give_up(q, HW_REPLAY_UNREADABLE, "its values are not what they should be");
	if (l->topic.kind == HW_JSON_NULL || l->claims.kind == HW_JSON_NULL ||
		l->event.kind == HW_JSON_NULL)
		give_up(q, HW_REPLAY_REDACTED, "all of its %s is redacted",
			l->topic.kind == HW_JSON_NULL    ? "topic"
			: l->claims.kind == HW_JSON_NULL ? "claims"
							 : "event");
	return rc == -ENOMEM ? rc : 0;
}

/* ---- asking ---- */

static void note_entry(struct question *q, const char *name, bool global)
{
	const struct hw_conf_hook *hooks =
		global ? q->replay->conf->global->hooks : q->rules->hooks;
	size_t n = global ? q->replay->conf->global->n_hooks : q->rules->n_hooks;

	for (size_t i = 0; i < n; i++)
		if (strcmp(hooks[i].name, name) == 0 && hooks[i].source == HW_CONF_PLUGIN)
			snprintf(q->plugin, sizeof(q->plugin), "%s", name);
}

static void on_heard(struct hw_ask *ask, const struct hw_heard *heard)
{
	note_entry(HW_CONTAINER_OF(ask, struct question, ask), heard->entry, heard->global);
}

static void on_view_heard(struct hw_view *view, const struct hw_view_heard *heard)
{
	note_entry(HW_CONTAINER_OF(view, struct question, view), heard->entry, heard->global);
}

static void on_decided(struct hw_ask *ask)
{
	HW_CONTAINER_OF(ask, struct question, ask)->decided = true;
}

static struct hw_slice slice_of(const struct hw_buf *b)
{
	return (struct hw_slice){b->len > 0 ? b->data : "", b->len};
}

static bool find_operation(struct hw_json op, enum hw_operation *out)
{
	static const char *const names[] = {
		[HW_OP_SUBSCRIBE] = "subscribe",
		[HW_OP_WILDCARD] = "wildcard",
		[HW_OP_PUBLISH] = "publish",
		[HW_OP_PRESENCE] = "presence",
		[HW_OP_SESSION] = "session",
	};

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		if (op.kind == HW_JSON_STRING && hw_json_is(op, hw_str_of(names[i]))) {
			*out = (enum hw_operation)i;
			return true;
		}
	}
	return false;
}

static void make_who(struct question *q)
{
	uint64_t expires_at = 0;

	if (q->line->expires_at.kind == HW_JSON_NUMBER)
		(void)!hw_str_to_u64(q->line->expires_at.raw, &expires_at);
	q->who = (struct hw_who){.size = sizeof(q->who),
		.user_id = slice_of(&q->user_id),
		.tenant_id = slice_of(&q->tenant),
		.session = slice_of(&q->session),
		.address = slice_of(&q->address),
		.claims = q->claims.len > 0 ? slice_of(&q->claims) : HW_SLICE("{}"),
		.expires_at = (int64_t)expires_at};
}

static bool make_question(struct question *q)
{
	struct hw_str topic = hw_buf_view(&q->topic), resource = HW_STR(""), id = HW_STR("");
	enum hw_operation operation;

	if (!find_operation(q->line->op, &operation) ||
		(operation != HW_OP_SESSION && !hw_topic_pattern_valid(topic))) {
		give_up(q, HW_REPLAY_UNREADABLE, "it asks for nothing that is known");
		return false;
	}
	if (topic.len > 0)
		hw_topic_split(topic, &resource, &id);
	q->question = (struct hw_question){.size = sizeof(q->question),
		.operation = operation,
		.topic = slice_of(&q->topic),
		.resource = hw_slice_of(resource),
		.id = hw_slice_of(id),
		.event = slice_of(&q->event),
		.again = 1}; /* an instance is every line's: what counts must not count them */
	return true;
}

static void ask(struct question *q, enum hw_hook_stage stage)
{
	make_who(q);
	q->ask = (struct hw_ask){.stage = stage,
		.heard = on_heard,
		.global = q->global,
		.tenant = q->tenant_bench,
		.who = &q->who,
		.decided = on_decided};
	if (stage == HW_STAGE_AUTHORIZE) {
		if (!make_question(q))
			return;
		q->ask.question = &q->question;
	} else if (q->event.len == 0) {
		give_up(q, HW_REPLAY_UNREADABLE, "it has no event");
		return;
	} else {
		q->ask.event = hw_buf_view(&q->event);
	}
	q->decided = hw_hooks_ask(&q->ask) != HW_PENDING;
	if (!hw_policy_stage_until(&q->replay->stage, &q->decided)) {
		hw_hooks_cancel(&q->ask);
		give_up(q, HW_REPLAY_WAITS, "a hook waits for what never comes");
	}
}

/* The name of a read as a line has it. */
static struct hw_str read_name(struct hw_str name)
{
	if (hw_str_eq(name, HW_STR("user")))
		return HW_STR("user_id");
	return hw_str_eq(name, HW_STR("tenant")) ? HW_STR("tenant_id") : name;
}

static bool had_read(const struct question *q, struct hw_str name)
{
	struct hw_json_reader r;
	struct hw_json value;

	if (hw_str_eq(name, HW_STR("tenant_id")))
		return true;
	hw_json_init(&r, q->line->reads.raw, 0);
	if (!q->line->reads.raw.p || hw_json_enter(&r, HW_JSON_ARRAY) != 0)
		return false;
	while (hw_json_element(&r) == 0 && hw_json_value(&r, &value) == 0)
		if (value.kind == HW_JSON_STRING && hw_json_is(value, name))
			return true;
	return false;
}

/* Whether the line knows all that these hooks read. */
static int knows_reads(struct question *q)
{
	struct hw_buf names;
	size_t at = 0;
	int rc;

	hw_buf_init(&names);
	hw_audience_reads(q->global, q->tenant_bench, &names);
	rc = names.failed ? -ENOMEM : 0;
	while (rc == 0 && at < names.len) {
		struct hw_str name = hw_str_of(names.data + at);

		if (!had_read(q, read_name(name)))
			give_up(q, HW_REPLAY_UNDECLARED, "%s", name.p);
		at += name.len + 1;
	}
	hw_buf_fini(&names);
	return rc;
}

static int view(struct question *q)
{
	struct hw_identity who = {.user_id = hw_buf_view(&q->user_id),
		.tenant_id = hw_buf_view(&q->tenant),
		.claims = q->claims.len > 0 ? hw_buf_view(&q->claims) : HW_STR("{}")};
	size_t n = hw_audience_count(q->global, q->tenant_bench);
	struct hw_json *values = calloc(n + 1, sizeof(*values));
	struct hw_buf key;
	int rc = values ? knows_reads(q) : -ENOMEM;

	hw_buf_init(&key);
	hw_audience_key(q->global, q->tenant_bench, &who, &key);
	if (key.failed)
		rc = -ENOMEM;
	if (q->event.len == 0 || q->topic.len == 0)
		give_up(q, HW_REPLAY_UNREADABLE, "it has no event");
	if (rc == 0 && q->out->outcome <= HW_REPLAY_CHANGED) {
		hw_audience_values(hw_buf_view(&key), values, n);
		q->view = (struct hw_view){.heard = on_view_heard,
			.global = q->global,
			.tenant = q->tenant_bench,
			.tenant_id = who.tenant_id,
			.values = values,
			.event = hw_buf_view(&q->event),
			.topic = hw_buf_view(&q->topic)};
		q->ask.verdict = hw_hooks_view(&q->view);
		q->ask.decided_by = q->view.decided_by;
		q->ask.new_event = q->view.new_event;
	}
	hw_buf_fini(&key);
	free(values);
	return rc;
}

/* ---- comparing ---- */

static void describe(char out[HW_REPLAY_ANSWER_MAX], const char *verdict, const char *code,
	bool changed, bool act_as)
{
	bool deny = strcmp(verdict, "deny") == 0, allow = strcmp(verdict, "allow") == 0;

	snprintf(out, HW_REPLAY_ANSWER_MAX, "%s%s%s%s%s", verdict, deny && code[0] ? " " : "",
		deny ? code : "", allow && changed ? ", another event" : "",
		allow && act_as ? ", may name another user" : "");
}

static void copy_text(struct hw_json from, char *out, size_t size)
{
	size_t len = 0;

	if (from.kind != HW_JSON_STRING || hw_json_copy(from, out, size - 1, &len) != 0)
		len = 0;
	out[len] = '\0';
}

static void describe_both(struct question *q)
{
	const struct hw_ask *a = &q->ask;
	char verdict[16], code[48];

	copy_text(q->line->verdict, verdict, sizeof(verdict));
	copy_text(q->line->code, code, sizeof(code));
	copy_text(q->line->by, q->out->by_before, sizeof(q->out->by_before));
	describe(q->out->before, verdict, code, q->line->changed.kind == HW_JSON_TRUE,
		q->line->act_as.kind == HW_JSON_TRUE);
	if (!q->tenant_bench) {
		snprintf(q->out->after, sizeof(q->out->after), "deny, the tenant is not served");
		return;
	}
	describe(q->out->after,
		a->verdict == HW_ALLOW  ? "allow"
		: a->verdict == HW_DENY ? "deny"
					: "error",
		a->code ? a->code : "", a->new_event != NULL, a->act_as);
	snprintf(q->out->by_after, sizeof(q->out->by_after), "%s",
		a->decided_by ? a->decided_by : "");
}

/* Whether something is redacted that hooks are given: what they said is not. */
static bool lacks_input(const struct line *l)
{
	struct hw_json_reader r;
	struct hw_json value;

	hw_json_init(&r, l->redacted.raw, 0);
	if (!l->redacted.raw.p || hw_json_enter(&r, HW_JSON_ARRAY) != 0)
		return false;
	while (hw_json_element(&r) == 0 && hw_json_value(&r, &value) == 0)
		if (value.kind != HW_JSON_STRING || !hw_json_is(value, HW_STR("/message")))
			return true;
	return false;
}

/* Whether the answer counts, although something was not there. */
static void look_for_gaps(struct question *q)
{
	const struct hw_buf *unmatched = &q->replay->stage.unmatched;

	if (unmatched->len > 0) {
		const char *end = memchr(unmatched->data, '\n', unmatched->len);

		give_up(q, HW_REPLAY_HTTP, "%.*s",
			(int)(end ? end - unmatched->data : (long)unmatched->len), unmatched->data);
	}
	if (q->replay->withheld.seen)
		give_up(q, HW_REPLAY_REDACTED, "a script looks at one of %.*s",
			HW_STR_ARG(q->line->redacted.raw));
	if (q->plugin[0] && lacks_input(q->line))
		give_up(q, HW_REPLAY_REDACTED, "plugin %s is given all of it, without %.*s",
			q->plugin, HW_STR_ARG(q->line->redacted.raw));
}

static int open_benches(struct question *q)
{
	struct hw_hook_env *env = q->replay->stage.kit.env;
	struct hw_str tenant = hw_buf_view(&q->tenant);
	const struct hw_tenant_rules *rules = hw_generation_rules(q->replay->generation, tenant);
	int rc =
		hw_hook_bench_create(env, q->replay->generation->global, HW_STR(""), 0, &q->global);

	q->rules = hw_conf_tenant_find(q->replay->conf, tenant);
	if (rc == 0 && rules && q->rules)
		rc = hw_hook_bench_create(env, rules->chain, tenant, 0, &q->tenant_bench);
	return rc;
}

static void begin(struct question *q)
{
	struct hw_policy_stage *stage = &q->replay->stage;

	hw_policy_stage_forget_log(stage);
	hw_buf_clear(&stage->requests);
	hw_buf_clear(&stage->unmatched);
	json_array_clear(stage->published);
	stage->stubs = json_deep_copy(q->replay->stubs); /* each line has all their answers */
	stage->wall_ms = wall_ms_of(q->line->time);
	q->replay->withheld.seen = false;
}

static int end(struct question *q)
{
	struct hw_buf *bufs[] = {&q->user_id, &q->session, &q->address, &q->claims, &q->event,
		&q->topic, &q->tenant};

	hw_hook_bench_destroy(&q->tenant_bench);
	hw_hook_bench_destroy(&q->global);
	free(q->ask.new_event);
	hw_identity_unref(&q->ask.identity);
	json_decref(q->replay->stage.stubs);
	q->replay->stage.stubs = NULL;
	for (size_t i = 0; i < HW_COUNT(bufs); i++)
		hw_buf_fini(bufs[i]);
	return hw_hook_env_forget_values(q->replay->stage.kit.env);
}

static int run(struct question *q)
{
	const struct line *l = q->line;
	int rc;

	if (hw_json_is(l->stage, HW_STR("authenticate"))) {
		give_up(q, HW_REPLAY_AUTHENTICATE, "the log holds no token");
		return 0;
	}
	rc = take_all(q);
	if (rc == 0 && q->out->outcome <= HW_REPLAY_CHANGED)
		rc = open_benches(q);
	if (rc < 0 || q->out->outcome > HW_REPLAY_CHANGED)
		return rc;
	if (!q->tenant_bench)
		; /* nobody is asked */
	else if (hw_json_is(l->stage, HW_STR("authorize")))
		ask(q, HW_STAGE_AUTHORIZE);
	else if (hw_json_is(l->stage, HW_STR("transform")))
		ask(q, HW_STAGE_TRANSFORM);
	else if (hw_json_is(l->stage, HW_STR("filter")))
		rc = view(q);
	else
		give_up(q, HW_REPLAY_UNREADABLE, "its stage is unknown");
	if (rc < 0)
		return rc;
	look_for_gaps(q);
	describe_both(q);
	if (q->out->outcome == HW_REPLAY_SAME && strcmp(q->out->before, q->out->after) != 0)
		q->out->outcome = HW_REPLAY_CHANGED;
	return 0;
}

int hw_replay_line(struct hw_replay *replay, struct hw_str text, struct hw_replayed *out)
{
	struct line line;
	struct question q = {.replay = replay, .line = &line, .out = out};
	int rc, ended;

	*out = (struct hw_replayed){.outcome = HW_REPLAY_SAME};
	if (!read_line(text, &line)) {
		give_up(&q, HW_REPLAY_UNREADABLE, "it is no line of a decision log");
		return 0;
	}
	out->time = line.time.raw;
	out->stage = line.stage.raw;
	out->op = line.op.raw;
	out->tenant = line.tenant.raw;
	out->user_id = line.user_id.raw;
	out->topic = line.topic.raw;
	begin(&q);
	rc = run(&q);
	ended = end(&q);
	return rc < 0 ? rc : ended;
}
