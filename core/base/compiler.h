/* What C11 does not name by itself: attributes and the macros every module uses.
 * Only attributes and constant expressions; nothing here has code of its own. */
#pragma once

#include <stddef.h>

#define HW_MUST_CHECK __attribute__((warn_unused_result))
#define HW_PRINTF(format_index, first_index) \
	__attribute__((format(printf, format_index, first_index)))
#define HW_UNUSED __attribute__((unused))
#define HW_LIKELY(x) __builtin_expect(!!(x), 1)
#define HW_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define HW_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* clang-format off */
#define HW_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */
