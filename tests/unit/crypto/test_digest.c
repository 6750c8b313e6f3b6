#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/hex.h"
#include "crypto/random.h"

static void assert_hex(const uint8_t *p, size_t len, const char *expected)
{
	char hex[2 * HW_SHA256_LEN + 1];

	hw_hex(p, len, hex);
	assert_string_equal(hex, expected);
}

static void sha1_of_the_published_examples(void **state HW_UNUSED)
{
	uint8_t out[HW_SHA1_LEN];

	hw_sha1("", 0, out);
	assert_hex(out, sizeof(out), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	hw_sha1("abc", 3, out);
	assert_hex(out, sizeof(out), "a9993e364706816aba3e25717850c26c9cd0d89d");
	/* RFC 6455 section 1.3 */
	hw_sha1("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 60, out);
	assert_hex(out, sizeof(out), "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

static const struct {
	const char *text;
	const char *hex;
} sha256_examples[] = {
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256_of_the_published_examples(void **state HW_UNUSED)
{
	uint8_t out[HW_SHA256_LEN];

	for (size_t i = 0; i < HW_COUNT(sha256_examples); i++) {
		hw_sha256(sha256_examples[i].text, strlen(sha256_examples[i].text), out);
		assert_hex(out, sizeof(out), sha256_examples[i].hex);
	}
	hw_sha256(NULL, 0, out);
	assert_hex(out, sizeof(out), sha256_examples[0].hex);
}

static void sha256_in_pieces_is_that_of_the_whole(void **state HW_UNUSED)
{
	static const char thousand[1000] = {[0 ... 999] = 'a'};
	const char *text = sha256_examples[2].text;
	uint8_t out[HW_SHA256_LEN];
	struct hw_sha256 s;

	for (size_t split = 0; split <= strlen(text); split++) {
		hw_sha256_init(&s);
		hw_sha256_add(&s, text, split);
		hw_sha256_add(&s, text + split, strlen(text) - split);
		hw_sha256_finish(&s, out);
		assert_hex(out, sizeof(out), sha256_examples[2].hex);
	}
	hw_sha256_init(&s);
	for (int i = 0; i < 1000; i++)
		hw_sha256_add(&s, thousand, sizeof(thousand));
	hw_sha256_finish(&s, out);
	assert_hex(out, sizeof(out),
		"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void fields_read_one_way_only(void **state HW_UNUSED)
{
	uint8_t a[HW_SHA256_LEN], b[HW_SHA256_LEN];
	struct hw_sha256 s;

	hw_sha256_init(&s);
	hw_sha256_add_field(&s, "ab", 2);
	hw_sha256_add_field(&s, "c", 1);
	hw_sha256_finish(&s, a);
	hw_sha256_init(&s);
	hw_sha256_add_field(&s, "a", 1);
	hw_sha256_add_field(&s, "bc", 2);
	hw_sha256_finish(&s, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void hmac_of_rfc_4231(void **state HW_UNUSED)
{
	char key[131], fifty[50];
	uint8_t out[HW_SHA256_LEN];

	memset(key, 0x0b, 20);
	hw_hmac_sha256((struct hw_str){key, 20}, HW_STR("Hi There"), out);
	assert_hex(out, sizeof(out),
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hw_hmac_sha256(HW_STR("Jefe"), HW_STR("what do ya want for nothing?"), out);
	assert_hex(out, sizeof(out),
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, 131);
	memset(fifty, 0xdd, 50);
	hw_hmac_sha256((struct hw_str){key, 20}, (struct hw_str){fifty, 50}, out);
	assert_hex(out, sizeof(out),
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	/* a key longer than a block is hashed first */
	hw_hmac_sha256((struct hw_str){key, 131},
		HW_STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
	assert_hex(out, sizeof(out),
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void equal_is_true_only_for_the_same_bytes(void **state HW_UNUSED)
{
	assert_true(hw_equal("abc", "abc", 3));
	assert_false(hw_equal("abc", "abd", 3));
	assert_false(hw_equal("abc", "xbc", 3));
	assert_true(hw_equal_str(HW_STR("secret"), HW_STR("secret")));
	assert_false(hw_equal_str(HW_STR("secret"), HW_STR("secret2")));
	assert_true(hw_equal_str(HW_STR_NULL, HW_STR("")));
}

static void random_fills_all_of_it_and_differs(void **state HW_UNUSED)
{
	uint8_t a[1000] = {0}, b[1000] = {0};
	size_t zeroes = 0;

	hw_random(a, sizeof(a));
	hw_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	/* the end is filled too: forty zero bytes in a row have odds of 2^-320 */
	for (size_t i = sizeof(a) - 40; i < sizeof(a); i++)
		zeroes += a[i] == 0;
	assert_int_not_equal(zeroes, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha1_of_the_published_examples),
		cmocka_unit_test(sha256_of_the_published_examples),
		cmocka_unit_test(sha256_in_pieces_is_that_of_the_whole),
		cmocka_unit_test(fields_read_one_way_only),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(equal_is_true_only_for_the_same_bytes),
		cmocka_unit_test(random_fills_all_of_it_and_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
