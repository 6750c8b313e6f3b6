// links: load
/* Fan-out as shipped: the real broker (JWT, Lua authorize, journal, one worker) delivers to many
 * subscribers, in turns with peers at equal bytes a delivery. The yardstick is deliveries per CPU
 * second of the server: on a machine that others use, too, it moves least. Prints figures and
 * judges only that every delivery arrived, once and in order. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/load.h"

enum {
	MAX_RIVALS = 4,
	MAX_WINDOWS = 8,
	MAX_WINDOW = 1024,
	MAX_TURNS = 25,
	MAX_SIZE = 8192,
	MAX_SUBSCRIBERS = 100000,
	/* published before the first turn: the journal keeps no more, so that an old event leaves
	 * for every new one, and the numbers in ids have six digits from then on */
	LEAD_EVENTS = 100000,
	LEAD_WINDOW = 100,
	WARM_ROUNDS = 20,
	/* of all turns together: with a seventh digit events would grow */
	MAX_EVENTS = 890000,
	SMOKE_LEAD_EVENTS = 1000,
	SMOKE_ROUNDS = 60,
};

static const char usage[] =
	"usage: bench_fanout [options]\n"
	"\n"
	"Publishes to many subscribers of one topic through the broker of this build and through\n"
	"peers, in turns, and prints what each server delivers per second of its own CPU time.\n"
	"Peers: the floor (peer_fanout, a bare server), and nats-server and redis-server if they\n"
	"are installed. Every delivery has as many bytes of wire with all of them.\n"
	"\n"
	"  --subscribers N    default 500\n"
	"  --size BYTES       of payload in an event, 16 to 8192; default 128\n"
	"  --windows W,...    messages that are published together, the next when everybody has\n"
	"                     all of them; default 1,8,32\n"
	"  --publish ws|http  how the broker gets them; the peers in their own way; default ws\n"
	"  --turns N          of each server and window, of which medians are printed; default 3\n"
	"  --seconds S        of a turn; default 2. It is shorter when all turns together would\n"
	"                     publish more than 890000 events\n"
	"  --broker FILE      another hookwire than that of this build\n"
	"  --smoke            few of everything, broker and floor alone, tied to no CPU: a test\n"
	"  --fault KIND       the floor spoils a delivery: \"lose\" or \"repeat\"; the run must "
	"fail\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0; 1 a delivery was lost, repeated or damaged, or a server failed; 2 "
	"usage.\n";

struct options {
	size_t n_subs, size, n_windows, n_turns;
	size_t windows[MAX_WINDOWS];
	double seconds;
	size_t n_lead;
	bool http, smoke;
	char *fault;
	char broker[256];
};

/* One server that is compared. */
struct rival {
	const char *name;
	const struct load_protocol *sub, *pub;
	struct load_server server;
	struct load_fleet fleet;
	char *token; /* of the publisher */
	size_t text_bytes;
	struct load_turn turns[MAX_TURNS];
};

struct bench {
	struct options o;
	struct load_dir dir;
	struct rival rivals[MAX_RIVALS]; /* the first is the broker, the second the floor */
	size_t n_rivals;
};

/* ---- the command line ---- */

static void read_windows(struct options *o, char *text)
{
	o->n_windows = 0;
	for (char *w = strtok(text, ","); w; w = strtok(NULL, ",")) {
		if (o->n_windows == MAX_WINDOWS)
			load_bad_usage("--windows: eight at most");
		o->windows[o->n_windows++] = load_whole(w, 1, MAX_WINDOW, "--windows: 1 to 1024");
	}
	if (o->n_windows == 0)
		load_bad_usage("--windows: at least one");
}

static void set_smoke(struct options *o)
{
	o->smoke = true;
	o->n_subs = 20;
	o->n_windows = 2;
	o->n_turns = 1;
	o->seconds = 0;
	o->n_lead = SMOKE_LEAD_EVENTS;
}

static void read_option(struct options *o, int id, char *value)
{
	switch (id) {
	case 'n':
		o->n_subs = load_whole(value, 1, MAX_SUBSCRIBERS, "--subscribers: 1 to 100000");
		break;
	case 's':
		o->size = load_whole(value, 16, MAX_SIZE, "--size: 16 to 8192");
		break;
	case 'w':
		read_windows(o, value);
		break;
	case 'p':
		o->http = strcmp(value, "http") == 0;
		if (!o->http && strcmp(value, "ws") != 0)
			load_bad_usage("--publish: ws or http");
		break;
	case 't':
		o->n_turns = load_whole(value, 1, MAX_TURNS, "--turns: 1 to 25");
		break;
	case 'S':
		o->seconds = strtod(value, NULL);
		if (!(o->seconds > 0 && o->seconds <= 60))
			load_bad_usage("--seconds: up to 60");
		break;
	case 'b':
		snprintf(o->broker, sizeof(o->broker), "%s", value);
		break;
	case 'f':
		o->fault = value;
		break;
	case 'k':
		set_smoke(o);
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		load_bad_usage("an option is wrong");
	}
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"subscribers", required_argument, NULL, 'n'},
		{"size", required_argument, NULL, 's'},
		{"windows", required_argument, NULL, 'w'},
		{"publish", required_argument, NULL, 'p'},
		{"turns", required_argument, NULL, 't'},
		{"seconds", required_argument, NULL, 'S'},
		{"broker", required_argument, NULL, 'b'},
		{"fault", required_argument, NULL, 'f'},
		{"smoke", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id;

	*o = (struct options){.n_subs = 500,
		.size = 128,
		.n_windows = 3,
		.windows = {1, 8, 32},
		.n_turns = 3,
		.seconds = 2,
		.n_lead = LEAD_EVENTS};
	load_built_path("../hookwire", o->broker);
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		read_option(o, id, optarg);
	if (optind < argc)
		load_bad_usage("it takes no further arguments");
}

/* ---- the servers ---- */

static struct rival *add_rival(struct bench *b, const char *name, const struct load_protocol *sub,
	const struct load_protocol *pub)
{
	struct rival *r = &b->rivals[b->n_rivals++];

	*r = (struct rival){.name = name, .sub = sub, .pub = pub};
	return r;
}

static void add_broker(struct bench *b)
{
	struct rival *r = add_rival(b, "hookwire", &load_hookwire_sub,
		b->o.http ? &load_hookwire_http : &load_hookwire_ws);
	struct load_plan lead = {.window = LEAD_WINDOW,
		.text_bytes = b->o.size,
		.min_rounds = b->o.n_lead / LEAD_WINDOW};
	struct load_turn turn;

	load_broker_start(&r->server, &b->dir, b->o.broker, !b->o.smoke);
	r->token = load_broker_token("publisher");
	r->text_bytes = b->o.size;
	load_fleet_open(&r->fleet, &r->server, &load_hookwire_sub, &load_hookwire_http, r->token);
	load_fleet_run(&r->fleet, &lead, &turn);
	load_fleet_close(&r->fleet);
}

static void add_floor(struct bench *b)
{
	struct rival *r = add_rival(b, "floor", &load_floor_sub, &load_floor_pub);
	char path[256];
	char *argv[] = {path, b->o.fault ? "--fault" : NULL, b->o.fault, NULL};

	load_built_path("peer_fanout", path);
	load_server_start(
		&r->server, &b->dir, r->name, argv, "listening on 127.0.0.1:", 0, !b->o.smoke);
}

static void add_nats(struct bench *b)
{
	char path[256];
	char *argv[] = {path, "-a", "127.0.0.1", "-p", "-1", NULL};
	struct rival *r;

	if (!load_find_program("nats-server", path)) {
		puts("nats-server is not installed: left out");
		return;
	}
	r = add_rival(b, "nats-server", &load_nats_sub, &load_nats_pub);
	load_server_start(&r->server, &b->dir, r->name, argv,
		"Listening for client connections on 127.0.0.1:", 0, true);
}

static void add_redis(struct bench *b)
{
	int port = load_free_port();
	char path[256], number[16];
	char *argv[] = {path, "--bind", "127.0.0.1", "--port", number, "--save", "", "--dir",
		b->dir.path, NULL};
	struct rival *r;

	if (!load_find_program("redis-server", path)) {
		puts("redis-server is not installed: left out");
		return;
	}
	snprintf(number, sizeof(number), "%d", port);
	r = add_rival(b, "redis-server", &load_redis_sub, &load_redis_pub);
	load_server_start(
		&r->server, &b->dir, r->name, argv, "Ready to accept connections", port, true);
}

/* Connects everybody, and finds out how long an event is. */
static void connect_rival(struct bench *b, struct rival *r)
{
	struct rival *broker = &b->rivals[0];
	struct load_plan warm = {.window = 1, .min_rounds = WARM_ROUNDS};
	struct load_turn turn;

	load_fleet_open(&r->fleet, &r->server, r->sub, r->pub, r->token);
	load_fleet_subscribe(&r->fleet, b->o.n_subs, r == broker);
	if (r != broker)
		r->text_bytes = load_text_bytes(r->sub, broker->fleet.event_bytes);
	warm.text_bytes = r->text_bytes;
	load_fleet_run(&r->fleet, &warm, &turn);
	if (r->fleet.event_bytes != broker->fleet.event_bytes)
		load_die("%s delivers %zu bytes, hookwire %zu: nothing to compare", r->name,
			r->fleet.event_bytes, broker->fleet.event_bytes);
}

/* ---- figures ---- */

static double per_cpu_s(const struct load_turn *t)
{
	return (double)t->n_events / t->server_s;
}

static double per_s(const struct load_turn *t)
{
	return (double)t->n_events / t->seconds;
}

static double p50_us(const struct load_turn *t)
{
	return t->p50_us;
}

static double p99_us(const struct load_turn *t)
{
	return t->p99_us;
}

static double foreign(const struct load_turn *t)
{
	double share = 100 * t->foreign_s / t->seconds;

	return share > 0 ? share : 0; /* the machine counts in ticks */
}

static struct load_spread spread(
	const struct rival *r, size_t n, double (*figure)(const struct load_turn *))
{
	double figures[MAX_TURNS];

	for (size_t i = 0; i < n; i++)
		figures[i] = figure(&r->turns[i]);
	return load_spread(figures, n);
}

/* Of the broker to @r, turn by turn: a disturbance that lasts hits both. */
static double ratio(const struct bench *b, const struct rival *r)
{
	double ratios[MAX_TURNS];

	for (size_t i = 0; i < b->o.n_turns; i++)
		ratios[i] = per_cpu_s(&b->rivals[0].turns[i]) / per_cpu_s(&r->turns[i]);
	return load_spread(ratios, b->o.n_turns).median;
}

static void print_window(const struct bench *b, size_t window)
{
	size_t n = b->o.n_turns;

	for (size_t i = 0; i < b->n_rivals; i++) {
		const struct rival *r = &b->rivals[i];
		struct load_spread cpu = spread(r, n, per_cpu_s);

		printf("%4zu  %-12s %11.0f  %11.0f .. %-11.0f %6.2f %11.0f %8.0f %8.0f %7.0f%%\n",
			window, r->name, cpu.median, cpu.min, cpu.max, ratio(b, r),
			spread(r, n, per_s).median, spread(r, n, p50_us).median,
			spread(r, n, p99_us).median, spread(r, n, foreign).max);
	}
	fflush(stdout);
}

static void run_turn(struct bench *b, struct rival *r, size_t window, size_t turn)
{
	struct load_plan plan = {.window = window,
		.text_bytes = r->text_bytes,
		.seconds = b->o.seconds,
		.min_rounds = 1,
		.max_rounds = MAX_EVENTS / (b->o.n_windows * b->o.n_turns * window)};

	if (b->o.smoke)
		plan.min_rounds = SMOKE_ROUNDS;
	load_fleet_run(&r->fleet, &plan, &r->turns[turn]);
}

static void run(struct bench *b)
{
	printf("%zu subscribers, %zu bytes of payload, %zu bytes of wire a delivery; the broker is "
	       "published to over %s\n%zu turns of %g s; ratio: hookwire to this server; foreign: "
	       "CPU time of other processes, the worst turn\n\n",
		b->o.n_subs, b->o.size, b->rivals[0].fleet.event_bytes, b->rivals[0].pub->name,
		b->o.n_turns, b->o.seconds);
	printf("%4s  %-12s %11s  %26s %6s %11s %8s %8s %8s\n", "W", "server", "a CPU s",
		"least .. most          ", "ratio", "a second", "p50 us", "p99 us", "foreign");
	fflush(stdout);
	for (size_t w = 0; w < b->o.n_windows; w++) {
		for (size_t turn = 0; turn < b->o.n_turns; turn++) {
			for (size_t i = 0; i < b->n_rivals; i++)
				run_turn(b, &b->rivals[i], b->o.windows[w], turn);
		}
		print_window(b, b->o.windows[w]);
	}
}

int main(int argc, char **argv)
{
	struct bench b = {0};

	read_options(&b.o, argc, argv);
	load_begin(&b.dir, b.o.smoke);
	add_broker(&b);
	add_floor(&b);
	if (!b.o.smoke) {
		add_nats(&b);
		add_redis(&b);
	}
	for (size_t i = 0; i < b.n_rivals; i++)
		connect_rival(&b, &b.rivals[i]);
	run(&b);
	for (size_t i = 0; i < b.n_rivals; i++) {
		load_fleet_close(&b.rivals[i].fleet);
		/* nats-server says 1 when it ends as asked */
		if (load_server_stop(&b.rivals[i].server) != 0 && i == 0)
			load_die("hookwire did not end as it should");
		free(b.rivals[i].token);
	}
	return 0;
}
