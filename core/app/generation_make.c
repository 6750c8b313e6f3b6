#include "app/generation_make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "wire/topic.h"

/* A generation with what its strings live in. */
struct made {
	struct hw_generation g;
	char *echo, *token, *cookie;
	char **origins, **topics, **claims;
	struct hw_address_block *proxies;
};

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

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
	free_list(m->origins);
	free_list(m->topics);
	free_list(m->claims);
	free(m->proxies);
	free(m->echo);
	free(m->token);
	free(m->cookie);
	free(m);
}

/* ---- chains
 * -------------------------------------------------------------------------------------------------------
 */

struct maker {
	struct hw_hook_env *env;
	struct hw_conf *conf;
	struct hw_conf_report *report;
	const struct hw_generation *before; /* NULL: this is the first */
	unsigned number;
	/* Chains of the generation before, whose entries may be taken over. The first is the one
	 * that stood where a chain is made now: mostly its entries are the same, and with thousands
	 * of tenants looking through all of them for each would take seconds. */
	struct hw_hook_chain **old;
	size_t n_old;
	bool broken;
};

static size_t unit_index(const struct hw_conf *conf, const struct hw_conf_part *part)
{
	for (size_t i = 0; i < conf->n_units; i++)
		if (conf->units[i].part == part)
			return i;
	return 0;
}

static void report_problem(struct maker *m, size_t unit, const struct hw_conf_hook *hook,
	const struct hw_hook_problem *problem)
{
	struct hw_conf_pos pos = problem->path[0]
					 ? hw_conf_hook_locate(hook, hw_str_of(problem->path))
					 : hook->source_pos;

	hw_conf_report_add(m->report, m->conf->units[unit].name, HW_CONF_ERROR, pos,
		"hook \"%s\" does not load: %s", hook->name, problem->text);
	hw_conf_unit_break(m->conf, unit);
	m->broken = true;
}

static int compare_rules(const void *id, const void *rules)
{
	return strcmp(id, ((const struct hw_tenant_rules *)rules)->id);
}

/* The chain that stood in the same place a generation ago; @tenant_id NULL: the global one. NULL:
 * there was none. */
static struct hw_hook_chain *chain_before(const struct maker *m, const char *tenant_id)
{
	const struct hw_tenant_rules *rules;

	if (!m->before || !tenant_id)
		return m->before ? m->before->global : NULL;
	rules = bsearch(
		tenant_id, m->before->rules, m->before->n_rules, sizeof(*rules), compare_rules);
	return rules ? rules->chain : NULL;
}

/* Content of an earlier load, kept because the new one is broken: its files may be what is broken,
 * so nothing of it is read again. */
static bool is_kept(const struct hw_conf *conf, const struct hw_conf_part *part)
{
	for (size_t i = 0; i < conf->n_units; i++)
		if (conf->units[i].part == part)
			return conf->units[i].inherited;
	return true;
}

/* Workers keep their states while the chain is the same object, and compare with what stood in the
 * same place: a twin from another tenant would not do. */
static struct hw_hook_chain *same_as_before(
	struct hw_hook_chain *before, struct hw_hook_chain *chain)
{
	if (!before || !hw_hook_chain_same(before, chain))
		return chain;
	hw_hook_chain_unref(&chain);
	return hw_hook_chain_ref(before);
}

/* All hooks are tried, so that all problems are told. NULL: out of memory, or a hook of the unit
 * did not load. */
static struct hw_hook_chain *load_chain(struct maker *m, const struct hw_conf_hook *hooks, size_t n,
	struct hw_hook_chain *before, bool global, size_t unit)
{
	struct hw_hook_entry **entries = calloc(n ? n : 1, sizeof(struct hw_hook_entry *));
	struct hw_hook_chain *chain = NULL;
	size_t n_loaded = 0;

	if (m->n_old)
		m->old[0] = before ? before : m->before->global;
	for (size_t i = 0; entries && i < n; i++) {
		const struct hw_conf_hook *hook = &hooks[i];
		struct hw_hook_problem problem = {0};
		struct hw_hook_spec spec = {
			.name = hook->name,
			.kind = hook->source == HW_CONF_LUA ? HW_HOOK_LUA : HW_HOOK_PLUGIN,
			.path = hook->path,
			.config_file = m->conf->units[unit].name,
			.config = hook->config,
			.budget = {.cpu_ms = hook->budget.cpu_ms,
				.load_ms = hook->budget.load_ms,
				.memory_bytes = hook->budget.memory_bytes,
				.deadline_ms = hook->budget.deadline_ms,
				.in_flight = hook->budget.in_flight,
				.idle_ms = hook->budget.idle_ms},
			.global = global,
			.generation = m->number,
			.revoke_now = hook->revoke == HW_CONF_REVOKE_NOW,
			.shadow = hook->shadow,
		};

		/* one client could shut a global entry for all tenants: only who wants that */
		if (!global || hook->breaker_given)
			spec.breaker = (struct hw_breaker_rules){.failures = hook->breaker.failures,
				.share_percent = hook->breaker.share,
				.min_calls = hook->breaker.min_calls,
				.window_ms = hook->breaker.window_ms,
				.open_ms = hook->breaker.open_ms,
				.open_max_ms = hook->breaker.open_max_ms};

		if (hw_hook_entry_load(
			    m->env, &spec, m->old, m->n_old, &entries[n_loaded], &problem))
			report_problem(m, unit, hook, &problem);
		else
			n_loaded++;
	}
	if (entries && n_loaded == n)
		chain = hw_hook_chain_create(entries, n);
	for (size_t i = 0; i < n_loaded; i++)
		hw_hook_entry_unref(&entries[i]);
	free(entries);
	return chain;
}

static struct hw_hook_chain *make_chain(struct maker *m, const struct hw_conf_hook *hooks, size_t n,
	const char *tenant_id, const struct hw_conf_part *part, size_t unit)
{
	struct hw_hook_chain *before = chain_before(m, tenant_id), *chain;

	if (before && is_kept(m->conf, part))
		return hw_hook_chain_ref(before);
	chain = load_chain(m, hooks, n, before, tenant_id == NULL, unit);
	return chain ? same_as_before(before, chain) : NULL;
}

/* ---- numbers
 * --------------------------------------------------------------------------------------------------------
 */

static struct hw_retention retention_of(struct hw_conf_retention r)
{
	return (struct hw_retention){
		.count = r.count, .bytes = r.bytes, .age_ms = (int64_t)r.age_ms};
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* With a plugin behind it the memory is the newest part of what is kept. */
static void set_retention(
	struct hw_topic_class *class, const struct hw_conf *conf, struct hw_conf_retention r)
{
	const struct hw_conf_journal *journal = &conf->global->journal;

	class->stored = retention_of(r);
	if (journal->plugin.path)
		r = (struct hw_conf_retention){.count = least(r.count, journal->memory.count),
			.bytes = least(r.bytes, journal->memory.bytes),
			.age_ms = least(r.age_ms, journal->memory.age_ms)};
	class->retention = retention_of(r);
}

/* What says nothing of how it is kept is kept with the rest, so that a reload that takes it away
 * takes no history with it; unless that would be with what the pattern around it says. */
static bool is_kept_apart(const struct hw_conf_global *c, const struct hw_conf_topic_class *topic)
{
	char wide[HW_TOPIC_MAX + 2];
	struct hw_str around = hw_topic_pattern(hw_str_of(topic->pattern), wide);

	if (topic->kept_apart)
		return true;
	for (size_t i = 0; i < c->n_topics; i++)
		if (&c->topics[i] != topic && c->topics[i].kept_apart &&
			hw_str_eq(hw_str_of(c->topics[i].pattern), around))
			return true;
	return false;
}

static void make_classes(const struct hw_conf *conf, const struct hw_conf_tenant *tenant,
	struct hw_topic_classes *out)
{
	out->n = 1;
	out->classes[0].history = true;
	set_retention(&out->classes[0], conf, hw_conf_retention_of(conf, tenant));
	for (size_t i = 0; i < conf->global->n_topics && out->n < HW_JOURNAL_MAX_CLASSES; i++) {
		const struct hw_conf_topic_class *topic = &conf->global->topics[i];
		struct hw_topic_class *class = &out->classes[out->n];

		if (!is_kept_apart(conf->global, topic))
			continue;
		out->n++;
		strncpy(class->pattern, topic->pattern, sizeof(class->pattern) - 1);
		class->history = !topic->history_none;
		set_retention(class, conf, topic->retention);
	}
}

static void make_conflate(const struct hw_conf_global *c, struct hw_conflate_rules *out)
{
	bool any = false;

	for (size_t i = 0; i < c->n_topics && i < HW_COUNT(out->rules); i++) {
		struct hw_conflate_rule *rule = &out->rules[i];

		strncpy(rule->pattern, c->topics[i].pattern, sizeof(rule->pattern) - 1);
		rule->how = c->topics[i].conflate;
		any |= rule->how != HW_CONFLATE_NONE;
	}
	out->n = any ? c->n_topics : 0;
}

static int copy(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

/* Copies, and NULL behind them. */
static int copy_list(
	char ***out, const char *const **view, size_t *n_view, const char *const *list, size_t n)
{
	*out = calloc(n + 1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (copy(&(*out)[i], list[i]))
			return -ENOMEM;
	*view = (const char *const *)*out;
	*n_view = n;
	return 0;
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
		.sse_gzip = c->sse.gzip,
		.ping_interval_ms = c->heartbeat.interval_ms,
		.ping_timeout_ms = c->heartbeat.timeout_ms,
		.drain_ms = c->drain_ms,
		.reauth_ms = c->reauth_ms,
		.grace_ms = c->occupancy.grace_ms,
		.presence.grace_ms = c->presence.grace_ms,
	};
	make_conflate(c, &s->conflate);
	m->proxies = calloc(c->n_trusted_proxies + 1, sizeof(*m->proxies));
	if (!m->proxies || copy(&m->echo, c->echo) || copy(&m->token, c->admin.token) ||
		copy(&m->cookie, c->auth.cookie))
		return -ENOMEM;
	if (copy_list(
		    &m->origins, &s->origins, &s->n_origins, c->auth.origins, c->auth.n_origins) ||
		copy_list(&m->topics, &s->presence.topics, &s->presence.n_topics,
			c->presence.topics, c->presence.n_topics) ||
		copy_list(&m->claims, &s->presence.claims, &s->presence.n_claims,
			c->presence.claims, c->presence.n_claims))
		return -ENOMEM;
	if (c->n_trusted_proxies > 0)
		memcpy(m->proxies, c->trusted_proxies, c->n_trusted_proxies * sizeof(*m->proxies));
	s->trusted_proxies = m->proxies;
	s->n_trusted_proxies = c->n_trusted_proxies;
	s->echo_path = m->echo;
	s->admin_token = m->token;
	s->auth_cookie = m->cookie;
	return 0;
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

		rules->chain = make_chain(m, tenant->hooks, tenant->n_hooks, tenant->id,
			tenant->part, unit_index(conf, tenant->part));
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

/* ---- all of it
 * --------------------------------------------------------------------------------------------------------
 */

static int old_chains(struct maker *m, struct hw_generation *old)
{
	if (!old)
		return 0;
	m->old = calloc(old->n_rules + 2, sizeof(struct hw_hook_chain *));
	if (!m->old)
		return -ENOMEM;
	m->n_old = 1; /* set for each chain */
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
	made->g.number = m.number = old ? old->number + 1 : 1;
	r = make_settings(made, conf->global);
	if (r)
		goto fail;
	made->g.global = make_chain(
		&m, conf->global->hooks, conf->global->n_hooks, NULL, conf->units[0].part, 0);
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
