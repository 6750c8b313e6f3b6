#include "app/cli_token.h"
#include "app/policy_eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/generation_make.h"
#include "hook/audience.h"
#include "hook/http_client.h"
#include "hook/inbox.h"
#include "hook/io.h"
#include "session/who.h"
#include "wire/event.h"
#include "wire/topic.h"

#define SESSION "policy-eval"

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "hookwire policy eval: %s: %s\n", what, why);
	return 2;
}

static int64_t now_us(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- the configuration ---- */

static void print_problems(const struct hw_conf_report *report)
{
	for (size_t i = 0; i < report->n_items; i++)
		fprintf(stderr, "%s\n", report->items[i].text);
}

/* 0, or 2 with the problems said. */
static int load(struct hw_evaluation *e)
{
	struct hw_conf_report report;
	int rc;

	hw_conf_report_init(&report);
	rc = hw_conf_load(e->options->config, &e->conf, &report);
	if (rc == 0)
		rc = hw_hook_kit_open(&e->kit, STDERR_FILENO, HW_LOG_INFO, &hw_clock_system,
			e->conf->global->script_path);
	if (rc == 0)
		rc = hw_generation_make(e->kit.env, e->conf, NULL, &report, &e->generation);
	print_problems(&report);
	hw_conf_report_fini(&report);
	if (rc < 0)
		complain(e->options->config, strerror(-rc));
	return rc == 0 ? 0 : 2;
}

/* ---- the loop ---- */

static bool on_turn(void *arg)
{
	struct hw_evaluation *e = arg;

	if (e->joined)
		hw_hook_inbox_run(e->kit.env, 0);
	return false;
}

static bool has_work(void *arg)
{
	struct hw_evaluation *e = arg;

	return e->joined && hw_hook_inbox_has(e->kit.env, 0);
}

static void wake(void *arg)
{
	hw_loop_wake(((struct hw_evaluation *)arg)->loop);
}

/* Said and not done: nobody here has a broker. */
static void on_publish(
	void *arg, struct hw_str tenant, struct hw_str event, const char *by, unsigned depth)
{
	(void)arg;
	(void)depth;
	printf("%s would publish to %.*s: %.*s\n", by, HW_STR_ARG(tenant), HW_STR_ARG(event));
}

static void on_reauth(void *arg, struct hw_str tenant, struct hw_str user_id, struct hw_str topic)
{
	(void)arg;
	printf("a hook would have sessions of %.*s authorized again: user %.*s, topic %.*s\n",
		HW_STR_ARG(tenant), HW_STR_ARG(user_id), HW_STR_ARG(topic));
}

static void no_flush(void *arg)
{
	(void)arg;
}

static const struct hw_loop_ops loop_ops = {
	.turn = on_turn, .flushed = no_flush, .has_work = has_work};

static int start(struct hw_evaluation *e)
{
	int rc;

	e->loop = hw_loop_create(&hw_clock_system, &loop_ops, e);
	if (!e->loop)
		return -ENOMEM;
	/* without, all but https works */
	if (hw_http_ca_file() && hw_trust_create(hw_http_ca_file(), &e->trust) == 0)
		hw_hook_env_believe(e->kit.env, e->trust);
	rc = hw_watchdog_enter_thread(e->kit.watchdog);
	e->entered = rc == 0;
	if (rc == 0)
		rc = hw_hook_env_join(e->kit.env, 0, hw_loop_poller(e->loop));
	e->joined = rc == 0;
	if (rc == 0)
		rc = hw_hook_inbox_open(e->kit.env, 0, hw_loop_timers(e->loop), wake, e);
	if (rc == 0) {
		hw_hook_inbox_on_publish(e->kit.env, 0, on_publish, e);
		hw_hook_inbox_on_reauth(e->kit.env, 0, on_reauth, e);
	}
	if (rc == 0)
		rc = hw_hook_bench_create(
			e->kit.env, e->generation->global, HW_STR(""), 0, &e->global);
	return rc;
}

static void finish(struct hw_evaluation *e)
{
	hw_hook_bench_destroy(&e->tenant);
	hw_hook_bench_destroy(&e->global);
	if (e->joined) {
		hw_hook_inbox_close(e->kit.env, 0);
		hw_hook_env_part(e->kit.env, 0);
	}
	if (e->loop)
		hw_loop_destroy(&e->loop);
	hw_generation_unref(&e->generation);
	if (e->kit.env)
		hw_hook_env_reap(e->kit.env);
	if (e->entered)
		hw_watchdog_leave_thread(e->kit.watchdog);
	hw_hook_kit_close(&e->kit);
	hw_trust_destroy(&e->trust);
	hw_conf_destroy(&e->conf);
	hw_identity_unref(&e->ask.identity);
	free(e->ask.new_event);
	free(e->said);
	for (size_t i = 0; i < e->n_seen; i++)
		hw_buf_fini(&e->seen[i].inputs);
	free(e->seen);
}

/* ---- the chain, as the configuration has it ---- */

static int add_hooks(
	struct hw_evaluation *e, const struct hw_conf_hook *hooks, size_t n, bool global)
{
	struct hw_eval_said *more = realloc(e->said, (e->n_said + n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	e->said = more;
	for (size_t i = 0; i < n; i++)
		e->said[e->n_said++] = (struct hw_eval_said){.name = hooks[i].name,
			.source = hooks[i].given,
			.global = global,
			.shadow = hooks[i].shadow};
	return 0;
}

/* The tenant's hooks. 0; -ENOENT: it is not served here; negative errno. */
static int enter_tenant(struct hw_evaluation *e, struct hw_str id)
{
	const struct hw_tenant_rules *rules = hw_generation_rules(e->generation, id);
	const struct hw_conf_tenant *tenant = hw_conf_tenant_find(e->conf, id);
	int rc;

	if (!rules || !tenant)
		return -ENOENT;
	rc = hw_hook_bench_create(e->kit.env, rules->chain, id, 0, &e->tenant);
	return rc < 0 ? rc : add_hooks(e, tenant->hooks, tenant->n_hooks, false);
}

static struct hw_hook_bench *find_tenant(struct hw_ask *ask, struct hw_str id)
{
	struct hw_evaluation *e = HW_CONTAINER_OF(ask, struct hw_evaluation, ask);
	int rc = enter_tenant(e, id);

	if (rc == 0)
		return e->tenant;
	ask->code = rc == -ENOENT ? "forbidden_topic" : "unavailable";
	snprintf(ask->message, sizeof(ask->message), "%s",
		rc == -ENOENT ? "this tenant is not served here"
			      : "the tenant's policy cannot run now");
	return NULL;
}

static void on_heard(struct hw_ask *ask, const struct hw_heard *heard)
{
	struct hw_evaluation *e = HW_CONTAINER_OF(ask, struct hw_evaluation, ask);
	int64_t now = now_us();

	for (size_t i = e->last; i < e->n_said; i++) {
		struct hw_eval_said *s = &e->said[i];

		if (s->global != heard->global || strcmp(s->name, heard->entry) != 0)
			continue;
		s->heard = true;
		s->verdict = heard->verdict;
		s->code = heard->code;
		s->changed = heard->event.p != NULL;
		snprintf(s->message, sizeof(s->message), "%s", heard->message);
		snprintf(s->detail, sizeof(s->detail), "%s", heard->detail);
		s->took_us = now - e->since_us;
		e->last = i + 1;
		break;
	}
	e->since_us = now;
}

static void on_decided(struct hw_ask *ask)
{
	struct hw_evaluation *e = HW_CONTAINER_OF(ask, struct hw_evaluation, ask);

	e->decided = true;
	hw_loop_stop(e->loop);
}

static void ask(struct hw_evaluation *e)
{
	e->since_us = now_us();
	e->ask.heard = on_heard;
	e->ask.decided = on_decided;
	e->decided = hw_hooks_ask(&e->ask) != HW_PENDING;
	if (!e->decided)
		hw_loop_run(e->loop);
}

/* ---- questions ---- */

static void ask_who(struct hw_evaluation *e)
{
	struct hw_request request = {.size = sizeof(request),
		.token = hw_slice_of(hw_str_of(e->options->token)),
		.address = hw_slice_of(hw_str_of(e->options->address)),
		.path = HW_SLICE("/ws"),
		.transport = HW_SLICE("ws")};

	e->ask.request = &request;
	e->ask.find_tenant = find_tenant;
	ask(e);
}

static void ask_may(struct hw_evaluation *e, const struct hw_eval_operation *operation)
{
	const struct hw_eval_options *o = e->options;
	struct hw_str topic = o->topic ? hw_str_of(o->topic) : HW_STR("");
	struct hw_str resource = HW_STR(""), id = HW_STR("");
	struct hw_question question = {.size = sizeof(question),
		.operation = operation->operation,
		.topic = hw_slice_of(topic),
		.event = hw_slice_of(hw_str_of(o->event))};
	struct hw_who who = {.size = sizeof(who),
		.user_id = hw_slice_of(hw_str_of(o->user)),
		.tenant_id = hw_slice_of(hw_str_of(o->tenant)),
		.session = HW_SLICE(SESSION),
		.address = hw_slice_of(hw_str_of(o->address)),
		.claims = hw_slice_of(hw_str_of(o->claims))};

	if (topic.len > 0)
		hw_topic_split(topic, &resource, &id);
	question.resource = hw_slice_of(resource);
	question.id = hw_slice_of(id);
	if (question.operation == HW_OP_SUBSCRIBE && hw_topic_is_wildcard(topic))
		question.operation = HW_OP_WILDCARD;
	e->ask.who = &who;
	e->ask.question = &question;
	e->ask.event = hw_str_of(o->event);
	e->ask.tenant = e->tenant;
	ask(e);
}

/* ---- who sees what ---- */

static void add_inputs(struct hw_buf *out, const struct hw_audience *audience)
{
	for (size_t i = 0; i < audience->reads->n; i++) {
		const struct hw_json *value = &audience->values[i];

		hw_buf_printf(out, "%s%s = ", i > 0 ? ", " : "", audience->reads->reads[i].name);
		if (value->kind == HW_JSON_NONE)
			hw_buf_puts(out, "absent");
		else
			hw_buf_str(out, value->raw);
	}
}

static void on_view_heard(struct hw_view *view, const struct hw_view_heard *heard)
{
	struct hw_evaluation *e = HW_CONTAINER_OF(view, struct hw_evaluation, view);
	struct hw_eval_seen *more = realloc(e->seen, (e->n_seen + 1) * sizeof(*more)), *s;
	int64_t now = now_us();

	if (!more)
		return;
	e->seen = more;
	s = &e->seen[e->n_seen++];
	*s = (struct hw_eval_seen){.global = heard->global,
		.stage = heard->stage,
		.verdict = heard->verdict,
		.changed = heard->changed,
		.took_us = now - e->since_us};
	snprintf(s->name, sizeof(s->name), "%s", heard->entry);
	snprintf(s->detail, sizeof(s->detail), "%s", heard->detail);
	hw_buf_init(&s->inputs);
	add_inputs(&s->inputs, heard->audience);
	e->since_us = now;
}

/* The answer is in e->ask, as that of the other questions. */
static int ask_view(struct hw_evaluation *e, struct hw_str topic)
{
	const struct hw_eval_options *o = e->options;
	struct hw_identity who = {.user_id = hw_str_of(o->user),
		.tenant_id = hw_str_of(o->tenant),
		.claims = hw_str_of(o->claims)};
	size_t n = hw_audience_count(e->global, e->tenant);
	struct hw_json *values = calloc(n + 1, sizeof(*values));
	struct hw_buf key;
	int rc;

	hw_buf_init(&key);
	hw_audience_key(e->global, e->tenant, &who, &key);
	rc = values && !key.failed ? 0 : -ENOMEM;
	if (rc == 0) {
		hw_audience_values(hw_buf_view(&key), values, n);
		e->view = (struct hw_view){.heard = on_view_heard,
			.global = e->global,
			.tenant = e->tenant,
			.tenant_id = who.tenant_id,
			.values = values,
			.event = hw_str_of(o->event),
			.topic = topic};
		e->since_us = now_us();
		e->ask.verdict = hw_hooks_view(&e->view);
		e->ask.decided_by = e->view.decided_by;
		e->ask.new_event = e->view.new_event;
		e->ask.event = e->view.new_event
				       ? (struct hw_str){e->view.new_event, e->view.new_event_len}
				       : hw_str_of(o->event);
	}
	hw_buf_fini(&key);
	free(values);
	return rc;
}

/* ---- all of it ---- */

/* 0, or 2 with the reason said. */
static int ask_filter(struct hw_evaluation *e)
{
	struct hw_str event = hw_str_of(e->options->event);
	struct hw_event ev;
	struct hw_err err = {""};
	int rc = hw_event_parse(event, 0, &ev, NULL, &err);

	if (rc != 0)
		return complain("the EVENT is none", err.text);
	rc = ask_view(e, ev.topic);
	return rc < 0 ? complain("the hooks are not asked", strerror(-rc)) : 0;
}

int hw_policy_evaluate(const struct hw_eval_options *o, const struct hw_eval_operation *operation)
{
	struct hw_evaluation e = {.options = o, .ask.stage = operation->stage};
	bool who = operation->stage == HW_STAGE_AUTHENTICATE;
	int code = load(&e), rc;

	if (code == 0) {
		rc = start(&e);
		if (rc == 0)
			rc = add_hooks(&e, e.conf->global->hooks, e.conf->global->n_hooks, true);
		if (rc == 0 && !who)
			rc = enter_tenant(&e, hw_str_of(o->tenant));
		e.ask.global = e.global;
		if (rc == -ENOENT)
			code = complain(
				o->tenant, "this tenant is not served by the configuration");
		else if (rc < 0)
			code = complain("the hooks do not start", strerror(-rc));
	}
	if (code == 0) {
		if (who)
			ask_who(&e);
		else if (operation->stage == HW_STAGE_FILTER)
			code = ask_filter(&e);
		else
			ask_may(&e, operation);
	}
	if (code == 0) {
		hw_hook_inbox_run(e.kit.env, 0); /* what it wants published */
		hw_eval_tell(&e);
		if (o->explain)
			hw_eval_explain(&e);
		code = e.ask.verdict == HW_ALLOW ? 0 : 1;
	}
	finish(&e);
	return hw_cli_end("policy eval", code, 2);
}
