/* What is written is read back by zlib's own inflate, flush by flush. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "wire/gzip.h"

#define PIECE_MAX 70000

static void test_each_flush_can_be_read_without_the_next(void **state)
{
	struct hw_gzip *g = hw_gzip_create();
	static char text[PIECE_MAX], got[PIECE_MAX + 1];
	z_stream z = {0};
	struct hw_buf out;
	unsigned seed = 7;
	size_t in = 0, sent = 0;

	(void)state;
	assert_non_null(g);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	hw_buf_init(&out);
	for (int i = 0; i <= 200; i++) {
		bool last = i == 200, noise = i % 10 == 0;
		size_t len = last ? 0 : 1 + (size_t)rand_r(&seed) % (noise ? PIECE_MAX : 400);
		int r;

		for (size_t k = 0; k < len; k++)
			text[k] =
				noise ? (char)rand_r(&seed) : "data: {\"topic\":\"a:1\"}\n"[k % 22];
		hw_buf_clear(&out);
		assert_int_equal(hw_gzip_write(g, (struct hw_str){text, len}, last, &out), 0);
		assert_true(out.len > 0);
		z.next_in = (Bytef *)out.data;
		z.avail_in = (uInt)out.len;
		z.next_out = (Bytef *)got;
		z.avail_out = sizeof(got);
		r = inflate(&z, Z_SYNC_FLUSH);
		assert_int_equal(r, last ? Z_STREAM_END : Z_OK);
		assert_int_equal(z.avail_in, 0);
		assert_int_equal(sizeof(got) - z.avail_out, len);
		assert_memory_equal(got, text, len);
		in += noise ? 0 : len;
		sent += noise ? 0 : out.len;
	}
	assert_true(sent * 4 < in); /* it does compress what resembles what was before */
	inflateEnd(&z);
	hw_buf_fini(&out);
	hw_gzip_destroy(&g);
	assert_null(g);
	hw_gzip_destroy(&g);
}

static void test_its_memory_is_what_it_says(void **state)
{
	enum { MANY = 64 };
	struct hw_gzip *g[MANY];
	struct mallinfo2 before = mallinfo2(), after;

	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_non_null(g[i] = hw_gzip_create());
	after = mallinfo2();
	/* a sanitizer's allocator tells nothing here */
	assert_true((after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / MANY <=
		    HW_GZIP_BYTES);
	for (int i = 0; i < MANY; i++)
		hw_gzip_destroy(&g[i]);
}

static void test_who_accepts_it(void **state)
{
	static const struct {
		const char *value;
		bool accepted;
	} cases[] = {
		{"gzip", true},
		{"gzip, deflate, br", true},
		{"deflate,GZIP;q=0.5", true},
		{"br, x-gzip", true},
		{"gzip;q=1", true},
		{"gzip; q=0.001", true},
		{"gzip;q=0", false},
		{"gzip ; q = 0.000", false},
		{"br;q=1, gzip;q=0.0", false},
		{"identity", false},
		{"*", false},
		{"", false},
		{"notgzip", false},
		{",,;q=1,", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (hw_gzip_accepted(hw_str_of(cases[i].value)) != cases[i].accepted)
			fail_msg("%s", cases[i].value);
	}
	assert_false(hw_gzip_accepted(HW_STR_NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_flush_can_be_read_without_the_next),
		cmocka_unit_test(test_its_memory_is_what_it_says),
		cmocka_unit_test(test_who_accepts_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
