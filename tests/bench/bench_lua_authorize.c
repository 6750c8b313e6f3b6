// links: hook
/* What a Lua decision costs: nanoseconds per authorize, publish and transform of
 * scripts/policies/family.lua and of a one-line policy, what a fresh state costs, and what the
 * decision log adds. Prints figures and judges nothing. Usage: bench_lua_authorize [milliseconds
 * per figure] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hook/decisions.h"
#include "hook/hooks.h"
#include "hook/watchdog.h"

#ifndef HW_BENCH_SOURCE_DIR
#define HW_BENCH_SOURCE_DIR "."
#endif

static const char one_line[] =
	"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
	"if topic.resource == 'gift-list' then return allow() end end, publish = function() return "
	"allow() end },\n"
	"transform = function(event) return event end }\n";

static const char claims[] = "{\"families\":[\"family-1\",\"family-2\",\"family-123\"],\"role\":"
			     "\"member\",\"tenant_id\":\"acme\"}";
static const char event[] =
	"{\"topic\":\"gift-list:family-123\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":\"gift-"
	"456\",\"payload\":{\"name\":\"Bike\","
	"\"price\":120.50,\"giver\":{\"name\":\"Ann\",\"phone\":\"123\"}%s},\"user_id\":\"u1\","
	"\"tenant_id\":\"acme\",\"timestamp\":"
	"\"2026-01-01T00:00:00Z\"},\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}";

struct bench {
	struct hw_hook_env *env;
	struct hw_hook_chain *none, *chain;
	struct hw_hook_bench *global, *tenant;
	char plain[512], secret[512];
	char session[32];
	double seconds;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_lua_authorize: %s\n", what);
	exit(1);
}

static struct hw_slice slice(const char *s)
{
	return (struct hw_slice){s, strlen(s)};
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void load(struct bench *b, const char *path)
{
	struct hw_hook_spec spec = {.name = "bench",
		.kind = HW_HOOK_LUA,
		.path = path,
		.config = HW_STR("{}"),
		.budget = HW_HOOK_BUDGET_DEFAULT};
	struct hw_hook_problem problem;
	struct hw_hook_entry *entry;

	hw_hook_bench_destroy(&b->tenant);
	if (b->chain)
		hw_hook_chain_unref(&b->chain);
	hw_hook_env_reap(b->env);
	if (hw_hook_entry_load(b->env, &spec, NULL, 0, &entry, &problem) != 0)
		must(false, problem.text);
	b->chain = hw_hook_chain_create(&entry, 1);
	must(b->chain != NULL, "out of memory");
	hw_hook_entry_unref(&entry);
	must(hw_hook_bench_create(b->env, b->chain, HW_STR("acme"), 0, &b->tenant) == 0,
		"no bench");
}

static void ask(
	struct bench *b, enum hw_hook_stage stage, enum hw_operation operation, const char *text)
{
	struct hw_who who = {.size = sizeof(who),
		.user_id = slice("u1"),
		.tenant_id = slice("acme"),
		.session = slice(b->session),
		.address = slice("192.0.2.1"),
		.claims = slice(claims)};
	struct hw_question question = {.size = sizeof(question),
		.operation = operation,
		.topic = slice("gift-list:family-123"),
		.resource = slice("gift-list"),
		.id = slice("family-123")};
	struct hw_ask q = {.stage = stage, .global = b->global, .tenant = b->tenant, .who = &who};

	if (stage == HW_STAGE_AUTHORIZE) {
		q.question = &question;
		if (text)
			question.event = slice(text);
	} else {
		q.event = hw_str_of(text);
	}
	must(hw_hooks_ask(&q) == HW_ALLOW, "a question was not allowed");
	free(q.new_event);
}

static void subscribe(struct bench *b, long i)
{
	(void)i;
	ask(b, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, NULL);
}

static void subscribe_new_session(struct bench *b, long i)
{
	snprintf(b->session, sizeof(b->session), "session-%ld", i);
	ask(b, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, NULL);
}

static void publish(struct bench *b, long i)
{
	(void)i;
	ask(b, HW_STAGE_AUTHORIZE, HW_OP_PUBLISH, b->plain);
}

static void transform(struct bench *b, long i)
{
	(void)i;
	ask(b, HW_STAGE_TRANSFORM, HW_OP_PUBLISH, b->plain);
}

static void transform_secret(struct bench *b, long i)
{
	(void)i;
	ask(b, HW_STAGE_TRANSFORM, HW_OP_PUBLISH, b->secret);
}

static void fresh_state(struct bench *b, long i)
{
	(void)i;
	hw_hook_bench_destroy(&b->tenant);
	must(hw_hook_bench_create(b->env, b->chain, HW_STR("acme"), 0, &b->tenant) == 0,
		"no bench");
	ask(b, HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, NULL);
}

static void measure(struct bench *b, const char *what, void (*fn)(struct bench *, long))
{
	double begin, spent;
	long n = 0;

	for (; n < 200; n++)
		fn(b, n);
	begin = cpu_s();
	do {
		for (int i = 0; i < 200; i++, n++)
			fn(b, n);
		spent = cpu_s() - begin;
	} while (spent < b->seconds);
	printf("  %-44s %8.0f ns\n", what, spent * 1e9 / (double)(n - 200));
	snprintf(b->session, sizeof(b->session), "session-0");
}

static void measure_all(struct bench *b, const char *title, const char *path)
{
	printf("%s\n", title);
	load(b, path);
	measure(b, "authorize subscribe", subscribe);
	measure(b, "authorize subscribe, another session each", subscribe_new_session);
	measure(b, "authorize publish", publish);
	measure(b, "transform, nothing to do", transform);
	measure(b, "transform, a field to take out", transform_secret);
	measure(b, "a fresh state with its first answer", fresh_state);
}

/* The deciding thread's share: what the writer does is on no worker. */
static void measure_log(struct bench *b, const char *path)
{
	static const double samples[] = {0, 0.01, 1};
	static const char *const redact[] = {"claims.email"};
	struct hw_decisions *decisions = hw_decisions_create(b->env);
	char file[] = "/tmp/hw-bench-decisions-XXXXXX", title[64];
	int fd = mkstemp(file);

	must(decisions && fd >= 0, "no decision log");
	puts("the decision log, one-line policy");
	load(b, path);
	measure(b, "authorize subscribe, not configured", subscribe);
	for (size_t i = 0; i < HW_COUNT(samples); i++) {
		struct hw_decisions_settings settings = {.path = file,
			.sample = samples[i],
			.stages = 1u << HW_STAGE_AUTHORIZE,
			.redact = redact,
			.n_redact = HW_COUNT(redact),
			.line_bytes = 65536,
			.buffer_bytes = 1u << 30};

		must(hw_decisions_configure(decisions, &settings) == 0, "no decision log");
		snprintf(title, sizeof(title), "authorize subscribe, %g %% of them",
			samples[i] * 100);
		measure(b, title, subscribe);
	}
	must(hw_decisions_destroy(&decisions), "the disk is slow");
	close(fd);
	unlink(file);
}

int main(int argc, char **argv)
{
	struct bench b = {.seconds = argc > 1 ? atof(argv[1]) / 1000 : 0.3, .session = "session-0"};
	struct hw_log *log = hw_log_create(STDERR_FILENO, HW_LOG_WARN, HW_LOG_TEXT);
	struct hw_metrics *metrics = hw_metrics_create();
	struct hw_watchdog *watchdog;
	char path[] = "/tmp/hw-bench-XXXXXX.lua";
	int fd = mkstemps(path, 4);

	must(log && metrics && fd >= 0, "cannot begin");
	must(write(fd, one_line, sizeof(one_line) - 1) == (ssize_t)sizeof(one_line) - 1,
		"cannot write the policy");
	close(fd);
	snprintf(b.plain, sizeof(b.plain), event, "");
	snprintf(b.secret, sizeof(b.secret), event, ",\"secret\":\"a surprise\"");
	must(hw_watchdog_create(&watchdog) == 0 && hw_watchdog_enter_thread(watchdog) == 0,
		"no watchdog");
	b.env = hw_hook_env_create(log, metrics, &hw_clock_system, watchdog, NULL, NULL, NULL);
	b.none = hw_hook_chain_create(NULL, 0);
	must(b.env && b.none && hw_hook_bench_create(b.env, b.none, HW_STR(""), 0, &b.global) == 0,
		"no environment");
	measure_all(&b, "one line", path);
	measure_all(&b, "family.lua", HW_BENCH_SOURCE_DIR "/scripts/policies/family.lua");
	measure_log(&b, path);
	unlink(path);
	hw_hook_bench_destroy(&b.tenant);
	hw_hook_bench_destroy(&b.global);
	hw_hook_chain_unref(&b.chain);
	hw_hook_chain_unref(&b.none);
	hw_hook_env_destroy(&b.env);
	hw_watchdog_leave_thread(watchdog);
	hw_watchdog_destroy(&watchdog);
	hw_metrics_destroy(&metrics);
	hw_log_destroy(&log);
	return 0;
}
