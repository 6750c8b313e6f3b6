#include "hook/plugin_json.h"

#include "wire/json.h"

struct scratch {
	char *p;
	size_t left;
};

static char letter(enum hw_json_kind kind)
{
	switch (kind) {
	case HW_JSON_NULL:
		return 'z';
	case HW_JSON_FALSE:
		return 'f';
	case HW_JSON_TRUE:
		return 't';
	case HW_JSON_NUMBER:
		return 'n';
	case HW_JSON_STRING:
		return 's';
	case HW_JSON_ARRAY:
		return 'a';
	case HW_JSON_OBJECT:
		return 'o';
	case HW_JSON_NONE:
		break;
	}
	return '\0';
}

static int put(struct hw_json value, struct scratch *scratch, struct hw_slice *out)
{
	struct hw_str text = value.raw;
	size_t len;

	if (value.kind == HW_JSON_STRING)
		text = hw_json_inside(value);
	if (value.kind != HW_JSON_STRING || !value.escaped) {
		*out = (struct hw_slice){text.p, text.len};
		return 0;
	}
	if (hw_json_copy(value, scratch->p, scratch->left, &len) < 0)
		return -1;
	*out = (struct hw_slice){scratch->p, len};
	scratch->p += len;
	scratch->left -= len;
	return 0;
}

int hw_plugin_json_value(
	struct hw_json value, char *kind, struct hw_slice *out, char *scratch, size_t scratch_size)
{
	struct scratch room = {scratch, scratch ? scratch_size : 0};

	*kind = letter(value.kind);
	return put(value, &room, out);
}

int hw_plugin_json_get(struct hw_slice object, const char *name, char *kind, struct hw_slice *value,
	char *scratch, size_t scratch_size)
{
	struct scratch room = {scratch, scratch ? scratch_size : 0};
	struct hw_json_reader reader;
	struct hw_json key, found;
	int rc;

	hw_json_init(&reader, (struct hw_str){object.p, object.len}, 0);
	if (hw_json_enter(&reader, HW_JSON_OBJECT) < 0)
		return -1;
	for (;;) {
		rc = hw_json_member(&reader, &key);
		if (rc == HW_JSON_END)
			return 1;
		if (rc < 0 || hw_json_value(&reader, &found) < 0)
			return -1;
		if (!hw_json_is(key, hw_str_of(name)))
			continue;
		if (put(found, &room, value) < 0)
			return -1;
		*kind = letter(found.kind);
		return 0;
	}
}

/* The reader is rebuilt at every call: position is how far it has read, 0 before the bracket. */
int hw_plugin_json_next(struct hw_slice container, size_t *position, struct hw_slice *key,
	char *kind, struct hw_slice *value, char *scratch, size_t scratch_size)
{
	struct scratch room = {scratch, scratch ? scratch_size : 0};
	struct hw_json_reader reader;
	struct hw_json name = {0}, found;
	enum hw_json_kind outer;
	int rc = 0;

	hw_json_init(&reader, (struct hw_str){container.p, container.len}, 0);
	outer = hw_json_peek(&reader);
	if ((outer != HW_JSON_OBJECT && outer != HW_JSON_ARRAY) || *position > container.len ||
		hw_json_enter(&reader, outer) < 0)
		return -1;
	if (*position > 0) {
		reader.p = container.p + *position;
		reader.fresh = false;
	}
	rc = outer == HW_JSON_OBJECT ? hw_json_member(&reader, &name) : hw_json_element(&reader);
	if (rc == HW_JSON_END)
		return 1;
	if (rc < 0 || hw_json_value(&reader, &found) < 0)
		return -1;
	*key = (struct hw_slice){NULL, 0};
	if ((outer == HW_JSON_OBJECT && put(name, &room, key) < 0) || put(found, &room, value) < 0)
		return -1;
	*kind = letter(found.kind);
	*position = (size_t)(reader.p - reader.start);
	return 0;
}
