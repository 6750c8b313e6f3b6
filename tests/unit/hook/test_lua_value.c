/* JSON and Lua, both ways: the json library, claims, settings, string.format, and what a policy
 * reads of a question. */
#include "lua_world.h"

struct line {
	const char *what;
	const char *code; /* must be true */
};

/* clang-format off: one case a line */
static const struct line lines[] = {
	{"scalars", "json.encode(true) == 'true' and json.encode(1) == '1' and json.encode('x') == "
		    "'\"x\"' and json.encode(nil) == 'null'"},
	{"null", "json.encode(json.null) == 'null' and json.decode('null') == json.null"},
	{"integers to the last bit", "json.encode(math.mininteger) == '-9223372036854775808' and "
				     "json.decode('9223372036854775807') == math.maxinteger"},
	{"an integer that does not fit is a double",
		"json.decode('9223372036854775808') == 2.0^63 and "
		"json.decode('-9223372036854775809') == -2.0^63"},
	{"math.type tells",
		"math.type(json.decode('1')) == 'integer' and math.type(json.decode('1.0')) == "
		"'float' and math.type(json.decode('1e2')) == 'float'"},
	{"minus zero is a double", "1 / json.decode('-0') == -math.huge"},
	{"doubles read back", "json.decode(json.encode(0.1)) == 0.1 and "
			      "json.decode(json.encode(1/3)) == 1/3 and json.encode(0.1) == '0.1'"},
	{"a double without a fraction",
		"json.encode(4 / 2) == '2' and json.encode(1e300) == '1e+300'"},
	{"an empty table is an object", "json.encode({}) == '{}'"},
	{"an empty array",
		"json.encode(json.array()) == '[]' and json.encode(json.array({})) == '[]'"},
	{"a decoded empty array stays one",
		"json.encode(json.decode('[]')) == '[]' and json.encode(json.decode('{\"a\":[]}')) "
		"== '{\"a\":[]}'"},
	{"a list", "json.encode({1, 'a', {}, json.null}) == '[1,\"a\",{},null]'"},
	{"members are sorted",
		"json.encode({b = 1, a = 2, ab = 3}) == '{\"a\":2,\"ab\":3,\"b\":1}'"},
	{"many members are sorted",
		"(function() local t, names = {}, {} for i = 1, 200 do local k = "
		"('k%03d'):format((i * 7919) % 1000) t[k] = i names[#names + 1] = k end\n"
		"table.sort(names) local out = {} for i, k in ipairs(names) do out[i] = "
		"('\"%s\":%d'):format(k, t[k]) end\n"
		"return json.encode(t) == '{' .. table.concat(out, ',') .. '}' end)()"},
	{"escapes",
		"json.encode('a\"\\\\\\n\\t\\0\\31/') == [[\"a\\\"\\\\\\n\\t\\u0000\\u001f/\"]]"},
	{"unicode as it is", "json.encode('é\\u{1f600}') == '\"é\\u{1f600}\"'"},
	{"escapes are read",
		"json.decode([[\"\\u00e9\\ud83d\\ude00\\/\\b\\f\"]]) == 'é\\u{1f600}/\\b\\f'"},
	{"white space", "json.decode(' [ 1 , 2 ] ')[2] == 2"},
	{"not JSON is nil and why", "select('#', json.decode('[1,')) == 2 and json.decode('[1,') "
				    "== nil and select(2, json.decode('[1,')):find('byte 3')"},
	{"more than one value", "json.decode('1 2') == nil"},
	{"not UTF-8", "json.decode('\"\\xff\"') == nil and not pcall(json.encode, '\\xff')"},
	{"64 levels and not one more", "json.decode(('['):rep(64) .. (']'):rep(64)) ~= nil and "
				       "json.decode(('['):rep(65) .. (']'):rep(65)) == nil"},
	{"64 levels out and not one more",
		"(function() local t = json.array() for i = 2, 64 do t = {t} end return "
		"#json.encode(t) == 128 and not pcall(json.encode, {t}) end)()"},
	{"what JSON cannot say",
		"not pcall(json.encode, print) and not pcall(json.encode, 0/0) and not "
		"pcall(json.encode, {[true] = 1}) and not pcall(json.encode, {1, nil, 3, x = 1})"},
	{"json.array needs a plain table",
		"not pcall(json.array, setmetatable({}, {})) and not pcall(json.array, 5)"},
	{"a name that repeats: the last one", "json.decode('{\"a\":1,\"a\":2}').a == 2"},
	{"settings", "ctx.config.name == 'x' and ctx.config.list[2] == 2.5 and "
		     "ctx.config.deep.er[1].z == json.null and #ctx.config.list == 2"},
	{"settings can be walked",
		"(function() local n = 0 for k, v in pairs(ctx.config) do n = n + 1 end for i, v "
		"in ipairs(ctx.config.list) do n = n + v end return n == 7.5 end)()"},
	{"settings can be joined and unpacked", "table.concat(ctx.config.list, ';') == '1;2.5' and "
						"select(2, table.unpack(ctx.config.list)) == 2.5"},
	{"settings can be encoded", "json.encode(ctx.config.deep) == '{\"er\":[{\"z\":null}]}' and "
				    "json.encode(ctx.config.none) == '[]'"},
	{"the session", "s.user_id == 'u1' and s.tenant_id == 'acme' and s.session == 's1' and "
			"s.address == '192.0.2.1' and s.claims.families[1] == 'f1'"},
	{"the session can be walked", "(function() local n = 0 for k in pairs(s) do n = n + 1 end "
				      "return n == 5 and next(s.claims) == 'families' end)()"},
	{"the topic", "topic.name == 'gift-list:family-123' and topic.resource == 'gift-list' and "
		      "topic.id == 'family-123'"},
	{"time", "ctx.time.now_ms() == 1767225600000 and ctx.time.iso() == "
		 "'2026-01-01T00:00:00.000Z' and ctx.time.iso(0) == '1970-01-01T00:00:00.000Z'"},
	{"time out of range",
		"not pcall(ctx.time.iso, math.maxinteger) and not pcall(ctx.time.iso, -1e15)"},
	{"sha256", "ctx.crypto.sha256('abc') == "
		   "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'"},
	{"hmac", "ctx.crypto.hmac_sha256('Jefe', 'what do ya want for nothing?') == "
		 "'5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'"},
	{"equal", "ctx.crypto.equal('a', 'a') and not ctx.crypto.equal('a', 'b') and not "
		  "ctx.crypto.equal('a', 'ab')"},
	{"a digest of too much", "not pcall(ctx.crypto.sha256, ('x'):rep(2^20 + 1))"},
	{"format: numbers", "('%d %5d %-5d| %05d %+d %x %X %o'):format(1, 2, 3, 4, 5, 255, 255, 8) "
			    "== '1     2 3    | 00004 +5 ff FF 10'"},
	{"format: integral doubles are integers",
		"('%d'):format(3.0) == '3' and not pcall(string.format, '%d', 3.5)"},
	{"format: doubles", "('%.2f %e %g %5.1f %a'):format(1.005, 1, 0.1, 2.25, 1) == '1.00 "
			    "1.000000e+00 0.1   2.2 0x1p+0'"},
	{"format: text", "('%s|%5s|%-5s|%.2s|%5.1s'):format('abc', 'abc', 'abc', 'abc', 'abc') == "
			 "'abc|  abc|abc  |ab|    a'"},
	{"format: text with zeros",
		"('%s'):format('a\\0b') == 'a\\0b' and #('%4s'):format('a\\0b') == 4"},
	{"format: anything as text",
		"('%s %s %s %s'):format(nil, true, 1.5, setmetatable({}, {__tostring = function() "
		"return 'me' end})) == 'nil true 1.5 me'"},
	{"format: characters",
		"('%c%c%3c'):format(65, 66, 67) == 'AB  C' and ('%%'):format() == '%'"},
	{"format: quoted", "('%q'):format('a\"\\\\\\n\\0001\\r') == "
			   "'\"a\\\\\"\\\\\\\\\\\\\\n\\\\0001\\\\13\"'"},
	{"format: quoted numbers",
		"('%q %q %q %q'):format(1, math.mininteger, 1/0, true) == '1 0x8000000000000000 "
		"1e9999 true' and ('%q'):format(0.5) == '0x1p-1'"},
	{"format: quoted tables have no form",
		"not pcall(string.format, '%q', {}) and not pcall(string.format, '%5q', 'x')"},
	{"format: long text grows",
		"#('%s%s'):format(('x'):rep(10000), ('y'):rep(10000)) == 20000"},
};
/* clang-format on */

static void what_is_said_of_values_is_true(void **state)
{
	struct world w;
	char source[4096];

	(void)state;
	world_init(&w);
	w.budget.cpu_ms = 1000; /* a digest of a whole state's memory is among them */
	w.claims = "{\"families\":[\"f1\"]}";
	for (size_t i = 0; i < HW_COUNT(lines); i++) {
		snprintf(source, sizeof(source),
			"return policy { api = 1, authorize = { subscribe = function(s, topic, "
			"ctx)\n"
			"if %s then return allow() end return deny() end } }",
			lines[i].code);
		if (world_load(&w, false, source,
			    "{\"name\":\"x\",\"list\":[1,2.5],\"deep\":{\"er\":[{\"z\":null}]},"
			    "\"none\":[]}") != 0)
			fail_msg("%s: %s", lines[i].what, w.problem.text);
		if (world_subscribe(&w, "gift-list:family-123") != HW_ALLOW)
			fail_msg("%s: %s", lines[i].what,
				w.answer.verdict == HW_DENY ? "it is not so" : w.answer.detail);
	}
	print_message("%zu statements\n", HW_COUNT(lines));
	world_fini(&w);
}

/* The same object gives the same bytes in any state, whatever its hash seed: identities are
 * compared by them. */
static void claims_are_written_the_same_in_every_state(void **state)
{
	struct world w;
	char first[256] = "";

	(void)state;
	world_init(&w);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(
			world_load(&w, true,
				"return policy { api = 1, authenticate = function(req) return "
				"allow { user_id = 'u', tenant_id = 't',\n"
				"claims = { role = 'x', families = { 'a', 'b' }, none = "
				"json.array(), n = 1.5, deep = { b = 1, a = json.null } } } end }",
				NULL),
			0);
		assert_int_equal(world_authenticate(&w, "t"), HW_ALLOW);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", w.answer.claims);
		assert_string_equal(w.answer.claims, first);
	}
	assert_string_equal(first, "{\"deep\":{\"a\":null,\"b\":1},\"families\":[\"a\",\"b\"],"
				   "\"n\":1.5,\"none\":[],\"role\":\"x\"}");
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_of_values_is_true),
		cmocka_unit_test(claims_are_written_the_same_in_every_state),
	};

	return cmocka_run_group_tests_name("hook.lua_value", tests, NULL, NULL);
}
