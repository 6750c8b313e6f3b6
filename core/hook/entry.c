#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "crypto/digest.h"
#include "hook/chain_internal.h"
#include "hook/env.h"

#define LUA_MAX_BYTES (1u << 20)
#define PLUGIN_MAX_BYTES (64u << 20)

struct hw_hook_chain {
	atomic_uint n_refs;
	uint8_t hash[HW_SHA256_LEN]; /* of what decides */
	uint8_t full_hash[HW_SHA256_LEN];
	size_t n_entries;
	struct hw_hook_entry *entries[];
};

void hw_entry_answer_fini(struct hw_entry_answer *answer)
{
	free(answer->user_id);
	free(answer->tenant_id);
	free(answer->claims);
	for (size_t i = 0; i < answer->n_tenants; i++)
		free(answer->tenants[i]);
	free(answer->tenants);
	free(answer->event);
	*answer = (struct hw_entry_answer){0};
}

int hw_entry_init(struct hw_hook_entry *entry, const struct hw_entry_ops *ops,
	struct hw_hook_env *env, const struct hw_hook_spec *spec)
{
	*entry = (struct hw_hook_entry){.ops = ops,
		.env = env,
		.kind = spec->kind,
		.global = spec->global,
		.revoke_now = spec->revoke_now,
		.shadow = spec->shadow,
		.generation = spec->generation,
		.budget = spec->budget,
		.breaker = spec->breaker};
	atomic_init(&entry->n_refs, 1);
	entry->name = hw_str_dup(hw_str_of(spec->name));
	entry->path = hw_str_dup(hw_str_of(spec->path));
	if (!entry->name || !entry->path) {
		hw_entry_fini(entry);
		return -ENOMEM;
	}
	return 0;
}

void hw_entry_fini(struct hw_hook_entry *entry)
{
	for (size_t i = 0; i < HW_COUNT(entry->reads); i++)
		hw_reads_fini(&entry->reads[i]);
	free(entry->name);
	free(entry->path);
	entry->name = entry->path = NULL;
}

static int problem_set(struct hw_hook_problem *problem, int rc, const char *path, const char *why)
{
	problem->path[0] = '\0';
	snprintf(problem->text, sizeof(problem->text), "%s: %s", path, why);
	return rc;
}

/* A regular file of bounded size, as it is at one moment: the bytes that are hashed are the bytes
 * that are loaded. */
static int read_source(
	const char *path, size_t max_bytes, struct hw_buf *out, struct hw_hook_problem *problem)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = -errno;
		problem_set(problem, rc, path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		rc = problem_set(problem, -EINVAL, path, "not a regular file");
	}
	while (rc == 0) {
		char *room = hw_buf_reserve(out, 65536);
		ssize_t n = room ? read(fd, room, 65536) : -1;

		if (!room)
			rc = problem_set(problem, -ENOMEM, path, "out of memory");
		else if (n < 0 && errno != EINTR)
			rc = problem_set(problem, -errno, path, strerror(errno));
		else if (n == 0)
			break;
		else if (n > 0)
			out->len += (size_t)n;
		if (out->len > max_bytes)
			rc = problem_set(problem, -EFBIG, path, "the file is too large");
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static struct hw_str config_of(const struct hw_hook_spec *spec)
{
	return spec->config.len > 0 ? spec->config : HW_STR("{}");
}

/* The path counts although it decides nothing: messages name it, and an entry that moved must name
 * the new one. */
static void hash_spec(const struct hw_hook_spec *spec, const uint8_t source_hash[HW_SHA256_LEN],
	uint8_t out[HW_SHA256_LEN])
{
	uint64_t numbers[] = {(uint64_t)spec->kind, spec->global, spec->revoke_now, spec->shadow,
		spec->budget.cpu_ms, spec->budget.load_ms, spec->budget.memory_bytes,
		spec->budget.deadline_ms, spec->budget.in_flight, spec->budget.idle_ms,
		spec->breaker.failures, spec->breaker.share_percent, spec->breaker.min_calls,
		spec->breaker.window_ms, spec->breaker.open_ms, spec->breaker.open_max_ms};
	struct hw_str config = config_of(spec);
	struct hw_sha256 s;

	hw_sha256_init(&s);
	hw_sha256_add(&s, numbers, sizeof(numbers));
	hw_sha256_add_field(&s, spec->name, strlen(spec->name));
	hw_sha256_add_field(&s, spec->path, strlen(spec->path));
	hw_sha256_add_field(&s, config.p, config.len);
	hw_sha256_add(&s, source_hash, HW_SHA256_LEN);
	hw_sha256_finish(&s, out);
}

static void files_hash(const struct hw_hook_entry *entry, bool now, uint8_t out[HW_SHA256_LEN])
{
	memset(out, 0, HW_SHA256_LEN);
	if (entry->ops->files_hash)
		entry->ops->files_hash(entry, now, out);
}

static bool still_the_same(
	const struct hw_hook_entry *entry, const uint8_t spec_hash[HW_SHA256_LEN])
{
	uint8_t then[HW_SHA256_LEN], now[HW_SHA256_LEN];

	if (memcmp(entry->spec_hash, spec_hash, HW_SHA256_LEN) != 0)
		return false;
	files_hash(entry, false, then);
	files_hash(entry, true, now);
	return memcmp(then, now, HW_SHA256_LEN) == 0;
}

static struct hw_hook_entry *find_reusable(struct hw_hook_chain *const *chains, size_t n_chains,
	const uint8_t spec_hash[HW_SHA256_LEN])
{
	for (size_t i = 0; i < n_chains; i++) {
		for (size_t j = 0; j < chains[i]->n_entries; j++) {
			if (still_the_same(chains[i]->entries[j], spec_hash))
				return chains[i]->entries[j];
		}
	}
	return NULL;
}

static void set_hashes(struct hw_hook_entry *entry, const uint8_t spec_hash[HW_SHA256_LEN])
{
	uint8_t files[HW_SHA256_LEN];
	struct hw_sha256 s;

	files_hash(entry, false, files);
	memcpy(entry->spec_hash, spec_hash, HW_SHA256_LEN);
	hw_sha256_init(&s);
	hw_sha256_add(&s, spec_hash, HW_SHA256_LEN);
	hw_sha256_add(&s, files, HW_SHA256_LEN);
	hw_sha256_finish(&s, entry->hash);
}

static int load(struct hw_hook_env *env, const struct hw_hook_spec *spec, struct hw_str source,
	const uint8_t source_hash[HW_SHA256_LEN], struct hw_hook_entry **out,
	struct hw_hook_problem *problem)
{
	struct hw_hook_spec whole = *spec;
	int rc;

	whole.config = config_of(spec);
	problem->path[0] = problem->text[0] = '\0';
	if (spec->kind == HW_HOOK_LUA)
		rc = hw_entry_lua_load(env, &whole, source, out, problem);
	else
		rc = hw_entry_plugin_load(env, &whole, source, source_hash, out, problem);
	if (rc < 0 && !problem->text[0])
		problem_set(problem, rc, spec->path, strerror(-rc));
	return rc;
}

int hw_hook_entry_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_hook_chain *const *reuse, size_t n_reuse, struct hw_hook_entry **out,
	struct hw_hook_problem *problem)
{
	uint8_t source_hash[HW_SHA256_LEN], spec_hash[HW_SHA256_LEN];
	struct hw_hook_entry *entry;
	struct hw_buf source;
	int rc;

	hw_buf_init(&source);
	rc = read_source(spec->path, spec->kind == HW_HOOK_LUA ? LUA_MAX_BYTES : PLUGIN_MAX_BYTES,
		&source, problem);
	if (rc < 0)
		goto out;
	hw_sha256(source.data, source.len, source_hash);
	hash_spec(spec, source_hash, spec_hash);
	entry = find_reusable(reuse, n_reuse, spec_hash);
	if (entry) {
		*out = hw_hook_entry_ref(entry);
		goto out;
	}
	rc = load(env, spec, hw_buf_view(&source), source_hash, &entry, problem);
	if (rc < 0)
		goto out;
	set_hashes(entry, spec_hash);
	*out = entry;
out:
	hw_buf_fini(&source);
	return rc;
}

struct hw_hook_entry *hw_hook_entry_ref(struct hw_hook_entry *entry)
{
	atomic_fetch_add_explicit(&entry->n_refs, 1, memory_order_relaxed);
	return entry;
}

void hw_hook_entry_unref(struct hw_hook_entry **entry)
{
	struct hw_hook_entry *e = *entry;

	*entry = NULL;
	if (e && atomic_fetch_sub_explicit(&e->n_refs, 1, memory_order_acq_rel) == 1)
		hw_hook_env_bury(e->env, e);
}

struct hw_hook_chain *hw_hook_chain_create(struct hw_hook_entry *const *entries, size_t n_entries)
{
	struct hw_hook_chain *chain =
		calloc(1, sizeof(*chain) + n_entries * sizeof(chain->entries[0]));
	struct hw_sha256 s, full;

	if (!chain)
		return NULL;
	atomic_init(&chain->n_refs, 1);
	chain->n_entries = n_entries;
	hw_sha256_init(&s);
	hw_sha256_init(&full);
	for (size_t i = 0; i < n_entries; i++) {
		chain->entries[i] = hw_hook_entry_ref(entries[i]);
		hw_sha256_add(&full, entries[i]->hash, HW_SHA256_LEN);
		if (!entries[i]->shadow)
			hw_sha256_add(&s, entries[i]->hash, HW_SHA256_LEN);
	}
	hw_sha256_finish(&s, chain->hash);
	hw_sha256_finish(&full, chain->full_hash);
	return chain;
}

struct hw_hook_chain *hw_hook_chain_ref(struct hw_hook_chain *chain)
{
	atomic_fetch_add_explicit(&chain->n_refs, 1, memory_order_relaxed);
	return chain;
}

void hw_hook_chain_unref(struct hw_hook_chain **chain)
{
	struct hw_hook_chain *c = *chain;

	*chain = NULL;
	if (!c || atomic_fetch_sub_explicit(&c->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < c->n_entries; i++)
		hw_hook_entry_unref(&c->entries[i]);
	free(c);
}

const uint8_t *hw_hook_chain_hash(const struct hw_hook_chain *chain)
{
	return chain->hash;
}

bool hw_hook_chain_same(const struct hw_hook_chain *a, const struct hw_hook_chain *b)
{
	return memcmp(a->full_hash, b->full_hash, HW_SHA256_LEN) == 0;
}

bool hw_hook_chain_names(const struct hw_hook_chain *chain, const char *decided_by)
{
	for (size_t i = 0; i < chain->n_entries; i++)
		if (chain->entries[i]->name == decided_by)
			return true;
	return false;
}

const char *hw_hook_chain_registers(
	const struct hw_hook_chain *chain, enum hw_hook_stage stage, size_t *i)
{
	while (*i < chain->n_entries) {
		const struct hw_hook_entry *entry = chain->entries[(*i)++];

		if (hw_entry_asked(entry, stage, HW_OP_SUBSCRIBE))
			return entry->name;
	}
	return NULL;
}

bool hw_hook_chain_revokes_now(const struct hw_hook_chain *chain)
{
	for (size_t i = 0; i < chain->n_entries; i++)
		if (chain->entries[i]->revoke_now && !chain->entries[i]->shadow)
			return true;
	return false;
}

size_t hw_hook_chain_count(const struct hw_hook_chain *chain)
{
	return chain->n_entries;
}

struct hw_hook_entry *hw_hook_chain_entry(const struct hw_hook_chain *chain, size_t i)
{
	return chain->entries[i];
}
