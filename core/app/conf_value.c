#include "app/conf_tree.h"

const char *hw_conf_type_name(enum hw_conf_type type)
{
	switch (type) {
	case HW_CONF_NULL:
		return "null";
	case HW_CONF_BOOL:
		return "true or false";
	case HW_CONF_NUMBER:
		return "a number";
	case HW_CONF_STRING:
		return "a string";
	case HW_CONF_ARRAY:
		return "an array";
	case HW_CONF_OBJECT:
		return "an object";
	}
	return "";
}

const struct hw_conf_value *hw_conf_value_get(const struct hw_conf_value *object, struct hw_str key)
{
	if (object->type != HW_CONF_OBJECT)
		return NULL;
	for (const struct hw_conf_value *v = object->first; v; v = v->next)
		if (hw_str_eq(v->key, key))
			return v;
	return NULL;
}

const struct hw_conf_value *hw_conf_value_at(const struct hw_conf_value *array, size_t i)
{
	if (array->type != HW_CONF_ARRAY)
		return NULL;
	for (const struct hw_conf_value *v = array->first; v; v = v->next)
		if (i-- == 0)
			return v;
	return NULL;
}

/* Is @key what @token stands for? RFC 6901: ~1 is a slash, ~0 a tilde. */
static bool token_is(struct hw_str token, struct hw_str key)
{
	size_t k = 0;

	for (size_t i = 0; i < token.len; i++, k++) {
		char c = token.p[i];

		if (c == '~' && i + 1 < token.len &&
			(token.p[i + 1] == '0' || token.p[i + 1] == '1'))
			c = token.p[++i] == '0' ? '~' : '/';
		if (k >= key.len || key.p[k] != c)
			return false;
	}
	return k == key.len;
}

static const struct hw_conf_value *step(const struct hw_conf_value *v, struct hw_str token)
{
	uint64_t i;

	if (v->type == HW_CONF_ARRAY)
		return hw_str_to_u64(token, &i) == 0 ? hw_conf_value_at(v, (size_t)i) : NULL;
	if (v->type != HW_CONF_OBJECT)
		return NULL;
	for (v = v->first; v; v = v->next)
		if (token_is(token, v->key))
			return v;
	return NULL;
}

const struct hw_conf_value *hw_conf_value_locate(
	const struct hw_conf_value *root, struct hw_str path)
{
	const struct hw_conf_value *next;

	if (path.len == 0 || path.p[0] != '/')
		return root;
	path.p++;
	path.len--;
	while (path.p) {
		next = step(root, hw_str_cut(&path, '/'));
		if (!next)
			break;
		root = next;
	}
	return root;
}

bool hw_conf_value_secret(const struct hw_conf_value *value)
{
	if (value->secret)
		return true;
	for (const struct hw_conf_value *v = value->first; v; v = v->next)
		if (hw_conf_value_secret(v)) /* as deep as the reader allows */
			return true;
	return false;
}

static void print_children(const struct hw_conf_value *value, struct hw_buf *out)
{
	for (const struct hw_conf_value *v = value->first; v; v = v->next) {
		if (v != value->first)
			hw_buf_putc(out, ',');
		if (v->key.p) {
			hw_buf_json(out, v->key);
			hw_buf_putc(out, ':');
		}
		hw_conf_value_print(v, out);
	}
}

void hw_conf_value_print(const struct hw_conf_value *value, struct hw_buf *out)
{
	switch (value->type) {
	case HW_CONF_NULL:
		hw_buf_puts(out, "null");
		break;
	case HW_CONF_BOOL:
		hw_buf_puts(out, value->boolean ? "true" : "false");
		break;
	case HW_CONF_NUMBER:
		hw_buf_str(out, value->text);
		break;
	case HW_CONF_STRING:
		hw_buf_json(out, value->text);
		break;
	case HW_CONF_ARRAY:
		hw_buf_putc(out, '[');
		print_children(value, out);
		hw_buf_putc(out, ']');
		break;
	case HW_CONF_OBJECT:
		hw_buf_putc(out, '{');
		print_children(value, out);
		hw_buf_putc(out, '}');
		break;
	}
}
