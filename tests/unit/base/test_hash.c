#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/hash.h"

/* Bytes 00 01 02 … of every length up to 15 under the key 00 … 0f: the input of the paper's
 * appendix, with one and three rounds. */
static void every_tail_length_hashes_as_published(void **state HW_UNUSED)
{
	static const uint64_t expected[] = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93,
		0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67,
		0xc50d2b50c59f22a7, 0xd3927d989bb11140, 0x369095118d299a8e, 0x25a48eb36c063de4,
		0x79de85ee92ff097f, 0x70c118c1f94dc352, 0x78a384b157b4d9a2, 0x306f760c1229ffa7,
		0x605aa111c0f95d34, 0xd320d86d2a519956};
	const struct hw_hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	unsigned char input[HW_COUNT(expected)];

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (unsigned char)i;
	for (size_t len = 0; len < HW_COUNT(expected); len++)
		assert_true(hw_hash(&key, input, len) == expected[len]);
}

/* What CPython 3.11 (siphash13, PYTHONHASHSEED=0 makes its key zero) answers for hash(bytes). */
static void another_implementation_agrees(void **state HW_UNUSED)
{
	static const struct {
		const char *text;
		uint64_t hash;
	} cases[] = {
		{"a", 0x407448d2b89b1813},
		{"hello", 0xe2e77b41cb4e1f9e},
		{"12345678", 0x3489982430560a87},
		{"The quick brown fox jumps over the lazy dog", 0x8df676d3d00c451e},
	};
	const struct hw_hash_key key = {0, 0};

	for (size_t i = 0; i < HW_COUNT(cases); i++)
		assert_true(hw_hash(&key, cases[i].text, strlen(cases[i].text)) == cases[i].hash);
}

static void alignment_does_not_matter(void **state HW_UNUSED)
{
	const struct hw_hash_key key = {1, 2};
	char text[64 + 8];
	uint64_t hash;

	memset(text, 'x', sizeof(text));
	hash = hw_hash(&key, text, 41);
	for (size_t shift = 1; shift < 8; shift++)
		assert_true(hw_hash(&key, text + shift, 41) == hash);
}

static void random_keys_differ(void **state HW_UNUSED)
{
	struct hw_hash_key a = hw_hash_key_random();
	struct hw_hash_key b = hw_hash_key_random();

	assert_true(a.k0 != b.k0);
	assert_true(a.k1 != b.k1);
	assert_true(hw_hash(&a, "x", 1) != hw_hash(&b, "x", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tail_length_hashes_as_published),
		cmocka_unit_test(another_implementation_agrees),
		cmocka_unit_test(alignment_does_not_matter),
		cmocka_unit_test(random_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
