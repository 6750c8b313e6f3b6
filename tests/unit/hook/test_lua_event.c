/* Events through transform: what a policy changed is written anew, everything else leaves byte
 * for byte as it came. */
#include "lua_world.h"

struct edit {
	const char *what;
	const char *in;
	const char *code; /* with `e` the event, `p` its payload, `json` */
	const char *out;  /* NULL: unchanged */
};

#define EVENT(payload) \
	"{\"topic\":\"a:b\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"x\"," \
	"\"payload\":" payload "},\"trace_id\":\"t\"}"

/* clang-format off: one case a line */
static const struct edit edits[] = {
	{"nothing is touched", EVENT("{ \"a\" : 1.10 }"), "", NULL},
	{"everything is read and nothing changed",
		EVENT("{ \"a\" : 1.10, \"b\":[1, 2,{\"c\":null}] ,\"d\":\"\\u00e9\"}"),
		"local function walk(t) for k, v in pairs(t) do if type(v) == 'table' then walk(v) "
		"end end end walk(e)",
		NULL},
	{"a member goes", EVENT("{\"a\":1,\"secret\":2,\"b\":3}"), "p.secret = nil",
		EVENT("{\"a\":1,\"b\":3}")},
	{"the first member goes", EVENT("{ \"a\":1, \"b\":3 }"), "p.a = nil", EVENT("{ \"b\":3 }")},
	{"the last member goes", EVENT("{ \"a\":1, \"b\":3 }"), "p.b = nil", EVENT("{ \"a\":1}")},
	{"all members go", EVENT("{ \"a\":1, \"b\":3 }"), "p.a = nil p.b = nil", EVENT("{}")},
	{"a member that is not there goes", EVENT("{\"a\":1}"), "p.zzz = nil", NULL},
	{"a value changes and its neighbours keep their spelling",
		EVENT("{\"a\":1.10,\"n\":\"x\",\"z\":1e2}"), "p.n = 'y'",
		EVENT("{\"a\":1.10,\"n\":\"y\",\"z\":1e2}")},
	{"a value is set to what it is", EVENT("{\"a\":1.50,\"n\":\"x\\u0041\"}"),
		"p.a = 1.5 p.n = 'xA'", NULL},
	{"a member is added behind the others", EVENT("{\"b\":1}"), "p.a = true",
		EVENT("{\"b\":1,\"a\":true}")},
	{"members are added in the order of their names", EVENT("{\"m\":1}"),
		"p.z = 1 p.a = 2 p.k = 3", EVENT("{\"m\":1,\"a\":2,\"k\":3,\"z\":1}")},
	{"a member is added to an empty object", EVENT("{ }"), "p.a = 'x'", EVENT("{\"a\":\"x\"}")},
	{"an empty object is looked into", EVENT("{  }"), "assert(next(p) == nil)", NULL},
	{"an empty array stays one", EVENT("{\"l\":[ ]}"), "assert(#p.l == 0 and next(p.l) == nil)",
		NULL},
	{"an array is emptied and stays one", EVENT("{\"l\":[1,2]}"), "p.l[2] = nil p.l[1] = nil",
		EVENT("{\"l\":[]}")},
	{"an element is appended", EVENT("{\"l\":[1, 2 ]}"), "p.l[#p.l + 1] = 3",
		EVENT("{\"l\":[1, 2 ,3]}")},
	{"table.insert and table.remove work on an untouched array", EVENT("{\"l\":[1,2,3]}"),
		"table.remove(p.l, 1) table.insert(p.l, 'x')", EVENT("{\"l\":[2,3,\"x\"]}")},
	{"table.sort works", EVENT("{\"l\":[3,1,2]}"), "table.sort(p.l)", EVENT("{\"l\":[1,2,3]}")},
	{"table.concat and unpack work on untouched arrays",
		EVENT("{\"l\":[\"a\",\"b\"],\"m\":[1,2]}"),
		"assert(table.concat(p.l, '-') == 'a-b') assert(select('#', table.unpack(p.m)) == "
		"2)",
		NULL},
	{"ipairs and # work on an untouched array", EVENT("{\"l\":[5,6,7]}"),
		"local n = 0 for i, v in ipairs(p.l) do n = n + v end assert(n == 18 and #p.l == "
		"3)",
		NULL},
	{"next, rawget and rawlen look into an untouched view", EVENT("{\"a\":1,\"l\":[1,2]}"),
		"assert(next(p) and rawget(p, 'a') == 1 and rawlen(p.l) == 2)", NULL},
	{"a number that Lua cannot hold stays",
		EVENT("{\"n\":12345678901234567890,\"m\":0.1000000000000000055511151231257827}"),
		"assert(p.n > 1e19) p.x = 1",
		EVENT("{\"n\":12345678901234567890,\"m\":0.1000000000000000055511151231257827,"
		      "\"x\":1}")},
	{"a number beyond all doubles stays", EVENT("{\"n\":1e400,\"a\":1}"),
		"assert(p.n == math.huge) p.a = 2", EVENT("{\"n\":1e400,\"a\":2}")},
	{"64-bit integers are exact",
		EVENT("{\"n\":9223372036854775807,\"m\":-9223372036854775808}"),
		"assert(p.n == math.maxinteger and p.m == math.mininteger) p.n = p.n - 1",
		EVENT("{\"n\":9223372036854775806,\"m\":-9223372036854775808}")},
	{"minus zero stays", EVENT("{\"n\":-0,\"m\":-0.0,\"a\":1}"), "p.a = 2",
		EVENT("{\"n\":-0,\"m\":-0.0,\"a\":2}")},
	{"null is json.null and stays", EVENT("{\"n\":null,\"a\":1}"),
		"assert(p.n == json.null and p.n ~= nil) p.a = 2", EVENT("{\"n\":null,\"a\":2}")},
	{"a member becomes null", EVENT("{\"n\":1}"), "p.n = json.null", EVENT("{\"n\":null}")},
	{"true and false", EVENT("{\"t\":true,\"f\":false}"),
		"assert(p.t == true and p.f == false) p.t = p.f",
		EVENT("{\"t\":false,\"f\":false}")},
	{"a part moves with its bytes", EVENT("{\"a\":{ \"x\" : 1.0 },\"b\":2}"), "p.b = p.a",
		EVENT("{\"a\":{ \"x\" : 1.0 },\"b\":{ \"x\" : 1.0 }}")},
	{"parts change places", EVENT("{\"a\":[1.0],\"b\":{ }}"), "p.a, p.b = p.b, p.a",
		EVENT("{\"a\":{ },\"b\":[1.0]}")},
	{"a part that moved was edited before", EVENT("{\"a\":{\"x\":1.0,\"y\":2.0},\"b\":2}"),
		"p.a.x = nil p.b = p.a p.a = nil", EVENT("{\"b\":{\"y\":2.0}}")},
	{"deep inside", EVENT("{\"a\":{\"b\":{\"c\":[0,{\"d\":1.0,\"e\":2.0}]}}}"),
		"p.a.b.c[2].e = 'new'",
		EVENT("{\"a\":{\"b\":{\"c\":[0,{\"d\":1.0,\"e\":\"new\"}]}}}")},
	{"the payload becomes another table", EVENT("{\"a\":1}"),
		"e.data.payload = { list = {1, 2}, empty = json.array() }",
		EVENT("{\"empty\":[],\"list\":[1,2]}")},
	{"the payload is no object", EVENT("\"text\""), "assert(p == 'text') e.data.payload = 7",
		EVENT("7")},
	{"escapes are read and written", EVENT("{\"s\":\"a\\\"\\\\\\n\\u00e9\\ud83d\\ude00\"}"),
		"assert(p.s == 'a\"\\\\\\n\\u{e9}\\u{1f600}') p.s = p.s .. '\\t\\1/'",
		EVENT("{\"s\":\"a\\\"\\\\\\n\xc3\xa9\xf0\x9f\x98\x80\\t\\u0001/\"}")},
	{"an escaped name", EVENT("{\"\\u0061b\":1.0,\"c\":2}"), "assert(p.ab == 1) p.c = 3",
		EVENT("{\"\\u0061b\":1.0,\"c\":3}")},
	{"an escaped name goes", EVENT("{\"\\u0061b\":1.0,\"c\":2}"), "p.ab = nil",
		EVENT("{\"c\":2}")},
	{"a lone surrogate stays", EVENT("{\"s\":\"\\ud800\",\"c\":2}"),
		"assert(#p.s == 3) p.c = 3", EVENT("{\"s\":\"\\ud800\",\"c\":3}")},
	{"names that repeat stay as they are", EVENT("{\"a\":1,\"b\":0,\"a\":2.0}"),
		"assert(p.a == 2) p.b = 5", EVENT("{\"a\":1,\"b\":5,\"a\":2.0}")},
	{"a name that repeats is edited: one of it is left", EVENT("{\"a\":1,\"b\":0,\"a\":2.0}"),
		"p.a = 3", EVENT("{\"b\":0,\"a\":3}")},
	{"a name that repeats goes: all of it", EVENT("{\"a\":1,\"b\":0,\"\\u0061\":{}}"),
		"p.a = nil", EVENT("{\"b\":0}")},
	{"white space around everything",
		" \n{ \"topic\" : \"a:b\" , \"data\" : { \"payload\" : { } , \"q\" : 1 } }\t",
		"e.data.q = 2",
		"{ \"topic\" : \"a:b\" , \"data\" : { \"payload\" : { } , \"q\" : 2 } }"},
	{"a copied view is a plain table", EVENT("{\"b\":{\"x\":1.0},\"a\":2.0}"),
		"local c = {} for k, v in pairs(p) do c[k] = v end e.data.payload = c",
		EVENT("{\"a\":2,\"b\":{\"x\":1.0}}")},
	{"rawset on an untouched view", EVENT("{\"a\":1.0}"), "rawset(p, 'b', 1)",
		EVENT("{\"a\":1.0,\"b\":1}")},
	{"a metatable of the script's own", EVENT("{\"a\":1.0}"),
		"setmetatable(p, {__index = function() return 5 end}) assert(p.zz == 5) p.b = 1",
		EVENT("{\"a\":1.0,\"b\":1}")},
	{"json.encode of a view keeps its bytes", EVENT("{\"a\":1.0}"),
		"assert(json.encode(p) == '{\"a\":1.0}')", NULL},
	{"a table whose text is the same is no edit of the rest", EVENT("{\"a\":[1,2]}"),
		"p.a = {1, 2}", EVENT("{\"a\":[1,2]}")},
};
/* clang-format on */

static void what_is_not_changed_keeps_every_byte(void **state)
{
	struct world w;
	char source[2048];

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(edits); i++) {
		const struct edit *t = &edits[i];

		snprintf(source, sizeof(source),
			"return policy { api = 1, transform = function(e, ctx, s) local p = "
			"e.data.payload\n%s\nreturn e end }",
			t->code);
		world_policy(&w, source);
		if (world_transform(&w, t->in) != HW_ALLOW)
			fail_msg("%s: %s", t->what, w.answer.detail);
		if (!t->out && w.answer.event)
			fail_msg("%s: it was not left alone: %s", t->what, w.answer.event);
		if (t->out && (!w.answer.event || strcmp(w.answer.event, t->out) != 0))
			fail_msg("%s: got %s\nnot %s", t->what,
				w.answer.event ? w.answer.event : "no change", t->out);
		if (w.answer.event)
			assert_int_equal(w.answer.event_len, strlen(w.answer.event));
	}
	print_message("%zu edits\n", HW_COUNT(edits));
	world_fini(&w);
}

/* clang-format off: one case a line */
static const struct edit refusals[] = {
	{"a function is no JSON", EVENT("{}"), "p.f = print",
		"a function cannot be written as JSON"},
	{"NaN is no JSON", EVENT("{}"), "p.f = 0/0", "not a number that JSON has"},
	{"infinity is no JSON", EVENT("{}"), "p.f = 1/0", "not a number that JSON has"},
	{"bytes that are no UTF-8", EVENT("{}"), "p.f = '\\xff'", "not UTF-8"},
	{"a key that is a number", EVENT("{\"a\":1}"), "p[1] = 2",
		"only names for keys, not a number"},
	{"an array with a name in it", EVENT("{\"l\":[1]}"), "p.l.x = 2", "other keys beside them"},
	{"an array with a hole", EVENT("{\"l\":[1]}"), "p.l[3] = 2",
		"holes or other keys beside them"},
	{"a table that is list and object", EVENT("{}"), "p.t = {1, nil, 2, a = 3}",
		"neither a JSON array nor an object"},
	{"a circle", EVENT("{}"), "p.p = p", "circle"},
	{"a circle through the root", EVENT("{}"), "p.e = e", "circle"},
	{"another value than the event", EVENT("{}"), "do return 5 end",
		"must return the event or nil, not a number"},
	{"a verdict in place of the event", EVENT("{}"), "do return allow() end",
		"must return the event or nil"},
	{"a list in place of the event", EVENT("{}"), "do return {1} end",
		"must return the event or nil"},
	{"text that is no JSON", "{\"data\":{\"payload\":{]}}", "", "not JSON"},
	{"text that is no object", "[1]", "", "not a JSON object"},
	{"text that ends early", "{\"data\":{\"payload\":1", "", "not JSON"},
};
/* clang-format on */

static void what_is_no_event_is_an_error_that_says_why(void **state)
{
	struct world w;
	char source[2048];

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(refusals); i++) {
		const struct edit *t = &refusals[i];

		snprintf(source, sizeof(source),
			"return policy { api = 1, transform = function(e, ctx, s) local p = "
			"e.data.payload\n%s\nreturn e end }",
			t->code);
		world_policy(&w, source);
		if (world_transform(&w, t->in) != HW_ERROR)
			fail_msg("%s: was let through: %s", t->what,
				w.answer.event ? w.answer.event : "unchanged");
		if (!strstr(w.answer.detail, t->out))
			fail_msg("%s: '%s' does not say '%s'", t->what, w.answer.detail, t->out);
		assert_null(w.answer.event);
	}
	world_fini(&w);
}

static void nil_drops_the_event(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, transform = function(e) if e.event == 'UPDATED' "
			 "then return nil end return e end }");
	assert_int_equal(world_transform(&w, EVENT("{}")), HW_DENY);
	assert_null(w.answer.event);
	assert_int_equal(world_transform(&w, "{\"event\":\"ADDED\"}"), HW_ALLOW);
	world_fini(&w);
}

static void a_table_of_its_own_may_take_the_place_of_the_event(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, transform = function(e) return { topic = "
			 "e.topic, data = e.data } end }");
	assert_int_equal(
		world_transform(&w, "{\"topic\":\"a:b\",\"x\":1,\"data\":{ \"n\" : 1.0 }}"),
		HW_ALLOW);
	assert_string_equal(w.answer.event, "{\"data\":{ \"n\" : 1.0 },\"topic\":\"a:b\"}");
	world_fini(&w);
}

static void a_view_outlives_its_call(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, transform = function(e, ctx)\n"
			 "local last = ctx.state.last ctx.state.last = e\n"
			 "if last then e.data.before = last.data end return e end }");
	assert_int_equal(world_transform(&w, "{\"data\":{\"n\":1.0}}"), HW_ALLOW);
	assert_int_equal(world_transform(&w, "{\"data\":{\"n\":2.0}}"), HW_ALLOW);
	assert_string_equal(w.answer.event, "{\"data\":{\"n\":2.0,\"before\":{\"n\":1.0}}}");
	/* same bytes, another event */
	assert_int_equal(world_transform(&w, "{\"data\":{\"n\":2.0}}"), HW_ALLOW);
	assert_string_equal(w.answer.event,
		"{\"data\":{\"n\":2.0,\"before\":{\"n\":2.0,\"before\":{\"n\":1.0}}}}");
	world_fini(&w);
}

static void the_hidden_members_of_a_view_are_out_of_reach(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, transform = function(e)\n"
			 "local n = 0 for k, v in pairs(e) do n = n + 1 assert(type(k) == "
			 "'string') end assert(n == 2)\n"
			 "for k in next, e do assert(type(k) == 'string') end\n"
			 "for k in pairs(e.list) do assert(math.type(k) == 'integer') end\n"
			 "assert(getmetatable(e.fresh) == false)\n"
			 "return e end }");
	if (world_transform(&w, "{\"list\":[1,2],\"a\":{}}") == HW_ALLOW)
		fail_msg("the assertion on a member that is not there passed");
	world_policy(&w,
		"return policy { api = 1, transform = function(e)\n"
		"assert(getmetatable(e.a) == false) assert(not pcall(setmetatable, e.list, {}))\n"
		"local n = 0 for k, v in pairs(e) do n = n + 1 assert(type(k) == 'string') end "
		"assert(n == 2)\n"
		"for k in next, e do assert(type(k) == 'string') end\n"
		"for k in pairs(e.list) do assert(math.type(k) == 'integer') end\n"
		"return e end }");
	if (world_transform(&w, "{\"list\":[1,2],\"a\":{}}") != HW_ALLOW)
		fail_msg("%s", w.answer.detail);
	assert_null(w.answer.event);
	world_fini(&w);
}

/* A publisher chooses the text. A name that comes often, with a long value at the end, must not
 * make each of its places cost the length of that value. */
static void a_name_that_comes_often_costs_no_more_than_others(void **state)
{
	enum { TIMES = 60000, LAST_BYTES = 600000 };
	struct hw_buf text;
	struct world w;

	(void)state;
	world_init(&w);
	w.budget.cpu_ms = 5000; /* some ten times what it takes with sanitizers */
	w.budget.memory_bytes = 64u << 20;
	world_policy(&w, "return policy { api = 1, transform = function(e)\n"
			 "e.data.payload.added = true return e end }");
	hw_buf_init(&text);
	hw_buf_puts(&text, "{\"topic\":\"a:b\",\"data\":{\"payload\":{");
	for (int i = 0; i < TIMES; i++)
		hw_buf_puts(&text, "\"a\":1,");
	hw_buf_puts(&text, "\"a\":\"");
	for (int i = 0; i < LAST_BYTES; i++)
		hw_buf_putc(&text, 'x');
	hw_buf_puts(&text, "\"}}}");
	hw_buf_putc(&text, '\0');
	assert_false(text.failed);
	if (world_transform(&w, text.data) != HW_ALLOW)
		fail_msg("%s", w.answer.detail);
	/* all of them stay, as the last one is as it was */
	assert_int_equal(w.answer.event_len, text.len - 1 + strlen(",\"added\":true"));
	hw_buf_fini(&text);
	world_fini(&w);
}

/* Random documents, a random member changed to what a tag of its own: the result must be the text
 * with just that value replaced. */
static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void put_space(char **p, uint32_t *seed)
{
	for (unsigned n = next_random(seed) % 3; n > 0; n--)
		*(*p)++ = " \n\t"[next_random(seed) % 3];
}

static void put_value(char **p, uint32_t *seed, int depth)
{
	static const char *const scalars[] = {"1.10", "null", "true", "false", "\"x\"",
		"\"\\u00e9\\n\"", "1e3", "-0", "12345678901234567890", "\"\""};
	unsigned kind = next_random(seed) % 4, n = next_random(seed) % 4;

	if (depth == 0 || kind < 2) {
		*p += sprintf(*p, "%s", scalars[next_random(seed) % HW_COUNT(scalars)]);
		return;
	}
	*(*p)++ = kind == 2 ? '{' : '[';
	put_space(p, seed);
	for (unsigned i = 0; i < n; i++) {
		if (i > 0) {
			*(*p)++ = ',';
			put_space(p, seed);
		}
		if (kind == 2) {
			*p += sprintf(*p, "\"k%u\"", i);
			put_space(p, seed);
			*(*p)++ = ':';
			put_space(p, seed);
		}
		put_value(p, seed, depth - 1);
		put_space(p, seed);
	}
	*(*p)++ = kind == 2 ? '}' : ']';
}

static void one_edit_in_a_random_document_changes_nothing_else(void **state)
{
	static char in[1 << 16], expected[1 << 17];
	struct world w;

	(void)state;
	world_init(&w);
	w.budget.cpu_ms = 200;
	world_policy(&w, "local function touch(t) for _, v in pairs(t) do if type(v) == 'table' "
			 "then touch(v) end end end\n"
			 "return policy { api = 1, transform = function(e) touch(e) e.mark = "
			 "'DONE' return e end }");
	for (uint32_t seed = 1; seed <= 2000; seed++) {
		uint32_t random = seed * 7919;
		char *p = in, *mark;

		p += sprintf(p, "{ \"before\" :");
		put_value(&p, &random, 4);
		p += sprintf(p, " ,\"mark\": ");
		mark = p;
		p += sprintf(p, "0 , \"after\":");
		put_value(&p, &random, 4);
		sprintf(p, "\n}");
		sprintf(expected, "%.*s\"DONE\"%s", (int)(mark - in), in, mark + 1);
		if (world_transform(&w, in) != HW_ALLOW)
			fail_msg("seed %u: %s\n%s", seed, w.answer.detail, in);
		assert_non_null(w.answer.event);
		if (strcmp(w.answer.event, expected) != 0)
			fail_msg("seed %u:\n%s\nbecame\n%s", seed, in, w.answer.event);
	}
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_changed_keeps_every_byte),
		cmocka_unit_test(what_is_no_event_is_an_error_that_says_why),
		cmocka_unit_test(nil_drops_the_event),
		cmocka_unit_test(a_table_of_its_own_may_take_the_place_of_the_event),
		cmocka_unit_test(a_name_that_comes_often_costs_no_more_than_others),
		cmocka_unit_test(a_view_outlives_its_call),
		cmocka_unit_test(the_hidden_members_of_a_view_are_out_of_reach),
		cmocka_unit_test(one_edit_in_a_random_document_changes_nothing_else),
	};

	return cmocka_run_group_tests_name("hook.lua_event", tests, NULL, NULL);
}
