#include "settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

#define SKEW_MAX_S 3600
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int refuse(struct hw_problem *problem, const char *path, const char *text)
{
	snprintf(problem->path, sizeof(problem->path), "%s", path);
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return -1;
}

static bool is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

/* One member of an object as the host gives it out. */
struct member {
	struct hw_slice key, value;
	char kind;
	char scratch[4096];
	char path[sizeof(((struct hw_problem *)0)->path)];
};

/* JSON pointer: "~" and "/" in a name are "~0" and "~1" (RFC 6901). */
static void set_path(struct member *m, const char *parent)
{
	size_t n = (size_t)snprintf(m->path, sizeof(m->path), "%s/", parent);

	for (size_t i = 0; i < m->key.len && n + 3 < sizeof(m->path); i++) {
		char c = m->key.p[i];

		if (c == '~' || c == '/')
			m->path[n++] = '~';
		m->path[n++] = c == '~' ? '0' : c == '/' ? '1' : c;
	}
	m->path[n] = '\0';
}

/* 0 one more, 1 the end, -1 refused */
static int next(const struct hw_host *host, struct hw_slice object, const char *parent,
	size_t *position, struct member *m, struct hw_problem *problem)
{
	int rc = host->json_next(
		object, position, &m->key, &m->kind, &m->value, m->scratch, sizeof(m->scratch));

	if (rc < 0)
		return refuse(problem, parent, "a name or a text is too long");
	if (rc == 0)
		set_path(m, parent);
	return rc;
}

static int unknown(const struct member *m, const char *known, struct hw_problem *problem)
{
	char text[300];

	snprintf(text, sizeof(text), "unknown setting \"%.*s\": there are %s",
		m->key.len < 40 ? (int)m->key.len : 40, m->key.p ? m->key.p : "", known);
	return refuse(problem, m->path, text);
}

static int set_text(const struct member *m, char **out, struct hw_problem *problem)
{
	if (m->kind != 's' || m->value.len == 0 || memchr(m->value.p, '\0', m->value.len))
		return refuse(problem, m->path, "must be a text that is not empty");
	if (*out)
		return refuse(problem, m->path, "is there twice");
	*out = strndup(m->value.p, m->value.len);
	return *out ? 0 : refuse(problem, m->path, "out of memory");
}

/* An object of texts: each member has its place. */
struct field {
	const char *name;
	char **out;
};

static int read_fields(const struct hw_host *host, const struct member *outer,
	const struct field *fields, size_t n, const char *known, struct hw_problem *problem)
{
	struct hw_slice object = outer->value;
	size_t position = 0;
	struct member m;
	int rc;

	if (outer->kind != 'o')
		return refuse(problem, outer->path, "must be an object");
	while ((rc = next(host, object, outer->path, &position, &m, problem)) == 0) {
		size_t i = 0;

		while (i < n && !is(m.key, fields[i].name))
			i++;
		rc = i < n ? set_text(&m, fields[i].out, problem) : unknown(&m, known, problem);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? -1 : 0;
}

static int read_claims(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	struct hw_problem *problem)
{
	const struct field fields[] = {
		{"user_id", &out->user_claim}, {"tenant_id", &out->tenant_claim}};

	return read_fields(host, m, fields, COUNT(fields),
		"\"user_id\" and \"tenant_id\", which say in which claims these are; all other "
		"claims keep their names",
		problem);
}

static int read_act_as(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	struct hw_problem *problem)
{
	const struct field fields[] = {
		{"claim", &out->act_as_claim}, {"equals", &out->act_as_equals}};

	if (read_fields(host, m, fields, COUNT(fields), "\"claim\" and \"equals\"", problem) < 0)
		return -1;
	if (!out->act_as_claim || !out->act_as_equals)
		return refuse(problem, m->path,
			"needs both \"claim\" and \"equals\", like {\"claim\": \"role\", "
			"\"equals\": \"service\"}");
	return 0;
}

/* A whole number of seconds, of as many digits as the largest has. */
static int read_seconds(const struct member *m, int64_t least, int64_t most, int64_t *out,
	struct hw_problem *problem)
{
	int64_t n = 0;
	size_t i = 0;
	char text[80];

	while (m->kind == 'n' && i < m->value.len && i < 9 && m->value.p[i] >= '0' &&
		m->value.p[i] <= '9')
		n = 10 * n + (m->value.p[i++] - '0');
	if (i > 0 && i == m->value.len && n >= least && n <= most) {
		*out = n;
		return 0;
	}
	snprintf(text, sizeof(text), "must be a whole number of seconds, %d to %d", (int)least,
		(int)most);
	return refuse(problem, m->path, text);
}

/* ---- keys ---- */

/* What the host says of the items that it was given is about these, not about all. */
static int point_at_item(
	const size_t *index, size_t n, const struct hw_problem *inner, struct hw_problem *problem)
{
	char *rest = NULL;
	unsigned long i = inner->path[0] == '/' ? strtoul(inner->path + 1, &rest, 10) : n;

	if (i < n)
		snprintf(problem->path, sizeof(problem->path), "/keys/%zu%.100s", index[i], rest);
	else
		snprintf(problem->path, sizeof(problem->path), "/keys");
	snprintf(problem->text, sizeof(problem->text), "%s", inner->text);
	return -1;
}

static int check_source(const struct member *item, const struct jwt_settings *out,
	const struct jwt_source *source, struct hw_problem *problem)
{
	if (!fetch_is_url(source->url))
		return refuse(problem, item->path,
			"\"jwks_url\" must be a whole address, like "
			"\"https://idp.example/.well-known/jwks.json\"");
	if (!source->iss)
		return refuse(problem, item->path,
			"beside \"jwks_url\" there must be \"iss\": whose tokens do these keys "
			"sign?");
	for (size_t i = 0; i + 1 < out->n_sources; i++) {
		if (strcmp(out->sources[i].iss, source->iss) == 0)
			return refuse(problem, item->path,
				"another address is there for the same \"iss\"");
	}
	return 0;
}

static int read_source(const struct hw_host *host, const struct member *item,
	struct jwt_settings *out, struct hw_problem *problem)
{
	struct jwt_source *source =
		realloc(out->sources, (out->n_sources + 1) * sizeof(out->sources[0]));

	if (!source)
		return refuse(problem, item->path, "out of memory");
	out->sources = source;
	source += out->n_sources++;
	*source = (struct jwt_source){NULL, NULL, NULL};
	{
		const struct field fields[] = {
			{"jwks_url", &source->url}, {"iss", &source->iss}, {"alg", &source->alg}};

		if (read_fields(host, item, fields, COUNT(fields),
			    "\"jwks_url\", \"iss\" and \"alg\"", problem) < 0)
			return -1;
	}
	return check_source(item, out, source, problem);
}

/* Splits the array: out->items gets the text of what is no source. */
static int split_keys(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	size_t *index, size_t *n, struct hw_problem *problem)
{
	size_t position = 0, i = 0, len = 0;
	struct hw_slice none, found;
	struct member item;
	char kind, scratch[4096];
	int rc;

	for (; (rc = host->json_next(m->value, &position, &none, &item.kind, &item.value,
			item.scratch, sizeof(item.scratch))) == 0;
		i++) {
		snprintf(item.path, sizeof(item.path), "/keys/%zu", i);
		if (item.kind == 'o' && host->json_get(item.value, "jwks_url", &kind, &found,
						scratch, sizeof(scratch)) == 0) {
			if (read_source(host, &item, out, problem) < 0)
				return -1;
			continue;
		}
		if (item.kind != 'o')
			return refuse(problem, item.path,
				"must be an object like {\"alg\": "
				"\"HS256\", \"secret\": \"${NAME}\"}");
		index[(*n)++] = i;
		if (len > 0)
			out->items[len++] = ',';
		memcpy(out->items + len, item.value.p, item.value.len);
		len += item.value.len;
	}
	return rc < 0 ? refuse(problem, m->path, "a text in it is too long") : 0;
}

static int check_sources(const struct hw_host *host, const struct member *m,
	const struct jwt_settings *out, struct hw_problem *problem)
{
	static const char *const algs[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"};

	if (!HW_HOST_HAS(host, offload) || !HW_HOST_HAS(host, random))
		return refuse(problem, m->path, "\"jwks_url\" needs a newer broker");
	for (size_t i = 0; i < out->n_sources; i++) {
		size_t k = 0;

		while (out->sources[i].alg && k < COUNT(algs) &&
			strcmp(out->sources[i].alg, algs[k]) != 0)
			k++;
		if (k == COUNT(algs))
			return refuse(problem, m->path,
				"\"alg\" beside \"jwks_url\" is for RSA keys that do not say: "
				"RS256, "
				"RS384, RS512, PS256, PS384 or PS512");
	}
	return 0;
}

/* The keys of the settings themselves are tried at once: what is wrong is said now. */
static int try_keys(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	const size_t *index, size_t n, struct hw_problem *problem)
{
	struct hw_problem inner = {"", ""};
	size_t len = strlen(out->items);
	char *array = malloc(len + 3);
	int rc = 0;

	if (!array)
		return refuse(problem, m->path, "out of memory");
	snprintf(array, len + 3, "[%s]", out->items);
	if (len > 0 || out->n_sources == 0)
		rc = host->jwt_keys_create(
			host, (struct hw_slice){array, len + 2}, &out->keys, &inner);
	explicit_bzero(array, len);
	free(array);
	if (rc < 0)
		return point_at_item(index, n, &inner, problem);
	if (out->n_sources == 0)
		return 0;
	host->jwt_keys_destroy(&out->keys); /* the ring makes them with the others */
	return check_sources(host, m, out, problem);
}

static int read_keys(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	struct hw_problem *problem)
{
	size_t n = 0, *index;
	int rc;

	if (out->items)
		return refuse(problem, m->path, "is there twice");
	if (m->kind != 'a') /* a text would come without its quotes */
		return refuse(problem, m->path,
			"must be an array of keys like [{\"alg\": \"HS256\", \"secret\": "
			"\"${NAME}\"}]");
	/* a text at any moment, also when an item is refused halfway */
	out->items = calloc(1, m->value.len + 1);
	index = malloc(m->value.len * sizeof(*index));
	if (!out->items || !index) {
		free(index);
		return refuse(problem, m->path, "out of memory");
	}
	rc = split_keys(host, m, out, index, &n, problem);
	if (rc == 0)
		rc = try_keys(host, m, out, index, n, problem);
	free(index);
	return rc;
}

static int read_member(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	struct hw_problem *problem)
{
	if (is(m->key, "keys"))
		return read_keys(host, m, out, problem);
	if (is(m->key, "issuer"))
		return set_text(m, &out->issuer, problem);
	if (is(m->key, "audience"))
		return set_text(m, &out->audience, problem);
	if (is(m->key, "skew_s"))
		return read_seconds(m, 0, SKEW_MAX_S, &out->skew_s, problem);
	if (is(m->key, "jwks_refetch_s"))
		return read_seconds(m, 1, 3600, &out->refetch_s, problem);
	if (is(m->key, "jwks_max_age_s"))
		return read_seconds(m, 10, 86400, &out->max_age_s, problem);
	if (is(m->key, "claims"))
		return read_claims(host, m, out, problem);
	if (is(m->key, "act_as"))
		return read_act_as(host, m, out, problem);
	if (is(m->key, "tenants_claim"))
		return set_text(m, &out->tenants_claim, problem);
	return unknown(m,
		"\"keys\", \"issuer\", \"audience\", \"skew_s\", \"claims\", \"act_as\", "
		"\"tenants_claim\", \"jwks_refetch_s\" and \"jwks_max_age_s\"",
		problem);
}

static int set_default(char **to, const char *text, struct hw_problem *problem)
{
	if (!*to)
		*to = strdup(text);
	return *to ? 0 : refuse(problem, "", "out of memory");
}

static int read_all(const struct hw_host *host, struct hw_slice config, struct jwt_settings *out,
	struct hw_problem *problem)
{
	size_t position = 0;
	struct member m;
	int rc;

	while ((rc = next(host, config, "", &position, &m, problem)) == 0) {
		if (read_member(host, &m, out, problem) < 0)
			return -1;
	}
	if (rc < 0)
		return -1;
	if (!out->keys && out->n_sources == 0)
		return refuse(
			problem, "", "there are no \"keys\": without one no token can be believed");
	if (set_default(&out->issuer, "", problem) < 0 ||
		set_default(&out->audience, "", problem) < 0 ||
		set_default(&out->user_claim, "sub", problem) < 0 ||
		set_default(&out->tenant_claim, "tenant_id", problem) < 0)
		return -1;
	return 0;
}

int jwt_settings_read(const struct hw_host *host, struct hw_slice config, struct jwt_settings *out,
	struct hw_problem *problem)
{
	if (!HW_HOST_HAS(host, json_next))
		return refuse(problem, "", "this plugin needs a newer broker");
	*out = (struct jwt_settings){.refetch_s = 30, .max_age_s = 3600};
	if (read_all(host, config, out, problem) < 0) {
		jwt_settings_fini(host, out);
		return -1;
	}
	return 0;
}

void jwt_settings_fini(const struct hw_host *host, struct jwt_settings *settings)
{
	host->jwt_keys_destroy(&settings->keys);
	for (size_t i = 0; i < settings->n_sources; i++) {
		free(settings->sources[i].url);
		free(settings->sources[i].iss);
		free(settings->sources[i].alg);
	}
	free(settings->sources);
	if (settings->items)
		explicit_bzero(settings->items, strlen(settings->items));
	free(settings->items);
	free(settings->issuer);
	free(settings->audience);
	free(settings->user_claim);
	free(settings->tenant_claim);
	free(settings->act_as_claim);
	free(settings->act_as_equals);
	free(settings->tenants_claim);
	*settings = (struct jwt_settings){0};
}
