#include "keep.h"

#include <stdlib.h>
#include <string.h>

/* magic | parts: head, then n × entry */
static const char magic[8] = {'r', 'a', 't', 'e', '0', '0', '0', '1'};

struct head {
	uint32_t of, per;
	int64_t ipv6_prefix;
	int64_t interval_ns;
	uint64_t n;
};

struct entry {
	uint64_t key;
	int64_t debt_ns;
};

#define DEBT_BITS 64

/* First it counts, then it writes. */
struct writer {
	char *to;                  /* NULL: count */
	size_t by_size[DEBT_BITS]; /* how many debts have their highest bit there */
	unsigned from;             /* those of this size and larger are written … */
	size_t below;              /* … and so many of the size below it */
	size_t n;
};

static unsigned size_of(int64_t debt_ns)
{
	return 63u - (unsigned)__builtin_clzll((unsigned long long)debt_ns);
}

static void each(void *arg, uint64_t key, int64_t debt_ns)
{
	struct writer *w = arg;
	struct entry entry = {key, debt_ns};
	unsigned size = size_of(debt_ns);

	if (!w->to) {
		w->by_size[size]++;
		return;
	}
	if (size < w->from) {
		if (size + 1 < w->from || w->below == 0)
			return;
		w->below--;
	}
	/* a table grows between counting and writing */
	if (w->n == 0)
		return;
	w->n--;
	memcpy(w->to, &entry, sizeof(entry));
	w->to += sizeof(entry);
}

/* Decides which of them find room; returns how many. */
static size_t choose(struct writer *w, size_t room)
{
	size_t n = 0;

	w->from = DEBT_BITS;
	while (w->from > 0 && n + w->by_size[w->from - 1] <= room)
		n += w->by_size[--w->from];
	w->below = w->from > 0 ? room - n : 0;
	return n + w->below;
}

/* Writes a part behind @to; returns how many bytes it took. */
static size_t write_part(
	struct ratelimit *r, unsigned of, unsigned per, int64_t now_ns, char *to, size_t room)
{
	struct buckets *table = r->tables[of][per];
	struct head head = {.of = of,
		.per = per,
		.ipv6_prefix = r->settings.ipv6_prefix,
		.interval_ns = buckets_interval_ns(table)};
	struct writer w = {.to = NULL};

	if (room < sizeof(head))
		return 0;
	buckets_each(table, now_ns, each, &w);
	w.n = choose(&w, (room - sizeof(head)) / sizeof(struct entry));
	w.to = to + sizeof(head);
	buckets_each(table, now_ns, each, &w);
	head.n = (size_t)(w.to - to - (ptrdiff_t)sizeof(head)) / sizeof(struct entry);
	memcpy(to, &head, sizeof(head));
	return (size_t)(w.to - to);
}

char *keep_write(struct ratelimit *r, int64_t now_ns, size_t *len)
{
	char *text = malloc(KEEP_MAX_BYTES);
	size_t n = sizeof(magic), tables = 0;

	if (!text)
		return NULL;
	memcpy(text, magic, sizeof(magic));
	for (unsigned i = 0; i < N_LIMITS * N_PERS; i++)
		tables += r->tables[i / N_PERS][i % N_PERS] != NULL;
	/* each has a share of the room, and what those before it left */
	for (unsigned i = 0; i < N_LIMITS * N_PERS; i++) {
		if (!r->tables[i / N_PERS][i % N_PERS])
			continue;
		n += write_part(
			r, i / N_PERS, i % N_PERS, now_ns, text + n, (KEEP_MAX_BYTES - n) / tables);
		tables--;
	}
	*len = n;
	return text;
}

/* What the debt is at another rate: as many tokens. */
static int64_t at_rate(int64_t debt_ns, int64_t old_ns, int64_t new_ns)
{
	return old_ns == new_ns ? debt_ns
				: (int64_t)((double)debt_ns / (double)old_ns * (double)new_ns);
}

static void take_part(
	struct ratelimit *r, const struct head *head, const char *entries, int64_t now_ns)
{
	struct buckets *table = r->tables[head->of][head->per];

	/* with another prefix the keys are others */
	if (!table || (head->per == PER_ADDRESS && head->ipv6_prefix != r->settings.ipv6_prefix))
		return;
	for (uint64_t i = 0; i < head->n; i++) {
		struct entry entry;

		memcpy(&entry, entries + i * sizeof(entry), sizeof(entry));
		buckets_owe(table, entry.key,
			at_rate(entry.debt_ns, head->interval_ns, buckets_interval_ns(table)),
			now_ns);
	}
}

int keep_read(struct ratelimit *r, int64_t now_ns, struct hw_slice kept)
{
	size_t at = sizeof(magic);

	if (kept.len < sizeof(magic) || memcmp(kept.p, magic, sizeof(magic)) != 0)
		return -1;
	while (at < kept.len) {
		struct head head;

		if (kept.len - at < sizeof(head))
			return -1;
		memcpy(&head, kept.p + at, sizeof(head));
		at += sizeof(head);
		if (head.of >= N_LIMITS || head.per >= N_PERS || head.interval_ns <= 0 ||
			head.n > (kept.len - at) / sizeof(struct entry))
			return -1;
		take_part(r, &head, kept.p + at, now_ns);
		at += head.n * sizeof(struct entry);
	}
	return 0;
}
