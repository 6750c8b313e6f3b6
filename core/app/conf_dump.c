#include "app/conf_schema.h"

static const char *type_of(const struct hw_conf_key *k)
{
	switch (k->kind) {
	case HW_CONF_KEY_BOOL:
		return "boolean";
	case HW_CONF_KEY_U32:
	case HW_CONF_KEY_U64:
		return "integer";
	case HW_CONF_KEY_PATH:
	case HW_CONF_KEY_WORD:
		return "string";
	case HW_CONF_KEY_OBJECT:
		return "object";
	case HW_CONF_KEY_OTHER:
		return hw_str_eq(hw_str_of(k->shape), HW_STR("map")) ? "object" : k->shape;
	case HW_CONF_KEY_LATER:
		return "later";
	case HW_CONF_KEY_IGNORED:
		return "any";
	}
	return "";
}

static void dump_key(struct hw_buf *out, const struct hw_conf_key *k, struct hw_str path)
{
	hw_buf_puts(out, "{\"path\":");
	hw_buf_json(out, path);
	hw_buf_printf(out, ",\"type\":\"%s\",\"nullable\":%s", type_of(k),
		k->nullable ? "true" : "false");
	if (k->kind == HW_CONF_KEY_BOOL)
		hw_buf_printf(out, ",\"default\":%s", k->initial ? "true" : "false");
	else if (k->kind == HW_CONF_KEY_WORD)
		hw_buf_printf(out, ",\"default\":\"%s\"", k->words[k->initial]);
	else if (k->kind == HW_CONF_KEY_OTHER && k->text)
		hw_buf_printf(out, ",\"default\":%s", k->text);
	if (k->kind == HW_CONF_KEY_U32 || k->kind == HW_CONF_KEY_U64) {
		hw_buf_printf(out, ",\"minimum\":%llu,\"maximum\":%llu", (unsigned long long)k->min,
			(unsigned long long)k->max);
		if (k->initial >= k->min) /* else: what another key says is the default */
			hw_buf_printf(out, ",\"default\":%llu", (unsigned long long)k->initial);
	}
	if (k->words) {
		for (size_t i = 0; k->words[i]; i++)
			hw_buf_printf(out, "%s\"%s\"", i == 0 ? ",\"enum\":[" : ",", k->words[i]);
		hw_buf_putc(out, ']');
	}
	hw_buf_puts(out, "}\n");
}

static void dump(struct hw_buf *out, const struct hw_conf_keys *keys, struct hw_buf *path)
{
	for (size_t i = 0; i < keys->n_keys; i++) {
		const struct hw_conf_key *k = &keys->keys[i];
		size_t len = path->len;

		hw_buf_printf(path, "/%s", k->name);
		dump_key(out, k, hw_buf_view(path));
		if (k->members) {
			if (k->shape) /* of each item of an array, or each member of a map */
				hw_buf_puts(path, "/*");
			dump(out, k->members, path);
		}
		path->len = len;
	}
}

void hw_conf_dump_keys(struct hw_buf *out)
{
	struct hw_buf path;

	hw_buf_init(&path);
	dump(out, &hw_conf_keys_global, &path);
	hw_buf_fini(&path);
}
