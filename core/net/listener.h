/* Listening sockets: one per worker on the same address (SO_REUSEPORT), so that the kernel spreads
 * connections and no worker waits for another. A unix socket has one acceptor, which hands
 * descriptors out. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

/** Binds @addr for @n sockets to *@fds. TCP: the first bind is exclusive, so that a second broker
 * fails here. Port 0: all get the port that the kernel chose; @addr is updated to it, on success
 * alone. Unix: removes a stale socket file (one that nobody accepts on), makes one descriptor; @n
 * must be 1. 0 or negative errno with @err filled; nothing is left open then. */
HW_MUST_CHECK int hw_listen(
	struct sockaddr_storage *addr, socklen_t *addr_len, int *fds, size_t n, struct hw_err *err);

struct hw_listener;

struct hw_listener_ops {
	/** A connection: @fd is the callee's, non-blocking, TCP_NODELAY where it applies. @address
	 * is printable: "192.0.2.1",
	 *  "[2001:db8::1]" or "unix"; borrowed. */
	void (*accepted)(void *owner, int fd, const char *address);
};

/** Accepts on @fd (its own now) in @loop. At the process's limit of descriptors it answers a
 * waiting connection with
 *  @refusal (HTTP text, may be NULL) through a descriptor kept in reserve, and closes it; logged
 * once a second at most. NULL: no memory. */
struct hw_listener *hw_listener_create(struct hw_loop *loop, int fd,
	const struct hw_listener_ops *ops, void *owner, struct hw_log *log, const char *refusal);
void hw_listener_destroy(struct hw_listener **listener);
