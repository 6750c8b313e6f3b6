/* A stream on one end of a socket pair, the peer's end, and what the stream told its owner. */
#pragma once

#include "net_world.h"

enum stream_act { ACT_NOTHING, ACT_DESTROY, ACT_PAUSE, ACT_FINISH };

struct stream_world {
	struct net_world net;
	struct hw_stream *s;
	int peer;
	char in[1 << 16]; /* received */
	size_t in_len;
	unsigned n_received, n_drained, n_closed;
	int error;
	enum stream_act on_received, on_drained, on_closed;
	struct counting_pin pin;
};

static inline void stream_world_act(struct stream_world *w, enum stream_act act)
{
	if (act == ACT_DESTROY)
		hw_stream_destroy(&w->s);
	else if (act == ACT_PAUSE)
		hw_stream_read(w->s, false);
	else if (act == ACT_FINISH)
		hw_stream_finish(w->s, 100, 100);
}

static inline void on_received(void *owner, uint8_t *p, size_t len)
{
	struct stream_world *w = owner;

	w->n_received++;
	for (size_t i = 0; i < len && w->in_len < sizeof(w->in); i++)
		w->in[w->in_len++] = (char)p[i];
	memset(p, 0xee, len); /* ours to change */
	stream_world_act(w, w->on_received);
}

static inline void on_drained(void *owner)
{
	struct stream_world *w = owner;

	w->n_drained++;
	stream_world_act(w, w->on_drained);
}

static inline void on_closed(void *owner, int error)
{
	struct stream_world *w = owner;

	w->n_closed++;
	w->error = error;
	stream_world_act(w, w->on_closed);
}

static const struct hw_stream_ops world_ops = {on_received, on_drained, on_closed};

static inline void stream_world_init(struct stream_world *w, int type, int send_bytes)
{
	int fds[2];

	memset(w, 0, sizeof(*w));
	net_world_init(&w->net);
	net_world_pair(type, fds);
	if (send_bytes)
		assert_int_equal(
			setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)),
			0);
	w->peer = fds[1];
	w->pin.pin.ops = &counting_ops;
	w->s = hw_stream_create(w->net.loop, fds[0], &world_ops, w);
	assert_non_null(w->s);
}

static inline void stream_world_fini(struct stream_world *w)
{
	hw_stream_destroy(&w->s);
	assert_int_equal(w->pin.held, 0);
	hw_loop_destroy(&w->net.loop);
	close(w->peer);
}

static inline size_t peer_read(struct stream_world *w, char *out, size_t most)
{
	ssize_t n = recv(w->peer, out, most, MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* Reads all that ever comes, turn by turn, in pieces of @piece bytes. */
static inline size_t peer_read_all(struct stream_world *w, char *out, size_t most, size_t piece)
{
	size_t len = 0;

	for (unsigned idle = 0; idle < 3 && len < most;) {
		size_t n = peer_read(w, out + len, most - len < piece ? most - len : piece);

		len += n;
		idle = n ? 0 : idle + 1;
		net_world_spin(&w->net, 1);
	}
	return len;
}

static inline bool peer_sees_end(struct stream_world *w)
{
	char c;

	return recv(w->peer, &c, 1, MSG_DONTWAIT) == 0;
}

static inline void peer_write(struct stream_world *w, const char *text)
{
	assert_int_equal(send(w->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Queues so much numbered text that the socket is full, then a turn. Leaves the bytes to compare
 * with. */
static inline char *stream_world_block(struct stream_world *w, size_t len)
{
	char *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 31 >> 3);
	assert_int_equal(hw_stream_queue(w->s, &w->pin.pin, bytes, len, 1, false), 0);
	net_world_spin(&w->net, 1);
	assert_true(hw_stream_blocked(w->s));
	return bytes;
}
