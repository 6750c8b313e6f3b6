// links: wire crypto
/* The floor that bench_fanout and bench_connect measure the broker against: what a WebSocket server
 * must do and nothing else. One thread, no limits, no timeouts. Whoever connects to /publish
 * publishes: what it sends leaves, in a frame of the same bytes, to all others; what came in one
 * turn of the loop leaves by one send for each. Not for any other use.
 *
 * Usage: peer_fanout [--welcome BYTES] [--fault lose|repeat]
 *   --welcome  every client is sent a text message of so many bytes behind the upgrade
 *   --fault    one subscriber lacks the first event of a turn that has more of them, or gets all of
 *              a turn twice: so that one can see whether a generator notices */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/base64.h"
#include "base/buf.h"
#include "crypto/digest.h"
#include "wire/ws.h"
#include "wire/ws_handshake.h"

enum { MAX_EVENTS = 512, READ_BYTES = 1 << 20, BACKLOG = 4096 };

struct conn {
	struct conn *next_dead;
	int fd;
	size_t at; /* in subs, if it is there */
	bool upgraded, publisher, dead;
	struct hw_buf in;  /* a message that came in part */
	struct hw_buf out; /* what the socket did not take */
};

struct peer {
	int epoll, listener;
	struct conn **subs;
	size_t n_subs, room;
	struct conn *dead;
	struct hw_buf batch;          /* frames of this turn, for everybody */
	size_t n_frames, first_bytes; /* of them, and how long the first is */
	struct hw_buf welcome;
	enum { NO_FAULT, LOSE, REPEAT } fault;
	bool spoiled;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void kill_conn(struct peer *p, struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	close(c->fd);
	if (c->upgraded && !c->publisher) {
		p->subs[c->at] = p->subs[--p->n_subs];
		p->subs[c->at]->at = c->at;
	}
	c->next_dead = p->dead; /* an event of this turn may still name it */
	p->dead = c;
}

static void want(struct peer *p, struct conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	must(epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0, "epoll_ctl");
}

static void send_bytes(struct peer *p, struct conn *c, struct hw_str bytes)
{
	ssize_t n = 0;

	if (c->dead)
		return;
	if (c->out.len == 0) {
		n = send(c->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == (ssize_t)bytes.len)
			return;
		if (n < 0 && errno != EAGAIN) {
			kill_conn(p, c);
			return;
		}
		n = n < 0 ? 0 : n;
		want(p, c, EPOLLIN | EPOLLOUT);
	}
	hw_buf_add(&c->out, bytes.p + n, bytes.len - (size_t)n);
}

static void writable(struct peer *p, struct conn *c)
{
	ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN) {
		kill_conn(p, c);
		return;
	}
	hw_buf_consume(&c->out, n < 0 ? 0 : (size_t)n);
	if (c->out.len == 0)
		want(p, c, EPOLLIN);
}

static void add_frame(struct hw_buf *out, enum hw_ws_opcode opcode, struct hw_str payload)
{
	uint8_t head[HW_WS_HEADER_BYTES];

	hw_buf_add(out, head, hw_ws_header(head, true, opcode, payload.len, NULL));
	hw_buf_str(out, payload);
}

static void deliver(struct peer *p)
{
	struct hw_str batch = hw_buf_view(&p->batch);
	bool spoil = p->fault != NO_FAULT && p->n_frames > 1 && !p->spoiled;

	must(!p->batch.failed, "memory");
	/* from the end: who dies is replaced by the last, who has had it */
	for (size_t i = p->n_subs; i-- > 0;) {
		size_t skip = spoil && p->fault == LOSE && i == 0 ? p->first_bytes : 0;

		send_bytes(p, p->subs[i], (struct hw_str){batch.p + skip, batch.len - skip});
		if (spoil && p->fault == REPEAT && i == 0)
			send_bytes(p, p->subs[i], batch);
	}
	p->spoiled |= spoil;
	p->n_frames = 0;
	hw_buf_clear(&p->batch);
}

static void subscribe(struct peer *p, struct conn *c)
{
	if (p->n_subs == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->subs = reallocarray(p->subs, p->room, sizeof(struct conn *));
		must(p->subs, "memory");
	}
	c->at = p->n_subs;
	p->subs[p->n_subs++] = c;
}

/* Returns how many bytes of @in the request took; 0: it is not complete. */
static size_t upgrade(struct peer *p, struct conn *c, struct hw_str in)
{
	static const char name[] = "\r\nSec-WebSocket-Key: ", protocol[] = "hookwire.v1";
	const char *end = memmem(in.p, in.len, "\r\n\r\n", 4);
	const char *key = memmem(in.p, in.len, name, sizeof(name) - 1);
	char text[HW_WS_KEY_CHARS + sizeof(HW_WS_GUID)];
	uint8_t digest[HW_SHA1_LEN];
	struct hw_buf accept, answer;

	if (!end)
		return 0;
	if (!key || key + sizeof(name) - 1 + HW_WS_KEY_CHARS > end) {
		kill_conn(p, c);
		return in.len;
	}
	memcpy(text, key + sizeof(name) - 1, HW_WS_KEY_CHARS);
	memcpy(text + HW_WS_KEY_CHARS, HW_WS_GUID, sizeof(HW_WS_GUID));
	hw_sha1(text, sizeof(text) - 1, digest);
	hw_buf_init(&accept);
	hw_buf_init(&answer);
	hw_base64_encode(&accept, digest, sizeof(digest));
	must(hw_ws_handshake_accept(&answer, hw_buf_view(&accept), hw_str_of(protocol)) == 0,
		"the answer");
	hw_buf_str(&answer, hw_buf_view(&p->welcome));
	c->upgraded = true;
	c->publisher = hw_str_starts(in, HW_STR("GET /publish "));
	if (!c->publisher)
		subscribe(p, c);
	send_bytes(p, c, hw_buf_view(&answer));
	hw_buf_fini(&accept);
	hw_buf_fini(&answer);
	return (size_t)(end - in.p) + 4;
}

static void close_politely(struct peer *p, struct conn *c, struct hw_str payload)
{
	struct hw_buf out;

	hw_buf_init(&out);
	add_frame(&out, HW_WS_OP_CLOSE, payload);
	send_bytes(p, c, hw_buf_view(&out));
	hw_buf_fini(&out);
	kill_conn(p, c);
}

static void publish(struct peer *p, struct hw_str body)
{
	add_frame(&p->batch, HW_WS_OP_TEXT, body);
	if (p->n_frames++ == 0)
		p->first_bytes = p->batch.len;
}

/* One masked frame; returns its length, 0: it is not complete. */
static size_t frame(struct peer *p, struct conn *c, uint8_t *in, size_t len)
{
	size_t head = 2 + 4, n;
	struct hw_str body;

	if (len < head)
		return 0;
	n = in[1] & 127;
	if (n == 126) {
		head += 2;
		n = (size_t)in[2] << 8 | in[3];
	}
	if (!(in[1] & 128) || n == 127) {
		kill_conn(p, c);
		return len;
	}
	if (len < head + n)
		return 0;
	hw_ws_mask(in + head, n, in + head - 4, 0);
	body = (struct hw_str){(char *)in + head, n};
	if (in[0] == (0x80 | HW_WS_OP_TEXT) && c->publisher)
		publish(p, body);
	else if (in[0] == (0x80 | HW_WS_OP_CLOSE))
		close_politely(p, c, body);
	return head + n;
}

static void readable(struct peer *p, struct conn *c)
{
	static char bytes[READ_BYTES];
	size_t kept = c->in.len, len, used = 0, n_used;
	ssize_t n;

	if (kept)
		memcpy(bytes, c->in.data, kept);
	n = recv(c->fd, bytes + kept, sizeof(bytes) - kept, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			kill_conn(p, c);
		return;
	}
	len = kept + (size_t)n;
	do {
		n_used = c->upgraded ? frame(p, c, (uint8_t *)bytes + used, len - used)
				     : upgrade(p, c, (struct hw_str){bytes + used, len - used});
		used += n_used;
	} while (n_used && used < len && !c->dead);
	hw_buf_clear(&c->in);
	if (!c->dead && used < len)
		hw_buf_add(&c->in, bytes + used, len - used);
}

static void accept_all(struct peer *p)
{
	int fd, one = 1;

	while ((fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

		must(c, "memory");
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		must(epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll_ctl");
	}
}

static void bury(struct peer *p)
{
	struct conn *c;

	while ((c = p->dead)) {
		p->dead = c->next_dead;
		hw_buf_fini(&c->in);
		hw_buf_fini(&c->out);
		free(c);
	}
}

static void serve(struct peer *p)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(p->epoll, events, MAX_EVENTS, -1);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (!c) {
			accept_all(p);
			continue;
		}
		if (!c->dead && (events[i].events & EPOLLOUT))
			writable(p, c);
		if (!c->dead && (events[i].events & ~(uint32_t)EPOLLOUT))
			readable(p, c);
	}
	if (p->batch.len > 0)
		deliver(p);
	bury(p);
}

static void listen_anywhere(struct peer *p)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event ev = {.events = EPOLLIN};
	socklen_t len = sizeof(a);

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(p->listener >= 0 && p->epoll >= 0, "socket");
	must(bind(p->listener, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
	must(listen(p->listener, BACKLOG) == 0, "listen");
	must(getsockname(p->listener, (struct sockaddr *)&a, &len) == 0, "getsockname");
	must(epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->listener, &ev) == 0, "epoll_ctl");
	printf("listening on 127.0.0.1:%d\n", ntohs(a.sin_port));
	fflush(stdout);
}

static void read_options(struct peer *p, int argc, char **argv)
{
	static const struct option options[] = {{"welcome", required_argument, NULL, 'w'},
		{"fault", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'w') {
			size_t n = strtoul(optarg, NULL, 10);
			char *text = malloc(n + 1);

			must(text, "memory");
			memset(text, '.', n);
			add_frame(&p->welcome, HW_WS_OP_TEXT, (struct hw_str){text, n});
			free(text);
		} else if (option == 'f' && strcmp(optarg, "lose") == 0) {
			p->fault = LOSE;
		} else if (option == 'f' && strcmp(optarg, "repeat") == 0) {
			p->fault = REPEAT;
		} else {
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct peer p = {0};

	read_options(&p, argc, argv);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	listen_anywhere(&p);
	for (;;)
		serve(&p);
}
