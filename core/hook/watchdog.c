#include "hook/watchdog.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "hook/guard_internal.h"

/* The thread looks at every guard once a millisecond as long as calls come, then parks. A call
 * that begins pays one store and one load; only the first after a pause pays for waking the
 * thread. Judged is the CPU time of the guarded thread, so that a worker that was not scheduled
 * is not punished for it; the clock starts when a call is first seen, so that a call has up to a
 * millisecond more than its budget. */

#define POLL_US 1000
#define PARK_AFTER 10 /* polls that saw no call and no trace of one */
#define STRIKE_SIGNAL (SIGRTMIN + 5)

struct hw_watchdog {
	pthread_t thread;
	pthread_mutex_t lock; /* guards, and the condition */
	pthread_cond_t wake;
	atomic_bool parked;
	bool stop;
	struct hw_list guards;
	int signal_number;
	uintptr_t loader_start, loader_end;
};

bool hw_watchdog_parked(struct hw_watchdog *w)
{
	return atomic_load_explicit(&w->parked, memory_order_seq_cst);
}

void hw_watchdog_wake(struct hw_watchdog *w)
{
	if (!atomic_exchange(&w->parked, false))
		return;
	pthread_mutex_lock(&w->lock);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

bool hw_watchdog_in_loader(const struct hw_watchdog *w, uintptr_t address)
{
	return address >= w->loader_start && address < w->loader_end;
}

static int64_t cpu_us(const struct hw_guard *g)
{
	struct timespec t = {0, 0};

	clock_gettime(g->cpu_clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void strike(struct hw_watchdog *w, struct hw_guard *g, atomic_uint_fast64_t *which,
	uint64_t call, int64_t now_us)
{
	g->struck_us = now_us;
	atomic_store_explicit(which, call, memory_order_release);
	pthread_kill(g->thread, w->signal_number); /* alive: leaving takes the lock we hold */
}

/* true: a call runs, or ran since the last look */
static bool inspect(struct hw_watchdog *w, struct hw_guard *g)
{
	uint64_t call = atomic_load_explicit(&g->call, memory_order_seq_cst);
	bool news = call != g->seen_call;
	int64_t now_us;

	if (news) {
		g->seen_call = call;
		if (call & 1)
			g->seen_us = cpu_us(g);
		return true;
	}
	if (!(call & 1))
		return false;
	now_us = cpu_us(g);
	if (atomic_load_explicit(&g->hook_call, memory_order_relaxed) != call) {
		if (now_us - g->seen_us >=
			(int64_t)atomic_load_explicit(&g->budget_us, memory_order_relaxed))
			strike(w, g, &g->hook_call, call, now_us);
	} else if (atomic_load_explicit(&g->jump_call, memory_order_relaxed) != call) {
		if (now_us - g->struck_us >= HW_GUARD_JUMP_AFTER_US)
			strike(w, g, &g->jump_call, call, now_us);
	} else if (now_us - g->struck_us >= POLL_US) {
		strike(w, g, &g->jump_call, call, now_us); /* it was where one must not jump */
	}
	return true;
}

static bool inspect_all(struct hw_watchdog *w)
{
	bool busy = false;

	hw_list_each (node, &w->guards)
		busy |= inspect(w, HW_CONTAINER_OF(node, struct hw_guard, link));
	return busy;
}

/* The flag goes up before the last look, a caller's number before its look at the flag: one of us
 * sees the other. */
static void park(struct hw_watchdog *w)
{
	atomic_store_explicit(&w->parked, true, memory_order_seq_cst);
	if (inspect_all(w)) {
		atomic_store(&w->parked, false);
		return;
	}
	while (atomic_load(&w->parked) && !w->stop)
		pthread_cond_wait(&w->wake, &w->lock);
}

static void *watch(void *arg)
{
	struct hw_watchdog *w = arg;
	const struct timespec pause = {0, POLL_US * 1000L};
	unsigned quiet = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		quiet = inspect_all(w) ? 0 : quiet + 1;
		if (quiet >= PARK_AFTER) {
			park(w);
			quiet = 0;
		}
		pthread_mutex_unlock(&w->lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int note_loader(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct hw_watchdog *w = arg;

	(void)size;
	if (info->dlpi_addr != getauxval(AT_BASE) || info->dlpi_addr == 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + header->p_vaddr;

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		w->loader_start = start;
		w->loader_end = start + header->p_memsz;
	}
	return 1;
}

static int start_thread(struct hw_watchdog *w)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all); /* signals of the process are not this thread's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int hw_watchdog_create(struct hw_watchdog **out)
{
	struct hw_watchdog *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	hw_list_init(&w->guards);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->signal_number = STRIKE_SIGNAL;
	dl_iterate_phdr(note_loader, w);
	rc = hw_guard_install_handler(w->signal_number);
	if (rc == 0)
		rc = start_thread(w);
	if (rc != 0) {
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->lock);
		free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void hw_watchdog_destroy(struct hw_watchdog **watchdog)
{
	struct hw_watchdog *w = *watchdog;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	hw_guard_restore_handler(w->signal_number);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
	*watchdog = NULL;
}

int hw_watchdog_enter_thread(struct hw_watchdog *w)
{
	struct hw_guard *g;
	sigset_t strike_set;
	int rc;

	if (hw_guard_current())
		return -EEXIST;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->watchdog = w;
	g->thread = pthread_self();
	rc = pthread_getcpuclockid(g->thread, &g->cpu_clock);
	if (rc != 0) {
		free(g);
		return -rc;
	}
	hw_guard_set_current(g);
	sigemptyset(&strike_set);
	sigaddset(&strike_set, w->signal_number);
	pthread_sigmask(SIG_UNBLOCK, &strike_set, NULL);
	pthread_mutex_lock(&w->lock);
	hw_list_push(&w->guards, &g->link);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void hw_watchdog_leave_thread(struct hw_watchdog *w)
{
	struct hw_guard *g = hw_guard_current();

	if (!g)
		return;
	pthread_mutex_lock(&w->lock);
	hw_list_remove(&g->link);
	pthread_mutex_unlock(&w->lock);
	hw_guard_set_current(NULL);
	free(g);
}
