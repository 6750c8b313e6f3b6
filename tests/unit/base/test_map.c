#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "random.h"

static const struct hw_hash_key fixed_key = {3, 4};

static void empty_map_has_nothing(void **state HW_UNUSED)
{
	struct hw_map m;

	hw_map_init(&m, &fixed_key);
	assert_null(hw_map_get(&m, HW_STR("a")));
	assert_null(hw_map_get_hashed(&m, 12345, HW_STR("a")));
	assert_null(hw_map_remove(&m, HW_STR("a")));
	assert_int_equal(hw_map_count(&m), 0);
	for (hw_map_each (&m, i))
		fail();
	hw_map_fini(&m);
}

static void put_replaces_and_gives_the_old_value(void **state HW_UNUSED)
{
	struct hw_map m;
	int one, two;
	char key_one[] = "key";
	char key_two[] = "key";
	void *old = &m;

	hw_map_init(&m, &fixed_key);
	assert_int_equal(hw_map_put(&m, hw_str_of(key_one), &one, &old), 0);
	assert_null(old);
	assert_int_equal(hw_map_put(&m, hw_str_of(key_two), &two, &old), 0);
	assert_ptr_equal(old, &one);
	assert_int_equal(hw_map_count(&m), 1);
	/* the key moves to the new owner: the old one may be freed */
	memset(key_one, 0, sizeof(key_one));
	assert_ptr_equal(hw_map_get(&m, HW_STR("key")), &two);
	assert_ptr_equal(
		hw_map_get_hashed(&m, hw_map_hash(&m, HW_STR("key")), HW_STR("key")), &two);
	/* keys are compared, not only their hashes */
	assert_null(hw_map_get_hashed(&m, hw_map_hash(&m, HW_STR("key")), HW_STR("kez")));
	assert_int_equal(hw_map_put(&m, hw_str_of(key_two), &one, NULL), 0);
	assert_ptr_equal(hw_map_remove(&m, HW_STR("key")), &one);
	assert_int_equal(hw_map_count(&m), 0);
	hw_map_fini(&m);
}

static void keys_are_bytes_with_a_length(void **state HW_UNUSED)
{
	struct hw_map m;
	int a, b, c;

	hw_map_init(&m, &fixed_key);
	assert_int_equal(hw_map_put(&m, HW_STR(""), &a, NULL), 0);
	assert_int_equal(hw_map_put(&m, HW_STR("\0"), &b, NULL), 0);
	assert_int_equal(hw_map_put(&m, HW_STR("\0\0"), &c, NULL), 0);
	assert_ptr_equal(hw_map_get(&m, HW_STR_NULL), &a);
	assert_ptr_equal(hw_map_get(&m, HW_STR("\0")), &b);
	assert_ptr_equal(hw_map_get(&m, HW_STR("\0\0")), &c);
	hw_map_fini(&m);
}

#define N_KEYS 700

struct model {
	char keys[N_KEYS][8];
	int values[N_KEYS][2];
	int *in[N_KEYS]; /* the value that must be there, or NULL */
	size_t n_in;
};

static void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
	for (int i = 0; i < N_KEYS; i++)
		snprintf(model->keys[i], sizeof(model->keys[i]), "k%d", i);
}

static void assert_same(const struct hw_map *m, const struct model *model)
{
	size_t n_seen = 0;
	size_t n_removed = 0;

	assert_int_equal(hw_map_count(m), model->n_in);
	for (int i = 0; i < N_KEYS; i++)
		assert_ptr_equal(hw_map_get(m, hw_str_of(model->keys[i])), model->in[i]);
	for (hw_map_each (m, i)) {
		int key = atoi(m->slots[i].key.p + 1);

		assert_ptr_equal(m->slots[i].value, model->in[key]);
		n_seen++;
	}
	assert_int_equal(n_seen, model->n_in);
	for (size_t i = 0; i < m->n_slots; i++) {
		bool before_empty = m->slots[(i + 1) % m->n_slots].hash == 0;

		n_removed += m->slots[i].hash == 1;
		/* no probe would go on from there, so nothing need be remembered there */
		assert_false(m->slots[i].hash == 1 && before_empty);
	}
	assert_int_equal(n_removed, m->n_removed);
	assert_true(m->n_slots == 0 || m->n_used + m->n_removed <= m->n_slots / 4 * 3);
}

static void random_step(struct random *r, struct hw_map *m, struct model *model, bool growing)
{
	int i = (int)random_below(r, N_KEYS);
	void *old;

	if (random_below(r, 10) < (growing ? 7 : 3)) {
		int *value = &model->values[i][random_below(r, 2)];

		assert_int_equal(hw_map_put(m, hw_str_of(model->keys[i]), value, &old), 0);
		assert_ptr_equal(old, model->in[i]);
		model->n_in += model->in[i] == NULL;
		model->in[i] = value;
	} else {
		assert_ptr_equal(hw_map_remove(m, hw_str_of(model->keys[i])), model->in[i]);
		model->n_in -= model->in[i] != NULL;
		model->in[i] = NULL;
	}
}

static void random_walk_agrees_with_a_model(void **state HW_UNUSED)
{
	static struct model model;
	struct random r = random_start("map");
	struct hw_hash_key key = {random_next(&r), random_next(&r)};
	struct hw_map m;

	model_init(&model);
	hw_map_init(&m, &key);
	for (int step = 0; step < 100000; step++) {
		random_step(&r, &m, &model, step / 5000 % 2 == 0);
		if (step % 500 == 0)
			assert_same(&m, &model);
	}
	assert_same(&m, &model);
	hw_map_fini(&m);
}

static void coming_and_going_does_not_grow_the_table(void **state HW_UNUSED)
{
	struct hw_map m;
	char keys[4][24];
	int value;

	hw_map_init(&m, &fixed_key);
	for (int i = 0; i < 100000; i++) {
		char *key = keys[i % 4];

		if (i >= 4)
			assert_ptr_equal(hw_map_remove(&m, hw_str_of(key)), &value);
		snprintf(key, sizeof(keys[0]), "session-%d", i);
		assert_int_equal(hw_map_put(&m, hw_str_of(key), &value, NULL), 0);
		assert_true(m.n_slots <= 16);
	}
	assert_int_equal(hw_map_count(&m), 4);
	hw_map_fini(&m);
}

static void current_entry_may_be_removed_in_a_walk(void **state HW_UNUSED)
{
	static struct model model;
	struct hw_map m;
	size_t n_seen = 0;

	model_init(&model);
	hw_map_init(&m, &fixed_key);
	for (int i = 0; i < N_KEYS; i++)
		assert_int_equal(
			hw_map_put(&m, hw_str_of(model.keys[i]), &model.values[i][0], NULL), 0);
	for (hw_map_each (&m, i)) {
		int key = atoi(m.slots[i].key.p + 1);

		n_seen++;
		if (key % 3 != 0) {
			assert_ptr_equal(hw_map_remove(&m, m.slots[i].key), &model.values[key][0]);
		} else {
			model.in[key] = &model.values[key][0];
			model.n_in++;
		}
	}
	assert_int_equal(n_seen, N_KEYS);
	assert_same(&m, &model);
	for (hw_map_each (&m, i))
		assert_non_null(hw_map_remove(&m, m.slots[i].key));
	assert_int_equal(hw_map_count(&m), 0);
	hw_map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_map_has_nothing),
		cmocka_unit_test(put_replaces_and_gives_the_old_value),
		cmocka_unit_test(keys_are_bytes_with_a_length),
		cmocka_unit_test(random_walk_agrees_with_a_model),
		cmocka_unit_test(coming_and_going_does_not_grow_the_table),
		cmocka_unit_test(current_entry_may_be_removed_in_a_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
