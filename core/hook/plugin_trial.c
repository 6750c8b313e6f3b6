#include "hook/plugin_trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define TRIAL_MS 5000
#define LOOK_EVERY_MS 5
#define LINE_MAX_BYTES 8192 /* a path and what a plugin says of itself */

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

static int spawn(const char *self_exe, const char *path, int stdout_fd, int stderr_fd, pid_t *pid)
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
		rc = posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
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

/* false: nothing came. There is no end of it to be seen, as the other end is open here too. */
static bool hear(int fd, int wait_ms, struct said *said)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char chunk[512];
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return false;
	n = read(fd, chunk, sizeof(chunk));
	if (n > 0)
		keep(said, chunk, (size_t)n);
	return n > 0;
}

/* It stays a zombie, so that its process group cannot become somebody else's. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return errno != EINTR;
	return info.si_pid == pid;
}

/* Its end is what counts, not that of its stderr: what its constructors have started may hold that
 * open. false: it had to be killed */
static bool wait_for(pid_t pid, int stderr_fd, int64_t deadline_ms, struct said *said, int *status)
{
	bool ended;

	while (!(ended = has_ended(pid)) && hw_clock_mono_ms(&hw_clock_system) < deadline_ms)
		hear(stderr_fd, LOOK_EVERY_MS, said);
	kill(-pid, SIGKILL); /* with all that it has started */
	while (said->len + 1 < sizeof(said->text) && hear(stderr_fd, 0, said))
		;
	while (waitpid(pid, status, 0) < 0) {
		if (errno == EINTR)
			continue;
		*status = -1; /* somebody else has waited for it */
		break;
	}
	return ended;
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

/* Whether the last line on its stdout says what the plugin is: whoever ends before that, with
 * whatever status, would end the broker too. */
static bool says_what_it_is(int stdout_fd, const char *path)
{
	char text[LINE_MAX_BYTES + 1];
	size_t path_len = strlen(path);
	off_t size = lseek(stdout_fd, 0, SEEK_END);
	off_t from = size > LINE_MAX_BYTES ? size - LINE_MAX_BYTES : 0;
	ssize_t n = pread(stdout_fd, text, LINE_MAX_BYTES, from);
	const char *line;

	if (n <= 0 || text[n - 1] != '\n')
		return false;
	text[n - 1] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return strncmp(line, path, path_len) == 0 && line[path_len] == ':';
}

static int judge(int status, int stdout_fd, const char *path, struct said *said, struct hw_err *err)
{
	const char *why;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return says_what_it_is(stdout_fd, path)
			       ? 0
			       : hw_err_set(err, -EINVAL,
					 "opening it ends the process: do its constructors exit?");
	if (status != -1 && WIFSIGNALED(status))
		return hw_err_set(err, -EINVAL,
			"opening it ends the process with signal %d (%s): %s", WTERMSIG(status),
			strsignal(WTERMSIG(status)), "it is damaged, or its constructors crash");
	why = first_line(said, path);
	return hw_err_set(err, -EINVAL, "%s", why[0] ? why : "the trial in a child process failed");
}

static int try(const char *self_exe, const char *path, const int pipe_fds[2], int stdout_fd,
	struct hw_err *err)
{
	int64_t deadline_ms = hw_clock_mono_ms(&hw_clock_system) + TRIAL_MS;
	struct said said = {.len = 0};
	int status, rc;
	pid_t pid;

	rc = spawn(self_exe, path, stdout_fd, pipe_fds[1], &pid);
	if (rc < 0)
		return hw_err_set(err, rc, "cannot try the plugin in a child process: %s: %s",
			self_exe, strerror(-rc));
	if (!wait_for(pid, pipe_fds[0], deadline_ms, &said, &status))
		return hw_err_set(err, -EINVAL,
			"opening it took longer than %d ms: do its constructors wait?", TRIAL_MS);
	return judge(status, stdout_fd, path, &said, err);
}

int hw_plugin_trial(const char *self_exe, const char *path, struct hw_err *err)
{
	int pipe_fds[2] = {-1, -1}, stdout_fd = memfd_create("hookwire-trial", MFD_CLOEXEC), rc;

	if (stdout_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		rc = -errno;
		hw_err_set(err, rc, "cannot try the plugin in a child process: %s", strerror(-rc));
	} else {
		rc = try(self_exe, path, pipe_fds, stdout_fd, err);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
	if (stdout_fd >= 0)
		close(stdout_fd);
	return rc;
}
