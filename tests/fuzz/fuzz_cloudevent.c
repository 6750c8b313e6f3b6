// links: wire
/* CloudEvents: every item of a batch gets one result, and what is made of one is an item that the
 * reader of commands understands or refuses, never no JSON. The first byte chooses between one and
 * a batch. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/cloudevent.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void read_back(struct hw_str text)
{
	struct hw_commands it;
	struct hw_command cmd;
	struct hw_err err;
	int rc;

	must(hw_commands_open(&it, text, HW_COMMAND_BODY, 1, &err) == 0 && !it.array);
	rc = hw_command_next(&it, &cmd, &err);
	must(rc == 0 || rc == HW_COMMAND_REFUSED);
	must(rc != 0 || (cmd.type == HW_COMMAND_PUBLISH && hw_topic_valid(cmd.event.topic)));
	must(hw_command_next(&it, &cmd, &err) == HW_COMMAND_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool batch = size > 0 && data[0] == 'b';
	struct hw_str text =
		size > 0 ? (struct hw_str){(const char *)data + 1, size - 1} : HW_STR_NULL;
	struct hw_cloudevents it;
	struct hw_cloudevent event;
	struct hw_json value;
	struct hw_buf out;
	struct hw_err err;
	size_t n = 0;
	int rc = hw_cloudevents_open(&it, text, batch, 8, &err);
	bool json = hw_json_whole(text, 0, &value, NULL) == 0;

	if (rc != 0) {
		must(!json || rc == -E2BIG ||
			value.kind != (batch ? HW_JSON_ARRAY : HW_JSON_OBJECT));
		return 0;
	}
	hw_buf_init(&out);
	while ((rc = hw_cloudevents_next(&it, &event, &out, &err)) == 0 ||
		rc == HW_COMMAND_REFUSED) {
		n++;
		if (rc != 0)
			continue;
		must(event.source.kind == HW_JSON_STRING && event.id.kind == HW_JSON_STRING);
		read_back(hw_buf_view(&out));
	}
	must(json ? rc == HW_COMMAND_END && (batch || n == 1) : rc == -EINVAL && !batch);
	hw_buf_fini(&out);
	return 0;
}
