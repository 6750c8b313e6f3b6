// links: hook (which brings wire and jansson)
/* The JSON reader against jansson and against itself: whole, step by step, from every kind of
 * value. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* jansson is stricter in what a double, a key and a surrogate may be: no matter of grammar. */
static bool refused_for_its_own_reasons(const json_error_t *error)
{
	return json_error_code(error) == json_error_numeric_overflow ||
	       json_error_code(error) == json_error_null_byte_in_key ||
	       strstr(error->text, "invalid Unicode") != NULL;
}

static void compare_number(struct hw_json value)
{
	char *text = strndup(value.raw.p, value.raw.len);
	double n = hw_json_double(value);
	struct hw_buf js;

	must(text != NULL);
	must(n == strtod(text, NULL));
	free(text);
	hw_buf_init(&js);
	hw_json_js_number(&js, n);
	hw_buf_putc(&js, 0);
	must(!js.failed && (isinf(n) || strtod(js.data, NULL) == n));
	hw_buf_fini(&js);
}

static void compare_string(struct hw_json value, const json_t *peer)
{
	char *any = malloc(value.raw.len);
	struct hw_buf out;
	size_t len;
	int rc;

	must(any != NULL);
	len = hw_json_copy_any(value, any);
	hw_buf_init(&out);
	rc = hw_json_unescape(&out, value);
	must((rc == 0) == hw_json_paired(value));
	if (rc == 0) {
		must(hw_json_is(value, hw_buf_view(&out)));
		must(out.len == len && memcmp(any, out.len > 0 ? out.data : any, len) == 0);
	}
	must(hw_json_same(value, value));
	if (peer) {
		must(rc == 0 && json_string_length(peer) == out.len);
		must(memcmp(json_string_value(peer), out.len > 0 ? out.data : "", out.len) == 0);
	}
	hw_buf_fini(&out);
	free(any);
}

/* Reads the next value by stepping into everything. 0 or -EINVAL, as hw_json_value. */
static int step(struct hw_json_reader *r)
{
	enum hw_json_kind kind = hw_json_peek(r);
	struct hw_json key, value;
	int rc;

	if (kind != HW_JSON_OBJECT && kind != HW_JSON_ARRAY) {
		rc = hw_json_value(r, &value);
		must(rc != 0 || value.kind == kind);
		return rc;
	}
	rc = hw_json_enter(r, kind);
	while (rc == 0) {
		rc = kind == HW_JSON_OBJECT ? hw_json_member(r, &key) : hw_json_element(r);
		if (rc == 0)
			rc = step(r);
	}
	return rc == HW_JSON_END ? 0 : rc;
}

static void compare_steps(struct hw_str text, bool good, const char *error)
{
	struct hw_json_reader r;
	int rc;

	hw_json_init(&r, text, 0);
	rc = step(&r);
	if (rc == 0)
		rc = hw_json_finish(&r);
	must((rc == 0) == good);
	if (!good) { /* and for the same reason, at the same place */
		struct hw_err err;

		hw_json_err(&r, &err);
		must(strcmp(err.text, error) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_str text = {(const char *)data, size};
	struct hw_json value, again;
	struct hw_err err;
	json_error_t error;
	json_t *peer = json_loadb((const char *)data, size,
		JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
	bool good = hw_json_whole(text, 0, &value, &err) == 0;

	must(!good || !memchr(data, 0, size));
	if (good)
		must(peer || refused_for_its_own_reasons(&error));
	else if (size > 0 &&
		 !memchr(data, 0, size)) /* at a zero jansson may take the text to end */
		must(!peer || strstr(err.text, "nested too deeply"));
	compare_steps(text, good, err.text);
	if (good) {
		struct hw_buf js;

		must(hw_json_whole(text, HW_JSON_UTF8_DONE, &again, NULL) == 0);
		must(again.raw.p == value.raw.p && again.raw.len == value.raw.len);
		if (value.kind == HW_JSON_STRING)
			compare_string(value, peer);
		if (value.kind == HW_JSON_NUMBER)
			compare_number(value);
		hw_buf_init(&js);
		hw_json_js_text(&js, value);
		hw_buf_fini(&js);
	}
	json_decref(peer);
	return 0;
}
