// links: hub
/* What filtering costs: one hub with many subscribers of one topic in a few classes, events
 * appended and fanned out to a function that only notes them, without and with a filter, and with
 * redaction. Counts the hooks' calls and every allocation of the process; both are exact, and a
 * wrong number is a failure. Usage: bench_filter [--smoke] [recipients [classes [events]]] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hook/watchdog.h"
#include "hub/hub.h"
#include "hub/keep.h"

/* ---- every allocation is counted ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);
void *reallocarray(void *p, size_t n, size_t size);

static uint64_t n_allocations;

void *malloc(size_t size)
{
	n_allocations++;
	return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
	n_allocations++;
	return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size)
{
	n_allocations++;
	return __libc_realloc(p, size);
}
void *reallocarray(void *p, size_t n, size_t size)
{
	n_allocations++;
	return __libc_realloc(p, n * size);
}

/* ---- the world ---- */

#define ROUNDS 5 /* of which the best counts: the machine is shared */

/* Far apart, as sessions are. */
struct recipient {
	struct hw_subscriber sub;
	const char *last;
	uint64_t n;
	const struct hw_identity *identity;
	uint64_t n_deferred;
} __attribute__((aligned(512)));

struct bench {
	struct hw_watchdog *watchdog;
	struct hw_metrics *metrics;
	struct hw_counters counters;
	struct hw_hook_env *env;
	struct hw_tenants tenants;
	struct hw_generation *generation;
	struct hw_worker worker;
	struct hw_hub *hub;
	struct hw_identity **identities;
	struct recipient *recipients;
	size_t n_recipients, n_classes, n_events;
	char dir[32];
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_filter: %s\n", what);
	exit(1);
}

static void deliver(struct hw_subscriber *s, const struct hw_run *run)
{
	struct recipient *r = HW_CONTAINER_OF(s, struct recipient, sub);

	r->last = run->frames;
	r->n += run->n;
}

static void defer(struct hw_subscriber *s, uint64_t seq)
{
	(void)seq;
	HW_CONTAINER_OF(s, struct recipient, sub)->n_deferred++;
}

static const struct hw_identity *identity(const struct hw_subscriber *s)
{
	return HW_CONTAINER_OF(s, struct recipient, sub)->identity;
}

static const struct hw_subscriber_ops ops = {
	.deliver = deliver, .defer = defer, .identity = identity};

static void wake(struct hw_loop *loop)
{
	(void)loop;
}

static struct hw_hook_chain *chain_of(struct bench *b, const char *lua)
{
	struct hw_hook_spec spec = {.name = "bench",
		.kind = HW_HOOK_LUA,
		.config = HW_STR("{}"),
		.budget = HW_HOOK_BUDGET_DEFAULT};
	struct hw_hook_problem problem = {0};
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	char path[64];
	FILE *f;

	if (!lua)
		return hw_hook_chain_create(NULL, 0);
	snprintf(path, sizeof(path), "%s/bench.lua", b->dir);
	f = fopen(path, "w");
	must(f && fputs(lua, f) >= 0 && fclose(f) == 0, "cannot write the policy");
	spec.path = path;
	must(hw_hook_entry_load(b->env, &spec, NULL, 0, &entry, &problem) == 0, problem.text);
	chain = hw_hook_chain_create(&entry, 1);
	hw_hook_entry_unref(&entry);
	return chain;
}

static void generation_free(struct hw_generation *g)
{
	hw_hook_chain_unref(&g->global);
	hw_hook_chain_unref(&g->rules[0].chain);
	free(g->rules);
	free(g);
}

static struct hw_generation *generation_of(struct bench *b, const char *lua)
{
	struct hw_generation *g = calloc(1, sizeof(*g));
	struct hw_tenant_rules *rules = calloc(1, sizeof(*rules));

	must(g && rules, "out of memory");
	atomic_init(&g->n_refs, 1);
	g->number = 1;
	g->free = generation_free;
	g->global = chain_of(b, NULL);
	*rules = (struct hw_tenant_rules){.id = "*",
		.chain = chain_of(b, lua),
		.connections = UINT64_MAX,
		.subscriptions = UINT64_MAX,
		.classes = {.n = 1,
			.classes = {{.history = true,
				.retention = {.count = 1000, .bytes = 16u << 20}}}}};
	g->rules = rules;
	g->n_rules = 1;
	return g;
}

static void join_all(struct bench *b)
{
	b->identities = calloc(b->n_classes, sizeof(*b->identities));
	b->recipients =
		aligned_alloc(_Alignof(struct recipient), b->n_recipients * sizeof(*b->recipients));
	must(b->identities && b->recipients, "out of memory");
	memset(b->recipients, 0, b->n_recipients * sizeof(*b->recipients));
	for (size_t i = 0; i < b->n_classes; i++) {
		char claims[128];
		int len = snprintf(claims, sizeof(claims),
			"{\"sub\":\"u1\",\"tenant_id\":\"acme\",\"role\":\"role-%zu\",\"exp\":1}",
			i);
		struct hw_identity from = {.user_id = HW_STR("u1"),
			.tenant_id = HW_STR("acme"),
			.claims = {claims, (size_t)len}};

		b->identities[i] = hw_identity_create(&from);
		must(b->identities[i], "out of memory");
	}
	for (size_t i = 0; i < b->n_recipients; i++) {
		b->recipients[i].sub.ops = &ops;
		b->recipients[i].identity = b->identities[i % b->n_classes];
		must(hw_hub_subscribe(b->hub, &b->recipients[i].sub, HW_STR("feed:1")) == 0,
			"cannot subscribe");
	}
}

static void begin(struct bench *b, const char *lua)
{
	strcpy(b->dir, "/tmp/hw-bench-XXXXXX");
	must(mkdtemp(b->dir) != NULL, "no folder for the policy");
	b->metrics = hw_metrics_create();
	hw_counters_init(&b->counters, b->metrics);
	must(hw_watchdog_create(&b->watchdog) == 0, "no watchdog");
	must(hw_watchdog_enter_thread(b->watchdog) == 0, "no watchdog");
	b->env = hw_hook_env_create(
		NULL, b->metrics, &hw_clock_system, b->watchdog, b->dir, NULL, NULL);
	must(hw_tenants_init(&b->tenants) == 0, "out of memory");
	b->generation = generation_of(b, lua);
	b->worker = (struct hw_worker){.wake = wake,
		.clock = &hw_clock_system,
		.metrics = b->metrics,
		.counters = &b->counters,
		.env = b->env,
		.tenants = &b->tenants};
	must(hw_worker_init(&b->worker, b->generation) == 0, "no worker");
	must(hw_hub_get(&b->worker, HW_STR("acme"), &b->hub) == 0, "no hub");
	join_all(b);
}

static void end(struct bench *b)
{
	char command[64];

	for (size_t i = 0; i < b->n_recipients; i++)
		hw_hub_unsubscribe_all(b->hub, &b->recipients[i].sub);
	hw_worker_flushed(&b->worker);
	hw_worker_fini(&b->worker);
	hw_generation_unref(&b->generation);
	hw_tenants_fini(&b->tenants);
	hw_hook_env_reap(b->env);
	hw_hook_env_destroy(&b->env);
	hw_watchdog_leave_thread(b->watchdog);
	hw_watchdog_destroy(&b->watchdog);
	hw_metrics_destroy(&b->metrics);
	for (size_t i = 0; i < b->n_classes; i++)
		hw_identity_unref(&b->identities[i]);
	free(b->identities);
	free(b->recipients);
	snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	must(system(command) == 0, "cannot remove the policy");
}

/* ---- measuring ---- */

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void one_event(struct bench *b)
{
	static const char event[] = "{\"topic\":\"feed:1\",\"event\":\"UPDATED\",\"data\":{"
				    "\"entity_id\":\"e1\",\"payload\":{"
				    "\"name\":\"Bike\",\"price\":120.50,\"level\":2},\"user_id\":"
				    "\"u1\",\"tenant_id\":\"acme\","
				    "\"timestamp\":\"2026-01-01T00:00:00.000Z\"},\"trace_id\":"
				    "\"4bf92f3577b34da6a3ce929d0e0e4736\"";
	struct hw_append append = {.topic = HW_STR("feed:1"),
		.text = {event, sizeof(event) - 1},
		.wall_ms = 1767225600000};
	struct hw_keep_wait wait = {0};
	uint64_t number;
	bool more;

	must(hw_hub_append(b->hub, &append, NULL, NULL, &wait, &number) == 0, "cannot append");
	do {
		more = hw_worker_turn(&b->worker);
		hw_worker_flushed(&b->worker);
	} while (more);
}

static uint64_t delivered(const struct bench *b)
{
	uint64_t n = 0;

	for (size_t i = 0; i < b->n_recipients; i++)
		n += b->recipients[i].n;
	return n;
}

/* Who had to wait for another turn missed the event: what that costs is not measured here. */
static uint64_t deferred(const struct bench *b)
{
	uint64_t n = 0;

	for (size_t i = 0; i < b->n_recipients; i++)
		n += b->recipients[i].n_deferred;
	return n;
}

static uint64_t calls(struct bench *b, const char *stage)
{
	char labels[96];

	snprintf(labels, sizeof(labels), "hook=\"bench\",tenant=\"acme\",stage=\"%s\"", stage);
	return (uint64_t)atomic_load(&hw_metrics_get(
		b->metrics, HW_METRIC_COUNTER, "hookwire_hook_calls_total", "", labels)
					      ->value);
}

struct figures {
	double ns;                                                            /* a recipient */
	double allocations, filter_calls, redact_calls, deliveries, deferred; /* an event */
};

static struct figures measure(struct bench b, const char *lua)
{
	struct figures f = {.ns = 1e9};
	uint64_t allocations, filters, redacts, before, deferred_before;

	begin(&b, lua);
	for (int i = 0; i < 5; i++)
		one_event(&b); /* states, classes and arrays are made once */
	filters = calls(&b, "filter");
	redacts = calls(&b, "redact");
	before = delivered(&b);
	deferred_before = deferred(&b);
	allocations = n_allocations;
	for (int round = 0; round < ROUNDS; round++) {
		double began = cpu_s(), ns;

		for (size_t i = 0; i < b.n_events; i++)
			one_event(&b);
		ns = (cpu_s() - began) * 1e9 / (double)(b.n_events * b.n_recipients);
		f.ns = ns < f.ns ? ns : f.ns;
	}
	f.allocations = (double)(n_allocations - allocations);
	f.filter_calls = (double)(calls(&b, "filter") - filters);
	f.redact_calls = (double)(calls(&b, "redact") - redacts);
	f.deliveries = (double)(delivered(&b) - before);
	f.deferred = (double)(deferred(&b) - deferred_before);
	for (double *p = &f.allocations; p <= &f.deferred; p++)
		*p /= (double)(ROUNDS * b.n_events);
	end(&b);
	return f;
}

static void print(const char *what, struct figures f, double floor_ns)
{
	printf("%-24s %6.1f ns a recipient %+7.1f; an event: %5.1f filter, %5.1f redact calls, "
	       "%6.3f "
	       "allocations, %9.0f deliveries",
		what, f.ns, f.ns - floor_ns, f.filter_calls, f.redact_calls, f.allocations,
		f.deliveries);
	if (f.deferred > 0)
		printf(", %.0f for the next turn", f.deferred);
	putchar('\n');
}

#define READS \
	"return policy { api = 1, reads = { filter = { 'claims.role' }, redact = { 'claims.role' " \
	"} }, "
#define READS_FILTER "return policy { api = 1, reads = { filter = { 'claims.role' } }, "
#define PASSES "filter = function(event, audience) return audience.claims.role ~= 'guest' end,"
#define HALVES "filter = function(event, audience) return audience.claims.role ~= 'role-0' end,"
#define REDACTS "redact = function(event, audience) event.data.payload.price = nil return event end"

int main(int argc, char **argv)
{
	bool smoke = argc > 1 && !strcmp(argv[1], "--smoke");
	char **numbers = argv + 1 + smoke;
	int n_numbers = argc - 1 - smoke;
	struct bench b = {
		.n_recipients = smoke ? 1000 : 100000, .n_classes = 5, .n_events = smoke ? 20 : 40};
	struct figures none, passes, halves, redacts;
	double k;

	if (n_numbers > 0)
		b.n_recipients = (size_t)atoll(numbers[0]);
	if (n_numbers > 1)
		b.n_classes = (size_t)atoll(numbers[1]);
	if (n_numbers > 2)
		b.n_events = (size_t)atoll(numbers[2]);
	must(b.n_recipients >= b.n_classes && b.n_classes > 0 && b.n_events > 0,
		"usage: bench_filter [--smoke] [recipients [classes [events]]]");
	k = (double)b.n_classes;
	printf("%zu recipients in %zu classes, %zu events, best of %d rounds\n", b.n_recipients,
		b.n_classes, b.n_events, ROUNDS);
	none = measure(b, "return policy { api = 1, transform = function(e) return e end }");
	print("no filter", none, none.ns);
	passes = measure(b, READS_FILTER PASSES "}");
	print("a filter that passes", passes, none.ns);
	halves = measure(b, READS_FILTER HALVES "}");
	print("a filter that withholds", halves, none.ns);
	redacts = measure(b, READS PASSES REDACTS "}");
	print("a filter and a redact", redacts, none.ns);
	must(none.filter_calls == 0 && none.redact_calls == 0,
		"a hook was called that is not there");
	/* what there is without a filter is the journal's, for its segments */
	must(passes.allocations == none.allocations && halves.allocations == none.allocations,
		"filtering allocates");
	if (passes.deferred + halves.deferred + redacts.deferred > 0)
		return 0; /* more classes than a turn is for */
	must(passes.filter_calls == k && halves.filter_calls == k && redacts.redact_calls == k,
		"the hooks were not called once a class");
	must(none.deliveries == (double)b.n_recipients && passes.deliveries == none.deliveries &&
			redacts.deliveries == none.deliveries,
		"not everybody had the event");
	return 0;
}
