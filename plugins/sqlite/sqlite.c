/* The tenants' events in one SQLite database. See README.md; journal.h draws who does what. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

enum {
	READS_MAX = 4096, /* that wait; a client that is refused asks again */
	EPOCH_BITS = 36,  /* short ids */
	NAME_MAX_BYTES = 64,
};

void journal_log(
	const struct journal *journal, enum hw_log_severity severity, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	journal->host->log(journal->host, severity, (struct hw_slice){text, (size_t)n});
}

void journal_count(const struct journal *journal, const char *name, uint64_t add)
{
	journal->host->metric(journal->host, name, (int64_t)add);
}

/* ---- what the broker asks, on any worker ---- */

/* Of a tenant and no other: who has one cannot make up another. */
static uint64_t epoch_of(const struct journal *j, struct hw_slice tenant)
{
	char text[SEED_BYTES + NAME_MAX_BYTES];
	size_t len = tenant.len < NAME_MAX_BYTES ? tenant.len : NAME_MAX_BYTES;
	uint8_t digest[32];
	uint64_t epoch = 0;

	memcpy(text, j->file.seed, SEED_BYTES);
	memcpy(text + SEED_BYTES, tenant.p, len);
	j->host->sha256((struct hw_slice){text, SEED_BYTES + len}, digest);
	for (size_t i = 0; i < sizeof(epoch); i++)
		epoch = epoch << 8 | digest[i];
	epoch &= (UINT64_C(1) << EPOCH_BITS) - 1;
	return epoch ? epoch : 1;
}

static int journal_open(const struct hw_host *host, void *instance, struct hw_slice tenant,
	struct hw_journal_head *head)
{
	struct journal *j = instance;
	struct tenant *t;

	(void)host;
	pthread_mutex_lock(&j->lock);
	t = names_tenant(&j->names, tenant);
	if (t)
		head->last = t->last;
	pthread_mutex_unlock(&j->lock);
	if (!t)
		return -1;
	head->epoch = epoch_of(j, tenant);
	return 0;
}

static size_t bytes_of(const struct hw_journal_event *events, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += sizeof(events[i]) + events[i].topic.len + events[i].event.len +
			 events[i].previous.len;
	return bytes;
}

static int journal_append(const struct hw_host *host, void *instance, uint64_t ticket,
	struct hw_slice tenant, const struct hw_journal_event *events, size_t n)
{
	struct journal *j = instance;
	struct append *a = malloc(sizeof(*a));

	if (!a)
		return -1;
	*a = (struct append){
		.ticket = ticket, .events = events, .n = n, .bytes = bytes_of(events, n)};
	pthread_mutex_lock(&j->lock);
	a->tenant = names_tenant(&j->names, tenant);
	if (!a->tenant || j->queued_bytes + a->bytes > j->settings.queue_bytes) {
		pthread_mutex_unlock(&j->lock);
		free(a);
		journal_count(j, "sqlite_refused", 1);
		return -1;
	}
	j->queued_bytes += a->bytes;
	*j->last_append = a;
	j->last_append = &a->next;
	if (j->appends == a)
		pthread_cond_signal(&j->for_writer);
	pthread_mutex_unlock(&j->lock);
	(void)host;
	return 0;
}

static int journal_read(const struct hw_host *host, void *instance, uint64_t ticket,
	const struct hw_journal_query *query)
{
	struct journal *j = instance;
	struct read *r = malloc(sizeof(*r));
	bool taken;

	(void)host;
	if (!r)
		return -1;
	*r = (struct read){.ticket = ticket, .query = query};
	pthread_mutex_lock(&j->lock);
	taken = j->n_reads < READS_MAX;
	if (taken) {
		j->n_reads++;
		*j->last_read = r;
		j->last_read = &r->next;
		pthread_cond_signal(&j->for_reader);
	}
	pthread_mutex_unlock(&j->lock);
	if (!taken)
		free(r);
	return taken ? 0 : -1;
}

static void journal_retain(const struct hw_host *host, void *instance, struct hw_slice tenant,
	const struct hw_journal_class *classes, size_t n)
{
	struct journal *j = instance;
	struct rules *rules = rules_copy(classes, n), *former = NULL;
	struct tenant *t = NULL;

	(void)host;
	pthread_mutex_lock(&j->lock);
	if (rules)
		t = names_tenant(&j->names, tenant);
	if (t) {
		former = t->new_rules;
		t->new_rules = rules;
		rules = NULL;
		if (!t->changed) {
			t->changed = true;
			t->next_changed = j->changed;
			j->changed = t;
		}
		pthread_cond_signal(&j->for_writer);
	}
	pthread_mutex_unlock(&j->lock);
	free(former);
	free(rules);
	if (!t) /* what was said before holds on */
		journal_log(j, HW_PLUGIN_ERROR,
			"out of memory: what is to be kept of a tenant stays as it was");
}

/* ---- life ---- */

static int validate(const struct hw_host *host, struct hw_slice config, struct hw_problem *problem)
{
	struct settings settings;

	if (settings_read(host, config, &settings, problem))
		return -1;
	settings_fini(&settings);
	return 0;
}

static void destroy(struct journal *j)
{
	reader_destroy(&j->reader);
	writer_destroy(&j->writer);
	names_fini(&j->names);
	file_close(&j->file);
	settings_fini(&j->settings);
	pthread_cond_destroy(&j->for_writer);
	pthread_cond_destroy(&j->for_reader);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static struct journal *create(const struct hw_host *host)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t monotonic;

	if (!j)
		return NULL;
	j->host = host;
	j->file.lock_fd = -1;
	j->last_append = &j->appends;
	j->last_read = &j->reads;
	names_init(&j->names, host);
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->for_writer, &monotonic);
	pthread_cond_init(&j->for_reader, NULL);
	pthread_condattr_destroy(&monotonic);
	return j;
}

static void end_threads(struct journal *j, bool both)
{
	pthread_mutex_lock(&j->lock);
	j->ending = true;
	pthread_cond_signal(&j->for_writer);
	pthread_cond_signal(&j->for_reader);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->write_thread, NULL);
	if (both)
		pthread_join(j->read_thread, NULL);
}

/* Signals are for the broker's threads. */
static int start_threads(struct journal *j)
{
	sigset_t all, before;
	bool writes, reads = false;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	writes = pthread_create(&j->write_thread, NULL, writer_run, j) == 0;
	if (writes)
		reads = pthread_create(&j->read_thread, NULL, reader_run, j) == 0;
	if (writes)
		pthread_setname_np(j->write_thread, "sqlite-writer");
	if (reads)
		pthread_setname_np(j->read_thread, "sqlite-reader");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (writes && !reads)
		end_threads(j, false);
	return writes && reads ? 0 : -1;
}

static int open_all(struct journal *j, struct hw_problem *problem)
{
	char why[256];

	if (file_open(&j->file, j->host, &j->settings, problem))
		return -1;
	if (names_load(&j->names, j->file.writing) == 0 && (j->writer = writer_create(j)) &&
		(j->reader = reader_create(j)) && start_threads(j) == 0)
		return 0;
	file_error(j->file.writing, why, sizeof(why));
	if (sqlite3_errcode(j->file.writing) == SQLITE_OK)
		file_error(j->file.reading, why, sizeof(why));
	return problem_set(problem, "/path", "\"%s\" cannot be read: %s", j->settings.path,
		strcmp(why, sqlite3_errstr(SQLITE_OK)) == 0 ? "out of memory" : why);
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct journal *j = create(host);

	if (!j)
		return problem_set(problem, "", "out of memory");
	if (settings_read(host, config, &j->settings, problem) || open_all(j, problem)) {
		destroy(j);
		return -1;
	}
	*instance = j;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	struct journal *j = instance;

	(void)host;
	end_threads(j, true);
	destroy(j);
}

static const struct hw_plugin plugin = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "sqlite",
	.version = "1.0",
	.validate = validate,
	.load = load,
	.unload = unload,
	.journal_open = journal_open,
	.journal_append = journal_append,
	.journal_read = journal_read,
	.journal_retain = journal_retain,
};

HW_PLUGIN_EXPORT(&plugin)
