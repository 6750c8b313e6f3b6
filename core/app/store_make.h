/* From the configuration's "journal" to the store behind all journals. */
#pragma once

#include "app/conf.h"
#include "hook/store.h"

/** Control thread, once: another plugin, or another place, is for a restart. With @only_check the
 * settings are looked at and nothing is opened. *@out is NULL when no plugin is named. 0; -ENOMEM;
 * HW_CONF_PARTIAL: it does not open, the report says why. */
HW_MUST_CHECK int hw_store_make(struct hw_hook_env *env, const struct hw_conf *conf,
	bool only_check, struct hw_conf_report *report, struct hw_store **out);
