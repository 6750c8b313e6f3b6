#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "app/cmd_policy.h"
#include "app/conf.h"
#include "app/generation_make.h"
#include "app/hook_kit.h"
#include "hook/audience.h"
#include "hook/http_client.h"
#include "hook/inbox.h"
#include "hook/io.h"
#include "net/loop.h"
#include "net/trust.h"
#include "session/who.h"
#include "wire/event.h"
#include "wire/topic.h"

#define ADDRESS "127.0.0.1"
#define SESSION "policy-eval"

static const char usage[] =
	"usage: hookwire policy eval -c FILE --tenant TENANT --user USER [OPTIONS] WHAT\n"
	"       hookwire policy eval -c FILE [OPTIONS] authenticate [TOKEN]\n"
	"\n"
	"Asks the hooks of a configuration one question, as the broker would, and prints the\n"
	"answer. Hooks do all that they do in the broker: what they ask over HTTP is asked.\n"
	"\n"
	"WHAT is one of\n"
	"  subscribe TOPIC         may they follow it? \"gift-list:*\" is the wildcard\n"
	"  publish TOPIC [EVENT]   may they publish to it? EVENT is JSON\n"
	"  presence TOPIC          may they see who is there?\n"
	"  session                 may they have a session at all?\n"
	"  transform EVENT         what becomes of it?\n"
	"  filter EVENT            do they get it, and what of it? (filter, then redact)\n"
	"  authenticate [TOKEN]    who is it? Without TOKEN that of $HOOKWIRE_TOKEN\n"
	"\n"
	"  -c, --config FILE   the configuration\n"
	"  --tenant TENANT     the session's tenant\n"
	"  --user USER         its user\n"
	"  --claims JSON       its claims, an object (default: {})\n"
	"  --address ADDRESS   its address (default: 127.0.0.1)\n"
	"  --event EVENT       instead of the word EVENT\n"
	"  --audience JSON     of filter, instead of --user and --claims:\n"
	"                      {\"user_id\": \"bob\", \"claims\": {\"role\": \"guest\"}}\n"
	"  --explain           say what each hook of the chain answered, and which one decided\n"
	"  -h, --help          this text\n"
	"\n"
	"Exit status: 0 if it is allowed, 1 if it is not, 2 if it could not be asked.\n";

struct options {
	const char *config, *tenant, *user, *claims, *address, *audience;
	char *audience_user, *audience_claims; /* out of @audience */
	bool explain;
	const char *what, *topic, *event, *token;
};

/* What one hook answered. */
struct said {
	const char *name; /* the configuration's */
	const char *source;
	bool global;
	bool heard;
	bool shadow;
	enum hw_verdict verdict;
	const char *code;
	char message[256], detail[256];
	bool changed;
	int64_t took_us;
};

/* What one hook said of who sees an event, and from what. */
struct seen {
	char name[80];
	bool global;
	enum hw_hook_stage stage;
	enum hw_verdict verdict;
	bool changed;
	char detail[256];
	struct hw_buf inputs; /* "claims.role = \"guest\"" */
	int64_t took_us;
};

struct evaluation {
	const struct options *options;
	struct hw_conf *conf;
	struct hw_hook_kit kit;
	struct hw_generation *generation;
	struct hw_loop *loop;
	struct hw_trust *trust; /* of https; NULL: there are no authorities */
	bool entered, joined;
	struct hw_hook_bench *global, *tenant;
	struct hw_ask ask;
	bool decided;
	struct said *said; /* the global entries, then the tenant's */
	size_t n_said;
	size_t last; /* that was heard, plus 1 */
	int64_t since_us;
	struct hw_view view;
	struct seen *seen; /* in the order in which they were asked */
	size_t n_seen;
};

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
static int load(struct evaluation *e)
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
	struct evaluation *e = arg;

	if (e->joined)
		hw_hook_inbox_run(e->kit.env, 0);
	return false;
}

static bool has_work(void *arg)
{
	struct evaluation *e = arg;

	return e->joined && hw_hook_inbox_has(e->kit.env, 0);
}

static void wake(void *arg)
{
	hw_loop_wake(((struct evaluation *)arg)->loop);
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

static int start(struct evaluation *e)
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

static void finish(struct evaluation *e)
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

static int add_hooks(struct evaluation *e, const struct hw_conf_hook *hooks, size_t n, bool global)
{
	struct said *more = realloc(e->said, (e->n_said + n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	e->said = more;
	for (size_t i = 0; i < n; i++)
		e->said[e->n_said++] = (struct said){.name = hooks[i].name,
			.source = hooks[i].given,
			.global = global,
			.shadow = hooks[i].shadow};
	return 0;
}

/* The tenant's hooks. 0; -ENOENT: it is not served here; negative errno. */
static int enter_tenant(struct evaluation *e, struct hw_str id)
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
	struct evaluation *e = HW_CONTAINER_OF(ask, struct evaluation, ask);
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
	struct evaluation *e = HW_CONTAINER_OF(ask, struct evaluation, ask);
	int64_t now = now_us();

	for (size_t i = e->last; i < e->n_said; i++) {
		struct said *s = &e->said[i];

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
	struct evaluation *e = HW_CONTAINER_OF(ask, struct evaluation, ask);

	e->decided = true;
	hw_loop_stop(e->loop);
}

static void ask(struct evaluation *e)
{
	e->since_us = now_us();
	e->ask.heard = on_heard;
	e->ask.decided = on_decided;
	e->decided = hw_hooks_ask(&e->ask) != HW_PENDING;
	if (!e->decided)
		hw_loop_run(e->loop);
}

/* ---- questions ---- */

static const struct operation {
	const char *name;
	enum hw_hook_stage stage;
	enum hw_operation operation;
	bool topic, event;
} operations[] = {
	{"subscribe", HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, true, false},
	{"publish", HW_STAGE_AUTHORIZE, HW_OP_PUBLISH, true, false},
	{"presence", HW_STAGE_AUTHORIZE, HW_OP_PRESENCE, true, false},
	{"session", HW_STAGE_AUTHORIZE, HW_OP_SESSION, false, false},
	{"transform", HW_STAGE_TRANSFORM, 0, false, true},
	{"filter", HW_STAGE_FILTER, 0, false, true},
	{"authenticate", HW_STAGE_AUTHENTICATE, 0, false, false},
};

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; name && i < HW_COUNT(operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

static void ask_who(struct evaluation *e)
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

static void ask_may(struct evaluation *e, const struct operation *operation)
{
	const struct options *o = e->options;
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
	struct evaluation *e = HW_CONTAINER_OF(view, struct evaluation, view);
	struct seen *more = realloc(e->seen, (e->n_seen + 1) * sizeof(*more)), *s;
	int64_t now = now_us();

	if (!more)
		return;
	e->seen = more;
	s = &e->seen[e->n_seen++];
	*s = (struct seen){.global = heard->global,
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
static int ask_view(struct evaluation *e, struct hw_str topic)
{
	const struct options *o = e->options;
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

/* ---- the answer ---- */

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

static void print_answer(const struct evaluation *e)
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
static bool ends_it(const struct evaluation *e, const struct said *s)
{
	if (s->verdict == HW_DEFER)
		return false;
	return s->verdict != HW_ALLOW || (e->ask.stage == HW_STAGE_AUTHORIZE && !s->global);
}

static void explain_one(const struct evaluation *e, size_t i)
{
	const struct said *s = &e->said[i];
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

static const char *source_of(const struct evaluation *e, const struct seen *s)
{
	for (size_t i = 0; i < e->n_said; i++)
		if (e->said[i].global == s->global && strcmp(e->said[i].name, s->name) == 0)
			return e->said[i].source;
	return "";
}

static bool was_seen(const struct evaluation *e, const struct said *said)
{
	for (size_t i = 0; i < e->n_seen; i++)
		if (e->seen[i].global == said->global && strcmp(e->seen[i].name, said->name) == 0)
			return true;
	return false;
}

static void explain_seen(const struct evaluation *e, const struct seen *s)
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

static void explain_view(const struct evaluation *e)
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

static void explain(const struct evaluation *e)
{
	const struct options *o = e->options;

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

/* ---- all of it ---- */

/* 0, or 2 with the reason said. */
static int ask_filter(struct evaluation *e)
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

static int evaluate(const struct options *o, const struct operation *operation)
{
	struct evaluation e = {.options = o, .ask.stage = operation->stage};
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
		print_answer(&e);
		if (o->explain)
			explain(&e);
		code = e.ask.verdict == HW_ALLOW ? 0 : 1;
	}
	finish(&e);
	if (fflush(stdout) != 0 || ferror(stdout))
		return complain("standard output", strerror(errno));
	return code;
}

static bool is_object(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);
	bool is = json_is_object(value);

	json_decref(value);
	return is;
}

/* Takes the user and the claims out of --audience. NULL, or what is wrong. */
static const char *take_audience(struct options *o)
{
	json_t *audience = json_loads(o->audience, 0, NULL), *value;
	const char *wrong = json_is_object(audience) ? NULL : "--audience is a JSON object", *key;

	json_object_foreach(audience, key, value)
	{
		if ((strcmp(key, "user_id") == 0 || strcmp(key, "user") == 0) &&
			json_is_string(value) && !o->audience_user)
			o->audience_user = strdup(json_string_value(value));
		else if (strcmp(key, "claims") == 0 && json_is_object(value))
			o->audience_claims = json_dumps(value, JSON_COMPACT);
		else
			wrong = "--audience has user_id, a text, and claims, an object: "
				"{\"user_id\": \"bob\", \"claims\": {\"role\": \"guest\"}}";
	}
	json_decref(audience);
	if (o->audience_user)
		o->user = o->audience_user;
	if (o->audience_claims)
		o->claims = o->audience_claims;
	/* who reads nothing of the user need not be told one */
	if (!o->user)
		o->user = "nobody";
	return wrong;
}

/* What is wrong with it, NULL: nothing. */
static const char *wrong_with(const struct options *o, const struct operation *operation)
{
	if (!operation)
		return "it asks nothing: subscribe, publish, presence, session, transform, "
		       "filter or authenticate";
	if (!o->config)
		return "it needs -c FILE";
	if (operation->stage == HW_STAGE_AUTHENTICATE)
		return o->token && *o->token ? NULL
					     : "authenticate needs a TOKEN, or $HOOKWIRE_TOKEN";
	if (o->audience && operation->stage != HW_STAGE_FILTER)
		return "--audience is of filter";
	if (!o->tenant || !hw_tenant_id_valid(hw_str_of(o->tenant)))
		return "it needs --tenant TENANT";
	if (!o->user || !hw_user_id_valid(hw_str_of(o->user)))
		return "it needs --user USER";
	if (!is_object(o->claims))
		return "--claims is a JSON object: '{\"role\":\"admin\"}'";
	if (operation->topic && !o->topic)
		return "it needs a TOPIC";
	if (o->topic && !(operation->operation == HW_OP_SUBSCRIBE
					? hw_topic_pattern_valid(hw_str_of(o->topic))
					: hw_topic_valid(hw_str_of(o->topic))))
		return "the topic is none: resource:id";
	if ((operation->event || o->event) && (!o->event || !is_object(o->event)))
		return "the EVENT is a JSON object";
	return NULL;
}

/* @n words after the options. NULL or what is wrong. */
static const char *take_words(
	struct options *o, const struct operation *operation, int n, char **words)
{
	int used = 1;

	if (!operation)
		return NULL;
	if (operation->stage == HW_STAGE_AUTHENTICATE) {
		o->token = used < n ? words[used++] : getenv("HOOKWIRE_TOKEN");
	} else {
		if (operation->topic && used < n)
			o->topic = words[used++];
		if (!o->event && used < n &&
			(operation->event || operation->operation == HW_OP_PUBLISH))
			o->event = words[used++];
	}
	return used < n ? "there is a word too many" : NULL;
}

int hw_cmd_policy_eval(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"tenant", required_argument, NULL, 'T'},
		{"user", required_argument, NULL, 'U'},
		{"claims", required_argument, NULL, 'C'},
		{"address", required_argument, NULL, 'A'},
		{"event", required_argument, NULL, 'V'},
		{"audience", required_argument, NULL, 'W'},
		{"explain", no_argument, NULL, 'E'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.claims = "{}", .address = ADDRESS};
	const struct operation *operation;
	const char *wrong;
	int c, code;

	optind = 1;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'c':
			o.config = optarg;
			break;
		case 'T':
			o.tenant = optarg;
			break;
		case 'U':
			o.user = optarg;
			break;
		case 'C':
			o.claims = optarg;
			break;
		case 'A':
			o.address = optarg;
			break;
		case 'V':
			o.event = optarg;
			break;
		case 'W':
			o.audience = optarg;
			break;
		case 'E':
			o.explain = true;
			break;
		default:
			fprintf(stderr, "try: %s --help\n", argv[0]);
			return 2;
		}
	}
	o.what = optind < argc ? argv[optind] : NULL;
	operation = find_operation(o.what);
	wrong = take_words(&o, operation, argc - optind, argv + optind);
	if (!wrong && o.audience)
		wrong = take_audience(&o);
	if (!wrong)
		wrong = wrong_with(&o, operation);
	if (wrong)
		fprintf(stderr, "%s: %s; try: %s --help\n", argv[0], wrong, argv[0]);
	code = wrong ? 2 : evaluate(&o, operation);
	free(o.audience_user);
	free(o.audience_claims);
	return code;
}
