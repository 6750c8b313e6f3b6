/* One connection from accept to close, whatever is spoken on it: the socket and the outbox.
 * Output is queued as references and leaves in one system call per stream at the end of the loop's
 * turn. A stream holds no buffer of its own: it reads into its loop's, and what it has yet to write
 * stays where it is, pinned only if the socket is full.
 *
 *   accept ──> open ──(hw_stream_finish)──> finishing: the outbox is written, then FIN, then input
 * is dropped │                                │     until the peer closes; each within its time
 *                └─(peer gone, error)──> closed() <──┘     the owner destroys it there or whenever
 * it likes */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pin.h"
#include "base/str.h"
#include "net/loop.h"

struct hw_stream;

struct hw_stream_ops {
	/** @p is the loop's buffer: use or copy all of it before returning; it may be changed. */
	void (*received)(void *owner, uint8_t *p, size_t len);
	/** The outbox was full of unsent bytes at the end of a turn and is empty now. May be NULL.
	 * Called while the turn's output is written: plan what to send for the next turn, queue
	 * nothing here that needs a hold. */
	void (*drained)(void *owner);
	/** Nothing more will come or go: 0 = the peer ended it, else a negative errno (-ETIMEDOUT:
	 * the time to finish is over). The stream is still there: destroy it. Not called by
	 * hw_stream_destroy. */
	void (*closed)(void *owner, int error);
	/** The peer sends no more, and there is something that it has yet to get: call
	 * hw_stream_finish for it to be written; else it is dropped. May be NULL. */
	void (*half_closed)(void *owner);
};

/** Takes @fd (non-blocking), closes it on failure. @ops and @owner may be changed at any time: an
 * upgrade. NULL: no memory. */
struct hw_stream *hw_stream_create(
	struct hw_loop *loop, int fd, const struct hw_stream_ops *ops, void *owner);
/** Closes at once, unsent bytes are dropped, no callback. The memory goes at the end of the turn.
 */
void hw_stream_destroy(struct hw_stream **stream);
void hw_stream_set_owner(struct hw_stream *stream, const struct hw_stream_ops *ops, void *owner);

/** Stops or goes on reading: the way to slow a sender down. While stopped, the peer's closing is
 * not noticed. */
void hw_stream_read(struct hw_stream *stream, bool on);

/** Queues bytes of @pin's owner. @hold false: the owner keeps them until the end of this turn
 * unasked, and is asked to hold only what the kernel does not take by then; true: it is asked now.
 * @seq (not 0) numbers what can be dropped and read again later: see hw_stream_drop. 0 or -ENOMEM
 * (nothing queued). */
HW_MUST_CHECK int hw_stream_queue(struct hw_stream *stream, struct hw_pin *pin, const void *p,
	size_t len, uint64_t seq, bool hold);
/** Queues a copy. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_stream_copy(struct hw_stream *stream, const void *p, size_t len);
/** Bytes queued and not yet taken by the kernel. */
size_t hw_stream_queued(const struct hw_stream *stream);
/** These, and for each piece without a number what holds it in memory: a pong of two bytes has a
 * piece to itself. Whoever bounds what a peer can make us queue asks for this. */
size_t hw_stream_cost(const struct hw_stream *stream);
/** The kernel takes no more at the moment: what is queued waits for the peer. */
bool hw_stream_blocked(const struct hw_stream *stream);
/** Drops everything numbered that has not begun to leave. Returns the number of the first thing
 * dropped, 0 = nothing. What had begun stays, copied, so that no pin is held. */
uint64_t hw_stream_drop(struct hw_stream *stream);
/** From now on nothing of what is queued can be dropped: something behind it says that the peer has
 * it. */
void hw_stream_keep(struct hw_stream *stream);

/** What was sent has to be acknowledged within @ms, and a peer that takes nothing has to take
 * something: else closed(-ETIMEDOUT). For who hears nothing of its peer. */
void hw_stream_expect_acks(struct hw_stream *stream, int64_t ms);

/** Writes what is queued, in @write_ms at most, then waits for the peer to close, @linger_ms at
 * most; received is not called any more, closed is. */
void hw_stream_finish(struct hw_stream *stream, int64_t write_ms, int64_t linger_ms);
/** Bytes that the kernel has taken since the stream was made: progress of a slow peer. */
uint64_t hw_stream_written(const struct hw_stream *stream);
