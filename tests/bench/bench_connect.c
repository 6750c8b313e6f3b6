// links: load
/* What a connection costs: TCP connect, upgrade with a JWT, welcome, close handshake, in turns with
 * the floor. With one token over and over its verification is a look-up; with a fresh token each
 * time it is done in full. Prints handshakes per CPU second of the server and judges only that each
 * of them went through. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "load/load.h"
#include "wire/ws.h"

enum {
	SLOTS = 32, /* connections that are open at a time */
	MAX_TURNS = 25,
	MAX_HANDSHAKES = 10000000,
	READ_BYTES = 8192,
	STALL_MS = 10000,
	N_KINDS = 3,
};

static const char usage[] =
	"usage: bench_connect [options]\n"
	"\n"
	"Connects, upgrades to WebSocket with a token, waits for the welcome and closes, 32 at a\n"
	"time, with the broker of this build and with the floor (peer_fanout, a bare server that\n"
	"reads no token and sends a welcome of the same length), in turns. Prints handshakes per\n"
	"second of the server's CPU time.\n"
	"\n"
	"  --handshakes N  of a turn; default 10000\n"
	"  --turns N       of which medians are printed; default 3\n"
	"  --broker FILE   another hookwire than that of this build\n"
	"  --smoke         few of everything, tied to no CPU: a test\n"
	"  -h, --help      this text\n"
	"\n"
	"Exit status: 0; 1 a handshake failed; 2 usage.\n";

struct options {
	size_t n_handshakes, n_turns;
	bool smoke;
	char broker[256];
};

/* What is compared; the first two are one server. */
enum kind { REPEATED, FRESH, FLOOR };
static const char *const kind_names[N_KINDS] = {
	"hookwire, one token", "hookwire, fresh tokens", "floor"};

struct slot {
	int fd;
	bool upgraded, greeted, closed;
	struct hw_buf in;
};

struct bench {
	struct options o;
	struct load_dir dir;
	struct load_server broker, floor;
	char *token;
	unsigned long n_tokens; /* fresh ones so far */
	double per_cpu_s[N_KINDS][MAX_TURNS], per_s[N_KINDS][MAX_TURNS];
	double foreign[N_KINDS][MAX_TURNS];
};

/* One turn of one kind. */
struct run {
	struct bench *b;
	enum kind kind;
	const struct load_server *server;
	const struct load_protocol *protocol;
	int epoll;
	struct slot slots[SLOTS];
	size_t n_begun, n_done;
	size_t welcome_bytes; /* of payload, of the last */
	struct hw_buf out;
};

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"handshakes", required_argument, NULL, 'n'},
		{"turns", required_argument, NULL, 't'},
		{"broker", required_argument, NULL, 'b'},
		{"smoke", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id;

	*o = (struct options){.n_handshakes = 10000, .n_turns = 3};
	load_built_path("../hookwire", o->broker);
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (id == 'n') {
			o->n_handshakes = load_whole(
				optarg, 1, MAX_HANDSHAKES, "--handshakes: 1 to 10000000");
		} else if (id == 't') {
			o->n_turns = load_whole(optarg, 1, MAX_TURNS, "--turns: 1 to 25");
		} else if (id == 'b') {
			snprintf(o->broker, sizeof(o->broker), "%s", optarg);
		} else if (id == 'k') {
			*o = (struct options){.n_handshakes = 200, .n_turns = 1, .smoke = true};
			load_built_path("../hookwire", o->broker);
		} else if (id == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else {
			load_bad_usage("an option is wrong");
		}
	}
	if (optind < argc)
		load_bad_usage("it takes no further arguments");
}

/* ---- one handshake after the other ---- */

static char *fresh_token(struct bench *b)
{
	char user[32];

	snprintf(user, sizeof(user), "u%010lu", b->n_tokens++);
	return load_broker_token(user);
}

static void begin(struct run *r, size_t i)
{
	struct load_role role = {.port = r->server->port, .token = r->b->token};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};
	struct slot *s = &r->slots[i];
	char *fresh = r->kind == FRESH ? fresh_token(r->b) : NULL;

	s->fd = load_connect(role.port);
	s->upgraded = s->greeted = s->closed = false;
	hw_buf_clear(&s->in);
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		load_die("epoll: %s", strerror(errno));
	if (fresh)
		role.token = fresh;
	hw_buf_clear(&r->out);
	r->protocol->hello(&r->out, &role);
	load_send(s->fd, &r->out);
	free(fresh);
	r->n_begun++;
}

static void take(struct run *r, struct slot *s, const struct load_message *m)
{
	static const char normal[] = {0x03, (char)0xe8}; /* 1000 */

	switch (m->kind) {
	case LOAD_GREETED:
		s->greeted = true;
		r->welcome_bytes = m->body.len;
		hw_buf_clear(&r->out);
		load_ws_frame(&r->out, HW_WS_OP_CLOSE, (struct hw_str){normal, sizeof(normal)});
		load_send(s->fd, &r->out);
		break;
	case LOAD_CLOSED:
		s->closed = true;
		break;
	case LOAD_OTHER:
		break;
	default:
		load_die("%s said: %.*s", r->server->name, HW_STR_ARG(m->body));
	}
}

static void end(struct run *r, size_t i)
{
	struct slot *s = &r->slots[i];

	if (!s->greeted || !s->closed)
		load_die("%s ended a connection %s", r->server->name,
			s->greeted ? "without a close frame" : "before its welcome");
	close(s->fd);
	r->n_done++;
	if (r->n_begun < r->b->o.n_handshakes)
		begin(r, i);
}

static void slot_read(struct run *r, size_t i)
{
	struct slot *s = &r->slots[i];
	char *room = hw_buf_reserve(&s->in, READ_BYTES);
	ssize_t n = room ? recv(s->fd, room, READ_BYTES, MSG_DONTWAIT) : -1;
	size_t used = 0;

	if (n < 0 && room && errno == EAGAIN)
		return;
	if (n < 0)
		load_die("%s: %s", r->server->name, strerror(errno));
	if (n == 0) {
		end(r, i);
		return;
	}
	s->in.len += (size_t)n;
	while (used < s->in.len) {
		struct load_message m = r->protocol->cut(
			(struct hw_str){s->in.data + used, s->in.len - used}, &s->upgraded);

		if (m.kind == LOAD_MORE)
			break;
		take(r, s, &m);
		used += m.len;
	}
	hw_buf_consume(&s->in, used);
}

/* @n_handshakes of @kind; returns how long the welcome is. */
static size_t run(struct bench *b, enum kind kind, size_t turn)
{
	struct run r = {.b = b,
		.kind = kind,
		.server = kind == FLOOR ? &b->floor : &b->broker,
		.protocol = kind == FLOOR ? &load_floor_idle : &load_hookwire_idle,
		.epoll = epoll_create1(EPOLL_CLOEXEC)};
	double cpu = load_cpu_s(r.server->pid), own = load_cpu_s(0), all = load_machine_s();
	uint64_t begun = load_now_ns();
	double seconds;

	hw_buf_init(&r.out);
	for (size_t i = 0; i < SLOTS; i++) {
		hw_buf_init(&r.slots[i].in);
		if (r.n_begun < b->o.n_handshakes)
			begin(&r, i);
	}
	while (r.n_done < b->o.n_handshakes) {
		struct epoll_event events[SLOTS];
		int n = epoll_wait(r.epoll, events, SLOTS, STALL_MS);

		if (n == 0)
			load_die("%s: nothing came for %d s", r.server->name, STALL_MS / 1000);
		for (int i = 0; i < n; i++)
			slot_read(&r, events[i].data.u64);
	}
	seconds = (double)(load_now_ns() - begun) / 1e9;
	cpu = load_cpu_s(r.server->pid) - cpu;
	b->per_cpu_s[kind][turn] = (double)r.n_done / cpu;
	b->per_s[kind][turn] = (double)r.n_done / seconds;
	b->foreign[kind][turn] =
		100 * (load_machine_s() - all - cpu - (load_cpu_s(0) - own)) / seconds;
	for (size_t i = 0; i < SLOTS; i++)
		hw_buf_fini(&r.slots[i].in);
	hw_buf_fini(&r.out);
	close(r.epoll);
	return r.welcome_bytes;
}

static void start_floor(struct bench *b, size_t welcome_bytes)
{
	char path[256], bytes[24];
	char *argv[] = {path, "--welcome", bytes, NULL};

	load_built_path("peer_fanout", path);
	snprintf(bytes, sizeof(bytes), "%zu", welcome_bytes);
	load_server_start(
		&b->floor, &b->dir, "floor", argv, "listening on 127.0.0.1:", 0, !b->o.smoke);
}

static void print(const struct bench *b)
{
	size_t n = b->o.n_turns;

	printf("%-24s %11s  %26s %6s %11s %8s\n", "handshakes with", "a CPU s",
		"least .. most          ", "ratio", "a second", "foreign");
	for (int kind = 0; kind < N_KINDS; kind++) {
		struct load_spread cpu = load_spread(b->per_cpu_s[kind], n);
		double foreign = load_spread(b->foreign[kind], n).max;
		double ratios[MAX_TURNS];

		for (size_t i = 0; i < n; i++)
			ratios[i] = b->per_cpu_s[kind][i] / b->per_cpu_s[FLOOR][i];
		printf("%-24s %11.0f  %11.0f .. %-11.0f %6.2f %11.0f %7.0f%%\n", kind_names[kind],
			cpu.median, cpu.min, cpu.max, load_spread(ratios, n).median,
			load_spread(b->per_s[kind], n).median, foreign > 0 ? foreign : 0);
	}
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	size_t welcome_bytes;

	read_options(&b.o, argc, argv);
	load_begin(&b.dir, b.o.smoke);
	load_broker_start(&b.broker, &b.dir, b.o.broker, !b.o.smoke);
	b.token = fresh_token(&b);
	welcome_bytes = run(&b, REPEATED, 0); /* warms up, too */
	start_floor(&b, welcome_bytes);
	printf("%zu handshakes a turn, %d at a time, a welcome of %zu bytes; %zu turns; ratio: to "
	       "the floor; foreign: CPU time of other processes, the worst turn\n\n",
		b.o.n_handshakes, SLOTS, welcome_bytes, b.o.n_turns);
	fflush(stdout);
	for (size_t turn = 0; turn < b.o.n_turns; turn++) {
		for (int kind = 0; kind < N_KINDS; kind++) {
			if (run(&b, (enum kind)kind, turn) != welcome_bytes)
				load_die("the welcomes differ in length: nothing to compare");
		}
	}
	print(&b);
	if (load_server_stop(&b.broker) != 0 || load_server_stop(&b.floor) != 0)
		load_die("a server did not end as it should");
	free(b.token);
	return 0;
}
