/* Structured log lines to a file descriptor, as text for a terminal or JSON for a collector.
 * One line is one write(2); safe from any thread. Values are escaped: a line never breaks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum hw_log_level { HW_LOG_DEBUG, HW_LOG_INFO, HW_LOG_WARN, HW_LOG_ERROR };
enum hw_log_format { HW_LOG_TEXT, HW_LOG_JSON };

struct hw_log; /* opaque */

/** Writes to @fd, which stays the caller's. NULL when out of memory. */
struct hw_log *hw_log_create(int fd, enum hw_log_level level, enum hw_log_format format);
void hw_log_destroy(struct hw_log **log);
/** Any thread; takes effect from the next line (a reload changes it). */
void hw_log_configure(struct hw_log *log, enum hw_log_level level, enum hw_log_format format);
bool hw_log_on(const struct hw_log *log, enum hw_log_level level); /* NULL log: false */

/* One named value of a line. Made by the macros below. */
struct hw_log_field {
	const char *name;
	enum { HW_LOG_F_STR, HW_LOG_F_INT, HW_LOG_F_UINT } kind;
	union {
		struct hw_str s;
		int64_t i;
		uint64_t u;
	};
};
#define HW_F_Z(n, v) ((struct hw_log_field){.name = (n), .kind = HW_LOG_F_STR, .s = hw_str_of(v)})
#define HW_F_STR(n, v) ((struct hw_log_field){.name = (n), .kind = HW_LOG_F_STR, .s = (v)})
#define HW_F_INT(n, v) ((struct hw_log_field){.name = (n), .kind = HW_LOG_F_INT, .i = (v)})
#define HW_F_UINT(n, v) ((struct hw_log_field){.name = (n), .kind = HW_LOG_F_UINT, .u = (v)})
/* A count that says something only when there is any: 0 leaves the field out. */
#define HW_F_SOME(n, v) HW_F_UINT((v) > 0 ? (n) : NULL, v)

/** @area is the folder that speaks ("hub"), @message a fixed text for grep, fields what varies.
 *  A line is at most 4096 bytes, a value 2048: what is too long is cut between characters and
 *  marked with an ellipsis; fields that find no room are left out (marked too, in JSON with
 *  "cut":true). A line that @fd does not take at once is lost. Keeps errno. */
void hw_log_write(struct hw_log *log, enum hw_log_level level, const char *area,
	const char *message, const struct hw_log_field *fields, size_t n_fields);

/* hw_log(log, HW_LOG_INFO, "hub", "topic full", HW_F_STR("topic", t), HW_F_UINT("n", n)); */
#define hw_log(log_, level_, area_, ...) HW_LOG_CALL(log_, level_, area_, __VA_ARGS__)
#define HW_LOG_CALL(log_, level_, area_, message_, ...) \
	do { \
		if (hw_log_on((log_), (level_))) { \
			const struct hw_log_field hw_fields_[] = {{0}, ##__VA_ARGS__}; \
			hw_log_write((log_), (level_), (area_), (message_), hw_fields_ + 1, \
				HW_COUNT(hw_fields_) - 1); \
		} \
	} while (0)
