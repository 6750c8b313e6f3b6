#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/broker.h"

/* Sockets are bound, threads started and hooks given their directories once. */
static const char *const keys[HW_BROKER_FIXED] = {
	"listen", "admin.listen", "workers", "script_path", "plugin_cache", "journal.plugin"};

static void put_value(struct hw_buf *out, const struct hw_conf_global *c, size_t key)
{
	hw_buf_clear(out);
	switch (key) {
	case 0:
		for (size_t i = 0; i < c->n_listen; i++)
			hw_buf_printf(out, "%s%s%s", i ? " " : "", c->listen[i].text,
				c->listen[i].proxy_protocol ? " (PROXY protocol)" : "");
		break;
	case 1:
		hw_buf_puts(out, c->admin.enabled ? c->admin.listen.text : "");
		break;
	case 2:
		hw_buf_u64(out, c->workers);
		break;
	case 3:
		hw_buf_puts(out, c->script_path ? c->script_path : "");
		break;
	case 4:
		hw_buf_puts(out, c->plugin_cache ? c->plugin_cache : "");
		break;
	default:
		hw_buf_puts(out, c->journal.plugin.path ? c->journal.plugin.path : "");
	}
}

int hw_broker_fix(struct hw_broker *b)
{
	struct hw_buf value;

	hw_buf_init(&value);
	for (size_t i = 0; i < HW_COUNT(keys); i++) {
		put_value(&value, b->conf->global, i);
		b->fixed[i] = value.failed
				      ? NULL
				      : hw_str_dup(value.len ? hw_buf_view(&value) : HW_STR(""));
		if (!b->fixed[i]) {
			hw_buf_fini(&value);
			return -ENOMEM;
		}
	}
	hw_buf_fini(&value);
	return 0;
}

void hw_broker_unfix(struct hw_broker *b)
{
	for (size_t i = 0; i < HW_COUNT(keys); i++)
		free(b->fixed[i]);
}

void hw_broker_warn_fixed(const struct hw_broker *b, const struct hw_conf *conf)
{
	struct hw_buf value;

	hw_buf_init(&value);
	for (size_t i = 0; i < HW_COUNT(keys); i++) {
		put_value(&value, conf->global, i);
		if (!value.failed && !hw_str_eq(hw_buf_view(&value), hw_str_of(b->fixed[i])))
			hw_log(b->log, HW_LOG_WARN, "reload", "a changed key needs a restart",
				HW_F_Z("key", keys[i]), HW_F_Z("running", b->fixed[i]),
				HW_F_STR("wanted", hw_buf_view(&value)));
	}
	hw_buf_fini(&value);
}
