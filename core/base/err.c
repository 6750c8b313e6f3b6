#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Cutting at the size of the buffer may have split a character: drop the piece. */
static void drop_piece(char *text, size_t len)
{
	size_t start = len;
	bool valid;

	while (start > 0 && len - start < 4) {
		start--;
		if (((unsigned char)text[start] & 0xc0) != 0x80)
			break;
	}
	if (start < len && hw_utf8_next(text + start, len - start, &valid) == len - start && !valid)
		text[start] = '\0';
}

HW_PRINTF(3, 0)
static void format_to(char *out, size_t cap, const char *format, va_list args)
{
	int len = vsnprintf(out, cap, format, args);

	if (len < 0)
		out[0] = '\0';
	else if ((size_t)len >= cap)
		drop_piece(out, cap - 1);
}

int hw_err_set(struct hw_err *err, int code, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	if (!err)
		return code;
	/* aside first: the arguments may point into err->text */
	va_start(args, format);
	format_to(text, sizeof(text), format, args);
	va_end(args);
	memcpy(err->text, text, sizeof(text));
	return code;
}

void hw_err_prefix(struct hw_err *err, const char *format, ...)
{
	char prefix[sizeof(err->text)];
	char text[2 * sizeof(err->text) + 2];
	va_list args;

	if (!err)
		return;
	va_start(args, format);
	format_to(prefix, sizeof(prefix), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "%s: %s", prefix, err->text);
	hw_err_set(err, 0, "%s", text);
}
