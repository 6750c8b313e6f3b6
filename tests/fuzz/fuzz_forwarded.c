// links: wire
/* X-Forwarded-For: one line a header. Every entry that is read is read the same when it is written
 * again, and what one list says, the same list in several lines says. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/forwarded.h"

#define ENTRIES_MAX 256

static void must(bool holds)
{
	if (!holds)
		abort();
}

struct list {
	size_t n;
	int end; /* 1, -EINVAL, or 0: there are more */
	struct hw_address entries[ENTRIES_MAX];
};

static void collect(const struct hw_http1_request *request, struct list *list)
{
	struct hw_forwarded it;

	list->n = 0;
	list->end = 0;
	hw_forwarded_init(&it, request);
	while (list->n < ENTRIES_MAX &&
		!(list->end = hw_forwarded_next(&it, &list->entries[list->n])))
		list->n++;
}

static void check_entry(const struct hw_address *entry)
{
	char text[HW_ADDRESS_TEXT];
	struct hw_address again;

	hw_address_print(entry, text);
	must(!hw_address_parse(hw_str_of(text), &again));
	must(memcmp(entry, &again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_http1_request lines = {0}, one = {.n_headers = 1};
	char *text = malloc(size + 1);
	struct hw_str rest = {text, size};
	static struct list several, joined;

	must(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	while (rest.p && lines.n_headers < HW_HTTP1_MAX_HEADERS)
		lines.headers[lines.n_headers++] = (struct hw_http1_header){
			HW_STR("X-Forwarded-For"), hw_str_trim(hw_str_cut(&rest, '\n'))};
	collect(&lines, &several);
	for (size_t i = 0; i < several.n; i++)
		check_entry(&several.entries[i]);
	if (!rest.p) {
		for (size_t i = 0; i < size; i++)
			if (text[i] == '\n')
				text[i] = ',';
		one.headers[0] = (struct hw_http1_header){
			HW_STR("x-forwarded-for"), hw_str_trim((struct hw_str){text, size})};
		collect(&one, &joined);
		must(joined.n == several.n && joined.end == several.end);
		must(memcmp(joined.entries, several.entries,
			     joined.n * sizeof(joined.entries[0])) == 0);
	}
	free(text);
	return 0;
}
