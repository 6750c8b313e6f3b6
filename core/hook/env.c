#include "hook/env.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/map.h"
#include "hook/crew.h"
#include "hook/dict.h"
#include "hook/entry_internal.h"
#include "hook/plugin_library.h"
#include "hook/series.h"

/* Tenants come and go and may be many; a label stays for ever. The first ones get their own, the
 * rest share one. */
#define TENANT_LABELS_MAX 100
#define TENANT_OTHER "other"

struct hw_hook_labels {
	pthread_mutex_t lock;
	struct hw_map tenants; /* the values are the keys' memory */
	struct hw_hash_key key;
};

static struct hw_hook_labels *labels_create(void)
{
	struct hw_hook_labels *labels = calloc(1, sizeof(*labels));

	if (!labels)
		return NULL;
	if (pthread_mutex_init(&labels->lock, NULL) != 0) {
		free(labels);
		return NULL;
	}
	labels->key = hw_hash_key_random();
	hw_map_init(&labels->tenants, &labels->key);
	return labels;
}

static void labels_destroy(struct hw_hook_labels **labels)
{
	struct hw_hook_labels *l = *labels;

	if (!l)
		return;
	for (hw_map_each (&l->tenants, i))
		free(l->tenants.slots[i].value);
	hw_map_fini(&l->tenants);
	pthread_mutex_destroy(&l->lock);
	free(l);
	*labels = NULL;
}

const char *hw_hook_env_tenant_label(struct hw_hook_env *env, const char *tenant)
{
	struct hw_hook_labels *labels = env->labels;
	char *mine;

	if (!tenant[0])
		return "";
	pthread_mutex_lock(&labels->lock);
	mine = hw_map_get(&labels->tenants, hw_str_of(tenant));
	if (!mine && hw_map_count(&labels->tenants) < TENANT_LABELS_MAX) {
		mine = hw_str_dup(hw_str_of(tenant));
		if (mine && hw_map_put(&labels->tenants, hw_str_of(mine), mine, NULL) < 0) {
			free(mine);
			mine = NULL;
		}
	}
	pthread_mutex_unlock(&labels->lock);
	return mine ? mine : TENANT_OTHER;
}

struct hw_hook_env *hw_hook_env_create(struct hw_log *log, struct hw_metrics *metrics,
	const struct hw_clock *clock, struct hw_watchdog *watchdog, const char *script_lib,
	const char *plugin_cache, const char *self_exe)
{
	struct hw_hook_env *env = calloc(1, sizeof(*env));

	if (!env)
		return NULL;
	env->log = log;
	env->metrics = metrics;
	env->clock = clock;
	env->watchdog = watchdog;
	env->script_lib = script_lib;
	env->plugin_cache = plugin_cache;
	env->self_exe = self_exe;
	atomic_init(&env->dead, NULL);
	pthread_mutex_init(&env->doing_lock, NULL);
	env->labels = labels_create();
	env->series = hw_hook_all_series_create();
	env->crew = hw_crew_create();
	env->dict = hw_dict_create();
	if (!env->labels || !env->series || !env->crew || !env->dict)
		hw_hook_env_destroy(&env);
	return env;
}

int hw_hook_env_forget_values(struct hw_hook_env *env)
{
	struct hw_dict *dict = hw_dict_create();

	if (!dict)
		return -ENOMEM;
	hw_dict_destroy(&env->dict);
	env->dict = dict;
	return 0;
}

void hw_hook_env_end_work(struct hw_hook_env *env)
{
	/* what its threads still do holds entries */
	hw_hook_env_do(env, "the end of work that plugins have offloaded", NULL);
	hw_crew_destroy(&env->crew);
	hw_hook_env_do(env, NULL, NULL);
	hw_hook_env_reap(env);
}

void hw_hook_env_destroy(struct hw_hook_env **env)
{
	if (!*env)
		return;
	hw_hook_env_end_work(*env);
	hw_plugin_libraries_forget(*env);
	hw_inboxes_free(*env);
	hw_dict_destroy(&(*env)->dict);
	hw_hook_all_series_destroy(&(*env)->series);
	labels_destroy(&(*env)->labels);
	pthread_mutex_destroy(&(*env)->doing_lock);
	free(*env);
	*env = NULL;
}

/* Any worker may drop the last reference of an entry, but only the control thread may unload it. */
void hw_hook_env_bury(struct hw_hook_env *env, struct hw_hook_entry *entry)
{
	struct hw_hook_entry *top = atomic_load_explicit(&env->dead, memory_order_relaxed);

	do {
		entry->dead_next = top;
	} while (!atomic_compare_exchange_weak_explicit(
		&env->dead, &top, entry, memory_order_release, memory_order_relaxed));
}

void hw_hook_env_reap(struct hw_hook_env *env)
{
	struct hw_hook_entry *entry =
		atomic_exchange_explicit(&env->dead, NULL, memory_order_acquire);

	while (entry) {
		struct hw_hook_entry *next = entry->dead_next;

		entry->ops->free(entry);
		entry = next;
	}
}

void hw_hook_env_do(struct hw_hook_env *env, const char *what, const char *hook)
{
	pthread_mutex_lock(&env->doing_lock);
	env->doing_number++;
	snprintf(env->doing, sizeof(env->doing), "%s%s%s", what ? what : "",
		hook ? " of hook " : "", hook ? hook : "");
	pthread_mutex_unlock(&env->doing_lock);
}

uint64_t hw_hook_env_doing(struct hw_hook_env *env, char *out, size_t size)
{
	uint64_t number;

	pthread_mutex_lock(&env->doing_lock);
	number = env->doing_number;
	snprintf(out, size, "%s", env->doing);
	pthread_mutex_unlock(&env->doing_lock);
	return number;
}

void hw_hook_env_tick(struct hw_hook_env *env)
{
	hw_hook_env_reap(env);
	hw_dict_trim(env->dict, hw_clock_mono_ms(env->clock));
}
