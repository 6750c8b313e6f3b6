#include "hook/entry_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "crypto/digest.h"
#include "hook/chain_internal.h"
#include "hook/lua_internal.h"
#include "hook/lua_task.h"
#include "hook/watchdog.h"
#include "wire/json.h"

/* Lua behind struct hw_entry_ops: who has which state, when it is made and dropped, and the copy
 * of what a policy answered. The entries of one tenant's chain share bench->lua; a global entry
 * has a state of its own, and so has a shadow, whose end is nobody else's business. */

static struct hw_lua_entry *lua_entry(struct hw_hook_entry *entry)
{
	return HW_CONTAINER_OF(entry, struct hw_lua_entry, base);
}

static const struct hw_lua_entry *const_lua_entry(const struct hw_hook_entry *entry)
{
	return (const struct hw_lua_entry *)entry;
}

/* Looking through an event takes time that its publisher chooses, not the policy: so much for each
 * KiB comes on top of cpu_ms. Half as much again as an object of many small members takes. */
#define EVENT_US_PER_KIB 150

static uint32_t ms_to_us(unsigned ms)
{
	return ms > 3600000 ? 3600000000u : ms * 1000;
}

static uint32_t burst_us(const struct hw_hook_budget *budget, size_t event_len)
{
	uint64_t us = ms_to_us(budget->cpu_ms) + (uint64_t)event_len * EVENT_US_PER_KIB / 1024;

	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* ---- chunks in states ---- */

struct hw_lua_chunk *hw_lua_find_chunk(struct hw_lua_state *state, const struct hw_lua_entry *entry)
{
	struct hw_lua_chunk *chunk = state->chunks;

	while (chunk && chunk->entry != entry)
		chunk = chunk->next;
	return chunk;
}

/* What a chunk that failed to load has left in the registry. Neither raises nor allocates. */
static void forget_chunk(struct hw_lua_state *state, struct hw_lua_chunk *chunk)
{
	for (int i = 0; i < HW_LUA_N_FUNCTIONS; i++)
		luaL_unref(state->lua, LUA_REGISTRYINDEX, chunk->functions[i]);
	for (unsigned i = 0; i < chunk->n_every; i++)
		luaL_unref(state->lua, LUA_REGISTRYINDEX, chunk->every[i]);
	luaL_unref(state->lua, LUA_REGISTRYINDEX, chunk->ctx);
	luaL_unref(state->lua, LUA_REGISTRYINDEX, chunk->modules);
	luaL_unref(state->lua, LUA_REGISTRYINDEX, chunk->made);
	free(chunk);
}

static struct hw_lua_chunk *new_chunk(struct hw_lua_entry *entry)
{
	struct hw_lua_chunk *chunk = calloc(1, sizeof(*chunk));

	if (!chunk)
		return NULL;
	chunk->entry = entry;
	chunk->ctx = chunk->modules = chunk->made = LUA_NOREF;
	for (int i = 0; i < HW_LUA_N_FUNCTIONS; i++)
		chunk->functions[i] = LUA_NOREF;
	return chunk;
}

static enum hw_lua_outcome load_chunk(struct hw_lua_state *state, struct hw_guard *guard,
	struct hw_lua_entry *entry, uint32_t budget_us, struct hw_lua_chunk **out,
	struct hw_err *err)
{
	struct hw_lua_chunk *chunk = new_chunk(entry);
	enum hw_lua_outcome outcome;

	if (!chunk) {
		hw_err_set(err, -ENOMEM, "out of memory");
		return HW_LUA_FAILED;
	}
	outcome = hw_lua_run(state, guard, budget_us, hw_lua_load_chunk, chunk, 0, err);
	state->loading = false;
	if (outcome == HW_LUA_OK) {
		chunk->next = state->chunks;
		state->chunks = chunk;
		*out = chunk;
	} else if (outcome == HW_LUA_FAILED) {
		forget_chunk(state, chunk);
	} else {
		free(chunk); /* its references go with the state */
	}
	return outcome;
}

/* ---- loading an entry: control thread ---- */

static void free_entry(struct hw_hook_entry *entry)
{
	struct hw_lua_entry *e = lua_entry(entry);

	hw_lua_modules_free(&e->modules);
	hw_jwt_keys_destroy(&e->keys);
	free(e->source);
	free(e->chunk_name);
	free(e->config);
	hw_hook_counters_fini(&e->counters);
	hw_entry_fini(&e->base);
	free(e);
}

static int refuse(struct hw_hook_problem *problem, int rc, const char *path, const char *text)
{
	snprintf(problem->path, sizeof(problem->path), "%s", path);
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return rc;
}

/* "@" and the last two parts of the path: liblua names a file by 60 bytes at most. */
static char *make_chunk_name(const char *path)
{
	const char *tail = path + strlen(path);
	char *name;

	for (int slashes = 0; tail > path; tail--) {
		if (tail[-1] == '/' && ++slashes == 2)
			break;
	}
	return asprintf(&name, "@%s", tail) < 0 ? NULL : name;
}

/* The member "keys" of a global entry's settings, as the jwt plugin takes it. */
static int load_keys(struct hw_lua_entry *entry, struct hw_hook_problem *problem)
{
	struct hw_json key, value;
	struct hw_json_reader r;
	char pointer[HW_JWT_POINTER_SIZE], path[sizeof(problem->path)];
	struct hw_err err;
	int rc;

	hw_json_init(&r, hw_str_of(entry->config), 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return refuse(problem, -EINVAL, "", "the settings are no JSON object");
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		if (!entry->base.global || !hw_json_is(key, HW_STR("keys")) ||
			value.kind != HW_JSON_ARRAY || entry->keys)
			continue;
		rc = hw_jwt_keys_create(value.raw, &entry->keys, pointer, &err);
		if (rc == -EINVAL) {
			snprintf(path, sizeof(path), "/keys%.100s", pointer);
			return refuse(problem, rc, path, err.text);
		}
		if (rc < 0)
			return rc;
	}
	if (r.error)
		return refuse(problem, -EINVAL, "", r.error);
	return 0;
}

static int64_t thread_cpu_us(void)
{
	struct timespec t = {0, 0};

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint32_t registers_of(const struct hw_lua_chunk *chunk)
{
	static const uint32_t bits[HW_LUA_N_FUNCTIONS] = {
		[HW_LUA_AUTHENTICATE] = HW_REGISTERS_STAGE(HW_STAGE_AUTHENTICATE),
		[HW_LUA_SUBSCRIBE] = HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				     HW_REGISTERS_OPERATION(HW_OP_SUBSCRIBE),
		[HW_LUA_WILDCARD] = HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				    HW_REGISTERS_OPERATION(HW_OP_WILDCARD),
		[HW_LUA_PUBLISH] = HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				   HW_REGISTERS_OPERATION(HW_OP_PUBLISH),
		[HW_LUA_PRESENCE] = HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				    HW_REGISTERS_OPERATION(HW_OP_PRESENCE),
		[HW_LUA_SESSION] = HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
				   HW_REGISTERS_OPERATION(HW_OP_SESSION),
		[HW_LUA_TRANSFORM] = HW_REGISTERS_STAGE(HW_STAGE_TRANSFORM),
		[HW_LUA_FILTER] = HW_REGISTERS_STAGE(HW_STAGE_FILTER),
		[HW_LUA_REDACT] = HW_REGISTERS_STAGE(HW_STAGE_REDACT),
#define KIND(kind) HW_REGISTERS_STAGE(HW_STAGE_LIFECYCLE) | HW_REGISTERS_KIND(kind)
		[HW_LUA_CONNECT] = KIND(HW_ON_CONNECT),
		[HW_LUA_DISCONNECT] = KIND(HW_ON_DISCONNECT),
		[HW_LUA_OCCUPIED] = KIND(HW_ON_OCCUPIED),
		[HW_LUA_VACATED] = KIND(HW_ON_VACATED),
		[HW_LUA_PUBLISHED] = KIND(HW_ON_PUBLISH),
#undef KIND
	};
	uint32_t registers = chunk->n_every > 0 ? HW_REGISTERS_STAGE(HW_STAGE_EVERY) : 0;

	for (int i = 0; i < HW_LUA_N_FUNCTIONS; i++) {
		if (chunk->functions[i] != LUA_NOREF)
			registers |= bits[i];
	}
	return registers;
}

/* Runs the file once in a state of its own, to learn what it registers and which modules it
 * wants. */
static enum hw_lua_outcome try_entry(
	struct hw_lua_entry *entry, struct hw_guard *guard, struct hw_err *err)
{
	uint32_t budget_us = ms_to_us(entry->base.budget.load_ms);
	struct hw_lua_state *state = NULL;
	struct hw_lua_chunk *chunk;
	enum hw_lua_outcome outcome;
	int64_t started_us = thread_cpu_us();

	outcome = hw_lua_state_create(guard, entry->base.env, "", entry->base.budget.memory_bytes,
		budget_us, &state, err);
	if (outcome != HW_LUA_OK)
		return outcome;
	outcome = load_chunk(state, guard, entry, budget_us, &chunk, err);
	if (outcome == HW_LUA_OK) {
		entry->base.registers = registers_of(chunk);
		entry->n_every = chunk->n_every;
		memcpy(entry->every_ms, chunk->every_ms, sizeof(entry->every_ms));
		entry->load_us = (uint32_t)(thread_cpu_us() - started_us);
		entry->loaded = true;
	}
	hw_lua_state_destroy(&state);
	return outcome;
}

static int try_guarded(struct hw_lua_entry *entry, struct hw_hook_problem *problem)
{
	const char *name = entry->chunk_name + 1;
	struct hw_watchdog *watchdog = entry->base.env->watchdog;
	bool entered = false;
	struct hw_err err = {{0}};
	enum hw_lua_outcome outcome;

	if (!hw_guard_current()) {
		int rc = watchdog ? hw_watchdog_enter_thread(watchdog) : -EINVAL;

		if (rc < 0)
			return refuse(problem, rc, "", "Lua needs a watchdog, and there is none");
		entered = true;
	}
	outcome = try_entry(entry, hw_guard_current(), &err);
	if (entered)
		hw_watchdog_leave_thread(watchdog);
	if (outcome == HW_LUA_OK)
		return 0;
	if (strncmp(err.text, name, strlen(name)) != 0)
		hw_err_prefix(&err, "%s", name);
	return refuse(problem, -EINVAL, "", err.text);
}

static const struct hw_entry_ops lua_ops;

int hw_entry_lua_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_str source, struct hw_hook_entry **out, struct hw_hook_problem *problem)
{
	struct hw_lua_entry *entry = calloc(1, sizeof(*entry));
	int rc;

	if (!entry)
		return -ENOMEM;
	rc = hw_entry_init(&entry->base, &lua_ops, env, spec);
	if (rc < 0) {
		free(entry);
		return rc;
	}
	hw_hook_counters_init(&entry->counters);
	entry->source = hw_str_dup(source);
	entry->source_len = source.len;
	entry->config = hw_str_dup(spec->config.len > 0 ? spec->config : HW_STR("{}"));
	entry->chunk_name = make_chunk_name(spec->path);
	rc = entry->source && entry->config && entry->chunk_name ? load_keys(entry, problem)
								 : -ENOMEM;
	if (rc == 0)
		rc = try_guarded(entry, problem);
	if (rc < 0) {
		free_entry(&entry->base);
		return rc;
	}
	*out = &entry->base;
	return 0;
}

static void files_hash(const struct hw_hook_entry *base, bool now, uint8_t out[HW_SHA256_LEN])
{
	const struct hw_lua_entry *entry = const_lua_entry(base);
	struct hw_sha256 s;

	if (!entry->modules) {
		memset(out, 0, HW_SHA256_LEN);
		return;
	}
	hw_sha256_init(&s);
	for (struct hw_lua_module *m = entry->modules; m; m = m->next) {
		struct hw_lua_module *read = NULL;

		hw_sha256_add_field(&s, m->name, strlen(m->name));
		if (!now)
			hw_sha256_add_field(&s, m->source, m->len);
		else if (base->env->script_lib &&
			 hw_lua_module_read(base->env->script_lib, m->name, &read) == 0)
			hw_sha256_add_field(&s, read->source, read->len);
		hw_lua_modules_free(&read);
	}
	hw_sha256_finish(&s, out);
}

/* ---- benches ---- */

/* Does it share its state with no other entry? */
static bool alone(const struct hw_hook_entry *entry)
{
	return entry->global || entry->shadow;
}

static int attach(
	struct hw_hook_entry *entry, struct hw_hook_bench *bench, struct hw_entry_state **out)
{
	struct hw_entry_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	state->bench = bench;
	while (hw_hook_chain_entry(bench->chain, state->index) != entry ||
		bench->states[state->index])
		state->index++;
	state->entry = lua_entry(entry);
	hw_list_init(&state->asked);
	if (hw_lua_every_attach(state) < 0) {
		free(state);
		return -ENOMEM;
	}
	if (!alone(entry) && bench->lua_bytes < entry->budget.memory_bytes)
		bench->lua_bytes = entry->budget.memory_bytes;
	*out = state;
	return 0;
}

/* A bench's entries are attached and detached together, so the shared state may go with the
 * first. */
static void detach(struct hw_hook_entry *entry, struct hw_entry_state *state)
{
	(void)entry;
	hw_lua_state_destroy(&state->bench->lua);
	hw_lua_state_destroy(&state->own);
	hw_lua_every_detach(state);
	free(state->saved);
	free(state);
}

/* ---- a call ---- */

static enum hw_lua_function function_of(const struct hw_ask *ask)
{
	switch (ask->stage) {
	case HW_STAGE_AUTHENTICATE:
		return HW_LUA_AUTHENTICATE;
	case HW_STAGE_AUTHORIZE:
		return (enum hw_lua_function)(HW_LUA_SUBSCRIBE + (int)ask->question->operation);
	case HW_STAGE_TRANSFORM:
		return HW_LUA_TRANSFORM;
	case HW_STAGE_FILTER:
		return HW_LUA_FILTER;
	case HW_STAGE_REDACT:
		return HW_LUA_REDACT;
	case HW_STAGE_EVERY:
		break;
	case HW_STAGE_LIFECYCLE:
		return (enum hw_lua_function)(HW_LUA_CONNECT + (int)ask->lifecycle->kind);
	}
	return HW_LUA_N_FUNCTIONS;
}

/* Cuts between characters. */
static void copy_message(struct hw_str from, char *to, size_t size)
{
	size_t n = 0;

	while (n < from.len) {
		bool valid;
		size_t step = hw_utf8_next(from.p + n, from.len - n, &valid);

		if (n + step >= size)
			break;
		n += step;
	}
	if (n > 0)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static enum hw_verdict fail(struct hw_entry_answer *answer, const char *detail)
{
	answer->verdict = HW_ERROR;
	copy_message(hw_str_of(detail), answer->detail, sizeof(answer->detail));
	return HW_ERROR;
}

/* A worker waits for this, so it gets a small multiple of what the control thread needed, not all
 * of load_ms. */
static uint32_t reload_budget_us(const struct hw_lua_entry *entry)
{
	uint64_t us =
		5000 + (uint64_t)ms_to_us(entry->base.budget.cpu_ms) + 4 * (uint64_t)entry->load_us;
	uint32_t most_us = ms_to_us(entry->base.budget.load_ms);

	return us < most_us ? (uint32_t)us : most_us;
}

struct hw_lua_state **hw_lua_slot(struct hw_entry_state *es)
{
	return alone(&es->entry->base) ? &es->own : &es->bench->lua;
}

enum hw_lua_outcome hw_lua_ready(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk **out, struct hw_err *err)
{
	struct hw_lua_entry *entry = es->entry;
	struct hw_lua_state **slot = hw_lua_slot(es);
	size_t memory_bytes =
		alone(&entry->base) ? entry->base.budget.memory_bytes : es->bench->lua_bytes;
	enum hw_lua_outcome outcome;

	if (!*slot) {
		outcome = hw_lua_state_create(guard, entry->base.env, es->bench->tenant,
			memory_bytes, ms_to_us(entry->base.budget.load_ms), slot, err);
		if (outcome != HW_LUA_OK)
			return outcome;
		(*slot)->space = hw_bench_space(es->bench, &entry->base);
		(*slot)->io = hw_hook_env_io(entry->base.env, es->bench->worker);
		hw_lua_idle_start(es);
	}
	(*slot)->n_uses++;
	*out = hw_lua_find_chunk(*slot, entry);
	if (*out)
		return HW_LUA_OK;
	outcome = load_chunk(*slot, guard, entry, reload_budget_us(entry), out, err);
	return outcome == HW_LUA_OK ? hw_lua_restore(es, guard, *out, err) : outcome;
}

/* The state is of no use any more. */
static void kill_state(struct hw_entry_state *es, enum hw_lua_outcome outcome)
{
	hw_lua_state_destroy(hw_lua_slot(es));
	hw_bench_killed(
		es->bench, es->index, outcome == HW_LUA_SPENT ? HW_KILL_CPU : HW_KILL_MEMORY);
}

static int copy_text(struct hw_str from, char **to)
{
	if (!from.p)
		return 0;
	*to = hw_str_dup(from);
	return *to ? 0 : -ENOMEM;
}

static int copy_tenants(lua_State *lua, size_t n, struct hw_entry_answer *answer)
{
	answer->tenants = calloc(n, sizeof(answer->tenants[0]));
	if (!answer->tenants)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct hw_str s;
		int rc;

		lua_rawgeti(lua, HW_LUA_TENANTS, (lua_Integer)i + 1);
		s.p = lua_tolstring(lua, -1, &s.len);
		rc = copy_text(s, &answer->tenants[i]);
		lua_pop(lua, 1);
		if (rc < 0)
			return rc;
		answer->n_tenants++;
	}
	return 0;
}

/* Out of the arena, when the call is over and nothing can end it any more. */
static int copy_answer(
	lua_State *lua, const struct hw_lua_question *q, struct hw_entry_answer *answer)
{
	const struct hw_lua_verdict *v = &q->verdict;
	int rc;

	answer->verdict = v->verdict;
	answer->code = v->code;
	copy_message(v->message, answer->message, sizeof(answer->message));
	answer->expires_at = v->expires_at;
	answer->has_expires_at = v->has_expires_at;
	answer->act_as = v->act_as;
	answer->event_len = q->event.len;
	rc = copy_text(v->user_id, &answer->user_id);
	if (rc == 0)
		rc = copy_text(v->tenant_id, &answer->tenant_id);
	if (rc == 0)
		rc = copy_text(q->claims, &answer->claims);
	if (rc == 0)
		rc = copy_text(q->event, &answer->event);
	if (rc == 0 && q->n_tenants > 0)
		rc = copy_tenants(lua, q->n_tenants, answer);
	return rc;
}

enum hw_verdict hw_lua_fail(struct hw_entry_state *es, enum hw_lua_outcome outcome,
	const struct hw_err *err, struct hw_entry_answer *answer)
{
	if (outcome == HW_LUA_SPENT || outcome == HW_LUA_FULL)
		kill_state(es, outcome);
	answer->uncounted = outcome == HW_LUA_FAILED || outcome == HW_LUA_GONE;
	return fail(answer, err->text);
}

/* The call has ended: what the chain hears of it. @task is released. */
static enum hw_verdict conclude(struct hw_entry_state *es, struct hw_lua_task *task,
	enum hw_lua_outcome outcome, struct hw_err *err, struct hw_entry_answer *answer)
{
	int rc;

	if (outcome != HW_LUA_OK)
		return hw_lua_fail(es, outcome, err, answer);
	rc = copy_answer(task->lua, &task->q, answer);
	hw_lua_task_release(task);
	if (rc < 0)
		return fail(answer, "out of memory");
	answer->said = answer->verdict == HW_ERROR;
	if (answer->said)
		snprintf(answer->detail, sizeof(answer->detail),
			"the policy answered unavailable: %.200s", answer->message);
	return answer->verdict;
}

/* It waited, and now it has ended. */
static void on_done(struct hw_lua_task *task, enum hw_lua_outcome outcome, struct hw_err *err)
{
	struct hw_entry_state *es = task->owner;
	struct hw_ask *ask = task->unasked ? NULL : (struct hw_ask *)(uintptr_t)task->q.ask;
	struct hw_str tenant = hw_str_of(task->tenant);
	struct hw_entry_answer answer = {0};
	int64_t began_ns = task->began_ns;

	conclude(es, task, outcome, err, &answer);
	if (ask) {
		hw_hooks_resume(ask, &answer);
		return;
	}
	if (es->bench->closing) {
		hw_bench_forgotten(es->bench, es->index);
	} else {
		hw_bench_timed(es->bench, es->index, HW_STAGE_LIFECYCLE, answer.verdict, began_ns);
		hw_bench_answered(es->bench, es->index, &answer);
	}
	if (answer.verdict == HW_ERROR && !es->bench->closing)
		hw_bench_note_error(es->bench, es->index, HW_STAGE_LIFECYCLE, tenant, &answer);
	hw_entry_answer_fini(&answer);
}

/* A question waits for its answer. Nobody waits for lifecycle hooks: who is told is told, and the
 * hook goes on by itself, without what it was asked with. */
static enum hw_verdict let_wait(
	struct hw_entry_state *es, struct hw_lua_task *task, struct hw_entry_answer *answer)
{
	struct hw_str tenant;

	task->done = on_done;
	if (task->q.ask->stage != HW_STAGE_LIFECYCLE) {
		hw_list_push(&es->asked, &task->asked);
		return HW_PENDING;
	}
	tenant = hw_ask_tenant(task->q.ask, &es->entry->base);
	snprintf(task->tenant, sizeof(task->tenant), "%.*s", (int)tenant.len, tenant.p);
	task->unasked = true;
	task->began_ns = task->q.ask->began_ns;
	task->depth = task->q.ask->depth;
	task->q.ask = NULL;
	answer->goes_on = true;
	return HW_ALLOW;
}

enum hw_lua_outcome hw_lua_entry_task(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk *chunk, struct hw_lua_task **out, struct hw_err *err)
{
	const struct hw_hook_budget *budget = &es->entry->base.budget;
	enum hw_lua_outcome outcome = hw_lua_task_new(*hw_lua_slot(es), guard, out, err);

	if (outcome != HW_LUA_OK)
		return outcome;
	(*out)->q.chunk = chunk;
	(*out)->owner = es;
	(*out)->burst_us = ms_to_us(budget->cpu_ms);
	(*out)->deadline_ms = budget->deadline_ms;
	(*out)->in_flight = budget->in_flight;
	return HW_LUA_OK;
}

/* Of the event that the question is about; 0: of none. */
static size_t event_len(const struct hw_ask *ask)
{
	return ask->stage == HW_STAGE_AUTHORIZE ? ask->question->event.len : ask->event.len;
}

/* filter and redact are asked in the middle of a fan-out. */
static bool waits(enum hw_hook_stage stage)
{
	return stage == HW_STAGE_AUTHENTICATE || stage == HW_STAGE_AUTHORIZE ||
	       stage == HW_STAGE_TRANSFORM || stage == HW_STAGE_LIFECYCLE;
}

static enum hw_lua_outcome start(struct hw_entry_state *es, struct hw_guard *guard,
	struct hw_lua_chunk *chunk, const struct hw_ask *ask, struct hw_lua_task **out,
	struct hw_err *err)
{
	enum hw_lua_outcome outcome = hw_lua_entry_task(es, guard, chunk, out, err);

	if (outcome != HW_LUA_OK)
		return outcome;
	(*out)->q.function = function_of(ask);
	(*out)->q.ask = ask;
	(*out)->never_waits = !waits(ask->stage);
	(*out)->burst_us = burst_us(&es->entry->base.budget, event_len(ask));
	return hw_lua_task_start(*out, guard, hw_lua_call, err);
}

static enum hw_verdict call(struct hw_hook_entry *base, struct hw_entry_state *es,
	struct hw_ask *ask, struct hw_entry_answer *answer)
{
	struct hw_guard *guard = hw_guard_current();
	struct hw_lua_task *task = NULL;
	struct hw_lua_chunk *chunk;
	enum hw_lua_outcome outcome;
	struct hw_err err = {{0}};

	(void)base;
	if (!guard)
		return fail(answer, "this thread may not run Lua: it has not entered the watchdog");
	outcome = hw_lua_ready(es, guard, &chunk, &err);
	if (outcome == HW_LUA_OK) {
		/* one that this run of the file did not register */
		if (chunk->functions[function_of(ask)] == LUA_NOREF)
			return ask->stage == HW_STAGE_LIFECYCLE ? HW_ALLOW : HW_DEFER;
		outcome = start(es, guard, chunk, ask, &task, &err);
	}
	if (outcome == HW_LUA_WAITS)
		return let_wait(es, task, answer);
	return conclude(es, task, outcome, &err, answer);
}

static void cancel(struct hw_hook_entry *entry, struct hw_entry_state *es, struct hw_ask *ask)
{
	(void)entry;
	hw_list_each_safe (node, &es->asked) {
		struct hw_lua_task *task = HW_CONTAINER_OF(node, struct hw_lua_task, asked);
		enum hw_lua_outcome outcome;

		if (task->q.ask != ask)
			continue;
		outcome = hw_lua_task_cancel(task, hw_guard_current());
		if (outcome != HW_LUA_OK)
			kill_state(es, outcome);
		return;
	}
}

static void inherit(
	struct hw_hook_entry *entry, struct hw_entry_state *es, struct hw_entry_state *from)
{
	(void)entry;
	hw_lua_save(from);
	free(es->saved);
	es->saved = from->saved;
	from->saved = NULL;
	hw_lua_every_inherit(es, from);
}

static const struct hw_entry_ops lua_ops = {
	.attach = attach,
	.inherit = inherit,
	.detach = detach,
	.call = call,
	.cancel = cancel,
	.free = free_entry,
	.files_hash = files_hash,
};
