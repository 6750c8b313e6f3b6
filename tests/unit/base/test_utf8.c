#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "random.h"

/* The reference goes the other way round: it encodes every code point that there is and marks all
 * beginnings of the results. What is not marked cannot be part of a text.
 * one[a] | two[a][b] | three[a][b][c]: 0 impossible, 1 a beginning, 2 a whole character */
static struct {
	unsigned char one[256];
	unsigned char two[256][256];
	unsigned char three[256][256][256];
} * ref;

static size_t encode(uint32_t c, unsigned char out[4])
{
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};

	for (size_t i = len; i-- > 1; c >>= 6)
		out[i] = (unsigned char)(0x80 | (c & 0x3f));
	out[0] = (unsigned char)(lead[len] | c);
	return len;
}

static int make_reference(void **state HW_UNUSED)
{
	unsigned char b[4];

	ref = calloc(1, sizeof(*ref));
	if (!ref)
		return -1;
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		size_t len;

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		len = encode(c, b);
		ref->one[b[0]] = len == 1 ? 2 : 1;
		if (len >= 2)
			ref->two[b[0]][b[1]] = len == 2 ? 2 : 1;
		if (len >= 3)
			ref->three[b[0]][b[1]][b[2]] = len == 3 ? 2 : 1;
	}
	return 0;
}

static int free_reference(void **state HW_UNUSED)
{
	free(ref);
	return 0;
}

/* Feeds byte by byte and compares each answer with what the reference says about the bytes so far.
 * A whole character starts the next one. */
static void check_bytes(const unsigned char *b, size_t len)
{
	struct hw_utf8 u = {0};
	size_t start = 0;
	bool possible = true;

	for (size_t i = 0; i < len; i++) {
		int kind = i - start == 0   ? ref->one[b[start]]
			   : i - start == 1 ? ref->two[b[start]][b[start + 1]]
					    : ref->three[b[start]][b[start + 1]][b[start + 2]];

		possible = possible && kind != 0;
		if (hw_utf8_feed(&u, b + i, 1) != possible)
			fail_msg("%02x %02x %02x: wrong at %zu", b[0], b[1], b[2], i);
		if (hw_utf8_done(&u) != (possible && kind == 2))
			fail_msg("%02x %02x %02x: wrongly done at %zu", b[0], b[1], b[2], i);
		if (!possible)
			return;
		if (kind == 2)
			start = i + 1;
	}
}

static void all_of_one_to_three_bytes_agree_with_the_reference(void **state HW_UNUSED)
{
	for (unsigned n = 0; n < 1u << 24; n++) {
		const unsigned char b[3] = {
			(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};

		check_bytes(b, 3);
		/* two bytes that already are refused need not be tried with every third */
		if (ref->one[b[0]] == 0)
			n |= 0xffff;
		else if (ref->one[b[0]] == 1 && ref->two[b[0]][b[1]] == 0)
			n |= 0xff;
	}
}

/* The whole-text functions have a faster path that needs some length: behind and before ASCII, at
 * every distance from the end. */
static void whole_texts_agree_with_bytes(void **state HW_UNUSED)
{
	unsigned char text[40];

	for (unsigned n = 0; n < 1u << 24; n++) {
		const unsigned char b[3] = {
			(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
		struct hw_utf8 u = {0};
		size_t at = n % 20;
		bool expected = hw_utf8_feed(&u, b, 1) && hw_utf8_feed(&u, b + 1, 1) &&
				hw_utf8_feed(&u, b + 2, 1) && hw_utf8_done(&u);

		memset(text, 'x', sizeof(text));
		memcpy(text + at, b, 3);
		if (hw_utf8_valid(text, at + 3) != expected)
			fail_msg("%02x %02x %02x as the end", b[0], b[1], b[2]);
		if (hw_utf8_valid(text + at, sizeof(text) - at) != expected)
			fail_msg("%02x %02x %02x as the start", b[0], b[1], b[2]);
		if (ref->one[b[0]] == 0)
			n |= 0xff;
	}
}

static void every_code_point_of_four_bytes_is_valid(void **state HW_UNUSED)
{
	unsigned char b[4];

	for (uint32_t c = 0x10000; c <= 0x10ffff; c++) {
		struct hw_utf8 u = {0};

		assert_int_equal(encode(c, b), 4);
		if (!hw_utf8_valid(b, 4) || hw_utf8_valid(b, 3) || !hw_utf8_feed(&u, b, 3) ||
			hw_utf8_done(&u) || !hw_utf8_feed(&u, b + 3, 1) || !hw_utf8_done(&u))
			fail_msg("U+%X", c);
	}
}

static void fourth_bytes_are_tails_only(void **state HW_UNUSED)
{
	static const char *const starts[] = {
		"\xf0\x90\x80", "\xf1\xbf\xbf", "\xf3\x80\x80", "\xf4\x8f\xbf"};

	for (size_t s = 0; s < HW_COUNT(starts); s++) {
		for (unsigned c = 0; c < 256; c++) {
			char b[5] = {starts[s][0], starts[s][1], starts[s][2], (char)c, 'x'};

			assert_int_equal(hw_utf8_valid(b, 4), c >= 0x80 && c <= 0xbf);
			assert_int_equal(hw_utf8_valid(b, 5), c >= 0x80 && c <= 0xbf);
		}
	}
}

/* @text is refused exactly at its last byte, in one piece and byte by byte. */
static void assert_refused_at_end(const char *text)
{
	size_t len = strlen(text);
	struct hw_utf8 u = {0};

	for (size_t i = 0; i < len; i++)
		assert_int_equal(hw_utf8_feed(&u, text + i, 1), i + 1 < len);
	/* and stays refused */
	assert_false(hw_utf8_feed(&u, "x", 1));
	assert_false(hw_utf8_feed(&u, "", 0));
	assert_false(hw_utf8_done(&u));
	assert_false(hw_utf8_valid(text, len));
	u = (struct hw_utf8){0};
	assert_true(hw_utf8_feed(&u, text, len - 1));
	assert_false(hw_utf8_feed(&u, text + len - 1, 1));
}

static void impossible_bytes_are_refused_at_once(void **state HW_UNUSED)
{
	static const char *const texts[] = {"\x80", "\xbf", "\xc0", "\xc1", "\xf5", "\xf8", "\xfe",
		"\xff", "\xe0\x80", "\xe0\x9f", "\xed\xa0", "\xed\xbf", "\xf0\x80", "\xf0\x8f",
		"\xf4\x90", "\xf4\xbf", "\xc2\x41", "\xc2\xc2", "\xe1\x80\x41", "\xe1\x80\xc0",
		"\xf1\x80\x80\x7f", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\xa0",
		"a long run of ASCII that takes the fast path, sixty-four bytes and more\xff"};

	for (size_t i = 0; i < HW_COUNT(texts); i++)
		assert_refused_at_end(texts[i]);
}

static size_t random_text(struct random *r, unsigned char *out, size_t n_chars)
{
	static const uint32_t bound[] = {0x80, 0x80, 0x800, 0x10000, 0x110000};
	size_t len = 0;

	while (n_chars-- > 0) {
		uint32_t c = (uint32_t)random_below(r, bound[random_below(r, HW_COUNT(bound))]);

		if (c < 0xd800 || c > 0xdfff)
			len += encode(c, out + len);
	}
	return len;
}

static void splits_do_not_matter(void **state HW_UNUSED)
{
	struct random r = random_start("utf8");
	unsigned char text[600];

	for (int round = 0; round < 300; round++) {
		size_t len = random_text(&r, text, 120);

		assert_true(hw_utf8_valid(text, len));
		for (size_t a = 0; a <= len; a++) {
			size_t b = a + random_below(&r, len - a + 1);
			struct hw_utf8 u = {0};

			assert_true(hw_utf8_feed(&u, text, a));
			assert_int_equal(hw_utf8_done(&u), a == len || (text[a] & 0xc0) != 0x80);
			assert_true(hw_utf8_feed(&u, text + a, b - a));
			assert_true(hw_utf8_feed(&u, text + b, len - b));
			assert_true(hw_utf8_done(&u));
		}
	}
}

/* One damaged byte in a long text: all ways to feed it agree with feeding bytes. */
static void damage_is_found_however_it_is_fed(void **state HW_UNUSED)
{
	struct random r = random_start("utf8 damage");
	unsigned char text[600];
	int n_refused = 0;

	for (int round = 0; round < 20000; round++) {
		size_t len = random_text(&r, text, 60);
		struct hw_utf8 u = {0};
		struct hw_utf8 whole = {0};
		size_t good;

		if (len == 0)
			continue;
		text[random_below(&r, len)] = (unsigned char)random_next(&r);
		for (good = 0; good < len && hw_utf8_feed(&u, text + good, 1); good++)
			;
		n_refused += good < len;
		assert_int_equal(hw_utf8_feed(&whole, text, len), good == len);
		assert_int_equal(hw_utf8_done(&whole), hw_utf8_done(&u));
		whole = (struct hw_utf8){0};
		assert_true(hw_utf8_feed(&whole, text, good));
		if (good < len)
			assert_false(hw_utf8_feed(&whole, text + good, 1));
	}
	assert_true(n_refused > 1000);
}

static void ascii_is_skipped_at_every_alignment(void **state HW_UNUSED)
{
	unsigned char text[200];

	for (size_t start = 0; start < 17; start++) {
		for (size_t len = 0; len < 150; len++) {
			memset(text, 0xff, sizeof(text)); /* one byte too far is refused */
			memset(text + start, 'a', len);
			assert_true(hw_utf8_valid(text + start, len));
			assert_false(hw_utf8_valid(text + start, len + 1));
			if (len > 0) {
				text[start + len / 2] = 0x80;
				assert_false(hw_utf8_valid(text + start, len));
			}
		}
	}
}

static void nothing_is_a_text(void **state HW_UNUSED)
{
	struct hw_utf8 u = {0};

	assert_true(hw_utf8_valid(NULL, 0));
	assert_true(hw_utf8_feed(&u, NULL, 0));
	assert_true(hw_utf8_feed(&u, "\xe2", 1));
	assert_true(hw_utf8_feed(&u, NULL, 0));
	assert_false(hw_utf8_done(&u));
}

static void next_walks_characters_and_damage(void **state HW_UNUSED)
{
	static const struct {
		const char *text;
		size_t len;
		bool valid;
	} cases[] = {{"a\xff", 1, true}, {"\xc3\xa9x", 2, true}, {"\xe2\x82\xacx", 3, true},
		{"\xf0\x9f\x98\x80x", 4, true}, {"\xffx", 1, false}, {"\xc3x", 1, false},
		{"\xe2\x82x", 2, false}, {"\xf0\x9f\x98x", 3, false}, {"\xe0\x80x", 1, false},
		{"\xe2\x82", 2, false}, {"\xf0\x9f\x98", 3, false}};
	bool valid;

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		assert_int_equal(
			hw_utf8_next(cases[i].text, strlen(cases[i].text), &valid), cases[i].len);
		assert_int_equal(valid, cases[i].valid);
	}
	assert_int_equal(hw_utf8_next("", 0, &valid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_one_to_three_bytes_agree_with_the_reference),
		cmocka_unit_test(whole_texts_agree_with_bytes),
		cmocka_unit_test(every_code_point_of_four_bytes_is_valid),
		cmocka_unit_test(fourth_bytes_are_tails_only),
		cmocka_unit_test(impossible_bytes_are_refused_at_once),
		cmocka_unit_test(splits_do_not_matter),
		cmocka_unit_test(damage_is_found_however_it_is_fed),
		cmocka_unit_test(ascii_is_skipped_at_every_alignment),
		cmocka_unit_test(nothing_is_a_text),
		cmocka_unit_test(next_walks_characters_and_damage),
	};

	return cmocka_run_group_tests(tests, make_reference, free_reference);
}
