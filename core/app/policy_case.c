#include "app/policy_case.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/policy_play.h"
#include "hook/audience.h"
#include "session/who.h"
#include "wire/topic.h"

/* A case, and each of its steps, is a table of what is asked and what must come of it. What a step
 * does not say the case says, and what the case does not, the file. */

#define ADDRESS "192.0.2.1"

static const char *const keys[] = {"name", "config", "global", "budget", "session", "http",
	"now_ms", "wait_ms", "steps", "ask", "topic", "event", "token", "address", "origin", "path",
	"transport", "close_code", "number", "expect", "code", "message", "error", "identity",
	"act_as", "changed", "requests", "published", "log"};

/* What a case may ask. */
static const struct hw_play_question questions[] = {
	{"authenticate", HW_STAGE_AUTHENTICATE, 0, 0, false, false},
	{"subscribe", HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, 0, true, false},
	{"wildcard", HW_STAGE_AUTHORIZE, HW_OP_WILDCARD, 0, true, false},
	{"publish", HW_STAGE_AUTHORIZE, HW_OP_PUBLISH, 0, true, true},
	{"presence", HW_STAGE_AUTHORIZE, HW_OP_PRESENCE, 0, true, false},
	{"session", HW_STAGE_AUTHORIZE, HW_OP_SESSION, 0, false, false},
	{"transform", HW_STAGE_TRANSFORM, 0, 0, false, true},
	{"see", HW_STAGE_FILTER, 0, 0, true, true},
	{"connect", HW_STAGE_LIFECYCLE, 0, HW_ON_CONNECT, false, false},
	{"disconnect", HW_STAGE_LIFECYCLE, 0, HW_ON_DISCONNECT, false, false},
	{"occupied", HW_STAGE_LIFECYCLE, 0, HW_ON_OCCUPIED, true, false},
	{"vacated", HW_STAGE_LIFECYCLE, 0, HW_ON_VACATED, true, false},
	{"published", HW_STAGE_LIFECYCLE, 0, HW_ON_PUBLISH, true, true},
	/* nobody is asked: wait_ms pass; and then the policy is loaded anew */
	{"wait", HW_STAGE_EVERY, 0, 0, false, false},
	{"reload", HW_STAGE_EVERY, 0, 0, false, false},
};

/* ---- saying what is wrong ---- */

void hw_play_complain(struct hw_play *p, const char *format, ...)
{
	va_list args;

	p->failed = true;
	hw_buf_puts(p->why, "  ");
	if (p->n_step > 0)
		hw_buf_printf(p->why, "step %zu: ", p->n_step);
	va_start(args, format);
	hw_buf_vprintf(p->why, format, args);
	va_end(args);
	hw_buf_putc(p->why, '\n');
}

static const char *nearest(const char *word, const char *const *known, size_t n)
{
	const char *best = NULL;
	size_t least = 4;

	for (size_t i = 0; i < n; i++) {
		size_t d = hw_str_distance(hw_str_of(word), hw_str_of(known[i]));

		if (d < least) {
			least = d;
			best = known[i];
		}
	}
	return best;
}

static void check_keys(struct hw_play *p, json_t *object, const char *where)
{
	const char *key, *near;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < HW_COUNT(keys); i++)
			known |= strcmp(key, keys[i]) == 0;
		if (known)
			continue;
		near = nearest(key, keys, HW_COUNT(keys));
		if (near)
			hw_play_complain(
				p, "unknown key '%s' in %s (did you mean '%s'?)", key, where, near);
		else
			hw_play_complain(p, "unknown key '%s' in %s", key, where);
	}
}

/* ---- what a step says ---- */

json_t *hw_play_look(const struct hw_play *p, const char *key)
{
	json_t *value = p->step ? json_object_get(p->step, key) : NULL;

	if (!value)
		value = json_object_get(p->one, key);
	return value ? value : json_object_get(p->file, key);
}

const char *hw_play_text(struct hw_play *p, const char *key, const char *otherwise)
{
	const json_t *value = hw_play_look(p, key);

	if (value && !json_is_string(value))
		hw_play_complain(p, "'%s' must be a text", key);
	return json_is_string(value) ? json_string_value(value) : otherwise;
}

static int64_t look_number(struct hw_play *p, const char *key, int64_t otherwise)
{
	const json_t *value = hw_play_look(p, key);

	if (value && !json_is_integer(value))
		hw_play_complain(p, "'%s' must be a whole number", key);
	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static struct hw_slice slice_of_member(const json_t *object, const char *key, const char *otherwise)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		return (struct hw_slice){json_string_value(value), json_string_length(value)};
	return (struct hw_slice){otherwise, strlen(otherwise)};
}

static const struct hw_play_question *find_question(const char *name)
{
	for (size_t i = 0; i < HW_COUNT(questions); i++)
		if (strcmp(questions[i].name, name) == 0)
			return &questions[i];
	return NULL;
}

/* ---- the policy, loaded for one case ---- */

static unsigned budget_member(const json_t *budget, const char *key, unsigned otherwise)
{
	const json_t *value = json_object_get(budget, key);

	return json_is_integer(value) ? (unsigned)json_integer_value(value) : otherwise;
}

static struct hw_hook_budget budget_of(const struct hw_play *p)
{
	struct hw_hook_budget b = HW_HOOK_BUDGET_DEFAULT;
	const json_t *said = hw_play_look(p, "budget");

	b.cpu_ms = budget_member(said, "cpu_ms", b.cpu_ms);
	b.load_ms = budget_member(said, "load_ms", b.load_ms);
	b.deadline_ms = budget_member(said, "deadline_ms", b.deadline_ms);
	b.in_flight = budget_member(said, "in_flight", b.in_flight);
	b.memory_bytes = budget_member(said, "memory_bytes", (unsigned)b.memory_bytes);
	return b;
}

/* The first step decides on which side the policy stands. */
static void decide_side(struct hw_play *p)
{
	const json_t *given = hw_play_look(p, "global"), *steps = json_object_get(p->one, "steps");
	const json_t *ask = steps ? json_object_get(json_array_get(steps, 0), "ask") : NULL;

	if (!ask)
		ask = hw_play_look(p, "ask");
	p->is_global = given ? json_is_true(given)
			     : ask && json_is_string(ask) &&
				       strcmp(json_string_value(ask), "authenticate") == 0;
}

static bool load(struct hw_play *p)
{
	struct hw_hook_entry *entry = NULL;
	struct hw_hook_problem problem = {0};
	char *config = NULL;
	struct hw_hook_spec spec = {.name = p->cases->name,
		.kind = p->cases->kind,
		.path = p->cases->policy,
		.budget = budget_of(p),
		.global = p->is_global};
	int rc;

	if (hw_play_look(p, "config")) {
		if (!json_is_object(hw_play_look(p, "config"))) {
			hw_play_complain(p, "'config' must be a table");
			return false;
		}
		config = json_dumps(hw_play_look(p, "config"), JSON_COMPACT);
		spec.config = hw_str_of(config);
	}
	rc = hw_hook_entry_load(p->stage->kit.env, &spec, &p->cases->last, p->cases->last ? 1 : 0,
		&entry, &problem);
	free(config);
	if (rc < 0) {
		if (!hw_play_expects(p, "refused"))
			hw_play_complain(p, "the policy does not load: %s%s%s", problem.path,
				problem.path[0] ? ": " : "", problem.text);
		else
			hw_play_expect_contained(p, "error", problem.text);
		return false;
	}
	p->chain = hw_hook_chain_create(&entry, 1);
	p->none = hw_hook_chain_create(NULL, 0);
	hw_hook_entry_unref(&entry);
	if (!p->chain || !p->none)
		hw_play_complain(p, "out of memory");
	return p->chain && p->none;
}

static bool set_up(struct hw_play *p)
{
	struct hw_slice tenant = slice_of_member(hw_play_look(p, "session"), "tenant_id", "acme");
	struct hw_hook_env *env = p->stage->kit.env;
	int rc;

	decide_side(p);
	if (!load(p))
		return false;
	if (hw_play_expects(p, "refused") && !json_object_get(p->one, "steps"))
		hw_play_complain(p, "expected to be refused, but the policy loads");
	rc = hw_hook_bench_create(
		env, p->is_global ? p->chain : p->none, HW_STR(""), 0, &p->global);
	if (rc == 0)
		rc = hw_hook_bench_create(env, p->is_global ? p->none : p->chain,
			(struct hw_str){tenant.p, tenant.len}, 0, &p->tenant);
	if (rc < 0)
		hw_play_complain(p, "the policy does not start: %s", strerror(-rc));
	return rc == 0;
}

static void tear_down(struct hw_play *p)
{
	hw_hook_bench_destroy(&p->tenant);
	hw_hook_bench_destroy(&p->global);
	if (p->none)
		hw_hook_chain_unref(&p->none);
	if (p->chain) {
		if (p->cases->last)
			hw_hook_chain_unref(&p->cases->last);
		p->cases->last = p->chain;
	}
	hw_hook_env_reap(p->stage->kit.env);
	if (hw_hook_env_forget_values(p->stage->kit.env) < 0)
		hw_play_complain(p, "out of memory");
}

/* ---- asking ---- */

static void on_heard(struct hw_ask *ask, const struct hw_heard *heard)
{
	struct hw_play *p = HW_CONTAINER_OF(ask, struct hw_play, ask);

	p->heard = true;
	p->said = *heard;
	snprintf(p->message, sizeof(p->message), "%s", heard->message);
	snprintf(p->detail, sizeof(p->detail), "%s", heard->detail);
}

static void on_decided(struct hw_ask *ask)
{
	HW_CONTAINER_OF(ask, struct hw_play, ask)->decided = true;
}

static struct hw_hook_bench *find_tenant(struct hw_ask *ask, struct hw_str tenant_id)
{
	(void)tenant_id;
	return HW_CONTAINER_OF(ask, struct hw_play, ask)->tenant;
}

/* The strings that a question is made of. */
struct texts {
	char *claims, *event;
	struct hw_who who;
	struct hw_question question;
	struct hw_lifecycle lifecycle;
	struct hw_request request;
};

static void make_who(struct hw_play *p, struct texts *t)
{
	const json_t *session = hw_play_look(p, "session"),
		     *claims = json_object_get(session, "claims");
	const json_t *expires_at = json_object_get(session, "expires_at");

	t->claims = claims ? json_dumps(claims, JSON_COMPACT) : strdup("{}");
	t->who = (struct hw_who){.size = sizeof(t->who),
		.user_id = slice_of_member(session, "user_id", "alice"),
		.tenant_id = slice_of_member(session, "tenant_id", "acme"),
		.session = slice_of_member(session, "session", "session-1"),
		.address = slice_of_member(session, "address", ADDRESS),
		.claims = {t->claims, t->claims ? strlen(t->claims) : 0},
		.expires_at = json_integer_value(expires_at)};
}

/* The topic of the case, or of its event; "" when a question needs none. */
static const char *topic_of(struct hw_play *p)
{
	const json_t *event = hw_play_look(p, "event");
	const char *topic = hw_play_text(p, "topic", NULL);

	if (!topic && p->question->event && json_is_object(event))
		topic = json_string_value(json_object_get(event, "topic"));
	if (!topic && p->question->topic)
		hw_play_complain(p, "it asks for %s and has no topic", p->question->name);
	else if (topic && !hw_topic_pattern_valid(hw_str_of(topic)))
		hw_play_complain(p, "'%s' is no topic: resource:id", topic);
	return topic ? topic : "";
}

static void make_event(struct hw_play *p, const char *topic, struct texts *t)
{
	json_t *event = hw_play_look(p, "event");

	if (json_is_string(event)) {
		t->event = strdup(json_string_value(event));
		return;
	}
	if (event && !json_is_object(event))
		hw_play_complain(p, "'event' must be a table, or JSON as a text");
	event = json_is_object(event) ? json_deep_copy(event) : json_object();
	if (!json_object_get(event, "topic"))
		json_object_set_new(event, "topic", json_string(topic));
	if (!json_object_get(event, "event"))
		json_object_set_new(event, "event", json_string("UPDATED"));
	if (!json_object_get(event, "data"))
		json_object_set_new(event, "data", json_pack("{s:s}", "entity_id", "entity-1"));
	t->event = json_dumps(event, JSON_COMPACT);
	json_decref(event);
}

static void make_question(struct hw_play *p, struct texts *t)
{
	const char *topic = topic_of(p);
	struct hw_str resource = HW_STR_NULL, id = HW_STR_NULL;

	make_who(p, t);
	if (p->question->event)
		make_event(p, topic, t);
	if (hw_topic_pattern_valid(hw_str_of(topic)))
		hw_topic_split(hw_str_of(topic), &resource, &id);
	t->question = (struct hw_question){.size = sizeof(t->question),
		.operation = p->question->operation,
		.topic = hw_slice_of(hw_str_of(topic)),
		.resource = hw_slice_of(resource),
		.id = hw_slice_of(id),
		.event = hw_slice_of(hw_str_of(t->event))};
	t->lifecycle = (struct hw_lifecycle){.size = sizeof(t->lifecycle),
		.kind = p->question->kind,
		.close_code = (int)look_number(p, "close_code", 0),
		.topic = t->question.topic,
		.resource = t->question.resource,
		.id = t->question.id,
		.event = t->question.event,
		.number = (uint64_t)look_number(p, "number", 1)};
	/* nobody in particular occupies a topic */
	if (p->question->kind == HW_ON_OCCUPIED || p->question->kind == HW_ON_VACATED)
		t->who = (struct hw_who){.size = sizeof(t->who), .tenant_id = t->who.tenant_id};
	t->request = (struct hw_request){.size = sizeof(t->request),
		.token = hw_slice_of(hw_str_of(hw_play_text(p, "token", "token"))),
		.address = hw_slice_of(hw_str_of(hw_play_text(p, "address", ADDRESS))),
		.origin = hw_slice_of(hw_str_of(hw_play_text(p, "origin", ""))),
		.path = hw_slice_of(hw_str_of(hw_play_text(p, "path", "/ws"))),
		.transport = hw_slice_of(hw_str_of(hw_play_text(p, "transport", "ws")))};
}

static void ask(struct hw_play *p, struct texts *t)
{
	bool authenticate = p->question->stage == HW_STAGE_AUTHENTICATE;

	p->ask = (struct hw_ask){.stage = p->question->stage,
		.heard = on_heard,
		.global = p->global,
		.tenant = authenticate ? NULL : p->tenant,
		.request = authenticate ? &t->request : NULL,
		.who = authenticate ? NULL : &t->who,
		.question = &t->question,
		.event = hw_str_of(t->event),
		.lifecycle = &t->lifecycle,
		.find_tenant = find_tenant,
		.decided = on_decided};
	p->decided = hw_hooks_ask(&p->ask) != HW_PENDING;
	if (!hw_policy_stage_until(p->stage, &p->decided)) {
		hw_hooks_cancel(&p->ask);
		hw_play_complain(p, "the policy waits for something that will never come");
	}
	/* nobody waits for these: they go on by themselves */
	if (p->question->stage == HW_STAGE_LIFECYCLE)
		hw_policy_stage_pass(p->stage, budget_of(p).deadline_ms);
}

/* What the session gets of the event. */
static void see(struct hw_play *p, struct texts *t)
{
	struct hw_identity who = {.user_id = {t->who.user_id.p, t->who.user_id.len},
		.tenant_id = {t->who.tenant_id.p, t->who.tenant_id.len},
		.claims = {t->who.claims.p, t->who.claims.len}};
	size_t n = hw_audience_count(p->global, p->tenant);
	struct hw_json *values = calloc(n + 1, sizeof(*values));
	struct hw_view view = {.global = p->global,
		.tenant = p->tenant,
		.tenant_id = who.tenant_id,
		.values = values,
		.event = hw_str_of(t->event),
		.topic = {t->question.topic.p, t->question.topic.len}};
	struct hw_buf key;

	hw_buf_init(&key);
	hw_audience_key(p->global, p->tenant, &who, &key);
	if (!values || key.failed) {
		hw_play_complain(p, "out of memory");
	} else {
		hw_audience_values(hw_buf_view(&key), values, n);
		p->ask.stage = HW_STAGE_FILTER;
		p->said.verdict = p->ask.verdict = hw_hooks_view(&view);
		p->ask.new_event = view.new_event;
		p->ask.new_event_len = view.new_event_len;
		p->heard = true;
	}
	hw_buf_fini(&key);
	free(values);
}

/* ---- a step ---- */

static bool ready(struct hw_play *p)
{
	const char *name = hw_play_text(p, "ask", NULL), *wrong;
	const json_t *stubs = hw_play_look(p, "http");
	struct hw_buf scratch;

	p->question = name ? find_question(name) : NULL;
	if (!p->question)
		hw_play_complain(p,
			"'ask' is one of authenticate, subscribe, wildcard, publish, presence, "
			"session, transform, see, connect, disconnect, occupied, vacated, "
			"published, wait, reload; not '%s'",
			name ? name : "");
	hw_buf_init(&scratch);
	wrong = stubs ? hw_policy_stub_check(stubs, &scratch) : NULL;
	if (wrong)
		hw_play_complain(p, "%s", wrong);
	hw_buf_fini(&scratch);
	p->stage->stubs = hw_play_look(p, "http");
	return p->question && !wrong;
}

/* As a reload does that changes the chain: a new state takes over what the old one saves. */
static void reload(struct hw_play *p)
{
	struct hw_hook_bench **slot = p->is_global ? &p->global : &p->tenant, *next = NULL;
	struct hw_slice tenant = slice_of_member(hw_play_look(p, "session"), "tenant_id", "acme");
	struct hw_str name = {tenant.p, tenant.len};
	int rc = hw_hook_bench_create(
		p->stage->kit.env, p->chain, p->is_global ? HW_STR("") : name, 0, &next);

	if (rc < 0) {
		hw_play_complain(p, "the policy does not start: %s", strerror(-rc));
		return;
	}
	hw_hook_bench_inherit(next, *slot);
	hw_hook_bench_destroy(slot);
	*slot = next;
}

static void play_step(struct hw_play *p)
{
	struct texts texts = {0};

	if (!ready(p))
		return;
	p->heard = false;
	p->said = (struct hw_heard){0};
	p->message[0] = p->detail[0] = '\0';
	p->ask = (struct hw_ask){0};
	hw_buf_clear(&p->stage->requests);
	hw_buf_clear(&p->stage->unmatched);
	json_array_clear(p->stage->published);
	if (hw_play_look(p, "wait_ms"))
		hw_policy_stage_pass(p->stage, look_number(p, "wait_ms", 0));
	if (strcmp(p->question->name, "reload") == 0)
		reload(p);
	if (p->question->stage != HW_STAGE_EVERY) {
		make_question(p, &texts);
		if (!p->failed) {
			if (p->question->stage == HW_STAGE_FILTER)
				see(p, &texts);
			else
				ask(p, &texts);
			hw_play_judge(p);
		}
	}
	hw_play_judge_effects(p);
	if (p->failed && p->stage->unmatched.len > 0)
		hw_play_complain(p, "no answer in http to %.*s", (int)p->stage->unmatched.len - 1,
			p->stage->unmatched.data);
	hw_identity_unref(&p->ask.identity);
	free(p->ask.new_event);
	free(texts.claims);
	free(texts.event);
}

static void play_steps(struct hw_play *p)
{
	json_t *steps = json_object_get(p->one, "steps");

	if (!steps) {
		play_step(p);
		return;
	}
	if (!json_is_array(steps) || json_array_size(steps) == 0)
		hw_play_complain(p, "'steps' must be a list of tables");
	for (size_t i = 0; i < json_array_size(steps) && !p->failed; i++) {
		p->n_step = i + 1;
		p->step = json_array_get(steps, i);
		check_keys(p, p->step, "a step");
		play_step(p);
	}
}

/* What the policy logged. That it failed, and why, has been said. */
static void add_log(struct hw_play *p)
{
	struct hw_buf log;
	struct hw_str rest, line;

	hw_buf_init(&log);
	hw_policy_stage_read_log(p->stage, &log);
	rest = hw_buf_view(&log);
	while (rest.len > 0) {
		line = hw_str_cut(&rest, '\n');
		hw_str_cut(&line, ' '); /* the time of day is nobody's here */
		if (p->question && p->question->stage == HW_STAGE_FILTER)
			hw_buf_printf(p->why, "  log: %.*s\n", HW_STR_ARG(line));
		else if (!hw_str_starts(line, HW_STR("WARN  hook: hook failed")))
			hw_buf_printf(p->why, "  log: %.*s\n", HW_STR_ARG(line));
	}
	hw_buf_fini(&log);
}

bool hw_policy_case_play(struct hw_policy_stage *stage, struct hw_policy_cases *cases, json_t *one,
	struct hw_buf *why)
{
	struct hw_play p = {.stage = stage,
		.cases = cases,
		.why = why,
		.file = json_deep_copy(cases->file),
		.one = json_deep_copy(one)};

	hw_policy_stage_forget_log(stage);
	check_keys(&p, p.one, "a case");
	check_keys(&p, p.file, "the file");
	stage->real_time = cases->kind == HW_HOOK_PLUGIN;
	stage->wall_ms = look_number(&p, "now_ms", HW_POLICY_NOW_MS);
	if (!p.failed && set_up(&p) && !p.failed)
		play_steps(&p);
	tear_down(&p);
	stage->stubs = NULL;
	if (p.failed)
		add_log(&p);
	json_decref(p.file);
	json_decref(p.one);
	return !p.failed;
}
