#include "app/broker.h"
#include "app/control.h"
#include "app/revoke.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "hook/decisions.h"
#include "hook/http_client.h"
#include "hook/io.h"
#include "hook/store.h"
#include "net/trust.h"

/* ---- start
 * ------------------------------------------------------------------------------------------------------------
 */

static unsigned count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
	return addr->ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)addr)->sin_port) : 0;
}

/* When nothing can fail any more: who reads that we listen may connect. */
static void announce(const struct hw_broker *b)
{
	for (size_t i = 0; i < b->n_bound; i++) {
		const struct hw_broker_bound *at = &b->bound[i];

		if (at->listen->kind == HW_CONF_LISTEN_UNIX)
			printf("hookwire: %s %s\n", at->what, at->listen->text);
		else
			printf(strchr(at->listen->host, ':') ? "hookwire: %s [%s]:%u\n"
							     : "hookwire: %s %s:%u\n",
				at->what, at->listen->host, at->port);
	}
	puts("hookwire: ready");
	fflush(stdout);
}

static void give_fd(
	struct hw_worker_thread *t, int fd, enum hw_edge_kind kind, bool shared, bool proxied)
{
	t->fds[t->n_fds] = fd;
	t->kinds[t->n_fds] = kind;
	t->proxied[t->n_fds] = proxied;
	t->shared[t->n_fds++] = shared;
}

static int listen_on(
	struct hw_broker *b, const struct hw_conf_listen *listen, enum hw_edge_kind kind)
{
	bool one = kind == HW_EDGE_ADMIN || listen->kind == HW_CONF_LISTEN_UNIX;
	struct sockaddr_storage addr = listen->addr;
	socklen_t addr_len = listen->addr_len;
	int fds[HW_JOURNAL_MAX_WORKERS];
	struct hw_err err;
	int r = hw_listen(&addr, &addr_len, fds, one ? 1 : b->n_workers, &err);

	if (r) {
		fprintf(stderr, "%s:%u:%u: %s\n",
			listen->pos.file ? listen->pos.file : b->conf_path, listen->pos.line,
			listen->pos.column, err.text);
		return r;
	}
	if (listen->kind == HW_CONF_LISTEN_UNIX)
		b->sockets[b->n_sockets++] = strdup(listen->path);
	for (unsigned i = 0; i < (one ? 1 : b->n_workers); i++)
		give_fd(&b->workers[i], fds[i], kind, one && kind == HW_EDGE_PUBLIC,
			listen->proxy_protocol);
	b->bound[b->n_bound++] = (struct hw_broker_bound){
		kind == HW_EDGE_ADMIN ? "admin on" : "listening on", listen, port_of(&addr)};
	return 0;
}

static int listen_all(struct hw_broker *b)
{
	const struct hw_conf_global *c = b->conf->global;
	int r = 0;

	for (size_t i = 0; !r && i < c->n_listen; i++)
		r = listen_on(b, &c->listen[i], HW_EDGE_PUBLIC);
	if (!r && c->admin.enabled)
		r = listen_on(b, &c->admin.listen, HW_EDGE_ADMIN);
	return r;
}

/* Without authorities all but https works. */
static void load_trust(struct hw_broker *b)
{
	const char *file = hw_http_ca_file();
	int r = file ? hw_trust_create(file, &b->trust) : -ENOENT;

	if (r)
		hw_log(b->log, HW_LOG_WARN, "app",
			"no certificate authorities: policies can ask no https service",
			HW_F_Z("file", file ? file : ""), HW_F_Z("error", strerror(-r)));
	hw_hook_env_believe(b->env, b->trust);
}

static int start_workers(struct hw_broker *b)
{
	int r = 0;

	load_trust(b);

	for (unsigned i = 0; !r && i < b->n_workers; i++)
		r = hw_worker_thread_init(&b->workers[i], b, i);
	for (unsigned i = 0; !r && i < b->n_workers; i++) {
		atomic_fetch_add(&b->n_running, 1);
		r = hw_worker_thread_start(&b->workers[i]);
		if (r)
			atomic_fetch_sub(&b->n_running, 1);
	}
	if (r)
		fprintf(stderr, "hookwire: a worker does not start: %s\n", strerror(-r));
	return r;
}

static void make_metrics(struct hw_broker *b)
{
	static const char name[] = "hookwire_reloads_total", help[] = "Reloads by their result";

	hw_counters_init(&b->counters, b->metrics);
	b->reloads_ok = hw_metrics_get(b->metrics, HW_METRIC_COUNTER, name, help, "result=\"ok\"");
	b->reloads_partial =
		hw_metrics_get(b->metrics, HW_METRIC_COUNTER, name, help, "result=\"partial\"");
	b->reloads_failed =
		hw_metrics_get(b->metrics, HW_METRIC_COUNTER, name, help, "result=\"failed\"");
	b->failed_units =
		hw_metrics_get(b->metrics, HW_METRIC_COUNTER, "hookwire_reload_failed_units_total",
			"Units of a reload that were broken and kept deciding as before", "");
	b->revocations_gauge = hw_metrics_get(b->metrics, HW_METRIC_GAUGE, "hookwire_revocations",
		"Revocations that are on the list", "");
	b->unstored_gauge =
		hw_metrics_get(b->metrics, HW_METRIC_GAUGE, "hookwire_revocations_unstored",
			"Revocations that are in force and not in the durable journal yet", "");
	b->generation_gauge = hw_metrics_get(b->metrics, HW_METRIC_GAUGE, "hookwire_generation",
		"Number of the generation that decides", "");
	hw_metric_set(b->generation_gauge, 1);
}

static int start(struct hw_broker *b)
{
	int r;

	b->log = hw_log_create(STDERR_FILENO, HW_LOG_INFO, HW_LOG_TEXT);
	b->metrics = hw_metrics_create();
	if (!b->log || !b->metrics)
		return -ENOMEM;
	make_metrics(b);
	r = hw_warden_start(&b->warden, b);
	if (!r)
		r = hw_watchdog_create(&b->watchdog);
	if (!r)
		r = hw_tenants_init(&b->tenants);
	if (r)
		return r;
	b->tenants_made = true;
	hw_revocations_init(&b->revocations, &b->tenants.hash_key);
	r = hw_broker_load(b);
	hw_revocation_log_init(&b->revocation_log, &b->revocations, b->store, &hw_clock_system);
	if (!r)
		r = hw_broker_read_revocations(b);
	if (r)
		return r;
	hw_broker_configure_decisions(b);
	b->n_workers = b->conf->global->workers ? b->conf->global->workers : count_cpus();
	if (b->n_workers > HW_JOURNAL_MAX_WORKERS)
		b->n_workers = HW_JOURNAL_MAX_WORKERS;
	b->workers = calloc(b->n_workers, sizeof(*b->workers));
	if (!b->workers)
		return -ENOMEM;
	r = listen_all(b);
	return r ? r : start_workers(b);
}

/* ---- control
 * ---------------------------------------------------------------------------------------------------------------
 */

void hw_broker_wake(struct hw_broker *b)
{
	(void)b;
	kill(getpid(), SIGUSR2);
}

/* INT64_MAX: not yet. */
struct ending {
	int64_t drain_until_ms; /* set: it drains */
	int64_t give_up_ms;     /* set: workers have been told to stop */
};

static int64_t now_ms(void)
{
	return hw_clock_mono_ms(&hw_clock_system);
}

static void stop_workers(struct hw_broker *b, struct ending *e)
{
	if (e->give_up_ms != INT64_MAX)
		return;
	e->give_up_ms = now_ms() + HW_BROKER_STUCK_MS;
	hw_worker_thread_stop(&b->workers[0]); /* which stops the others */
}

static void drain(struct hw_broker *b, struct ending *e)
{
	e->drain_until_ms = now_ms() + b->conf->global->drain_ms + HW_BROKER_HARD_STOP_MS;
	hw_log(b->log, HW_LOG_INFO, "app",
		"draining: sessions are closed over drain_ms, new clients refused");
	for (unsigned i = 0; i < b->n_workers; i++)
		hw_worker_thread_drain(&b->workers[i]);
}

static bool all_drained(const struct hw_broker *b)
{
	for (unsigned i = 0; i < b->n_workers; i++)
		if (!atomic_load(&b->workers[i].drained))
			return false;
	return true;
}

/* Before the sockets are closed: afterwards the file may be another broker's. */
static void remove_sockets(struct hw_broker *b)
{
	pthread_mutex_lock(&b->files_lock);
	for (size_t i = 0; i < b->n_sockets; i++) {
		if (b->sockets[i])
			unlink(b->sockets[i]);
		free(b->sockets[i]);
	}
	b->n_sockets = 0;
	pthread_mutex_unlock(&b->files_lock);
}

static void close_plugin_cache(struct hw_broker *b)
{
	pthread_mutex_lock(&b->files_lock);
	hw_plugin_cache_close(&b->plugin_cache);
	pthread_mutex_unlock(&b->files_lock);
}

void hw_broker_leave_no_files(struct hw_broker *b)
{
	remove_sockets(b);
	close_plugin_cache(b);
}

static void go_on_ending(struct hw_broker *b, struct ending *e)
{
	if (e->drain_until_ms != INT64_MAX && (all_drained(b) || now_ms() >= e->drain_until_ms))
		stop_workers(b, e);
	if (now_ms() < e->give_up_ms)
		return;
	hw_log(b->log, HW_LOG_ERROR, "app",
		"a worker does not end: a plugin holds it; the process ends without it");
	hw_broker_leave_no_files(b);
	_exit(1);
}

/* The kernel hands the lowest number out first, and a stream of SIGHUP would keep SIGTERM back for
 * ever. -1: none came for a second. */
static int next_signal(const sigset_t *all)
{
	const struct timespec none = {0}, second = {.tv_sec = 1};
	sigset_t ending;
	int number;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	number = sigtimedwait(&ending, NULL, &none);
	return number > 0 ? number : sigtimedwait(all, NULL, &second);
}

enum { CONTROL_NICE = 5 };

/* A reload reads, hashes, compiles and loads for milliseconds: who delivers has the CPU before it.
 * On Linux this is the thread's own; what it begins from now on (a plugin tried in a child, threads
 * of one that a reload loads) has it too. */
static void give_way(void)
{
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), CONTROL_NICE);
}

static void tell_kept(void *arg, struct hw_tenant *tenant)
{
	struct hw_broker *b = arg;

	hw_kept_tell(&tenant->kept, b->metrics, hw_hook_env_tenant_label(b->env, tenant->id.p),
		tenant->journal);
}

/* Signals and housekeeping until every worker has ended. */
static void control(struct hw_broker *b, const sigset_t *signals)
{
	struct ending e = {.drain_until_ms = INT64_MAX, .give_up_ms = INT64_MAX};

	give_way();
	while (atomic_load(&b->n_running)) {
		int number = next_signal(signals);
		bool draining = e.drain_until_ms != INT64_MAX;

		if (number == SIGTERM || number == SIGINT) {
			if (draining)
				stop_workers(b, &e);
			else
				drain(b, &e);
		}
		hw_warden_beat(&b->warden, b->conf->global->drain_ms);
		hw_broker_serve(b, number == SIGHUP, e.drain_until_ms != INT64_MAX);
		go_on_ending(b, &e);
		hw_tenants_trim(&b->tenants, hw_clock_mono_ms(&hw_clock_system));
		hw_tenants_each(&b->tenants, tell_kept, b);
		hw_tickets_trim(&b->tenants.tickets, hw_clock_mono_ms(&hw_clock_system));
		hw_broker_keep_revocations(b);
		hw_hook_env_tick(b->env);
	}
}

static void end(struct hw_broker *b)
{
	bool written;

	hw_warden_ending(&b->warden);
	/* one that has not started cannot be told, one that runs has been */
	for (unsigned i = 0; b->workers && i < b->n_workers; i++)
		hw_worker_thread_join(&b->workers[i]);
	remove_sockets(b);
	if (b->workers)
		hw_broker_keep_revocations(b); /* what a session's end brought last */
	/* what it has yet to commit enters the journals; afterwards no thread of its own looks at a
	 * worker any more */
	hw_store_close(&b->store);
	if (b->workers)
		hw_broker_end_revocations(b);
	for (unsigned i = 0; b->workers && i < b->n_workers; i++)
		hw_worker_thread_fini(&b->workers[i]);
	free(b->workers);
	hw_generation_unref(&b->generation);
	if (b->tenants_made) {
		hw_revocation_log_fini(&b->revocation_log);
		hw_revocations_fini(&b->revocations);
		hw_tenants_fini(&b->tenants);
	}
	written = hw_decisions_destroy(&b->decisions);
	if (b->env) {
		hw_hook_env_reap(b->env);
		hw_hook_env_end_work(b->env);
		hw_warden_env(&b->warden, NULL);
		hw_hook_env_destroy(&b->env);
	}
	hw_warden_stop(&b->warden);
	hw_trust_destroy(&b->trust);
	free(b->script_lib);
	hw_broker_unfix(b);
	hw_watchdog_destroy(&b->watchdog);
	hw_conf_destroy(&b->conf);
	close_plugin_cache(b);
	if (!written) {
		hw_log(b->log, HW_LOG_ERROR, "app",
			"the disk does not take the last decisions; the process ends without it");
		return; /* its thread uses both as long as there is a process */
	}
	hw_metrics_destroy(&b->metrics);
	hw_log_destroy(&b->log);
}

int hw_broker_run(const char *conf_path)
{
	struct hw_broker b = {.conf_path = conf_path,
		.requests_lock = PTHREAD_MUTEX_INITIALIZER,
		.files_lock = PTHREAD_MUTEX_INITIALIZER};
	sigset_t signals;
	int r;

	hw_list_init(&b.requests);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is as a full disk: a failed write */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	raise_descriptor_limit();
	r = start(&b);
	if (r) {
		for (unsigned i = 0; b.workers && i < b.n_workers; i++)
			if (b.workers[i].started)
				hw_worker_thread_stop(&b.workers[i]);
	} else {
		announce(&b);
		control(&b, &signals);
	}
	end(&b);
	return r ? 1 : 0;
}
