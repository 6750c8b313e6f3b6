/* hook/coverage.h: which lines have code, and which of them ran. */
#include "lua_world.h"

#include "hook/coverage.h"

static void expect_lines(const struct hw_coverage *c, const char *expected)
{
	char got[64] = "";

	assert_int_equal(c->n_lines, strlen(expected));
	for (size_t i = 1; i <= c->n_lines; i++)
		got[i - 1] = ".cR"[c->lines[i]];
	assert_string_equal(got, expected);
}

static struct hw_coverage *coverage_of(const char *path, const char *source)
{
	struct hw_coverage *c = NULL;

	assert_int_equal(hw_coverage_create(path, hw_str_of(source), &c), 0);
	return c;
}

static void lines_with_code_are_found(void **state)
{
	struct hw_coverage *c;

	(void)state;
	c = coverage_of("/x", "");
	expect_lines(c, ".");
	hw_coverage_destroy(&c);
	/* what never ran has lines too; "end" alone has none but for making the function */
	c = coverage_of("/x", "\xef\xbb\xbflocal f = function()\n"
			      "  local function g()\n"
			      "    return f(1)\n"
			      "  end\n"
			      "\n"
			      "  -- nothing\n"
			      "  if g then\n"
			      "    g()\n"
			      "  end\n"
			      "end\n"
			      "return f");
	expect_lines(c, "..cc..cc.cc");
	hw_coverage_destroy(&c);
	/* the jump over the else is taken by nobody: the inner condition leads where it leads */
	c = coverage_of("/x", "local a = ...\n"
			      "if a then\n"
			      "  if a.b then\n"
			      "    a()\n"
			      "  end\n"
			      "elseif a == 1 then\n"
			      "  a = 2\n"
			      "end");
	expect_lines(c, "cccc.cc.");
	hw_coverage_destroy(&c);
	/* lines far apart, and more instructions than deltas reach */
	c = NULL;
	{
		char source[2000] = "local a = 1\n";

		for (int i = 0; i < 150; i++)
			strcat(source, "\n");
		strcat(source, "a = 2\n");
		for (int i = 0; i < 150; i++)
			strcat(source, "a=a+1 ");
		strcat(source, "\nreturn a");
		c = coverage_of("/x", source);
		assert_int_equal(c->n_lines, 154);
		for (size_t i = 1; i <= c->n_lines; i++)
			assert_int_equal(c->lines[i],
				i == 1 || i >= 152 ? HW_COVERAGE_CODE : HW_COVERAGE_NOTHING);
	}
	hw_coverage_destroy(&c);
	assert_int_equal(hw_coverage_create("/x", HW_STR("return ("), &c), -EINVAL);
	assert_null(c);
}

static void lines_that_run_are_noted(void **state)
{
	static const char source[] = "return policy {\n"
				     "  api = 1,\n"
				     "  authorize = { subscribe = function(s, topic)\n"
				     "    if topic.id == 'a' then\n"
				     "      return allow()\n"
				     "    end\n"
				     "    return deny()\n"
				     "  end },\n"
				     "}";
	struct hw_coverage *c;
	struct world w;

	(void)state;
	world_init(&w);
	/* the world says where the policy is only once it is loaded */
	assert_int_equal(world_load(&w, false, source, NULL), 0);
	c = coverage_of(w.entry->path, source);
	hw_hook_env_cover(w.env, c);
	expect_lines(c, "ccccc.cc.");
	assert_int_equal(world_authorize(&w, HW_OP_SUBSCRIBE, "t:b", NULL), HW_DENY);
	expect_lines(c, "RRRRc.RR.");
	assert_int_equal(world_authorize(&w, HW_OP_SUBSCRIBE, "t:a", NULL), HW_ALLOW);
	expect_lines(c, "RRRRR.RR.");
	world_fini(&w);
	hw_coverage_destroy(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_with_code_are_found),
		cmocka_unit_test(lines_that_run_are_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
