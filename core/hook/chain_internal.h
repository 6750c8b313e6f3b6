/* Inside core/hook: what the walk, the bench and the entries' list share.
 * The chain's memory is entry.c's, a bench's is bench.c's, the walks are chain.c's. */
#pragma once

#include "base/metrics.h"
#include "hook/entry_internal.h"

#define HW_N_STAGES (HW_STAGE_EVERY + 1)

size_t hw_hook_chain_count(const struct hw_hook_chain *chain);
struct hw_hook_entry *hw_hook_chain_entry(const struct hw_hook_chain *chain, size_t i);

enum hw_kill { HW_KILL_CPU, HW_KILL_MEMORY, HW_N_KILLS };

/* Per bench × entry: looked up once, bumped at every call. */
struct hw_bench_stats {
	struct hw_metric
		*calls[HW_N_STAGES]; /* NULL for a stage that the entry does not register */
	struct hw_metric *errors[HW_N_STAGES];
	struct hw_breaker breaker;
	struct hw_metric *refused, *opened, *open; /* NULL: no breaker */
	struct hw_metric *pending;
	/* series.c's; NULL of a bench that is only tried */
	struct hw_hook_series *series;
	struct hw_hook_all_series *all;
	struct hw_hook_stage_series *stages[HW_N_STAGES];
	struct hw_metric *kills[HW_N_KILLS]; /* NULL: it is no script */
	struct hw_metric *dropped;           /* NULL: it is no shadow */
	int64_t shadow_log_after_ms;
	uint64_t n_shadow_unlogged;
	int64_t log_after_ms; /* monotonic: a hook that fails at every call does not fill the log */
	uint64_t n_unlogged;
};

/** @about: of AUTHORIZE the operation, of LIFECYCLE the kind; else nothing. */
bool hw_entry_asked(const struct hw_hook_entry *entry, enum hw_hook_stage stage, int about);
const char *hw_stage_name(enum hw_hook_stage stage);
/** Asks the entry, if its breaker lets it. HW_PENDING is followed by one of the next two. */
enum hw_verdict hw_bench_call(
	struct hw_hook_bench *bench, size_t i, struct hw_ask *ask, struct hw_entry_answer *answer);
/** Asks filter or redact: never waits, and an answer that is no event of @topic is an error. */
void hw_view_call(struct hw_hook_bench *bench, size_t i, struct hw_ask *ask, struct hw_str topic,
	struct hw_entry_answer *answer);
/** The space of the values that the entry shares with others: hook/dict.h. */
const char *hw_bench_space(const struct hw_hook_bench *bench, const struct hw_hook_entry *entry);
/** The same without a question, for a hook that calls itself: whether it may, what it said at once,
 * or that it goes on, until hw_bench_answered. */
bool hw_bench_admit(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage);
void hw_bench_note(struct hw_hook_bench *bench, size_t i, const struct hw_entry_answer *answer);
void hw_bench_goes_on(struct hw_hook_bench *bench, size_t i);
/** A call that was pending has its answer. */
void hw_bench_answered(struct hw_hook_bench *bench, size_t i, const struct hw_entry_answer *answer);
/** A call that @began (hw_hook_now_ns) has ended, whether it waited or not: counts its verdict and
 * the time. */
void hw_bench_timed(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage,
	enum hw_verdict verdict, int64_t began_ns);
/** The entry's script was ended for what it used up. */
void hw_bench_killed(struct hw_hook_bench *bench, size_t i, enum hw_kill why);
/** Nothing came of a call that was admitted: it was not made. */
void hw_bench_unasked(struct hw_hook_bench *bench, size_t i);
/** A call that was pending will have none. */
void hw_bench_forgotten(struct hw_hook_bench *bench, size_t i);
/** Counts a failed call and writes at most one log line a second. */
void hw_bench_note_error(struct hw_hook_bench *bench, size_t i, enum hw_hook_stage stage,
	struct hw_str tenant, const struct hw_entry_answer *answer);
/** Every ask that waits in one of the bench's entries, or for an answer that may need them, ends as
 * HW_ERROR. */
void hw_walks_end(struct hw_hook_bench *bench);
