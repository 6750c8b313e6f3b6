/* The guard without a script: when a call is struck, when it is jumped out of, what waits, and
 * what a late signal does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>

#include "hook/guard_internal.h"
#include "lua_world.h"

struct call {
	struct hw_watchdog *watchdog;
	struct hw_guard *guard;
	lua_State *lua;
	int64_t until_us; /* CPU time to burn */
	volatile int stage;
};

static void call_init(struct call *c)
{
	memset(c, 0, sizeof(*c));
	assert_int_equal(hw_watchdog_create(&c->watchdog), 0);
	assert_null(hw_guard_current());
	assert_int_equal(hw_watchdog_enter_thread(c->watchdog), 0);
	c->guard = hw_guard_current();
	assert_non_null(c->guard);
	c->lua = luaL_newstate();
	assert_non_null(c->lua);
}

static void call_fini(struct call *c)
{
	lua_close(c->lua);
	hw_watchdog_leave_thread(c->watchdog);
	assert_null(hw_guard_current());
	hw_watchdog_destroy(&c->watchdog);
	assert_null(c->watchdog);
}

static void burn(int64_t us)
{
	int64_t until_us = world_cpu_us() + us;

	while (world_cpu_us() < until_us)
		;
}

static void do_burn(void *arg)
{
	struct call *c = arg;

	burn(c->until_us);
}

static void do_burn_until_struck(void *arg)
{
	struct call *c = arg;

	while (!hw_guard_is_struck(c->guard))
		;
}

static void do_sleep(void *arg)
{
	const struct timespec pause = {0, 20000000};

	(void)arg;
	nanosleep(&pause, NULL);
}

static void do_burn_in_host(void *arg)
{
	struct call *c = arg;

	hw_guard_host_begin(c->guard);
	c->stage = 1;
	burn(20000);
	c->stage = 2;
	hw_guard_host_end(c->guard);
	c->stage = 3;
}

static void do_loop(void *arg)
{
	struct call *c = arg;

	if (luaL_dostring(c->lua, "while true do end") != LUA_OK)
		c->stage = 1;
}

static void a_call_within_its_budget_is_left_alone(void **state)
{
	struct call c;

	(void)state;
	call_init(&c);
	for (int i = 0; i < 200; i++) {
		c.until_us = i % 20 ? 1 : 500;
		assert_int_equal(hw_guard_run(c.guard, c.lua, 5000, do_burn, &c), HW_GUARD_DONE);
	}
	call_fini(&c);
}

static void a_thread_that_waits_is_not_punished(void **state)
{
	struct call c;

	(void)state;
	call_init(&c);
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_sleep, &c), HW_GUARD_DONE);
	call_fini(&c);
}

static void a_call_that_ends_after_the_first_strike_is_void(void **state)
{
	struct call c;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	assert_int_equal(
		hw_guard_run(c.guard, c.lua, 2000, do_burn_until_struck, &c), HW_GUARD_STRUCK);
	call_fini(&c);
}

static void a_call_that_stays_is_jumped_out_of(void **state)
{
	struct call c;
	int64_t cpu_us;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	c.until_us = 10000000;
	cpu_us = world_cpu_us();
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_burn, &c), HW_GUARD_JUMPED);
	cpu_us = world_cpu_us() - cpu_us;
	assert_in_range(cpu_us, 5000, 50000);
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_sleep, &c), HW_GUARD_DONE);
	call_fini(&c);
}

static void a_script_that_stays_runs_into_an_error(void **state)
{
	struct call c;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_loop, &c), HW_GUARD_STRUCK);
	assert_int_equal(c.stage, 1);
	assert_non_null(strstr(lua_tostring(c.lua, -1), ":1: used more than its 2 ms of CPU time"));
	lua_sethook(c.lua, NULL, 0, 0);
	call_fini(&c);
}

static void a_host_section_is_finished_before_the_jump(void **state)
{
	struct call c;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_burn_in_host, &c), HW_GUARD_JUMPED);
	assert_int_equal(c.stage, 2);
	call_fini(&c);
}

/* The signal of the watchdog comes when nothing runs, or when another call does. */
static void a_signal_that_nobody_is_meant_by_does_nothing(void **state)
{
	struct call c;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	assert_int_equal(raise(SIGRTMIN + 5), 0);
	c.until_us = 10000000;
	assert_int_equal(hw_guard_run(c.guard, c.lua, 1000, do_burn, &c), HW_GUARD_JUMPED);
	assert_int_equal(
		raise(SIGRTMIN + 5), 0); /* the numbers of the call that ended are still there */
	c.until_us = 100;
	assert_int_equal(hw_guard_run(c.guard, c.lua, 5000, do_burn, &c), HW_GUARD_DONE);
	call_fini(&c);
}

static void do_raise(void *arg)
{
	(void)arg;
	raise(SIGRTMIN + 5);
}

static void a_signal_for_the_call_before_spares_this_one(void **state)
{
	struct call c;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	c.until_us = 10000000;
	assert_int_equal(hw_guard_run(c.guard, c.lua, 1000, do_burn, &c), HW_GUARD_JUMPED);
	assert_int_equal(hw_guard_run(c.guard, c.lua, 5000, do_raise, &c), HW_GUARD_DONE);
	call_fini(&c);
}

static void the_dynamic_linker_is_known(void **state)
{
	struct call c;
	char line[512];
	unsigned long start, end;
	bool found = false;
	FILE *maps;

	(void)state;
	call_init(&c);
	maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "ld-linux") && !strstr(line, "/ld-"))
			continue;
		if (sscanf(line, "%lx-%lx r-xp", &start, &end) != 2 || !strstr(line, "r-xp"))
			continue;
		found = true;
		assert_true(hw_watchdog_in_loader(c.watchdog, start));
		assert_true(hw_watchdog_in_loader(c.watchdog, start + 4096));
		assert_false(hw_watchdog_in_loader(c.watchdog, start - 1));
		assert_false(hw_watchdog_in_loader(c.watchdog, end));
	}
	fclose(maps);
	assert_true(found);
	assert_false(hw_watchdog_in_loader(c.watchdog, (uintptr_t)the_dynamic_linker_is_known));
	assert_false(hw_watchdog_in_loader(c.watchdog, (uintptr_t)memcpy));
	call_fini(&c);
}

/* Times the threads of this process other than the caller have given up the CPU. */
static long others_switches(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	long sum = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], line[128];
		long n;
		FILE *f;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
				sum += n;
		}
		if (f)
			fclose(f);
	}
	closedir(dir);
	return sum;
}

static void pause_ms(long ms)
{
	const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

static void without_calls_the_watchdog_sleeps_and_wakes_for_the_next(void **state)
{
	struct call c;
	long switches = 0;
	int tries;

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	c.until_us = 100;
	assert_int_equal(hw_guard_run(c.guard, c.lua, 5000, do_burn, &c), HW_GUARD_DONE);
	for (tries = 0; tries < 200 && !hw_watchdog_parked(c.watchdog); tries++)
		pause_ms(5);
	assert_true(hw_watchdog_parked(c.watchdog));
	pause_ms(20);
	switches = others_switches();
	pause_ms(100);
	assert_int_equal(others_switches(), switches);
	c.until_us = 10000000;
	assert_int_equal(hw_guard_run(c.guard, c.lua, 2000, do_burn, &c), HW_GUARD_JUMPED);
	call_fini(&c);
}

struct worker {
	struct hw_watchdog *watchdog;
	lua_State *lua;
	int n_jumped, n_done, n_else;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct call c = {.watchdog = w->watchdog, .lua = w->lua};

	if (hw_watchdog_enter_thread(w->watchdog) != 0)
		return NULL;
	c.guard = hw_guard_current();
	for (int i = 0; i < 40; i++) {
		enum hw_guard_end end;

		c.until_us = i % 4 ? 50 : 10000000;
		end = hw_guard_run(c.guard, c.lua, 1000, do_burn, &c);
		if (i % 4)
			w->n_done += end == HW_GUARD_DONE;
		else
			w->n_jumped += end == HW_GUARD_JUMPED;
	}
	hw_watchdog_leave_thread(w->watchdog);
	return NULL;
}

static void threads_are_judged_each_for_itself(void **state)
{
	struct worker workers[4];
	struct call c;
	pthread_t threads[4];

	(void)state;
	NEEDS_SIGNALS();
	call_init(&c);
	for (int i = 0; i < 4; i++) {
		workers[i] = (struct worker){.watchdog = c.watchdog, .lua = luaL_newstate()};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].n_jumped, 10);
		assert_int_equal(workers[i].n_done, 30);
		lua_close(workers[i].lua);
	}
	call_fini(&c);
}

static void a_thread_enters_once_and_may_come_again(void **state)
{
	struct call c;

	(void)state;
	call_init(&c);
	assert_int_equal(hw_watchdog_enter_thread(c.watchdog), -EEXIST);
	hw_watchdog_leave_thread(c.watchdog);
	hw_watchdog_leave_thread(c.watchdog);
	assert_int_equal(hw_watchdog_enter_thread(c.watchdog), 0);
	call_fini(&c);
}

static void *ask_quickly(void *arg)
{
	struct worker *w = arg;
	struct call c = {.watchdog = w->watchdog, .lua = w->lua};

	if (hw_watchdog_enter_thread(w->watchdog) != 0)
		return NULL;
	c.guard = hw_guard_current();
	for (int i = 0; i < 2000; i++) {
		if (i % 400 == 0)
			pause_ms(15); /* long enough for the watchdog to park */
		w->n_done += hw_guard_run(c.guard, c.lua, 1000000, do_burn, &c) == HW_GUARD_DONE;
	}
	hw_watchdog_leave_thread(w->watchdog);
	return NULL;
}

/* Parking and waking from several threads; nothing is killed, so ThreadSanitizer watches this one
 * too. */
static void threads_come_and_go_while_the_watchdog_parks_and_wakes(void **state)
{
	struct worker workers[3];
	pthread_t threads[3];
	struct call c;

	(void)state;
	call_init(&c);
	for (int i = 0; i < 3; i++) {
		workers[i] = (struct worker){.watchdog = c.watchdog};
		assert_int_equal(pthread_create(&threads[i], NULL, ask_quickly, &workers[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].n_done, 2000);
	}
	call_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_within_its_budget_is_left_alone),
		cmocka_unit_test(a_thread_that_waits_is_not_punished),
		cmocka_unit_test(a_call_that_ends_after_the_first_strike_is_void),
		cmocka_unit_test(a_call_that_stays_is_jumped_out_of),
		cmocka_unit_test(a_script_that_stays_runs_into_an_error),
		cmocka_unit_test(a_host_section_is_finished_before_the_jump),
		cmocka_unit_test(a_signal_that_nobody_is_meant_by_does_nothing),
		cmocka_unit_test(a_signal_for_the_call_before_spares_this_one),
		cmocka_unit_test(the_dynamic_linker_is_known),
		cmocka_unit_test(without_calls_the_watchdog_sleeps_and_wakes_for_the_next),
		cmocka_unit_test(threads_are_judged_each_for_itself),
		cmocka_unit_test(a_thread_enters_once_and_may_come_again),
		cmocka_unit_test(threads_come_and_go_while_the_watchdog_parks_and_wakes),
	};

	return cmocka_run_group_tests_name("hook.watchdog", tests, NULL, NULL);
}
