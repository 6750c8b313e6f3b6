#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "app/policy_stage.h"

/* "http" of a case: a list of
 *     { url, method, with_json | with_body, with_headers,  times,      which requests, and how many
 *       status, headers, json | body,  error,  delay_ms }              what they get
 * The first that fits and has answers left is it. */

static const char *const keys[] = {"url", "method", "with_json", "with_body", "with_headers",
	"times", "status", "headers", "json", "body", "error", "delay_ms"};
static const char used_key[] = "\1used"; /* how often it has answered: no name of a script's */

const char *hw_policy_stub_check(const json_t *stubs, struct hw_buf *scratch)
{
	const char *key;
	json_t *stub, *value;
	size_t i;

	if (!json_is_array(stubs) && json_object_size(stubs) > 0)
		return "'http' must be a list: { { url = \"…\", json = { … } } }";
	json_array_foreach(stubs, i, stub)
	{
		if (!json_is_object(stub) || !json_is_string(json_object_get(stub, "url")))
			return "a member of 'http' needs a url";
		json_object_foreach(stub, key, value)
		{
			bool known = strcmp(key, used_key) == 0;

			for (size_t j = 0; j < HW_COUNT(keys); j++)
				known |= strcmp(key, keys[j]) == 0;
			if (known)
				continue;
			hw_buf_clear(scratch);
			hw_buf_printf(scratch, "unknown key '%s' in 'http'", key);
			hw_buf_putc(scratch, '\0');
			return scratch->failed ? "out of memory" : scratch->data;
		}
	}
	return NULL;
}

static bool fits_url(const char *pattern, const char *url)
{
	size_t len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, url, len - 1) == 0;
	return strcmp(pattern, url) == 0;
}

static bool has_header(const struct hw_http_spec *spec, const char *name, const char *value)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < spec->n_headers; i++) {
		const char *line = spec->headers[i];

		if (strncasecmp(line, name, len) == 0 && line[len] == ':' &&
			strcmp(line + len + 1 + strspn(line + len + 1, " "), value) == 0)
			return true;
	}
	return false;
}

static bool fits_headers(json_t *wanted, const struct hw_http_spec *spec)
{
	const char *name;
	json_t *value;

	json_object_foreach(wanted, name, value)
	{
		const char *text = json_string_value(value);

		if (!text || !has_header(spec, name, text))
			return false;
	}
	return true;
}

static bool fits_body(const json_t *stub, struct hw_str body)
{
	const json_t *text = json_object_get(stub, "with_body");
	json_t *wanted = json_object_get(stub, "with_json"), *sent;
	bool fits;

	if (text)
		return hw_str_eq(
			body, (struct hw_str){json_string_value(text), json_string_length(text)});
	if (!wanted)
		return true;
	sent = json_loadb(body.p ? body.p : "", body.len, JSON_DECODE_ANY, NULL);
	fits = sent && json_equal(sent, wanted);
	json_decref(sent);
	return fits;
}

static bool fits(const json_t *stub, const struct hw_http_spec *spec)
{
	const char *method = json_string_value(json_object_get(stub, "method"));
	const json_t *times = json_object_get(stub, "times");

	return fits_url(json_string_value(json_object_get(stub, "url")), spec->url) &&
	       (!method || strcmp(method, spec->method) == 0) &&
	       (!times || json_integer_value(json_object_get(stub, used_key)) <
				  json_integer_value(times)) &&
	       fits_headers(json_object_get(stub, "with_headers"), spec) &&
	       fits_body(stub, spec->body);
}

static void put_head(json_t *headers, struct hw_buf *out)
{
	const char *name;
	json_t *value;

	json_object_foreach(headers, name, value)
	{
		if (json_is_string(value))
			hw_buf_printf(out, "%s: %s\r\n", name, json_string_value(value));
	}
}

static int64_t answer_with(json_t *stub, struct hw_http_request *r)
{
	json_t *status = json_object_get(stub, "status"), *body = json_object_get(stub, "body"),
	       *value = json_object_get(stub, "json"), *error = json_object_get(stub, "error");

	json_object_set_new(stub, used_key,
		json_integer(json_integer_value(json_object_get(stub, used_key)) + 1));
	if (json_is_string(error)) {
		snprintf(r->reason, sizeof(r->reason), "%s", json_string_value(error));
		r->error = r->reason;
	}
	r->status = status ? (unsigned)json_integer_value(status) : 200;
	put_head(json_object_get(stub, "headers"), &r->head);
	if (json_is_string(body)) {
		hw_buf_add(&r->body, json_string_value(body), json_string_length(body));
	} else if (value) {
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		hw_buf_puts(&r->body, text ? text : "");
		free(text);
	}
	return json_integer_value(json_object_get(stub, "delay_ms"));
}

int64_t hw_policy_stub_answer(
	void *arg, const struct hw_http_spec *spec, struct hw_http_request *request)
{
	struct hw_policy_stage *stage = arg;
	json_t *stub;
	size_t i;

	hw_buf_printf(&stage->requests, "%s %s\n", spec->method, spec->url);
	json_array_foreach(stage->stubs, i, stub)
	{
		if (fits(stub, spec))
			return answer_with(stub, request);
	}
	hw_buf_printf(&stage->unmatched, "%s %s", spec->method, spec->url);
	if (spec->body.p)
		hw_buf_printf(&stage->unmatched, " with %.*s", HW_STR_ARG(spec->body));
	hw_buf_putc(&stage->unmatched, '\n');
	request->error = "the case's http has no answer to this";
	return 0;
}
