#include "hub/presence_rules.h"

#include <string.h>

#include "wire/json.h"
#include "wire/topic.h"

static bool matches(struct hw_str pattern, struct hw_str topic)
{
	if (!hw_topic_is_wildcard(pattern))
		return hw_str_eq(pattern, topic);
	pattern.len--;
	return hw_str_starts(topic, pattern);
}

bool hw_presence_keeps(const struct hw_presence_rules *rules, struct hw_str topic)
{
	if (hw_topic_is_wildcard(topic))
		return false; /* it names no topic that somebody could be in */
	for (size_t i = 0; i < rules->n_topics; i++)
		if (matches(hw_str_of(rules->topics[i]), topic))
			return true;
	return false;
}

static bool same(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

bool hw_presence_rules_same(const struct hw_presence_rules *a, const struct hw_presence_rules *b)
{
	return same(a->topics, a->n_topics, b->topics, b->n_topics) &&
	       same(a->claims, a->n_claims, b->claims, b->n_claims);
}

/* The first member of that name. false: there is none. */
static bool find(struct hw_str object, struct hw_str name, struct hw_json *out)
{
	struct hw_json_reader r;
	struct hw_json key;

	hw_json_init(&r, object, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT))
		return false;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, out) == 0)
		if (hw_json_is(key, name))
			return true;
	return false;
}

struct hw_str hw_presence_info(
	const struct hw_presence_rules *rules, struct hw_str claims, struct hw_buf *buf)
{
	hw_buf_clear(buf);
	for (size_t i = 0; i < rules->n_claims; i++) {
		struct hw_str name = hw_str_of(rules->claims[i]);
		size_t before = buf->len;
		struct hw_json value;

		if (!find(claims, name, &value))
			continue;
		hw_buf_putc(buf, before ? ',' : '{');
		hw_buf_json(buf, name);
		hw_buf_putc(buf, ':');
		hw_buf_str(buf, value.raw);
		if (buf->len >= HW_PRESENCE_INFO_MAX)
			buf->len = before;
	}
	if (buf->len == 0)
		return HW_STR_NULL;
	hw_buf_putc(buf, '}');
	return buf->failed ? HW_STR_NULL : hw_buf_view(buf);
}
