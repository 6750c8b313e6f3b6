#include <dirent.h>
#include <sys/stat.h>

#include "app/conf.h"

static void add_if_dir(struct hw_buf *out, const char *dir, const char *below)
{
	size_t start = out->len;
	struct stat st;

	hw_buf_printf(out, "%s/%s", dir, below);
	hw_buf_putc(out, '\0');
	if (!out->failed && (stat(out->data + start, &st) != 0 || !S_ISDIR(st.st_mode)))
		out->len = start;
}

/* Debian's lib/TRIPLET, whichever it is. */
static void add_below_lib(struct hw_buf *out, const char *exe_dir)
{
	struct dirent *entry;
	struct hw_buf path;
	DIR *d;

	hw_buf_init(&path);
	hw_buf_printf(&path, "%s/../lib", exe_dir);
	hw_buf_putc(&path, '\0');
	d = path.failed ? NULL : opendir(path.data);
	while (d && (entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		hw_buf_clear(&path);
		hw_buf_printf(&path, "../lib/%s/hookwire/plugins", entry->d_name);
		hw_buf_putc(&path, '\0');
		if (!path.failed)
			add_if_dir(out, exe_dir, path.data);
	}
	if (d)
		closedir(d);
	hw_buf_fini(&path);
}

void hw_conf_default_plugin_path(const char *exe_dir, struct hw_buf *out)
{
	add_if_dir(out, exe_dir, "plugins");
	add_if_dir(out, exe_dir, "../lib/hookwire/plugins");
	add_if_dir(out, exe_dir, "../lib64/hookwire/plugins");
	add_below_lib(out, exe_dir);
}

void hw_conf_default_script_path(const char *exe_dir, struct hw_buf *out)
{
	add_if_dir(out, exe_dir, "scripts/lib");
	add_if_dir(out, exe_dir, "../scripts/lib");
	add_if_dir(out, exe_dir, "../share/hookwire/lib");
}
