#include "app/conf_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a text being read --------------------------------------------------- */

struct parse {
	struct hw_conf_tree *tree;
	struct hw_conf_report report;
	int rc;
};

static const char *env(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "TOKEN") == 0)
		return "hush-hush";
	if (strcmp(name, "NASTY") == 0)
		return "\"},\n${TOKEN}\\@file:x";
	if (strcmp(name, "EMPTY") == 0)
		return "";
	if (strcmp(name, "LATIN1") == 0)
		return "hush\xe9";
	if (strcmp(name, "REF") == 0)
		return "@file:good";
	return NULL;
}

static void parse_as(struct parse *p, const char *file, bool files, struct hw_str text)
{
	const struct hw_conf_tree_options options = {.file = file, .env = env, .files = files};
	/* of exactly its size, so that a sanitizer sees a read past the end */
	char *copy = malloc(text.len > 0 ? text.len : 1);

	assert_non_null(copy);
	memcpy(copy, text.p, text.len);
	*p = (struct parse){0};
	hw_conf_report_init(&p->report);
	p->rc = hw_conf_tree_parse((struct hw_str){copy, text.len}, &options, &p->tree, &p->report);
	free(copy);
}

static void parse(struct parse *p, const char *text)
{
	parse_as(p, "t.json", false, hw_str_of(text));
}

static void done(struct parse *p)
{
	hw_conf_tree_destroy(&p->tree);
	hw_conf_report_fini(&p->report);
}

static const struct hw_conf_value *root(const struct parse *p)
{
	assert_int_equal(p->rc, 0);
	assert_non_null(p->tree);
	return hw_conf_tree_root(p->tree);
}

static const struct hw_conf_value *at(const struct parse *p, const char *pointer)
{
	return hw_conf_value_locate(root(p), hw_str_of(pointer));
}

static void assert_str(struct hw_str s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.p, expected, s.len);
	assert_int_equal(s.p[s.len], '\0');
}

static void assert_printed(const struct hw_conf_value *v, const char *expected)
{
	struct hw_buf out;

	hw_buf_init(&out);
	hw_conf_value_print(v, &out);
	hw_buf_putc(&out, '\0');
	assert_string_equal(out.data, expected);
	hw_buf_fini(&out);
}

/* @text has exactly one problem, and its message starts with the place and holds the words. */
static void expect_problem(const char *text, const char *place, const char *words)
{
	char prefix[64];
	struct parse p;

	parse(&p, text);
	if (p.report.n_items != 1) {
		for (size_t i = 0; i < p.report.n_items; i++)
			print_error("%s\n", p.report.items[i].text);
		fail_msg("%zu problems in: %s", p.report.n_items, text);
	}
	assert_int_equal(p.rc, 1);
	snprintf(prefix, sizeof(prefix), "t.json:%s: ", place);
	if (strncmp(p.report.items[0].text, prefix, strlen(prefix)) != 0 ||
		!strstr(p.report.items[0].text, words))
		fail_msg("expected %s…%s…, got %s", prefix, words, p.report.items[0].text);
	assert_string_equal(p.report.items[0].unit, "t.json");
	done(&p);
}

/* ---- values and places --------------------------------------------------- */

static void every_value_knows_its_line_and_column(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, "// first\n"
		  "{\t\"a\": 1, \"ä\": [true,\r\n"
		  "  null /* x\ny */, \"é\" , {\"b\": -0.5e3}]}\n");
	assert_int_equal(root(&p)->line, 2);
	assert_int_equal(root(&p)->column, 1);
	assert_int_equal(at(&p, "/a")->key_line, 2);
	assert_int_equal(at(&p, "/a")->key_column, 3);
	assert_int_equal(at(&p, "/a")->column, 8);
	assert_int_equal(at(&p, "/ä")->key_column, 11);
	assert_int_equal(at(&p, "/ä")->column, 16); /* ä is one character */
	assert_int_equal(at(&p, "/ä/0")->column, 17);
	assert_int_equal(at(&p, "/ä/1")->line, 3);
	assert_int_equal(at(&p, "/ä/1")->column, 3);
	assert_int_equal(at(&p, "/ä/2")->line, 4);
	assert_int_equal(at(&p, "/ä/2")->column, 7);
	assert_int_equal(at(&p, "/ä/3")->column, 13);
	assert_int_equal(at(&p, "/ä/3/b")->column, 19);
	assert_int_equal(at(&p, "/ä/3/b")->type, HW_CONF_NUMBER);
	assert_true(at(&p, "/ä/3/b")->number == -500.0);
	assert_string_equal(hw_conf_tree_file(p.tree), "t.json");
	done(&p);
}

static void all_types_are_read_and_printed_compactly(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, " { \"s\" : \"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\" , \"n\" : [ 0 , "
		  "-12 , "
		  "1.50 , 1E+2 ] ,\n \"t\" : true , \"f\" : false , \"0\" : null , \"o\" : { } , "
		  "\"e\" : [ ] } ");
	assert_int_equal(root(&p)->n_children, 7);
	assert_str(at(&p, "/s")->text, "a\"\\/\b\f\n\r\té😀");
	assert_true(at(&p, "/n/1")->is_integer);
	assert_int_equal(at(&p, "/n/1")->integer, -12);
	assert_false(at(&p, "/n/3")->is_integer);
	assert_true(at(&p, "/n/3")->number == 100.0);
	assert_str(at(&p, "/n/2")->text, "1.50");
	assert_printed(root(&p), "{\"s\":\"a\\\"\\\\/\\b\\f\\n\\r\\t"
				 "é😀\",\"n\":[0,-12,1.50,1E+2],\"t\":true,\"f\":false,\"0\":null,"
				 "\"o\":{},\"e\":[]}");
	assert_true(at(&p, "/t")->boolean);
	assert_false(at(&p, "/f")->boolean);
	assert_ptr_equal(at(&p, "/n/1")->parent, at(&p, "/n"));
	assert_null(hw_conf_value_get(root(&p), HW_STR("x")));
	assert_null(hw_conf_value_at(at(&p, "/n"), 4));
	done(&p);
}

static void a_pointer_finds_a_value_or_where_the_way_ends(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, "{\"a/b\": {\"~\": [10, 20]}, \"\": 5}");
	assert_int_equal(at(&p, "/a~1b/~0/1")->integer, 20);
	assert_int_equal(at(&p, "/")->integer, 5);
	assert_ptr_equal(at(&p, ""), root(&p));
	assert_ptr_equal(at(&p, "no pointer"), root(&p));
	assert_ptr_equal(at(&p, "/a~1b/x/y"), at(&p, "/a~1b"));
	assert_ptr_equal(at(&p, "/a~1b/~0/2"), at(&p, "/a~1b/~0"));
	assert_ptr_equal(at(&p, "/a~1b/~0/-1"), at(&p, "/a~1b/~0"));
	assert_ptr_equal(at(&p, "/a~1b/~0/1/z"), at(&p, "/a~1b/~0/1"));
	done(&p);
}

static void integers_have_64_bits(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, "[9223372036854775807, -9223372036854775808, 1e308, 0, -0]");
	assert_true(at(&p, "/0")->integer == INT64_MAX);
	assert_true(at(&p, "/1")->integer == INT64_MIN);
	assert_false(at(&p, "/2")->is_integer);
	done(&p);
	expect_problem("[9223372036854775808]", "1:2", "64 bits");
	expect_problem("[1e309]", "1:2", "out of range");
}

static void comments_may_stand_wherever_blanks_may(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, "/**/{//\n\"a\"/* , */://x\n[/*]*/1/**/,//,\n2]//\n/**/,\"b\":\"// /* no */\"}// "
		  "end");
	assert_printed(root(&p), "{\"a\":[1,2],\"b\":\"// /* no */\"}");
	done(&p);
	expect_problem("{} /* open", "1:4", "comment that does not end");
	expect_problem("[1, /* open *", "1:5", "comment that does not end");
	expect_problem("# no\n{}", "1:1", "write //");
	expect_problem("{\n# no\n}", "2:1", "write //");
	expect_problem("[1 / 2]", "1:4", "a slash");
}

/* ---- what is refused ----------------------------------------------------- */

static void mistakes_are_told_with_their_place_and_what_to_do(void **state)
{
	static const struct {
		const char *text, *place, *words;
	} cases[] = {
		{"", "1:1", "empty"},
		{" // only\n", "1:1", "empty"},
		{"{\"a\":1,}", "1:7", "comma before the closing }: JSON allows none; remove it"},
		{"[1,\n2,\n]", "2:2", "comma before the closing ]"},
		{"[,1]", "1:2", "comma with no value"},
		{"[1,,2]", "1:4", "comma with no value"},
		{"{,}", "1:2", "comma too many"},
		{"{\"a\":1 \"b\":2}", "1:8", "comma is missing before this"},
		{"[1 2]", "1:4", "comma is missing before this"},
		{"{\"a\" 1}", "1:6", "colon"},
		{"{\"a\":}", "1:6", "closing bracket where a value is wanted"},
		{"{a:1}", "1:2", "key in double quotes"},
		{"{'a':1}", "1:2", "key in double quotes"},
		{"['a']", "1:2", "double quotes"},
		{"{\"a\":1]", "1:7", "a comma or } is wanted"},
		{"[1}", "1:3", "a comma or ] is wanted"},
		{"[1", "1:1", "array that does not end"},
		{" {\"a\":1", "1:2", "object that does not end"},
		{"{\"a\"", "1:5", "colon"},
		{"{\"a\":", "1:6", "file ends where a value"},
		{"{} x", "1:4", "after the end"},
		{"1 2", "1:3", "after the end"},
		{"[True]", "1:2", "write true in small letters"},
		{"[None]", "1:2", "write null"},
		{"[yes]", "1:2", "write true"},
		{"[off]", "1:2", "write false"},
		{"[info]", "1:2", "double quotes"},
		{"[NaN]", "1:2", "not a value of JSON"},
		{"[01]", "1:2", "leading zeros"},
		{"[+1]", "1:2", "without +"},
		{"[.5]", "1:2", "write a number"},
		{"[1.]", "1:2", "write a number"},
		{"[1e]", "1:2", "write a number"},
		{"[0x10]", "1:2", "write a number"},
		{"[-]", "1:2", "write a number"},
		{"[1_000]", "1:2", "write a number"},
		{"[\"a]", "1:2", "does not end in its line"},
		{"[\"a\nb\"]", "1:2", "write \\n for a line break"},
		{"[\"\\", "1:2", "does not end in its line"},
		{"[\"a\tb\"]", "1:4", "write it as \\u0009 or \\t"},
		{"[\"a\x01\"]", "1:4", "write it as \\u0001"},
		{"[\"é\\x41\"]", "1:4", "no escape for"},
		{"[\"\\u12g4\"]", "1:3", "four hexadecimal digits"},
		{"[\"\\u12", "1:3", "four hexadecimal digits"},
		{"[\"\\ud800\"]", "1:3", "half of a surrogate pair"},
		{"[\"\\ud800\\u0041\"]", "1:3", "half of a surrogate pair"},
		{"[\"\\udc00\"]", "1:3", "half of a surrogate pair"},
		{"[\"\\u0000\"]", "1:3", "cannot hold NUL"},
		{"[\x0c]", "1:2", "starts no value"},
		{"\xef\xbb\xbf{}", "1:1", "byte order mark"},
	};

	(void)state;
	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		/* "[\"\\u12" has two: the escape and the string without end */
		if (strcmp(cases[i].text, "[\"\\u12") == 0) {
			struct parse p;

			parse(&p, cases[i].text);
			assert_int_equal(p.report.n_items, 2);
			assert_non_null(strstr(p.report.items[0].text, cases[i].words));
			done(&p);
			continue;
		}
		expect_problem(cases[i].text, cases[i].place, cases[i].words);
	}
}

static void bytes_that_are_not_utf8_are_placed(void **state)
{
	struct parse p;

	(void)state;
	expect_problem("{\"a\":\n\"\xc3\xa9\xff\"}", "2:3", "not UTF-8");
	expect_problem("[\"\xc3\"]", "1:3", "not UTF-8");
	expect_problem("[\"\xed\xa0\x80\"]", "1:3", "not UTF-8");
	expect_problem("// \xe9\n{}", "1:4", "not UTF-8");
	expect_problem("[1]\xc3", "1:4", "not UTF-8");
	parse_as(&p, "t.json", false, HW_STR("[1]\0"));
	assert_int_equal(p.rc, 1);
	assert_string_equal(p.report.items[0].text,
		"t.json:1:4: something after the end of the document; remove it");
	done(&p);
}

static void repeated_keys_name_both_places(void **state)
{
	struct hw_buf text;
	struct parse p;

	(void)state;
	expect_problem("{\"a\": 1,\n \"a\": 2}", "2:2",
		"\"a\" is here a second time, first at t.json:1:2");
	expect_problem("{\"a\": 1, \"\\u0061\": 2}", "1:10", "first at t.json:1:2");
	expect_problem("[{\"a\": 1}, {\"a\": 2, \"b\": {\"a\": 3}, \"b\": 4}]", "1:36", "\"b\"");

	/* an object so large that it is searched another way, repeating its first and its last */
	hw_buf_init(&text);
	hw_buf_puts(&text, "{");
	for (int i = 0; i < 100; i++)
		hw_buf_printf(&text, "\"k%d\": %d,\n", i, i);
	hw_buf_puts(&text, "\"k0\": 1, \"k99\": 2}");
	parse_as(&p, "t.json", false, hw_buf_view(&text));
	assert_int_equal(p.report.n_items, 2);
	assert_non_null(strstr(
		p.report.items[0].text, "\"k0\" is here a second time, first at t.json:1:2;"));
	assert_non_null(strstr(
		p.report.items[1].text, "\"k99\" is here a second time, first at t.json:100:1;"));
	assert_int_equal(hw_conf_tree_root(p.tree)->n_children, 100);
	done(&p);
	hw_buf_fini(&text);
}

static void nesting_ends_at_64(void **state)
{
	char text[512];
	struct parse p;

	(void)state;
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	text[128] = '\0';
	parse(&p, text);
	assert_int_equal(p.rc, 0);
	done(&p);
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	text[130] = '\0';
	expect_problem(text, "1:65", "64");
	for (int i = 0; i < 65; i++)
		memcpy(text + 4 * i, "{\"\":", 4);
	memset(text + 260, '}', 65);
	text[325] = '\0';
	expect_problem(text, "1:257", "64");
}

static void all_mistakes_are_collected(void **state)
{
	static const char *const expected[] = {
		"t.json:2:9: ",
		"t.json:3:7: ",
		"t.json:4:3: ",
		"t.json:5:8: ",
		"t.json:5:9: ",
	};
	struct parse p;

	(void)state;
	parse(&p, "{\n"
		  " \"a\": \"x${NOT_SET}\",\n"
		  " \"b\": True,\n"
		  "  \"a\": 1 ,\n"
		  "\"c\":[1 2,]}");
	assert_int_equal(p.rc, 1);
	assert_int_equal(p.report.n_errors, HW_COUNT(expected));
	assert_int_equal(p.report.n_items, HW_COUNT(expected));
	for (size_t i = 0; i < HW_COUNT(expected); i++)
		assert_memory_equal(p.report.items[i].text, expected[i], strlen(expected[i]));
	/* and the rest is there */
	assert_int_equal(hw_conf_tree_root(p.tree)->n_children, 3);
	assert_true(hw_conf_value_get(hw_conf_tree_root(p.tree), HW_STR("a"))->broken);
	done(&p);
}

/* ---- substitution -------------------------------------------------------- */

static void variables_are_replaced_inside_strings(void **state)
{
	struct parse p;

	(void)state;
	parse(&p, "{\"a\": \"${TOKEN}\", \"b\": \"<${TOKEN}${EMPTY}|${TOKEN}>\", \"c\": \"plain $ "
		  "$x $$ }\","
		  " \"d\": \"$${TOKEN}\", \"e\": \"\\u0024{TOKEN}\", \"f\": \"${NASTY}\", \"g\": "
		  "\"${REF}\"}");
	assert_str(at(&p, "/a")->text, "hush-hush");
	assert_str(at(&p, "/a")->written, "${TOKEN}");
	assert_true(at(&p, "/a")->secret);
	assert_str(at(&p, "/b")->text, "<hush-hush|hush-hush>");
	assert_str(at(&p, "/c")->text, "plain $ $x $$ }");
	assert_false(at(&p, "/c")->secret);
	assert_str(at(&p, "/d")->text, "${TOKEN}");
	assert_false(at(&p, "/d")->secret);
	assert_str(at(&p, "/e")->text, "${TOKEN}");
	/* what a variable holds is a value, never syntax */
	assert_str(at(&p, "/f")->text, "\"},\n${TOKEN}\\@file:x");
	assert_str(at(&p, "/g")->text, "@file:good");
	assert_true(hw_conf_value_secret(root(&p)));
	assert_false(hw_conf_value_secret(at(&p, "/c")));
	done(&p);
}

static void a_variable_that_cannot_be_replaced_is_an_error(void **state)
{
	(void)state;
	expect_problem("[\"é${NOT_SET}\"]", "1:4", "the environment variable NOT_SET is not set");
	expect_problem("[\"${LATIN1}\"]", "1:3", "LATIN1 is not UTF-8");
	expect_problem("[\"${TOKEN\"]", "1:3", "write $${ for ${ itself");
	expect_problem("[\"${}\"]", "1:3", "only ${NAME} is replaced");
	expect_problem("[\"${TOKEN:-x}\"]", "1:3", "only ${NAME} is replaced");
	expect_problem("[\"${1A}\"]", "1:3", "only ${NAME} is replaced");
	expect_problem("{\"${TOKEN}\": 1}", "1:3", "only values are replaced");
}

struct files {
	char dir[64];
	char conf[96];
};

static void put(const struct files *f, const char *name, const void *p, size_t len)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(p, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int make_files(void **state)
{
	struct files *f = calloc(1, sizeof(*f));
	char path[128], *big = calloc(1, HW_CONF_SECRET_MAX + 2);

	assert_non_null(f);
	assert_non_null(big);
	strcpy(f->dir, "/tmp/hw-tree-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->conf, sizeof(f->conf), "%s/t.json", f->dir);
	put(f, "good", "hush-hush\n", 10);
	put(f, "two", "a\n\n", 3);
	put(f, "crlf", "a\r\n", 3);
	put(f, "none", "a", 1);
	put(f, "empty", "", 0);
	put(f, "nul", "hush\0", 5);
	put(f, "latin1", "hush\xe9", 5);
	memset(big, 'h', HW_CONF_SECRET_MAX + 1);
	put(f, "largest", big, HW_CONF_SECRET_MAX);
	put(f, "larger", big, HW_CONF_SECRET_MAX + 1);
	free(big);
	snprintf(path, sizeof(path), "%s/pipe", f->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	*state = f;
	return 0;
}

static int remove_files(void **state)
{
	static const char *const names[] = {"good", "two", "crlf", "none", "empty", "nul", "latin1",
		"largest", "larger", "pipe"};
	struct files *f = *state;
	char path[256];

	for (size_t i = 0; i < HW_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static void a_file_stands_for_its_content(void **state)
{
	const struct files *f = *state;
	char text[512];
	struct parse p;

	snprintf(text, sizeof(text),
		"[\"@file:good\", \"@file:two\", \"@file:crlf\", \"@file:none\", \"@file:empty\", "
		"\"@file:largest\", \"@file:%s/good\", \"x@file:good\", \"\\u0040file:good\", "
		"\"@file:$${EMPTY}\", \"@file:g${EMPTY}ood\"]",
		f->dir);
	parse_as(&p, f->conf, true, hw_str_of(text));
	/* $${EMPTY} is the name of no file: the only problem */
	assert_int_equal(p.report.n_errors, 1);
	p.rc = 0;
	assert_str(at(&p, "/0")->text, "hush-hush");
	assert_str(at(&p, "/0")->written, "@file:good");
	assert_true(at(&p, "/0")->secret);
	assert_str(at(&p, "/1")->text, "a\n");
	assert_str(at(&p, "/2")->text, "a");
	assert_str(at(&p, "/3")->text, "a");
	assert_str(at(&p, "/4")->text, "");
	assert_int_equal(at(&p, "/5")->text.len, HW_CONF_SECRET_MAX);
	assert_str(at(&p, "/6")->text, "hush-hush");
	assert_str(at(&p, "/7")->text, "x@file:good");
	assert_str(at(&p, "/8")->text, "@file:good");
	assert_true(at(&p, "/9")->broken);
	assert_str(at(&p, "/10")->text, "hush-hush");
	done(&p);
}

static void a_file_that_cannot_be_taken_is_an_error(void **state)
{
	static const char *const cases[][2] = {
		{"@file:missing", "No such file"}, {"@file:", "No such file"},
		{"@file:.", "directory"}, {"@file:pipe", "not a regular file"},
		{"@file:nul", "NUL"}, {"@file:latin1", "not UTF-8"},
		{"@file:larger", "more than 65536 bytes"},
		{"@file:${NOT_SET}", "NOT_SET is not set"}, /* and nothing is looked for */
	};
	const struct files *f = *state;

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		char text[128], place[160];
		struct parse p;

		snprintf(text, sizeof(text), "[\n \"%s\"]", cases[i][0]);
		parse_as(&p, f->conf, true, hw_str_of(text));
		assert_int_equal(p.rc, 1);
		assert_int_equal(p.report.n_items, 1);
		if (strchr(cases[i][0], '$'))
			snprintf(place, sizeof(place), "%s:2:9: the environment ", f->conf);
		else
			snprintf(place, sizeof(place), "%s:2:2: \"%s\" cannot be read: ", f->conf,
				cases[i][0]);
		if (!strstr(p.report.items[0].text, place) ||
			!strstr(p.report.items[0].text, cases[i][1]))
			fail_msg("got %s", p.report.items[0].text);
		assert_null(strstr(p.report.items[0].text, "hush"));
		done(&p);
	}
}

static void no_file_is_read_unless_allowed(void **state)
{
	const struct files *f = *state;
	struct parse p;

	parse_as(&p, f->conf, false, HW_STR("[\"@file:good\"]"));
	assert_int_equal(p.rc, 1);
	done(&p);
}

static void a_large_or_odd_file_is_not_read(void **state)
{
	const struct files *f = *state;
	struct hw_buf out;
	char path[128];

	hw_buf_init(&out);
	snprintf(path, sizeof(path), "%s/good", f->dir);
	assert_int_equal(hw_conf_read_file(path, 10, &out), 0);
	assert_int_equal(out.len, 10);
	assert_int_equal(hw_conf_read_file(path, 9, &out), -EFBIG);
	assert_int_equal(hw_conf_read_file("/nonexistent", 9, &out), -ENOENT);
	assert_int_equal(hw_conf_read_file("/dev/zero", 9, &out), -EINVAL);
	hw_buf_fini(&out);
}

/* ---- every text ---------------------------------------------------------- */

static const char sample[] =
	"/*c*/{\"a\": [1, -2.5e1, true, null, \"x\\u00e9\\n${TOKEN}$${\"], // é\n"
	" \"b\": {\"c\": {}, \"d\": [], \"é\": \"\\ud83d\\ude00\"}}";

static void a_text_cut_anywhere_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sample) - 1; i++) {
		struct parse p;

		parse_as(&p, "t.json", false, (struct hw_str){sample, i});
		assert_int_equal(p.rc, 1);
		assert_true(p.report.n_errors > 0);
		done(&p);
	}
}

static void any_byte_anywhere_is_survived_and_told_or_harmless(void **state)
{
	static const char bytes[] = "\0\n\"\\{}[],:/*$#'a0-\x80\xff";
	char text[sizeof(sample)];

	(void)state;
	for (size_t i = 0; i < sizeof(sample) - 1; i++) {
		for (size_t k = 0; k < sizeof(bytes) - 1; k++) {
			struct parse p;

			memcpy(text, sample, sizeof(sample));
			text[i] = bytes[k];
			parse_as(&p, "t.json", false, (struct hw_str){text, sizeof(text) - 1});
			assert_int_equal(p.rc, p.report.n_errors > 0 ? 1 : 0);
			assert_true(p.rc == 1 || p.tree);
			for (size_t n = 0; n < p.report.n_items; n++)
				assert_null(strstr(p.report.items[n].text, "hush-hush"));
			done(&p);
		}
	}
}

static void a_report_bounds_what_it_lists_and_counts_on(void **state)
{
	struct hw_buf text;
	struct parse p;

	(void)state;
	hw_buf_init(&text);
	hw_buf_puts(&text, "[");
	for (int i = 0; i < HW_CONF_REPORT_MAX + 100; i++)
		hw_buf_puts(&text, i == 0 ? "nope" : ",\nnope");
	hw_buf_puts(&text, "]");
	parse_as(&p, "t.json", false, hw_buf_view(&text));
	assert_int_equal(p.report.n_items, HW_CONF_REPORT_MAX);
	assert_int_equal(p.report.n_errors, HW_CONF_REPORT_MAX + 100);
	assert_true(hw_conf_report_has_errors(&p.report, "t.json"));
	assert_false(hw_conf_report_has_errors(&p.report, "u.json"));
	done(&p);
	hw_buf_fini(&text);
}

static void a_message_is_one_line(void **state)
{
	struct hw_conf_report r;

	(void)state;
	hw_conf_report_init(&r);
	hw_conf_report_add(
		&r, "u", HW_CONF_WARNING, (struct hw_conf_pos){"f", 0, 0}, "a\n%s", "b\x1b[2J");
	hw_conf_report_add(&r, "u", HW_CONF_ERROR, (struct hw_conf_pos){"f", 3, 1}, "x");
	hw_conf_report_add(&r, "u", HW_CONF_ERROR, (struct hw_conf_pos){"f", 2, 9}, "y");
	hw_conf_report_add(&r, "u", HW_CONF_ERROR, (struct hw_conf_pos){"f", 2, 9}, "z");
	assert_string_equal(r.items[0].text, "f: warning: a?b?[2J");
	hw_conf_report_sort(&r, 1);
	assert_string_equal(r.items[0].text, "f: warning: a?b?[2J");
	assert_string_equal(r.items[1].text, "f:2:9: y");
	assert_string_equal(r.items[2].text, "f:2:9: z");
	assert_string_equal(r.items[3].text, "f:3:1: x");
	assert_int_equal(r.n_warnings, 1);
	assert_int_equal(r.n_errors, 3);
	hw_conf_report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_knows_its_line_and_column),
		cmocka_unit_test(all_types_are_read_and_printed_compactly),
		cmocka_unit_test(a_pointer_finds_a_value_or_where_the_way_ends),
		cmocka_unit_test(integers_have_64_bits),
		cmocka_unit_test(comments_may_stand_wherever_blanks_may),
		cmocka_unit_test(mistakes_are_told_with_their_place_and_what_to_do),
		cmocka_unit_test(bytes_that_are_not_utf8_are_placed),
		cmocka_unit_test(repeated_keys_name_both_places),
		cmocka_unit_test(nesting_ends_at_64),
		cmocka_unit_test(all_mistakes_are_collected),
		cmocka_unit_test(variables_are_replaced_inside_strings),
		cmocka_unit_test(a_variable_that_cannot_be_replaced_is_an_error),
		cmocka_unit_test_setup_teardown(
			a_file_stands_for_its_content, make_files, remove_files),
		cmocka_unit_test_setup_teardown(
			a_file_that_cannot_be_taken_is_an_error, make_files, remove_files),
		cmocka_unit_test_setup_teardown(
			no_file_is_read_unless_allowed, make_files, remove_files),
		cmocka_unit_test_setup_teardown(
			a_large_or_odd_file_is_not_read, make_files, remove_files),
		cmocka_unit_test(a_text_cut_anywhere_is_refused),
		cmocka_unit_test(any_byte_anywhere_is_survived_and_told_or_harmless),
		cmocka_unit_test(a_report_bounds_what_it_lists_and_counts_on),
		cmocka_unit_test(a_message_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
