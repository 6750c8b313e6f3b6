// links: hook (which brings wire and jansson)
/* Events: what is read is written, read again and written again, and nothing that matters may
 * change on the way. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/event.h"

static const struct hw_event_fill fill = {.user_id = {"u\"1", 3},
	.tenant_id = {"acme", 4},
	.trace_id = {"feed", 4},
	.wall_ms = 1767225600123};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void encode(struct hw_buf *out, const struct hw_event *ev)
{
	hw_event_encode(out, ev, &fill);
	hw_buf_puts(out, ",\"id\":\"x-1\"}");
	must(!out->failed);
}

static void same(struct hw_json a, struct hw_json b)
{
	must(a.kind == b.kind && hw_str_eq(a.raw, b.raw));
}

static void compare(const struct hw_event *a, const struct hw_event *b)
{
	must(hw_str_eq(a->topic, b->topic));
	same(a->event, b->event);
	same(a->entity_id, b->entity_id);
	same(a->payload, b->payload);
	same(a->version, b->version);
	if (!hw_json_falsy(a->timestamp))
		same(a->timestamp, b->timestamp);
	if (!hw_json_falsy(a->trace_id))
		same(a->trace_id, b->trace_id);
	must(b->previous.kind == HW_JSON_NONE);
	must(hw_json_is(b->user_id, fill.user_id));
	must(hw_json_is(b->tenant_id, fill.tenant_id));
	must(!hw_json_falsy(b->timestamp) && !hw_json_falsy(b->trace_id));
}

/* A reader that is not ours sees the same who and what. */
static void ask_peer(struct hw_str text, const struct hw_event *ev)
{
	json_t *root = json_loadb(text.p, text.len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
	json_t *data = json_object_get(root, "data");

	if (!root) /* a lone surrogate or an overflow in the payload, see fuzz_json */
		return;
	must(hw_str_eq(
		hw_str_of(json_string_value(json_object_get(data, "user_id"))), fill.user_id));
	must(hw_str_eq(
		hw_str_of(json_string_value(json_object_get(data, "tenant_id"))), fill.tenant_id));
	must(hw_str_eq(hw_str_of(json_string_value(json_object_get(root, "topic"))), ev->topic));
	must(!json_object_get(data, "previous"));
	json_decref(root);
}

/* Among its own members a valid event has no name twice: that of the peer drops none. */
static void count_members(struct hw_str text, const struct hw_event *ev)
{
	json_t *root = json_loadb(text.p, text.len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);

	if (root)
		must(json_object_size(json_object_get(root, "data")) == ev->n_members);
	json_decref(root);
}

static void round_trip(struct hw_str text, const struct hw_event *ev)
{
	struct hw_event again;
	struct hw_buf first, second;
	struct hw_str start;

	hw_buf_init(&first);
	hw_buf_init(&second);
	encode(&first, ev);
	start = hw_buf_view(&first);
	must(hw_str_starts(start, HW_STR("{\"topic\":\"")));
	must(hw_str_starts((struct hw_str){start.p + 10, start.len - 10}, ev->topic));
	must(hw_event_parse(start, 0, &again, NULL, NULL) == 0);
	compare(ev, &again);
	encode(&second, &again);
	must(hw_str_eq(hw_buf_view(&first), hw_buf_view(&second)));
	ask_peer(start, ev);
	count_members(text, ev);
	hw_buf_fini(&first);
	hw_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_str text = {(const char *)data, size};
	struct hw_event_report report;
	struct hw_event ev, reported;
	struct hw_err first, second;
	struct hw_json value;
	int rc = hw_event_parse(text, 0, &ev, NULL, &first);

	must((rc == -EINVAL) == (hw_json_whole(text, 0, &value, NULL) != 0));
	hw_event_report_init(&report);
	must(hw_event_parse(text, 0, &reported, &report, &second) == rc);
	must(rc == 0 || strcmp(first.text, second.text) == 0);
	must((rc == HW_EVENT_INVALID) == (report.n_errors > 0));
	hw_event_report_fini(&report);
	if (rc == 0)
		round_trip(text, &ev);
	return 0;
}
