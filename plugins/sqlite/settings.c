#include "settings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATH_MAX_BYTES = 4000,
	NUMBER_DIGITS_MAX = 18,
};

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

int problem_set(struct hw_problem *problem, const char *path, const char *format, ...)
{
	va_list args;

	snprintf(problem->path, sizeof(problem->path), "%s", path);
	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	return -1;
}

static bool is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

struct member {
	struct hw_slice key, value;
	char kind;
	char scratch[2 * PATH_MAX_BYTES];
	char path[sizeof(((struct hw_problem *)0)->path)];
};

/* JSON pointer: "~" and "/" in a name are "~0" and "~1" (RFC 6901). */
static void set_path(struct member *m)
{
	size_t n = 0;

	m->path[n++] = '/';
	for (size_t i = 0; i < m->key.len && n + 3 < sizeof(m->path); i++) {
		char c = m->key.p[i];

		if (c == '~' || c == '/')
			m->path[n++] = '~';
		m->path[n++] = c == '~' ? '0' : c == '/' ? '1' : c;
	}
	m->path[n] = '\0';
}

static int read_path(const struct hw_host *host, const struct member *m, struct settings *out,
	struct hw_problem *problem)
{
	char path[2 * PATH_MAX_BYTES];

	if (m->kind != 's' || m->value.len == 0 || m->value.len > PATH_MAX_BYTES ||
		memchr(m->value.p, '\0', m->value.len))
		return problem_set(problem, m->path,
			"must be the name of a file in quotes, like "
			"\"/var/lib/hookwire/hookwire.db\"");
	if (host->path(host, m->value, path, sizeof(path)))
		return problem_set(problem, m->path, "the name is too long");
	free(out->path);
	/* SQLite has names with a meaning, "file:…" and ":memory:": none begins so */
	if (asprintf(&out->path, "%s%s", path[0] == '/' ? "" : "./", path) >= 0)
		return 0;
	out->path = NULL;
	return problem_set(problem, m->path, "out of memory");
}

static int read_synchronous(
	const struct member *m, struct settings *out, struct hw_problem *problem)
{
	out->synchronous_normal = m->kind == 's' && is(m->value, "normal");
	if (out->synchronous_normal || (m->kind == 's' && is(m->value, "full")))
		return 0;
	return problem_set(problem, m->path, "must be \"full\" or \"normal\"");
}

static int read_number(const struct member *m, uint64_t least, uint64_t most, uint64_t *out,
	struct hw_problem *problem)
{
	uint64_t n = 0;
	size_t i = 0;

	while (m->kind == 'n' && i < m->value.len && i < NUMBER_DIGITS_MAX &&
		m->value.p[i] >= '0' && m->value.p[i] <= '9')
		n = 10 * n + (uint64_t)(m->value.p[i++] - '0');
	if (i == 0 || i < m->value.len || n < least || n > most)
		return problem_set(problem, m->path,
			"must be a whole number of bytes, %" PRIu64 " to %" PRIu64, least, most);
	*out = n;
	return 0;
}

static int read_member(const struct hw_host *host, const struct member *m, struct settings *out,
	struct hw_problem *problem)
{
	if (is(m->key, "path"))
		return read_path(host, m, out, problem);
	if (is(m->key, "synchronous"))
		return read_synchronous(m, out, problem);
	if (is(m->key, "queue_bytes"))
		return read_number(m, MIB, 16 * GIB, &out->queue_bytes, problem);
	if (is(m->key, "checkpoint_bytes"))
		return read_number(m, 64 * KIB, 16 * GIB, &out->checkpoint_bytes, problem);
	return problem_set(problem, m->path,
		"unknown setting: there are \"path\", \"synchronous\", \"queue_bytes\" and "
		"\"checkpoint_bytes\"");
}

int settings_read(const struct hw_host *host, struct hw_slice config, struct settings *out,
	struct hw_problem *problem)
{
	struct member m;
	size_t position = 0;
	int rc;

	*out = (struct settings){.queue_bytes = 64 * MIB, .checkpoint_bytes = 16 * MIB};
	if (!HW_HOST_HAS(host, path))
		return problem_set(problem, "", "this plugin needs a newer broker");
	while ((rc = host->json_next(config, &position, &m.key, &m.kind, &m.value, m.scratch,
			sizeof(m.scratch))) == 0) {
		set_path(&m);
		rc = read_member(host, &m, out, problem);
		if (rc)
			break;
	}
	if (rc < 0 && !problem->text[0])
		problem_set(problem, "", "a name or a text is too long");
	else if (rc > 0 && !out->path)
		rc = problem_set(
			problem, "", "there is no \"path\": where is the file of the journal?");
	if (rc > 0)
		return 0;
	settings_fini(out);
	return -1;
}

void settings_fini(struct settings *settings)
{
	free(settings->path);
	settings->path = NULL;
}
