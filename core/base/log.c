#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define LINE_BYTES 4096
#define TAIL_BYTES 32    /* marks, quotes and braces that end a line which was cut */
#define VALUE_BYTES 2048 /* so that one long value leaves room for the ids behind it */
#define NAME_BYTES 64
#define NUMBER_BYTES 20 /* of 64 bits, with a sign */
#define CUT_MARK "\xe2\x80\xa6"

struct hw_log {
	int fd;
	bool is_socket;
	pthread_mutex_t turn; /* between the look whether there is room and the write */
	atomic_int level;
	atomic_int format;
};

/* One line under construction. It lives on the stack: logging must work when memory is short.
 * 0..len written | len..LIMIT room | LIMIT..LINE_BYTES kept to end the line cleanly */
struct line {
	size_t len;
	bool json;
	char text[LINE_BYTES];
};
#define LIMIT (LINE_BYTES - TAIL_BYTES)

struct hw_log *hw_log_create(int fd, enum hw_log_level level, enum hw_log_format format)
{
	struct hw_log *log = malloc(sizeof(*log));
	struct stat st;

	if (!log)
		return NULL;
	log->fd = fd;
	log->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	pthread_mutex_init(&log->turn, NULL);
	atomic_init(&log->level, (int)level);
	atomic_init(&log->format, (int)format);
	return log;
}

void hw_log_destroy(struct hw_log **log)
{
	if (*log)
		pthread_mutex_destroy(&(*log)->turn);
	free(*log);
	*log = NULL;
}

void hw_log_configure(struct hw_log *log, enum hw_log_level level, enum hw_log_format format)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&log->format, (int)format, memory_order_relaxed);
}

bool hw_log_on(const struct hw_log *log, enum hw_log_level level)
{
	return log && (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* For what is short and always fits; not a byte goes beyond the line in any case. */
static void put(struct line *l, const char *p, size_t len)
{
	if (len > LINE_BYTES - l->len)
		return;
	memcpy(l->text + l->len, p, len);
	l->len += len;
}

static void put_z(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

/* What JSON escapes is escaped in both formats: the line cannot break and the terminal is not
 * spoken to. Only quotes and backslashes mean themselves outside of a quoted string. */
static void put_escaped(struct line *l, struct hw_str s, bool quoted)
{
	size_t end = l->len + VALUE_BYTES;
	char out[HW_JSON_CHAR_MAX];
	size_t out_len;

	if (end > LIMIT)
		end = LIMIT;
	while (s.len > 0) {
		size_t taken = hw_json_char(s, out, &out_len);

		if (!quoted && (*s.p == '"' || *s.p == '\\')) {
			out[0] = *s.p;
			out_len = 1;
		}
		if (l->len + out_len > end) {
			put_z(l, CUT_MARK);
			return;
		}
		put(l, out, out_len);
		s.p += taken;
		s.len -= taken;
	}
}

static void put_quoted(struct line *l, struct hw_str s)
{
	put_z(l, "\"");
	put_escaped(l, s, true);
	put_z(l, "\"");
}

static void put_number(struct line *l, uint64_t n, bool negative)
{
	char digits[NUMBER_BYTES];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	if (negative)
		digits[--at] = '-';
	put(l, digits + at, sizeof(digits) - at);
}

/* A value that can stand in a text line without quotes. */
static bool is_word(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return s.len > 0;
}

static void put_value(struct line *l, const struct hw_log_field *f)
{
	switch (f->kind) {
	case HW_LOG_F_INT:
		put_number(l, f->i < 0 ? 0 - (uint64_t)f->i : (uint64_t)f->i, f->i < 0);
		break;
	case HW_LOG_F_UINT:
		put_number(l, f->u, false);
		break;
	case HW_LOG_F_STR:
		if (!l->json && is_word(f->s))
			put_escaped(l, f->s, false);
		else
			put_quoted(l, f->s);
		break;
	}
}

/* false: there was no room, and nothing was written. */
static bool put_field(struct line *l, const struct hw_log_field *f)
{
	size_t start = l->len;
	struct hw_str name = hw_str_of(f->name);

	if (name.len > NAME_BYTES)
		name.len = NAME_BYTES;
	put_z(l, l->json ? "," : " ");
	if (l->json)
		put_quoted(l, name);
	else
		put_escaped(l, name, false);
	put_z(l, l->json ? ":" : "=");
	if (l->len + NUMBER_BYTES > LIMIT) {
		l->len = start;
		return false;
	}
	put_value(l, f);
	return true;
}

static void put_head(struct line *l, enum hw_log_level level, const char *area, const char *message)
{
	static const char *const text_names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
	static const char *const json_names[] = {"debug", "info", "warn", "error"};
	size_t i = (size_t)level < HW_COUNT(text_names) ? (size_t)level : HW_LOG_ERROR;
	char when[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(hw_clock_wall_ms(&hw_clock_system), when);
	if (l->json) {
		put_z(l, "{\"ts\":\"");
		put_z(l, when);
		put_z(l, "\",\"level\":\"");
		put_z(l, json_names[i]);
		put_z(l, "\",\"area\":");
		put_quoted(l, hw_str_of(area));
		put_z(l, ",\"msg\":");
		put_quoted(l, hw_str_of(message));
		return;
	}
	put_z(l, when);
	put_z(l, " ");
	put_z(l, text_names[i]);
	put_z(l, " ");
	put_escaped(l, hw_str_of(area), false);
	put_z(l, ": ");
	put_escaped(l, hw_str_of(message), false);
}

/* A descriptor that is full or whose reader is gone costs the line, never the caller: a pipe that
 * nobody reads must not hold up a worker. The descriptor itself is not made non-blocking, since it
 * is that of our parent too. A pipe that has room has it for a page, which is a line. A short write
 * is not continued: the rest would stand as a line of its own among other threads' lines. */
static void give(struct hw_log *log, const struct line *l)
{
	struct pollfd p = {.fd = log->fd, .events = POLLOUT};
	ssize_t n;

	if (log->is_socket) {
		do {
			n = send(log->fd, l->text, l->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		} while (n < 0 && errno == EINTR);
		return;
	}
	pthread_mutex_lock(&log->turn);
	do {
		n = poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) ? write(log->fd, l->text, l->len)
								 : 0;
	} while (n < 0 && errno == EINTR);
	pthread_mutex_unlock(&log->turn);
}

void hw_log_write(struct hw_log *log, enum hw_log_level level, const char *area,
	const char *message, const struct hw_log_field *fields, size_t n_fields)
{
	int saved_errno = errno;
	struct line l;

	if (!hw_log_on(log, level))
		return;
	l.len = 0;
	l.json = atomic_load_explicit(&log->format, memory_order_relaxed) == HW_LOG_JSON;
	put_head(&l, level, area, message);
	for (size_t i = 0; i < n_fields; i++) {
		if (fields[i].name && !put_field(&l, &fields[i])) {
			put_z(&l, l.json ? ",\"cut\":true" : " " CUT_MARK);
			break;
		}
	}
	put_z(&l, l.json ? "}\n" : "\n");
	give(log, &l);
	errno = saved_errno;
}
