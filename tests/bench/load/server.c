/* Starting and ending the servers. They write to a file: nobody has to empty a pipe while the
 * clients are busy. */
#include "load/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { START_MS = 20000, STOP_MS = 20000, POLL_US = 2000, LOG_BYTES = 65536 };

static struct load_dir to_remove; /* atexit hands nothing over */

static void remove_dir(void)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d = opendir(to_remove.path);

	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", to_remove.path, entry->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(to_remove.path);
}

void load_dir_create(struct load_dir *dir)
{
	snprintf(dir->path, sizeof(dir->path), "/tmp/hookwire-bench-XXXXXX");
	if (!mkdtemp(dir->path))
		load_die("%s: %s", dir->path, strerror(errno));
	to_remove = *dir;
	atexit(remove_dir);
}

void load_begin(struct load_dir *dir, bool smoke)
{
#ifndef NDEBUG
	if (!smoke)
		puts("this is no release build: its figures say nothing");
#endif
	if (!smoke)
		load_pin(LOAD_CLIENT_CPU);
	load_dir_create(dir);
}

void load_dir_write(const struct load_dir *dir, const char *name, struct hw_str text)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir->path, name);
	file = fopen(path, "we");
	if (!file || fwrite(text.p, 1, text.len, file) != text.len || fclose(file) != 0)
		load_die("%s: %s", path, strerror(errno));
}

/* The log so far, zero-terminated. */
static char *read_log(const struct load_server *s)
{
	char *text = calloc(1, LOG_BYTES + 1);
	int fd = open(s->log, O_RDONLY | O_CLOEXEC);

	if (!text || fd < 0 || read(fd, text, LOG_BYTES) < 0)
		load_die("%s: %s", s->log, strerror(errno));
	close(fd);
	return text;
}

/* In the child: it ends with the benchmark, whatever becomes of that. */
static void become(const struct load_server *s, char *const argv[], bool pinned)
{
	int log = open(s->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pinned)
		load_pin(LOAD_SERVER_CPU);
	if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	setenv("GOMAXPROCS", "1", 1); /* of a server in Go: one thread, as everybody has */
	execv(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* False while the output does not say that the server is ready. */
static bool said(struct load_server *s, const char *sign)
{
	char *log = read_log(s), *found = strstr(log, sign);
	bool ready = found != NULL;

	if (ready && s->port == 0) {
		char *end;

		s->port = (int)strtol(found + strlen(sign), &end, 10);
		ready = *end == '\n'; /* else the line has come in part */
		s->port = ready ? s->port : 0;
	}
	free(log);
	return ready;
}

void load_server_start(struct load_server *s, const struct load_dir *dir, const char *name,
	char *const argv[], const char *sign, int port, bool pinned)
{
	uint64_t deadline = load_now_ns() + (uint64_t)START_MS * 1000000;

	*s = (struct load_server){.name = name, .port = port};
	snprintf(s->log, sizeof(s->log), "%s/%s.log", dir->path, name);
	load_dir_write(dir, strrchr(s->log, '/') + 1, HW_STR(""));
	s->pid = fork();
	if (s->pid < 0)
		load_die("fork: %s", strerror(errno));
	if (s->pid == 0)
		become(s, argv, pinned);
	while (!said(s, sign)) {
		if (waitpid(s->pid, NULL, WNOHANG) != 0 || load_now_ns() > deadline)
			load_die("%s did not start:\n%s", name, read_log(s));
		usleep(POLL_US);
	}
}

int load_server_stop(struct load_server *s)
{
	uint64_t deadline = load_now_ns() + (uint64_t)STOP_MS * 1000000;
	int status = 0;

	kill(s->pid, SIGTERM);
	while (waitpid(s->pid, &status, WNOHANG) == 0) {
		if (load_now_ns() > deadline)
			load_die("%s does not end:\n%s", s->name, read_log(s));
		usleep(POLL_US);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM)
		load_die("%s ended by signal %d:\n%s", s->name, WTERMSIG(status), read_log(s));
	s->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

int load_free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		load_die("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

bool load_find_program(const char *name, char out[256])
{
	const char *path = getenv("PATH");
	struct hw_buf all;
	struct hw_str rest;
	bool found = false;

	hw_buf_init(&all);
	hw_buf_printf(&all, "%s:/usr/bin:/usr/sbin", path ? path : "");
	rest = hw_buf_view(&all);
	while (!found && rest.p) {
		struct hw_str dir = hw_str_cut(&rest, ':');

		snprintf(out, 256, "%.*s/%s", HW_STR_ARG(dir), name);
		found = access(out, X_OK) == 0;
	}
	hw_buf_fini(&all);
	return found;
}

void load_built_path(const char *name, char out[256])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		load_die("/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	if ((size_t)snprintf(out, 256, "%s/%s", self, name) >= 256)
		load_die("%s: the path is too long", self);
}
