#include "hook/series.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/map.h"
#include "hook/env.h"

struct hw_hook_series {
	char *hook;
	const char *tenant; /* the label: it lives as the environment */
	/* under the lock: */
	struct hw_hook_stage_series stages[HW_N_STAGES]; /* calls NULL: no entry registered it */
	struct hw_metric *pending;
	struct hw_metric *open, *opened, *refused; /* NULL: no entry had a breaker */
	struct hw_metric *kills[HW_N_KILLS];       /* NULL: no script */
	struct hw_metric *generation;
	bool breaks;               /* the last entry has a breaker */
	bool shadow;               /* the last entry is one */
	struct hw_metric *dropped; /* NULL: no entry was a shadow */
	unsigned n_benches;
};

struct hw_hook_all_series {
	pthread_mutex_t lock;
	struct hw_map by_name; /* hook, zero, tenant -> struct hw_hook_series */
	struct hw_hash_key key;
};

struct hw_hook_all_series *hw_hook_all_series_create(void)
{
	struct hw_hook_all_series *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	if (pthread_mutex_init(&all->lock, NULL) != 0) {
		free(all);
		return NULL;
	}
	all->key = hw_hash_key_random();
	hw_map_init(&all->by_name, &all->key);
	return all;
}

void hw_hook_all_series_destroy(struct hw_hook_all_series **all)
{
	struct hw_hook_all_series *a = *all;

	*all = NULL;
	if (!a)
		return;
	for (hw_map_each (&a->by_name, i)) {
		struct hw_hook_series *series = a->by_name.slots[i].value;

		free(series->hook); /* the key's memory, too */
		free(series);
	}
	hw_map_fini(&a->by_name);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Under the lock. NULL: out of memory. */
static struct hw_hook_series *find(
	struct hw_hook_all_series *all, const char *hook, const char *tenant)
{
	size_t hook_len = strlen(hook), len = hook_len + 1 + strlen(tenant);
	struct hw_hook_series *series = NULL;
	char *key = malloc(len + 1);

	if (!key)
		return NULL;
	memcpy(key, hook, hook_len + 1);
	memcpy(key + hook_len + 1, tenant, len - hook_len);
	series = hw_map_get(&all->by_name, (struct hw_str){key, len});
	if (!series) {
		series = calloc(1, sizeof(*series));
		if (series && hw_map_put(&all->by_name, (struct hw_str){key, len}, series, NULL)) {
			free(series);
			series = NULL;
		}
		if (series) {
			series->hook = key; /* up to the zero */
			series->tenant = tenant;
			return series;
		}
	}
	free(key);
	return series;
}

/* ---- metrics ---- */

static void label(struct hw_buf *out, const struct hw_hook_series *series, const char *name,
	const char *value)
{
	hw_buf_clear(out);
	hw_metrics_label(out, "hook", hw_str_of(series->hook));
	hw_metrics_label(out, "tenant", hw_str_of(series->tenant));
	if (name)
		hw_metrics_label(out, name, hw_str_of(value));
}

static const char *text_of(struct hw_buf *labels)
{
	hw_buf_putc(labels, '\0');
	return labels->failed ? "" : labels->data;
}

static const char *const verdict_names[] = {"defer", "allow", "deny", "error"};

static void find_stage(struct hw_metrics *metrics, const struct hw_hook_series *series,
	enum hw_hook_stage stage, struct hw_hook_stage_series *out)
{
	struct hw_buf labels;

	hw_buf_init(&labels);
	label(&labels, series, "stage", hw_stage_name(stage));
	out->duration = hw_metrics_histogram(metrics, "hookwire_hook_duration_seconds",
		"How long calls of hooks took, waits included.", text_of(&labels));
	for (int i = 0; i < (int)HW_COUNT(verdict_names); i++) {
		label(&labels, series, "stage", hw_stage_name(stage));
		hw_metrics_label(&labels, "verdict", hw_str_of(verdict_names[i]));
		out->verdicts[i] =
			hw_metrics_get(metrics, HW_METRIC_COUNTER, "hookwire_hook_verdicts_total",
				"Calls of hooks by what they answered.", text_of(&labels));
	}
	hw_buf_fini(&labels);
}

/* Has it an answer there that can be compared with what was decided? */
static bool compares(int stage)
{
	return stage != HW_STAGE_LIFECYCLE && stage != HW_STAGE_EVERY;
}

static void find_shadow_stage(struct hw_metrics *metrics, const struct hw_hook_series *series,
	enum hw_hook_stage stage, struct hw_hook_stage_series *out)
{
	struct hw_buf labels;

	hw_buf_init(&labels);
	for (int i = 0; i < (int)HW_COUNT(out->agrees); i++) {
		label(&labels, series, "stage", hw_stage_name(stage));
		hw_metrics_label(&labels, "agrees", i ? HW_STR("yes") : HW_STR("no"));
		out->agrees[i] = hw_metrics_get(metrics, HW_METRIC_COUNTER,
			"hookwire_hook_shadow_total",
			"Answers of shadow hooks, by whether the decision would have been the same "
			"with them.",
			text_of(&labels));
	}
	hw_buf_fini(&labels);
}

static struct hw_metric *find_dropped(
	struct hw_metrics *metrics, const struct hw_hook_series *series)
{
	struct hw_metric *dropped;
	struct hw_buf labels;

	hw_buf_init(&labels);
	label(&labels, series, NULL, NULL);
	dropped = hw_metrics_get(metrics, HW_METRIC_COUNTER, "hookwire_hook_shadow_dropped_total",
		"Questions that shadow hooks were not asked, or did not answer before a reload.",
		text_of(&labels));
	hw_buf_fini(&labels);
	return dropped;
}

static void find_own(struct hw_metrics *metrics, struct hw_hook_series *series,
	const struct hw_hook_entry *entry)
{
	static const char *const reasons[HW_N_KILLS] = {"cpu", "memory"};
	struct hw_buf labels;

	hw_buf_init(&labels);
	label(&labels, series, NULL, NULL);
	series->generation = hw_metrics_get(metrics, HW_METRIC_GAUGE, "hookwire_hook_generation",
		"The generation that a hook was loaded for; 0: it is not in use.",
		text_of(&labels));
	for (int i = 0; i < HW_N_KILLS && entry->kind == HW_HOOK_LUA; i++) {
		label(&labels, series, "reason", reasons[i]);
		series->kills[i] =
			hw_metrics_get(metrics, HW_METRIC_COUNTER, "hookwire_lua_kills_total",
				"Calls of Lua hooks that were ended for what they used up.",
				text_of(&labels));
	}
	hw_buf_fini(&labels);
}

void hw_hook_series_enter(struct hw_hook_bench *bench, const struct hw_hook_entry *entry,
	struct hw_bench_stats *stats)
{
	struct hw_hook_all_series *all = bench->env->series;
	const char *tenant = hw_hook_env_tenant_label(bench->env, bench->tenant);
	struct hw_hook_series *series;

	if (bench->trial)
		return;
	pthread_mutex_lock(&all->lock);
	series = find(all, entry->name, tenant);
	if (series) {
		find_own(bench->env->metrics, series, entry);
		hw_metric_set(series->generation, entry->generation);
		series->n_benches++;
		series->pending = stats->pending;
		series->breaks = stats->open != NULL;
		series->shadow = entry->shadow;
		if (entry->shadow && !series->dropped)
			series->dropped = find_dropped(bench->env->metrics, series);
		stats->dropped = entry->shadow ? series->dropped : NULL;
		if (stats->open) {
			series->open = stats->open;
			series->opened = stats->opened;
			series->refused = stats->refused;
		}
		memcpy(stats->kills, series->kills, sizeof(stats->kills));
		stats->series = series;
		stats->all = all;
	}
	for (int i = 0; series && i < HW_N_STAGES; i++) {
		struct hw_hook_stage_series *stage = &series->stages[i];

		if (!stats->calls[i])
			continue;
		if (!stage->calls)
			find_stage(bench->env->metrics, series, (enum hw_hook_stage)i, stage);
		if (entry->shadow && compares(i) && !stage->agrees[0])
			find_shadow_stage(
				bench->env->metrics, series, (enum hw_hook_stage)i, stage);
		stage->calls = stats->calls[i];
		stage->errors = stats->errors[i];
		stats->stages[i] = stage;
	}
	pthread_mutex_unlock(&all->lock);
}

void hw_hook_series_leave(struct hw_bench_stats *stats)
{
	if (!stats->series)
		return;
	pthread_mutex_lock(&stats->all->lock);
	if (--stats->series->n_benches == 0)
		hw_metric_set(stats->series->generation, 0);
	pthread_mutex_unlock(&stats->all->lock);
	stats->series = NULL;
}

/* ---- as JSON ---- */

static long long value_of(struct hw_metric *metric)
{
	return metric ? (long long)atomic_load_explicit(&metric->value, memory_order_relaxed) : 0;
}

static void tell_ms(struct hw_buf *out, const struct hw_histogram *h, double share)
{
	double s = hw_histogram_quantile(h, share);

	if (s < 0)
		hw_buf_puts(out, "null");
	else
		hw_buf_printf(out, "%.4g", s * 1000);
}

static void tell_stage(struct hw_buf *out, bool shadow, enum hw_hook_stage which,
	const struct hw_hook_stage_series *stage)
{
	hw_buf_printf(out, "{\"stage\":\"%s\",\"calls\":%lld,\"errors\":%lld,\"verdicts\":{",
		hw_stage_name(which), value_of(stage->calls), value_of(stage->errors));
	for (size_t i = 0; i < HW_COUNT(verdict_names); i++)
		hw_buf_printf(out, "%s\"%s\":%lld", i ? "," : "", verdict_names[i],
			value_of(stage->verdicts[i]));
	hw_buf_puts(out, "},\"p50_ms\":");
	tell_ms(out, stage->duration, 0.5);
	hw_buf_puts(out, ",\"p99_ms\":");
	tell_ms(out, stage->duration, 0.99);
	if (shadow && compares((int)which))
		hw_buf_printf(out, ",\"shadow\":{\"agrees\":%lld,\"differs\":%lld}",
			value_of(stage->agrees[1]), value_of(stage->agrees[0]));
	hw_buf_putc(out, '}');
}

static void tell_series(struct hw_buf *out, const struct hw_hook_series *series)
{
	bool first = true;

	hw_buf_puts(out, "{\"hook\":");
	hw_buf_json(out, hw_str_of(series->hook));
	hw_buf_puts(out, ",\"tenant\":");
	hw_buf_json(out, hw_str_of(series->tenant));
	hw_buf_printf(out, ",\"generation\":%lld,\"benches\":%u,\"pending\":%lld,\"kills\":%lld",
		value_of(series->generation), series->n_benches, value_of(series->pending),
		value_of(series->kills[HW_KILL_CPU]) + value_of(series->kills[HW_KILL_MEMORY]));
	hw_buf_puts(out, ",\"breaker\":");
	if (series->breaks)
		hw_buf_printf(out,
			"{\"state\":\"%s\",\"open\":%lld,\"opened\":%lld,\"refused\":%lld}",
			value_of(series->open) > 0 ? "open" : "closed", value_of(series->open),
			value_of(series->opened), value_of(series->refused));
	else
		hw_buf_puts(out, "null");
	if (series->shadow)
		hw_buf_printf(out, ",\"shadow\":{\"dropped\":%lld}", value_of(series->dropped));
	else
		hw_buf_puts(out, ",\"shadow\":null");
	hw_buf_puts(out, ",\"stages\":[");
	for (int i = 0; i < HW_N_STAGES; i++) {
		if (!series->stages[i].calls)
			continue;
		if (!first)
			hw_buf_putc(out, ',');
		first = false;
		tell_stage(out, series->shadow, (enum hw_hook_stage)i, &series->stages[i]);
	}
	hw_buf_puts(out, "]}");
}

static int by_tenant_and_hook(const void *a, const void *b)
{
	const struct hw_hook_series *const *x = a, *const *y = b;
	int order = strcmp((*x)->tenant, (*y)->tenant);

	return order ? order : strcmp((*x)->hook, (*y)->hook);
}

void hw_hooks_tell(struct hw_hook_env *env, struct hw_buf *out)
{
	struct hw_hook_all_series *all = env->series;
	struct hw_hook_series **sorted;
	size_t n = 0;

	pthread_mutex_lock(&all->lock);
	sorted = calloc(hw_map_count(&all->by_name) + 1, sizeof(struct hw_hook_series *));
	for (hw_map_each (&all->by_name, i)) {
		struct hw_hook_series *series = all->by_name.slots[i].value;

		if (sorted && series->n_benches > 0)
			sorted[n++] = series;
	}
	if (sorted)
		qsort(sorted, n, sizeof(struct hw_hook_series *), by_tenant_and_hook);
	else
		out->failed = true;
	hw_buf_putc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			hw_buf_putc(out, ',');
		tell_series(out, sorted[i]);
	}
	hw_buf_putc(out, ']');
	pthread_mutex_unlock(&all->lock);
	free(sorted);
}
