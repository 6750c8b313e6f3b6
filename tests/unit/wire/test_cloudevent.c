/* What CloudEvents become, attribute by attribute, and traceparent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "wire/cloudevent.h"
#include "wire/traceparent.h"

#define HEAD "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\","

/* 0 and what it became, or the result and why. */
static int first(const char *text, bool batch, struct hw_buf *out, struct hw_err *err)
{
	struct hw_cloudevents it;
	struct hw_cloudevent event;
	int rc = hw_cloudevents_open(&it, hw_str_of(text), batch, 2, err);

	return rc ? rc : hw_cloudevents_next(&it, &event, out, err);
}

static void becomes(const char *text, const char *wanted)
{
	struct hw_buf out;
	struct hw_err err;

	hw_buf_init(&out);
	assert_int_equal(first(text, false, &out, &err), 0);
	hw_buf_putc(&out, '\0');
	assert_string_equal(out.data, wanted);
	hw_buf_fini(&out);
}

static void refused(const char *text, int result, const char *why)
{
	struct hw_buf out;
	struct hw_err err;

	hw_buf_init(&out);
	assert_int_equal(first(text, false, &out, &err), result);
	assert_string_equal(err.text, why);
	hw_buf_fini(&out);
}

static void each_attribute_has_its_place(void **state)
{
	(void)state;
	becomes(HEAD "\"type\":\"ADDED\",\"subject\":\"a:1\"}",
		"{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"1\"}}");
	becomes(HEAD "\"type\":\"x.y.UP_DATED\",\"subject\":\"a:1\",\"data\": [1 ],\"entityid\":7}",
		"{\"topic\":\"a:1\",\"event\":\"UP_DATED\",\"data\":{\"entity_id\":7,\"payload\":"
		"[1 ]}}");
	becomes(HEAD "\"type\":\"x.y.Updated\",\"subject\":\"a:1\",\"time\":\"t\",\"userid\":\"u\","
		     "\"tenantid\":\"t\",\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-"
		     "00f067aa0ba902b7-01\"}",
		"{\"topic\":\"a:1\",\"event\":\"x.y.Updated\",\"data\":{\"entity_id\":\"1\",\"user_"
		"id\":\"u\",\"tenant_id\":\"t\",\"timestamp\":\"t\"},\"trace_id\":"
		"\"4bf92f3577b34da6a3ce929d0e0e4736\"}");
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	refused("{", -EINVAL, "byte 1: the text ends inside an array or object");
	refused("[]", -EINVAL, "a CloudEvent, a JSON object, is expected");
	refused("{}", HW_COMMAND_REFUSED, "Missing required attribute: specversion");
	refused(HEAD "\"type\":\"a\"}", HW_COMMAND_REFUSED, "Missing required attribute: subject");
	refused(HEAD "\"type\":1,\"subject\":\"a:1\"}", HW_COMMAND_REFUSED,
		"type must be a string that is not empty");
	refused(HEAD "\"id\":\"1\"}", HW_COMMAND_REFUSED, "Duplicate member: id");
	refused(HEAD "\"type\":\"a\",\"subject\":\"a:1\",\"data_base64\":\"\"}", HW_COMMAND_REFUSED,
		"data_base64 is not taken: a payload is JSON");
}

static void a_batch_goes_on_behind_what_is_wrong(void **state)
{
	struct hw_cloudevents it;
	struct hw_cloudevent event;
	struct hw_buf out;
	struct hw_err err;

	(void)state;
	hw_buf_init(&out);
	assert_int_equal(
		hw_cloudevents_open(&it, HW_STR("[1," HEAD "\"type\":\"a\",\"subject\":\"a:1\"}]"),
			true, 2, &err),
		0);
	assert_int_equal(hw_cloudevents_next(&it, &event, &out, &err), HW_COMMAND_REFUSED);
	assert_int_equal(hw_cloudevents_next(&it, &event, &out, &err), 0);
	assert_true(hw_json_is(event.id, HW_STR("1")) && hw_json_is(event.source, HW_STR("s")));
	assert_int_equal(hw_cloudevents_next(&it, &event, &out, &err), HW_COMMAND_END);
	assert_int_equal(hw_cloudevents_next(&it, &event, &out, &err), HW_COMMAND_END);
	assert_int_equal(hw_cloudevents_open(&it, HW_STR("[1,2,3]"), true, 2, &err), -E2BIG);
	assert_int_equal(hw_cloudevents_open(&it, HW_STR("[1,2"), true, 2, &err), -EINVAL);
	assert_int_equal(first("[]", true, &out, &err), HW_COMMAND_END);
	hw_buf_fini(&out);
}

static void a_traceparent_is_exact(void **state)
{
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	char text[sizeof(good)];

	(void)state;
	assert_true(hw_str_eq(
		hw_traceparent_trace_id(HW_STR(good)), HW_STR("4bf92f3577b34da6a3ce929d0e0e4736")));
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		assert_null(hw_traceparent_trace_id((struct hw_str){good, i}).p);
		memcpy(text, good, sizeof(good));
		text[i] = 'G';
		assert_null(hw_traceparent_trace_id(hw_str_of(text)).p);
	}
	assert_null(hw_traceparent_trace_id(HW_STR_NULL).p);
	assert_non_null(hw_traceparent_trace_id(
		HW_STR("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"))
				.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_attribute_has_its_place),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_batch_goes_on_behind_what_is_wrong),
		cmocka_unit_test(a_traceparent_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
