// links: wire
/* The first byte says how the rest is split, twice: both ways give the same outcome, address and
 * number of bytes taken, and no more than the longest header is ever taken. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/proxy2.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

struct result {
	int outcome;
	size_t taken;
	struct hw_address source;
};

static struct result read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
	struct hw_proxy2 r = {0};
	struct result result = {.outcome = HW_PROXY2_MORE};

	while (result.outcome == HW_PROXY2_MORE && result.taken < size) {
		size_t n = size - result.taken < piece ? size - result.taken : piece, used;
		uint8_t *copy = malloc(n); /* so that a byte too far is noticed */

		must(copy != NULL);
		memcpy(copy, data + result.taken, n);
		result.outcome = hw_proxy2_read(&r, copy, n, &used);
		free(copy);
		must(used <= n);
		must(result.outcome != HW_PROXY2_MORE || used == n);
		result.taken += used;
	}
	must((result.outcome == HW_PROXY2_ERROR) == (r.reason != NULL));
	result.source = r.source;
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, split;
	char text[HW_ADDRESS_TEXT];

	if (size < 2)
		return 0;
	whole = read_in_pieces(data + 1, size - 1, size);
	split = read_in_pieces(data + 1, size - 1, 1u + data[0]);
	must(whole.outcome == split.outcome);
	must(memcmp(&whole.source, &split.source, sizeof(whole.source)) == 0);
	must(whole.taken <= HW_PROXY2_MAX_BYTES);
	/* an error may be seen before the rest of a piece is looked at, never after it */
	if (whole.outcome == HW_PROXY2_ERROR)
		must(split.taken <= whole.taken);
	else
		must(split.taken == whole.taken);
	hw_address_print(&whole.source, text);
	must((whole.source.kind == HW_ADDRESS_NONE) == (text[0] == '\0'));
	return 0;
}
