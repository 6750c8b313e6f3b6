#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "hook/chain_internal.h"
#include "hook/env.h"
#include "hook/series.h"
#include "hook/shadow.h"

#define LOG_EVERY_MS 1000

const char *hw_stage_name(enum hw_hook_stage stage)
{
	static const char *const names[HW_N_STAGES] = {
		"authenticate", "authorize", "transform", "filter", "redact", "lifecycle", "every"};

	return names[stage];
}

bool hw_entry_asked(const struct hw_hook_entry *entry, enum hw_hook_stage stage, int about)
{
	if (stage == HW_STAGE_AUTHORIZE)
		return entry->registers & HW_REGISTERS_OPERATION(about);
	if (stage == HW_STAGE_LIFECYCLE)
		return entry->registers & HW_REGISTERS_KIND(about);
	return entry->registers & HW_REGISTERS_STAGE(stage);
}

static bool registers_stage(const struct hw_hook_entry *entry, enum hw_hook_stage stage)
{
	uint32_t bits = HW_REGISTERS_STAGE(stage);

	if (stage == HW_STAGE_AUTHORIZE)
		bits = HW_REGISTERS_OPERATION(HW_OP_SESSION + 1) - HW_REGISTERS_OPERATION(0);
	return entry->registers & bits;
}

/* Has it a breaker at all? */
static bool breaks(const struct hw_hook_entry *entry)
{
	return entry->breaker.failures > 0 || entry->breaker.share_percent > 0;
}

/* What is only tried is counted nowhere, which is what a metric without a name does. */
static struct hw_metric *metric(const struct hw_hook_bench *bench, enum hw_metric_kind kind,
	const char *name, const char *help, const struct hw_buf *labels)
{
	return hw_metrics_get(bench->env->metrics, kind, bench->trial ? "" : name, help,
		labels->failed ? "" : labels->data);
}

static void find_metrics(struct hw_hook_bench *bench, const struct hw_hook_entry *entry,
	struct hw_bench_stats *stats)
{
	const char *tenant = hw_hook_env_tenant_label(bench->env, bench->tenant);
	struct hw_buf labels;

	hw_buf_init(&labels);
	hw_metrics_label(&labels, "hook", hw_str_of(entry->name));
	hw_metrics_label(&labels, "tenant", hw_str_of(tenant));
	hw_buf_putc(&labels, '\0');
	stats->pending = metric(bench, HW_METRIC_GAUGE, "hookwire_hook_pending",
		"Calls of hooks that wait now.", &labels);
	if (breaks(entry)) {
		stats->open = metric(bench, HW_METRIC_GAUGE, "hookwire_hook_breaker_open",
			"Workers on which the hook's circuit breaker is open or half open.",
			&labels);
		stats->opened =
			metric(bench, HW_METRIC_COUNTER, "hookwire_hook_breaker_opened_total",
				"Times a hook's circuit breaker opened.", &labels);
		stats->refused =
			metric(bench, HW_METRIC_COUNTER, "hookwire_hook_breaker_refused_total",
				"Calls of hooks that an open circuit breaker answered.", &labels);
	}
	for (int stage = 0; stage < HW_N_STAGES; stage++) {
		if (!registers_stage(entry, (enum hw_hook_stage)stage))
			continue;
		hw_buf_clear(&labels);
		hw_metrics_label(&labels, "hook", hw_str_of(entry->name));
		hw_metrics_label(&labels, "tenant", hw_str_of(tenant));
		hw_metrics_label(
			&labels, "stage", hw_str_of(hw_stage_name((enum hw_hook_stage)stage)));
		hw_buf_putc(&labels, '\0');
		stats->calls[stage] = metric(bench, HW_METRIC_COUNTER, "hookwire_hook_calls_total",
			"Calls of hooks.", &labels);
		stats->errors[stage] =
			metric(bench, HW_METRIC_COUNTER, "hookwire_hook_errors_total",
				"Calls of hooks that could not decide.", &labels);
	}
	hw_buf_fini(&labels);
}

static void detach(struct hw_hook_bench *bench, size_t n_attached)
{
	for (size_t i = n_attached; i-- > 0;) {
		struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);

		entry->ops->detach(entry, bench->states[i]);
		hw_hook_series_leave(&bench->stats[i]);
	}
}

static int attach(struct hw_hook_bench *bench)
{
	for (size_t i = 0; i < bench->n_entries; i++) {
		struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);
		int rc = entry->ops->attach(entry, bench, &bench->states[i]);

		if (rc < 0) {
			hw_log(bench->env->log, HW_LOG_ERROR, "hook",
				"a hook does not start on a worker", HW_F_Z("hook", entry->name),
				HW_F_Z("tenant", bench->tenant), HW_F_UINT("worker", bench->worker),
				HW_F_Z("error",
					rc == -EIO ? "its worker_init refuses" : strerror(-rc)));
			detach(bench, i);
			return rc;
		}
		find_metrics(bench, entry, &bench->stats[i]);
		hw_hook_series_enter(bench, entry, &bench->stats[i]);
	}
	return 0;
}

static void free_bench(struct hw_hook_bench *bench)
{
	hw_hook_chain_unref(&bench->chain);
	free(bench->tenant);
	free(bench->shadow_space);
	free(bench->states);
	free(bench->stats);
	free(bench);
}

static int create(struct hw_hook_env *env, struct hw_hook_chain *chain, struct hw_str tenant,
	unsigned worker, bool trial, struct hw_hook_bench **out)
{
	struct hw_hook_bench *bench = calloc(1, sizeof(*bench));
	size_t n = hw_hook_chain_count(chain);
	int rc;

	if (!bench)
		return -ENOMEM;
	bench->n_refs = 1;
	bench->trial = trial;
	bench->env = env;
	bench->chain = hw_hook_chain_ref(chain);
	bench->tenant = hw_str_dup(tenant);
	bench->worker = worker;
	bench->n_entries = n;
	bench->states = calloc(n + 1, sizeof(bench->states[0]));
	bench->stats = calloc(n + 1, sizeof(bench->stats[0]));
	hw_list_init(&bench->pending);
	hw_list_init(&bench->shadows);
	/* no tenant can have this name */
	if (asprintf(&bench->shadow_space, "%.*s!shadow", HW_STR_ARG(tenant)) < 0)
		bench->shadow_space = NULL;
	rc = bench->tenant && bench->shadow_space && bench->states && bench->stats ? attach(bench)
										   : -ENOMEM;
	if (rc < 0) {
		free_bench(bench);
		return rc;
	}
	*out = bench;
	return 0;
}

int hw_hook_bench_create(struct hw_hook_env *env, struct hw_hook_chain *chain, struct hw_str tenant,
	unsigned worker, struct hw_hook_bench **out)
{
	return create(env, chain, tenant, worker, false, out);
}

int hw_hook_bench_create_trial(struct hw_hook_env *env, struct hw_hook_chain *chain,
	struct hw_str tenant, unsigned worker, struct hw_hook_bench **out)
{
	return create(env, chain, tenant, worker, true, out);
}

void hw_hook_bench_destroy(struct hw_hook_bench **bench)
{
	struct hw_hook_bench *b = *bench;

	if (!b)
		return;
	b->closing = true;
	hw_walks_end(b);
	hw_shadows_end(b);
	detach(b, b->n_entries);
	for (size_t i = 0; i < b->n_entries; i++)
		if (b->stats[i].breaker.state != HW_BREAKER_CLOSED)
			hw_metric_add(b->stats[i].open, -1);
	hw_hook_bench_unref(bench);
}

struct hw_hook_bench *hw_hook_bench_ref(struct hw_hook_bench *bench)
{
	bench->n_refs++;
	return bench;
}

void hw_hook_bench_unref(struct hw_hook_bench **bench)
{
	struct hw_hook_bench *b = *bench;

	*bench = NULL;
	if (b && --b->n_refs == 0)
		free_bench(b);
}

void hw_hook_bench_retire(struct hw_hook_bench *bench)
{
	bench->retired = true;
}

bool hw_hook_bench_idle(const struct hw_hook_bench *bench)
{
	return bench->n_refs == 1 && hw_list_empty(&bench->pending);
}

void hw_hook_bench_inherit(struct hw_hook_bench *to, struct hw_hook_bench *from)
{
	for (size_t i = 0; i < to->n_entries; i++) {
		struct hw_hook_entry *entry = hw_hook_chain_entry(to->chain, i);

		for (size_t j = 0; entry->ops->inherit && j < from->n_entries; j++) {
			struct hw_hook_entry *before = hw_hook_chain_entry(from->chain, j);

			/* nothing of what a shadow made up comes into a decision */
			if (before->ops == entry->ops && before->shadow == entry->shadow &&
				strcmp(before->name, entry->name) == 0)
				entry->ops->inherit(entry, to->states[i], from->states[j]);
		}
	}
}

struct hw_hook_chain *hw_hook_bench_chain(struct hw_hook_bench *bench)
{
	return bench->chain;
}

bool hw_hook_bench_has(const struct hw_hook_bench *bench, enum hw_hook_stage stage)
{
	for (size_t i = 0; i < bench->n_entries; i++) {
		if (registers_stage(hw_hook_chain_entry(bench->chain, i), stage))
			return true;
	}
	return false;
}

bool hw_hook_bench_has_operation(const struct hw_hook_bench *bench, enum hw_operation operation)
{
	for (size_t i = 0; i < bench->n_entries; i++) {
		const struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);

		if (!entry->shadow && hw_entry_asked(entry, HW_STAGE_AUTHORIZE, operation))
			return true;
	}
	return false;
}

bool hw_hook_bench_has_kind(const struct hw_hook_bench *bench, enum hw_lifecycle_kind kind)
{
	for (size_t i = 0; i < bench->n_entries; i++) {
		if (hw_entry_asked(hw_hook_chain_entry(bench->chain, i), HW_STAGE_LIFECYCLE, kind))
			return true;
	}
	return false;
}

const char *hw_bench_space(const struct hw_hook_bench *bench, const struct hw_hook_entry *entry)
{
	return entry->shadow ? bench->shadow_space : bench->tenant;
}

/* ---- calls and the breaker ---- */

bool hw_bench_admit(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage)
{
	struct hw_bench_stats *stats = &bench->stats[i];

	hw_metric_add(stats->calls[stage], 1);
	/* closed is the rule, and costs no look at the clock */
	if (stats->breaker.state == HW_BREAKER_CLOSED ||
		hw_breaker_admit(&stats->breaker, hw_clock_mono_ms(bench->env->clock)))
		return true;
	hw_metric_add(stats->refused, 1);
	return false;
}

void hw_bench_goes_on(struct hw_hook_bench *bench, size_t i)
{
	hw_metric_add(bench->stats[i].pending, 1);
}

void hw_bench_note(struct hw_hook_bench *bench, size_t i, const struct hw_entry_answer *answer)
{
	const struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);
	struct hw_bench_stats *stats = &bench->stats[i];
	bool was_closed = stats->breaker.state == HW_BREAKER_CLOSED;
	bool failed = answer->verdict != HW_ALLOW && answer->verdict != HW_DENY &&
		      answer->verdict != HW_DEFER;
	int64_t now_ms;

	if (!breaks(entry))
		return;
	if (failed && answer->uncounted) {
		hw_breaker_forget(&stats->breaker);
		return;
	}
	now_ms = failed || !was_closed ? hw_clock_mono_ms(bench->env->clock) : 0;
	if (hw_breaker_note(&stats->breaker, &entry->breaker, failed, now_ms)) {
		hw_metric_add(stats->opened, 1);
		if (was_closed)
			hw_log(bench->env->log, HW_LOG_WARN, "hook",
				"a hook fails too often and is left alone for a while",
				HW_F_Z("hook", entry->name), HW_F_Z("tenant", bench->tenant),
				HW_F_UINT("worker", bench->worker));
	}
	if (was_closed != (stats->breaker.state == HW_BREAKER_CLOSED))
		hw_metric_add(stats->open, was_closed ? 1 : -1);
	if (!was_closed && stats->breaker.state == HW_BREAKER_CLOSED)
		hw_log(bench->env->log, HW_LOG_INFO, "hook", "a hook is asked again",
			HW_F_Z("hook", entry->name), HW_F_Z("tenant", bench->tenant),
			HW_F_UINT("worker", bench->worker));
}

enum hw_verdict hw_bench_call(
	struct hw_hook_bench *bench, size_t i, struct hw_ask *ask, struct hw_entry_answer *answer)
{
	struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);

	if (!hw_bench_admit(bench, i, ask->stage)) {
		snprintf(answer->detail, sizeof(answer->detail),
			"not asked: its last calls failed, and its breaker is open");
		return answer->verdict = HW_ERROR;
	}
	ask->began_ns = hw_hook_now_ns();
	answer->verdict = entry->ops->call(entry, bench->states[i], ask, answer);
	if (answer->verdict == HW_PENDING || answer->goes_on) {
		hw_bench_goes_on(bench, i);
	} else {
		hw_bench_timed(bench, i, ask->stage, answer->verdict, ask->began_ns);
		hw_bench_note(bench, i, answer);
	}
	return answer->verdict;
}

void hw_bench_timed(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage,
	enum hw_verdict verdict, int64_t began_ns)
{
	const struct hw_hook_stage_series *series = bench->stats[i].stages[stage];
	bool known = verdict == HW_DEFER || verdict == HW_ALLOW || verdict == HW_DENY;

	if (!series)
		return;
	hw_metric_add(series->verdicts[known ? verdict : 3], 1);
	hw_histogram_note(series->duration, hw_hook_now_ns() - began_ns);
}

void hw_bench_killed(struct hw_hook_bench *bench, size_t i, enum hw_kill why)
{
	if (bench->stats[i].kills[why])
		hw_metric_add(bench->stats[i].kills[why], 1);
}

void hw_bench_answered(struct hw_hook_bench *bench, size_t i, const struct hw_entry_answer *answer)
{
	hw_metric_add(bench->stats[i].pending, -1);
	hw_bench_note(bench, i, answer);
}

void hw_bench_unasked(struct hw_hook_bench *bench, size_t i)
{
	hw_breaker_forget(&bench->stats[i].breaker);
}

void hw_bench_forgotten(struct hw_hook_bench *bench, size_t i)
{
	hw_metric_add(bench->stats[i].pending, -1);
	hw_breaker_forget(&bench->stats[i].breaker);
}

void hw_bench_note_error(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage,
	struct hw_str tenant, const struct hw_entry_answer *answer)
{
	const char *why = answer->detail[0]    ? answer->detail
			  : answer->message[0] ? answer->message
					       : "it gave no reason";
	const struct hw_hook_entry *entry = hw_hook_chain_entry(bench->chain, i);
	struct hw_bench_stats *stats = &bench->stats[i];
	int64_t now_ms = hw_clock_mono_ms(bench->env->clock);

	hw_metric_add(stats->errors[stage], 1);
	if (bench->trial)
		return;
	if (now_ms < stats->log_after_ms) {
		stats->n_unlogged++;
		return;
	}
	hw_log(bench->env->log, HW_LOG_WARN, "hook",
		entry->shadow ? "a shadow failed, which decides nothing" : "hook failed",
		HW_F_Z("hook", entry->name), HW_F_STR("tenant", tenant),
		HW_F_Z("stage", hw_stage_name(stage)), HW_F_Z("why", why),
		HW_F_SOME("unlogged", stats->n_unlogged));
	stats->log_after_ms = now_ms + LOG_EVERY_MS;
	stats->n_unlogged = 0;
}
