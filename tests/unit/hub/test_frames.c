/* Blocks of frames: what lies in them, how long, and who keeps them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hub/frames.h"

static struct hw_frame add(struct hw_frames *f, size_t len)
{
	char *text = malloc(len);
	struct hw_frame frame;

	memset(text, 'x', len);
	assert_int_equal(hw_frames_add(f, (struct hw_str){text, len - 1}, HW_STR("}"), &frame), 0);
	assert_int_equal(frame.len, frame.header_len + len);
	assert_memory_equal(frame.p + frame.header_len, text, len - 1);
	assert_int_equal(frame.p[frame.len - 1], '}');
	assert_int_equal((uint8_t)frame.p[0], 0x81);
	free(text);
	return frame;
}

static void frames_of_any_length_lie_in_blocks(void **state)
{
	static const size_t lengths[] = {1, 125, 126, 65535, 65536, 300000, 2};
	struct hw_frame frames[HW_COUNT(lengths)];
	struct hw_frames f;

	(void)state;
	hw_frames_init(&f);
	for (size_t i = 0; i < HW_COUNT(lengths); i++)
		frames[i] = add(&f, lengths[i]);
	/* small ones share a block, and nothing that was added before has moved */
	assert_ptr_equal(frames[0].pin, frames[1].pin);
	assert_ptr_equal(frames[1].p, frames[0].p + frames[0].len);
	for (size_t i = 0; i < HW_COUNT(lengths); i++) {
		assert_true(hw_frames_has(&f, frames[i].serial));
		assert_int_equal(frames[i].p[frames[i].len - 1], '}');
	}
	hw_frames_fini(&f);
}

static void room_is_the_callers_and_lies_between_frames(void **state)
{
	struct hw_frames f;
	struct hw_frame before, after;
	struct hw_pin *pin;
	char *room;

	(void)state;
	hw_frames_init(&f);
	before = add(&f, 10);
	room = hw_frames_room(&f, 100, &pin);
	assert_ptr_equal(room, before.p + before.len);
	assert_ptr_equal(pin, before.pin);
	memset(room, 'r', 100);
	after = add(&f, 10);
	assert_ptr_equal(after.p, room + 100);
	hw_pin_hold(pin);
	hw_frames_fini(&f);
	for (int i = 0; i < 100; i++)
		assert_int_equal(room[i], 'r');
	hw_pin_release(pin);
}

/* What is beyond the bound goes with the turn, oldest first; not within it. */
static void the_end_of_a_turn_leaves_the_newest(void **state)
{
	struct hw_frames f;
	struct hw_frame first, last;

	(void)state;
	hw_frames_init(&f);
	first = add(&f, 60000);
	for (int i = 0; i < 20; i++)
		last = add(&f, 60000);
	assert_true(f.bytes > HW_FRAMES_KEPT_BYTES);
	assert_int_equal(first.p[first.len - 1], '}');
	hw_frames_trim(&f);
	assert_true(f.bytes <= HW_FRAMES_KEPT_BYTES);
	assert_false(hw_frames_has(&f, first.serial));
	assert_true(hw_frames_has(&f, last.serial));
	assert_int_equal(last.p[last.len - 1], '}');
	/* one that is larger than all that is kept */
	last = add(&f, 2 * HW_FRAMES_KEPT_BYTES);
	hw_frames_trim(&f);
	assert_false(hw_frames_has(&f, last.serial));
	assert_int_equal(f.bytes, 0);
	add(&f, 10);
	hw_frames_fini(&f);
}

static void a_pin_keeps_its_block_and_no_other(void **state)
{
	struct hw_frames f;
	struct hw_frame held[3];

	(void)state;
	hw_frames_init(&f);
	for (int i = 0; i < 3; i++) {
		held[i] = add(&f, 60000);
		hw_pin_hold(held[i].pin);
		hw_pin_hold(held[i].pin);
	}
	hw_pin_release(held[0].pin);
	for (int i = 0; i < 10; i++)
		add(&f, 60000);
	hw_frames_trim(&f);
	assert_false(hw_frames_has(&f, held[0].serial));
	assert_int_equal(held[0].p[held[0].len - 1], '}');
	hw_pin_release(held[0].pin); /* the last: the block goes */
	hw_frames_fini(&f);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(held[i].p[held[i].len - 1], '}');
		hw_pin_release(held[i].pin);
		hw_pin_release(held[i].pin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_any_length_lie_in_blocks),
		cmocka_unit_test(room_is_the_callers_and_lies_between_frames),
		cmocka_unit_test(the_end_of_a_turn_leaves_the_newest),
		cmocka_unit_test(a_pin_keeps_its_block_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
