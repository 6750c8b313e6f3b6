/* hook/cases.h: what a file of cases says as JSON, with lines, and what is said about one that says
 * nothing. */
#include "lua_world.h"

#include "hook/cases.h"

static int read_cases(struct world *w, const char *source, struct hw_buf *out, struct hw_err *err)
{
	hw_buf_clear(out);
	err->text[0] = '\0';
	return hw_hook_cases_read(w->env, "policies/p.test.lua", hw_str_of(source), out, err);
}

static void cases_come_with_their_lines(void **state)
{
	struct world w;
	struct hw_buf out;
	struct hw_err err;

	(void)state;
	world_init(&w);
	hw_buf_init(&out);
	assert_int_equal(read_cases(&w,
				 "local function two(name)\n"
				 "  return case { name = name, list = {}, none = json.null }\n"
				 "end\n"
				 "return {\n"
				 "  config = { a = 1 },\n"
				 "  case {\n"
				 "    name = 'one',\n"
				 "  },\n"
				 "  two('two'),\n"
				 "}",
				 &out, &err),
		0);
	hw_buf_putc(&out, '\0');
	assert_string_equal(out.data,
		"{\"cases\":[{\"case\":{\"name\":\"one\"},\"line\":6},"
		"{\"case\":{\"list\":{},\"name\":\"two\",\"none\":null},\"line\":2}],"
		"\"file\":{\"config\":{\"a\":1}}}");
	hw_buf_fini(&out);
	world_fini(&w);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	static const struct {
		const char *source, *said;
	} wrong[] = {
		{"return {\n case { 1,, } }", "policies/p.test.lua:2:"},
		{"return 5", "the file must end with: return { case { … }, … }"},
		{"return { {} }", "element 1 of the list is not made by case { … }"},
		{"return { case 'x' }", "table expected"},
		{"return { case { f = function() end } }", "policies/p.test.lua: "},
		{"local t = {} t.t = t return { case(t) }", "policies/p.test.lua: "},
		{"while true do end", "CPU time"},
		{"return { case { x = ('x'):rep(1 << 30) } }", "memory"},
		{"print('x')", "global 'print'"},
		{"require('x')", "global 'require'"},
		{"return policy { api = 1 }", "global 'policy'"},
		{"io.open('/etc/passwd')", "global 'io'"},
		{"\x1bLua", "policies/p.test.lua"},
	};
	struct world w;
	struct hw_buf out;
	struct hw_err err;

	(void)state;
	world_init(&w);
	hw_buf_init(&out);
	for (size_t i = 0; i < HW_COUNT(wrong); i++) {
		assert_int_equal(read_cases(&w, wrong[i].source, &out, &err), -EINVAL);
		if (!strstr(err.text, wrong[i].said))
			fail_msg("%s: %s", wrong[i].source, err.text);
		assert_int_equal(strncmp(err.text, "policies/p.test.lua", 19), 0);
		assert_int_equal(out.len, 0);
	}
	hw_buf_fini(&out);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_come_with_their_lines),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
