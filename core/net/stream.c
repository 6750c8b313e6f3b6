#include "net/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/net_internal.h"

enum {
	INLINE_REFS = 2,
	BLOCK_REFS = 30,
	BLOCKS_KEPT = 256,
	WRITE_VECTORS = 64,
	READS_PER_TURN = 4,   /* then others get their turn */
	MERGED_BYTES = 65536, /* what hw_stream_drop may have to copy */
	PIECE_COST = 96,      /* a reference, and the heap block that a small copy has for itself */
};

struct hw_ref {
	const char *p;
	size_t len;
	struct hw_pin *pin;
	uint64_t seq;
	bool held;  /* a hold of pin is ours to release */
	bool begun; /* the kernel has some of it */
};

struct ref_block {
	struct hw_ref_block head; /* first: the loop's free list links it */
	struct hw_ref refs[BLOCK_REFS];
};

/* The outbox, first to last: inline refs first..n_inline, then blocks, each BLOCK_REFS but the
 * first (from block_first) and the last (up to block_end).
 *
 *   inline_refs [sent|ref|…]  first_block [sent|ref|ref…] -> … -> last_block [ref|ref|room]  */
struct hw_stream {
	struct hw_list dirty;
	struct hw_loop *loop;
	const struct hw_stream_ops *ops;
	void *owner;
	struct event event;
	struct hw_timer linger; /* of finishing: first for the outbox, then for the peer's end */
	int fd;
	bool dead, reading, blocked, finishing, shut;
	bool ended; /* closed was called: all that is left to do is to destroy it */
	uint8_t inline_first, inline_end;
	uint16_t block_first, block_end;
	struct ref_block *first_block, *last_block;
	size_t queued, n_own; /* bytes; pieces without a number */
	uint64_t written;
	int64_t linger_ms;
	struct hw_ref inline_refs[INLINE_REFS];
};

/* ---- references
 * -------------------------------------------------------------------------------------------------
 */

static struct ref_block *block_take(struct hw_loop *loop)
{
	struct hw_ref_block *b = loop->free_blocks;

	if (!b)
		return malloc(sizeof(struct ref_block));
	loop->free_blocks = b->next;
	loop->n_free_blocks--;
	return (struct ref_block *)b;
}

static void block_give(struct hw_loop *loop, struct ref_block *block)
{
	if (loop->n_free_blocks >= BLOCKS_KEPT) {
		free(block);
		return;
	}
	block->head.next = loop->free_blocks;
	loop->free_blocks = &block->head;
	loop->n_free_blocks++;
}

static bool outbox_empty(const struct hw_stream *s)
{
	return s->inline_first == s->inline_end && !s->first_block;
}

static struct hw_ref *ref_last(struct hw_stream *s)
{
	if (s->last_block)
		return &s->last_block->refs[s->block_end - 1];
	return s->inline_first < s->inline_end ? &s->inline_refs[s->inline_end - 1] : NULL;
}

static struct hw_ref *ref_push(struct hw_stream *s)
{
	struct ref_block *block;

	if (!s->first_block && s->inline_end < INLINE_REFS)
		return &s->inline_refs[s->inline_end++];
	if (s->last_block && s->block_end < BLOCK_REFS)
		return &s->last_block->refs[s->block_end++];
	block = block_take(s->loop);
	if (!block)
		return NULL;
	block->head.next = NULL;
	if (s->last_block) {
		s->last_block->head.next = &block->head;
	} else {
		s->first_block = block;
		s->block_first = 0;
	}
	s->last_block = block;
	s->block_end = 1;
	return &block->refs[0];
}

/* Walks the outbox: *@block NULL and *@i = inline_first to begin with. */
static struct hw_ref *ref_at(struct hw_stream *s, struct ref_block **block, size_t *i)
{
	if (!*block) {
		if (*i < s->inline_end)
			return &s->inline_refs[*i];
		*block = s->first_block;
		*i = s->block_first;
	} else if (*i == BLOCK_REFS) {
		*block = (struct ref_block *)(*block)->head.next;
		*i = 0;
	}
	if (!*block || (*block == s->last_block && *i >= s->block_end))
		return NULL;
	return &(*block)->refs[*i];
}

static void ref_release(struct hw_ref *ref)
{
	if (ref->held)
		hw_pin_release(ref->pin);
}

static void ref_pop(struct hw_stream *s)
{
	struct ref_block *block = s->first_block;

	if (s->inline_first < s->inline_end) {
		s->n_own -= !s->inline_refs[s->inline_first].seq;
		ref_release(&s->inline_refs[s->inline_first++]);
		if (s->inline_first == s->inline_end)
			s->inline_first = s->inline_end = 0;
		return;
	}
	s->n_own -= !block->refs[s->block_first].seq;
	ref_release(&block->refs[s->block_first++]);
	if (block == s->last_block ? s->block_first == s->block_end
				   : s->block_first == BLOCK_REFS) {
		s->first_block = (struct ref_block *)block->head.next;
		s->block_first = 0;
		if (block == s->last_block)
			s->first_block = s->last_block = NULL;
		block_give(s->loop, block);
	}
}

static void outbox_clear(struct hw_stream *s)
{
	while (!outbox_empty(s))
		ref_pop(s);
	s->queued = 0;
}

static bool over(const struct hw_stream *s)
{
	return s->dead || s->ended;
}

static void mark_dirty(struct hw_stream *s)
{
	if (hw_list_empty(&s->dirty) && !s->blocked)
		hw_list_push(&s->loop->dirty, &s->dirty);
}

static int queue(
	struct hw_stream *s, struct hw_pin *pin, const char *p, size_t len, uint64_t seq, bool held)
{
	struct hw_ref *last = ref_last(s);

	if (last && last->pin == pin && last->p + last->len == p && last->held == held &&
		!last->seq == !seq && last->len + len <= MERGED_BYTES) {
		last->len += len;
		if (held)
			hw_pin_release(pin); /* the hold that is there covers both */
	} else {
		struct hw_ref *ref = ref_push(s);

		if (!ref)
			return -ENOMEM;
		*ref = (struct hw_ref){.p = p, .len = len, .pin = pin, .seq = seq, .held = held};
		s->n_own += !seq;
	}
	s->queued += len;
	mark_dirty(s);
	return 0;
}

int hw_stream_queue(
	struct hw_stream *s, struct hw_pin *pin, const void *p, size_t len, uint64_t seq, bool hold)
{
	int r;

	if (over(s) || s->finishing || len == 0)
		return 0;
	/* a blocked stream is not visited at the end of the turn: hold now */
	hold = hold || s->blocked;
	if (hold)
		hw_pin_hold(pin);
	r = queue(s, pin, p, len, seq, hold);
	if (r && hold)
		hw_pin_release(pin);
	return r;
}

int hw_stream_copy(struct hw_stream *s, const void *p, size_t len)
{
	struct hw_blob *blob;
	int r;

	if (over(s) || s->finishing || len == 0)
		return 0;
	blob = hw_blob_create(p, len);
	if (!blob)
		return -ENOMEM;
	r = queue(s, &blob->pin, blob->data, len, 0, true);
	if (r)
		hw_pin_release(&blob->pin);
	return r;
}

size_t hw_stream_queued(const struct hw_stream *s)
{
	return s->queued;
}

size_t hw_stream_cost(const struct hw_stream *s)
{
	return s->queued + s->n_own * PIECE_COST;
}

bool hw_stream_blocked(const struct hw_stream *s)
{
	return s->blocked;
}

uint64_t hw_stream_written(const struct hw_stream *s)
{
	return s->written;
}

/* Replaces the pinned rest of a reference by a copy of it. */
static bool ref_copy(struct hw_stream *s, struct hw_ref *ref)
{
	struct hw_blob *blob = hw_blob_create(ref->p, ref->len);

	if (!blob)
		return false;
	ref_release(ref);
	*ref = (struct hw_ref){
		.p = blob->data, .len = ref->len, .pin = &blob->pin, .held = true, .begun = true};
	s->n_own++;
	return true;
}

/* The outbox ends before *@block and @i, as ref_at walks; what was there and behind is gone. */
static void outbox_cut(struct hw_stream *s, struct ref_block *block, size_t i)
{
	struct ref_block *rest = block ? (struct ref_block *)block->head.next : s->first_block;

	while (rest) {
		struct ref_block *next = (struct ref_block *)rest->head.next;

		block_give(s->loop, rest);
		rest = next;
	}
	s->last_block = block;
	if (block) {
		block->head.next = NULL;
		s->block_end = (uint16_t)i;
		return;
	}
	s->first_block = NULL;
	s->inline_end = (uint8_t)i;
	if (s->inline_first == s->inline_end)
		s->inline_first = s->inline_end = 0;
}

uint64_t hw_stream_drop(struct hw_stream *s)
{
	struct ref_block *from_block = NULL, *to_block = NULL;
	size_t from = s->inline_first, to = from;
	struct hw_ref *ref = ref_at(s, &from_block, &from);
	uint64_t dropped = 0;

	/* only the first can have begun */
	if (ref && ref->seq && ref->begun && !ref_copy(s, ref))
		return 0;
	/* what stays moves up in its place: dropping takes no memory */
	for (; (ref = ref_at(s, &from_block, &from)); from++) {
		if (!ref->seq) {
			*ref_at(s, &to_block, &to) = *ref;
			to++;
			continue;
		}
		if (!dropped)
			dropped = ref->seq;
		s->queued -= ref->len;
		ref_release(ref);
	}
	outbox_cut(s, to_block, to);
	return dropped;
}

void hw_stream_keep(struct hw_stream *s)
{
	struct ref_block *block = NULL;
	size_t i = s->inline_first;

	for (struct hw_ref *ref; (ref = ref_at(s, &block, &i)); i++) {
		s->n_own += ref->seq != 0;
		ref->seq = 0;
	}
}

/* ---- writing
 * ------------------------------------------------------------------------------------------------------
 */

static size_t gather(struct hw_stream *s, struct iovec *vectors)
{
	struct ref_block *block = NULL;
	size_t i = s->inline_first, n = 0;
	struct hw_ref *ref;

	while (n < WRITE_VECTORS && (ref = ref_at(s, &block, &i))) {
		vectors[n++] =
			(struct iovec){.iov_base = (void *)(uintptr_t)ref->p, .iov_len = ref->len};
		i++;
	}
	return n;
}

static void consume(struct hw_stream *s, size_t n)
{
	s->queued -= n;
	s->written += n;
	while (n > 0) {
		struct ref_block *block = NULL;
		size_t i = s->inline_first;
		struct hw_ref *ref = ref_at(s, &block, &i);

		if (n < ref->len) {
			ref->p += n;
			ref->len -= n;
			ref->begun = true;
			return;
		}
		n -= ref->len;
		ref_pop(s);
	}
}

/* 0: all written; 1: the kernel takes no more; negative errno: the connection is gone. */
static int write_out(struct hw_stream *s)
{
	while (!outbox_empty(s)) {
		struct iovec vectors[WRITE_VECTORS];
		size_t n = gather(s, vectors);
		ssize_t sent;

		if (n == 1) {
			sent = send(s->fd, vectors[0].iov_base, vectors[0].iov_len,
				MSG_NOSIGNAL | MSG_DONTWAIT);
		} else {
			struct msghdr message = {.msg_iov = vectors, .msg_iovlen = n};

			sent = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (sent < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
				return 1;
			return -errno;
		}
		consume(s, (size_t)sent);
	}
	return 0;
}

static void hold_all(struct hw_stream *s)
{
	struct ref_block *block = NULL;
	size_t i = s->inline_first;
	struct hw_ref *ref;

	while ((ref = ref_at(s, &block, &i))) {
		if (!ref->held) {
			hw_pin_hold(ref->pin);
			ref->held = true;
		}
		i++;
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static void watch(struct hw_stream *s)
{
	short events = EV_PERSIST;

	if (s->reading)
		events |= EV_READ;
	if (s->blocked)
		events |= EV_WRITE;
	event_del(&s->event);
	if (!(events & (EV_READ | EV_WRITE)))
		return;
	event_assign(&s->event, s->loop->base, s->fd, events, on_event, s);
	event_add(&s->event, NULL);
}

static void fail(struct hw_stream *s, int error)
{
	if (over(s))
		return;
	s->ended = true;
	event_del(&s->event);
	hw_timer_cancel(&s->linger);
	hw_list_remove(&s->dirty);
	outbox_clear(s);
	s->ops->closed(s->owner, error);
}

/* Everything is written: send FIN, go on reading so that a late byte of the peer does not reset
 * what it has yet to read. */
static void shut(struct hw_stream *s)
{
	s->shut = true;
	hw_timer_arm(s->loop->timers, &s->linger, s->loop->now_ms + s->linger_ms);
	shutdown(s->fd, SHUT_WR);
	s->reading = true;
	watch(s);
}

static void flush(struct hw_stream *s)
{
	bool was_blocked = s->blocked;
	int r = write_out(s);

	if (r < 0) {
		fail(s, r);
		return;
	}
	s->blocked = r == 1;
	if (s->blocked)
		hold_all(s);
	if (s->blocked != was_blocked)
		watch(s);
	if (s->blocked)
		return;
	if (s->finishing && !s->shut)
		shut(s);
	else if (was_blocked && s->ops->drained && !s->finishing)
		s->ops->drained(s->owner);
}

void hw_streams_flush(struct hw_loop *loop)
{
	struct hw_list dirty, *node;

	/* a callback may queue on any stream, also on one that was flushed: such a stream waits for
	 * the next round */
	hw_list_init(&dirty);
	hw_list_splice(&dirty, &loop->dirty);
	while ((node = hw_list_pop(&dirty))) {
		struct hw_stream *s = HW_CONTAINER_OF(node, struct hw_stream, dirty);

		flush(s);
	}
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------
 */

/* A peer that closed its half only is still owed what a finishing stream has to write. */
static void end_of_input(struct hw_stream *s)
{
	if (!s->finishing && s->queued > 0 && s->ops->half_closed)
		s->ops->half_closed(s->owner);
	if (s->finishing && !s->shut) {
		s->reading = false;
		watch(s);
	} else {
		fail(s, 0);
	}
}

static void receive(struct hw_stream *s)
{
	for (int i = 0; i < READS_PER_TURN && s->reading && !over(s); i++) {
		ssize_t n = recv(s->fd, s->loop->received, sizeof(s->loop->received), MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				fail(s, -errno);
			return;
		}
		if (n == 0) {
			end_of_input(s);
			return;
		}
		if (!s->finishing)
			s->ops->received(s->owner, s->loop->received, (size_t)n);
		if ((size_t)n < sizeof(s->loop->received))
			return; /* a short read: the socket is empty */
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct hw_stream *s = arg;

	(void)fd;
	hw_loop_refresh(s->loop);
	if ((what & EV_WRITE) && !over(s) && s->blocked)
		flush(s);
	if ((what & EV_READ) && !over(s) && s->reading)
		receive(s);
}

void hw_stream_read(struct hw_stream *s, bool on)
{
	if (over(s) || s->finishing || s->reading == on)
		return;
	s->reading = on;
	watch(s);
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------------
 */

static void on_linger(struct hw_timer *timer)
{
	fail(HW_CONTAINER_OF(timer, struct hw_stream, linger), -ETIMEDOUT);
}

struct hw_stream *hw_stream_create(
	struct hw_loop *loop, int fd, const struct hw_stream_ops *ops, void *owner)
{
	struct hw_stream *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return NULL;
	}
	s->loop = loop;
	s->fd = fd;
	s->ops = ops;
	s->owner = owner;
	s->reading = true;
	hw_list_init(&s->dirty);
	hw_timer_init(&s->linger, on_linger);
	event_assign(&s->event, loop->base, fd, EV_READ | EV_PERSIST, on_event, s);
	if (event_add(&s->event, NULL)) {
		close(fd);
		free(s);
		return NULL;
	}
	return s;
}

void hw_stream_destroy(struct hw_stream **stream)
{
	struct hw_stream *s = *stream;

	if (!s)
		return;
	*stream = NULL;
	if (s->dead)
		return;
	s->dead = true;
	event_del(&s->event);
	hw_timer_cancel(&s->linger);
	outbox_clear(s);
	close(s->fd);
	hw_list_remove(&s->dirty);
	hw_list_push(&s->loop->graveyard, &s->dirty);
}

void hw_streams_bury(struct hw_loop *loop)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&loop->graveyard)))
		free(HW_CONTAINER_OF(node, struct hw_stream, dirty));
}

void hw_stream_set_owner(struct hw_stream *s, const struct hw_stream_ops *ops, void *owner)
{
	s->ops = ops;
	s->owner = owner;
}

void hw_stream_expect_acks(struct hw_stream *s, int64_t ms)
{
	unsigned timeout_ms = ms > INT_MAX ? INT_MAX : (unsigned)ms;

	/* a unix socket does not know it, and does not need it: its peer cannot vanish unnoticed */
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

void hw_stream_finish(struct hw_stream *s, int64_t write_ms, int64_t linger_ms)
{
	if (over(s) || s->finishing)
		return;
	s->finishing = true;
	s->linger_ms = linger_ms;
	hw_timer_arm(s->loop->timers, &s->linger, s->loop->now_ms + write_ms);
	/* input is dropped from now on, but the end of it must be seen */
	if (!s->reading) {
		s->reading = true;
		watch(s);
	}
	if (!s->blocked)
		mark_dirty(s);
}
