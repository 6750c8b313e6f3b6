/* Hooks that wait: what they keep while they do, and every way in which a wait ends. */
#include "wait_world.h"

#include "hook/lua_task.h"

/* the topic's resource says what to do */
static const char POLICY[] =
	"local function wait(topic, ctx)\n"
	"  local r = topic.resource\n"
	"  if r == 'twice' then ctx.sleep(10) ctx.sleep(10) end\n"
	"  if r == 'sleep' then ctx.sleep(50) end\n"
	"  if r == 'long' then ctx.sleep(1e6) end\n"
	"  if r == 'error' then ctx.sleep(1) error('after the wait') end\n"
	"  if r == 'deny' then ctx.sleep(1) return deny('forbidden_topic', 'not ' .. topic.id) "
	"end\n"
	"  if r == 'pcall' then\n"
	"    local ok, why = pcall(function() ctx.sleep(5) error('x', 0) end)\n"
	"    local two = {pcall(function() ctx.sleep(5) return 1, 2 end)}\n"
	"    if ok or why ~= 'x' or #two ~= 3 or two[3] ~= 2 then error('pcall: ' .. "
	"tostring(why)) end\n"
	"  end\n"
	"  if r == 'gsub' then ('a'):gsub('a', function() ctx.sleep(1) end) end\n"
	"  if r == 'sort' then table.sort({2, 1}, function() ctx.sleep(1) end) end\n"
	"  if r == 'iterate' then for i in function(_, i) ctx.sleep(1) if i < 3 then return i + 1 "
	"end end, nil, 0 do end end\n"
	"  if r == 'index' then return setmetatable({}, {__index = function() ctx.sleep(1) return "
	"allow() end}).x end\n"
	"  if r == 'loop' then ctx.sleep(1) while true do end end\n"
	"  if r == 'rep' then ctx.sleep(1) string.rep('', 1 << 60) end\n"
	"  if r == 'memory' then ctx.sleep(1) local t = {} while true do t[#t + 1] = {} end end\n"
	"  if r == 'pcallloop' then while true do pcall(function() ctx.sleep(1) while true do end "
	"end) end end\n"
	"  if r == 'pcallpcall' then pcall(pcall, function() ctx.sleep(1) pcall(string.rep, '', 1 "
	"<< 60) while true do end end) return allow() end\n"
	"  if r == 'pcallmemory' then while true do pcall(function() ctx.sleep(1) local s = 'x' "
	"while true do s = s .. s end end) end end\n"
	"  if r == 'closeloop' then local x <close> = setmetatable({}, {__close = function() while "
	"true do end end}) ctx.sleep(1) error('x') end\n"
	"  if r == 'metaloop' then return setmetatable({}, {__index = function() ctx.sleep(1) "
	"while true do end end}).x end\n"
	"  if r == 'many' then while true do ctx.sleep(0) local t = os.clock() while os.clock() - "
	"t < 0.0015 do end end end\n"
	"  if r == 'forever' then while true do pcall(ctx.sleep, 1) end end\n"
	"  if r == 'closing' then local x <close> = setmetatable({}, {__close = function() "
	"ctx.log.info('closed ' .. topic.id) end}) ctx.sleep(1e6) end\n"
	"  if r == 'stuck' then local x <close> = setmetatable({}, {__close = function() while "
	"true do end end}) ctx.sleep(1e6) end\n"
	"  if r == 'closewait' then local x <close> = setmetatable({}, {__close = function() "
	"ctx.sleep(1) end}) end\n"
	"  if r == 'closecancel' then local x <close> = setmetatable({}, {__close = function() "
	"ctx.log.info(pcall(ctx.sleep, 1)) end}) ctx.sleep(1e6) end\n"
	"  return allow()\n"
	"end\n"
	"return policy { api = 1,\n"
	"  authorize = { subscribe = function(s, topic, ctx)\n"
	"    local mine = s.user_id .. topic.name\n"
	"    local v = wait(topic, ctx)\n"
	"    if mine ~= s.user_id .. topic.name then error('mixed up') end\n"
	"    return v\n"
	"  end },\n"
	"  transform = function(event, ctx) local p = event.data ctx.sleep(20) p.secret = nil "
	"return event end,\n"
	"  on = { connect = function(s, ctx) ctx.log.info('hello ' .. s.user_id) ctx.sleep(30) "
	"ctx.log.info('still ' .. s.user_id)\n"
	"           if s.user_id == 'bad' then error('in the background') end end,\n"
	"         disconnect = function(s, ctx) ctx.sleep(1e6) end },\n"
	"}\n";

static void setup(struct wait_world *ww)
{
	wait_init(ww);
	world_policy(&ww->w, POLICY);
}

static void a_wait_is_pending_and_then_decided(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "twice:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &b, "none:1"), HW_ALLOW);
	wait_pass(&ww, 9);
	assert_int_equal(wait_subscribe(&ww, &b, "deny:me"), HW_PENDING);
	assert_int_equal(a.n_decided, 0);
	wait_pass(&ww, 1);
	assert_int_equal(b.n_decided, 1);
	assert_int_equal(b.ask.verdict, HW_DENY);
	assert_string_equal(b.ask.code, "forbidden_topic");
	assert_string_equal(b.ask.message, "not me");
	wait_pass(&ww, 9);
	assert_int_equal(a.n_decided, 0);
	wait_pass(&ww, 1);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	wait_fini(&ww);
}

/* More at a time than the pool keeps, in an order that is not theirs. */
static void many_wait_at_once_and_each_keeps_its_own(void **state)
{
	static const char *const topics[] = {
		"twice:a", "sleep:b", "pcall:c", "deny:d", "iterate:e"};
	struct wait_world ww;
	struct wait_ask asks[60];
	char users[60][16];

	(void)state;
	setup(&ww);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < HW_COUNT(asks); i++) {
			snprintf(users[i], sizeof(users[i]), "u%zu", i);
			ww.w.user_id = users[i];
			assert_int_equal(wait_subscribe(&ww, &asks[i], topics[i % 5]), HW_PENDING);
			if (i % 7 == 0)
				wait_pass(&ww, 1);
		}
		for (int ms = 0; ms < 60; ms++)
			wait_pass(&ww, 1);
		for (size_t i = 0; i < HW_COUNT(asks); i++) {
			assert_int_equal(asks[i].n_decided, 1);
			assert_int_equal(asks[i].ask.verdict, i % 5 == 3 ? HW_DENY : HW_ALLOW);
		}
	}
	assert_true(ww.w.bench->lua->n_idle_tasks <= 8);
	assert_int_equal(ww.w.bench->lua->n_waiting, 0);
	wait_fini(&ww);
}

static void transform_may_wait(void **state)
{
	struct wait_world ww;
	struct wait_ask a;

	(void)state;
	setup(&ww);
	assert_int_equal(
		wait_transform(&ww, &a, "{\"topic\":\"a:b\",\"data\":{\"secret\":1,\"x\":1e3}}"),
		HW_PENDING);
	wait_pass(&ww, 20);
	assert_int_equal(a.ask.verdict, HW_ALLOW);
	assert_int_equal(a.ask.new_event_len, strlen("{\"topic\":\"a:b\",\"data\":{\"x\":1e3}}"));
	assert_memory_equal(
		a.ask.new_event, "{\"topic\":\"a:b\",\"data\":{\"x\":1e3}}", a.ask.new_event_len);
	free(a.ask.new_event);
	wait_fini(&ww);
}

static void an_error_after_a_wait_is_unavailable_and_logged(void **state)
{
	struct wait_world ww;
	struct wait_ask a;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "error:1"), HW_PENDING);
	wait_pass(&ww, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	assert_string_equal(a.ask.code, "unavailable");
	assert_true(wait_log_says(&ww, "after the wait"));
	wait_fini(&ww);
}

static void a_wait_has_a_deadline(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	wait_init(&ww);
	ww.w.budget.deadline_ms = 700;
	world_policy(&ww.w, POLICY);
	assert_int_equal(wait_subscribe(&ww, &a, "long:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &b, "forever:1"), HW_PENDING);
	for (int ms = 0; ms < 699; ms++)
		wait_pass(&ww, 1);
	assert_int_equal(a.n_decided + b.n_decided, 0);
	wait_pass(&ww, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	assert_int_equal(b.ask.verdict, HW_ERROR);
	assert_true(wait_log_says(&ww, "did not end within its deadline of 700 ms"));
	assert_int_equal(wait_subscribe(&ww, &a, "none:1"), HW_ALLOW);
	wait_fini(&ww);
}

static void too_many_waits_are_refused_and_calls_without_one_are_not(void **state)
{
	struct wait_world ww;
	struct wait_ask asks[4];

	(void)state;
	wait_init(&ww);
	ww.w.budget.in_flight = 3;
	world_policy(&ww.w, POLICY);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wait_subscribe(&ww, &asks[i], "sleep:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &asks[3], "sleep:1"), HW_ERROR);
	assert_true(wait_log_says(&ww, "3 calls of this policy wait already"));
	assert_int_equal(wait_subscribe(&ww, &asks[3], "none:1"), HW_ALLOW);
	hw_hooks_cancel(&asks[1].ask);
	assert_int_equal(wait_subscribe(&ww, &asks[3], "sleep:1"), HW_PENDING);
	wait_pass(&ww, 50);
	assert_int_equal(asks[3].ask.verdict, HW_ALLOW);
	assert_int_equal(asks[1].n_decided, 0);
	wait_fini(&ww);
}

struct refusal {
	const char *topic, *says;
};

static void where_nothing_may_wait_says_so(void **state)
{
	static const struct refusal refusals[] = {
		{"gsub:1", "ctx.sleep waits, and nothing may wait inside of string.gsub"},
		{"sort:1", "ctx.sleep waits, and nothing may wait inside of string.gsub"},
	};
	struct wait_world ww;
	struct wait_ask a;

	(void)state;
	setup(&ww);
	for (size_t i = 0; i < HW_COUNT(refusals); i++) {
		assert_int_equal(wait_subscribe(&ww, &a, refusals[i].topic), HW_ERROR);
		assert_true(wait_log_says(&ww, refusals[i].says));
		wait_pass(&ww, 1000); /* one line a second */
	}
	for (int i = 0; i < 2; i++) {
		const char *topic = i ? "index:1" : "closewait:1";

		assert_int_equal(wait_subscribe(&ww, &a, topic), HW_PENDING);
		wait_pass(&ww, 1);
		assert_int_equal(a.ask.verdict, HW_ALLOW);
	}
	wait_fini(&ww);
}

static int call_sleep(lua_State *lua)
{
	struct hw_lua_chunk *chunk = lua_touserdata(lua, 1);

	lua_rawgeti(lua, LUA_REGISTRYINDEX, chunk->ctx);
	lua_getfield(lua, -1, "sleep");
	lua_pushinteger(lua, 1);
	lua_call(lua, 1, 0);
	return 0;
}

/* As filter and redact are run. */
static void outside_of_a_task_nothing_may_wait(void **state)
{
	struct wait_world ww;
	struct wait_ask a;
	struct hw_err err;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "none:1"), HW_ALLOW);
	assert_int_equal(hw_lua_run(ww.w.bench->lua, hw_guard_current(), 2000, call_sleep,
				 ww.w.bench->lua->chunks, 0, &err),
		HW_LUA_FAILED);
	assert_non_null(strstr(err.text, "ctx.sleep waits, and nothing may wait here"));
	wait_fini(&ww);
}

static void without_a_loop_a_wait_is_an_error(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, POLICY);
	assert_int_equal(world_subscribe(&w, "sleep:1"), HW_ERROR);
	assert_non_null(strstr(w.answer.detail, "no loop that could wake it"));
	assert_int_equal(world_subscribe(&w, "none:1"), HW_ALLOW);
	world_fini(&w);
}

static void a_cancelled_wait_is_closed(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "closing:x"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &b, "closecancel:x"), HW_PENDING);
	free(world_take_log(&ww.w));
	hw_hooks_cancel(&a.ask);
	assert_true(wait_log_says(&ww, "closed x"));
	hw_hooks_cancel(&b.ask);
	assert_true(wait_log_says(&ww, "nothing may wait here"));
	wait_pass(&ww, 5000);
	assert_int_equal(a.n_decided + b.n_decided, 0);
	wait_fini(&ww);
}

/* Each ends its own state after a wait: the others that waited in it are told in the next turn. */
static void a_kill_ends_what_waits_in_the_same_state(void **state)
{
	static const char *const killers[] = {"loop:1", "rep:1", "memory:1", "pcallloop:1",
		"pcallpcall:1", "pcallmemory:1", "closeloop:1", "metaloop:1"};
	struct wait_world ww;
	struct wait_ask killer, other, third, fresh;

	(void)state;
	NEEDS_SIGNALS();
	setup(&ww);
	for (size_t i = 0; i < HW_COUNT(killers); i++) {
		assert_int_equal(wait_subscribe(&ww, &other, "long:1"), HW_PENDING);
		assert_int_equal(wait_subscribe(&ww, &third, "sleep:1"), HW_PENDING);
		assert_int_equal(wait_subscribe(&ww, &killer, killers[i]), HW_PENDING);
		wait_pass(&ww, 1);
		assert_int_equal(killer.n_decided, 1);
		assert_int_equal(killer.ask.verdict, HW_ERROR);
		assert_int_equal(other.n_decided, 0);
		assert_null(ww.w.bench->lua);
		hw_hooks_cancel(&third.ask); /* its session leaves before it was told */
		wait_pass(&ww, 1);
		assert_int_equal(other.n_decided, 1);
		assert_int_equal(other.ask.verdict, HW_ERROR);
		assert_string_equal(other.ask.code, "unavailable");
		wait_pass(&ww, 100);
		assert_int_equal(third.n_decided, 0);
		assert_int_equal(wait_subscribe(&ww, &fresh, "none:1"), HW_ALLOW);
	}
	wait_fini(&ww);
}

static void a_kill_while_closing_drops_the_state(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	NEEDS_SIGNALS();
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "stuck:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &b, "long:1"), HW_PENDING);
	hw_hooks_cancel(&a.ask);
	assert_null(ww.w.bench->lua);
	wait_pass(&ww, 1);
	assert_int_equal(b.ask.verdict, HW_ERROR);
	assert_int_equal(wait_subscribe(&ww, &b, "none:1"), HW_ALLOW);
	wait_fini(&ww);
}

/* Bursts that each stay below the budget do not add up to more than ten of them. */
static void all_bursts_together_are_bounded(void **state)
{
	struct wait_world ww;
	struct wait_ask a;
	int turns = 0;

	(void)state;
	NEEDS_SIGNALS();
	wait_init(&ww);
	ww.w.budget.cpu_ms = 20;
	world_policy(&ww.w, POLICY);
	assert_int_equal(wait_subscribe(&ww, &a, "many:1"), HW_PENDING);
	while (a.n_decided == 0 && turns++ < 1000)
		wait_pass(&ww, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	assert_in_range(turns, 50, 140); /* 200 ms by 1.5 ms and what a turn costs */
	assert_true(wait_log_says(&ww, "of CPU time"));
	wait_fini(&ww);
}

static void the_end_of_a_bench_ends_what_waits(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "long:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(&ww, &b, "long:2"), HW_PENDING);
	a.then_cancel = &b;
	hw_hook_bench_destroy(&ww.w.bench);
	assert_int_equal(a.n_decided, 1);
	assert_int_equal(a.ask.verdict, HW_ERROR);
	assert_int_equal(b.n_decided, 0);
	wait_fini(&ww);
}

/* The worker's thread is gone when benches end with the process: no script runs any more. */
static void a_bench_may_end_where_no_lua_may_run(void **state)
{
	struct wait_world ww;
	struct wait_ask a, b;

	(void)state;
	setup(&ww);
	assert_int_equal(wait_subscribe(&ww, &a, "closing:x"), HW_PENDING);
	assert_int_equal(wait_lifecycle(&ww, &b, HW_ON_DISCONNECT), HW_ALLOW);
	free(world_take_log(&ww.w));
	hw_watchdog_leave_thread(ww.w.watchdog);
	hw_hook_bench_destroy(&ww.w.bench);
	assert_int_equal(hw_watchdog_enter_thread(ww.w.watchdog), 0);
	{
		char *log = world_take_log(&ww.w);

		assert_null(strstr(log, "closed"));
		free(log);
	}
	wait_fini(&ww);
}

static void lifecycle_goes_on_by_itself(void **state)
{
	struct wait_world ww;
	struct wait_ask *a = malloc(sizeof(*a));

	(void)state;
	setup(&ww);
	ww.w.user_id = "bad";
	assert_int_equal(wait_lifecycle(&ww, a, HW_ON_CONNECT), HW_ALLOW);
	assert_true(wait_log_says(&ww, "hello bad"));
	free(a); /* nobody may look at it any more */
	wait_pass(&ww, 30);
	{
		char *log = world_take_log(&ww.w);

		assert_non_null(strstr(log, "still bad"));
		assert_non_null(strstr(log, "tenant=acme"));
		assert_non_null(strstr(log, "stage=lifecycle"));
		assert_non_null(strstr(log, "in the background"));
		free(log);
	}
	wait_fini(&ww);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_is_pending_and_then_decided),
		cmocka_unit_test(many_wait_at_once_and_each_keeps_its_own),
		cmocka_unit_test(transform_may_wait),
		cmocka_unit_test(an_error_after_a_wait_is_unavailable_and_logged),
		cmocka_unit_test(a_wait_has_a_deadline),
		cmocka_unit_test(too_many_waits_are_refused_and_calls_without_one_are_not),
		cmocka_unit_test(where_nothing_may_wait_says_so),
		cmocka_unit_test(outside_of_a_task_nothing_may_wait),
		cmocka_unit_test(without_a_loop_a_wait_is_an_error),
		cmocka_unit_test(a_cancelled_wait_is_closed),
		cmocka_unit_test(a_kill_ends_what_waits_in_the_same_state),
		cmocka_unit_test(a_kill_while_closing_drops_the_state),
		cmocka_unit_test(all_bursts_together_are_bounded),
		cmocka_unit_test(the_end_of_a_bench_ends_what_waits),
		cmocka_unit_test(a_bench_may_end_where_no_lua_may_run),
		cmocka_unit_test(lifecycle_goes_on_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
