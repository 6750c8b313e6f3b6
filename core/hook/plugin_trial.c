#include "hook/plugin_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define TRIAL_MS 5000
#define LOOK_EVERY_MS 5

/* What the child said on stderr: its beginning is kept, the rest read and dropped. */
struct said {
	char text[384];
	size_t len;
};

/* The child must not inherit what this thread blocks, nor be hit by signals to our process group.
 */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attributes, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attributes, &all);
	if (rc == 0)
		rc = posix_spawnattr_setpgroup(attributes, 0);
	if (rc == 0)
		rc = posix_spawnattr_setflags(attributes,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return rc;
}

static int spawn(const char *self_exe, const char *path, int stderr_fd, pid_t *pid)
{
	char *argv[] = {(char *)self_exe, "check", "--plugin", (char *)path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return -rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -rc;
	}
	rc = set_attributes(&attributes);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(
			&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(
			&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO);
	if (rc == 0)
		rc = posix_spawn(pid, self_exe, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static void keep(struct said *said, const char *p, size_t n)
{
	size_t room = sizeof(said->text) - 1 - said->len;

	n = n < room ? n : room;
	memcpy(said->text + said->len, p, n);
	said->len += n;
}

/* Until the child closes its stderr (it ended, most likely) or the time is over. */
static void listen_to(int fd, int64_t deadline_ms, struct said *said)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left_ms = deadline_ms - hw_clock_mono_ms(&hw_clock_system);
		char chunk[512];
		ssize_t n;

		if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR))
			return;
		n = p.revents ? read(fd, chunk, sizeof(chunk)) : -1;
		if (n == 0 || (n < 0 && p.revents && errno != EINTR && errno != EAGAIN))
			return;
		if (n > 0)
			keep(said, chunk, (size_t)n);
	}
}

/* false: it had to be killed */
static bool wait_for(pid_t pid, int64_t deadline_ms, int *status)
{
	for (;;) {
		pid_t done = waitpid(pid, status, WNOHANG);

		if (done == pid)
			return true;
		if (done < 0 && errno != EINTR) { /* somebody else has waited for it */
			*status = -1;
			return true;
		}
		if (hw_clock_mono_ms(&hw_clock_system) >= deadline_ms)
			break;
		poll(NULL, 0, LOOK_EVERY_MS);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return false;
}

/* Its first line, without the path that every line of ours begins with: the caller has a better
 * name for it. */
static const char *first_line(struct said *said, const char *path)
{
	size_t path_len = strlen(path);
	char *line_end;

	said->text[said->len] = '\0';
	line_end = strchr(said->text, '\n');
	if (line_end)
		*line_end = '\0';
	if (strncmp(said->text, path, path_len) == 0 && said->text[path_len] == ':' &&
		said->text[path_len + 1] == ' ')
		return said->text + path_len + 2;
	return said->text;
}

static int judge(int status, const char *path, struct said *said, struct hw_err *err)
{
	const char *why;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (status != -1 && WIFSIGNALED(status))
		return hw_err_set(err, -EINVAL,
			"opening it ends the process with signal %d (%s): %s", WTERMSIG(status),
			strsignal(WTERMSIG(status)), "it is damaged, or its constructors crash");
	why = first_line(said, path);
	return hw_err_set(err, -EINVAL, "%s", why[0] ? why : "the trial in a child process failed");
}

int hw_plugin_trial(const char *self_exe, const char *path, struct hw_err *err)
{
	int64_t deadline_ms = hw_clock_mono_ms(&hw_clock_system) + TRIAL_MS;
	struct said said = {.len = 0};
	int pipe_fds[2], status, rc;
	pid_t pid;
	bool in_time;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		rc = -errno;
		return hw_err_set(
			err, rc, "cannot try the plugin in a child process: %s", strerror(-rc));
	}
	rc = spawn(self_exe, path, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (rc < 0) {
		close(pipe_fds[0]);
		return hw_err_set(err, rc, "cannot try the plugin in a child process: %s: %s",
			self_exe, strerror(-rc));
	}
	listen_to(pipe_fds[0], deadline_ms, &said);
	in_time = wait_for(pid, deadline_ms, &status);
	close(pipe_fds[0]);
	if (!in_time)
		return hw_err_set(err, -EINVAL,
			"opening it took longer than %d ms: do its constructors wait?", TRIAL_MS);
	return judge(status, path, &said, err);
}
