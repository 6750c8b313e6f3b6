// links: wire
/* A cursor is read exactly when writing it gives the same bytes. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/cursor.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_text(struct hw_str text)
{
	char again[HW_CURSOR_MAX + 1];
	struct hw_cursor c;

	if (hw_cursor_parse(text, &c) != 0)
		return;
	must(hw_cursor_format(c, again) == text.len);
	must(memcmp(again, text.p, text.len) == 0);
}

static void check_numbers(const uint8_t *data)
{
	char text[HW_CURSOR_MAX + 1];
	struct hw_cursor c, again;

	memcpy(&c, data, sizeof(c));
	must(hw_cursor_parse((struct hw_str){text, hw_cursor_format(c, text)}, &again) == 0);
	must(again.epoch == c.epoch && again.seq == c.seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text((struct hw_str){(const char *)data, size});
	if (size >= sizeof(struct hw_cursor))
		check_numbers(data);
	return 0;
}
