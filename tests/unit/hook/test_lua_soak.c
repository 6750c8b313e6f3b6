/* Kills by the thousand, each kind of them in turn, leave nothing behind: neither memory nor
 * mappings, descriptors, threads or timers. The argument says how many; few by default, so that
 * everybody runs it. */
#include "wait_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "hook/http_client.h"

#define KILLS 300

static int n_kills = KILLS;

/* What a call about a topic does to its state, or waits for while another does it. */
static const char POLICY[] =
	"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx)\n"
	"  local what = topic.resource\n"
	"  local function eat() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100) .. i end end\n"
	"  if what == 'hook' then while true do end end\n"
	"  if what == 'jump' then string.rep('', 1 << 60) end\n"
	"  if what == 'memory' then eat() end\n"
	"  if what == 'lateloop' then ctx.sleep(1) while true do end end\n"
	"  if what == 'latejump' then ctx.sleep(1) string.rep('', 1 << 60) end\n"
	"  if what == 'closing' then local x <close> = setmetatable({}, {__close = function() "
	"while true do end end}) ctx.sleep(1000) end\n"
	"  if what == 'sleeper' then ctx.sleep(1000) end\n"
	"  if what == 'asker' then ctx.http.get('http://127.0.0.1:' .. topic.id .. '/x', "
	"{timeout_ms = 60000}) end\n"
	"  return allow() end } }";

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
	fclose(f);
	return pages * 4;
}

static int count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	int n = 0, c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static int count_in(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A service that takes connections and never answers. */
static int listen_silently(unsigned *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void drop_connections(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

/* One kill, with one call that sleeps and one that asks in the same state. */
static void kill_once(struct wait_world *ww, int i, int listener, unsigned port)
{
	static const char *const kinds[] = {
		"hook:1", "jump:1", "memory:1", "lateloop:1", "latejump:1", "closing:1"};
	const char *kind = kinds[i % (int)HW_COUNT(kinds)];
	struct wait_ask sleeper, asker, killer, normal;
	char topic[32];
	enum hw_verdict verdict;

	snprintf(topic, sizeof(topic), "asker:%u", port);
	assert_int_equal(wait_subscribe(ww, &sleeper, "sleeper:1"), HW_PENDING);
	assert_int_equal(wait_subscribe(ww, &asker, topic), HW_PENDING);
	if (i % 2) /* now and then the request is on its way, else only wanted */
		wait_turn_of(ww, 1);
	verdict = wait_subscribe(ww, &killer, kind);
	if (strcmp(kind, "closing:1") == 0) {
		assert_int_equal(verdict, HW_PENDING);
		hw_hooks_cancel(&killer.ask);
	} else if (verdict == HW_PENDING) {
		wait_pass(ww, 1);
		assert_int_equal(killer.ask.verdict, HW_ERROR);
	} else {
		assert_int_equal(verdict, HW_ERROR);
	}
	assert_null(ww->w.bench->lua);
	wait_pass(ww, 1);
	assert_int_equal(sleeper.ask.verdict, HW_ERROR);
	assert_int_equal(asker.ask.verdict, HW_ERROR);
	assert_int_equal(wait_subscribe(ww, &normal, "normal:1"), HW_ALLOW);
	drop_connections(listener);
	wait_turn_of(ww, 0);
}

#if defined(__SANITIZE_ADDRESS__)
/* What is freed waits in quarantine, which by default has 256 MB: that looks like a leak. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=32";
}
#endif

static void kills_leave_nothing_behind(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	const long allowed_kib = 64 << 10;
	const int allowed_maps = 64; /* of its own */
#else
	const long allowed_kib = 1 << 10;
	const int allowed_maps = 4;
#endif
	struct wait_world ww;
	long before_kib = 0;
	int before_maps = 0, before_fds = 0, before_threads = 0, listener;
	unsigned port;

	(void)state;
	if (WORLD_TSAN) {
		print_message("not run: ThreadSanitizer defers the signals that end a call\n");
		skip();
	}
	wait_init(&ww);
	listener = listen_silently(&port);
	ww.w.budget.cpu_ms = 1;
	ww.w.budget.deadline_ms = 3600000;
	world_policy(&ww.w, POLICY);
	for (int i = 0; i < n_kills; i++) {
		if (i == n_kills / 10) {
			before_kib = resident_kib();
			before_maps = count_mappings();
			before_fds = count_in("/proc/self/fd");
			before_threads = count_in("/proc/self/task");
		}
		kill_once(&ww, i, listener, port);
	}
	print_message("resident: %ld KiB after %d kills, %ld KiB after %d\n", before_kib,
		n_kills / 10, resident_kib(), n_kills);
	assert_true(resident_kib() - before_kib < allowed_kib);
	assert_true(count_mappings() - before_maps < allowed_maps);
	wait_until(&ww, count_in("/proc/self/fd") <= before_fds);
	assert_true(count_in("/proc/self/task") <= before_threads);
	world_forget_policy(&ww.w);
	close(listener);
	hw_http_client_destroy(&hw_hook_env_io(ww.w.env, 0)->http);
	wait_fini(&ww);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_leave_nothing_behind),
	};

	unsetenv("http_proxy");
	if (argc > 1)
		n_kills = atoi(argv[1]);
	return cmocka_run_group_tests_name("hook.lua_soak", tests, NULL, NULL);
}
