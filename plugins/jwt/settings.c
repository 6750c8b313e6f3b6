#include "settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int read_skew(const struct member *m, struct jwt_settings *out, struct hw_problem *problem)
{
	int64_t n = 0;

	if (m->kind != 'n' || m->value.len == 0 || m->value.len > 4)
		return refuse(problem, m->path, "must be a whole number of seconds, 0 to 3600");
	for (size_t i = 0; i < m->value.len; i++) {
		if (m->value.p[i] < '0' || m->value.p[i] > '9')
			return refuse(
				problem, m->path, "must be a whole number of seconds, 0 to 3600");
		n = 10 * n + (m->value.p[i] - '0');
	}
	if (n > SKEW_MAX_S)
		return refuse(problem, m->path, "must be a whole number of seconds, 0 to 3600");
	out->skew_s = n;
	return 0;
}

static int read_keys(const struct hw_host *host, const struct member *m, struct jwt_settings *out,
	struct hw_problem *problem)
{
	struct hw_problem inner = {"", ""};

	if (out->keys)
		return refuse(problem, m->path, "is there twice");
	if (m->kind != 'a') /* a text would come without its quotes */
		return refuse(problem, m->path,
			"must be an array of keys like [{\"alg\": \"HS256\", \"secret\": "
			"\"${NAME}\"}]");
	if (host->jwt_keys_create(host, m->value, &out->keys, &inner) == 0)
		return 0;
	snprintf(problem->path, sizeof(problem->path), "/keys%.120s", inner.path);
	snprintf(problem->text, sizeof(problem->text), "%s", inner.text);
	return -1;
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
		return read_skew(m, out, problem);
	if (is(m->key, "claims"))
		return read_claims(host, m, out, problem);
	if (is(m->key, "act_as"))
		return read_act_as(host, m, out, problem);
	if (is(m->key, "tenants_claim"))
		return set_text(m, &out->tenants_claim, problem);
	return unknown(m,
		"\"keys\", \"issuer\", \"audience\", \"skew_s\", \"claims\", \"act_as\" and "
		"\"tenants_claim\"",
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
	if (!out->keys)
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
	*out = (struct jwt_settings){0};
	if (read_all(host, config, out, problem) < 0) {
		jwt_settings_fini(host, out);
		return -1;
	}
	return 0;
}

void jwt_settings_fini(const struct hw_host *host, struct jwt_settings *settings)
{
	host->jwt_keys_destroy(&settings->keys);
	free(settings->issuer);
	free(settings->audience);
	free(settings->user_claim);
	free(settings->tenant_claim);
	free(settings->act_as_claim);
	free(settings->act_as_equals);
	free(settings->tenants_claim);
	*settings = (struct jwt_settings){0};
}
