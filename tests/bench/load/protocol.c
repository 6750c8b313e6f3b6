/* What is spoken with each server. A message is cut at its end and looked into no further than
 * counting needs: text of an event lies somewhere in the body. */
#include "load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "crypto/digest.h"
#include "wire/ws.h"
#include "wire/ws_handshake.h"

/* One key for all: the generator is no browser, and its answer is computed once. */
#define KEY "YSBob29rd2lyZSBiZW5jaA=="

static const struct load_message more = {.kind = LOAD_MORE};

static struct load_message message(enum load_kind kind, size_t len, struct hw_str body)
{
	return (struct load_message){.kind = kind, .len = len, .body = body};
}

static bool contains(struct hw_str text, struct hw_str part)
{
	return memmem(text.p, text.len, part.p, part.len) != NULL;
}

size_t load_text_bytes(const struct load_protocol *p, size_t wire_bytes)
{
	size_t n = wire_bytes - p->event_extra;

	if (p->event_length)
		n -= (size_t)snprintf(NULL, 0, "%zu", n);
	return n;
}

/* ---- WebSocket ---- */

void load_ws_frame(struct hw_buf *out, unsigned opcode, struct hw_str payload)
{
	/* not random: no proxy is between (RFC 6455 5.3) */
	static const uint8_t mask[4] = {0x5a, 0xc3, 0x69, 0x96};
	uint8_t head[HW_WS_HEADER_BYTES];

	hw_buf_add(out, head, hw_ws_header(head, true, opcode, payload.len, mask));
	hw_buf_str(out, payload);
	if (!out->failed)
		hw_ws_mask((uint8_t *)out->data + out->len - payload.len, payload.len, mask, 0);
}

static struct hw_ws_client upgrade_of(struct hw_str host, struct hw_str target)
{
	return (struct hw_ws_client){.host = host,
		.target = target,
		.key = HW_STR(KEY),
		.protocols = HW_STR("hookwire.v1")};
}

static void upgrade(struct hw_buf *out, const struct load_role *role, struct hw_str target)
{
	struct hw_http1_header header = {.name = HW_STR("Authorization")};
	struct hw_buf host, bearer;
	struct hw_ws_client client;
	struct hw_err err;

	hw_buf_init(&host);
	hw_buf_init(&bearer);
	hw_buf_printf(&host, "127.0.0.1:%d", role->port);
	client = upgrade_of(hw_buf_view(&host), target);
	if (role->token) {
		hw_buf_printf(&bearer, "Bearer %s", role->token);
		header.value = hw_buf_view(&bearer);
		client.headers = &header;
		client.n_headers = 1;
	}
	if (hw_ws_handshake_request(out, &client, &err) != 0)
		load_die("the upgrade request: %s", err.text);
	hw_buf_fini(&host);
	hw_buf_fini(&bearer);
}

static void upgrade_ws(struct hw_buf *out, const struct load_role *role)
{
	upgrade(out, role, HW_STR("/ws"));
}

/* The floor tells its clients apart by the path. */
static void upgrade_publisher(struct hw_buf *out, const struct load_role *role)
{
	upgrade(out, role, HW_STR("/publish"));
}

static struct hw_str accept_of(char out[HW_WS_ACCEPT_CHARS + 1])
{
	uint8_t digest[HW_SHA1_LEN];
	struct hw_buf text;

	if (out[0])
		return (struct hw_str){out, HW_WS_ACCEPT_CHARS};
	hw_sha1(KEY HW_WS_GUID, sizeof(KEY HW_WS_GUID) - 1, digest);
	hw_buf_init(&text);
	hw_base64_encode(&text, digest, sizeof(digest));
	snprintf(out, HW_WS_ACCEPT_CHARS + 1, "%.*s", HW_STR_ARG(hw_buf_view(&text)));
	hw_buf_fini(&text);
	return (struct hw_str){out, HW_WS_ACCEPT_CHARS};
}

/* Cuts the answer to the upgrade. */
static struct load_message cut_head(struct hw_str in, bool *upgraded)
{
	static char accept[HW_WS_ACCEPT_CHARS + 1];
	const char *end = memmem(in.p, in.len, "\r\n\r\n", 4);
	struct hw_ws_client client = upgrade_of(HW_STR("x"), HW_STR("/"));
	struct hw_ws_answer answer;
	struct hw_err err;
	struct hw_str head;

	if (!end)
		return more;
	head = (struct hw_str){in.p, (size_t)(end - in.p) + 4};
	if (hw_ws_handshake_check_response(head, &client, accept_of(accept), &answer, &err) != 0)
		return message(LOAD_ERROR, head.len, in);
	*upgraded = true;
	return message(LOAD_OTHER, head.len, head);
}

/* Cuts one frame; LOAD_OTHER is text that its caller knows better. */
static struct load_message cut_frame(struct hw_str in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t head = 2, n;
	struct hw_str body;

	if (in.len < 2 || ((p[1] & 127) == 126 && in.len < 4))
		return more;
	n = p[1] & 127;
	if (n == 126) {
		head = 4;
		n = (size_t)p[2] << 8 | p[3];
	} else if (n == 127) {
		return message(LOAD_ERROR, in.len, HW_STR("a frame of 64 KiB"));
	}
	if (in.len < head + n)
		return more;
	body = (struct hw_str){in.p + head, n};
	switch (p[0]) {
	case 0x80 | HW_WS_OP_TEXT:
		return message(LOAD_OTHER, head + n, body);
	case 0x80 | HW_WS_OP_PING:
		return message(LOAD_PING, head + n, body);
	case 0x80 | HW_WS_OP_CLOSE:
		return message(LOAD_CLOSED, head + n, body);
	default:
		return message(LOAD_ERROR, head + n, HW_STR("an unexpected kind of frame"));
	}
}

static void pong_ws(struct hw_buf *out, struct hw_str ping)
{
	load_ws_frame(out, HW_WS_OP_PONG, ping);
}

/* ---- Hookwire ---- */

static struct load_message cut_hookwire(struct hw_str in, bool *upgraded)
{
	struct load_message m = *upgraded ? cut_frame(in) : cut_head(in, upgraded);

	if (m.kind != LOAD_OTHER || !*upgraded || m.body.p[0] != '{')
		return m;
	if (hw_str_starts(m.body, HW_STR("{\"topic\":\"" LOAD_TOPIC)))
		m.kind = LOAD_EVENT;
	else if (contains(m.body, HW_STR("\"type\":\"welcome\"")))
		m.kind = LOAD_GREETED;
	else if (contains(m.body, HW_STR("\"type\":\"reply\"")))
		m.kind = contains(m.body, HW_STR("\"ok\":false")) ? LOAD_ERROR : LOAD_READY;
	else if (!contains(m.body, HW_STR("\"type\":\"cursor\"")))
		m.kind = LOAD_ERROR; /* error, gap, unsubscribed, goaway */
	return m;
}

static void join_hookwire(struct hw_buf *out)
{
	load_ws_frame(out, HW_WS_OP_TEXT,
		HW_STR("{\"type\":\"subscribe\",\"topics\":[\"" LOAD_TOPIC "\"],\"id\":1}"));
}

static void command(struct hw_buf *out, const char *type, struct hw_str text)
{
	hw_buf_printf(out,
		"{%s\"topic\":\"" LOAD_TOPIC "\",\"event\":\"UPDATED\",\"data\":{\"entity_id\":"
		"\"gift-1\",\"payload\":\"%.*s\"}}",
		type, HW_STR_ARG(text));
}

static void publish_hookwire_ws(
	struct hw_buf *out, const struct load_role *role HW_UNUSED, struct hw_str text)
{
	struct hw_buf json;

	hw_buf_init(&json);
	command(&json, "\"type\":\"publish\",", text);
	load_ws_frame(out, HW_WS_OP_TEXT, hw_buf_view(&json));
	hw_buf_fini(&json);
}

static void publish_hookwire_http(
	struct hw_buf *out, const struct load_role *role, struct hw_str text)
{
	struct hw_buf json;

	hw_buf_init(&json);
	command(&json, "", text);
	hw_buf_printf(out,
		"POST /publish HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		role->port, role->token, json.len);
	hw_buf_str(out, hw_buf_view(&json));
	hw_buf_fini(&json);
}

/* The answer to a POST, which has a Content-Length. */
static struct load_message cut_hookwire_http(struct hw_str in, bool *upgraded HW_UNUSED)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *end = memmem(in.p, in.len, "\r\n\r\n", 4), *length;
	size_t head, len;

	if (!end)
		return more;
	head = (size_t)(end - in.p) + 4;
	length = memmem(in.p, head, name, sizeof(name) - 1);
	if (!hw_str_starts(in, HW_STR("HTTP/1.1 200 ")) || !length)
		return message(LOAD_ERROR, in.len, in);
	len = head + strtoul(length + sizeof(name) - 1, NULL, 10);
	if (in.len < len)
		return more;
	return message(LOAD_ANSWER, len, in);
}

const struct load_protocol load_hookwire_sub = {
	"ws", upgrade_ws, join_hookwire, cut_hookwire, pong_ws, NULL};
const struct load_protocol load_hookwire_idle = {
	"ws", upgrade_ws, NULL, cut_hookwire, pong_ws, NULL};
const struct load_protocol load_hookwire_ws = {
	"ws", upgrade_ws, NULL, cut_hookwire, pong_ws, publish_hookwire_ws};
const struct load_protocol load_hookwire_http = {
	"http", NULL, NULL, cut_hookwire_http, NULL, publish_hookwire_http, true};

/* ---- the floor ---- */

static struct load_message cut_floor(struct hw_str in, bool *upgraded)
{
	struct load_message m = *upgraded ? cut_frame(in) : cut_head(in, upgraded);

	if (m.kind == LOAD_OTHER)
		m.kind = m.body.p[0] == 'H' ? LOAD_GREETED : LOAD_EVENT;
	return m;
}

/* With a welcome: the client is greeted by it, not by the head. */
static struct load_message cut_floor_idle(struct hw_str in, bool *upgraded)
{
	struct load_message m = *upgraded ? cut_frame(in) : cut_head(in, upgraded);

	if (m.kind == LOAD_OTHER && m.body.p[0] != 'H')
		m.kind = LOAD_GREETED;
	return m;
}

static void publish_floor(
	struct hw_buf *out, const struct load_role *role HW_UNUSED, struct hw_str text)
{
	load_ws_frame(out, HW_WS_OP_TEXT, text);
}

const struct load_protocol load_floor_sub = {
	"ws", upgrade_ws, NULL, cut_floor, pong_ws, NULL, false, 4};
const struct load_protocol load_floor_idle = {"ws", upgrade_ws, NULL, cut_floor_idle, pong_ws};
const struct load_protocol load_floor_pub = {
	"ws", upgrade_publisher, NULL, cut_floor, pong_ws, publish_floor};

/* ---- lines that end in CR LF: NATS and Redis ---- */

static bool cut_line(struct hw_str in, struct hw_str *line)
{
	const char *end = memmem(in.p, in.len, "\r\n", 2);

	if (!end)
		return false;
	*line = (struct hw_str){in.p, (size_t)(end - in.p)};
	return true;
}

#define NATS_MSG "MSG bench 1 "

static void join_nats_sub(struct hw_buf *out)
{
	hw_buf_puts(out, "CONNECT {\"verbose\":false}\r\nSUB bench 1\r\nPING\r\n");
}

static void join_nats_pub(struct hw_buf *out)
{
	hw_buf_puts(out, "CONNECT {\"verbose\":false}\r\nPING\r\n");
}

static struct load_message cut_nats(struct hw_str in, bool *upgraded HW_UNUSED)
{
	struct hw_str line;
	size_t len, n;

	if (!cut_line(in, &line))
		return more;
	len = line.len + 2;
	if (hw_str_starts(line, HW_STR(NATS_MSG))) {
		n = strtoul(line.p + sizeof(NATS_MSG) - 1, NULL, 10);
		if (in.len < len + n + 2)
			return more;
		return message(LOAD_EVENT, len + n + 2, (struct hw_str){in.p + len, n});
	}
	if (hw_str_starts(line, HW_STR("INFO ")))
		return message(LOAD_GREETED, len, line);
	if (hw_str_eq(line, HW_STR("PONG")))
		return message(LOAD_READY, len, line);
	if (hw_str_eq(line, HW_STR("PING")))
		return message(LOAD_PING, len, line);
	return message(LOAD_ERROR, len, line);
}

static void pong_nats(struct hw_buf *out, struct hw_str ping HW_UNUSED)
{
	hw_buf_puts(out, "PONG\r\n");
}

static void publish_nats(
	struct hw_buf *out, const struct load_role *role HW_UNUSED, struct hw_str text)
{
	hw_buf_printf(out, "PUB bench %zu\r\n%.*s\r\n", text.len, HW_STR_ARG(text));
}

/* MSG bench 1 NNN CR LF … CR LF */
const struct load_protocol load_nats_sub = {"tcp", NULL, join_nats_sub, cut_nats, pong_nats, NULL,
	false, sizeof(NATS_MSG) - 1 + 2 + 2, true};
const struct load_protocol load_nats_pub = {
	"tcp", NULL, join_nats_pub, cut_nats, pong_nats, publish_nats};

#define REDIS_MESSAGE "*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n$"

static void hello_redis_sub(struct hw_buf *out, const struct load_role *role HW_UNUSED)
{
	hw_buf_puts(out, "*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nbench\r\n");
}

static void hello_redis_pub(struct hw_buf *out, const struct load_role *role HW_UNUSED)
{
	hw_buf_puts(out, "*1\r\n$4\r\nPING\r\n");
}

static struct load_message cut_redis(struct hw_str in, bool *upgraded HW_UNUSED)
{
	static const struct hw_str subscribed =
		HW_STR("*3\r\n$9\r\nsubscribe\r\n$5\r\nbench\r\n:1\r\n");
	const size_t prefix = sizeof(REDIS_MESSAGE) - 1;
	struct hw_str line;
	size_t n;

	if (hw_str_starts(in, HW_STR(REDIS_MESSAGE))) {
		if (!cut_line((struct hw_str){in.p + prefix, in.len - prefix}, &line))
			return more;
		n = strtoul(line.p, NULL, 10);
		if (in.len < prefix + line.len + 2 + n + 2)
			return more;
		return message(LOAD_EVENT, prefix + line.len + 2 + n + 2,
			(struct hw_str){line.p + line.len + 2, n});
	}
	if (hw_str_starts(in, subscribed))
		return message(LOAD_READY, subscribed.len, subscribed);
	if (in.len == 0 || in.p[0] == '*' || !cut_line(in, &line))
		return more;
	if (line.p[0] == ':')
		return message(LOAD_ANSWER, line.len + 2, line);
	if (hw_str_eq(line, HW_STR("+PONG")))
		return message(LOAD_READY, line.len + 2, line);
	return message(LOAD_ERROR, line.len + 2, line);
}

static void publish_redis(
	struct hw_buf *out, const struct load_role *role HW_UNUSED, struct hw_str text)
{
	hw_buf_printf(out, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n$%zu\r\n%.*s\r\n", text.len,
		HW_STR_ARG(text));
}

const struct load_protocol load_redis_sub = {"tcp", hello_redis_sub, NULL, cut_redis, NULL, NULL,
	false, sizeof(REDIS_MESSAGE) - 1 + 2 + 2, true};
const struct load_protocol load_redis_pub = {
	"tcp", hello_redis_pub, NULL, cut_redis, NULL, publish_redis, true};
