#include "app/policy_stage.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/conf.h"
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

int hw_policy_stage_open(struct hw_policy_stage *stage)
{
	int rc;

	*stage = (struct hw_policy_stage){.mono_ms = MONO_MS, .wall_ms = HW_POLICY_NOW_MS};
	stage->clock = (struct hw_clock){mono_ms, wall_ms, stage};
	stage->timers = hw_timers_create(stage->mono_ms);
	stage->poller = (struct hw_poller){&stage->clock, stage->timers, watch};
	stage->log_fd = memfd_create("hookwire-policy-log", MFD_CLOEXEC);
	rc = stage->log_fd < 0 ? -errno : stage->timers ? find_paths(stage) : -ENOMEM;
	if (rc < 0)
		return rc;
	rc = hw_hook_kit_open(&stage->kit, stage->log_fd, HW_LOG_INFO, &stage->clock,
		stage->script_path.len > 0 ? stage->script_path.data : NULL);
	if (rc == 0)
		rc = hw_watchdog_enter_thread(stage->kit.watchdog);
	stage->entered = rc == 0;
	if (rc == 0)
		rc = hw_hook_env_join(stage->kit.env, 0, &stage->poller);
	if (rc == 0)
		hw_http_client_stub(
			hw_hook_env_io(stage->kit.env, 0)->http, hw_policy_stub_answer, stage);
	return rc;
}

void hw_policy_stage_close(struct hw_policy_stage *stage)
{
	if (stage->kit.env)
		hw_hook_env_part(stage->kit.env, 0);
	if (stage->kit.env)
		hw_hook_env_reap(stage->kit.env);
	if (stage->entered)
		hw_watchdog_leave_thread(stage->kit.watchdog);
	hw_hook_kit_close(&stage->kit);
	hw_timers_destroy(&stage->timers);
	if (stage->log_fd >= 0)
		close(stage->log_fd);
	hw_buf_fini(&stage->plugin_path);
	hw_buf_fini(&stage->script_path);
	hw_buf_fini(&stage->requests);
	hw_buf_fini(&stage->unmatched);
}

static void turn(struct hw_policy_stage *stage, int64_t ms)
{
	stage->mono_ms += ms;
	stage->wall_ms += ms;
	hw_timers_advance(stage->timers, stage->mono_ms);
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

		if (wait < 0)
			return false;
		turn(stage, wait);
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
