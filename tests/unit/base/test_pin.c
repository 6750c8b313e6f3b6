#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/pin.h"

static void blob_copies_its_bytes(void **state HW_UNUSED)
{
	char text[] = "hello";
	struct hw_blob *blob = hw_blob_create(text, 5);

	assert_non_null(blob);
	memset(text, 0, sizeof(text));
	assert_int_equal(blob->len, 5);
	assert_memory_equal(blob->data, "hello", 5);
	hw_pin_release(&blob->pin);
}

static void blob_may_be_filled_by_its_maker(void **state HW_UNUSED)
{
	struct hw_blob *blob = hw_blob_create(NULL, 3);

	assert_non_null(blob);
	memcpy(blob->data, "abc", 3);
	assert_int_equal(blob->len, 3);
	hw_pin_release(&blob->pin);
	assert_null(hw_blob_create(NULL, SIZE_MAX));
	assert_null(hw_blob_create("x", SIZE_MAX - 8));
}

static void last_release_frees(void **state HW_UNUSED)
{
	/* that it is freed, and not before, is for the address sanitizer to see */
	struct hw_blob *blob = hw_blob_create("x", 1);

	hw_pin_hold(&blob->pin);
	hw_pin_hold(&blob->pin);
	hw_pin_release(&blob->pin);
	hw_pin_release(&blob->pin);
	assert_int_equal(blob->n_refs, 1);
	assert_int_equal(blob->data[0], 'x');
	hw_pin_release(&blob->pin);
}

static void *hold_and_release(void *arg)
{
	struct hw_blob *blob = arg;
	size_t sum = 0;

	for (int i = 0; i < 20000; i++) {
		hw_pin_hold(&blob->pin);
		sum += (unsigned char)blob->data[i % 4];
		hw_pin_release(&blob->pin);
	}
	hw_pin_release(&blob->pin);
	return (void *)sum;
}

static void threads_share_a_blob(void **state HW_UNUSED)
{
	struct hw_blob *blob = hw_blob_create("\1\1\1\1", 4);
	pthread_t threads[4];
	void *sum;

	for (size_t i = 0; i < HW_COUNT(threads); i++) {
		hw_pin_hold(&blob->pin);
		assert_int_equal(pthread_create(&threads[i], NULL, hold_and_release, blob), 0);
	}
	hw_pin_release(&blob->pin);
	for (size_t i = 0; i < HW_COUNT(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &sum), 0);
		assert_int_equal((size_t)sum, 20000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blob_copies_its_bytes),
		cmocka_unit_test(blob_may_be_filled_by_its_maker),
		cmocka_unit_test(last_release_frees),
		cmocka_unit_test(threads_share_a_blob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
