#include "hook/dict.h"

#include <string.h>

#include "hook/plugin_host.h"

/* A bench's tenant is the name of its space: a plugin reaches no other. */
static struct hw_str space_of(const struct hw_plugin_call *c)
{
	return hw_str_of(c->seat->space);
}

static struct hw_dict *dict_of(const struct hw_plugin_call *c)
{
	return c->seat->host->env->dict;
}

static int64_t now_of(const struct hw_plugin_call *c)
{
	return hw_clock_mono_ms(c->seat->host->env->clock);
}

static struct hw_dict_value bytes(struct hw_slice s)
{
	return (struct hw_dict_value){HW_DICT_BYTES, hw_plugin_str(s)};
}

int hw_plugin_dict_get(
	struct hw_call *call, struct hw_slice key, char *value, size_t size, size_t *len)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);
	enum hw_dict_kind kind;
	struct hw_buf text;
	int rc;

	hw_buf_init(&text);
	rc = hw_dict_get(dict_of(c), space_of(c), hw_plugin_str(key), now_of(c), &kind, &text);
	if (rc == HW_DICT_OK) {
		*len = text.len;
		if (text.len > size)
			rc = HW_DICT_TOO_LONG;
		else if (text.len > 0)
			memcpy(value, text.data, text.len);
	}
	hw_buf_fini(&text);
	return rc;
}

int hw_plugin_dict_set(
	struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_dict_value v = bytes(value);

	return (c->seat->trial ? hw_dict_would_set : hw_dict_set)(
		dict_of(c), space_of(c), hw_plugin_str(key), &v, ttl_ms, now_of(c));
}

int hw_plugin_dict_add(
	struct hw_call *call, struct hw_slice key, struct hw_slice value, int64_t ttl_ms)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_dict_value v = bytes(value);

	return (c->seat->trial ? hw_dict_would_add : hw_dict_add)(
		dict_of(c), space_of(c), hw_plugin_str(key), &v, ttl_ms, now_of(c));
}

int hw_plugin_dict_incr(
	struct hw_call *call, struct hw_slice key, int64_t add, int64_t ttl_ms, int64_t *value)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);

	return (c->seat->trial ? hw_dict_would_incr : hw_dict_incr)(
		dict_of(c), space_of(c), hw_plugin_str(key), add, ttl_ms, now_of(c), value);
}

int hw_plugin_dict_cas(struct hw_call *call, struct hw_slice key, struct hw_slice expected,
	struct hw_slice value, int64_t ttl_ms)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_dict_value is = bytes(expected), v = bytes(value);

	return (c->seat->trial ? hw_dict_would_cas : hw_dict_cas)(
		dict_of(c), space_of(c), hw_plugin_str(key), &is, true, &v, ttl_ms, now_of(c));
}

int hw_plugin_dict_delete(struct hw_call *call, struct hw_slice key)
{
	const struct hw_plugin_call *c = hw_plugin_call_of(call);

	return (c->seat->trial ? hw_dict_would_delete : hw_dict_delete)(
		dict_of(c), space_of(c), hw_plugin_str(key), now_of(c));
}
