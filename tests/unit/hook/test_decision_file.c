#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hook/decision_file.h"

/* A disk that does what its test says: write(2) of this program goes through here. */

#define BUFFER 4096

static struct disk {
	atomic_bool held;  /* writes wait for @go */
	atomic_bool asked; /* one waits */
	atomic_long left;  /* bytes it takes until it is full; negative: all */
	sem_t go;
} disk = {.left = -1};

ssize_t __real_write(int fd, const void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	long left;

	if (fd <= STDERR_FILENO)
		return __real_write(fd, p, len);
	if (atomic_load(&disk.held)) {
		atomic_store(&disk.asked, true);
		while (sem_wait(&disk.go) != 0)
			continue;
	}
	left = atomic_load(&disk.left);
	if (left == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (left > 0 && len > (size_t)left)
		len = (size_t)left;
	if (left > 0)
		atomic_fetch_sub(&disk.left, (long)len);
	return __real_write(fd, p, len);
}

struct world {
	char directory[32], path[64];
	struct hw_log *log;
	struct hw_metric logged, unwritten;
	struct hw_decision_file *file;
};

/* What a thread that was left behind may use for as long as there is a process. Found here, it
 * counts as no leak. */
static struct left_behind {
	struct world *world;
	struct hw_decision_file *file;
} volatile left_behind;

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->directory, "/tmp/hw-decisions-XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	snprintf(w->path, sizeof(w->path), "%s/d", w->directory);
	atomic_store(&disk.held, false);
	atomic_store(&disk.asked, false);
	atomic_store(&disk.left, -1);
	w->log = hw_log_create(open("/dev/null", O_WRONLY | O_CLOEXEC), HW_LOG_INFO, HW_LOG_TEXT);
	w->file = hw_decision_file_create(w->log, &w->logged, &w->unwritten);
	*state = w;
	return w->file && sem_init(&disk.go, 0, 0) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	rmdir(w->directory);
	if (left_behind.world == w)
		return 0;
	hw_decision_file_destroy(&w->file);
	hw_log_destroy(&w->log);
	sem_destroy(&disk.go);
	free(w);
	return 0;
}

static void until(bool (*done)(const struct world *), const struct world *w)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 20000 && !done(w); i++)
		nanosleep(&pause, NULL);
	assert_true(done(w));
}

static bool is_asked(const struct world *w)
{
	(void)w;
	return atomic_load(&disk.asked);
}

static bool three_are_done(const struct world *w)
{
	return atomic_load(&w->logged.value) + atomic_load(&w->unwritten.value) >= 3;
}

static void read_all(const struct world *w, char *out, size_t size)
{
	int fd = open(w->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, size - 1);

	assert_true(fd >= 0 && n >= 0);
	out[n] = '\0';
	close(fd);
}

static void nobody_waits_for_a_slow_disk(void **state)
{
	struct world *w = *state;
	char line[1024], text[4 * BUFFER];
	struct hw_str whole = {line, sizeof(line)};
	size_t n = 0;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	atomic_store(&disk.held, true);
	assert_int_equal(hw_decision_file_configure(w->file, w->path, BUFFER), 0);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("first\n")), 0);
	until(is_asked, w);
	/* the disk has the first and keeps it: so many wait, and no more */
	while (hw_decision_file_add(w->file, whole) == 0)
		n++;
	assert_int_equal(n, BUFFER / sizeof(line));
	assert_int_equal(hw_decision_file_add(w->file, whole), -ENOBUFS);
	assert_int_equal(atomic_load(&w->logged.value), 0);
	atomic_store(&disk.held, false);
	sem_post(&disk.go);
	assert_true(hw_decision_file_destroy(&w->file));
	assert_int_equal(atomic_load(&w->logged.value), 1 + n);
	assert_int_equal(atomic_load(&w->unwritten.value), 0);
	read_all(w, text, sizeof(text));
	assert_int_equal(strlen(text), strlen("first\n") + n * sizeof(line));
}

static void a_disk_that_never_answers_does_not_hold_the_end_up(void **state)
{
	struct world *w = *state;

	atomic_store(&disk.held, true);
	assert_int_equal(hw_decision_file_configure(w->file, w->path, BUFFER), 0);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("1\n2\n3\n")), 0);
	until(is_asked, w);
	left_behind.world = w;
	left_behind.file = w->file;
	assert_false(hw_decision_file_destroy(&w->file));
	/* as the process would end now, but this one goes on and must not free what is in use */
	atomic_store(&disk.held, false);
	sem_post(&disk.go);
	until(three_are_done, w);
}

static void a_line_that_found_half_a_place_is_taken_back(void **state)
{
	struct world *w = *state;
	char text[64];

	atomic_store(&disk.left, 7);
	assert_int_equal(hw_decision_file_configure(w->file, w->path, BUFFER), 0);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("one\ntwo two\nthree\n")), 0);
	until(three_are_done, w);
	read_all(w, text, sizeof(text));
	assert_string_equal(text, "one\n");
	assert_int_equal(atomic_load(&w->logged.value), 1);
	atomic_store(&disk.left, -1);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("four\n")), 0);
	assert_true(hw_decision_file_destroy(&w->file));
	read_all(w, text, sizeof(text));
	assert_string_equal(text, "one\nfour\n");
	assert_int_equal(atomic_load(&w->logged.value), 2);
	assert_int_equal(atomic_load(&w->unwritten.value), 2);
}

static void it_follows_no_link_and_waits_for_no_reader(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkfifo(w->path, 0600), 0);
	assert_int_equal(hw_decision_file_configure(w->file, w->path, BUFFER), 0);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("a\n")), 0);
	hw_decision_file_reopen(w->file);
	assert_true(hw_decision_file_destroy(&w->file));
	assert_int_equal(atomic_load(&w->unwritten.value), 1);
	unlink(w->path);
	assert_int_equal(symlink("/dev/null", w->path), 0);
	w->file = hw_decision_file_create(w->log, &w->logged, &w->unwritten);
	assert_int_equal(hw_decision_file_configure(w->file, w->path, BUFFER), 0);
	assert_int_equal(hw_decision_file_add(w->file, HW_STR("a\n")), 0);
	assert_true(hw_decision_file_destroy(&w->file));
	assert_int_equal(atomic_load(&w->unwritten.value), 2);
	assert_int_equal(atomic_load(&w->logged.value), 0);
}

static void nothing_is_taken_before_it_is_told_where_to(void **state)
{
	struct world *w = *state;

	assert_int_equal(hw_decision_file_add(w->file, HW_STR("a\n")), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_waits_for_a_slow_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_line_that_found_half_a_place_is_taken_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			it_follows_no_link_and_waits_for_no_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			nothing_is_taken_before_it_is_told_where_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_disk_that_never_answers_does_not_hold_the_end_up, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
