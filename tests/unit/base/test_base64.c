#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "random.h"

/* RFC 4648, section 10 */
static const struct {
	const char *bytes;
	const char *standard;
	const char *url;
} vectors[] = {
	{"", "", ""},
	{"f", "Zg==", "Zg"},
	{"fo", "Zm8=", "Zm8"},
	{"foo", "Zm9v", "Zm9v"},
	{"foob", "Zm9vYg==", "Zm9vYg"},
	{"fooba", "Zm9vYmE=", "Zm9vYmE"},
	{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static void assert_view(const struct hw_buf *b, const char *expected)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(expected));
	if (b->len > 0)
		assert_memory_equal(b->data, expected, b->len);
}

static void vectors_of_the_rfc(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	for (size_t i = 0; i < HW_COUNT(vectors); i++) {
		hw_buf_clear(&b);
		hw_base64_encode(&b, vectors[i].bytes, strlen(vectors[i].bytes));
		assert_view(&b, vectors[i].standard);
		hw_buf_clear(&b);
		hw_base64url_encode(&b, vectors[i].bytes, strlen(vectors[i].bytes));
		assert_view(&b, vectors[i].url);
		hw_buf_clear(&b);
		assert_int_equal(hw_base64_decode(&b, hw_str_of(vectors[i].standard)), 0);
		assert_view(&b, vectors[i].bytes);
		hw_buf_clear(&b);
		assert_int_equal(hw_base64url_decode(&b, hw_str_of(vectors[i].url)), 0);
		assert_view(&b, vectors[i].bytes);
	}
	hw_buf_fini(&b);
}

static void results_are_appended(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_puts(&b, "Basic ");
	hw_base64_encode(&b, "foo", 3);
	assert_view(&b, "Basic Zm9v");
	assert_int_equal(hw_base64_decode(&b, HW_STR("YmFy")), 0);
	assert_view(&b, "Basic Zm9vbar");
	hw_buf_fini(&b);
}

static void alphabets_are_not_mixed(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_base64_encode(&b, "\xfb\xff\xfe", 3);
	assert_view(&b, "+//+");
	hw_buf_clear(&b);
	hw_base64url_encode(&b, "\xfb\xff\xfe", 3);
	assert_view(&b, "-__-");
	assert_int_equal(hw_base64_decode(&b, HW_STR("-__-")), -EINVAL);
	assert_int_equal(hw_base64url_decode(&b, HW_STR("+//+")), -EINVAL);
	assert_view(&b, "-__-");
	hw_buf_fini(&b);
}

static void every_letter_has_its_value_and_no_other_byte_has(void **state HW_UNUSED)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
	struct hw_buf b;
	int n_standard = 0, n_url = 0;

	hw_buf_init(&b);
	for (int c = 0; c < 256; c++) {
		const char *at = memchr(letters, c, sizeof(letters) - 1);
		const char text[4] = {'A', 'A', 'A', (char)c};
		bool common = at && at - letters < 62;
		int value = at ? (int)(at - letters) : -1;

		hw_buf_clear(&b);
		if (hw_base64_decode(&b, (struct hw_str){text, 4}) == 0 && b.len == 3) {
			assert_true(common || c == '+' || c == '/');
			assert_int_equal(b.data[2], value);
			n_standard++;
		}
		hw_buf_clear(&b);
		if (hw_base64url_decode(&b, (struct hw_str){text, 4}) == 0) {
			assert_true(common || c == '-' || c == '_');
			assert_int_equal(b.data[2], common ? value : value - 2);
			n_url++;
		}
	}
	assert_int_equal(n_standard, 64);
	assert_int_equal(n_url, 64);
	hw_buf_fini(&b);
}

static void assert_all_refused(
	int (*decode)(struct hw_buf *, struct hw_str), const char *const *texts, size_t n)
{
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_puts(&b, "before");
	for (size_t i = 0; i < n; i++) {
		if (decode(&b, hw_str_of(texts[i])) != -EINVAL)
			fail_msg("accepted: %s", texts[i]);
		assert_view(&b, "before");
	}
	hw_buf_fini(&b);
}

static void only_the_canonical_form_is_accepted(void **state HW_UNUSED)
{
	static const char *const standard[] = {"A", "A=", "A==", "A===", "AAAAA", "AAAAA===", "Z",
		"Zg", "Zg=", "Zg===", "Zm8",
		"Zm8==", "Zm9v=", "Zm9v==", "Zm9v====", "Z===", "====", "=",
		"==", "=Zg=", "Z=g=", "Zg==Zg==", "Zm8=Zg==", " Zg==", "Zg== ", "Zg==\n",
		"Zm9v\nYg==", "Zm9 v", /* padding bits that are not zero: */ "Zh==", "Zv==", "Zm9=",
		"Zm+=", "Zm9vYh==", "Zm9vYmF="};
	static const char *const url_texts[] = {"A", "AAAAA", "Z", "Zg==", "Zg=", "Zm8=", "Zm9vY",
		" Zg", "Zg ", "Zg\n", "Zm9 v", "Zm9.", "Zh", "Zv", "Zm9", "Zm-", "Zm9vYh",
		"Zm9vYmF"};

	assert_all_refused(hw_base64_decode, standard, HW_COUNT(standard));
	assert_all_refused(hw_base64url_decode, url_texts, HW_COUNT(url_texts));
}

static void zero_bytes_are_no_letters(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	assert_int_equal(hw_base64_decode(&b, HW_STR("Zg\0=")), -EINVAL);
	assert_int_equal(hw_base64url_decode(&b, HW_STR("Zm9v\0")), -EINVAL);
	assert_int_equal(b.len, 0);
	hw_buf_fini(&b);
}

static void a_failed_buffer_stays_as_it_is(void **state HW_UNUSED)
{
	struct hw_buf b;

	hw_buf_init(&b);
	assert_null(hw_buf_reserve(&b, SIZE_MAX));
	hw_base64_encode(&b, "foo", 3);
	assert_int_equal(hw_base64_decode(&b, HW_STR("Zm9v")), -ENOMEM);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	hw_buf_fini(&b);
}

static void no_memory_leaves_the_buffer_as_before(void **state HW_UNUSED)
{
	/* no such length can be allocated, and nothing is read before the attempt */
	const struct hw_str endless = {"AAAA", SIZE_MAX - 3};
	struct hw_buf b;

	hw_buf_init(&b);
	hw_buf_puts(&b, "before");
	assert_int_equal(hw_base64url_decode(&b, endless), -ENOMEM);
	assert_view(&b, "before");
	hw_buf_fini(&b);
}

static void random_bytes_come_back(void **state HW_UNUSED)
{
	struct random r = random_start("base64");
	struct hw_buf text, bytes;
	unsigned char in[100];

	hw_buf_init(&text);
	hw_buf_init(&bytes);
	for (int round = 0; round < 20000; round++) {
		size_t len = random_below(&r, sizeof(in) + 1);
		bool url = random_below(&r, 2);

		for (size_t i = 0; i < len; i++)
			in[i] = (unsigned char)random_next(&r);
		hw_buf_clear(&text);
		hw_buf_clear(&bytes);
		(url ? hw_base64url_encode : hw_base64_encode)(&text, in, len);
		assert_int_equal(text.len, url ? (len * 4 + 2) / 3 : (len + 2) / 3 * 4);
		assert_int_equal(
			(url ? hw_base64url_decode : hw_base64_decode)(&bytes, hw_buf_view(&text)),
			0);
		assert_int_equal(bytes.len, len);
		if (len > 0)
			assert_memory_equal(bytes.data, in, len);
	}
	hw_buf_fini(&text);
	hw_buf_fini(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_rfc),
		cmocka_unit_test(results_are_appended),
		cmocka_unit_test(alphabets_are_not_mixed),
		cmocka_unit_test(every_letter_has_its_value_and_no_other_byte_has),
		cmocka_unit_test(only_the_canonical_form_is_accepted),
		cmocka_unit_test(zero_bytes_are_no_letters),
		cmocka_unit_test(a_failed_buffer_stays_as_it_is),
		cmocka_unit_test(no_memory_leaves_the_buffer_as_before),
		cmocka_unit_test(random_bytes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
