#include "read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct reader {
	const struct hw_host *host;
	struct acl *acl;
	struct hw_problem *problem;
	bool broken;          /* what is wrong is said already */
	bool is_text;         /* the rules are a text, as "@file:" gives it */
	struct hw_slice text; /* then: that text */
	size_t kept;          /* bytes of acl->text */
	char *scratch;        /* as large as the settings, so nothing in them is too long */
	size_t scratch_size;
};

/* One item as the host gives it out, with where it is. */
struct item {
	struct hw_slice key, value;
	char kind;
	const char *at;
	char path[sizeof(((struct hw_problem *)0)->path)];
};

static bool is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

/* ---- what is wrong, and where ---- */

__attribute__((format(printf, 3, 4))) static int refuse(
	struct reader *r, const struct item *item, const char *format, ...)
{
	struct hw_problem *problem = r->problem;
	unsigned line, column;
	va_list args;
	size_t n = 0;

	if (r->broken)
		return -1;
	r->broken = true;
	snprintf(problem->path, sizeof(problem->path), "%s", item->path);
	if (r->is_text) {
		static const size_t in_text = sizeof("/rules") - 1;

		acl_text_place(r->text, (size_t)(item->at - r->text.p), &line, &column);
		n = (size_t)snprintf(problem->text, sizeof(problem->text),
			"line %u, column %u%s%s%s: ", line, column, item->path[in_text] ? " (" : "",
			item->path + in_text, item->path[in_text] ? ")" : "");
		problem->path[in_text] = '\0';
	}
	va_start(args, format);
	vsnprintf(problem->text + n, sizeof(problem->text) - n, format, args);
	va_end(args);
	return -1;
}

static int no_memory(struct reader *r)
{
	r->broken = true;
	r->problem->path[0] = '\0';
	snprintf(r->problem->text, sizeof(r->problem->text), "out of memory");
	return -1;
}

/* JSON pointer: "~" and "/" in a name are "~0" and "~1" (RFC 6901). */
static void set_path(struct item *item, const char *parent, size_t index)
{
	size_t n = (size_t)snprintf(item->path, sizeof(item->path), "%s/", parent);

	if (!item->key.p) {
		snprintf(item->path, sizeof(item->path), "%.100s/%zu", parent, index);
		return;
	}
	for (size_t i = 0; i < item->key.len && n + 3 < sizeof(item->path); i++) {
		char c = item->key.p[i];

		if (c == '~' || c == '/')
			item->path[n++] = '~';
		item->path[n++] = c == '~' ? '0' : c == '/' ? '1' : c;
	}
	if (n < sizeof(item->path))
		item->path[n] = '\0';
}

/* 0 one more, 1 the end, also of what cannot be read: then nothing that follows counts. An item's
 * texts are dead at the next call, whosever it is. */
static int next(struct reader *r, const struct item *outer, size_t *position, size_t index,
	struct item *item)
{
	int rc;

	item->at = acl_text_item(outer->value, *position);
	rc = r->host->json_next(outer->value, position, &item->key, &item->kind, &item->value,
		r->scratch, r->scratch_size);
	if (rc < 0) {
		refuse(r, outer, "something in it is no text");
		return 1;
	}
	if (rc == 0)
		set_path(item, outer->path, index);
	return rc;
}

static int expect_list(struct reader *r, const struct item *item, const char *like)
{
	size_t position = 0;
	struct item first;

	if (item->kind != 'a' || next(r, item, &position, 0, &first) != 0)
		return refuse(r, item, "must be an array that is not empty: %s", like);
	return 0;
}

/* ---- what is kept ---- */

/* Room for one more of what is counted one by one: doubled at every power of two. */
static void *grow(void *array, size_t n, size_t size)
{
	return (n & (n - 1)) == 0 ? realloc(array, (n ? 2 * n : 1) * size) : array;
}

#define ADD(r, array, count, ...) \
	add((r), (void **)&(r)->acl->array, &(r)->acl->count, sizeof((r)->acl->array[0]), \
		__VA_ARGS__)

static int add(struct reader *r, void **array, size_t *n, size_t size, const void *what)
{
	char *grown = grow(*array, *n, size);

	if (!grown)
		return no_memory(r);
	*array = grown;
	memcpy(grown + *n * size, what, size);
	(*n)++;
	return 0;
}

/* All that is kept was in the settings, each byte of it once. */
static struct hw_slice keep(struct reader *r, struct hw_slice s)
{
	char *p = r->acl->text + r->kept;

	if (s.len > 0)
		memcpy(p, s.p, s.len);
	r->kept += s.len;
	return (struct hw_slice){p, s.len};
}

static int claim_number(
	struct reader *r, const struct item *item, struct hw_slice name, unsigned *out)
{
	struct acl *acl = r->acl;
	unsigned i = 0;

	if (name.len == 0 || memchr(name.p, '\0', name.len))
		return refuse(r, item, "a claim without a name");
	while (i < acl->n_claims && !is(name, acl->claims[i]))
		i++;
	if (i == ACL_MAX_CLAIMS)
		return refuse(
			r, item, "the rules name more than %d different claims", ACL_MAX_CLAIMS);
	if (i == acl->n_claims) {
		acl->claims[i] = strndup(name.p, name.len);
		if (!acl->claims[i])
			return no_memory(r);
		acl->n_claims++;
	}
	*out = i;
	return 0;
}

/* ---- patterns ---- */

static bool is_letter(char c, const char *beside)
{
	return (c >= 'a' && c <= 'z') || (c && strchr(beside, c));
}

#define DIGITS "0123456789-"

static int read_resource(struct reader *r, const struct item *item, struct hw_slice text,
	struct acl_pattern *p, size_t *len)
{
	const char *colon = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;

	if (!colon)
		return refuse(r, item,
			"has no colon: a pattern is \"resource:id\", like "
			"\"gift-list:*\" or \"gift-list:{user_id}\"");
	p->resource = (struct hw_slice){text.p, (size_t)(colon - text.p)};
	p->any_resource = is(p->resource, "*");
	*len = p->resource.len + 1;
	if (p->any_resource)
		return 0;
	for (size_t i = 0; i < p->resource.len; i++) {
		if (!is_letter(text.p[i], i == 0 ? "" : DIGITS))
			return refuse(r, item,
				"no topic has such a resource: it is small letters, digits and -, "
				"beginning with a letter, or \"*\" for any");
	}
	return p->resource.len > 0 ? 0 : refuse(r, item, "has nothing before the colon");
}

/* {user_id}, {tenant_id}, {claims.NAME} */
static int read_name(struct reader *r, const struct item *item, struct hw_slice name,
	struct acl_pattern *p, struct acl_piece *piece)
{
	static const char prefix[] = "claims.";
	const size_t len = sizeof(prefix) - 1;

	if (is(name, "user_id")) {
		piece->kind = ACL_USER_ID;
		return 0;
	}
	if (is(name, "tenant_id")) {
		piece->kind = ACL_TENANT_ID;
		return 0;
	}
	if (name.len <= len || memcmp(name.p, prefix, len) != 0)
		return refuse(r, item,
			"nobody knows {%.*s}: there are {user_id}, {tenant_id} and "
			"{claims.NAME}",
			name.len < 40 ? (int)name.len : 40, name.p);
	for (size_t i = 0; i < p->n_pieces; i++) {
		if (p->pieces[i].kind == ACL_CLAIM)
			return refuse(r, item, "has two claims in it: one is as many as can be");
	}
	piece->kind = ACL_CLAIM;
	return claim_number(
		r, item, (struct hw_slice){name.p + len, name.len - len}, &piece->claim);
}

/* One piece from the start of @id; *len is how much of it. */
static int read_piece(struct reader *r, const struct item *item, struct hw_slice id,
	struct acl_pattern *p, struct acl_piece *piece, size_t *len)
{
	const char *brace;

	if (id.p[0] == '*') {
		*piece = (struct acl_piece){.kind = ACL_REST};
		*len = 1;
		return id.len == 1 ? 0
				   : refuse(r, item,
					     "has a * that is not its end: * stands for "
					     "all that follows");
	}
	if (id.p[0] == '{') {
		brace = memchr(id.p, '}', id.len);
		if (!brace)
			return refuse(r, item, "has a { without }");
		*len = (size_t)(brace - id.p) + 1;
		return read_name(r, item, (struct hw_slice){id.p + 1, *len - 2}, p, piece);
	}
	for (*len = 0; *len < id.len && id.p[*len] != '*' && id.p[*len] != '{'; (*len)++) {
		if (!is_letter(id.p[*len], DIGITS))
			return refuse(r, item,
				"no topic has such an id: it is small letters, "
				"digits and -");
	}
	*piece = (struct acl_piece){.kind = ACL_LITERAL, .text = {id.p, *len}};
	return 0;
}

static int read_pattern(
	struct reader *r, const struct item *item, struct hw_slice text, struct acl_pattern *p)
{
	size_t at = 0, len = 0;

	*p = (struct acl_pattern){.rule = (unsigned)r->acl->n_rules};
	if (read_resource(r, item, text, p, &at) < 0)
		return -1;
	for (; at < text.len; at += len) {
		struct acl_piece piece = {ACL_LITERAL, 0, {NULL, 0}};

		if (p->n_pieces == ACL_MAX_PIECES)
			return refuse(r, item, "has more than %d parts", ACL_MAX_PIECES);
		if (read_piece(r, item, (struct hw_slice){text.p + at, text.len - at}, p, &piece,
			    &len) < 0)
			return -1;
		p->pieces[p->n_pieces++] = piece;
	}
	p->any_id = p->n_pieces == 1 && p->pieces[0].kind == ACL_REST;
	return p->n_pieces > 0 ? 0 : refuse(r, item, "has nothing after the colon");
}

/* ---- rules ---- */

/* A rule as it is being read: what has been there already, and whether it can match. */
struct draft {
	struct acl_rule rule;
	bool has_allow, has_deny, has_topics, has_users, has_claims;
	bool has_any_id;
};

static int read_topics(struct reader *r, const struct item *outer, struct draft *d)
{
	size_t position = 0;
	struct item item;

	if (expect_list(r, outer, "[\"gift-list:*\"]") < 0)
		return -1;
	for (size_t i = 0; next(r, outer, &position, i, &item) == 0; i++) {
		struct acl_pattern pattern;

		if (item.kind != 's')
			return refuse(r, &item, "must be a text, like \"gift-list:*\"");
		if (read_pattern(r, &item, keep(r, item.value), &pattern) < 0 ||
			ADD(r, patterns, n_patterns, &pattern) < 0)
			return -1;
		d->has_any_id = d->has_any_id || pattern.any_id;
	}
	return 0;
}

static int read_operations(struct reader *r, const struct item *outer, struct draft *d)
{
	static const struct {
		const char *name;
		enum hw_operation operation;
	} names[] = {{"subscribe", HW_OP_SUBSCRIBE}, {"wildcard", HW_OP_WILDCARD},
		{"publish", HW_OP_PUBLISH}, {"presence", HW_OP_PRESENCE}};
	size_t position = 0;
	struct item item;

	if (expect_list(r, outer, "[\"subscribe\", \"publish\"]") < 0)
		return -1;
	for (size_t i = 0; next(r, outer, &position, i, &item) == 0; i++) {
		size_t k = 0;

		while (k < COUNT(names) && (item.kind != 's' || !is(item.value, names[k].name)))
			k++;
		if (k == COUNT(names))
			return refuse(r, &item,
				"must be \"subscribe\", \"wildcard\", \"publish\" or "
				"\"presence\"");
		d->rule.operations |= 1u << names[k].operation;
	}
	return 0;
}

static int read_users(struct reader *r, const struct item *outer, struct draft *d)
{
	size_t position = 0;
	struct item item;

	if (expect_list(r, outer, "[\"alice\"]; leave \"users\" out for everybody") < 0)
		return -1;
	d->rule.everybody = false;
	for (size_t i = 0; next(r, outer, &position, i, &item) == 0; i++) {
		struct hw_slice user;

		if (item.kind != 's' || item.value.len == 0)
			return refuse(r, &item, "must be a user id in quotes");
		user = keep(r, item.value);
		if (ADD(r, users, n_users, &user) < 0)
			return -1;
	}
	return 0;
}

static int read_value(struct reader *r, const struct item *item)
{
	struct acl_value value = {item->kind, {NULL, 0}};

	if (!strchr("sntf", item->kind))
		return refuse(r, item,
			"must be a text, a number, true or false, or an array of "
			"such: the claim is one of them, or an array that holds one");
	value.text = keep(r, item->value);
	return ADD(r, values, n_values, &value);
}

static int read_claims(struct reader *r, const struct item *outer)
{
	size_t position = 0, n = r->acl->n_conditions;
	struct item item;

	while (outer->kind == 'o' && next(r, outer, &position, 0, &item) == 0) {
		struct acl_condition condition = {.first = r->acl->n_values};
		size_t inner = 0;
		struct item one;

		if (claim_number(r, &item, item.key, &condition.claim) < 0)
			return -1;
		if (item.kind != 'a') {
			if (read_value(r, &item) < 0)
				return -1;
		} else if (expect_list(r, &item, "[\"admin\", \"owner\"]") < 0) {
			return -1;
		} else {
			for (size_t i = 0; next(r, &item, &inner, i, &one) == 0; i++) {
				if (read_value(r, &one) < 0)
					return -1;
			}
		}
		condition.end = r->acl->n_values;
		if (ADD(r, conditions, n_conditions, &condition) < 0)
			return -1;
	}
	return r->acl->n_conditions > n
		       ? 0
		       : refuse(r, outer,
				 "must be an object that is not empty: {\"role\": \"admin\"}");
}

static int read_member(struct reader *r, const struct item *m, struct draft *d)
{
	const struct {
		const char *name;
		bool *seen;
	} members[] = {{"allow", &d->has_allow}, {"deny", &d->has_deny}, {"topics", &d->has_topics},
		{"users", &d->has_users}, {"claims", &d->has_claims}};
	size_t i = 0;

	while (i < COUNT(members) && !is(m->key, members[i].name))
		i++;
	if (i == COUNT(members))
		return refuse(r, m,
			"unknown: a rule has \"allow\" or \"deny\", \"topics\", and "
			"maybe \"users\" and \"claims\"");
	if (*members[i].seen)
		return refuse(r, m, "is there twice");
	*members[i].seen = true;
	switch (i) {
	case 0:
	case 1:
		return read_operations(r, m, d);
	case 2:
		return read_topics(r, m, d);
	case 3:
		return read_users(r, m, d);
	default:
		return read_claims(r, m);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return acl_compare(*(const struct hw_slice *)a, *(const struct hw_slice *)b);
}

static int read_rule(struct reader *r, const struct item *outer)
{
	struct acl *acl = r->acl;
	struct draft d = {.rule = {.everybody = true,
				  .first_user = acl->n_users,
				  .first_condition = acl->n_conditions}};
	size_t position = 0;
	struct item m;

	if (outer->kind != 'o')
		return refuse(r, outer,
			"must be a rule: {\"allow\": [\"subscribe\"], \"topics\": "
			"[\"gift-list:*\"]}");
	while (next(r, outer, &position, 0, &m) == 0) {
		if (read_member(r, &m, &d) < 0)
			return -1;
	}
	if (d.has_allow == d.has_deny)
		return refuse(r, outer,
			"must have \"allow\" or \"deny\", one of them: an array of "
			"what, like [\"subscribe\"]");
	if (!d.has_topics)
		return refuse(r, outer, "has no \"topics\": which? [\"*:*\"] is all of them");
	if ((d.rule.operations & 1u << HW_OP_WILDCARD) && !d.has_any_id)
		return refuse(r, outer,
			"has \"wildcard\", and no topic that a wildcard can be: "
			"that is all of a resource, like \"gift-list:*\"");
	d.rule.allow = d.has_allow;
	d.rule.end_user = acl->n_users;
	d.rule.end_condition = acl->n_conditions;
	if (d.has_users)
		qsort(acl->users + d.rule.first_user, d.rule.end_user - d.rule.first_user,
			sizeof(acl->users[0]), by_bytes);
	return ADD(r, rules, n_rules, &d.rule);
}

static int read_rules(struct reader *r, const struct item *outer)
{
	size_t position = 0;
	struct item item;

	for (size_t i = 0; next(r, outer, &position, i, &item) == 0; i++) {
		if (read_rule(r, &item) < 0)
			return -1;
	}
	return 0;
}

/* ---- settings ---- */

/* The text of a file: it has places of its own. @rules becomes what is in it. */
static int enter_text(struct reader *r, struct item *rules, char *text)
{
	size_t at;
	int rc;

	r->text = (struct hw_slice){text, rules->value.len};
	r->is_text = true;
	rc = acl_text_blank_comments(text, r->text.len, &at);
	if (rc < 0) {
		rules->at = text + at;
		return refuse(r, rules, "a comment that does not end");
	}
	rc = acl_text_check(r->host, r->text, r->scratch, r->scratch_size, &at);
	rules->at = text + at;
	if (rc < 0)
		return refuse(r, rules,
			"not JSON here: the file is one array of rules, "
			"[{…}, {…}]");
	rules->kind = 'a';
	rules->value = r->text;
	return 0;
}

static int read_otherwise(struct reader *r, const struct item *m)
{
	r->acl->otherwise_deny = is(m->value, "deny");
	if (m->kind == 's' && (r->acl->otherwise_deny || is(m->value, "defer")))
		return 0;
	return refuse(r, m, "must be \"defer\" (the entries after this one are asked) or \"deny\"");
}

/* Finds the settings; *rules is left with the value of "rules", or without a kind. */
static int read_settings(
	struct reader *r, const struct item *config, struct item *rules, char *text)
{
	bool has_otherwise = false;
	size_t position = 0;
	struct item m;

	while (next(r, config, &position, 0, &m) == 0) {
		bool is_rules = is(m.key, "rules");

		if (!is_rules && !is(m.key, "otherwise"))
			return refuse(
				r, &m, "unknown setting: there are \"rules\" and \"otherwise\"");
		if (is_rules ? rules->kind != 0 : has_otherwise)
			return refuse(r, &m, "is there twice");
		if (!is_rules) {
			has_otherwise = true;
			if (read_otherwise(r, &m) < 0)
				return -1;
			continue;
		}
		if (m.kind != 'a' && m.kind != 's')
			return refuse(r, &m, "must be an array of rules, or \"@file:acl.json\"");
		*rules = m;
		if (m.kind == 's' && m.value.len > 0) /* out of the scratch's way */
			rules->value.p = memcpy(text, m.value.p, m.value.len);
	}
	return rules->kind ? 0
			   : refuse(r, config,
				     "there are no \"rules\": write an array of them, or "
				     "\"@file:acl.json\"");
}

static int read_all(struct reader *r, struct hw_slice config, char *text)
{
	struct item whole = {.value = config, .kind = 'o', .at = config.p}, rules = {.kind = 0};

	if (read_settings(r, &whole, &rules, text) < 0 ||
		(rules.kind == 's' && enter_text(r, &rules, text) < 0) ||
		read_rules(r, &rules) < 0 || r->broken)
		return -1;
	acl_compile(r->acl);
	return 0;
}

int acl_read(const struct hw_host *host, struct hw_slice config, struct acl *out,
	struct hw_problem *problem)
{
	struct reader r = {.host = host, .acl = out, .problem = problem};
	char *text = malloc(config.len + 1); /* a file's text: what is escaped is never shorter */
	int rc;

	*out = (struct acl){0};
	r.scratch = malloc(config.len + 1);
	r.scratch_size = config.len + 1;
	out->text = malloc(config.len + 1);
	if (!text || !r.scratch || !out->text)
		rc = no_memory(&r);
	else
		rc = read_all(&r, config, text);
	free(text);
	free(r.scratch);
	if (rc < 0)
		acl_fini(out);
	return rc;
}
