/* For tests of real plugins: an environment with a cache folder of its own, entries loaded into it,
 * and one question at a time put to one of them. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook/entry_internal.h"

struct loaded {
	char folder[32], cache[48];
	int64_t now_ms;
	struct hw_clock clock;
	struct hw_metrics *metrics;
	struct hw_hook_env *env;
	struct hw_hook_problem problem;
};

static inline int64_t loaded_now(void *arg)
{
	return *(int64_t *)arg;
}

static inline void loaded_init(struct loaded *l, const char *self_exe)
{
	memset(l, 0, sizeof(*l));
	l->now_ms = INT64_C(1700000000000);
	l->clock = (struct hw_clock){loaded_now, loaded_now, &l->now_ms};
	strcpy(l->folder, "/tmp/hw-plugin-XXXXXX");
	if (!mkdtemp(l->folder))
		abort();
	snprintf(l->cache, sizeof(l->cache), "%s/cache", l->folder);
	if (mkdir(l->cache, 0700) < 0)
		abort();
	l->metrics = hw_metrics_create();
	l->env = hw_hook_env_create(NULL, l->metrics, &l->clock, NULL, NULL, l->cache, self_exe);
}

/* The names in the folder that are no dots; the last one to @name (at least 256 bytes) when it is
 * not NULL. */
static inline int loaded_count(const char *folder, char *name)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	int n = 0;

	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (name)
			snprintf(name, 256, "%s", e->d_name);
	}
	closedir(dir);
	return n;
}

static inline void loaded_fini(struct loaded *l)
{
	char command[64];

	hw_hook_env_destroy(&l->env);
	hw_metrics_destroy(&l->metrics);
	snprintf(command, sizeof(command), "rm -rf %s", l->folder);
	if (system(command) != 0)
		abort();
}

static inline int loaded_load(struct loaded *l, const char *path, const char *config, bool global,
	struct hw_hook_entry **out)
{
	struct hw_hook_spec spec = {
		.name = "it",
		.kind = HW_HOOK_PLUGIN,
		.path = path,
		.config = hw_str_of(config),
		.budget = HW_HOOK_BUDGET_DEFAULT,
		.global = global,
	};

	return hw_hook_entry_load(l->env, &spec, NULL, 0, out, &l->problem);
}

/* A bench of this entry alone; takes the reference. */
static inline struct hw_hook_bench *loaded_bench(struct loaded *l, struct hw_hook_entry *entry)
{
	struct hw_hook_chain *chain = hw_hook_chain_create(&entry, 1);
	struct hw_hook_bench *bench = NULL;
	int rc = hw_hook_bench_create(
		l->env, chain, entry->global ? HW_STR("") : HW_STR("acme"), 3, &bench);

	hw_hook_chain_unref(&chain);
	hw_hook_entry_unref(&entry);
	return rc == 0 ? bench : NULL;
}

static inline int64_t loaded_metric(struct loaded *l, const char *name, const char *plugin)
{
	char labels[64];

	snprintf(labels, sizeof(labels), "plugin=\"%s\"", plugin);
	return atomic_load(&hw_metrics_get(l->metrics, HW_METRIC_COUNTER, name, "", labels)->value);
}
