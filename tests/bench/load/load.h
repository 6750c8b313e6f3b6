/* What the macro benchmarks share: servers under test as child processes with their CPU time, the
 * few protocols that they speak, and one epoll loop of clients that counts what is delivered.
 * A benchmark that cannot go on says why and ends: load_die. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

/* ---- load.c: time, figures ---- */

void load_die(const char *format, ...) HW_PRINTF(1, 2) __attribute__((noreturn));
/** Says what is wrong with the command line, and ends. */
void load_bad_usage(const char *what) __attribute__((noreturn));
/** A whole number of the command line in its bounds; else @what says which they are. */
size_t load_whole(const char *text, size_t min, size_t max, const char *what);
uint64_t load_now_ns(void);
/** CPU seconds of @pid, all threads; 0: this process. */
double load_cpu_s(int pid);
/** Resident memory of @pid. */
size_t load_rss_bytes(int pid);
/** CPU seconds that the whole machine has worked. */
double load_machine_s(void);
/** Ties the calling process to a CPU, if the machine has as many. */
void load_pin(int cpu);

/* Latencies in buckets of 1/32 of their power of two: 3% exact, and a delivery costs one addition.
 */
#define LOAD_HIST_BUCKETS (64 * 32)
struct load_hist {
	uint64_t n;
	uint64_t counts[LOAD_HIST_BUCKETS];
};
void load_hist_add(struct load_hist *h, uint64_t ns);
double load_hist_us(const struct load_hist *h, double share); /* 0.5: the median */

struct load_spread {
	double median, min, max;
};
struct load_spread load_spread(const double *figures, size_t n);

/* ---- server.c: a server under test ---- */

#define LOAD_SERVER_CPU 0
#define LOAD_CLIENT_CPU 1

/* A directory of the run's own, with the servers' configurations and logs; gone when this process
 * ends. */
struct load_dir {
	char path[64];
};
void load_dir_create(struct load_dir *dir); /* once */
/** What every benchmark begins with: its directory, and, but for a @smoke test, the CPU of the
 * clients and a word about builds that are not as shipped. */
void load_begin(struct load_dir *dir, bool smoke);
void load_dir_write(const struct load_dir *dir, const char *name, struct hw_str text);

struct load_server {
	const char *name;
	int pid; /* 0: not running */
	int port;
	char log[128];
};
/** Starts argv[0], pinned to LOAD_SERVER_CPU if @pinned. It is ready when its output holds @sign;
 * if
 * @port is 0, a port number follows @sign. Its output goes to a file of @dir. */
void load_server_start(struct load_server *s, const struct load_dir *dir, const char *name,
	char *const argv[], const char *sign, int port, bool pinned);
/** SIGTERM, and waits for the end; returns its exit status, 0 also for death by that signal. */
int load_server_stop(struct load_server *s);
int load_free_port(void);
/** The path of a program in $PATH or where Debian keeps daemons, false if it is not installed. */
bool load_find_program(const char *name, char out[256]);
/** The path of a file that was built beside this program: @name relative to its directory. */
void load_built_path(const char *name, char out[256]);

/* ---- protocol.c: what is spoken with them ---- */

enum load_kind {
	LOAD_MORE,    /* no whole message yet */
	LOAD_OTHER,   /* of no interest */
	LOAD_GREETED, /* the connection may go on: send what join writes, or it is ready */
	LOAD_READY,
	LOAD_EVENT,  /* body is what was delivered */
	LOAD_ANSWER, /* a publish was taken */
	LOAD_PING,   /* answer it with pong */
	LOAD_CLOSED, /* a close frame */
	LOAD_ERROR,  /* body says what */
};
struct load_message {
	enum load_kind kind;
	size_t len; /* bytes of wire that it took */
	struct hw_str body;
};

/* Who a connection is. */
struct load_role {
	int port;
	const char *token; /* NULL: none */
};

struct load_protocol {
	const char *name;
	/* what a client says first; NULL: it waits */
	void (*hello)(struct hw_buf *out, const struct load_role *role);
	/* what it says when greeted; NULL: nothing, and it is ready */
	void (*join)(struct hw_buf *out);
	/* Cuts one message off the front. @upgraded is the connection's, false at first. */
	struct load_message (*cut)(struct hw_str in, bool *upgraded);
	void (*pong)(struct hw_buf *out, struct hw_str ping);
	/* @text holds nothing that JSON escapes */
	void (*publish)(struct hw_buf *out, const struct load_role *role, struct hw_str text);
	bool answers;       /* LOAD_ANSWER comes for every publish */
	size_t event_extra; /* bytes of wire around a text, where that is all an event is */
	bool event_length;  /* and its length in decimal besides */
};
/** How long a text of @p must be for an event of @wire_bytes. */
size_t load_text_bytes(const struct load_protocol *p, size_t wire_bytes);

#define LOAD_TOPIC "gift-list:bench"
extern const struct load_protocol load_hookwire_sub;  /* WebSocket, subscribes by message */
extern const struct load_protocol load_hookwire_idle; /* WebSocket, ready at the welcome */
extern const struct load_protocol load_hookwire_ws;   /* WebSocket, publishes */
extern const struct load_protocol load_hookwire_http; /* POST /publish, pipelined */
extern const struct load_protocol load_floor_sub, load_floor_idle, load_floor_pub;
extern const struct load_protocol load_nats_sub, load_nats_pub;
extern const struct load_protocol load_redis_sub, load_redis_pub;

/** A masked frame from a client. */
void load_ws_frame(struct hw_buf *out, unsigned opcode, struct hw_str payload);

/* ---- broker.c: Hookwire itself ---- */

/** Writes its configuration and policy, and starts it: JWT, Lua authorize, journal, one worker. */
void load_broker_start(
	struct load_server *s, const struct load_dir *dir, const char *binary, bool pinned);
/** The same on all CPUs, with so many workers, under a name of its own and with further @members of
 * the configuration, each with a comma behind it. */
void load_broker_start_with(struct load_server *s, const struct load_dir *dir, const char *binary,
	size_t n_workers, const char *name, const char *members);
/** With which its tokens are signed. */
struct hw_str load_broker_secret(void);
/** A metric without labels, of a broker with "admin" at this port. */
double load_broker_metric(int admin_port, const char *name);
/** A token of @user, to be freed. */
char *load_broker_token(const char *user);
/** The same of another tenant of a broker with another secret. */
char *load_token(struct hw_str secret, const char *user, const char *tenant);

/* ---- fleet.c: many clients ---- */

struct load_client {
	int fd;
	bool upgraded, joined, ready;
	bool ended;
	uint64_t next;      /* number of the event that is due */
	struct hw_buf rest; /* a message that came in part */
};

struct load_fleet {
	const struct load_server *server;
	const struct load_protocol *sub, *pub;
	struct load_role publisher_role;
	int epoll;
	struct load_client *clients; /* the publisher, then the subscribers */
	size_t n_subs;
	size_t n_ready;
	uint64_t n_published, n_answers; /* since the connections are there */
	uint64_t n_events, n_bytes;      /* deliveries, and their bytes of wire */
	uint64_t first;                  /* number of the first event that subscribers see */
	size_t event_bytes;              /* of each; 0: the next one tells */
	uint64_t published_ns;           /* the round that is in flight */
	struct load_hist *hist;
	struct hw_buf out;
};

/* One turn's figures. */
struct load_turn {
	double seconds, server_s, foreign_s;
	uint64_t n_events, n_bytes;
	double p50_us, p99_us;
};

/** Connects the publisher; then subscribers, with @token of each or NULL. */
void load_fleet_open(struct load_fleet *f, const struct load_server *server,
	const struct load_protocol *sub, const struct load_protocol *pub, const char *pub_token);
void load_fleet_subscribe(struct load_fleet *f, size_t n, bool tokens);
/* A turn: rounds of @window events, until @seconds have passed; at least and at most so many. */
struct load_plan {
	size_t window, text_bytes;
	double seconds;
	uint64_t min_rounds, max_rounds;
};
/** Publishes as planned. The next round leaves when everybody has all of the last. */
void load_fleet_run(struct load_fleet *f, const struct load_plan *plan, struct load_turn *out);
/** Closes every connection; what comes after the last round is an event too many. */
void load_fleet_close(struct load_fleet *f);

/* ---- crowd.c: thousands of sessions that follow a few topics each, under a steady load ---- */

struct load_crowd_plan {
	int port;
	struct hw_str secret;
	const char *tenants[2]; /* the sessions' in turn */
	size_t n_sessions, per_topic;
	double rate;            /* deliveries a second */
	size_t pad_bytes;       /* that each event is longer */
	size_t n_slow;          /* sessions that stop reading when told */
	int slow_receive_bytes; /* of their sockets, SO_RCVBUF */
};

/* What was delivered between two calls of load_crowd_begin and load_crowd_end; the slow are not
 * counted. */
struct load_crowd_phase {
	double seconds;
	uint64_t n_published, n_events;
	double p50_ms, p99_ms, max_ms; /* from just before an event is sent until it is read */
	double behind_ms;              /* the latest that a publish came after its time */
};

struct load_crowd;
struct load_crowd *load_crowd_open(const struct load_crowd_plan *plan);
void load_crowd_begin(struct load_crowd *c);
/** Publishes at its rate until @until_ns, or until @fd is readable (-1: never looked at). Every
 * session has to get each event of its topic once, in order, and nothing else: else load_die. */
void load_crowd_run(struct load_crowd *c, uint64_t until_ns, int fd);
/** The slow read no more, or again. */
void load_crowd_stop_slow(struct load_crowd *c);
void load_crowd_go_on(struct load_crowd *c);
/** How many deliveries the slow have yet to read. */
uint64_t load_crowd_missed(const struct load_crowd *c);
/** How many of the slow, since they read again, have not been level with their topic yet. */
size_t load_crowd_behind(const struct load_crowd *c);
/** From load_crowd_go_on until the last of them was level: had all that was published by then. */
double load_crowd_caught_up_ms(const struct load_crowd *c);
/** Waits for all that is on its way to those who read. */
void load_crowd_end(struct load_crowd *c, struct load_crowd_phase *out);
void load_crowd_close(struct load_crowd **c);
/** What --attach does (attach.c): says {"ready":true}, does what standard input says, a command a
 * line, until its end, and closes the crowd. "begin NAME" publishes from then on; "end" waits for
 * what is on its way and tells of the phase; "stop" and "go on" are load_crowd_stop_slow and
 * load_crowd_go_on; "slow" tells of the slow. Answers are lines of JSON. The exit status. */
int load_crowd_attached(const struct load_crowd_plan *plan);
#define LOAD_ATTACH_USAGE \
	"  --attach PORT    no broker of its own. Then --secret TEXT, and --tenants A,B; " \
	"standard\n" \
	"                   input says what to do, see tests/bench/load/load.h; its end is the " \
	"end\n"
/* What every bench with a crowd has of options: their lines of getopt_long's table. */
enum {
	LOAD_MAX_SESSIONS = 100000,
	LOAD_SESSIONS = 1024,
	LOAD_PER_TOPIC,
	LOAD_ATTACH,
	LOAD_SECRET,
	LOAD_TENANTS,
};
/* clang-format off */
#define LOAD_CROWD_OPTIONS \
	{"sessions", 1, NULL, LOAD_SESSIONS}, {"per-topic", 1, NULL, LOAD_PER_TOPIC}, \
	{"attach", 1, NULL, LOAD_ATTACH}, {"secret", 1, NULL, LOAD_SECRET}, \
	{"tenants", 1, NULL, LOAD_TENANTS}
/* clang-format on */
/** One of them, into @plan, which may point into @value. Another one is a bad usage. */
void load_crowd_option(struct load_crowd_plan *plan, int option, char *value);
/** After all: do they go together? */
void load_crowd_options_end(const struct load_crowd_plan *plan);

/** So many descriptors, or load_die. */
void load_raise_file_limit(size_t n);
/** A connected, non-blocking socket, or load_die. */
int load_connect(int port);
/** The same with a receive buffer of so many bytes: it is soon full. */
int load_connect_small(int port, int receive_bytes);
void load_send(int fd, const struct hw_buf *bytes);
