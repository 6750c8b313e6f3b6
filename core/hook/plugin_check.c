#include "hook/plugin_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
	rc = hw_plugin_open(absolute, &plugin, &err);
	free(absolute);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		return 1;
	}
	print(path, &plugin);
	return fflush(stdout) == 0 ? 0 : 1;
}
