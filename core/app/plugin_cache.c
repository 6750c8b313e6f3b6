#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "app/broker.h"

static bool may_exec(const char *dir)
{
	struct statvfs fs;

	return statvfs(dir, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

int hw_plugin_cache_open(const char *given, char *out, size_t size, bool *made)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *const parents[] = {"/run", runtime ? runtime : "/tmp", "/tmp", "/var/tmp"};

	*made = false;
	if (given) {
		if (mkdir(given, 0700) && errno != EEXIST)
			return -errno;
		return snprintf(out, size, "%s", given) < (int)size ? 0 : -ENAMETOOLONG;
	}
	for (size_t i = 0; i < HW_COUNT(parents); i++) {
		if (!may_exec(parents[i]) ||
			snprintf(out, size, "%s/hookwire-XXXXXX", parents[i]) >= (int)size)
			continue;
		if (mkdtemp(out)) {
			*made = true;
			return 0;
		}
	}
	return -EACCES;
}

void hw_plugin_cache_remove(const char *path)
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
