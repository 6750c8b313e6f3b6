/* Preloaded into a broker by tests of the durable journal: files in $HOOKWIRE_SYNC_GATE say what
 * becomes of a sync of a database's write-ahead log. hold  it waits while that file is there fail
 * it fails with EIO `syncs` there gets a byte for each that was done. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_there(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", getenv("HOOKWIRE_SYNC_GATE"), name);
	return access(path, F_OK) == 0;
}

static void note(void)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/syncs", getenv("HOOKWIRE_SYNC_GATE"));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, "s", 1) == 1)
		close(fd);
}

static int is_log(int fd)
{
	char link[64], path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n > 4 && memcmp(path + n - 4, "-wal", 4) == 0;
}

static int gate(int fd, const char *name)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	if (!getenv("HOOKWIRE_SYNC_GATE") || !is_log(fd))
		return real(fd);
	while (is_there("hold"))
		usleep(2000);
	if (is_there("fail")) {
		errno = EIO;
		return -1;
	}
	if (real(fd))
		return -1;
	note();
	return 0;
}

int fdatasync(int fd)
{
	return gate(fd, "fdatasync");
}

int fsync(int fd)
{
	return gate(fd, "fsync");
}
