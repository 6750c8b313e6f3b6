/* A journal for tests: a text file a broker, one line an event, written by one thread. Its settings
 * name a directory ("dir"), where files that a test makes say what goes wrong:
 *   hold    nothing is answered while it is there
 *   hold-reads, fail-reads  likewise, of queries alone
 *   fail    what is to be answered fails
 *   fail-once  likewise, and it is taken away with that
 *   refuse  nothing is taken; "refused" is there once a tenant was not opened for that
 * Compiled with RETAINS it has a journal_retain, which takes nothing away.
 * Retention is "keep" of its settings: so many of each topic, and what went before is told as gone.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hookwire/plugin.h>

enum { TENANT_MAX = 64, EPOCH_FIRST = 1000 };

struct stored {
	struct stored *next;
	char *tenant, *topic, *event, *previous;
	long long at_ms;
	uint64_t number;
};

struct asked {
	struct asked *next;
	uint64_t ticket;
	char *tenant;
	const struct hw_journal_event *events; /* NULL: it is a query */
	size_t n;
	const struct hw_journal_query *query;
};

struct journal {
	const struct hw_host *host;
	char dir[512];
	uint64_t keep, epoch;
	FILE *file;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int ending;
	struct asked *first, **last;     /* under the lock */
	struct stored *events, **newest; /* the thread's, and under the lock */
	uint64_t number;                 /* the last, of all tenants: so that numbers have gaps */
};

static int is_there(const struct journal *j, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", j->dir, name);
	return access(path, F_OK) == 0;
}

static int take_away(const struct journal *j, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", j->dir, name);
	return unlink(path) == 0;
}

static void make(const struct journal *j, const char *name)
{
	char path[600];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", j->dir, name);
	file = fopen(path, "w");
	if (file)
		fclose(file);
}

static char *copy(struct hw_slice s)
{
	char *p = malloc(s.len + 1);

	if (s.len)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

static void add(struct journal *j, char *tenant, char *topic, char *event, char *previous,
	long long at_ms, uint64_t number)
{
	struct stored *s = malloc(sizeof(*s));

	*s = (struct stored){NULL, tenant, topic, event, previous, at_ms, number};
	*j->newest = s;
	j->newest = &s->next;
}

/* ---- the file: number TAB at TAB tenant TAB topic TAB previous TAB event ---- */

static void read_file(struct journal *j)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	rewind(j->file);
	while ((len = getline(&line, &size, j->file)) > 0) {
		char *at = line, *fields[6];
		int n = 0;

		line[len - 1] = '\0';
		for (; n < 5 && at; n++)
			fields[n] = strsep(&at, "\t");
		if (at)
			fields[n++] = at;
		if (n < 6)
			continue;
		j->number = strtoull(fields[0], NULL, 10);
		add(j, strdup(fields[2]), strdup(fields[3]), strdup(fields[5]), strdup(fields[4]),
			strtoll(fields[1], NULL, 10), j->number);
	}
	free(line);
}

/* ---- what the thread does ---- */

static void commit(struct journal *j, struct asked *a)
{
	uint64_t first = j->number + 1;

	for (size_t i = 0; i < a->n; i++) {
		const struct hw_journal_event *e = &a->events[i];
		char *event = copy(e->event), *topic = copy(e->topic),
		     *previous = copy(e->previous);

		pthread_mutex_lock(&j->lock);
		fprintf(j->file, "%llu\t%lld\t%s\t%s\t%s\t%s\n", (unsigned long long)++j->number,
			(long long)e->at_ms, a->tenant, topic, previous, event);
		add(j, strdup(a->tenant), topic, event, previous, e->at_ms, j->number);
		pthread_mutex_unlock(&j->lock);
	}
	fflush(j->file);
	j->host->journal_committed(j->host, a->ticket, first);
}

static int is_of(struct hw_slice pattern, const char *topic)
{
	if (pattern.p[pattern.len - 1] == '*')
		return strncmp(pattern.p, topic, pattern.len - 1) == 0;
	return strlen(topic) == pattern.len && memcmp(pattern.p, topic, pattern.len) == 0;
}

static uint64_t newer_than(const struct journal *j, const struct stored *s)
{
	uint64_t n = 0;

	for (const struct stored *t = s->next; t; t = t->next)
		n += !strcmp(t->tenant, s->tenant) && !strcmp(t->topic, s->topic);
	return n;
}

static void give(struct journal *j, struct asked *a)
{
	const struct hw_journal_query *q = a->query;
	struct hw_journal_event *rows = calloc(q->limit, sizeof(*rows));
	uint64_t *gone = calloc(q->n_topics, sizeof(*gone));
	struct hw_journal_rows answer = {.size = sizeof(answer), .events = rows, .gone = gone};
	uint64_t bytes = 0;

	for (const struct stored *s = j->events; s; s = s->next) {
		int wanted = 0;
		int dropped = j->keep != UINT64_MAX && newer_than(j, s) >= j->keep;

		if (strcmp(s->tenant, a->tenant))
			continue;
		for (size_t i = 0; i < q->n_topics; i++) {
			if (!is_of(q->topics[i], s->topic))
				continue;
			wanted = 1;
			if (dropped)
				gone[i] = s->number;
		}
		if (!wanted || dropped || s->number <= q->after || s->number > q->upto)
			continue;
		if (answer.n == q->limit || (answer.n && bytes >= q->max_bytes)) {
			answer.more = 1;
			break;
		}
		bytes += strlen(s->event);
		rows[answer.n++] = (struct hw_journal_event){
			.number = s->number,
			.at_ms = s->at_ms,
			.topic = {s->topic, strlen(s->topic)},
			.event = {s->event, strlen(s->event)},
			.previous = {s->previous, strlen(s->previous)},
		};
	}
	j->host->journal_rows(j->host, a->ticket, &answer);
	free(rows);
	free(gone);
}

static struct asked *take(struct journal *j)
{
	struct asked *a;

	pthread_mutex_lock(&j->lock);
	while (!j->first && !j->ending)
		pthread_cond_wait(&j->changed, &j->lock);
	a = j->first;
	if (a) {
		j->first = a->next;
		if (!j->first)
			j->last = &j->first;
	}
	pthread_mutex_unlock(&j->lock);
	return a;
}

static void *work(void *arg)
{
	struct journal *j = arg;
	struct asked *a;

	while ((a = take(j))) {
		j->host->metric(j->host, a->events ? "appends" : "reads", 1);
		while (is_there(j, "hold") || (!a->events && is_there(j, "hold-reads")))
			usleep(2000);
		if (is_there(j, "fail") || take_away(j, "fail-once") ||
			(!a->events && is_there(j, "fail-reads")))
			j->host->journal_failed(j->host, a->ticket);
		else if (a->events)
			commit(j, a);
		else
			give(j, a);
		free(a->tenant);
		free(a);
	}
	return NULL;
}

/* ---- what the broker asks ---- */

static int ask(struct journal *j, struct asked a)
{
	struct asked *p = is_there(j, "refuse") ? NULL : malloc(sizeof(*p));

	if (!p) {
		free(a.tenant);
		return -1;
	}
	*p = a;
	pthread_mutex_lock(&j->lock);
	*j->last = p;
	j->last = &p->next;
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return 0;
}

static int journal_open(const struct hw_host *host, void *instance, struct hw_slice tenant,
	struct hw_journal_head *head)
{
	struct journal *j = instance;
	uint64_t of_tenant = 0;

	(void)host;
	if (is_there(j, "refuse")) {
		make(j, "refused");
		return -1;
	}
	for (size_t i = 0; i < tenant.len; i++)
		of_tenant = of_tenant * 31 + (unsigned char)tenant.p[i];
	head->epoch = j->epoch + of_tenant % 100000;
	pthread_mutex_lock(&j->lock);
	for (const struct stored *s = j->events; s; s = s->next)
		if (strlen(s->tenant) == tenant.len && !memcmp(s->tenant, tenant.p, tenant.len))
			head->last = s->number;
	pthread_mutex_unlock(&j->lock);
	return 0;
}

static int journal_append(const struct hw_host *host, void *instance, uint64_t ticket,
	struct hw_slice tenant, const struct hw_journal_event *events, size_t n)
{
	(void)host;
	return ask(instance, (struct asked){NULL, ticket, copy(tenant), events, n, NULL});
}

static int journal_read(const struct hw_host *host, void *instance, uint64_t ticket,
	const struct hw_journal_query *query)
{
	(void)host;
	return ask(instance, (struct asked){NULL, ticket, copy(query->tenant), NULL, 0, query});
}

#ifdef RETAINS
static void journal_retain(const struct hw_host *host, void *instance, struct hw_slice tenant,
	const struct hw_journal_class *classes, size_t n)
{
	(void)host, (void)instance, (void)tenant, (void)classes, (void)n;
}
#endif

/* ---- life ---- */

static uint64_t setting(
	const struct hw_host *host, struct hw_slice config, const char *name, uint64_t otherwise)
{
	struct hw_slice value;
	char kind, scratch[32];

	if (host->json_get(config, name, &kind, &value, scratch, sizeof(scratch)) || kind != 'n')
		return otherwise;
	return strtoull(value.p, NULL, 10);
}

static int load(const struct hw_host *host, struct hw_slice config, void **instance,
	struct hw_problem *problem)
{
	struct journal *j = calloc(1, sizeof(*j));
	struct hw_slice dir;
	char kind, scratch[512], path[600];

	j->host = host;
	if (host->json_get(config, "dir", &kind, &dir, scratch, sizeof(scratch)) || kind != 's') {
		snprintf(problem->text, sizeof(problem->text), "\"dir\" is missing");
		free(j);
		return -1;
	}
	snprintf(j->dir, sizeof(j->dir), "%.*s", (int)dir.len, dir.p);
	j->keep = setting(host, config, "keep", UINT64_MAX);
	j->epoch = setting(host, config, "epoch", EPOCH_FIRST);
	snprintf(path, sizeof(path), "%s/journal", j->dir);
	j->file = fopen(path, "a+");
	if (!j->file) {
		snprintf(problem->path, sizeof(problem->path), "/dir");
		snprintf(problem->text, sizeof(problem->text), "cannot open the file there");
		free(j);
		return -1;
	}
	j->newest = &j->events;
	j->last = &j->first;
	read_file(j);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->changed, NULL);
	pthread_create(&j->thread, NULL, work, j);
	*instance = j;
	return 0;
}

static void unload(const struct hw_host *host, void *instance)
{
	struct journal *j = instance;
	struct stored *s;

	(void)host;
	pthread_mutex_lock(&j->lock);
	j->ending = 1;
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->thread, NULL);
	while ((s = j->events)) {
		j->events = s->next;
		free(s->tenant), free(s->topic), free(s->event), free(s->previous), free(s);
	}
	fclose(j->file);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	free(j);
}

static const struct hw_plugin table = {
	.magic = HW_PLUGIN_MAGIC,
	.size = sizeof(struct hw_plugin),
	.major = HW_PLUGIN_MAJOR,
	.minor = HW_PLUGIN_MINOR,
	.name = "test-journal",
	.version = "1",
	.load = load,
	.unload = unload,
	.journal_open = journal_open,
	.journal_append = journal_append,
	.journal_read = journal_read,
#ifdef RETAINS
	.journal_retain = journal_retain,
#endif
};

HW_PLUGIN_EXPORT(&table)
