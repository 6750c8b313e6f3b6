#include "app/plugin_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/str.h"

#define PREFIX "hookwire-plugins-"
#define TEMPLATE PREFIX "XXXXXX"
#define TRIES 3 /* another process that cleans up may be quicker than our lock */

static bool may_exec(const char *dir)
{
	struct statvfs fs;

	return statvfs(dir, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

/* The descriptor that holds the lock; -EWOULDBLOCK: somebody else does; -ENOENT: it has just been
 * removed; another negative errno: it is none of ours, or cannot be locked. */
static int lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	else if (st.st_uid != geteuid())
		rc = -EPERM;
	else if (st.st_nlink == 0)
		rc = -ENOENT;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

/* What nobody holds a lock on was left by a process that could not remove it. */
static void remove_left(const char *parent)
{
	DIR *dir = opendir(parent);
	struct dirent *entry;
	char path[512];

	while (dir && (entry = readdir(dir))) {
		int fd;

		if (strlen(entry->d_name) != strlen(TEMPLATE) ||
			strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name) >=
				(int)sizeof(path))
			continue;
		fd = lock(path);
		if (fd < 0)
			continue;
		remove_dir(path);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

static int make(const char *parent, struct hw_plugin_cache *out)
{
	for (int tries = 0; tries < TRIES; tries++) {
		if (snprintf(out->path, sizeof(out->path), "%s/" TEMPLATE, parent) >=
			(int)sizeof(out->path)) {
			out->path[0] = '\0';
			return -ENAMETOOLONG;
		}
		if (!mkdtemp(out->path)) {
			out->path[0] = '\0';
			return -errno;
		}
		out->lock = lock(out->path);
		if (out->lock != -EWOULDBLOCK && out->lock != -ENOENT)
			return 0;
	}
	out->path[0] = '\0';
	return -EBUSY;
}

int hw_plugin_cache_open(const char *parent, struct hw_plugin_cache *out)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *const parents[] = {"/run", runtime ? runtime : "/tmp", "/tmp", "/var/tmp"};

	if (parent) {
		if (mkdir(parent, 0700) && errno != EEXIST)
			return -errno;
		remove_left(parent);
		return make(parent, out);
	}
	for (size_t i = 0; i < HW_COUNT(parents); i++) {
		if (!may_exec(parents[i]) || make(parents[i], out))
			continue;
		remove_left(parents[i]);
		return 0;
	}
	return -EACCES;
}

void hw_plugin_cache_close(struct hw_plugin_cache *cache)
{
	if (!cache->path[0])
		return;
	remove_dir(cache->path);
	if (cache->lock >= 0)
		close(cache->lock);
	cache->path[0] = '\0';
}
