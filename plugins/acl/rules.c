#include "rules.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_SIZE 4096 /* for claims that are written with escapes */

/* A claim as one decision has found it. */
struct found {
	char kind; /* 0: the token has none */
	struct hw_slice value;
};

/* Claims are looked up when a rule asks for them, each once a decision. */
struct asker {
	const struct acl *acl;
	const struct hw_host *host;
	const struct hw_who *who;
	const struct hw_question *question;
	uint32_t looked; /* bit i: claims[i] is known */
	bool failed;
	size_t used; /* of scratch */
	struct found claims[ACL_MAX_CLAIMS];
	char scratch[SCRATCH_SIZE];
};

int acl_compare(struct hw_slice a, struct hw_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int rc = len > 0 ? memcmp(a.p, b.p, len) : 0;

	return rc != 0 ? rc : (a.len > b.len) - (a.len < b.len);
}

static bool same(struct hw_slice a, struct hw_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* ---- who ---- */

static const struct found *claim_of(struct asker *a, unsigned claim)
{
	struct found *f = &a->claims[claim];
	int rc;

	if (a->looked & UINT32_C(1) << claim)
		return f;
	rc = a->host->json_get(a->who->claims, a->acl->claims[claim], &f->kind, &f->value,
		a->scratch + a->used, sizeof(a->scratch) - a->used);
	if (rc < 0)
		a->failed = true;
	if (rc != 0)
		f->kind = 0;
	else if (f->value.p == a->scratch + a->used)
		a->used += f->value.len;
	a->looked |= UINT32_C(1) << claim;
	return f;
}

/* The values of a claim one after the other: those of its array, or itself. *position is 0 before
 * the first. */
static bool next_value(
	struct asker *a, const struct found *f, size_t *position, struct acl_value *value)
{
	struct hw_slice none;
	int rc;

	if (f->kind != 'a') {
		*value = (struct acl_value){f->kind, f->value};
		return f->kind && (*position)++ == 0;
	}
	rc = a->host->json_next(f->value, position, &none, &value->kind, &value->text,
		a->scratch + a->used, sizeof(a->scratch) - a->used);
	if (rc < 0)
		a->failed = true;
	return rc == 0;
}

static bool holds(struct asker *a, const struct acl_condition *c)
{
	const struct found *f = claim_of(a, c->claim);
	struct acl_value value;
	size_t position = 0;

	while (next_value(a, f, &position, &value)) {
		for (size_t i = c->first; i < c->end; i++) {
			if (a->acl->values[i].kind == value.kind &&
				same(a->acl->values[i].text, value.text))
				return true;
		}
	}
	return false;
}

static bool is_named(const struct asker *a, const struct acl_rule *rule)
{
	size_t low = rule->first_user, high = rule->end_user;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int rc = acl_compare(a->who->user_id, a->acl->users[middle]);

		if (rc == 0)
			return true;
		if (rc < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static bool is_about(struct asker *a, const struct acl_rule *rule)
{
	if (!rule->everybody && !is_named(a, rule))
		return false;
	for (size_t i = rule->first_condition; i < rule->end_condition; i++) {
		if (!holds(a, &a->acl->conditions[i]))
			return false;
	}
	return true;
}

/* ---- topics ---- */

static bool skip(struct hw_slice *text, struct hw_slice prefix)
{
	if (text->len < prefix.len || memcmp(text->p, prefix.p, prefix.len) != 0)
		return false;
	text->p += prefix.len;
	text->len -= prefix.len;
	return true;
}

/* A claim's piece tries its values in turn, and what follows has no such piece: so this is at most
 * one level deep. */
static bool matches(struct asker *a, const struct acl_pattern *p, size_t i, struct hw_slice id)
{
	for (; i < p->n_pieces; i++) {
		const struct acl_piece *piece = &p->pieces[i];
		struct hw_slice text = piece->text;

		if (piece->kind == ACL_REST)
			return true;
		if (piece->kind == ACL_CLAIM) {
			const struct found *f = claim_of(a, piece->claim);
			struct acl_value value;
			size_t position = 0;

			while (next_value(a, f, &position, &value)) {
				struct hw_slice rest = id;

				if ((value.kind == 's' || value.kind == 'n') &&
					value.text.len > 0 && skip(&rest, value.text) &&
					matches(a, p, i + 1, rest))
					return true;
			}
			return false;
		}
		if (piece->kind == ACL_USER_ID)
			text = a->who->user_id;
		else if (piece->kind == ACL_TENANT_ID)
			text = a->who->tenant_id;
		if (text.len == 0 || !skip(&id, text))
			return false;
	}
	return id.len == 0;
}

/* What is put in place of a name never stands for all topics, though a user may be called "*". */
static bool is_of(struct asker *a, const struct acl_pattern *p)
{
	if (p->any_id)
		return true;
	return a->question->operation != HW_OP_WILDCARD && matches(a, p, 0, a->question->id);
}

/* ---- the walk ---- */

static int by_place(const void *left, const void *right)
{
	const struct acl_pattern *a = left, *b = right;
	int rc = (int)b->any_resource - (int)a->any_resource;

	if (rc == 0)
		rc = acl_compare(a->resource, b->resource);
	return rc != 0 ? rc : (a->rule > b->rule) - (a->rule < b->rule);
}

void acl_compile(struct acl *acl)
{
	if (acl->n_patterns > 0)
		qsort(acl->patterns, acl->n_patterns, sizeof(acl->patterns[0]), by_place);
	acl->n_any = 0;
	while (acl->n_any < acl->n_patterns && acl->patterns[acl->n_any].any_resource)
		acl->n_any++;
}

static size_t first_of(const struct acl *acl, struct hw_slice resource)
{
	size_t low = acl->n_any, high = acl->n_patterns;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (acl_compare(acl->patterns[middle].resource, resource) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The patterns of this resource and those of any are each in the order of the rules. */
static const struct acl_pattern *next_pattern(const struct asker *a, size_t *any, size_t *own)
{
	const struct acl *acl = a->acl;
	bool has_own =
		*own < acl->n_patterns && same(acl->patterns[*own].resource, a->question->resource);

	if (*any < acl->n_any && (!has_own || acl->patterns[*any].rule <= acl->patterns[*own].rule))
		return &acl->patterns[(*any)++];
	return has_own ? &acl->patterns[(*own)++] : NULL;
}

enum hw_verdict acl_decide(const struct acl *acl, const struct hw_host *host,
	const struct hw_who *who, const struct hw_question *question)
{
	const struct acl_pattern *p;
	size_t any = 0, own = first_of(acl, question->resource);
	struct asker a; /* its claims and scratch are written before they are read */

	a.acl = acl;
	a.host = host;
	a.who = who;
	a.question = question;
	a.looked = 0;
	a.failed = false;
	a.used = 0;
	while ((p = next_pattern(&a, &any, &own))) {
		const struct acl_rule *rule = &acl->rules[p->rule];
		bool match = (rule->operations & 1u << question->operation) && is_of(&a, p) &&
			     is_about(&a, rule);

		/* not HW_ERROR: it is this token's fault, and the breaker counts errors */
		if (a.failed)
			return HW_DENY;
		if (match)
			return rule->allow ? HW_ALLOW : HW_DENY;
	}
	return HW_DEFER;
}

void acl_fini(struct acl *acl)
{
	for (size_t i = 0; i < acl->n_claims; i++)
		free(acl->claims[i]);
	free(acl->rules);
	free(acl->patterns);
	free(acl->users);
	free(acl->conditions);
	free(acl->values);
	free(acl->text);
	*acl = (struct acl){0};
}
