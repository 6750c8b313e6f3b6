// links: load
/* What clients that stop reading cost everybody else: a crowd under a steady load, of which some
 * stop reading for half a minute and then read again. Prints the latency of the others with and
 * without that, the broker's memory, and how long those who were behind need; judges that
 * everybody got every event of its topic once and in order, that nobody was closed, and that memory
 * stayed under its bound. With --attach it is the crowd alone. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

enum {
	MAX_TURNS = 25,
	N_TENANTS = 2,
	/* memory is looked at so often */
	LOOK_MS = 100,
	/* of a broker that catches up at all */
	CATCH_UP_MS = 120000,
	SLOW_RECEIVE_BYTES = 4096,
};

#define NS_PER_MS UINT64_C(1000000)
#define MIB (1024.0 * 1024.0)

static const char usage[] =
	"usage: bench_slow [options]\n"
	"\n"
	"Holds sessions of two tenants, publishes at a steady rate, and measures from publish to\n"
	"delivery: while everybody reads, while some do not, and while these catch up. They are\n"
	"not among those who are measured.\n"
	"\n"
	"  --sessions N     default 1000\n"
	"  --per-topic N    sessions that follow the same topic; default 10\n"
	"  --events N       published a second; default 2000\n"
	"  --pad BYTES      that each event is longer; default 512\n"
	"  --slow N         sessions that stop reading; default 50\n"
	"  --stopped S      seconds, for so long; default 30\n"
	"  --quiet S        seconds in which everybody reads; default 30\n"
	"  --turns N        of which medians are printed; default 5\n"
	"  --outbox BYTES   slow.outbox_bytes; default 65536\n"
	"  --retention B    journal.retention.bytes of each tenant; default 50331648\n"
	"  --workers N      of the broker; default 2\n"
	"  --broker FILE    another hookwire than that of this build\n"
	"  --smoke          few of everything: a test\n" LOAD_ATTACH_USAGE
	"  -h, --help       this text\n"
	"\n"
	"Exit status: 0; 1 a delivery was lost, repeated or damaged, a session ended, nobody fell\n"
	"behind, or memory went beyond its bound; 2 usage.\n";

struct options {
	struct load_crowd_plan crowd;
	size_t n_events, n_turns, outbox_bytes, retention_bytes, n_workers;
	double quiet_s, stopped_s;
	bool smoke;
	char broker[256];
};

static void set_smoke(struct options *o)
{
	o->smoke = true;
	o->crowd.n_sessions = 40;
	o->crowd.n_slow = 4;
	/* what a socket's buffers hold is soon there */
	o->crowd.pad_bytes = 8000;
	o->n_events = 800;
	o->outbox_bytes = 16384;
	o->n_turns = 1;
	o->quiet_s = 1;
	o->stopped_s = 4;
}

static void read_options(struct options *o, int argc, char **argv)
{
	enum {
		EVENTS = 256,
		PAD,
		SLOW,
		STOPPED,
		QUIET,
		TURNS,
		OUTBOX,
		RETENTION,
		WORKERS,
		BROKER,
		SMOKE
	};
	static const struct option known[] = {LOAD_CROWD_OPTIONS, {"events", 1, NULL, EVENTS},
		{"pad", 1, NULL, PAD}, {"slow", 1, NULL, SLOW}, {"stopped", 1, NULL, STOPPED},
		{"quiet", 1, NULL, QUIET}, {"turns", 1, NULL, TURNS}, {"outbox", 1, NULL, OUTBOX},
		{"retention", 1, NULL, RETENTION}, {"workers", 1, NULL, WORKERS},
		{"broker", 1, NULL, BROKER}, {"smoke", 0, NULL, SMOKE}, {"help", 0, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	int c;

	*o = (struct options){.crowd = {.tenants = {"acme", "beta"},
				      .n_sessions = 1000,
				      .per_topic = 10,
				      .pad_bytes = 512,
				      .n_slow = 50,
				      .slow_receive_bytes = SLOW_RECEIVE_BYTES},
		.n_events = 2000,
		.n_turns = 5,
		.outbox_bytes = 65536,
		.retention_bytes = 50331648,
		.n_workers = 2,
		.quiet_s = 30,
		.stopped_s = 30};
	load_built_path("../hookwire", o->broker);
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (c) {
		case EVENTS:
			o->n_events = load_whole(optarg, 1, 1000000, "--events");
			break;
		case PAD:
			o->crowd.pad_bytes = load_whole(optarg, 0, 60000, "--pad: 0 to 60000");
			break;
		case SLOW:
			o->crowd.n_slow = load_whole(optarg, 1, LOAD_MAX_SESSIONS, "--slow");
			break;
		case STOPPED:
			o->stopped_s = (double)load_whole(optarg, 1, 3600, "--stopped");
			break;
		case QUIET:
			o->quiet_s = (double)load_whole(optarg, 1, 3600, "--quiet");
			break;
		case TURNS:
			o->n_turns = load_whole(optarg, 1, MAX_TURNS, "--turns: 1 to 25");
			break;
		case OUTBOX:
			o->outbox_bytes = load_whole(optarg, 1, SIZE_MAX, "--outbox");
			break;
		case RETENTION:
			o->retention_bytes = load_whole(optarg, 1, SIZE_MAX, "--retention");
			break;
		case WORKERS:
			o->n_workers = load_whole(optarg, 1, 64, "--workers");
			break;
		case BROKER:
			snprintf(o->broker, sizeof(o->broker), "%s", optarg);
			break;
		case SMOKE:
			set_smoke(o);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			load_crowd_option(&o->crowd, c, optarg);
		}
	}
	load_crowd_options_end(&o->crowd);
	if (o->crowd.n_slow >= o->crowd.n_sessions)
		load_bad_usage("--slow: fewer than --sessions");
	o->crowd.rate = (double)(o->n_events * o->crowd.per_topic);
}

/* ---- the broker ---- */

/* Nobody may be closed for being slow before it was to read again. */
static int start(struct load_server *s, const struct load_dir *dir, const struct options *o)
{
	int admin_port = load_free_port();
	struct hw_buf members;

	hw_buf_init(&members);
	hw_buf_printf(&members,
		"\"admin\": { \"listen\": \"127.0.0.1:%d\" },\n"
		"  \"slow\": { \"outbox_bytes\": %zu, \"deadline_ms\": 3600000 },\n"
		"  \"journal\": { \"retention\": { \"count\": 10000000, \"bytes\": %zu } },",
		admin_port, o->outbox_bytes, o->retention_bytes);
	hw_buf_add(&members, "", 1);
	if (members.failed)
		load_die("out of memory");
	load_broker_start_with(s, dir, o->broker, o->n_workers, "hookwire", members.data);
	hw_buf_fini(&members);
	return admin_port;
}

/* ---- turns ---- */

struct part {
	struct load_crowd_phase phase;
	double server_s, foreign_s;
	size_t most_bytes; /* of the broker's memory */
};

struct turn {
	struct part quiet, stopped, again;
	size_t before_bytes, after_bytes;
	uint64_t n_missed;
	double n_fell_behind, caught_up_ms;
};

struct run {
	const struct options *o;
	struct load_server server;
	struct load_crowd *crowd;
	int admin_port;
};

static double fell_behind(const struct run *r)
{
	return load_broker_metric(r->admin_port, "hookwire_slow_sessions_total");
}

/* @seconds; 0: until nobody is behind. */
static void measure(struct run *r, double seconds, struct part *out)
{
	double own = load_cpu_s(0), all = load_machine_s(), server = load_cpu_s(r->server.pid);
	uint64_t began_ns = load_now_ns(), now_ns = began_ns, until_ns;
	uint64_t end_ns = began_ns + (uint64_t)(seconds * 1e9);
	size_t bytes;

	out->most_bytes = 0;
	load_crowd_begin(r->crowd);
	while (seconds > 0 ? now_ns < end_ns : load_crowd_behind(r->crowd) > 0) {
		until_ns = now_ns + LOOK_MS * NS_PER_MS;
		if (seconds > 0 && until_ns > end_ns)
			until_ns = end_ns;
		load_crowd_run(r->crowd, until_ns, -1);
		bytes = load_rss_bytes(r->server.pid);
		if (bytes > out->most_bytes)
			out->most_bytes = bytes;
		now_ns = load_now_ns();
		if (!(seconds > 0) && now_ns - began_ns > CATCH_UP_MS * NS_PER_MS)
			load_die("%zu sessions are still behind", load_crowd_behind(r->crowd));
	}
	load_crowd_end(r->crowd, &out->phase);
	out->server_s = load_cpu_s(r->server.pid) - server;
	out->foreign_s = load_machine_s() - all - out->server_s - (load_cpu_s(0) - own);
}

static void run_turn(struct run *r, struct turn *t)
{
	measure(r, r->o->quiet_s, &t->quiet);
	t->before_bytes = load_rss_bytes(r->server.pid);
	t->n_fell_behind = fell_behind(r);
	load_crowd_stop_slow(r->crowd);
	measure(r, r->o->stopped_s, &t->stopped);
	t->n_fell_behind = fell_behind(r) - t->n_fell_behind;
	t->n_missed = load_crowd_missed(r->crowd);
	load_crowd_go_on(r->crowd);
	measure(r, 0, &t->again);
	t->caught_up_ms = load_crowd_caught_up_ms(r->crowd);
	t->after_bytes = load_rss_bytes(r->server.pid);
	if (t->n_fell_behind < (double)r->o->crowd.n_slow)
		load_die("%.0f of %zu sessions fell behind: the sockets held what they missed",
			t->n_fell_behind, r->o->crowd.n_slow);
}

static void print_part(const char *name, const struct part *p)
{
	printf("%-8s %10llu %9.2f %9.2f %9.1f %9.1f %8.0f%% %8.0f%% %12.0f\n", name,
		(unsigned long long)p->phase.n_events, p->phase.p50_ms, p->phase.p99_ms,
		p->phase.max_ms, p->phase.behind_ms, 100 * p->server_s / p->phase.seconds,
		100 * p->foreign_s / p->phase.seconds, (double)p->phase.n_events / p->server_s);
}

/* What memory may grow by: what each of the slow may keep, and the journals. */
static size_t bound_bytes(const struct options *o)
{
	return o->crowd.n_slow * o->outbox_bytes + N_TENANTS * o->retention_bytes;
}

static void print_turn(const struct options *o, const struct turn *t)
{
	size_t most = t->stopped.most_bytes > t->again.most_bytes ? t->stopped.most_bytes
								  : t->again.most_bytes;
	size_t grown = most > t->before_bytes ? most - t->before_bytes : 0;

	print_part("quiet", &t->quiet);
	print_part("stopped", &t->stopped);
	print_part("again", &t->again);
	printf("         the %zu missed %llu deliveries and had them after %.0f ms; memory: "
	       "%.1f MiB before, %.1f at worst, %.1f after; bound: %.1f more, were %.1f\n",
		o->crowd.n_slow, (unsigned long long)t->n_missed, t->caught_up_ms,
		(double)t->before_bytes / MIB, (double)most / MIB, (double)t->after_bytes / MIB,
		(double)bound_bytes(o) / MIB, (double)grown / MIB);
	fflush(stdout);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
	if (grown > bound_bytes(o))
		load_die("memory went beyond its bound");
#endif
}

static void print_spread(const char *what, const double *figures, size_t n)
{
	struct load_spread s = load_spread(figures, n);

	printf("%s %.2f (%.2f to %.2f)\n", what, s.median, s.min, s.max);
}

static int alone(struct options *o)
{
	double p50[MAX_TURNS], p99[MAX_TURNS], again[MAX_TURNS], caught_up[MAX_TURNS];
	struct run r = {.o = o};
	struct load_dir dir;

	load_begin(&dir, o->smoke);
	o->crowd.secret = load_broker_secret();
	r.admin_port = start(&r.server, &dir, o);
	o->crowd.port = r.server.port;
	r.crowd = load_crowd_open(&o->crowd);
	printf("%zu sessions, %zu a topic, %zu events/s, %.0f deliveries/s, %zu stop reading for "
	       "%.0f s, outbox %zu bytes, %zu workers\n",
		o->crowd.n_sessions, o->crowd.per_topic, o->n_events, o->crowd.rate,
		o->crowd.n_slow, o->stopped_s, o->outbox_bytes, o->n_workers);
	puts("         deliveries    p50 ms    p99 ms    max ms behind ms   server  foreign  "
	     "per CPU s");
	for (size_t i = 0; i < o->n_turns; i++) {
		struct turn t;

		run_turn(&r, &t);
		print_turn(o, &t);
		p50[i] = t.stopped.phase.p50_ms / t.quiet.phase.p50_ms;
		p99[i] = t.stopped.phase.p99_ms / t.quiet.phase.p99_ms;
		again[i] = t.again.phase.p99_ms / t.quiet.phase.p99_ms;
		caught_up[i] = t.caught_up_ms;
	}
	print_spread("stopped over quiet: p99", p99, o->n_turns);
	print_spread("                    p50", p50, o->n_turns);
	print_spread("again over quiet:   p99", again, o->n_turns);
	print_spread("ms to catch up:", caught_up, o->n_turns);
	load_crowd_close(&r.crowd);
	return load_server_stop(&r.server);
}

int main(int argc, char **argv)
{
	struct options o;

	read_options(&o, argc, argv);
	return o.crowd.port ? load_crowd_attached(&o.crowd) : alone(&o);
}
