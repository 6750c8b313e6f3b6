// links: load
/* Reloads under load: a crowd of sessions in small audiences, its latency while nothing happens and
 * while the policy is edited and reloaded again and again, in turns. Prints figures, and judges
 * only that every delivery arrived, once and in order, and that nobody was disconnected. With
 * --attach it is the crowd alone, for a test that does the reloads. */
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load/load.h"

enum {
	MAX_TURNS = 25,
	SMOKE_SESSIONS = 50,
	/* of the load of both tenants, what each reload edits is one tenant's */
	N_TENANTS = 2,
};

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

static const char usage[] =
	"usage: bench_reload [options]\n"
	"\n"
	"Holds sessions of two tenants, delivers to them at a steady rate, and measures from "
	"publish\n"
	"to delivery: in quiet times, and while the policies are edited and reloaded by SIGHUP.\n"
	"\n"
	"  --sessions N     default 10000\n"
	"  --per-topic N    sessions that follow the same topic; default 10\n"
	"  --rate N         deliveries a second; default 5000\n"
	"  --turns N        of quiet and storm, of which medians are printed; default 5\n"
	"  --seconds S      of each; default 10\n"
	"  --every MS       between two reloads of a storm; default 250\n"
	"  --workers N      of the broker; default 2\n"
	"  --revoke WORD    of the policies: \"sweep\" (default) or \"now\", which holds events "
	"up\n"
	"  --reauth-ms MS   that a sweep takes; default 5000\n"
	"  --broker FILE    another hookwire than that of this build\n"
	"  --smoke          few of everything: a test\n" LOAD_ATTACH_USAGE
	"  -h, --help       this text\n"
	"\n"
	"Exit status: 0; 1 a delivery was lost, repeated or damaged, or a session ended; 2 "
	"usage.\n";

struct options {
	struct load_crowd_plan crowd;
	size_t n_turns, every_ms, n_workers, reauth_ms;
	const char *revoke;
	double seconds;
	char broker[256];
};

static void set_smoke(struct options *o)
{
	o->crowd.n_sessions = SMOKE_SESSIONS;
	o->crowd.rate = 500;
	o->n_turns = 1;
	o->seconds = 1;
	o->every_ms = 50;
}

static void read_options(struct options *o, int argc, char **argv)
{
	enum { RATE = 256, TURNS, SECONDS, EVERY, WORKERS, REVOKE, REAUTH, BROKER, SMOKE };
	static const struct option known[] = {LOAD_CROWD_OPTIONS, {"rate", 1, NULL, RATE},
		{"turns", 1, NULL, TURNS}, {"seconds", 1, NULL, SECONDS}, {"every", 1, NULL, EVERY},
		{"workers", 1, NULL, WORKERS}, {"revoke", 1, NULL, REVOKE},
		{"reauth-ms", 1, NULL, REAUTH}, {"broker", 1, NULL, BROKER},
		{"smoke", 0, NULL, SMOKE}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;

	*o = (struct options){.crowd = {.tenants = {"acme", "beta"},
				      .n_sessions = 10000,
				      .per_topic = 10,
				      .rate = 5000},
		.n_turns = 5,
		.every_ms = 250,
		.n_workers = 2,
		.reauth_ms = 5000,
		.revoke = "sweep",
		.seconds = 10};
	load_built_path("../hookwire", o->broker);
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		switch (c) {
		case RATE:
			o->crowd.rate = (double)load_whole(optarg, 1, 1000000, "--rate");
			break;
		case TURNS:
			o->n_turns = load_whole(optarg, 1, MAX_TURNS, "--turns: 1 to 25");
			break;
		case SECONDS:
			o->seconds = (double)load_whole(optarg, 1, 3600, "--seconds");
			break;
		case EVERY:
			o->every_ms = load_whole(optarg, 1, 60000, "--every");
			break;
		case WORKERS:
			o->n_workers = load_whole(optarg, 1, 64, "--workers");
			break;
		case REVOKE:
			o->revoke = optarg;
			break;
		case REAUTH:
			o->reauth_ms = load_whole(optarg, 0, 600000, "--reauth-ms");
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
}

/* ---- with a broker of its own ---- */

static const char policy[] =
	"local function ours(s, topic)\n"
	"  if topic.resource == \"gift-list\" then return allow() end\n"
	"end\n"
	"return policy { api = 1, authorize = { subscribe = ours, publish = ours } }\n"
	"-- %zu\n";

static void write_policy(const struct load_dir *dir, const char *tenant, size_t n)
{
	struct hw_buf text;
	char name[64];

	hw_buf_init(&text);
	hw_buf_printf(&text, policy, n);
	snprintf(name, sizeof(name), "%s.lua", tenant);
	load_dir_write(dir, name, hw_buf_view(&text));
	hw_buf_fini(&text);
}

/* A tenant's sessions are authorized again after each reload that edits its policy. The budget is
 * what a busy machine may take of a call's time. */
static void start(struct load_server *s, const struct load_dir *dir, const struct options *o)
{
	char path[128];
	char *argv[] = {(char *)o->broker, "serve", "-c", path, NULL};
	struct hw_buf config;

	hw_buf_init(&config);
	hw_buf_printf(&config,
		"{ \"listen\": [\"127.0.0.1:0\"], \"workers\": %zu, \"reauth_ms\": %zu,\n"
		"  \"hooks\": [{ \"plugin\": \"jwt\", \"config\": { \"keys\": [{ \"alg\": "
		"\"HS256\", \"secret\": \"%.*s\" }] } }],\n  \"tenants\": {\n",
		o->n_workers, o->reauth_ms, HW_STR_ARG(o->crowd.secret));
	for (size_t i = 0; i < N_TENANTS; i++)
		hw_buf_printf(&config,
			"    \"%s\": { \"hooks\": [{ \"lua\": \"%s.lua\", \"revoke\": \"%s\", "
			"\"budget\": { \"cpu_ms\": 20 } }], "
			"\"limits\": { \"connections\": 1000000, \"subscriptions\": 1000000, "
			"\"publish_per_s\": 1000000 } }%s\n",
			o->crowd.tenants[i], o->crowd.tenants[i], o->revoke,
			i + 1 < N_TENANTS ? "," : "");
	hw_buf_puts(&config, "  }, \"drain_ms\": 0 }\n");
	load_dir_write(dir, "hookwire.json", hw_buf_view(&config));
	hw_buf_fini(&config);
	for (size_t i = 0; i < N_TENANTS; i++)
		write_policy(dir, o->crowd.tenants[i], 0);
	snprintf(path, sizeof(path), "%s/hookwire.json", dir->path);
	load_server_start(s, dir, "hookwire", argv, "hookwire: listening on 127.0.0.1:", 0, false);
}

struct turn {
	struct load_crowd_phase phase;
	double server_s, foreign_s;
};

/* Edits and reloads, in a thread of its own: the clients do not wait for a disk. */
struct storm {
	const struct load_server *server;
	const struct load_dir *dir;
	const struct options *o;
	size_t n;
	sem_t over;
};

static void add_ms(struct timespec *t, size_t ms)
{
	uint64_t ns = (uint64_t)t->tv_nsec + ms * NS_PER_MS;

	t->tv_sec += (time_t)(ns / NS_PER_S);
	t->tv_nsec = (long)(ns % NS_PER_S);
}

static void *run_storm(void *arg)
{
	struct storm *s = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	do {
		write_policy(s->dir, s->o->crowd.tenants[s->n % N_TENANTS], s->n + 1);
		s->n++;
		kill(s->server->pid, SIGHUP);
		add_ms(&next, s->o->every_ms);
	} while (sem_clockwait(&s->over, CLOCK_MONOTONIC, &next) != 0);
	return NULL;
}

/* @storm: NULL in quiet times. */
static void run_turn(struct load_crowd *crowd, const struct load_server *server,
	const struct options *o, struct storm *storm, struct turn *out)
{
	double own = load_cpu_s(0), all = load_machine_s();
	pthread_t thread;

	out->server_s = load_cpu_s(server->pid);
	if (storm && pthread_create(&thread, NULL, run_storm, storm) != 0)
		load_die("no thread");
	load_crowd_begin(crowd);
	load_crowd_run(crowd, load_now_ns() + (uint64_t)(o->seconds * 1e9), -1);
	load_crowd_end(crowd, &out->phase);
	if (storm) {
		sem_post(&storm->over);
		pthread_join(thread, NULL);
	}
	out->server_s = load_cpu_s(server->pid) - out->server_s;
	out->foreign_s = load_machine_s() - all - out->server_s - (load_cpu_s(0) - own);
}

static void print_turn(const char *name, const struct turn *t)
{
	printf("%-6s %10llu %9.2f %9.2f %9.1f %9.1f %8.0f%% %8.0f%%\n", name,
		(unsigned long long)t->phase.n_events, t->phase.p50_ms, t->phase.p99_ms,
		t->phase.max_ms, t->phase.behind_ms, 100 * t->server_s / t->phase.seconds,
		100 * t->foreign_s / t->phase.seconds);
	fflush(stdout);
}

static int alone(struct options *o)
{
	double ratios[MAX_TURNS], medians[MAX_TURNS];
	struct load_spread p99, p50;
	struct load_server server;
	struct load_crowd *crowd;
	struct load_dir dir;
	struct storm storms = {.server = &server, .dir = &dir, .o = o};

	sem_init(&storms.over, 0, 0);
	load_begin(&dir, true);
	o->crowd.secret = HW_STR("a secret of the benchmarks alone");
	start(&server, &dir, o);
	o->crowd.port = server.port;
	crowd = load_crowd_open(&o->crowd);
	printf("%zu sessions, %zu a topic, %.0f deliveries/s, a reload every %zu ms, %zu workers, "
	       "revoke %s\n",
		o->crowd.n_sessions, o->crowd.per_topic, o->crowd.rate, o->every_ms, o->n_workers,
		o->revoke);
	puts("       deliveries    p50 ms    p99 ms    max ms behind ms   server  foreign");
	for (size_t i = 0; i < o->n_turns; i++) {
		struct turn quiet, storm;

		run_turn(crowd, &server, o, NULL, &quiet);
		print_turn("quiet", &quiet);
		run_turn(crowd, &server, o, &storms, &storm);
		print_turn("storm", &storm);
		ratios[i] = storm.phase.p99_ms / quiet.phase.p99_ms;
		medians[i] = storm.phase.p50_ms / quiet.phase.p50_ms;
	}
	p99 = load_spread(ratios, o->n_turns);
	p50 = load_spread(medians, o->n_turns);
	printf("storm over quiet: p99 %.2f (%.2f to %.2f), p50 %.2f (%.2f to %.2f)\n", p99.median,
		p99.min, p99.max, p50.median, p50.min, p50.max);
	printf("%zu reloads\n", storms.n);
	load_crowd_close(&crowd);
	return load_server_stop(&server);
}

int main(int argc, char **argv)
{
	struct options o;

	read_options(&o, argc, argv);
	return o.crowd.port ? load_crowd_attached(&o.crowd) : alone(&o);
}
