// links: wire
/* Messages of clients: every item gets one result, what is accepted can be answered, and the
 * answers are JSON. The first byte chooses between a WebSocket message and the body of POST
 * /publish. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/command.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void must_be_json(struct hw_buf *out)
{
	struct hw_json value;

	must(!out->failed);
	must(hw_json_whole(hw_buf_view(out), 0, &value, NULL) == 0);
	hw_buf_clear(out);
}

static void answer_topics(struct hw_buf *out, const struct hw_command *cmd)
{
	struct hw_command_topics it;
	struct hw_command_topic topic;
	size_t n = 0;

	hw_control_topics_begin(out, true, cmd->id);
	hw_command_topics(&it, cmd);
	while (hw_command_topic(&it, &topic)) {
		struct hw_topic_result result = {
			.topic = topic.topic, .raw = topic.raw, .code = topic.code};

		must(!topic.topic.p || hw_topic_pattern_valid(topic.topic));
		hw_control_topics_add(out, &result);
		n++;
	}
	must(n == cmd->n_topics);
	hw_control_topics_end(out);
	must_be_json(out);
}

static void answer(struct hw_buf *out, const struct hw_command *cmd)
{
	static const struct hw_event_fill fill = {.user_id = {"u1", 2}, .tenant_id = {"acme", 4}};
	struct hw_event event;
	struct hw_str text;
	struct hw_buf scratch;

	hw_buf_init(&scratch);
	switch (cmd->type) {
	case HW_COMMAND_AUTH:
		must(hw_json_text(cmd->token, &scratch, &text) == 0 && text.len > 0);
		break;
	case HW_COMMAND_SUBSCRIBE:
	case HW_COMMAND_UNSUBSCRIBE:
		answer_topics(out, cmd);
		break;
	case HW_COMMAND_PUBLISH:
		if (cmd->key.kind != HW_JSON_NONE)
			must(hw_json_text(cmd->key, &scratch, &text) == 0 && text.len > 0 &&
				text.len <= HW_COMMAND_KEY_MAX);
		hw_event_encode(out, &cmd->event, &fill);
		hw_buf_putc(out, '}');
		must(hw_event_parse(hw_buf_view(out), 0, &event, NULL, NULL) == 0);
		must(hw_str_eq(event.topic, cmd->event.topic));
		must_be_json(out);
		break;
	case HW_COMMAND_HISTORY:
		must(cmd->limit >= 1 && cmd->limit <= HW_HISTORY_MAX);
		must(hw_topic_valid(cmd->event.topic) && cmd->id.p);
		break;
	case HW_COMMAND_PRESENCE:
		must(hw_topic_valid(cmd->event.topic) && cmd->id.p);
		break;
	case HW_COMMAND_PING:
	case HW_COMMAND_UNKNOWN:
		break;
	}
	hw_buf_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool body = size > 0 && data[0] == 'b';
	struct hw_str text =
		size > 0 ? (struct hw_str){(const char *)data + 1, size - 1} : HW_STR_NULL;
	struct hw_commands it;
	struct hw_command cmd;
	struct hw_json value;
	struct hw_buf out;
	struct hw_err err;
	size_t n = 0;
	int rc = hw_commands_open(&it, text, body ? HW_COMMAND_BODY : 0, 0, &err);
	bool json = hw_json_whole(text, 0, &value, NULL) == 0;

	if (rc != 0) {
		must(!json || (value.kind != HW_JSON_OBJECT && value.raw.len > 0));
		return 0;
	}
	hw_buf_init(&out);
	while ((rc = hw_command_next(&it, &cmd, &err)) == 0 || rc == HW_COMMAND_REFUSED) {
		n++;
		must(!body || rc == HW_COMMAND_REFUSED || cmd.type == HW_COMMAND_PUBLISH);
		if (rc == 0)
			answer(&out, &cmd);
		hw_control_error(&out, body, cmd.id, HW_CODE_BAD_REQUEST,
			rc == 0 ? HW_STR_NULL : hw_str_of(err.text),
			n % 2 ? 5 : HW_CONTROL_NO_RETRY);
		must_be_json(&out);
	}
	must(json ? rc == HW_COMMAND_END && n == it.n_items : rc == -EINVAL && !it.array);
	hw_buf_fini(&out);
	return 0;
}
