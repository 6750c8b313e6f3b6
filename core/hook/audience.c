#include "hook/audience.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/chain_internal.h"

#define CLAIMS "claims."

/* The two names that a recipient's user and tenant go by: as sessions have them, and shorter. */
static bool find_what(struct hw_str name, struct hw_read *out)
{
	static const struct {
		const char *name;
		enum hw_read_what what;
	} known[] = {{"user", HW_READ_USER}, {"user_id", HW_READ_USER}, {"tenant", HW_READ_TENANT},
		{"tenant_id", HW_READ_TENANT}};
	size_t prefix = sizeof(CLAIMS) - 1;

	if (name.len > prefix && memcmp(name.p, CLAIMS, prefix) == 0) {
		out->what = HW_READ_CLAIM;
		out->claim = (struct hw_str){name.p + prefix, name.len - prefix};
		return true;
	}
	for (size_t i = 0; i < HW_COUNT(known); i++) {
		if (hw_str_eq(name, hw_str_of(known[i].name))) {
			out->what = known[i].what;
			out->claim = HW_STR_NULL;
			return true;
		}
	}
	return false;
}

static bool same(const struct hw_read *a, const struct hw_read *b)
{
	return a->what == b->what && (a->what != HW_READ_CLAIM || hw_str_eq(a->claim, b->claim));
}

int hw_reads_add(struct hw_reads *reads, struct hw_str name, struct hw_err *err)
{
	struct hw_read read;

	if (!find_what(name, &read))
		return hw_err_set(err, -EINVAL,
			"'%.*s' cannot be read: name \"user\", \"tenant\" or \"claims.NAME\"",
			HW_STR_ARG(name));
	for (size_t i = 0; i < reads->n; i++) {
		if (same(&reads->reads[i], &read))
			return 0;
	}
	if (reads->n == HW_READS_MAX)
		return hw_err_set(err, -EINVAL, "more than %d are read", HW_READS_MAX);
	read.name = hw_str_dup(name);
	if (!read.name)
		return hw_err_set(err, -ENOMEM, "out of memory");
	if (read.what == HW_READ_CLAIM)
		read.claim.p = read.name + sizeof(CLAIMS) - 1;
	reads->reads[reads->n++] = read;
	return 0;
}

void hw_reads_fini(struct hw_reads *reads)
{
	for (size_t i = 0; i < reads->n; i++)
		free(reads->reads[i].name);
	reads->n = 0;
}

const struct hw_json *hw_audience_find(const struct hw_audience *audience, struct hw_str name)
{
	struct hw_read wanted;

	if (!find_what(name, &wanted))
		return NULL;
	for (size_t i = 0; i < audience->reads->n; i++) {
		if (same(&audience->reads->reads[i], &wanted))
			return &audience->values[i];
	}
	return NULL;
}

/* ---- classes ---- */

/* The benches in the order in which filter and redact are asked, stage by stage. */
struct asked {
	struct hw_hook_bench *benches[2];
	size_t stage, bench, entry;
};

static const struct hw_reads *next_reads(struct asked *at)
{
	for (; at->stage < 2; at->stage++, at->bench = 0) {
		enum hw_hook_stage stage = at->stage ? HW_STAGE_REDACT : HW_STAGE_FILTER;

		for (; at->bench < 2; at->bench++, at->entry = 0) {
			struct hw_hook_bench *bench = at->benches[at->bench];

			while (bench && at->entry < bench->n_entries) {
				struct hw_hook_entry *entry =
					hw_hook_chain_entry(bench->chain, at->entry++);

				if (hw_entry_asked(entry, stage, HW_OP_SUBSCRIBE))
					return &entry->reads[at->stage];
			}
		}
	}
	return NULL;
}

size_t hw_audience_count(struct hw_hook_bench *global, struct hw_hook_bench *tenant)
{
	struct asked at = {.benches = {global, tenant}};
	const struct hw_reads *reads;
	size_t n = 0;

	while ((reads = next_reads(&at)))
		n += reads->n;
	return n;
}

void hw_audience_reads(
	struct hw_hook_bench *global, struct hw_hook_bench *tenant, struct hw_buf *out)
{
	struct asked at = {.benches = {global, tenant}};
	const struct hw_reads *reads;

	while ((reads = next_reads(&at))) {
		for (size_t i = 0; i < reads->n; i++) {
			hw_buf_puts(out, reads->reads[i].name);
			hw_buf_putc(out, '\0');
		}
	}
}

/* The texts of the claims that @reads names, in one pass over them. */
static void find_claims(
	const struct hw_reads *reads, struct hw_str claims, struct hw_str found[HW_READS_MAX])
{
	struct hw_json key, value;
	struct hw_json_reader r;

	for (size_t i = 0; i < reads->n; i++)
		found[i] = HW_STR_NULL;
	hw_json_init(&r, claims, HW_JSON_UTF8_DONE);
	if (hw_json_enter(&r, HW_JSON_OBJECT) != 0)
		return;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		for (size_t i = 0; i < reads->n; i++) {
			if (reads->reads[i].what == HW_READ_CLAIM &&
				hw_json_is(key, reads->reads[i].claim))
				found[i] = value.raw;
		}
	}
}

static bool has_claims(const struct hw_reads *reads)
{
	for (size_t i = 0; i < reads->n; i++) {
		if (reads->reads[i].what == HW_READ_CLAIM)
			return true;
	}
	return false;
}

/* Values are JSON texts, in which no zero byte stands: one behind each keeps them apart. */
static void add_values(
	const struct hw_reads *reads, const struct hw_identity *who, struct hw_buf *out)
{
	struct hw_str found[HW_READS_MAX];

	if (has_claims(reads))
		find_claims(reads, who->claims, found);
	for (size_t i = 0; i < reads->n; i++) {
		switch (reads->reads[i].what) {
		case HW_READ_USER:
			hw_buf_json(out, who->user_id);
			break;
		case HW_READ_TENANT:
			hw_buf_json(out, who->tenant_id);
			break;
		case HW_READ_CLAIM:
			hw_buf_str(out, found[i]);
			break;
		}
		hw_buf_putc(out, '\0');
	}
}

void hw_audience_key(struct hw_hook_bench *global, struct hw_hook_bench *tenant,
	const struct hw_identity *who, struct hw_buf *out)
{
	struct asked at = {.benches = {global, tenant}};
	const struct hw_reads *reads;

	while ((reads = next_reads(&at)))
		add_values(reads, who, out);
}

void hw_audience_values(struct hw_str key, struct hw_json *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct hw_str text = {key.p, strnlen(key.p, key.len)};
		struct hw_err err;

		/* an empty text is what stands for an absent one */
		if (hw_json_whole(text, HW_JSON_UTF8_DONE, &values[i], &err) != 0)
			values[i] = (struct hw_json){.kind = HW_JSON_NONE};
		key.p += text.len + 1;
		key.len -= text.len + 1;
	}
}
