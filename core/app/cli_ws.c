#include "app/cli_ws.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/base64.h"
#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "wire/json.h"
#include "wire/ws_handshake.h"

enum {
	CONNECT_MS = 10000, /* for each address, and again for the answer to the upgrade */
	SEND_MS = 10000,
	CLOSE_MS = 1000,
	BODY_MS = 2000, /* for the body of a refusal, which only explains it */
	READY = 0,
};

static int64_t now_ms(void)
{
	return hw_clock_mono_ms(&hw_clock_system);
}

/* READY, TIMEOUT or STOPPED. @events 0: only to wait */
static int wait_for(struct hw_cli_ws *ws, short events, int64_t deadline_ms)
{
	struct pollfd fds[] = {{.fd = ws->stop_fd, .events = POLLIN},
		{.fd = events ? ws->fd : -1, .events = events}};
	int64_t left;
	int n;

	do {
		left = deadline_ms - now_ms();
		left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
		n = poll(fds, HW_COUNT(fds), (int)left);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (fds[0].revents)
		return HW_CLI_WS_STOPPED;
	return n > 0 ? READY : HW_CLI_WS_TIMEOUT;
}

int hw_cli_ws_pause(struct hw_cli_ws *ws, int64_t deadline_ms)
{
	return wait_for(ws, 0, deadline_ms);
}

static void hang_up(struct hw_cli_ws *ws)
{
	if (ws->fd >= 0)
		close(ws->fd);
	ws->fd = -1;
	ws->in_at = ws->in_len = 0;
	ws->closing = false;
	hw_ws_reader_fini(&ws->reader);
	hw_ws_reader_init(&ws->reader, HW_WS_CLIENT, HW_CLI_WS_MESSAGE_MAX);
}

static int lost(struct hw_cli_ws *ws, struct hw_err *err, const char *what, const char *why)
{
	hang_up(ws);
	return hw_err_set(err, HW_CLI_WS_LOST, "%s%s%s", what, why[0] ? ": " : "", why);
}

void hw_cli_ws_init(struct hw_cli_ws *ws, int stop_fd)
{
	memset(ws, 0, sizeof(*ws));
	ws->fd = -1;
	ws->stop_fd = stop_fd;
	hw_buf_init(&ws->message);
	hw_ws_reader_init(&ws->reader, HW_WS_CLIENT, HW_CLI_WS_MESSAGE_MAX);
}

void hw_cli_ws_fini(struct hw_cli_ws *ws)
{
	hang_up(ws);
	hw_ws_reader_fini(&ws->reader);
	hw_buf_fini(&ws->message);
}

/* ---- bytes ---- */

static int send_all(
	struct hw_cli_ws *ws, const void *p, size_t len, int64_t deadline_ms, struct hw_err *err)
{
	const char *at = p;
	ssize_t n;
	int rc;

	while (len > 0) {
		n = send(ws->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			rc = wait_for(ws, POLLOUT, deadline_ms);
			if (rc == HW_CLI_WS_TIMEOUT)
				return lost(ws, err, "the broker takes nothing more", "");
			if (rc != READY)
				return rc;
		} else if (errno != EINTR) {
			return lost(ws, err, "the connection is lost", strerror(errno));
		}
	}
	return 0;
}

/* Appends what has come to @in; there is room. 0, LOST, TIMEOUT or STOPPED */
static int receive(struct hw_cli_ws *ws, int64_t deadline_ms, struct hw_err *err)
{
	ssize_t n;
	int rc;

	for (;;) {
		rc = wait_for(ws, POLLIN, deadline_ms);
		if (rc != READY)
			return rc;
		n = recv(ws->fd, ws->in + ws->in_len, sizeof(ws->in) - ws->in_len, MSG_DONTWAIT);
		if (n > 0) {
			ws->in_len += (size_t)n;
			ws->heard_ms = now_ms();
			return READY;
		}
		if (n == 0)
			return lost(ws, err, "the broker ended the connection", "");
		if (errno != EAGAIN && errno != EINTR)
			return lost(ws, err, "the connection is lost", strerror(errno));
	}
}

static int send_frame(
	struct hw_cli_ws *ws, enum hw_ws_opcode opcode, struct hw_str payload, struct hw_err *err)
{
	uint8_t mask[4], head[HW_WS_HEADER_BYTES];
	struct hw_buf frame;
	size_t n;
	int rc;

	hw_random(mask, sizeof(mask));
	n = hw_ws_header(head, true, opcode, payload.len, mask);
	hw_buf_init(&frame);
	hw_buf_add(&frame, head, n);
	hw_buf_str(&frame, payload);
	if (frame.failed) {
		rc = lost(ws, err, "out of memory", "");
	} else {
		hw_ws_mask((uint8_t *)frame.data + n, payload.len, mask, 0);
		rc = send_all(ws, frame.data, frame.len, now_ms() + SEND_MS, err);
	}
	hw_buf_fini(&frame);
	return rc;
}

int hw_cli_ws_send(struct hw_cli_ws *ws, struct hw_str text, struct hw_err *err)
{
	return send_frame(ws, HW_WS_OP_TEXT, text, err);
}

/* ---- the beginning ---- */

static int connect_one(struct hw_cli_ws *ws, const struct addrinfo *address, struct hw_err *err)
{
	int on = 1, failure = 0, rc;
	socklen_t len = sizeof(failure);

	ws->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ws->fd < 0)
		return lost(ws, err, "no socket", strerror(errno));
	setsockopt(ws->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(ws->fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return lost(ws, err, "cannot connect", strerror(errno));
	rc = wait_for(ws, POLLOUT, now_ms() + CONNECT_MS);
	if (rc == HW_CLI_WS_STOPPED) {
		hang_up(ws);
		return rc;
	}
	if (rc == HW_CLI_WS_TIMEOUT)
		return lost(ws, err, "cannot connect", strerror(ETIMEDOUT));
	if (getsockopt(ws->fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
		failure = errno;
	return failure ? lost(ws, err, "cannot connect", strerror(failure)) : 0;
}

static int open_socket(struct hw_cli_ws *ws, const struct hw_cli_url *url, struct hw_err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
	int rc = getaddrinfo(url->host, url->port, &hints, &list);

	if (rc != 0)
		return lost(ws, err, "cannot find the host", gai_strerror(rc));
	rc = HW_CLI_WS_LOST;
	for (struct addrinfo *a = list; a && rc == HW_CLI_WS_LOST; a = a->ai_next)
		rc = connect_one(ws, a, err);
	freeaddrinfo(list);
	return rc;
}

/* Reads the head of the answer; *end is behind its empty line. */
static int read_head(struct hw_cli_ws *ws, size_t *end, struct hw_err *err)
{
	int64_t deadline_ms = now_ms() + CONNECT_MS;
	const uint8_t *mark;
	int rc;

	while (!(mark = memmem(ws->in, ws->in_len, "\r\n\r\n", 4))) {
		if (ws->in_len == sizeof(ws->in))
			return lost(ws, err, "the answer is no WebSocket handshake",
				"its head does not end");
		rc = receive(ws, deadline_ms, err);
		if (rc == HW_CLI_WS_TIMEOUT)
			return lost(ws, err, "the broker does not answer", "");
		if (rc != READY)
			return rc;
	}
	*end = (size_t)(mark - ws->in) + 4;
	return 0;
}

/* Puts the message of an error body, if there is one, behind the status. */
static void explain(struct hw_cli_ws *ws, struct hw_str body, struct hw_err *err)
{
	struct hw_json_reader r;
	struct hw_json key, value;
	char text[300];
	size_t len;

	hw_json_init(&r, body, 0);
	if (hw_json_enter(&r, HW_JSON_OBJECT) < 0)
		return;
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		if (hw_json_is(key, HW_STR("message")) && value.kind == HW_JSON_STRING &&
			hw_json_copy(value, text, sizeof(text), &len) == 0)
			hw_err_set(err, 0, "HTTP %u: %.*s", ws->http_status, (int)len, text);
		else if (hw_json_is(key, HW_STR("retry_after_ms")) &&
			 hw_str_to_u64(value.raw, &ws->retry_after_ms) < 0)
			ws->retry_after_ms = 0;
	}
}

static int refused(struct hw_cli_ws *ws, size_t head, struct hw_err *err)
{
	int64_t deadline_ms = now_ms() + BODY_MS;
	struct hw_err ignored = {""};
	struct hw_json body;

	hw_err_set(err, 0, "HTTP %u", ws->http_status);
	memmove(ws->in, ws->in + head, ws->in_len - head);
	ws->in_len -= head;
	while (ws->in_len < sizeof(ws->in) &&
		hw_json_whole((struct hw_str){(char *)ws->in, ws->in_len}, 0, &body, NULL) < 0) {
		size_t before = ws->in_len;

		if (receive(ws, deadline_ms, &ignored) != READY) {
			ws->in_len = before; /* the end of the connection is an end of the body */
			break;
		}
	}
	explain(ws, (struct hw_str){(char *)ws->in, ws->in_len}, err);
	hang_up(ws);
	return HW_CLI_WS_REFUSED;
}

static int upgrade(struct hw_cli_ws *ws, const struct hw_cli_url *url,
	const struct hw_http1_header *header, struct hw_buf *key, struct hw_buf *text,
	struct hw_err *err)
{
	struct hw_ws_client client = {
		.host = hw_str_of(url->authority),
		.target = hw_str_of(url->target),
		.protocols = HW_STR("hookwire.v1"),
		.headers = header,
		.n_headers = 1,
	};
	struct hw_ws_answer answer = {.status = 0};
	uint8_t bytes[16], digest[HW_SHA1_LEN];
	size_t head = 0;
	int rc;

	hw_random(bytes, sizeof(bytes));
	hw_base64_encode(key, bytes, sizeof(bytes));
	client.key = hw_buf_view(key);
	rc = key->failed ? -ENOMEM : hw_ws_handshake_request(text, &client, err);
	if (rc == -ENOMEM)
		return lost(ws, err, "out of memory", "");
	if (rc < 0)
		return HW_CLI_WS_REFUSED; /* by ourselves: no attempt will do better */
	rc = send_all(ws, text->data, text->len, now_ms() + SEND_MS, err);
	if (rc == 0)
		rc = read_head(ws, &head, err);
	if (rc)
		return rc;
	explicit_bzero(text->data, text->cap); /* the token is in it */
	hw_buf_clear(text);
	hw_buf_printf(text, "%.*s%s", HW_STR_ARG(client.key), HW_WS_GUID);
	hw_sha1(text->data, text->len, digest);
	hw_buf_clear(text);
	hw_base64_encode(text, digest, sizeof(digest));
	rc = hw_ws_handshake_check_response(
		(struct hw_str){(char *)ws->in, head}, &client, hw_buf_view(text), &answer, err);
	if (rc == HW_WS_HANDSHAKE_STATUS) {
		ws->http_status = answer.status;
		return refused(ws, head, err);
	}
	if (rc != 0) {
		hang_up(ws);
		hw_err_prefix(err, "the answer is no WebSocket handshake");
		return HW_CLI_WS_LOST;
	}
	ws->in_at = head;
	return 0;
}

int hw_cli_ws_connect(
	struct hw_cli_ws *ws, const struct hw_cli_url *url, struct hw_str token, struct hw_err *err)
{
	struct hw_http1_header header = {.name = HW_STR("Authorization")};
	struct hw_buf bearer, key, text;
	int rc;

	hang_up(ws);
	hw_buf_clear(&ws->message);
	ws->whole = false;
	ws->http_status = 0;
	ws->retry_after_ms = 0;
	ws->close_code = 0;
	rc = open_socket(ws, url, err);
	if (rc)
		return rc;
	ws->heard_ms = now_ms();
	hw_buf_init(&bearer);
	hw_buf_init(&key);
	hw_buf_init(&text);
	hw_buf_puts(&bearer, "Bearer ");
	hw_buf_str(&bearer, token);
	header.value = hw_buf_view(&bearer);
	rc = bearer.failed ? lost(ws, err, "out of memory", "")
			   : upgrade(ws, url, &header, &key, &text, err);
	if (rc)
		hang_up(ws);
	if (bearer.data)
		explicit_bzero(bearer.data, bearer.cap);
	if (text.data)
		explicit_bzero(text.data, text.cap);
	hw_buf_fini(&text);
	hw_buf_fini(&key);
	hw_buf_fini(&bearer);
	return rc;
}

/* ---- messages ---- */

static int send_close(
	struct hw_cli_ws *ws, uint16_t code, struct hw_str reason, int64_t deadline_ms)
{
	uint8_t mask[4], out[HW_WS_CLOSE_BYTES];
	struct hw_err ignored = {""};
	size_t n;

	hw_random(mask, sizeof(mask));
	n = hw_ws_close(out, code, reason, mask);
	return send_all(ws, out, n, deadline_ms, &ignored);
}

static int closed(struct hw_cli_ws *ws, const struct hw_ws_event *ev, struct hw_err *err)
{
	ws->close_code = ev->code;
	hw_err_set(err, 0, "%u%s%.*s", ev->code, ev->data.len > 0 ? " " : "", HW_STR_ARG(ev->data));
	if (!ws->closing)
		(void)send_close(ws, ev->code, HW_STR(""), now_ms() + CLOSE_MS);
	hang_up(ws);
	return HW_CLI_WS_CLOSED;
}

/* READY: go on */
static int handle(struct hw_cli_ws *ws, int rc, const struct hw_ws_event *ev, struct hw_err *err)
{
	switch (rc) {
	case HW_WS_DATA:
		hw_buf_str(&ws->message, ev->data);
		if (ws->message.failed)
			return lost(ws, err, "out of memory", "");
		ws->whole = ev->last;
		return ev->last ? HW_CLI_WS_MESSAGE : READY;
	case HW_WS_PING:
		return send_frame(ws, HW_WS_OP_PONG, ev->data, err);
	case HW_WS_PONG:
		return READY;
	case HW_WS_CLOSE:
		return closed(ws, ev, err);
	case HW_WS_ERROR:
		(void)send_close(ws, ev->code, hw_str_of(ev->reason), now_ms() + CLOSE_MS);
		return lost(ws, err, "the broker does not speak WebSocket", ev->reason);
	default:
		return lost(ws, err, "out of memory", "");
	}
}

int hw_cli_ws_next(struct hw_cli_ws *ws, int64_t deadline_ms, struct hw_err *err)
{
	struct hw_ws_event ev;
	size_t used;
	int rc;

	if (ws->whole)
		hw_buf_clear(&ws->message);
	ws->whole = false;
	for (;;) {
		rc = hw_ws_read(
			&ws->reader, ws->in + ws->in_at, ws->in_len - ws->in_at, &used, &ev);
		ws->in_at += used;
		if (rc != HW_WS_MORE) {
			rc = handle(ws, rc, &ev, err);
			if (rc != READY)
				return rc;
			continue;
		}
		ws->in_at = ws->in_len = 0;
		rc = receive(ws, deadline_ms, err);
		if (rc != READY)
			return rc;
	}
}

void hw_cli_ws_close(struct hw_cli_ws *ws, uint16_t code)
{
	int64_t deadline_ms = now_ms() + CLOSE_MS;
	struct hw_err ignored = {""};
	int stop_fd = ws->stop_fd, rc = 0;

	if (ws->fd < 0)
		return;
	ws->stop_fd = -1; /* whoever said stop has been heard */
	if (send_close(ws, code, HW_STR(""), deadline_ms) == 0) {
		ws->closing = true;
		do {
			rc = hw_cli_ws_next(ws, deadline_ms, &ignored);
		} while (rc == HW_CLI_WS_MESSAGE && now_ms() < deadline_ms);
	}
	hang_up(ws);
	ws->stop_fd = stop_fd;
}
