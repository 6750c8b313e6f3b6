#include "app/generation_make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A generation with what its strings live in. */
struct made {
	struct hw_generation g;
	char *echo, *token, *cookie;
	char **origins;
};

static void made_free(struct hw_generation *g)
{
	struct made *m = HW_CONTAINER_OF(g, struct made, g);

	for (size_t i = 0; i < g->n_rules; i++) {
		free((char *)(uintptr_t)g->rules[i].id);
		if (g->rules[i].chain)
			hw_hook_chain_unref(&g->rules[i].chain);
	}
	free(g->rules);
	if (g->global)
		hw_hook_chain_unref(&g->global);
	for (size_t i = 0; i < g->settings.n_origins; i++)
		free(m->origins[i]);
	free(m->origins);
	free(m->echo);
	free(m->token);
	free(m->cookie);
	free(m);
}

/* ---- chains ------------------------------------------------------------------------------------------------------- */

struct maker {
	struct hw_hook_env *env;
	struct hw_conf *conf;
	struct hw_conf_report *report;
	struct hw_generation *before;
	struct hw_hook_chain **old; /* chains of the generation before: their entries may be taken over */
	size_t n_old;
	bool broken;
};

static size_t unit_index(const struct hw_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_units; i++)
		if (!strcmp(conf->units[i].name, name))
			return i;
	return 0;
}

static void report_problem(struct maker *m, size_t unit, const struct hw_conf_hook *hook,
	const struct hw_hook_problem *problem)
{
	struct hw_conf_pos pos = problem->path[0] ? hw_conf_hook_locate(hook, hw_str_of(problem->path)) : hook->source_pos;

	hw_conf_report_add(m->report, m->conf->units[unit].name, HW_CONF_ERROR, pos, "hook \"%s\" does not load: %s",
		hook->name, problem->text);
	hw_conf_unit_break(m->conf, unit);
	m->broken = true;
}

static struct hw_hook_chain *same_as_before(struct maker *m, struct hw_hook_chain *chain)
{
	for (size_t i = 0; i < m->n_old; i++)
		if (!memcmp(hw_hook_chain_hash(m->old[i]), hw_hook_chain_hash(chain), 32)) {
			hw_hook_chain_unref(&chain);
			return hw_hook_chain_ref(m->old[i]);
		}
	return chain;
}

/* All hooks are tried, so that all problems are told. NULL: out of memory, or a hook of the unit did not load. */
static struct hw_hook_chain *make_chain(struct maker *m, const struct hw_conf_hook *hooks, size_t n, bool global,
	size_t unit)
{
	struct hw_hook_entry **entries = calloc(n ? n : 1, sizeof(struct hw_hook_entry *));
	struct hw_hook_chain *chain = NULL;
	size_t n_loaded = 0;

	for (size_t i = 0; entries && i < n; i++) {
		const struct hw_conf_hook *hook = &hooks[i];
		struct hw_hook_problem problem = {0};
		struct hw_hook_spec spec = {
			.name = hook->name,
			.kind = hook->source == HW_CONF_LUA ? HW_HOOK_LUA : HW_HOOK_PLUGIN,
			.path = hook->path,
			.config = hook->config,
			.budget = {.cpu_ms = hook->budget.cpu_ms, .load_ms = hook->budget.load_ms,
				.memory_bytes = hook->budget.memory_bytes},
			.global = global,
		};

		if (hw_hook_entry_load(m->env, &spec, m->old, m->n_old, &entries[n_loaded], &problem))
			report_problem(m, unit, hook, &problem);
		else
			n_loaded++;
	}
	if (entries && n_loaded == n)
		chain = hw_hook_chain_create(entries, n);
	for (size_t i = 0; i < n_loaded; i++)
		hw_hook_entry_unref(&entries[i]);
	free(entries);
	return chain ? same_as_before(m, chain) : NULL;
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

static struct hw_retention retention_of(struct hw_conf_retention r)
{
	return (struct hw_retention){.count = r.count, .bytes = r.bytes, .age_ms = (int64_t)r.age_ms};
}

static void make_classes(const struct hw_conf *conf, const struct hw_conf_tenant *tenant, struct hw_topic_classes *out)
{
	out->n = 1;
	out->classes[0].history = true;
	out->classes[0].retention = retention_of(hw_conf_retention_of(conf, tenant));
	for (size_t i = 0; i < conf->global->n_topics && out->n < HW_JOURNAL_MAX_CLASSES; i++) {
		const struct hw_conf_topic_class *topic = &conf->global->topics[i];
		struct hw_topic_class *class = &out->classes[out->n++];

		strncpy(class->pattern, topic->pattern, sizeof(class->pattern) - 1);
		class->history = !topic->history_none;
		class->retention = retention_of(topic->retention);
	}
}

static int copy(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static int make_settings(struct made *m, const struct hw_conf_global *c)
{
	struct hw_settings *s = &m->g.settings;

	*s = (struct hw_settings){
		.auth_query = c->auth.query,
		.auth_first_message = c->auth.first_message,
		.auth_timeout_ms = c->auth.timeout_ms,
		.any_origin = c->auth.any_origin,
		.message_bytes = c->limits.message_bytes,
		.body_bytes = c->limits.body_bytes,
		.topics_per_session = c->limits.topics_per_session,
		.outbox_bytes = c->slow.outbox_bytes,
		.slow_deadline_ms = c->slow.deadline_ms,
		.ping_interval_ms = c->heartbeat.interval_ms,
		.ping_timeout_ms = c->heartbeat.timeout_ms,
		.drain_ms = c->drain_ms,
	};
	m->origins = calloc(c->auth.n_origins + 1, sizeof(*m->origins));
	if (!m->origins || copy(&m->echo, c->echo) || copy(&m->token, c->admin.token) || copy(&m->cookie, c->auth.cookie))
		return -ENOMEM;
	for (; s->n_origins < c->auth.n_origins; s->n_origins++)
		if (copy(&m->origins[s->n_origins], c->auth.origins[s->n_origins]))
			return -ENOMEM;
	s->origins = (const char *const *)m->origins;
	s->echo_path = m->echo;
	s->admin_token = m->token;
	s->auth_cookie = m->cookie;
	return 0;
}

/* What a broken unit had goes on deciding as it is loaded: its files may be what is broken. NULL: load it. */
static struct hw_hook_chain *kept_chain(const struct maker *m, size_t unit, const char *tenant_id)
{
	if (!m->before || !m->conf->units[unit].inherited)
		return NULL;
	if (!tenant_id)
		return hw_hook_chain_ref(m->before->global);
	for (size_t i = 0; i < m->before->n_rules; i++)
		if (!strcmp(m->before->rules[i].id, tenant_id))
			return hw_hook_chain_ref(m->before->rules[i].chain);
	return NULL;
}

static struct hw_hook_chain *tenant_chain(struct maker *m, const struct hw_conf_tenant *tenant)
{
	size_t unit = unit_index(m->conf, tenant->unit);
	struct hw_hook_chain *kept = kept_chain(m, unit, tenant->id);

	return kept ? kept : make_chain(m, tenant->hooks, tenant->n_hooks, false, unit);
}

static int make_rules(struct maker *m, struct made *made)
{
	const struct hw_conf *conf = m->conf;

	made->g.rules = calloc(conf->n_tenants ? conf->n_tenants : 1, sizeof(*made->g.rules));
	if (!made->g.rules)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_tenants; i++) {
		const struct hw_conf_tenant *tenant = conf->tenants[i];
		struct hw_tenant_rules *rules = &made->g.rules[made->g.n_rules];

		rules->chain = tenant_chain(m, tenant);
		if (!rules->chain && m->broken)
			continue;
		rules->id = strdup(tenant->id);
		made->g.n_rules++;
		if (!rules->chain || !rules->id)
			return -ENOMEM;
		rules->connections = tenant->limits.connections;
		rules->subscriptions = tenant->limits.subscriptions;
		rules->publish_per_s = tenant->limits.publish_per_s;
		make_classes(conf, tenant, &rules->classes);
	}
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static int old_chains(struct maker *m, struct hw_generation *old)
{
	if (!old)
		return 0;
	m->old = calloc(old->n_rules + 1, sizeof(struct hw_hook_chain *));
	if (!m->old)
		return -ENOMEM;
	m->old[m->n_old++] = old->global;
	for (size_t i = 0; i < old->n_rules; i++)
		m->old[m->n_old++] = old->rules[i].chain;
	return 0;
}

int hw_generation_make(struct hw_hook_env *env, struct hw_conf *conf, struct hw_generation *old,
	struct hw_conf_report *report, struct hw_generation **out)
{
	struct maker m = {.env = env, .conf = conf, .report = report, .before = old};
	struct made *made = calloc(1, sizeof(*made));
	int r = made ? old_chains(&m, old) : -ENOMEM;

	if (r)
		goto fail;
	atomic_init(&made->g.n_refs, 1);
	made->g.free = made_free;
	made->g.number = old ? old->number + 1 : 1;
	r = make_settings(made, conf->global);
	if (r)
		goto fail;
	made->g.global = kept_chain(&m, 0, NULL);
	if (!made->g.global)
		made->g.global = make_chain(&m, conf->global->hooks, conf->global->n_hooks, true, 0);
	r = make_rules(&m, made);
	if (r)
		goto fail;
	if (m.broken)
		r = HW_CONF_PARTIAL;
	else if (!made->g.global)
		r = -ENOMEM;
	if (r)
		goto fail;
	free(m.old);
	*out = &made->g;
	return 0;
fail:
	free(m.old);
	if (made)
		made_free(&made->g);
	return r;
}
