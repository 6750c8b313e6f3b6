#include "settings.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"

#define NAME_MAX_BYTES 64 /* no name or word that is known here is longer */
#define RATE_MIN 0.0001   /* one in some three hours */
#define RATE_MAX 1e6
#define BURST_MAX 1000000
#define FULL_MAX_S 86400 /* a bucket that takes longer to fill is not meant */
#define NS_PER_S 1e9

const char *const limit_names[N_LIMITS] = {"connect", "request", "subscribe", "publish"};
const char *const per_names[N_PERS] = {"address", "user", "tenant"};

/* A member of an object, or an item of an array. */
struct item {
	struct hw_slice key, value;
	char kind;
	char scratch[2 * NAME_MAX_BYTES];
};

struct reader {
	const struct hw_host *host;
	struct hw_problem *problem;
};

__attribute__((format(printf, 3, 4))) static int refuse(
	struct reader *r, const char *path, const char *format, ...)
{
	va_list args;

	snprintf(r->problem->path, sizeof(r->problem->path), "%s", path);
	va_start(args, format);
	vsnprintf(r->problem->text, sizeof(r->problem->text), format, args);
	va_end(args);
	return -1;
}

static bool is(struct hw_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static int next(struct reader *r, struct hw_slice container, size_t *position, struct item *item)
{
	return r->host->json_next(container, position, &item->key, &item->kind, &item->value,
		item->scratch, sizeof(item->scratch));
}

/* A number that is @least to @most. */
static bool number(const struct item *item, double least, double most, double *out)
{
	char text[NAME_MAX_BYTES], *end;
	double n;

	if (item->kind != 'n' || item->value.len >= sizeof(text))
		return false;
	memcpy(text, item->value.p, item->value.len);
	text[item->value.len] = '\0';
	n = strtod(text, &end);
	if (*end || !(n >= least && n <= most))
		return false;
	*out = n;
	return true;
}

static int whole(struct reader *r, const struct item *item, const char *path, int64_t least,
	int64_t most, int64_t *out)
{
	double n;

	if (!number(item, (double)least, (double)most, &n) || n != floor(n))
		return refuse(
			r, path, "must be a whole number, %" PRId64 " to %" PRId64, least, most);
	*out = (int64_t)n;
	return 0;
}

/* ---- a limit ---- */

struct draft {
	enum limit_per per;
	double rate;
	int64_t burst;
};

static int read_per(
	struct reader *r, const struct item *item, const char *path, enum limit_per *out)
{
	for (unsigned i = 0; i < N_PERS; i++) {
		if (item->kind == 's' && is(item->value, per_names[i])) {
			*out = (enum limit_per)i;
			return 0;
		}
	}
	return refuse(r, path,
		"must be \"address\", \"user\" or \"tenant\": whose bucket a token is taken of");
}

static int read_members(
	struct reader *r, struct hw_slice object, const char *path, struct draft *out)
{
	struct item item;
	size_t position = 0;
	int rc;

	while ((rc = next(r, object, &position, &item)) == 0) {
		char at[sizeof(r->problem->path)];

		if (is(item.key, "per")) {
			snprintf(at, sizeof(at), "%.64s/per", path);
			rc = read_per(r, &item, at, &out->per);
		} else if (is(item.key, "rate")) {
			snprintf(at, sizeof(at), "%.64s/rate", path);
			if (!number(&item, RATE_MIN, RATE_MAX, &out->rate))
				rc = refuse(r, at,
					"must be a number of tokens a second, %g to %g; one in ten "
					"seconds is 0.1",
					RATE_MIN, RATE_MAX);
		} else if (is(item.key, "burst")) {
			snprintf(at, sizeof(at), "%.64s/burst", path);
			rc = whole(r, &item, at, 1, BURST_MAX, &out->burst);
		} else {
			rc = refuse(r, path,
				"\"%.*s\" is no setting of a limit: there are \"per\", \"rate\" "
				"and "
				"\"burst\"",
				(int)item.key.len, item.key.p);
		}
		if (rc < 0)
			return -1;
	}
	return rc > 0 ? 0 : refuse(r, path, "a name or a text is too long");
}

static int read_limit(
	struct reader *r, const struct item *item, const char *path, struct limit limits[N_PERS])
{
	struct draft d = {.per = N_PERS};

	if (item->kind != 'o')
		return refuse(r, path,
			"must be a limit like {\"per\": \"user\", \"rate\": 10, \"burst\": 20}, or "
			"an "
			"array of such");
	if (read_members(r, item->value, path, &d) < 0)
		return -1;
	if (d.per == N_PERS || d.rate == 0)
		return refuse(r, path,
			"has no \"%s\": a limit is {\"per\": \"user\", \"rate\": 10}",
			d.per == N_PERS ? "per" : "rate");
	if (d.burst == 0)
		d.burst = d.rate > 1 ? (int64_t)ceil(d.rate) : 1;
	if ((double)d.burst / d.rate > FULL_MAX_S)
		return refuse(r, path,
			"an empty bucket would be full after more than a day: make \"rate\" larger "
			"or \"burst\" smaller");
	if (limits[d.per].interval_ns)
		return refuse(r, path,
			"there is a limit per %s here already; remove one of the two",
			per_names[d.per]);
	limits[d.per] = (struct limit){(int64_t)(NS_PER_S / d.rate), d.burst};
	return 0;
}

/* One, or an array of them. */
static int read_limits(
	struct reader *r, const struct item *item, const char *path, struct limit limits[N_PERS])
{
	struct item one;
	size_t position = 0, i = 0;
	int rc;

	if (item->kind != 'a')
		return read_limit(r, item, path, limits);
	while ((rc = next(r, item->value, &position, &one)) == 0) {
		char at[sizeof(r->problem->path)];

		snprintf(at, sizeof(at), "%.32s/%zu", path, i++);
		if (read_limit(r, &one, at, limits) < 0)
			return -1;
	}
	return rc > 0 ? 0 : refuse(r, path, "a name or a text is too long");
}

/* ---- all of them ---- */

static int read_setting(struct reader *r, const struct item *item, struct settings *out)
{
	char path[sizeof(r->problem->path)];

	for (unsigned i = 0; i < N_LIMITS; i++) {
		snprintf(path, sizeof(path), "/%s", limit_names[i]);
		if (is(item->key, limit_names[i]))
			return read_limits(r, item, path, out->limits[i]);
	}
	if (is(item->key, "buckets"))
		return whole(r, item, "/buckets", BUCKETS_MIN, BUCKETS_MAX, &out->buckets);
	if (is(item->key, "ipv6_prefix"))
		return whole(r, item, "/ipv6_prefix", 16, 128, &out->ipv6_prefix);
	return refuse(r, "",
		"\"%.*s\" is no setting: there are \"connect\", \"request\", \"subscribe\", "
		"\"publish\", \"buckets\" and \"ipv6_prefix\"",
		(int)item->key.len, item->key.p);
}

static bool limits_nothing(const struct settings *s)
{
	for (unsigned i = 0; i < N_LIMITS; i++)
		for (unsigned j = 0; j < N_PERS; j++)
			if (s->limits[i][j].interval_ns)
				return false;
	return true;
}

int settings_read(const struct hw_host *host, struct hw_slice config, struct settings *out,
	struct hw_problem *problem)
{
	struct reader r = {host, problem};
	struct item item;
	size_t position = 0;
	int rc;

	*out = (struct settings){.buckets = 65536, .ipv6_prefix = 64};
	while ((rc = next(&r, config, &position, &item)) == 0)
		if (read_setting(&r, &item, out) < 0)
			return -1;
	if (rc < 0)
		return refuse(&r, "", "a name or a text is too long");
	if (limits_nothing(out))
		return refuse(&r, "",
			"nothing is limited: add one, like \"publish\": {\"per\": \"user\", "
			"\"rate\": "
			"10}");
	return 0;
}
