#include "wire/traceparent.h"

#include <stdbool.h>

enum { VERSION_LEN = 2, PARENT_LEN = 16, FLAGS_LEN = 2 };

static bool is_hex(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	}
	return true;
}

static bool is_zeros(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] != '0')
			return false;
	}
	return true;
}

static bool is_field(struct hw_str s, size_t len)
{
	return s.len == len && is_hex(s);
}

struct hw_str hw_traceparent_trace_id(struct hw_str rest)
{
	struct hw_str version = hw_str_cut(&rest, '-'), trace = hw_str_cut(&rest, '-');
	struct hw_str parent = hw_str_cut(&rest, '-'), flags = hw_str_cut(&rest, '-');

	if (!is_field(version, VERSION_LEN) || !is_field(trace, HW_TRACE_ID_LEN) ||
		!is_field(parent, PARENT_LEN) || !is_field(flags, FLAGS_LEN) || is_zeros(trace) ||
		is_zeros(parent) || hw_str_eq(version, HW_STR("ff")) ||
		(hw_str_eq(version, HW_STR("00")) && rest.p))
		return HW_STR_NULL;
	return trace;
}
