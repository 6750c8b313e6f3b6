#include "base/timers.h"

#include <stdlib.h>

#define DIGIT_BITS 6
#define N_SLOTS (1 << DIGIT_BITS)
#define N_LEVELS ((64 + DIGIT_BITS - 1) / DIGIT_BITS)

/* Times are read as numbers of base 64. A timer hangs at the level of the highest digit in which
 * its due time differs from now, in the slot of that digit:
 *
 *   now      … 3 17 40      due … 3 17 52  level 0, slot 52
 *                           due … 3 20  0  level 1, slot 20
 *                           due … 9 17 40  level 2, slot 9
 *
 * All digits above are now's, so whatever hangs at a lower level is due before whatever hangs at a
 * higher one, and a slot is due before the slots behind it. The next thing to do is therefore
 * always the first slot of the lowest level, and nothing between now and then needs to be visited.
 * When time gets to a slot of level 0 its timers are due; those of a higher slot go down by at
 * least one level. Eleven levels hold every 64-bit time. */
struct hw_timers {
	uint64_t now;
	struct hw_list due; /* armed for now or the past */
	uint64_t
		occupied[N_LEVELS]; /* bit per slot; a cancel may leave it set over an empty slot */
	struct hw_list slots[N_LEVELS][N_SLOTS];
};

/* Keeps the order and makes all times unsigned. */
static uint64_t unsigned_of(int64_t ms)
{
	return (uint64_t)ms ^ (UINT64_C(1) << 63);
}

static struct hw_timer *timer_of(struct hw_list *link)
{
	return HW_CONTAINER_OF(link, struct hw_timer, link);
}

struct hw_timers *hw_timers_create(int64_t now_ms)
{
	struct hw_timers *timers = calloc(1, sizeof(*timers));

	if (!timers)
		return NULL;
	timers->now = unsigned_of(now_ms);
	hw_list_init(&timers->due);
	for (int level = 0; level < N_LEVELS; level++) {
		for (int slot = 0; slot < N_SLOTS; slot++)
			hw_list_init(&timers->slots[level][slot]);
	}
	return timers;
}

static void forget_all(struct hw_list *list)
{
	while (hw_list_pop(list))
		;
}

void hw_timers_destroy(struct hw_timers **timers)
{
	if (!*timers)
		return;
	/* each is unlinked, so that its owner may still cancel it later */
	forget_all(&(*timers)->due);
	for (int level = 0; level < N_LEVELS; level++) {
		for (int slot = 0; slot < N_SLOTS; slot++)
			forget_all(&(*timers)->slots[level][slot]);
	}
	free(*timers);
	*timers = NULL;
}

void hw_timer_init(struct hw_timer *t, void (*fire)(struct hw_timer *t))
{
	hw_list_init(&t->link);
	t->due_ms = 0;
	t->fire = fire;
}

static void place(struct hw_timers *timers, struct hw_timer *t)
{
	uint64_t due = unsigned_of(t->due_ms);
	int level;
	int slot;

	if (due <= timers->now) {
		hw_list_push(&timers->due, &t->link);
		return;
	}
	level = (63 - __builtin_clzll(due ^ timers->now)) / DIGIT_BITS;
	slot = (int)(due >> (level * DIGIT_BITS) & (N_SLOTS - 1));
	timers->occupied[level] |= UINT64_C(1) << slot;
	hw_list_push(&timers->slots[level][slot], &t->link);
}

void hw_timer_arm(struct hw_timers *timers, struct hw_timer *t, int64_t due_ms)
{
	hw_list_remove(&t->link);
	t->due_ms = due_ms;
	place(timers, t);
}

void hw_timer_cancel(struct hw_timer *t)
{
	hw_list_remove(&t->link);
}

bool hw_timer_armed(const struct hw_timer *t)
{
	return !hw_list_empty(&t->link);
}

/* When time gets to @slot of @level: now with that digit, and zeros below. */
static uint64_t slot_time(const struct hw_timers *timers, int level, int slot)
{
	int shift = level * DIGIT_BITS;
	uint64_t above = timers->now & ~((UINT64_C(1) << shift << (DIGIT_BITS - 1) << 1) - 1);

	return above | (uint64_t)slot << shift;
}

/* Moves time on to @now, and what gets due on the way to @fire, in the order of due times. */
static void collect(struct hw_timers *timers, uint64_t now, struct hw_list *fire)
{
	int level = 0;

	hw_list_splice(fire, &timers->due);
	while (level < N_LEVELS) {
		struct hw_list taken;
		struct hw_list *link;
		uint64_t time;
		int slot;

		if (!timers->occupied[level]) {
			level++;
			continue;
		}
		slot = __builtin_ctzll(timers->occupied[level]);
		time = slot_time(timers, level, slot);
		if (time > now)
			break;
		timers->occupied[level] &= ~(UINT64_C(1) << slot);
		timers->now = time;
		hw_list_init(&taken);
		hw_list_splice(&taken, &timers->slots[level][slot]);
		while ((link = hw_list_pop(&taken)))
			place(timers, timer_of(link));
		hw_list_splice(fire, &timers->due);
		level = 0;
	}
	timers->now = now;
}

/* For a clock that went back: the wheel does not turn, only what was armed late is looked at. */
static void collect_late(struct hw_timers *timers, uint64_t now, struct hw_list *fire)
{
	hw_list_each_safe (link, &timers->due) {
		if (unsigned_of(timer_of(link)->due_ms) <= now) {
			hw_list_remove(link);
			hw_list_push(fire, link);
		}
	}
}

void hw_timers_advance(struct hw_timers *timers, int64_t now_ms)
{
	uint64_t now = unsigned_of(now_ms);
	struct hw_list fire;
	struct hw_list *link;

	/* First all are collected, then fired: what a callback arms can no longer get among them,
	 * and what it cancels still leaves the list. */
	hw_list_init(&fire);
	if (now >= timers->now)
		collect(timers, now, &fire);
	else
		collect_late(timers, now, &fire);
	while ((link = hw_list_pop(&fire))) {
		struct hw_timer *t = timer_of(link);

		t->fire(t);
	}
}

/* The first slot with a timer in it, level by level. */
static bool first_time(const struct hw_timers *timers, uint64_t *out)
{
	for (int level = 0; level < N_LEVELS; level++) {
		for (uint64_t bits = timers->occupied[level]; bits; bits &= bits - 1) {
			int slot = __builtin_ctzll(bits);

			if (!hw_list_empty(&timers->slots[level][slot])) {
				*out = slot_time(timers, level, slot);
				return true;
			}
		}
	}
	return false;
}

int64_t hw_timers_wait_ms(const struct hw_timers *timers, int64_t now_ms)
{
	uint64_t now = unsigned_of(now_ms);
	uint64_t time;

	if (!hw_list_empty(&timers->due))
		return 0;
	if (!first_time(timers, &time))
		return -1;
	if (time <= now)
		return 0;
	return time - now > INT64_MAX ? INT64_MAX : (int64_t)(time - now);
}
