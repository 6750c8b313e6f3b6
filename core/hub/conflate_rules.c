#include "hub/conflate_rules.h"

#include "wire/topic.h"

enum hw_conflate hw_conflate_of(const struct hw_conflate_rules *rules, struct hw_str topic)
{
	enum hw_conflate how = HW_CONFLATE_NONE;

	for (size_t i = 0; i < rules->n; i++) {
		struct hw_str pattern = hw_str_of(rules->rules[i].pattern);

		if (hw_str_eq(pattern, topic))
			return rules->rules[i].how;
		if (!hw_topic_is_wildcard(pattern))
			continue;
		pattern.len--;
		if (hw_str_starts(topic, pattern))
			how = rules->rules[i].how;
	}
	return how;
}
