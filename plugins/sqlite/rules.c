#include "rules.h"

#include <stdlib.h>
#include <string.h>

bool slice_is(struct hw_slice a, struct hw_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static bool ends_with_star(struct hw_slice s)
{
	return s.len > 0 && s.p[s.len - 1] == '*';
}

static bool begins_as(struct hw_slice s, struct hw_slice begin)
{
	return s.len >= begin.len && memcmp(s.p, begin.p, begin.len) == 0;
}

struct rules *rules_copy(const struct hw_journal_class *classes, size_t n)
{
	size_t size = sizeof(struct rules) + n * sizeof(struct rule);
	struct rules *rules;
	char *p;

	for (size_t i = 0; i < n; i++)
		size += classes[i].pattern.len;
	rules = malloc(size);
	if (!rules)
		return NULL;
	rules->n = n;
	p = (char *)&rules->rules[n];
	for (size_t i = 0; i < n; i++) {
		rules->rules[i] = (struct rule){.pattern = {p, classes[i].pattern.len},
			.count = classes[i].count,
			.bytes = classes[i].bytes,
			.age_ms = classes[i].age_ms};
		if (classes[i].pattern.len)
			memcpy(p, classes[i].pattern.p, classes[i].pattern.len);
		p += classes[i].pattern.len;
	}
	return rules;
}

/* The larger, the closer; 0: not of this pattern. */
static int closeness(struct hw_slice pattern, struct hw_slice topic)
{
	if (slice_is(pattern, topic))
		return 3;
	if (!pattern_covers(pattern, topic, false))
		return 0;
	return pattern.len ? 2 : 1;
}

const struct rule *rules_find(const struct rules *rules, struct hw_slice topic)
{
	const struct rule *best = NULL;
	int closest = 0;

	for (size_t i = 0; rules && i < rules->n; i++) {
		int c = closeness(rules->rules[i].pattern, topic);

		if (c > closest) {
			closest = c;
			best = &rules->rules[i];
		}
	}
	return best;
}

bool pattern_covers(struct hw_slice pattern, struct hw_slice topic, bool wild)
{
	struct hw_slice begin = topic;

	if (pattern.len == 0 || slice_is(pattern, topic))
		return true;
	if (wild) { /* any topic of the resource */
		begin.len--;
		return begins_as(pattern, begin);
	}
	if (!ends_with_star(pattern))
		return false;
	pattern.len--;
	return begins_as(topic, pattern);
}
