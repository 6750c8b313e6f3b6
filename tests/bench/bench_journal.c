// links: load
/* What a durable journal costs a publisher: several connections POST arrays of events to the real
 * broker (JWT, Lua authorize), each the next one when all of the last are acknowledged; in turns
 * with the journal in memory and with the one of the sqlite plugin. Prints acknowledged events a
 * second and judges only that each was acknowledged, and is counted by the journal's head. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "load/load.h"

enum {
	N_KINDS = 2,
	MAX_TURNS = 25,
	MAX_SIZES = 8,
	MAX_ITEMS = 1000,
	MAX_CONNECTIONS = 256,
	N_TOPICS = 10,
	PAYLOAD_BYTES = 128,
	READ_BYTES = 65536,
	STALL_MS = 20000,
};

static const char usage[] =
	"usage: bench_journal [options]\n"
	"\n"
	"Publishes arrays of events over several connections, each the next array when the last\n"
	"is acknowledged, to the broker of this build with the journal in memory and with that\n"
	"of the sqlite plugin, in turns, and prints acknowledged events a second.\n"
	"\n"
	"  --connections N  default 8\n"
	"  --items N,...    events in an array, up to 1000; default 1,100,500\n"
	"  --workers N      of the broker; default 1\n"
	"  --turns N        of which medians are printed; default 3\n"
	"  --seconds S      of a turn; default 3\n"
	"  --dir DIR        where the database is made; default: in /tmp\n"
	"  --settings TEXT  further settings of the plugin, as \"synchronous\":\"normal\"\n"
	"  --broker FILE    another hookwire than that of this build\n"
	"  --smoke          few of everything: a test\n"
	"  -h, --help       this text\n"
	"\n"
	"Exit status: 0; 1 an event was not acknowledged, or is not in the journal; 2 usage.\n";

struct options {
	size_t n_connections, n_sizes, n_turns, n_workers;
	size_t sizes[MAX_SIZES];
	double seconds;
	char dir[128], settings[256], broker[256];
};

struct turn {
	double per_s, per_cpu_s, cpu_s, foreign, p50_us, p99_us;
};

enum kind { MEMORY, SQLITE };
static const char *const kind_names[N_KINDS] = {"memory", "sqlite"};

struct rival {
	struct load_server server;
	uint64_t n_acked; /* since it was started */
	struct turn turns[MAX_TURNS];
};

struct connection {
	int fd;
	uint64_t sent_ns;
	struct hw_buf in;
};

struct bench {
	struct options o;
	struct load_dir dir;
	char database[192];
	char *token;
	struct rival rivals[N_KINDS];
};

/* ---- the command line ---- */

static void read_sizes(struct options *o, char *text)
{
	o->n_sizes = 0;
	for (char *w = strtok(text, ","); w; w = strtok(NULL, ",")) {
		if (o->n_sizes == MAX_SIZES)
			load_bad_usage("--items: eight at most");
		o->sizes[o->n_sizes++] = load_whole(w, 1, MAX_ITEMS, "--items: 1 to 1000");
	}
	if (o->n_sizes == 0)
		load_bad_usage("--items: at least one");
}

static void read_option(struct options *o, int id, char *value)
{
	switch (id) {
	case 'c':
		o->n_connections = load_whole(value, 1, MAX_CONNECTIONS, "--connections: 1 to 256");
		break;
	case 'i':
		read_sizes(o, value);
		break;
	case 'w':
		o->n_workers = load_whole(value, 1, 64, "--workers: 1 to 64");
		break;
	case 't':
		o->n_turns = load_whole(value, 1, MAX_TURNS, "--turns: 1 to 25");
		break;
	case 's':
		o->seconds = strtod(value, NULL);
		if (!(o->seconds > 0 && o->seconds <= 600))
			load_bad_usage("--seconds: up to 600");
		break;
	case 'd':
		snprintf(o->dir, sizeof(o->dir), "%s", value);
		break;
	case 'S':
		snprintf(o->settings, sizeof(o->settings), ", %s", value);
		break;
	case 'b':
		snprintf(o->broker, sizeof(o->broker), "%s", value);
		break;
	case 'k':
		o->n_turns = 1;
		o->seconds = 0.2;
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
		{"connections", required_argument, NULL, 'c'},
		{"items", required_argument, NULL, 'i'},
		{"workers", required_argument, NULL, 'w'},
		{"turns", required_argument, NULL, 't'},
		{"seconds", required_argument, NULL, 's'},
		{"dir", required_argument, NULL, 'd'},
		{"settings", required_argument, NULL, 'S'},
		{"broker", required_argument, NULL, 'b'},
		{"smoke", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id;

	*o = (struct options){.n_connections = 8,
		.n_sizes = 3,
		.sizes = {1, 100, 500},
		.n_workers = 1,
		.n_turns = 3,
		.seconds = 3};
	load_built_path("../hookwire", o->broker);
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		read_option(o, id, optarg);
	if (optind < argc)
		load_bad_usage("it takes no further arguments");
}

/* ---- what is spoken ---- */

static void write_head(struct hw_buf *out, const struct bench *b, int port, const char *request)
{
	hw_buf_printf(out, "%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n",
		request, port, b->token);
}

/* A POST of @n events, the same each time: what is measured is the broker. */
static void write_post(struct hw_buf *out, const struct bench *b, int port, size_t n)
{
	struct hw_buf body;
	char payload[PAYLOAD_BYTES + 1];

	memset(payload, 'x', PAYLOAD_BYTES);
	payload[PAYLOAD_BYTES] = '\0';
	hw_buf_init(&body);
	hw_buf_putc(&body, '[');
	for (size_t i = 0; i < n; i++)
		hw_buf_printf(&body,
			"%s{\"topic\":\"gift-list:%zu\",\"event\":\"UPDATED\",\"data\":"
			"{\"entity_id\":\"gift-%zu\",\"payload\":\"%s\"}}",
			i ? "," : "", i % N_TOPICS, i, payload);
	hw_buf_putc(&body, ']');
	hw_buf_clear(out);
	write_head(out, b, port, "POST /publish");
	hw_buf_printf(
		out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.len);
	hw_buf_str(out, hw_buf_view(&body));
	if (body.failed || out->failed)
		load_die("out of memory");
	hw_buf_fini(&body);
}

/* The length of the whole answer at the front, 0: not there yet. */
static size_t answer_bytes(struct hw_str in)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *end = memmem(in.p, in.len, "\r\n\r\n", 4), *length;
	size_t head;

	if (!end)
		return 0;
	head = (size_t)(end - in.p) + 4;
	length = memmem(in.p, head, name, sizeof(name) - 1);
	if (!hw_str_starts(in, HW_STR("HTTP/1.1 200 ")) || !length)
		load_die("the answer: %.*s", (int)(in.len < 400 ? in.len : 400), in.p);
	head += strtoul(length + sizeof(name) - 1, NULL, 10);
	return in.len < head ? 0 : head;
}

static size_t count_acks(struct hw_str text)
{
	static const char ok[] = "{\"ok\":true,\"id\":\"";
	size_t n = 0;

	for (const char *p = text.p;
		(p = memmem(p, text.len - (size_t)(p - text.p), ok, sizeof(ok) - 1)); p++)
		n++;
	return n;
}

/* Reads until the answer is whole. @block: waits for it. 0: it is not. */
static size_t read_answer(struct connection *c, bool block)
{
	for (;;) {
		char *room = hw_buf_reserve(&c->in, READ_BYTES);
		ssize_t n = room ? recv(c->fd, room, READ_BYTES, block ? 0 : MSG_DONTWAIT) : -1;
		size_t whole_bytes;

		if (n < 0 && room && errno == EAGAIN && !block)
			return 0;
		if (n < 0 && room && errno == EAGAIN)
			continue; /* the socket does not block */
		if (n <= 0)
			load_die("the broker: %s", n ? strerror(errno) : "closed");
		c->in.len += (size_t)n;
		whole_bytes = answer_bytes(hw_buf_view(&c->in));
		if (whole_bytes)
			return whole_bytes;
	}
}

/* The number in the cursor of the head: of a tenant that nobody else publishes to, how many events
 * there are. */
static uint64_t head_of(struct bench *b, const struct rival *r)
{
	struct connection c = {.fd = load_connect(r->server.port)};
	struct hw_buf out;
	const char *dash;
	uint64_t n = 0;

	hw_buf_init(&out);
	hw_buf_init(&c.in);
	write_head(&out, b, r->server.port, "GET /cursor");
	hw_buf_puts(&out, "\r\n");
	load_send(c.fd, &out);
	(void)read_answer(&c, true);
	dash = memrchr(c.in.data, '-', c.in.len);
	if (dash)
		n = strtoull(dash + 1, NULL, 10);
	close(c.fd);
	hw_buf_fini(&c.in);
	hw_buf_fini(&out);
	return n;
}

/* ---- a turn ---- */

struct run {
	struct bench *b;
	struct rival *r;
	size_t n_items;
	int epoll;
	struct connection connections[MAX_CONNECTIONS];
	size_t n_waiting;
	uint64_t n_acked, until_ns;
	struct load_hist hist;
	struct hw_buf post;
};

static void send_post(struct run *run, struct connection *c)
{
	c->sent_ns = load_now_ns();
	load_send(c->fd, &run->post);
	run->n_waiting++;
}

static void on_readable(struct run *run, struct connection *c)
{
	size_t bytes = read_answer(c, false);
	size_t n;

	if (bytes == 0)
		return;
	n = run->n_items == 1 ? 1 : count_acks((struct hw_str){c->in.data, bytes});
	if (n != run->n_items)
		load_die(
			"%zu of %zu events were acknowledged: %.400s", n, run->n_items, c->in.data);
	load_hist_add(&run->hist, load_now_ns() - c->sent_ns);
	run->n_acked += n;
	run->n_waiting--;
	hw_buf_consume(&c->in, bytes);
	if (load_now_ns() < run->until_ns)
		send_post(run, c);
}

static void open_connections(struct run *run)
{
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < run->b->o.n_connections; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u64 = i};
		struct connection *c = &run->connections[i];

		c->fd = load_connect(run->r->server.port);
		hw_buf_init(&c->in);
		if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			load_die("epoll: %s", strerror(errno));
	}
}

static void close_connections(struct run *run)
{
	for (size_t i = 0; i < run->b->o.n_connections; i++) {
		close(run->connections[i].fd);
		hw_buf_fini(&run->connections[i].in);
	}
	close(run->epoll);
}

static void exchange(struct run *run)
{
	run->until_ns = load_now_ns() + (uint64_t)(run->b->o.seconds * 1e9);
	for (size_t i = 0; i < run->b->o.n_connections; i++)
		send_post(run, &run->connections[i]);
	while (run->n_waiting) {
		struct epoll_event events[MAX_CONNECTIONS];
		int n = epoll_wait(run->epoll, events, MAX_CONNECTIONS, STALL_MS);

		if (n == 0)
			load_die("nothing came for %d s", STALL_MS / 1000);
		for (int i = 0; i < n; i++)
			on_readable(run, &run->connections[events[i].data.u64]);
	}
}

static void run_turn(struct bench *b, struct rival *r, size_t n_items, size_t turn)
{
	struct run *run = calloc(1, sizeof(*run));
	double cpu, own, all, seconds;
	uint64_t begun_ns, head;

	if (!run)
		load_die("out of memory");
	run->b = b;
	run->r = r;
	run->n_items = n_items;
	hw_buf_init(&run->post);
	write_post(&run->post, b, r->server.port, n_items);
	open_connections(run);
	cpu = load_cpu_s(r->server.pid), own = load_cpu_s(0), all = load_machine_s();
	begun_ns = load_now_ns();
	exchange(run);
	seconds = (double)(load_now_ns() - begun_ns) / 1e9;
	cpu = load_cpu_s(r->server.pid) - cpu;
	r->turns[turn] = (struct turn){.per_s = (double)run->n_acked / seconds,
		.per_cpu_s = (double)run->n_acked / cpu,
		.cpu_s = cpu,
		.foreign = 100 * (load_machine_s() - all - cpu - (load_cpu_s(0) - own)) / seconds,
		.p50_us = load_hist_us(&run->hist, 0.5),
		.p99_us = load_hist_us(&run->hist, 0.99)};
	close_connections(run);
	r->n_acked += run->n_acked;
	head = head_of(b, r);
	if (head != r->n_acked)
		load_die("%s: %llu events were acknowledged, the head is %llu", r->server.name,
			(unsigned long long)r->n_acked, (unsigned long long)head);
	hw_buf_fini(&run->post);
	free(run);
}

/* ---- figures ---- */

static struct load_spread spread(const struct rival *r, size_t n, size_t figure)
{
	double figures[MAX_TURNS];

	for (size_t i = 0; i < n; i++)
		memcpy(&figures[i], (const char *)&r->turns[i] + figure, sizeof(figures[i]));
	return load_spread(figures, n);
}

static void print_size(const struct bench *b, size_t n_items)
{
	size_t n = b->o.n_turns;

	for (size_t kind = 0; kind < N_KINDS; kind++) {
		const struct rival *r = &b->rivals[kind];
		struct load_spread per_s = spread(r, n, offsetof(struct turn, per_s));
		double ratios[MAX_TURNS], foreign;

		for (size_t i = 0; i < n; i++)
			ratios[i] = r->turns[i].per_s / b->rivals[MEMORY].turns[i].per_s;
		foreign = spread(r, n, offsetof(struct turn, foreign)).max;
		printf("%5zu  %-7s %9.0f %9.0f .. %-9.0f %6.2f %9.0f %8.2f %8.0f %8.0f %7.0f%%\n",
			n_items, kind_names[kind], per_s.median, per_s.min, per_s.max,
			load_spread(ratios, n).median,
			spread(r, n, offsetof(struct turn, per_cpu_s)).median,
			spread(r, n, offsetof(struct turn, cpu_s)).median,
			spread(r, n, offsetof(struct turn, p50_us)).median,
			spread(r, n, offsetof(struct turn, p99_us)).median,
			foreign > 0 ? foreign : 0);
	}
	fflush(stdout);
}

static void run(struct bench *b)
{
	printf("%zu connections, %d bytes of payload, %zu worker%s; %zu turns of %g s\n"
	       "ratio: to memory; CPU s: of the broker in a turn; us: from a POST to its answer; "
	       "foreign: CPU time of other processes, the worst turn\n\n",
		b->o.n_connections, PAYLOAD_BYTES, b->o.n_workers, b->o.n_workers == 1 ? "" : "s",
		b->o.n_turns, b->o.seconds);
	printf("%5s  %-7s %9s %22s %6s %9s %8s %8s %8s %8s\n", "items", "journal", "acked/s",
		"least .. most      ", "ratio", "a CPU s", "CPU s", "p50 us", "p99 us", "foreign");
	fflush(stdout);
	for (size_t s = 0; s < b->o.n_sizes; s++) {
		for (size_t turn = 0; turn < b->o.n_turns; turn++)
			for (size_t kind = 0; kind < N_KINDS; kind++)
				run_turn(b, &b->rivals[kind], b->o.sizes[s], turn);
		print_size(b, b->o.sizes[s]);
	}
}

/* ---- the brokers ---- */

/* In a directory of its own if --dir says where. */
static void place_database(struct bench *b)
{
	char dir[160];

	if (!b->o.dir[0]) {
		snprintf(b->database, sizeof(b->database), "%s/journal.db", b->dir.path);
		return;
	}
	snprintf(dir, sizeof(dir), "%s/hookwire-bench-XXXXXX", b->o.dir);
	if (!mkdtemp(dir))
		load_die("%s: %s", dir, strerror(errno));
	snprintf(b->database, sizeof(b->database), "%s/journal.db", dir);
}

static void remove_database(const struct bench *b)
{
	static const char *const ends[] = {"", "-lock", "-wal", "-shm"};
	char path[224];

	for (size_t i = 0; i < HW_COUNT(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", b->database, ends[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s", b->database);
	*strrchr(path, '/') = '\0';
	if (b->o.dir[0])
		rmdir(path);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	char members[1024];

	read_options(&b.o, argc, argv);
	load_begin(&b.dir, true); /* several threads of the broker, on all CPUs */
	place_database(&b);
	b.token = load_broker_token("publisher");
	load_broker_start_with(&b.rivals[MEMORY].server, &b.dir, b.o.broker, b.o.n_workers,
		kind_names[MEMORY], "");
	snprintf(members, sizeof(members),
		"\"journal\": {\"plugin\": \"sqlite\", \"config\": {\"path\": \"%s\"%s}},",
		b.database, b.o.settings);
	load_broker_start_with(&b.rivals[SQLITE].server, &b.dir, b.o.broker, b.o.n_workers,
		kind_names[SQLITE], members);
	run(&b);
	for (size_t i = 0; i < N_KINDS; i++)
		if (load_server_stop(&b.rivals[i].server) != 0)
			load_die("a broker did not end as it should");
	remove_database(&b);
	free(b.token);
	return 0;
}
