/* A WebSocket client on one socket, for the command line: it waits with poll(2) for the broker, a
 * deadline, or the descriptor that says to stop. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app/cli_url.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/ws.h"

#define HW_CLI_WS_MESSAGE_MAX (64u << 20) /* bytes; longer ones end the connection */

enum hw_cli_ws_outcome {
	HW_CLI_WS_MESSAGE = 1, /* ws->message */
	HW_CLI_WS_CLOSED,      /* ws->close_code, and its reason in err */
	HW_CLI_WS_LOST,        /* the network; why is in err */
	HW_CLI_WS_REFUSED,     /* connect: ws->http_status (0: not even sent), why in err */
	HW_CLI_WS_TIMEOUT,     /* the deadline has come */
	HW_CLI_WS_STOPPED,     /* stop_fd is readable */
};

struct hw_cli_ws {
	int fd;      /* -1: not connected */
	int stop_fd; /* borrowed */
	struct hw_ws_reader reader;
	uint8_t in[16384]; /* in_at..in_len unread */
	size_t in_at, in_len;
	struct hw_buf message; /* the one that comes, then came */
	bool whole;            /* message was handed out */
	bool closing;          /* our close frame is sent: none follows it */
	uint16_t close_code;
	unsigned http_status;
	uint64_t retry_after_ms; /* of a refusal; 0: none */
	int64_t heard_ms;        /* when the last byte came, monotonic */
};

void hw_cli_ws_init(struct hw_cli_ws *ws, int stop_fd);
void hw_cli_ws_fini(struct hw_cli_ws *ws);

/** Connects and upgrades, with sub-protocol hookwire.v1 and @token as a bearer. 0, or LOST, REFUSED
 * or STOPPED with nothing left open. */
HW_MUST_CHECK int hw_cli_ws_connect(struct hw_cli_ws *ws, const struct hw_cli_url *url,
	struct hw_str token, struct hw_err *err);
/** Sends a text message. 0, LOST or STOPPED. */
HW_MUST_CHECK int hw_cli_ws_send(struct hw_cli_ws *ws, struct hw_str text, struct hw_err *err);
/** Waits for a message until @deadline_ms (monotonic). Pings are answered on the way. After CLOSED
 * and LOST the socket is closed. */
HW_MUST_CHECK int hw_cli_ws_next(struct hw_cli_ws *ws, int64_t deadline_ms, struct hw_err *err);
/** Says good-bye with @code, waits up to a second for the answer, and closes. */
void hw_cli_ws_close(struct hw_cli_ws *ws, uint16_t code);
/** Waits until @deadline_ms: TIMEOUT or STOPPED. */
int hw_cli_ws_pause(struct hw_cli_ws *ws, int64_t deadline_ms);
