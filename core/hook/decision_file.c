#include "hook/decision_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/stat.h>

#include "base/buf.h"

enum {
	LINGER_MS = 20, /* after the first line: others may come, and go with it in one write */
	END_S = 2,      /* for the last lines when the broker ends; then a disk holds it up */
};

/* The lock is held for as long as it takes to copy a line or to swap two pointers, never while
 * the disk is asked. */
struct hw_decision_file {
	struct hw_log *log;
	struct hw_metric *logged, *unwritten;
	pthread_mutex_t lock;
	pthread_cond_t wake, ended;
	/* under the lock */
	struct hw_buf waiting;
	size_t max_bytes;
	char *next_path; /* if @change; NULL: nowhere */
	bool change, reopen, stop, has_ended;
	/* the control thread's */
	bool started;
	pthread_t thread;
	/* the writer's */
	char *path;
	int fd;
	bool torn;    /* the file does not end in a newline */
	bool failing; /* and has said so */
};

/* ---- adding ---- */

int hw_decision_file_add(struct hw_decision_file *f, struct hw_str line)
{
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	if (line.len > f->max_bytes || f->waiting.len > f->max_bytes - line.len) {
		rc = -ENOBUFS;
	} else {
		size_t before = f->waiting.len;

		hw_buf_str(&f->waiting, line);
		if (f->waiting.failed) {
			f->waiting.failed = false;
			rc = -ENOMEM;
		} else if (before == 0 ||
			   (before < f->max_bytes / 2 && f->waiting.len >= f->max_bytes / 2)) {
			pthread_cond_signal(&f->wake);
		}
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* ---- writing: the thread ---- */

/* Said once, until it is over. */
static void say(struct hw_decision_file *f, int error)
{
	if (error && !f->failing)
		hw_log(f->log, HW_LOG_ERROR, "decisions",
			"decisions cannot be written and are dropped", HW_F_Z("path", f->path),
			HW_F_Z("error", strerror(error)));
	else if (!error && f->failing)
		hw_log(f->log, HW_LOG_INFO, "decisions", "decisions are written again",
			HW_F_Z("path", f->path));
	f->failing = error != 0;
}

static void close_file(struct hw_decision_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->torn = false;
}

/* What a broker that was killed has left may end in the middle of a line. */
static int look_at(struct hw_decision_file *f)
{
	struct stat st;
	char last = '\n';

	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > 0 && pread(f->fd, &last, 1, st.st_size - 1) < 0)
		return -errno;
	f->torn = last != '\n';
	return 0;
}

/* A regular file and no link: whoever may write to the directory must not choose what a broker
 * with more rights appends to. Not blocking: a pipe that nobody reads would hold the thread up
 * before it is seen to be none. */
static int open_file(struct hw_decision_file *f)
{
	int rc;

	if (f->fd >= 0)
		return 0;
	f->fd = open(
		f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	rc = f->fd < 0 ? -errno : look_at(f);
	if (rc < 0)
		close_file(f);
	return rc;
}

static size_t count_lines(const char *p, size_t len)
{
	const char *end = p + len;
	size_t n = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

/* What follows the last newline of @p. */
static size_t torn_bytes(const char *p, size_t len)
{
	const char *newline = len > 0 ? memrchr(p, '\n', len) : NULL;

	return newline ? (size_t)(p + len - newline - 1) : len;
}

/* The disk has taken a part of a line: it is taken back, unless the file is not as we left it. */
static void mend_tail(struct hw_decision_file *f, size_t torn)
{
	off_t end = lseek(f->fd, 0, SEEK_CUR);
	struct stat st;

	if (torn == 0)
		return;
	f->torn = end < (off_t)torn || fstat(f->fd, &st) < 0 || st.st_size != end ||
		  ftruncate(f->fd, end - (off_t)torn) < 0;
}

/* Returns 0 or negative errno, and how much the disk has taken. */
static int write_text(struct hw_decision_file *f, struct hw_str text, size_t *done)
{
	for (*done = 0; *done < text.len;) {
		ssize_t n = write(f->fd, text.p + *done, text.len - *done);

		if (n > 0)
			*done += (size_t)n;
		else if (n == 0)
			return -EIO;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Returns how many lines it wrote. */
static size_t write_lines(struct hw_decision_file *f, struct hw_str text)
{
	size_t done = 0, ended = 0;
	int rc = open_file(f);

	if (rc == 0 && f->torn) {
		rc = write_text(f, HW_STR("\n"), &ended);
		f->torn = rc < 0;
	}
	if (rc == 0) {
		rc = write_text(f, text, &done);
		if (rc < 0)
			mend_tail(f, torn_bytes(text.p, done));
	}
	say(f, -rc);
	return count_lines(text.p, done);
}

static struct timespec in_ms(long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* Until there is something to do. */
static void wait_for_lines(struct hw_decision_file *f)
{
	struct timespec until;

	while (f->waiting.len == 0 && !f->stop && !f->reopen && !f->change)
		pthread_cond_wait(&f->wake, &f->lock);
	until = in_ms(LINGER_MS);
	while (!f->stop && !f->reopen && !f->change && f->waiting.len < f->max_bytes / 2 &&
		pthread_cond_timedwait(&f->wake, &f->lock, &until) == 0)
		continue;
}

/* What the lock protects, taken out of it for one round. */
struct turn {
	struct hw_buf lines;
	char *next_path;
	bool change, reopen, stop;
};

static void take_turn(struct hw_decision_file *f, struct turn *t)
{
	struct hw_buf empty = t->lines;

	pthread_mutex_lock(&f->lock);
	wait_for_lines(f);
	*t = (struct turn){.lines = f->waiting,
		.next_path = f->next_path,
		.change = f->change,
		.reopen = f->reopen,
		.stop = f->stop};
	f->waiting = empty;
	f->next_path = NULL;
	f->change = f->reopen = false;
	pthread_mutex_unlock(&f->lock);
}

static void take_path(struct hw_decision_file *f, struct turn *t)
{
	free(f->path);
	f->path = t->next_path;
	f->failing = false;
	t->change = false;
}

/* The lines that waited when a new name or file came still go where they were meant to. */
static void *run(void *arg)
{
	struct hw_decision_file *f = arg;
	struct turn t = {.stop = false};

	pthread_setname_np(pthread_self(), "hw-decisions");
	hw_buf_init(&t.lines);
	while (!t.stop) {
		size_t n, n_written;

		take_turn(f, &t);
		if (t.change && !f->path)
			take_path(f, &t);
		n = count_lines(t.lines.data, t.lines.len);
		n_written = n > 0 && f->path ? write_lines(f, hw_buf_view(&t.lines)) : 0;
		hw_metric_add(f->logged, (int64_t)n_written);
		hw_metric_add(f->unwritten, (int64_t)(n - n_written));
		hw_buf_clear(&t.lines);
		if (t.change || t.reopen)
			close_file(f);
		if (t.change)
			take_path(f, &t);
	}
	close_file(f);
	hw_buf_fini(&t.lines);
	pthread_mutex_lock(&f->lock);
	f->has_ended = true;
	pthread_cond_signal(&f->ended);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* ---- the control thread ---- */

struct hw_decision_file *hw_decision_file_create(
	struct hw_log *log, struct hw_metric *logged, struct hw_metric *unwritten)
{
	struct hw_decision_file *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;

	if (!f)
		return NULL;
	f->log = log;
	f->logged = logged;
	f->unwritten = unwritten;
	f->fd = -1;
	hw_buf_init(&f->waiting);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->wake, &attr);
	pthread_cond_init(&f->ended, &attr);
	pthread_condattr_destroy(&attr);
	return f;
}

static int start(struct hw_decision_file *f)
{
	int rc = f->started ? 0 : pthread_create(&f->thread, NULL, run, f);

	if (rc == 0)
		f->started = true;
	return -rc;
}

int hw_decision_file_configure(struct hw_decision_file *f, const char *path, size_t max_bytes)
{
	char *copy = path ? strdup(path) : NULL;
	int rc = path && !copy ? -ENOMEM : 0;

	if (rc == 0)
		rc = start(f);
	if (rc < 0) {
		free(copy);
		return rc;
	}
	pthread_mutex_lock(&f->lock);
	free(f->next_path);
	f->next_path = copy;
	f->change = true;
	f->max_bytes = max_bytes;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

void hw_decision_file_reopen(struct hw_decision_file *f)
{
	pthread_mutex_lock(&f->lock);
	f->reopen = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

static bool join(struct hw_decision_file *f)
{
	struct timespec until = in_ms(END_S * 1000L);
	bool ended;

	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	while (!f->has_ended && pthread_cond_timedwait(&f->ended, &f->lock, &until) == 0)
		continue;
	ended = f->has_ended;
	pthread_mutex_unlock(&f->lock);
	if (ended)
		pthread_join(f->thread, NULL);
	else
		pthread_detach(f->thread);
	return ended;
}

bool hw_decision_file_destroy(struct hw_decision_file **file)
{
	struct hw_decision_file *f = *file;

	*file = NULL;
	if (!f)
		return true;
	if (f->started && !join(f))
		return false;
	free(f->path);
	free(f->next_path);
	hw_buf_fini(&f->waiting);
	pthread_cond_destroy(&f->wake);
	pthread_cond_destroy(&f->ended);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return true;
}
