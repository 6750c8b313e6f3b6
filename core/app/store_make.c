#include "app/store_make.h"

#include <errno.h>

int hw_store_make(struct hw_hook_env *env, const struct hw_conf *conf, bool only_check,
	struct hw_conf_report *report, struct hw_store **out)
{
	const struct hw_conf_hook *plugin = &conf->global->journal.plugin;
	struct hw_hook_spec spec = {.name = plugin->name,
		.kind = HW_HOOK_PLUGIN,
		.path = plugin->path,
		.config_file = conf->units[0].name,
		.config = plugin->config,
		.global = true,
		.only_check = only_check};
	struct hw_hook_problem problem = {0};
	struct hw_hook_entry *entry;
	struct hw_err err = {""};
	int r;

	*out = NULL;
	if (!plugin->path)
		return 0;
	r = hw_hook_entry_load(env, &spec, NULL, 0, &entry, &problem);
	if (!r) {
		r = hw_store_open(entry, out, &err);
		hw_hook_entry_unref(&entry);
	}
	if (!r || r == -ENOMEM)
		return r;
	hw_conf_report_add(report, conf->units[0].name, HW_CONF_ERROR,
		problem.path[0] ? hw_conf_hook_locate(plugin, hw_str_of(problem.path))
				: plugin->source_pos,
		"the journal does not open: %s", err.text[0] ? err.text : problem.text);
	return HW_CONF_PARTIAL;
}
