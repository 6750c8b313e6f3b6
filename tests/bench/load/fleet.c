/* The clients: one publisher and many subscribers on one epoll loop. Each subscriber must get every
 * event once and in order, each of them with as many bytes of wire as the first. */
#include "load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
	READ_BYTES = 1 << 20,
	MAX_EVENTS = 256,
	STALL_MS = 10000, /* nothing came for so long although something is due */
	NUMBER_DIGITS = 10,
	CONNECT_AT_A_TIME = 100,
};

int load_connect(int port)
{
	return load_connect_small(port, 0);
}

int load_connect_small(int port, int receive_bytes)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct linger reset = {.l_onoff = 1}; /* leaves no port behind that has to wait */

	if (fd >= 0 && receive_bytes) /* before the window is told to the peer */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		load_die("connecting to port %d: %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

void load_send(int fd, const struct hw_buf *bytes)
{
	size_t sent = 0;

	if (bytes->failed)
		load_die("out of memory");
	while (sent < bytes->len) {
		ssize_t n = send(fd, bytes->data + sent, bytes->len - sent, MSG_NOSIGNAL);

		if (n < 0)
			load_die("sending: %s", strerror(errno));
		sent += (size_t)n;
	}
}

void load_raise_file_limit(size_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < n + 64)
		load_die("%zu connections: this process may open %llu files", n,
			(unsigned long long)limit.rlim_max);
}

static void watch(struct load_fleet *f, size_t i)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};

	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->clients[i].fd, &ev) < 0)
		load_die("epoll: %s", strerror(errno));
}

static const struct load_protocol *protocol_of(const struct load_fleet *f, size_t i)
{
	return i == 0 ? f->pub : f->sub;
}

static void ready(struct load_fleet *f, struct load_client *c)
{
	if (c->ready)
		return;
	c->ready = true;
	c->next = f->n_published;
	f->n_ready++;
}

static void client_open(struct load_fleet *f, size_t i, const struct load_role *role)
{
	const struct load_protocol *protocol = protocol_of(f, i);
	struct load_client *c = &f->clients[i];

	*c = (struct load_client){.fd = load_connect(role->port)};
	hw_buf_init(&c->rest);
	watch(f, i);
	hw_buf_clear(&f->out);
	if (protocol->hello)
		protocol->hello(&f->out, role);
	else if (!protocol->join)
		ready(f, c); /* plain HTTP */
	load_send(c->fd, &f->out);
}

/* ---- what comes in ---- */

static uint64_t number_of(struct hw_str body)
{
	const char *mark = memchr(body.p, '~', body.len);
	uint64_t number;

	if (!mark || (size_t)(body.p + body.len - mark) < 1 + NUMBER_DIGITS ||
		hw_str_to_u64((struct hw_str){mark + 1, NUMBER_DIGITS}, &number) != 0)
		load_die("a delivery is damaged: %.*s", HW_STR_ARG(body));
	return number;
}

static void take_event(
	struct load_fleet *f, struct load_client *c, size_t len, struct hw_str body, uint64_t now)
{
	uint64_t number = number_of(body);

	if (number > c->next)
		load_die("%s lost event %llu: a subscriber got %llu in its place", f->server->name,
			(unsigned long long)c->next, (unsigned long long)number);
	if (number < c->next)
		load_die("%s repeated event %llu where %llu was due", f->server->name,
			(unsigned long long)number, (unsigned long long)c->next);
	if (f->event_bytes == 0)
		f->event_bytes = len;
	if (len != f->event_bytes)
		load_die("%s: an event of %zu bytes where all others have %zu", f->server->name,
			len, f->event_bytes);
	if (number >= f->n_published)
		load_die("%s delivered event %llu, which nobody published", f->server->name,
			(unsigned long long)number);
	c->next++;
	f->n_events++;
	f->n_bytes += len;
	load_hist_add(f->hist, now - f->published_ns);
}

static void greeted(struct load_fleet *f, struct load_client *c, const struct load_protocol *p)
{
	if (!p->join) {
		ready(f, c);
		return;
	}
	if (c->joined)
		return; /* NATS sends its INFO again at times */
	c->joined = true;
	hw_buf_clear(&f->out);
	p->join(&f->out);
	load_send(c->fd, &f->out);
}

static void take(struct load_fleet *f, size_t i, const struct load_message *m, uint64_t now)
{
	const struct load_protocol *p = protocol_of(f, i);
	struct load_client *c = &f->clients[i];

	switch (m->kind) {
	case LOAD_EVENT:
		take_event(f, c, m->len, m->body, now);
		break;
	case LOAD_ANSWER:
		f->n_answers++;
		break;
	case LOAD_GREETED:
		greeted(f, c, p);
		break;
	case LOAD_READY:
		ready(f, c);
		break;
	case LOAD_PING:
		hw_buf_clear(&f->out);
		p->pong(&f->out, m->body);
		load_send(c->fd, &f->out);
		break;
	case LOAD_CLOSED:
	case LOAD_ERROR:
		load_die("%s said: %.*s", f->server->name, HW_STR_ARG(m->body));
	case LOAD_OTHER:
	case LOAD_MORE:
		break;
	}
}

static void client_read(struct load_fleet *f, size_t i)
{
	static char bytes[READ_BYTES]; /* shared: a client keeps only what is incomplete */
	struct load_client *c = &f->clients[i];
	size_t kept = c->rest.len, len, used = 0;
	uint64_t now;
	ssize_t n;

	if (kept)
		memcpy(bytes, c->rest.data, kept);
	n = recv(c->fd, bytes + kept, sizeof(bytes) - kept, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		c->ended = true;
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, c->fd, NULL);
		return;
	}
	now = load_now_ns();
	len = kept + (size_t)n;
	while (used < len) {
		struct load_message m = protocol_of(f, i)->cut(
			(struct hw_str){bytes + used, len - used}, &c->upgraded);

		if (m.kind == LOAD_MORE)
			break;
		take(f, i, &m, now);
		used += m.len;
	}
	hw_buf_clear(&c->rest);
	if (used < len)
		hw_buf_add(&c->rest, bytes + used, len - used);
	if (c->rest.failed || c->rest.len == sizeof(bytes))
		load_die("%s: a message that does not end", f->server->name);
}

/* One turn of the loop; nothing for STALL_MS is a failure, told as @due. */
static void turn(struct load_fleet *f, const char *due)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(f->epoll, events, MAX_EVENTS, STALL_MS);

	if (n == 0)
		load_die("%s %s: nothing came for %d s; %llu deliveries of %llu are there",
			f->server->name, due, STALL_MS / 1000, (unsigned long long)f->n_events,
			(unsigned long long)((f->n_published - f->first) * f->n_subs));
	for (int i = 0; i < n; i++)
		client_read(f, events[i].data.u64);
}

static void no_end(const struct load_fleet *f)
{
	for (size_t i = 0; i <= f->n_subs; i++) {
		if (f->clients[i].ended)
			load_die("%s ended a connection", f->server->name);
	}
}

/* ---- opening ---- */

void load_fleet_open(struct load_fleet *f, const struct load_server *server,
	const struct load_protocol *sub, const struct load_protocol *pub, const char *pub_token)
{
	*f = (struct load_fleet){.server = server, .sub = sub, .pub = pub};
	f->publisher_role = (struct load_role){.port = server->port, .token = pub_token};
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->clients = calloc(1, sizeof(*f->clients));
	f->hist = calloc(1, sizeof(*f->hist));
	if (f->epoll < 0 || !f->clients || !f->hist)
		load_die("out of memory");
	hw_buf_init(&f->out);
	client_open(f, 0, &f->publisher_role);
	while (f->n_ready < 1) {
		turn(f, "does not greet the publisher");
		no_end(f);
	}
}

void load_fleet_subscribe(struct load_fleet *f, size_t n, bool tokens)
{
	load_raise_file_limit(n);
	f->clients = reallocarray(f->clients, n + 1, sizeof(*f->clients));
	if (!f->clients)
		load_die("out of memory");
	f->first = f->n_published;
	while (f->n_subs < n) {
		struct load_role role = {.port = f->server->port};
		char user[32];

		snprintf(user, sizeof(user), "u%zu", f->n_subs);
		role.token = tokens ? load_broker_token(user) : NULL;
		f->n_subs++;
		client_open(f, f->n_subs, &role);
		free((char *)role.token);
		/* a server's queue of new connections is finite */
		while (f->n_ready + CONNECT_AT_A_TIME < f->n_subs ||
			(f->n_subs == n && f->n_ready < n + 1)) {
			turn(f, "does not greet its subscribers");
			no_end(f);
		}
	}
}

/* ---- publishing ---- */

static void publish_round(struct load_fleet *f, size_t window, char *text, size_t text_bytes)
{
	hw_buf_clear(&f->out);
	for (size_t i = 0; i < window; i++) {
		char number[NUMBER_DIGITS + 1];

		snprintf(number, sizeof(number), "%0*llu", NUMBER_DIGITS,
			(unsigned long long)f->n_published);
		memcpy(text + 1, number, NUMBER_DIGITS);
		f->pub->publish(&f->out, &f->publisher_role, (struct hw_str){text, text_bytes});
		f->n_published++;
	}
	f->published_ns = load_now_ns();
	load_send(f->clients[0].fd, &f->out);
}

static bool in_flight(const struct load_fleet *f)
{
	return f->n_events < (f->n_published - f->first) * f->n_subs ||
	       (f->pub->answers && f->n_answers < f->n_published);
}

static bool over(const struct load_plan *plan, uint64_t rounds, uint64_t ns)
{
	if (rounds < plan->min_rounds)
		return false;
	return rounds >= plan->max_rounds || (double)ns >= plan->seconds * 1e9;
}

void load_fleet_run(struct load_fleet *f, const struct load_plan *plan, struct load_turn *out)
{
	uint64_t begin = load_now_ns(), n_events = f->n_events, n_bytes = f->n_bytes;
	double server = load_cpu_s(f->server->pid), own = load_cpu_s(0), all = load_machine_s();
	char *text = malloc(plan->text_bytes);

	if (!text || plan->text_bytes < 1 + NUMBER_DIGITS)
		load_die("%zu bytes are no text", plan->text_bytes);
	memset(text, '.', plan->text_bytes);
	text[0] = '~';
	memset(f->hist, 0, sizeof(*f->hist));
	for (uint64_t rounds = 0; !over(plan, rounds, load_now_ns() - begin); rounds++) {
		publish_round(f, plan->window, text, plan->text_bytes);
		while (in_flight(f))
			turn(f, "lost events or answers");
		no_end(f);
	}
	free(text);
	*out = (struct load_turn){.seconds = (double)(load_now_ns() - begin) / 1e9,
		.server_s = load_cpu_s(f->server->pid) - server,
		.n_events = f->n_events - n_events,
		.n_bytes = f->n_bytes - n_bytes,
		.p50_us = load_hist_us(f->hist, 0.5),
		.p99_us = load_hist_us(f->hist, 0.99)};
	out->foreign_s = load_machine_s() - all - out->server_s - (load_cpu_s(0) - own);
}

void load_fleet_close(struct load_fleet *f)
{
	size_t n_ended = 0;

	for (size_t i = 0; i <= f->n_subs; i++)
		shutdown(f->clients[i].fd, SHUT_WR);
	while (n_ended <= f->n_subs) {
		turn(f, "does not end its connections");
		n_ended = 0;
		for (size_t i = 0; i <= f->n_subs; i++)
			n_ended += f->clients[i].ended;
	}
	for (size_t i = 0; i <= f->n_subs; i++) {
		close(f->clients[i].fd);
		hw_buf_fini(&f->clients[i].rest);
	}
	free(f->clients);
	free(f->hist);
	hw_buf_fini(&f->out);
	close(f->epoll);
}
