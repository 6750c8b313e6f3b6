#include "wire/topic.h"

#include <string.h>

static bool is_id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* ^[a-z][a-z0-9-]*: — the length of it, 0 if it is not there */
static size_t resource_len(struct hw_str s)
{
	size_t i = 1;

	if (s.len == 0 || s.p[0] < 'a' || s.p[0] > 'z')
		return 0;
	while (i < s.len && is_id_char(s.p[i]))
		i++;
	return i < s.len && s.p[i] == ':' ? i + 1 : 0;
}

bool hw_topic_well_formed(struct hw_str topic)
{
	size_t i = resource_len(topic);

	if (i == 0 || i == topic.len)
		return false;
	while (i < topic.len && is_id_char(topic.p[i]))
		i++;
	return i == topic.len;
}

bool hw_topic_valid(struct hw_str topic)
{
	return topic.len <= HW_TOPIC_MAX && hw_topic_well_formed(topic);
}

bool hw_topic_pattern_valid(struct hw_str pattern)
{
	if (hw_topic_is_wildcard(pattern)) {
		size_t n = resource_len(pattern);

		return n > 0 && n == pattern.len - 1 && pattern.len <= HW_TOPIC_MAX;
	}
	return hw_topic_valid(pattern);
}

void hw_topic_split(struct hw_str topic, struct hw_str *resource, struct hw_str *id)
{
	struct hw_str rest = topic;
	struct hw_str first = hw_str_cut(&rest, ':');

	if (resource)
		*resource = first;
	if (id)
		*id = rest;
}

struct hw_str hw_topic_pattern(struct hw_str topic, char out[HW_TOPIC_MAX + 2])
{
	size_t len = (size_t)((const char *)memchr(topic.p, ':', topic.len) - topic.p) + 1;

	memcpy(out, topic.p, len);
	out[len] = '*';
	return (struct hw_str){out, len + 1};
}
