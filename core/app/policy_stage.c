#include "app/policy_stage.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/conf.h"
#include "hook/inbox.h"
#include "hook/io.h"

#define MONO_MS 1000000 /* any moment would do */

static int64_t mono_ms(void *arg)
{
	return ((struct hw_policy_stage *)arg)->mono_ms;
}

static int64_t wall_ms(void *arg)
{
	return ((struct hw_policy_stage *)arg)->wall_ms;
}

/* Nothing here has a descriptor: curl is never asked. */
static int watch(struct hw_poller *poller, struct hw_poll *poll, unsigned what)
{
	(void)poller;
	(void)poll;
	return what == 0 ? 0 : -ENOTSUP;
}

static void wake(void *arg)
{
	struct hw_policy_stage *stage = arg;

	(void)eventfd_write(stage->wake_fd, 1); /* fails only when it stands at its highest */
}

static void on_publish(
	void *arg, struct hw_str tenant, struct hw_str event, const char *by, unsigned depth)
{
	struct hw_policy_stage *stage = arg;

	(void)tenant;
	(void)by;
	(void)depth;
	json_array_append_new(stage->published, json_loadb(event.p, event.len, 0, NULL));
}

/* Nobody is connected. */
static void on_reauth(void *arg, struct hw_str tenant, struct hw_str user_id, struct hw_str topic)
{
	(void)arg;
	(void)tenant;
	(void)user_id;
	(void)topic;
}

static int open_inbox(struct hw_policy_stage *stage)
{
	struct hw_hook_env *env = stage->kit.env;
	int rc;

	stage->published = json_array();
	stage->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stage->wake_fd < 0)
		return -errno;
	rc = stage->published ? hw_hook_inbox_open(env, 0, stage->timers, wake, stage) : -ENOMEM;
	if (rc == 0) {
		hw_hook_inbox_on_publish(env, 0, on_publish, stage);
		hw_hook_inbox_on_reauth(env, 0, on_reauth, stage);
	}
	return rc;
}

static int find_paths(struct hw_policy_stage *stage)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	while (n > 1 && path[n - 1] != '/')
		n--;
	if (n <= 1)
		return -ENOENT;
	path[n - 1] = '\0';
	hw_conf_default_plugin_path(path, &stage->plugin_path);
	hw_conf_default_script_path(path, &stage->script_path);
	return stage->plugin_path.failed || stage->script_path.failed ? -ENOMEM : 0;
}

static int open_stage(struct hw_policy_stage *stage, bool given, const char *script_path)
{
	int rc;

	*stage = (struct hw_policy_stage){
		.mono_ms = MONO_MS, .wall_ms = HW_POLICY_NOW_MS, .wake_fd = -1};
	stage->clock = (struct hw_clock){mono_ms, wall_ms, stage};
	stage->timers = hw_timers_create(stage->mono_ms);
	stage->poller = (struct hw_poller){&stage->clock, stage->timers, watch};
	stage->log_fd = memfd_create("hookwire-policy-log", MFD_CLOEXEC);
	rc = stage->log_fd < 0 ? -errno : stage->timers ? find_paths(stage) : -ENOMEM;
	if (rc < 0)
		return rc;
	if (!given && stage->script_path.len > 0)
		script_path = stage->script_path.data;
	rc = hw_hook_kit_open(&stage->kit, stage->log_fd, HW_LOG_INFO, &stage->clock, script_path);
	if (rc == 0)
		rc = hw_watchdog_enter_thread(stage->kit.watchdog);
	stage->entered = rc == 0;
	if (rc == 0)
		rc = hw_hook_env_join(stage->kit.env, 0, &stage->poller);
	if (rc == 0)
		rc = open_inbox(stage);
	if (rc == 0)
		hw_http_client_stub(
			hw_hook_env_io(stage->kit.env, 0)->http, hw_policy_stub_answer, stage);
	return rc;
}

int hw_policy_stage_open(struct hw_policy_stage *stage)
{
	return open_stage(stage, false, NULL);
}

int hw_policy_stage_open_with(struct hw_policy_stage *stage, const char *script_path)
{
	return open_stage(stage, true, script_path);
}

void hw_policy_stage_close(struct hw_policy_stage *stage)
{
	if (stage->kit.env) {
		hw_hook_inbox_close(stage->kit.env, 0);
		hw_hook_env_part(stage->kit.env, 0);
		hw_hook_env_reap(stage->kit.env);
	}
	if (stage->entered)
		hw_watchdog_leave_thread(stage->kit.watchdog);
	hw_hook_kit_close(&stage->kit);
	hw_timers_destroy(&stage->timers);
	json_decref(stage->published);
	if (stage->wake_fd >= 0)
		close(stage->wake_fd);
	if (stage->log_fd >= 0)
		close(stage->log_fd);
	hw_buf_fini(&stage->plugin_path);
	hw_buf_fini(&stage->script_path);
	hw_buf_fini(&stage->requests);
	hw_buf_fini(&stage->unmatched);
}

/* Returns how long it was: less when another thread has something. */
static int64_t sleep_at_most(struct hw_policy_stage *stage, int64_t ms)
{
	struct pollfd fd = {.fd = stage->wake_fd, .events = POLLIN};
	int64_t start_ms = hw_clock_mono_ms(&hw_clock_system);
	eventfd_t n;

	if (ms > 0 && poll(&fd, 1, ms < INT_MAX ? (int)ms : INT_MAX) > 0)
		(void)eventfd_read(stage->wake_fd, &n);
	return hw_clock_mono_ms(&hw_clock_system) - start_ms;
}

static void turn(struct hw_policy_stage *stage, int64_t ms)
{
	stage->mono_ms += ms;
	stage->wall_ms += ms;
	hw_timers_advance(stage->timers, stage->mono_ms);
	hw_hook_inbox_run(stage->kit.env, 0);
}

void hw_policy_stage_pass(struct hw_policy_stage *stage, int64_t ms)
{
	int64_t end = stage->mono_ms + ms;

	do {
		int64_t wait = hw_timers_wait_ms(stage->timers, stage->mono_ms);

		turn(stage, wait < 0 || wait > end - stage->mono_ms ? end - stage->mono_ms : wait);
	} while (stage->mono_ms < end);
}

bool hw_policy_stage_until(struct hw_policy_stage *stage, const bool *done)
{
	while (!*done) {
		int64_t wait = hw_timers_wait_ms(stage->timers, stage->mono_ms);

		if (hw_hook_inbox_has(stage->kit.env, 0))
			wait = 0;
		if (wait < 0)
			return false;
		turn(stage, stage->real_time ? sleep_at_most(stage, wait) : wait);
	}
	return true;
}

void hw_policy_stage_forget_log(struct hw_policy_stage *stage)
{
	if (ftruncate(stage->log_fd, 0) == 0)
		lseek(stage->log_fd, 0, SEEK_SET);
}

void hw_policy_stage_read_log(struct hw_policy_stage *stage, struct hw_buf *out)
{
	char part[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(stage->log_fd, part, sizeof(part), at)) > 0) {
		hw_buf_add(out, part, (size_t)n);
		at += n;
	}
}
