#include "hook/plugin_open.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define NAME_MAX_BYTES 32

/* Up to here a table of any minor version must reach. */
#define SIZE_MIN offsetof(struct hw_plugin, validate)

static bool name_valid(const char *name)
{
	size_t len = name ? strnlen(name, NAME_MAX_BYTES + 1) : 0;

	if (len == 0 || len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

static int check_table(const struct hw_plugin *table, struct hw_err *err)
{
	if (!table)
		return hw_err_set(err, -EINVAL, "%s() returns no table", HW_PLUGIN_SYMBOL);
	if (table->magic != HW_PLUGIN_MAGIC)
		return hw_err_set(err, -EINVAL,
			"the table's magic is 0x%08x, not 0x%08x: set it to HW_PLUGIN_MAGIC",
			table->magic, HW_PLUGIN_MAGIC);
	if (table->major != HW_PLUGIN_MAJOR || table->minor > HW_PLUGIN_MINOR)
		return hw_err_set(err, -EINVAL,
			"made for plugin interface %u.%u, and this broker has %u.%u: %s",
			table->major, table->minor, HW_PLUGIN_MAJOR, HW_PLUGIN_MINOR,
			table->major > HW_PLUGIN_MAJOR || table->major == HW_PLUGIN_MAJOR
				? "build it against this broker's hookwire/plugin.h, or update the "
				  "broker"
				: "build it again against this broker's hookwire/plugin.h");
	if (table->size < SIZE_MIN)
		return hw_err_set(err, -EINVAL,
			"the table's size is %u, too small: set it to sizeof(struct hw_plugin)",
			table->size);
	if (!name_valid(table->name) || !table->version)
		return hw_err_set(err, -EINVAL,
			"the table needs a name (1 to %d of a-z 0-9 _ -) and a version",
			NAME_MAX_BYTES);
	return 0;
}

static hw_plugin_entry_fn *find_entry(void *handle)
{
	void *symbol = dlsym(handle, HW_PLUGIN_SYMBOL);
	hw_plugin_entry_fn *entry;

	/* POSIX promises what ISO C does not: that a function's address fits here */
	memcpy(&entry, &symbol, sizeof(entry));
	return entry;
}

/* Without the path, which is often that of a private copy: the caller names the file as a person
 * knows it. */
static int say_why(const char *path, const char *why, struct hw_err *err)
{
	size_t len = strlen(path);
	bool noexec = why && strstr(why, "failed to map segment");

	if (why && strncmp(why, path, len) == 0 && why[len] == ':' && why[len + 1] == ' ')
		why += len + 2;
	return hw_err_set(err, -EINVAL, "%s%s", why ? why : "cannot be opened",
		noexec ? ": is the plugin cache on a file system mounted noexec?" : "");
}

int hw_plugin_open(const char *path, struct hw_plugin *out, struct hw_err *err)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct hw_plugin *table;
	hw_plugin_entry_fn *entry;
	size_t size;
	int rc;

	if (!handle)
		return say_why(path, dlerror(), err);
	entry = find_entry(handle);
	if (!entry)
		return hw_err_set(err, -EINVAL,
			"exports no %s(): end the plugin with HW_PLUGIN_EXPORT(&table)",
			HW_PLUGIN_SYMBOL);
	table = entry();
	rc = check_table(table, err);
	if (rc < 0)
		return rc;
	/* a size inside of a pointer would leave half of it */
	size = table->size < sizeof(*out) ? table->size / sizeof(void *) * sizeof(void *)
					  : sizeof(*out);
	memset(out, 0, sizeof(*out));
	memcpy(out, table, size);
	return 0;
}
