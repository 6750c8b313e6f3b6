// links: wire
/* Query strings: what is read must be clean text, must come back from being written again, and must
 * be what a look-up by name finds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "wire/query.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

static void check_text(struct hw_str s)
{
	CHECK(hw_utf8_valid(s.p, s.len));
	CHECK(s.len == 0 || !memchr(s.p, '\0', s.len));
}

/* Writes all pairs of @text anew and counts them; the outcome at the end. */
static int rewrite(struct hw_buf *out, struct hw_str text, size_t *n)
{
	struct hw_str name, value;
	struct hw_buf scratch;
	struct hw_query q;
	int rc;

	*n = 0;
	hw_buf_init(&scratch);
	hw_query_init(&q, text);
	while ((rc = hw_query_next(&q, &scratch, &name, &value)) == 0) {
		check_text(name);
		check_text(value);
		hw_percent_encode(out, name);
		hw_buf_putc(out, '=');
		hw_percent_encode(out, value);
		hw_buf_putc(out, '&');
		++*n;
	}
	CHECK(rc == HW_QUERY_END || rc == -EINVAL);
	hw_buf_fini(&scratch);
	return rc;
}

/* Looks up @wanted and compares with what walking over the pairs finds. */
static void check_get(struct hw_str text, struct hw_str wanted, bool malformed)
{
	struct hw_str name, value, got;
	struct hw_buf scratch, kept, last;
	struct hw_query q;
	size_t n_found = 0;
	int rc;

	hw_buf_init(&scratch);
	hw_buf_init(&kept);
	hw_buf_init(&last);
	hw_query_init(&q, text);
	while (hw_query_next(&q, &scratch, &name, &value) == 0) {
		if (!hw_str_eq(name, wanted))
			continue;
		n_found++;
		hw_buf_clear(&last);
		hw_buf_str(&last, value);
	}
	rc = hw_query_get(text, wanted, &kept, &got);
	if (malformed)
		CHECK(rc == -EINVAL);
	else if (n_found == 1)
		CHECK(rc == 0 && hw_str_eq(got, hw_buf_view(&last)));
	else
		CHECK(rc == (n_found ? HW_QUERY_REPEATED : HW_QUERY_END));
	hw_buf_fini(&scratch);
	hw_buf_fini(&kept);
	hw_buf_fini(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_str text = {(const char *)data, size}, first;
	struct hw_buf once, twice, decoded;
	size_t n, n_again;
	int rc;

	hw_buf_init(&once);
	hw_buf_init(&twice);
	hw_buf_init(&decoded);
	rc = rewrite(&once, text, &n);
	CHECK(rewrite(&twice, hw_buf_view(&once), &n_again) == HW_QUERY_END && n == n_again);
	CHECK(hw_str_eq(hw_buf_view(&once), hw_buf_view(&twice)));
	check_get(text, HW_STR("token"), rc == -EINVAL);
	first = text;
	first = hw_str_cut(&first, '=');
	check_get(text, first, rc == -EINVAL);
	if (hw_percent_decode(&decoded, text) == 0)
		check_text(hw_buf_view(&decoded));
	else
		CHECK(decoded.len == 0);
	hw_buf_fini(&once);
	hw_buf_fini(&twice);
	hw_buf_fini(&decoded);
	return 0;
}
