/* What a policy cannot reach. Every probe runs in a policy of its own and must be refused; each
 * also has to leave the state as it was for a second policy beside it. */
#include "lua_world.h"

#include "hook/lua_state.h"

struct probe {
	const char *what;
	const char *code; /* a function body: true = contained; an error also counts as contained
			     when @says is NULL or found in it */
	const char *says;
};

/* clang-format off: one case a line */
static const struct probe probes[] = {
	{"io", "return io == nil", NULL},
	{"os.execute",
		"return os.execute == nil and os.exit == nil and os.remove == nil and os.rename == "
		"nil",
		NULL},
	{"os.getenv, os.tmpname, os.setlocale",
		"return os.getenv == nil and os.tmpname == nil and os.setlocale == nil", NULL},
	{"debug", "return debug == nil", NULL},
	{"package", "return package == nil", NULL},
	{"load", "return load == nil and loadstring == nil", NULL},
	{"loadfile and dofile", "return loadfile == nil and dofile == nil", NULL},
	{"collectgarbage", "return collectgarbage == nil", NULL},
	{"coroutine", "return coroutine == nil", NULL},
	{"xpcall", "return xpcall == nil", NULL},
	{"warn", "return warn == nil", NULL},
	{"string.dump", "return string.dump == nil and ('x').dump == nil", NULL},
	{"_G leads to nothing more",
		"return _G.io == nil and _G.debug == nil and _G.load == nil and _G._G == _G", NULL},
	{"the string metatable", "return getmetatable('') == false", NULL},
	{"setmetatable on a string", "setmetatable('', {})", "table expected"},
	{"a string method", "string.rep = function() return 'mine' end", "read-only"},
	{"a string method by rawset", "rawset(string, 'rep', function() return 'mine' end)",
		"read-only"},
	{"a string method through the metatable's index", "getmetatable('').__index.rep = 1",
		"attempt to index a boolean"},
	{"a library's metatable",
		"return getmetatable(string) == false and getmetatable(table) == false and "
		"getmetatable(json) == false",
		NULL},
	{"setmetatable on a library", "setmetatable(math, {})", "protected metatable"},
	{"pairs hands out no real library", "local _, t = pairs(string) t.rep = 1", "read-only"},
	{"table.insert into a library", "table.insert(math, 1)", "read-only"},
	{"table.move into a library", "table.move({1}, 1, 1, 1, string)", "read-only"},
	{"table.sort of a library does nothing", "table.sort(string) return ('x'):rep(2) == 'xx'",
		NULL},
	{"next walks a library without giving it away",
		"for k, v in next, string do assert(type(v) == 'function') end return next(string) "
		"~= nil",
		NULL},
	{"__gc", "setmetatable({}, {__gc = function() end})", "__gc is not available"},
	{"__gc, false", "setmetatable({}, {__gc = false})", "__gc is not available"},
	{"__gc behind __index",
		"local mt = setmetatable({}, {__index = {__gc = function() end}}) setmetatable({}, "
		"mt) return true",
		NULL},
	{"__gc added later is never called",
		"local called = false local mt = {} for i = 1, 100 do setmetatable({}, mt) end "
		"mt.__gc = function() called = true end\n"
		"local t = {} for i = 1, 20000 do t[i % 10] = {i} end return not called",
		NULL},
	{"a binary chunk through require", "require('\\27Lua')",
		"require works only while the file is loaded"},
	{"require after loading", "require('x')", "require works only while the file is loaded"},
	{"the registry by a light userdata",
		"return type(json.null) == 'userdata' and getmetatable(json.null) == nil", NULL},
	{"ctx", "_ctx.log = 1", "read-only"},
	{"ctx.log", "_ctx.log.info = print", "read-only"},
	{"ctx.config", "_ctx.config.list[1] = 2", "read-only"},
	{"ctx.config by table.insert", "table.insert(_ctx.config.list, 1)", "read-only"},
	{"ctx.config by rawset", "rawset(_ctx.config, 'x', 1)", "read-only"},
	{"ctx.config behind pairs",
		"for _, v in pairs(_ctx.config) do if type(v) == 'table' then v.x = 1 end end",
		"read-only"},
	{"ctx.http", "_ctx.http.get = print", "read-only"},
	{"ctx.http by rawset", "rawset(_ctx.http, 'get', print)", "read-only"},
	{"ctx.sleep", "_ctx.sleep = print", "read-only"},
	{"ctx by table.insert", "table.insert(_ctx, 1)", "read-only"},
	{"the metatables of ctx",
		"return getmetatable(_ctx) == false and getmetatable(_ctx.http) == false and "
		"getmetatable(_ctx.log) == false and getmetatable(_ctx.config) == false",
		NULL},
	{"ctx.state is the policy's alone, and no way to another's",
		"_ctx.state.mine = 1 return getmetatable(_ctx.state) == nil and next(_ctx.state) "
		"== "
		"'mine'",
		NULL},
	{"no function hands out a thread",
		"for k, v in pairs(_G) do assert(type(v) ~= 'thread', k) end return _G.coroutine "
		"== nil",
		NULL},
	{"a wait where there is no loop", "_ctx.sleep(1)", "no loop that could wake it"},
	{"a request where there is no loop", "_ctx.http.get('http://127.0.0.1/')",
		"no loop that could wake it"},
	{"a wait in a comparison", "table.sort({2, 1}, function() _ctx.sleep(1) end)",
		"nothing may wait inside of"},
	{"a wait in a replacement", "('a'):gsub('a', function() _ctx.sleep(1) end)",
		"nothing may wait inside of"},
	{"a wait in tostring",
		"tostring(setmetatable({}, {__tostring = function() _ctx.sleep(1) end}))",
		"nothing may wait inside of"},
	{"a wait in pairs", "pairs(setmetatable({}, {__pairs = function() _ctx.sleep(1) end}))",
		"nothing may wait inside of"},
	{"a request with another's framing",
		"_ctx.http.post('http://127.0.0.1/', {headers = {['Content-Length'] = '0'}, body = "
		"'GET / HTTP/1.1'})",
		"set by the broker itself"},
	{"a request with a line break in a header",
		"_ctx.http.get('http://127.0.0.1/', {headers = {a = 'b\\r\\nHost: c'}})",
		"no header may have"},
	{"a request with a line break in its URL",
		"_ctx.http.get('http://127.0.0.1/\\r\\nHost: c')", "no spaces"},
	{"a request that hides its end", "_ctx.http.get('http://127.0.0.1/\\0.example/')",
		"no spaces"},
	{"the session", "_s.user_id = 'root'", "read-only"},
	{"the session's claims", "_s.claims.role = 'admin'", "read-only"},
	{"claims by rawset", "rawset(_s.claims, 'role', 'admin')", "read-only"},
	{"a verdict is not a table of the script's own",
		"return type(allow()) == 'userdata' and getmetatable(allow()) == false", NULL},
	{"a verdict cannot be changed", "allow().verdict = 2", "attempt to index a verdict value"},
	{"pcall catches what a script raises",
		"local ok, e = pcall(error, {1}) return ok == false and e[1] == 1", NULL},
	{"policy after loading", "policy { api = 1 }", "for the file itself"},
	{"string.format with a wild width", "('%1000d'):format(1)", "invalid"},
	{"string.format with a wild precision", "('%.1000f'):format(1)", "invalid"},
	{"string.format %n", "('%n'):format(1)", "invalid conversion '%n'"},
	{"string.format %p", "('%p'):format({})", "invalid conversion '%p'"},
	{"string.format %ld", "('%ld'):format(1)", "invalid conversion '%l'"},
	{"string.format without an argument", "('%d'):format()", "no value"},
	{"string.format of the longest number",
		"return #('%99.99f'):format(-1.7976931348623157e308) == 410", NULL},
	{"os.date with a conversion of its own", "os.date('%Ey')", "invalid conversion"},
	{"os.date of no time", "os.date('%c', math.maxinteger)", "has no date"},
	{"os.time of nonsense", "os.time({year = 1e300, month = 1, day = 1})", "not an integer"},
	{"string.rep beyond memory is an error", "local s = ('x'):rep(math.maxinteger)",
		"resulting string too large"},
	{"the stack is bounded", "local function f() return 1 + f() end f()", "KiB of memory"},
	{"C calls are bounded", "local s = '' for i = 1, 300 do s = s .. '(' end ('x'):find(s)",
		NULL},
	{"patterns are bounded", "(('x'):rep(300000)):find(('x?'):rep(300000))", "too complex"},
	{"goto continue, integer division, bit operations: the language is whole",
		"for i = 1, 2 do goto continue ::continue:: end return 7 // 2 == 3 and 5 & 4 == 4 "
		"and ('é'):len() == 2 and utf8.len('é') == 1",
		NULL},
	{"math, table and utf8 are there",
		"return math.max(1, 2) == 2 and #table.pack(1, 2) == 2 and utf8.char(233) == 'é'",
		NULL},
	{"os is there as far as it is harmless",
		"return os.time() == 1767225600 and os.date('!%Y-%m-%d', 0) == '1970-01-01' and "
		"type(os.clock()) == 'number' and "
		"os.date('!*t', 86400).day == 2 and os.date('!%H:%M', os.time()) == '00:00'",
		NULL},
};
/* clang-format on */

static void expect_contained(struct world *w, const struct probe *probe)
{
	char source[4096];

	snprintf(source, sizeof(source),
		"local function probe(_s, _ctx)\n%s\nend\n"
		"return policy { api = 1, authorize = {\n"
		"subscribe = function(s, topic, ctx) if probe(s, ctx) == true then return allow() "
		"end return deny('internal', 'not contained') end,\n"
		"wildcard = function(s, topic, ctx)\n"
		"  assert(('x'):rep(3) == 'xxx' and string.rep('x', 2) == 'xx' and s.user_id == "
		"'u1' and s.claims.role == 'guest')\n"
		"  assert(ctx.config.list[1] == 1 and #ctx.config.list == 2 and ctx.config.x == "
		"nil and math.max(1, 2) == 2)\n"
		"  return allow()\nend } }",
		probe->code);
	if (world_load(w, false, source, "{\"list\":[1,2],\"object\":{\"a\":1}}") != 0)
		fail_msg("%s: %s", probe->what, w->problem.text);
	if (world_subscribe(w, "a:b") == HW_ALLOW) {
		if (probe->says)
			fail_msg("%s: went through", probe->what);
	} else if (w->answer.verdict != HW_ERROR) {
		fail_msg("%s: was not contained", probe->what);
	} else if (!probe->says) {
		if (!strstr(probe->what, "bounded"))
			fail_msg("%s: %s", probe->what, w->answer.detail);
	} else if (!strstr(w->answer.detail, probe->says)) {
		fail_msg("%s: '%s' does not say '%s'", probe->what, w->answer.detail, probe->says);
	}
	if (world_authorize(w, HW_OP_WILDCARD, "a:*", NULL) != HW_ALLOW)
		fail_msg("%s: left something behind: %s", probe->what, w->answer.detail);
}

static void probes_are_contained(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.budget.cpu_ms = 500; /* some probes allocate; the kill has its own tests */
	w.claims = "{\"role\":\"guest\"}";
	for (size_t i = 0; i < HW_COUNT(probes); i++)
		expect_contained(&w, &probes[i]);
	print_message("%zu probes\n", HW_COUNT(probes));
	world_fini(&w);
}

static void a_binary_chunk_is_refused(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_not_equal(world_load(&w, false, "\x1bLuaT", NULL), 0);
	assert_non_null(strstr(w.problem.text, "binary chunk"));
	world_fini(&w);
}

/* Two entries of one tenant share a state, and not their globals. */
static void policies_of_one_tenant_share_no_global(void **state)
{
	struct hw_hook_entry *entries[2];
	struct hw_hook_chain *chain;
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "counter = 0 return policy { api = 1, authorize = { subscribe = "
			 "function(s, t, ctx)\n"
			 "counter = counter + 1 ctx.state.mine = counter print = nil\n"
			 "if counter > 1 then return allow() end end } }");
	entries[0] = hw_hook_entry_ref(w.entry);
	world_policy(&w, "return policy { api = 1, authorize = { subscribe = function(s, t, ctx)\n"
			 "assert(counter == nil and _G.counter == nil and ctx.state.mine == nil "
			 "and print ~= nil) return deny() end } }");
	entries[1] = hw_hook_entry_ref(w.entry);
	world_forget_policy(&w);
	chain = hw_hook_chain_create(entries, 2);
	w.chain = chain;
	assert_int_equal(hw_hook_bench_create(w.env, chain, HW_STR("acme"), 0, &w.bench), 0);
	for (int i = 0; i < 3; i++) {
		struct hw_who who = {.user_id = slice("u"), .tenant_id = slice("acme")};
		struct hw_question question = {.operation = HW_OP_SUBSCRIBE, .topic = slice("a:b")};
		struct hw_ask ask = {.stage = HW_STAGE_AUTHORIZE,
			.global = w.bench,
			.tenant = w.bench,
			.who = &who,
			.question = &question};

		w.answer = (struct hw_entry_answer){0};
		assert_int_equal(
			entries[0]->ops->call(entries[0], w.bench->states[0], &ask, &w.answer),
			i == 0 ? HW_DEFER : HW_ALLOW);
		hw_entry_answer_fini(&w.answer);
		if (entries[1]->ops->call(entries[1], w.bench->states[1], &ask, &w.answer) !=
			HW_DENY)
			fail_msg("%s", w.answer.detail);
		hw_entry_answer_fini(&w.answer);
		assert_non_null(w.bench->lua);
	}
	hw_hook_entry_unref(&entries[0]);
	hw_hook_entry_unref(&entries[1]);
	world_fini(&w);
}

/* The hooks of two sessions that differ in one byte of anything never see each other's table. */
static void a_session_never_sees_another_sessions_table(void **state)
{
	struct world w;
	char claims[64], user[16];

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, authorize = { subscribe = function(s, t, ctx)\n"
			 "if s.user_id == t.id and s.claims.n == s.user_id then return allow() end "
			 "return deny() end } }");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 300; i++) {
			char topic[32];

			w.session = i % 3 ? "same" : "other"; /* collide on purpose */
			snprintf(user, sizeof(user), "u%d", i);
			snprintf(claims, sizeof(claims), "{\"n\":\"u%d\"}", i);
			snprintf(topic, sizeof(topic), "a:u%d", i);
			w.user_id = user;
			w.claims = claims;
			assert_int_equal(world_subscribe(&w, topic), HW_ALLOW);
			assert_int_equal(world_subscribe(&w, topic), HW_ALLOW);
			w.claims = "{\"n\":\"nobody\"}";
			assert_int_equal(world_subscribe(&w, topic), HW_DENY);
		}
	}
	/* fields whose bytes are the same when joined */
	w.session = "s";
	w.claims = "{\"n\":\"ab\"}";
	w.user_id = "ab";
	assert_int_equal(world_subscribe(&w, "a:ab"), HW_ALLOW);
	w.user_id = "a";
	w.tenant_id = "bacme";
	assert_int_equal(world_subscribe(&w, "a:ab"), HW_DENY);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes_are_contained),
		cmocka_unit_test(a_binary_chunk_is_refused),
		cmocka_unit_test(policies_of_one_tenant_share_no_global),
		cmocka_unit_test(a_session_never_sees_another_sessions_table),
	};

	return cmocka_run_group_tests_name("hook.lua_sandbox", tests, NULL, NULL);
}
