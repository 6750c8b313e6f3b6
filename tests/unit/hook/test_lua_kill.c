/* The one kill. Every trap is a way to stay for ever, or to eat all there is; each must end as an
 * error within 50 ms of CPU time, and the next question to the same bench must be answered as if
 * nothing had been. */
#include "lua_world.h"

#include <pthread.h>
#include <stdatomic.h>

#include "hook/lua_state.h"

#define LIMIT_US 50000

struct trap {
	const char *what;
	const char *code; /* body of a function with s, topic, ctx */
};

/* clang-format off: one case a line */
static const struct trap traps[] = {
	{"while true", "while true do end"},
	{"repeat until false", "repeat until false"},
	{"goto", "::again:: goto again"},
	{"for to infinity", "for i = 1, math.huge do end"},
	{"for over all integers", "for i = math.mininteger, math.maxinteger do end"},
	{"tail calls without end", "local function f() return f() end return f()"},
	{"two functions that call each other",
		"local f, g function f() return g() end function g() return f() end f()"},
	{"deep recursion", "local function f() return 1 + f() end f()"},
	{"pcall that swallows every error", "while true do pcall(error, 'x') end"},
	{"pcall around the loop, in a loop",
		"while true do pcall(function() while true do end end) end"},
	{"pcall of pcall of pcall",
		"local function f() while true do pcall(pcall, pcall, f) end end f()"},
	{"pcall recursion that doubles", "local function f() pcall(f) pcall(f) end f()"},
	{"pcall that swallows running out of memory",
		"while true do pcall(string.rep, 'x', 1 << 30) end"},
	{"pcall around a memory bomb", "while true do pcall(function() local t = {} while true do "
				       "t[#t + 1] = {} end end) end"},
	{"error in the handler of errors", "local function f() local ok, e = pcall(f) error(e) end "
					   "while true do pcall(f) end"},
	{"string.rep of nothing", "string.rep('', 1 << 60)"},
	{"string.rep of nothing under pcall", "while true do pcall(string.rep, '', 1 << 60) end"},
	{"string.rep of much", "local s = ('x'):rep(1 << 31)"},
	{"string.rep with a separator", "local s = (''):rep(1 << 30, 'yy')"},
	{"string.find, 20 x a*", "string.find(('a'):rep(300000), ('a*'):rep(20) .. 'b')"},
	{"string.find, 20 x a-", "string.find(('a'):rep(3000), ('a-'):rep(20) .. 'b')"},
	{"string.match of brackets", "for i = 1, 1e9 do (('('):rep(100000)):match('.-%b()x') end"},
	{"string.gsub backtracking", "(('a'):rep(30000)):gsub(('.-'):rep(15) .. 'x', '')"},
	{"string.gsub with a callback that stays",
		"('aaa'):gsub('a', function() while true do end end)"},
	{"string.gsub with a table that stays", "('aaa'):gsub('a', setmetatable({}, {__index = "
						"function() while true do end end}))"},
	{"string.gsub that calls itself", "local function f() return (('a'):rep(9)):gsub('a', f) "
					  "end while true do pcall(f) end"},
	{"string.gmatch backtracking",
		"for _ in (('a'):rep(30000)):gmatch(('a-'):rep(15) .. 'b') do end"},
	{"string.format of an object that stays",
		"('%s'):format(setmetatable({}, {__tostring = function() while true do end end}))"},
	{"string.format without end",
		"while true do local s = ('%99.99f%q%-99s'):format(1e308, 'x', 'y') end"},
	{"string.format of much",
		"local t = {} for i = 1, 200 do t[i] = 1e308 end local f = ('%99.99f'):rep(200) "
		"while true do f:format(table.unpack(t)) end"},
	{"string.upper of much", "local s = ('x'):rep(1 << 22) while true do s:upper() end"},
	{"string.pack without end",
		"while true do string.unpack('<i8', string.pack('<i8', 1)) end"},
	{"string.byte of all",
		"local s = ('x'):rep(100000) while true do local t = {s:byte(1, -1)} end"},
	{"table.move to maxinteger", "table.move({}, 1, math.maxinteger - 1, 2)"},
	{"table.move, backwards", "table.move({1}, math.mininteger, -2, math.mininteger + 1)"},
	{"table.sort with a comparison that stays",
		"table.sort({3, 2, 1}, function() while true do end end)"},
	{"table.sort with a comparison that lies",
		"local t = {} for i = 1, 100 do t[i] = i end while true do pcall(table.sort, t, "
		"function() return true end) end"},
	{"table.sort of a table that has no end",
		"table.sort(setmetatable({}, {__len = function() return 1 << 30 end, __index = "
		"function(_, i) return i end, __newindex = function() end}))"},
	{"table.concat without end", "table.concat(setmetatable({}, {__index = function() return "
				     "'' end}), '', 1, 1 << 60)"},
	{"table.concat of much",
		"local t = {} for i = 1, 1000 do t[i] = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' end "
		"while true do table.concat(t) end"},
	{"table.unpack of much", "while true do pcall(table.unpack, {}, 1, 900000) end"},
	{"table.insert at the front", "local t = {} while true do table.insert(t, 1, 1) end"},
	{"table.remove at the front",
		"table.remove(setmetatable({}, {__len = function() return 1 << 60 end, __index = "
		"function() return 1 end, __newindex = function() end}), 1)"},
	{"concatenation that doubles", "local s = 'x' while true do s = s .. s end"},
	{"concatenation that grows", "local s = '' while true do s = s .. 'xxxxxxxxxxxxxxxx' end"},
	{"tables without end", "local t = {} while true do t[#t + 1] = {} end"},
	{"a table that grows", "local t = {} for i = 1, math.huge do t[i] = i end"},
	{"a hash that grows", "local t = {} for i = 1, math.huge do t['k' .. i] = i end"},
	{"strings without end",
		"local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end"},
	{"closures without end",
		"local t = {} while true do t[#t + 1] = function() return t end end"},
	{"garbage without end", "while true do local t = {{}, {}, {}} end"},
	{"weak tables that feed on each other",
		"local e = setmetatable({}, {__mode = 'k'}) local k = {} while true do local n = "
		"{} e[k] = n k = n end"},
	{"ctx.state that grows", "while true do ctx.state[#ctx.state + 1] = {} end"},
	{"__index that stays", "local t = setmetatable({}, {__index = function() while true do end "
			       "end}) return t.x"},
	{"__index that calls itself",
		"local t t = setmetatable({}, {__index = function(_, k) return t[k .. 'x'] end}) "
		"while true do pcall(function() return t.x end) end"},
	{"__index chain in a ring",
		"local a, b = {}, {} setmetatable(a, {__index = b}) setmetatable(b, {__index = a}) "
		"while true do pcall(function() return a.x end) end"},
	{"__newindex that stays",
		"setmetatable({}, {__newindex = function() while true do end end}).x = 1"},
	{"__eq that stays", "local mt = {__eq = function() while true do end end} return "
			    "setmetatable({}, mt) == setmetatable({}, mt)"},
	{"__lt that stays", "local mt = {__lt = function() while true do end end} return "
			    "setmetatable({}, mt) < setmetatable({}, mt)"},
	{"__concat that stays",
		"return setmetatable({}, {__concat = function() while true do end end}) .. 'x'"},
	{"__len that stays",
		"return #setmetatable({}, {__len = function() while true do end end})"},
	{"__call that stays", "setmetatable({}, {__call = function() while true do end end})()"},
	{"__call of __call", "local t = {} for i = 1, 190 do t = setmetatable({}, {__call = t}) "
			     "end while true do pcall(t) end"},
	{"__pairs that stays", "for k in pairs(setmetatable({}, {__pairs = function() while true "
			       "do end end})) do end"},
	{"an iterator that never ends", "for k in function() return 1 end do end"},
	{"__tostring that stays, in tostring",
		"tostring(setmetatable({}, {__tostring = function() while true do end end}))"},
	{"__tostring that stays, in print",
		"print(setmetatable({}, {__tostring = function() while true do end end}))"},
	{"an error object whose text never ends",
		"error(setmetatable({}, {__tostring = function() while true do end end}))"},
	{"__close that stays", "do local x <close> = setmetatable({}, {__close = function() while "
			       "true do end end}) end"},
	{"__close that stays, after an error", "local x <close> = setmetatable({}, {__close = "
					       "function() while true do end end}) error('x')"},
	{"__close that starts over when it is ended",
		"local mt = {} function mt.__close() local y <close> = setmetatable({}, mt) while "
		"true do end end\n"
		"local x <close> = setmetatable({}, mt) while true do end"},
	{"__close that catches",
		"local x <close> = setmetatable({}, {__close = function() while true do "
		"pcall(function() while true do end end) end end}) while true do end"},
	{"__gc", "setmetatable({}, {__gc = function() while true do end end})"},
	{"an inner coroutine", "coroutine.wrap(function() while true do end end)()"},
	{"a chunk made at run time", "load('while true do end')()"},
	{"a debug hook of its own", "debug.sethook() while true do end"},
	{"json.encode without end", "local t = {} for i = 1, 1000 do t['k' .. i] = {i, {x = 'y'}} "
				    "end while true do json.encode(t) end"},
	{"json.decode without end",
		"local s = '[' .. ('1.5,'):rep(10000) .. '1]' while true do json.decode(s) end"},
	{"json.encode of a table that lies",
		"while true do json.encode(setmetatable({}, {__pairs = function() end, __len = "
		"function() return 1 << 60 end})) end"},
	{"os.date without end", "while true do os.date('%c %x %X %Z') os.date('*t') os.time({year "
				"= 2026, month = 1, day = 1}) end"},
	{"ctx.log without end", "while true do ctx.log.error('x') end"},
	{"ctx.crypto without end",
		"local s = ('x'):rep(1 << 20) while true do ctx.crypto.sha256(s) end"},
	{"utf8 without end", "local s = ('é'):rep(1 << 20) while true do utf8.len(s) end"},
	{"tonumber of much", "local s = ('9'):rep(1 << 16) while true do tonumber(s) end"},
	{"numbers to text and back", "while true do local s = 1.5 .. '' local n = s + 1 end"},
	{"require without end", "while true do pcall(require, 'x') end"},
	{"allow without end", "while true do allow { claims = {} } end"},
	{"a verdict whose claims never end",
		"return allow { claims = setmetatable({}, {__pairs = function() while true do end "
		"end}), tenants = setmetatable({}, {__len = function() return 1 << 60 end, __index "
		"= function() return 'x' end}) }"},
};
/* clang-format on */

static int64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void load_trap(struct world *w, const struct trap *trap)
{
	char source[2048];

	snprintf(source, sizeof(source),
		"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
		"if topic.id == 'normal' then return allow() end\n%s\nend } }",
		trap->code);
	if (world_load(w, false, source, NULL) != 0)
		fail_msg("%s: %s", trap->what, w->problem.text);
}

static void every_trap_ends_and_the_next_question_is_answered(void **state)
{
	int64_t max_cpu_us = 0, max_wall_us = 0, cpu_us, began_us;
	const char *slowest = "";
	struct world w;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(traps); i++) {
		load_trap(&w, &traps[i]);
		assert_int_equal(world_subscribe(&w, "a:normal"), HW_ALLOW);
		for (int again = 0; again < 2; again++) {
			began_us = wall_us();
			cpu_us = world_cpu_us();
			if (world_subscribe(&w, "a:trap") != HW_ERROR)
				fail_msg("%s: was let through", traps[i].what);
			cpu_us = world_cpu_us() - cpu_us;
			if (cpu_us > LIMIT_US)
				fail_msg("%s: took %d us of CPU time: %s", traps[i].what,
					(int)cpu_us, w.answer.detail);
			if (cpu_us > max_cpu_us) {
				max_cpu_us = cpu_us;
				slowest = traps[i].what;
			}
			if (wall_us() - began_us > max_wall_us)
				max_wall_us = wall_us() - began_us;
			if (world_subscribe(&w, "a:normal") != HW_ALLOW)
				fail_msg("%s: afterwards: %s", traps[i].what, w.answer.detail);
		}
	}
	print_message("%zu traps, each twice: at most %d us of CPU time (%s), %d us in all\n",
		HW_COUNT(traps), (int)max_cpu_us, slowest, (int)max_wall_us);
	world_fini(&w);
}

/* clang-format off: one case a line */
static const struct trap load_traps[] = {
	{"while true in the file", "while true do end"},
	{"string.rep of nothing in the file", "string.rep('', 1 << 60)"},
	{"a file that eats memory", "local t = {} while true do t[#t + 1] = {} end"},
	{"a file that catches", "while true do pcall(function() while true do end end) end"},
	{"a backtracking pattern in the file",
		"string.find(('a'):rep(300000), ('a*'):rep(20) .. 'b')"},
	{"policy given a table that lies",
		"policy(setmetatable({ api = 1 }, {__index = function() while true do end end}))"},
	{"a module that stays", "require('stays')"},
	{"a file that returns nothing", ""},
};
/* clang-format on */

static void a_file_that_does_not_end_is_not_loaded(void **state)
{
	struct world w;
	char source[1024];

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	w.budget.load_ms = 20;
	world_write(&w, "stays.lua", "while true do end");
	for (size_t i = 0; i < HW_COUNT(load_traps); i++) {
		int64_t cpu_us = world_cpu_us();

		snprintf(source, sizeof(source), "%s", load_traps[i].code);
		if (world_load(&w, false, source, NULL) != -EINVAL)
			fail_msg("%s: was loaded", load_traps[i].what);
		if (world_cpu_us() - cpu_us > LIMIT_US + 20000)
			fail_msg("%s: took too long", load_traps[i].what);
		assert_non_null(strstr(w.problem.text, "policy.lua"));
	}
	world_fini(&w);
}

/* What the compiler alone can be made to do with a file of the largest size that is read. */
static void a_file_that_is_a_bomb_for_the_compiler_is_bounded(void **state)
{
	static const struct {
		const char *open, *middle, *close;
		size_t n;
	} bombs[] = {
		{"x = 1", " + 1", "", 250000},
		{"x = ", "(", "", 900000},
		{"x = ", "{", "", 900000},
		{"x = {", "{},", "}", 300000},
		{"", "do ", "", 300000},
		{"x = ", "not ", "1", 250000},
		{"x = ", "- ", "1", 450000},
		{"x = [[", "a", "]]", 1000000},
		{"--[[", "a", "]]", 1000000},
		{"", "local a ", "", 110000},
		{"x = a", ".a", "", 400000},
		{"x = ", "function() ", "", 90000},
		{"x = 'a'", "..'a'", "", 190000},
		{"goto a ", "goto a ", "", 140000},
	};
	struct world w;
	static char source[1 << 20];

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	w.budget.load_ms = 100;
	for (size_t i = 0; i < HW_COUNT(bombs); i++) {
		int64_t cpu_us = world_cpu_us();
		char *p = stpcpy(source, bombs[i].open);

		for (size_t n = 0; n < bombs[i].n && p < source + sizeof(source) - 32; n++)
			p = stpcpy(p, bombs[i].middle);
		strcpy(p, bombs[i].close);
		assert_int_not_equal(world_load(&w, false, source, NULL), 0);
		if (world_cpu_us() - cpu_us > 200000)
			fail_msg("bomb '%s' took %d us", bombs[i].middle,
				(int)(world_cpu_us() - cpu_us));
	}
	world_policy(&w, "return policy { api = 1, transform = function(e) return e end }");
	world_fini(&w);
}

/* A file that ends when it is tried and stays when a worker runs it: the worker is not kept for
 * the whole load budget. */
static void a_file_that_stays_only_the_second_time_costs_a_worker_little(void **state)
{
	struct world w;
	int64_t cpu_us;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	world_policy(&w, "if os.time() ~= 1767225600 then while true do end end\n"
			 "return policy { api = 1, authorize = { subscribe = function() return "
			 "allow() end } }");
	w.wall_ms += 5000;
	cpu_us = world_cpu_us();
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ERROR);
	assert_true(world_cpu_us() - cpu_us < LIMIT_US);
	w.wall_ms -= 5000;
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ALLOW);
	world_fini(&w);
}

static void an_error_says_where_the_script_was(void **state)
{
	struct world w;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	world_policy(&w, "return policy { api = 1, authorize = {\nsubscribe = function(s, "
			 "topic)\n\nwhile true do end\nend } }");
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ERROR);
	if (!strstr(w.answer.detail, "policy.lua:4: used more than its 2 ms of CPU time"))
		fail_msg("%s", w.answer.detail);
	assert_string_equal(w.answer.message, "");
	w.budget.cpu_ms = 1000;
	world_policy(&w, "return policy { api = 1, authorize = {\nsubscribe = function(s, topic) "
			 "local t = {} while true do t[#t+1] = {} end\nend } }");
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ERROR);
	assert_string_equal(w.answer.detail, "used more than its 16384 KiB of memory");
	world_fini(&w);
}

static void a_killed_state_is_gone_and_with_it_what_the_script_kept(void **state)
{
	struct world w;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	world_policy(&w, "local n = 0 return policy { api = 1, authorize = { subscribe = "
			 "function(s, topic, ctx)\n"
			 "n = n + 1 ctx.state.n = (ctx.state.n or 0) + 1\n"
			 "if topic.id == 'stay' then while true do end end\n"
			 "if n == tonumber(topic.id) and ctx.state.n == n then return allow() end "
			 "return deny() end } }");
	assert_int_equal(world_subscribe(&w, "a:1"), HW_ALLOW);
	assert_int_equal(world_subscribe(&w, "a:2"), HW_ALLOW);
	assert_int_equal(world_subscribe(&w, "a:stay"), HW_ERROR);
	assert_null(w.bench->lua);
	assert_int_equal(world_subscribe(&w, "a:1"), HW_ALLOW);
	/* an error of the script's own changes nothing of that */
	assert_int_equal(world_subscribe(&w, "a:2"), HW_ALLOW);
	assert_non_null(w.bench->lua);
	world_fini(&w);
}

/* One thread is killed again and again, the other asks its own policy: neither signal nor state
 * goes astray. */
struct neighbour {
	struct world *w;
	struct hw_hook_bench *bench;
	atomic_bool stop;
	long n_asked, n_wrong;
};

static int64_t thread_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *ask_on(void *arg)
{
	struct neighbour *n = arg;
	struct world mine = *n->w;

	mine.bench = n->bench;
	mine.answer = (struct hw_entry_answer){0};
	mine.session = "s2";
	if (hw_watchdog_enter_thread(n->w->watchdog) != 0)
		return NULL;
	while (!atomic_load(&n->stop)) {
		int64_t before_us = thread_cpu_us();
		bool refused = world_subscribe(&mine, "a:normal") != HW_ALLOW;

		/* the machine may charge us with time of its own: that is the budget's business */
		n->n_wrong += refused && thread_cpu_us() - before_us < 1000;
		n->n_asked++;
	}
	hw_entry_answer_fini(&mine.answer);
	hw_watchdog_leave_thread(n->w->watchdog);
	return NULL;
}

static void a_kill_hits_nobody_else(void **state)
{
	struct neighbour n = {0};
	struct world w;
	pthread_t thread;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	load_trap(&w, &(struct trap){"both kinds",
			      "while topic.id == 'hook' do end string.rep('', 1 << 60)"});
	n.w = &w;
	assert_int_equal(hw_hook_bench_create(w.env, w.chain, HW_STR("other"), 1, &n.bench), 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_on, &n), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(world_subscribe(&w, i % 2 ? "a:hook" : "a:jump"), HW_ERROR);
		assert_int_equal(world_subscribe(&w, "a:normal"), HW_ALLOW);
	}
	atomic_store(&n.stop, true);
	pthread_join(thread, NULL);
	print_message("%ld calls beside 100 kills\n", n.n_asked);
	assert_true(n.n_asked > 0);
	assert_int_equal(n.n_wrong, 0);
	hw_hook_bench_destroy(&n.bench);
	world_fini(&w);
}

/* Calls that end at about the moment when the watchdog strikes: late signals must find nothing to
 * do. */
static void calls_that_end_just_in_time_are_never_confused_with_the_next(void **state)
{
	struct world w;
	int n_done = 0, n_killed = 0;

	(void)state;
	NEEDS_SIGNALS();
	world_init(&w);
	w.budget.cpu_ms = 1;
	w.budget.load_ms = 500;
	world_policy(&w,
		"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
		"for i = 1, tonumber(topic.id) do end return allow() end } }");
	for (int i = 0; i < 600; i++) {
		char topic[32];

		snprintf(topic, sizeof(topic), "a:%d", 100000 + (i * 7919 % 500) * 2000);
		if (world_subscribe(&w, topic) == HW_ALLOW)
			n_done++;
		else
			n_killed++;
		if (world_subscribe(&w, "a:1") != HW_ALLOW && !strstr(w.answer.detail, "not asked"))
			fail_msg("an innocent call: %s", w.answer.detail);
		w.mono_ms += 5000;
	}
	print_message("%d ended in time, %d did not\n", n_done, n_killed);
	assert_true(n_killed > 0);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_trap_ends_and_the_next_question_is_answered),
		cmocka_unit_test(a_file_that_does_not_end_is_not_loaded),
		cmocka_unit_test(a_file_that_is_a_bomb_for_the_compiler_is_bounded),
		cmocka_unit_test(a_file_that_stays_only_the_second_time_costs_a_worker_little),
		cmocka_unit_test(an_error_says_where_the_script_was),
		cmocka_unit_test(a_killed_state_is_gone_and_with_it_what_the_script_kept),
		cmocka_unit_test(a_kill_hits_nobody_else),
		cmocka_unit_test(calls_that_end_just_in_time_are_never_confused_with_the_next),
	};

	return cmocka_run_group_tests_name("hook.lua_kill", tests, NULL, NULL);
}
