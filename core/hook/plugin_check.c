#include "hook/plugin_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook/plugin_image.h"
#include "hook/plugin_open.h"

static void print(const char *path, const struct hw_plugin *plugin)
{
	const struct {
		const char *name;
		bool has;
	} hooks[] = {
		{"authenticate", plugin->authenticate},
		{"authorize", plugin->authorize},
		{"transform", plugin->transform},
		{"filter", plugin->filter},
		{"redact", plugin->redact},
		{"lifecycle", plugin->lifecycle},
	};

	printf("%s: %s %s, plugin interface %u.%u, hooks:", path, plugin->name, plugin->version,
		plugin->major, plugin->minor);
	for (size_t i = 0; i < HW_COUNT(hooks); i++) {
		if (hooks[i].has)
			printf(" %s", hooks[i].name);
	}
	putchar('\n');
}

/* A file that lacks its end would end us in dlopen with nothing said. */
static int check_image(const char *path, struct hw_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat file;
	void *image;

	if (fd < 0 || fstat(fd, &file)) {
		rc = hw_err_set(err, -errno, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	image = file.st_size ? mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0)
			     : MAP_FAILED;
	close(fd);
	if (image == MAP_FAILED)
		return hw_err_set(err, -EINVAL, "it is empty, or no file");
	rc = hw_plugin_image_check((struct hw_str){image, (size_t)file.st_size}, err);
	munmap(image, (size_t)file.st_size);
	return rc;
}

int hw_plugin_check(const char *path)
{
	struct rlimit none = {0, 0};
	struct hw_plugin plugin;
	struct hw_err err;
	char *absolute;
	int rc;

	setrlimit(RLIMIT_CORE, &none);
	alarm(10);
	/* dlopen would look for a name without "/" in the system's libraries */
	absolute = realpath(path, NULL);
	if (!absolute) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	rc = check_image(absolute, &err);
	if (rc == 0)
		rc = hw_plugin_open(absolute, &plugin, &err);
	free(absolute);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		return 1;
	}
	print(path, &plugin);
	return fflush(stdout) == 0 ? 0 : 1;
}
