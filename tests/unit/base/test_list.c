#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
	int number;
	struct hw_list link;
};

static void fill(struct hw_list *head, struct item *items, int n, int first)
{
	hw_list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].number = first + i;
		hw_list_init(&items[i].link);
		hw_list_push(head, &items[i].link);
	}
}

static void assert_order(struct hw_list *head, int n, const int *expected)
{
	int i = 0;

	hw_list_each (link, head) {
		assert_true(i < n);
		assert_int_equal(HW_CONTAINER_OF(link, struct item, link)->number, expected[i++]);
		assert_ptr_equal(link->next->prev, link);
		assert_ptr_equal(link->prev->next, link);
	}
	assert_int_equal(i, n);
}

static void first_in_is_first_out(void **state HW_UNUSED)
{
	struct item items[3];
	struct hw_list head;

	fill(&head, items, 3, 1);
	assert_order(&head, 3, (const int[]){1, 2, 3});
	assert_ptr_equal(hw_list_pop(&head), &items[0].link);
	assert_true(hw_list_empty(&items[0].link));
	assert_ptr_equal(hw_list_pop(&head), &items[1].link);
	assert_ptr_equal(hw_list_pop(&head), &items[2].link);
	assert_null(hw_list_pop(&head));
	assert_true(hw_list_empty(&head));
}

static void removing_twice_is_harmless(void **state HW_UNUSED)
{
	struct item items[3];
	struct hw_list head;

	fill(&head, items, 3, 1);
	hw_list_remove(&items[1].link);
	hw_list_remove(&items[1].link);
	assert_order(&head, 2, (const int[]){1, 3});
}

static void splice_moves_all_to_the_end(void **state HW_UNUSED)
{
	struct item a[2], b[2];
	struct hw_list to, from;

	fill(&to, a, 2, 1);
	fill(&from, b, 2, 3);
	hw_list_splice(&to, &from);
	assert_order(&to, 4, (const int[]){1, 2, 3, 4});
	assert_true(hw_list_empty(&from));
	hw_list_splice(&to, &from);
	assert_order(&to, 4, (const int[]){1, 2, 3, 4});
	hw_list_splice(&from, &to);
	assert_order(&from, 4, (const int[]){1, 2, 3, 4});
	assert_true(hw_list_empty(&to));
}

static void safe_walk_allows_removal(void **state HW_UNUSED)
{
	struct item items[4];
	struct hw_list head;

	fill(&head, items, 4, 1);
	hw_list_each_safe (link, &head) {
		if (HW_CONTAINER_OF(link, struct item, link)->number % 2)
			hw_list_remove(link);
	}
	assert_order(&head, 2, (const int[]){2, 4});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_is_first_out),
		cmocka_unit_test(removing_twice_is_harmless),
		cmocka_unit_test(splice_moves_all_to_the_end),
		cmocka_unit_test(safe_walk_allows_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
