/* Thousands of WebSocket sessions in small audiences: the load of a busy day rather than of one
 * loud topic. Each event carries its number in its topic and when it was sent; each session knows
 * which number is due. Some of them may stop reading for a while: what they get is checked like
 * all else, and how long it took is not counted, since that is their own doing. */
#include "load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	READ_BYTES = 1 << 18,
	/* what a slow one missed is read in pieces: the latency of the others would be the time
	 * that this process takes for it */
	SLOW_READ_BYTES = 4096,
	MAX_EVENTS = 256,
	STALL_MS = 20000, /* nothing came for so long although something is due */
	CONNECT_AT_A_TIME = 100,
	NUMBER_DIGITS = 10,
	NS_DIGITS = 20,
	N_TENANTS = 2,
};

#define NS_PER_MS UINT64_C(1000000)

struct member {
	int fd;
	uint32_t topic; /* publishers: none */
	bool upgraded, subscribed, ready;
	bool slow;   /* one of those that stop reading */
	bool behind; /* it reads again and has yet to get what was published meanwhile */
	uint64_t next;
	struct hw_buf rest;
};

struct load_crowd {
	struct load_crowd_plan plan;
	int epoll;
	size_t n_members; /* the publishers, one of each tenant; then the sessions */
	struct member *members;
	size_t n_topics;
	uint64_t *published; /* by topic */
	uint32_t *n_slow_of; /* by topic: how many of its audience are slow */
	size_t n_ready, next_topic;
	uint64_t n_published;
	/* deliveries to the quick [0] and to the slow [1] */
	uint64_t n_due[2], n_events[2];
	bool stopped; /* the slow do not read */
	size_t n_behind;
	uint64_t go_on_ns, caught_up_ns; /* since when they read again; when the last was level */
	uint64_t heard_ns;
	char *padding;
	/* the phase */
	uint64_t began_ns, due_ns, behind_ns, max_ns;
	uint64_t began_published, began_events;
	struct load_hist *hist;
	struct hw_buf out, json;
};

/* Topics belong to the tenants in turn, and so do their sessions. */
static const char *tenant_of(const struct load_crowd *c, size_t topic)
{
	return c->plan.tenants[topic % N_TENANTS];
}

static size_t audience(const struct load_crowd *c, size_t topic)
{
	size_t first = topic * c->plan.per_topic, left = c->plan.n_sessions - first;

	return left < c->plan.per_topic ? left : c->plan.per_topic;
}

/* ---- what comes in ---- */

static uint64_t digits(struct hw_str body, size_t at, size_t n)
{
	uint64_t value;

	if (body.len < at + n || hw_str_to_u64((struct hw_str){body.p + at, n}, &value) != 0)
		load_die("a delivery is damaged: %.*s", HW_STR_ARG(body));
	return value;
}

static void take_event(struct load_crowd *c, struct member *m, struct hw_str body, uint64_t now_ns)
{
	const char *mark = memchr(body.p, '~', body.len);
	size_t at = mark ? (size_t)(mark - body.p) + 1 : body.len;
	uint64_t number = digits(body, at, NUMBER_DIGITS), took_ns;
	char topic[64];

	snprintf(topic, sizeof(topic), "{\"topic\":\"" LOAD_TOPIC "-%u\"", (unsigned)m->topic);
	if (!hw_str_starts(body, hw_str_of(topic)))
		load_die("a session of topic %u got another's event: %.*s", (unsigned)m->topic,
			HW_STR_ARG(body));
	if (number != m->next)
		load_die("a session of topic %u %s: event %llu was due and %llu came",
			(unsigned)m->topic, number > m->next ? "lost events" : "got one again",
			(unsigned long long)m->next, (unsigned long long)number);
	m->next++;
	c->n_events[m->slow]++;
	if (m->slow) {
		if (m->behind && m->next == c->published[m->topic]) {
			m->behind = false;
			c->n_behind--;
			c->caught_up_ns = now_ns;
		}
		return;
	}
	took_ns = now_ns - digits(body, at + NUMBER_DIGITS + 1, NS_DIGITS);
	load_hist_add(c->hist, took_ns);
	if (took_ns > c->max_ns)
		c->max_ns = took_ns;
}

static void subscribe(struct load_crowd *c, struct member *m)
{
	hw_buf_clear(&c->json);
	hw_buf_printf(&c->json,
		"{\"type\":\"subscribe\",\"topics\":[\"" LOAD_TOPIC "-%u\"],\"id\":1}",
		(unsigned)m->topic);
	hw_buf_clear(&c->out);
	load_ws_frame(&c->out, 1, hw_buf_view(&c->json));
	load_send(m->fd, &c->out);
	m->subscribed = true;
}

static void ready(struct load_crowd *c, struct member *m)
{
	c->n_ready += !m->ready;
	m->ready = true;
}

static void take(
	struct load_crowd *c, size_t i, const struct load_message *message, uint64_t now_ns)
{
	struct member *m = &c->members[i];

	switch (message->kind) {
	case LOAD_EVENT:
		take_event(c, m, message->body, now_ns);
		break;
	case LOAD_GREETED:
		if (i < N_TENANTS)
			ready(c, m);
		else if (!m->subscribed)
			subscribe(c, m);
		break;
	case LOAD_READY:
		ready(c, m);
		break;
	case LOAD_PING:
		hw_buf_clear(&c->out);
		load_hookwire_sub.pong(&c->out, message->body);
		load_send(m->fd, &c->out);
		break;
	case LOAD_CLOSED:
	case LOAD_ERROR:
		load_die("session %zu heard: %.*s", i, HW_STR_ARG(message->body));
	case LOAD_ANSWER:
	case LOAD_OTHER:
	case LOAD_MORE:
		break;
	}
}

static void member_read(struct load_crowd *c, size_t i)
{
	static char bytes[READ_BYTES];
	struct member *m = &c->members[i];
	size_t kept = m->rest.len, room = sizeof(bytes) - kept, len, used = 0;
	uint64_t now_ns;
	ssize_t n;

	if (kept)
		memcpy(bytes, m->rest.data, kept);
	if (m->slow && room > SLOW_READ_BYTES)
		room = SLOW_READ_BYTES;
	n = recv(m->fd, bytes + kept, room, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		load_die("session %zu was disconnected: %s", i, n ? strerror(errno) : "it ended");
	now_ns = load_now_ns();
	len = kept + (size_t)n;
	while (used < len) {
		struct load_message message = load_hookwire_sub.cut(
			(struct hw_str){bytes + used, len - used}, &m->upgraded);

		if (message.kind == LOAD_MORE)
			break;
		take(c, i, &message, now_ns);
		used += message.len;
	}
	hw_buf_fini(&m->rest); /* most sessions keep nothing, most of the time */
	if (used < len)
		hw_buf_add(&m->rest, bytes + used, len - used);
	if (m->rest.failed || m->rest.len == sizeof(bytes))
		load_die("session %zu: a message that does not end", i);
}

/* What is there now, or comes within @wait_ms. False: nothing. */
static bool turn(struct load_crowd *c, int wait_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(c->epoll, events, MAX_EVENTS, wait_ms);

	for (int i = 0; i < n; i++)
		member_read(c, events[i].data.u64);
	return n > 0;
}

/* ---- opening ---- */

/* They are spread over all topics. */
static bool is_slow(const struct load_crowd *c, size_t session)
{
	size_t n = c->plan.n_sessions, n_slow = c->plan.n_slow;

	return session * n_slow / n != (session + 1) * n_slow / n;
}

static void watch(struct load_crowd *c, size_t i)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};

	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->members[i].fd, &ev) < 0)
		load_die("epoll: %s", strerror(errno));
}

static void member_open(struct load_crowd *c, size_t i)
{
	struct load_role role = {.port = c->plan.port};
	struct member *m = &c->members[i];
	char user[32];
	char *token;

	*m = (struct member){.slow = i >= N_TENANTS && is_slow(c, i - N_TENANTS)};
	m->fd = m->slow ? load_connect_small(role.port, c->plan.slow_receive_bytes)
			: load_connect(role.port);
	hw_buf_init(&m->rest);
	if (i >= N_TENANTS) {
		m->topic = (uint32_t)((i - N_TENANTS) / c->plan.per_topic);
		m->next = c->published[m->topic];
		c->n_slow_of[m->topic] += m->slow;
	}
	snprintf(user, sizeof(user), "u%zu", i);
	token = load_token(
		c->plan.secret, user, i < N_TENANTS ? c->plan.tenants[i] : tenant_of(c, m->topic));
	role.token = token;
	watch(c, i);
	hw_buf_clear(&c->out);
	load_hookwire_sub.hello(&c->out, &role);
	load_send(m->fd, &c->out);
	free(token);
}

struct load_crowd *load_crowd_open(const struct load_crowd_plan *plan)
{
	struct load_crowd *c = calloc(1, sizeof(*c));

	if (!c)
		load_die("out of memory");
	c->plan = *plan;
	c->n_members = N_TENANTS + plan->n_sessions;
	c->n_topics = (plan->n_sessions + plan->per_topic - 1) / plan->per_topic;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->members = calloc(c->n_members, sizeof(*c->members));
	c->published = calloc(c->n_topics, sizeof(*c->published));
	c->n_slow_of = calloc(c->n_topics, sizeof(*c->n_slow_of));
	c->hist = calloc(1, sizeof(*c->hist));
	c->padding = malloc(plan->pad_bytes + 1);
	if (c->epoll < 0 || !c->members || !c->published || !c->n_slow_of || !c->hist ||
		!c->padding)
		load_die("out of memory");
	memset(c->padding, '.', plan->pad_bytes);
	c->padding[plan->pad_bytes] = '\0';
	hw_buf_init(&c->out);
	hw_buf_init(&c->json);
	load_raise_file_limit(c->n_members);
	for (size_t i = 0; i < c->n_members; i++) {
		member_open(c, i);
		while (c->n_ready + CONNECT_AT_A_TIME < i + 1 ||
			(i + 1 == c->n_members && c->n_ready < c->n_members)) {
			if (!turn(c, STALL_MS))
				load_die("%zu of %zu sessions are there, and no more come",
					c->n_ready, c->n_members);
		}
	}
	return c;
}

/* ---- publishing ---- */

static void publish_next(struct load_crowd *c)
{
	size_t topic = c->next_topic;
	struct member *publisher = &c->members[topic % N_TENANTS];

	hw_buf_clear(&c->json);
	hw_buf_printf(&c->json,
		"{\"type\":\"publish\",\"topic\":\"" LOAD_TOPIC "-%zu\",\"event\":\"UPDATED\","
		"\"data\":{\"entity_id\":\"gift-1\",\"payload\":\"~%0*llu@%0*llu%s\"}}",
		topic, NUMBER_DIGITS, (unsigned long long)c->published[topic], NS_DIGITS,
		(unsigned long long)load_now_ns(), c->padding);
	hw_buf_clear(&c->out);
	load_ws_frame(&c->out, 1, hw_buf_view(&c->json));
	load_send(publisher->fd, &c->out);
	c->published[topic]++;
	c->n_published++;
	c->n_due[0] += audience(c, topic) - c->n_slow_of[topic];
	c->n_due[1] += c->n_slow_of[topic];
	c->next_topic = (topic + 1) % c->n_topics;
}

/* ---- those that stop reading ---- */

void load_crowd_stop_slow(struct load_crowd *c)
{
	for (size_t i = 0; i < c->n_members && !c->stopped; i++)
		if (c->members[i].slow &&
			epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->members[i].fd, NULL) < 0)
			load_die("epoll: %s", strerror(errno));
	c->stopped = true;
}

void load_crowd_go_on(struct load_crowd *c)
{
	for (size_t i = 0; i < c->n_members && c->stopped; i++) {
		struct member *m = &c->members[i];

		if (!m->slow)
			continue;
		watch(c, i);
		m->behind = m->next < c->published[m->topic];
		c->n_behind += m->behind;
	}
	c->stopped = false;
	c->go_on_ns = c->caught_up_ns = load_now_ns();
}

size_t load_crowd_behind(const struct load_crowd *c)
{
	return c->n_behind;
}

double load_crowd_caught_up_ms(const struct load_crowd *c)
{
	return (double)(c->caught_up_ns - c->go_on_ns) / 1e6;
}

uint64_t load_crowd_missed(const struct load_crowd *c)
{
	return c->n_due[1] - c->n_events[1];
}

/* ---- phases ---- */

void load_crowd_begin(struct load_crowd *c)
{
	memset(c->hist, 0, sizeof(*c->hist));
	c->began_ns = c->due_ns = c->heard_ns = load_now_ns();
	c->behind_ns = c->max_ns = 0;
	c->began_published = c->n_published;
	c->began_events = c->n_events[0];
}

/* Has who reads all that was published? */
static bool has_all(const struct load_crowd *c)
{
	return c->n_events[0] == c->n_due[0] && (c->stopped || c->n_events[1] == c->n_due[1]);
}

void load_crowd_run(struct load_crowd *c, uint64_t until_ns, int fd)
{
	uint64_t step_ns = (uint64_t)(1e9 * (double)c->plan.per_topic / c->plan.rate);
	uint64_t now_ns = load_now_ns();

	while (now_ns < until_ns) {
		struct pollfd asked = {.fd = fd, .events = POLLIN};
		int wait_ms = 0;

		if (now_ns >= c->due_ns) {
			if (now_ns - c->due_ns > c->behind_ns)
				c->behind_ns = now_ns - c->due_ns;
			publish_next(c);
			c->due_ns += step_ns;
		} else {
			wait_ms = (int)((c->due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
		}
		if (turn(c, wait_ms) || has_all(c))
			c->heard_ns = now_ns;
		now_ns = load_now_ns();
		if (now_ns - c->heard_ns > STALL_MS * NS_PER_MS)
			load_die("nothing came for %d s", STALL_MS / 1000);
		if (fd >= 0 && poll(&asked, 1, 0) > 0)
			break;
	}
}

void load_crowd_end(struct load_crowd *c, struct load_crowd_phase *out)
{
	double seconds = (double)(load_now_ns() - c->began_ns) / 1e9;

	while (!has_all(c))
		if (!turn(c, STALL_MS))
			load_die("sessions lost events: %llu deliveries of %llu are there",
				(unsigned long long)(c->n_events[0] + c->n_events[1]),
				(unsigned long long)(c->n_due[0] + c->n_due[1]));
	*out = (struct load_crowd_phase){.seconds = seconds,
		.n_published = c->n_published - c->began_published,
		.n_events = c->n_events[0] - c->began_events,
		.p50_ms = load_hist_us(c->hist, 0.5) / 1000,
		.p99_ms = load_hist_us(c->hist, 0.99) / 1000,
		.max_ms = (double)c->max_ns / 1e6,
		.behind_ms = (double)c->behind_ns / 1e6};
}

void load_crowd_close(struct load_crowd **crowd)
{
	struct load_crowd *c = *crowd;

	*crowd = NULL;
	/* what comes now is an event too many */
	while (turn(c, 0)) {
	}
	for (size_t i = 0; i < c->n_members; i++) {
		if (i >= N_TENANTS && c->members[i].next != c->published[c->members[i].topic])
			load_die("session %zu has %llu events of %llu", i,
				(unsigned long long)c->members[i].next,
				(unsigned long long)c->published[c->members[i].topic]);
		close(c->members[i].fd);
		hw_buf_fini(&c->members[i].rest);
	}
	close(c->epoll);
	free(c->members);
	free(c->published);
	free(c->n_slow_of);
	free(c->hist);
	free(c->padding);
	hw_buf_fini(&c->out);
	hw_buf_fini(&c->json);
	free(c);
}
