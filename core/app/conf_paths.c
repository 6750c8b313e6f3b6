#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "app/conf.h"

static bool add_if_dir(struct hw_buf *out, const char *dir, const char *below)
{
	size_t start = out->len;
	struct stat st;

	hw_buf_printf(out, "%s/%s", dir, below);
	hw_buf_putc(out, '\0');
	if (out->failed)
		return false;
	if (stat(out->data + start, &st) == 0 && S_ISDIR(st.st_mode))
		return true;
	out->len = start;
	return false;
}

void hw_conf_default_plugin_path(const char *exe_dir, struct hw_buf *out)
{
	struct hw_buf pattern;
	glob_t found = {0};

	add_if_dir(out, exe_dir, "plugins");
#ifdef HW_LIBDIR /* relative to the prefix, as it was installed: lib/x86_64-linux-gnu */
	if (add_if_dir(out, exe_dir, "../" HW_LIBDIR "/hookwire/plugins"))
		return;
#endif
	add_if_dir(out, exe_dir, "../lib/hookwire/plugins");
	add_if_dir(out, exe_dir, "../lib64/hookwire/plugins");
	hw_buf_init(&pattern);
	for (const char *p = exe_dir; *p; p++) {
		if (strchr("*?[\\", *p))
			hw_buf_putc(&pattern, '\\');
		hw_buf_putc(&pattern, *p);
	}
	hw_buf_puts(&pattern, "/../lib/*/hookwire/plugins"); /* Debian: lib/TRIPLET */
	hw_buf_putc(&pattern, '\0');
	if (!pattern.failed && glob(pattern.data, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			hw_buf_add(out, found.gl_pathv[i], strlen(found.gl_pathv[i]) + 1);
	globfree(&found);
	hw_buf_fini(&pattern);
}

void hw_conf_default_script_path(const char *exe_dir, struct hw_buf *out)
{
	add_if_dir(out, exe_dir, "scripts/lib");
	add_if_dir(out, exe_dir, "../scripts/lib");
	add_if_dir(out, exe_dir, "../share/hookwire/lib");
}
