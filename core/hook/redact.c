#include "hook/redact.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "wire/json.h"

/* ---- rules ---- */

static bool is_root(struct hw_str name, const char *const *roots)
{
	for (; *roots; roots++)
		if (hw_str_eq(name, hw_str_of(*roots)))
			return true;
	return false;
}

int hw_redact_add(
	struct hw_redact *redact, struct hw_str path, const char *const *roots, struct hw_err *err)
{
	struct hw_redact_rule *rule = &redact->rules[redact->n_rules];
	struct hw_str rest;

	if (redact->n_rules == HW_REDACT_RULES_MAX)
		return hw_err_set(err, -EINVAL, "more than %d are named", HW_REDACT_RULES_MAX);
	if (path.len == 0 || path.len > HW_REDACT_PATH_MAX)
		return hw_err_set(err, -EINVAL, "a path has 1 to %d bytes", HW_REDACT_PATH_MAX);
	memset(rule, 0, sizeof(*rule));
	memcpy(rule->text, path.p, path.len);
	rest = (struct hw_str){rule->text, path.len};
	while (rest.p && rule->n_names < HW_REDACT_DEPTH_MAX) {
		struct hw_str name = hw_str_cut(&rest, '.');

		if (name.len == 0)
			return hw_err_set(err, -EINVAL, "a name is missing");
		rule->names[rule->n_names++] = name;
	}
	if (rest.p)
		return hw_err_set(err, -EINVAL, "a path has at most %d names", HW_REDACT_DEPTH_MAX);
	if (!is_root(rule->names[0], roots))
		return hw_err_set(
			err, -EINVAL, "a line has no \"%.*s\"", HW_STR_ARG(rule->names[0]));
	redact->n_rules++;
	return 0;
}

bool hw_redact_takes(const struct hw_redact *redact, const char *root)
{
	for (size_t i = 0; i < redact->n_rules; i++)
		if (redact->rules[i].n_names == 1 &&
			hw_str_eq(redact->rules[i].names[0], hw_str_of(root)))
			return true;
	return false;
}

/* ---- secrets by name and by looks ---- */

/* What is called so is never a thing to be kept: client_secret, Client-Secret, clientSecret. */
static bool is_secret_name(struct hw_json key)
{
	static const char *const names[] = {"token", "accesstoken", "refreshtoken", "idtoken",
		"secret", "clientsecret", "password", "passwd", "authorization", "apikey",
		"privatekey", "cookie"};
	char name[32];
	size_t len, n = 0;

	if (hw_json_copy(key, name, sizeof(name) - 1, &len) != 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] != '_' && name[i] != '-')
			name[n++] = name[i];
	name[n] = '\0';
	for (size_t i = 0; i < HW_COUNT(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static size_t base64url_len(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
				  (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '_'))
		p++;
	return (size_t)(p - start);
}

/* RFC 7515, section 7.1: the header is an object, whose first bytes are {" in base64url, and two
 * dots follow at least. */
bool hw_redact_is_token(struct hw_str text)
{
	const char *p = text.p, *end = text.p + text.len;

	while (text.len > 0 && (p = memmem(p, (size_t)(end - p), "eyJ", 3))) {
		const char *dot = p + base64url_len(p, end);

		if (dot < end && *dot == '.') {
			dot += 1 + base64url_len(dot + 1, end);
			if (dot < end && *dot == '.')
				return true;
		}
		p += 3;
	}
	return false;
}

/* ---- the copy ---- */

struct walk {
	const struct hw_redact *redact;
	struct hw_json_reader r;
	struct hw_buf *out, *paths;
	struct hw_buf pointer; /* of the value at hand */
	struct hw_buf scratch;
};

static int copy_value(struct walk *w, uint32_t active, unsigned depth);

static void add_pointer_name(struct hw_buf *pointer, struct hw_str name)
{
	hw_buf_putc(pointer, '/');
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == '~' || name.p[i] == '/')
			hw_buf_puts(pointer, name.p[i] == '~' ? "~0" : "~1");
		else
			hw_buf_putc(pointer, name.p[i]);
	}
}

static void take_out(struct walk *w)
{
	hw_buf_puts(w->out, "null");
	if (w->paths->len > 0)
		hw_buf_putc(w->paths, ',');
	hw_buf_json(w->paths, hw_buf_view(&w->pointer));
}

/* The rules of @active whose name at @depth fits. */
static uint32_t narrow(const struct walk *w, uint32_t active, unsigned depth, struct hw_json key)
{
	uint32_t left = 0;

	for (size_t i = 0; i < w->redact->n_rules; i++) {
		const struct hw_redact_rule *rule = &w->redact->rules[i];

		if ((active & (1u << i)) && rule->n_names > depth &&
			(hw_str_eq(rule->names[depth], HW_STR("*")) ||
				(key.kind == HW_JSON_STRING &&
					hw_json_is(key, rule->names[depth]))))
			left |= 1u << i;
	}
	return left;
}

/* A rule that ends here. */
static bool ends(const struct walk *w, uint32_t active, unsigned depth)
{
	for (size_t i = 0; i < w->redact->n_rules; i++)
		if ((active & (1u << i)) && w->redact->rules[i].n_names == depth)
			return true;
	return false;
}

/* A rule that goes on by a name, where there are no names. */
static bool goes_on_by_name(const struct walk *w, uint32_t active, unsigned depth)
{
	for (size_t i = 0; i < w->redact->n_rules; i++)
		if ((active & (1u << i)) && w->redact->rules[i].n_names > depth &&
			!hw_str_eq(w->redact->rules[i].names[depth], HW_STR("*")))
			return true;
	return false;
}

static int copy_scalar(struct walk *w, uint32_t active)
{
	struct hw_json value;
	struct hw_str text;

	if (hw_json_value(&w->r, &value) != 0)
		return -EINVAL;
	/* it was to be an object or array, and what is in it instead nobody can say */
	if (active && value.kind != HW_JSON_NULL)
		return -EINVAL;
	if (value.kind == HW_JSON_STRING) {
		text = hw_json_inside(value);
		if (value.escaped && hw_json_text(value, &w->scratch, &text) == -ENOMEM)
			return -ENOMEM;
		if (hw_redact_is_token(text)) {
			take_out(w);
			return 0;
		}
	}
	hw_buf_str(w->out, value.raw);
	return 0;
}

static int skip_and_take_out(struct walk *w)
{
	struct hw_json value;

	if (hw_json_value(&w->r, &value) != 0)
		return -EINVAL;
	take_out(w);
	return 0;
}

static int copy_member(struct walk *w, struct hw_json key, uint32_t active, unsigned depth)
{
	size_t pointer_len = w->pointer.len;
	struct hw_str name;
	int rc = hw_json_text(key, &w->scratch, &name);

	/* a name that no text can say can be in no pointer either */
	if (rc != 0)
		return rc == -ENOMEM ? rc : -EINVAL;
	/* nor can one that is a secret itself, and a member without a name is none */
	if (hw_redact_is_token(name))
		return -EINVAL;
	add_pointer_name(&w->pointer, name);
	hw_buf_str(w->out, key.raw);
	hw_buf_putc(w->out, ':');
	if (is_secret_name(key) && hw_json_peek(&w->r) != HW_JSON_NULL)
		rc = skip_and_take_out(w);
	else
		rc = copy_value(w, narrow(w, active, depth, key), depth + 1);
	w->pointer.len = pointer_len;
	return rc;
}

static int copy_object(struct walk *w, uint32_t active, unsigned depth)
{
	struct hw_json key;
	bool first = true;
	int rc;

	if (hw_json_enter(&w->r, HW_JSON_OBJECT) != 0)
		return -EINVAL;
	hw_buf_putc(w->out, '{');
	while ((rc = hw_json_member(&w->r, &key)) == 0) {
		if (!first)
			hw_buf_putc(w->out, ',');
		first = false;
		rc = copy_member(w, key, active, depth);
		if (rc != 0)
			return rc;
	}
	hw_buf_putc(w->out, '}');
	return rc == HW_JSON_END ? 0 : -EINVAL;
}

static int copy_array(struct walk *w, uint32_t active, unsigned depth)
{
	static const struct hw_json no_key = {.kind = HW_JSON_NONE};
	uint32_t inside = narrow(w, active, depth, no_key);
	size_t n = 0;
	int rc;

	if (goes_on_by_name(w, active, depth) || hw_json_enter(&w->r, HW_JSON_ARRAY) != 0)
		return -EINVAL;
	hw_buf_putc(w->out, '[');
	while ((rc = hw_json_element(&w->r)) == 0) {
		size_t pointer_len = w->pointer.len;

		if (n > 0)
			hw_buf_putc(w->out, ',');
		hw_buf_printf(&w->pointer, "/%zu", n++);
		rc = copy_value(w, inside, depth + 1);
		if (rc != 0)
			return rc;
		w->pointer.len = pointer_len;
	}
	hw_buf_putc(w->out, ']');
	return rc == HW_JSON_END ? 0 : -EINVAL;
}

/* The depth is bounded: the reader opens no more than HW_JSON_DEPTH. */
static int copy_value(struct walk *w, uint32_t active, unsigned depth)
{
	if (active && ends(w, active, depth))
		return skip_and_take_out(w);
	switch (hw_json_peek(&w->r)) {
	case HW_JSON_OBJECT:
		return copy_object(w, active, depth);
	case HW_JSON_ARRAY:
		return copy_array(w, active, depth);
	default:
		return copy_scalar(w, active);
	}
}

int hw_redact_json(const struct hw_redact *redact, const char *root, struct hw_str json,
	struct hw_buf *out, struct hw_buf *paths)
{
	struct walk w = {.redact = redact, .out = out, .paths = paths};
	uint32_t active = 0;
	int rc;

	for (size_t i = 0; i < redact->n_rules; i++)
		if (hw_str_eq(redact->rules[i].names[0], hw_str_of(root)))
			active |= 1u << i;
	hw_buf_init(&w.pointer);
	hw_buf_init(&w.scratch);
	add_pointer_name(&w.pointer, hw_str_of(root));
	hw_json_init(&w.r, json, 0);
	rc = copy_value(&w, active, 1);
	if (rc == 0 && hw_json_finish(&w.r) != 0)
		rc = -EINVAL;
	if (rc == 0 && (w.pointer.failed || out->failed || paths->failed))
		rc = -ENOMEM;
	hw_buf_fini(&w.pointer);
	hw_buf_fini(&w.scratch);
	return rc;
}

/* ---- the way back ---- */

struct marking {
	struct hw_json_reader r;
	struct hw_buf *out;
	struct hw_str paths, mark;
	struct hw_buf pointer, scratch, other;
	size_t n_marked;
};

static int mark_value(struct marking *m);

/* 1: the place at hand is one of them. */
static int is_named(struct marking *m)
{
	struct hw_json_reader r;
	struct hw_json value;
	struct hw_str text;
	int rc;

	hw_json_init(&r, m->paths, 0);
	if (hw_json_enter(&r, HW_JSON_ARRAY) != 0)
		return -EINVAL;
	while ((rc = hw_json_element(&r)) == 0) {
		if (hw_json_value(&r, &value) != 0 || value.kind != HW_JSON_STRING)
			return -EINVAL;
		rc = hw_json_text(value, &m->other, &text);
		if (rc == -ENOMEM)
			return rc;
		if (rc == 0 && hw_str_eq(text, hw_buf_view(&m->pointer)))
			return 1;
	}
	return rc == HW_JSON_END ? 0 : -EINVAL;
}

static int mark_part(struct marking *m, size_t pointer_len)
{
	int rc = mark_value(m);

	m->pointer.len = pointer_len;
	return rc;
}

static int mark_members(struct marking *m)
{
	struct hw_json key;
	struct hw_str name;
	bool first = true;
	int rc;

	hw_buf_putc(m->out, '{');
	while ((rc = hw_json_member(&m->r, &key)) == 0) {
		size_t pointer_len = m->pointer.len;

		hw_buf_puts(m->out, first ? "" : ",");
		first = false;
		hw_buf_str(m->out, key.raw);
		hw_buf_putc(m->out, ':');
		rc = hw_json_text(key, &m->scratch, &name);
		if (rc != 0)
			return rc == -ENOMEM ? rc : -EINVAL;
		add_pointer_name(&m->pointer, name);
		rc = mark_part(m, pointer_len);
		if (rc != 0)
			return rc;
	}
	hw_buf_putc(m->out, '}');
	return rc == HW_JSON_END ? 0 : -EINVAL;
}

static int mark_elements(struct marking *m)
{
	size_t n = 0;
	int rc;

	hw_buf_putc(m->out, '[');
	while ((rc = hw_json_element(&m->r)) == 0) {
		size_t pointer_len = m->pointer.len;

		hw_buf_puts(m->out, n > 0 ? "," : "");
		hw_buf_printf(&m->pointer, "/%zu", n++);
		rc = mark_part(m, pointer_len);
		if (rc != 0)
			return rc;
	}
	hw_buf_putc(m->out, ']');
	return rc == HW_JSON_END ? 0 : -EINVAL;
}

static int mark_value(struct marking *m)
{
	enum hw_json_kind kind = hw_json_peek(&m->r);
	struct hw_json value;
	int named = is_named(m);

	if (named < 0)
		return named;
	if (!named && (kind == HW_JSON_OBJECT || kind == HW_JSON_ARRAY)) {
		if (hw_json_enter(&m->r, kind) != 0)
			return -EINVAL;
		return kind == HW_JSON_OBJECT ? mark_members(m) : mark_elements(m);
	}
	if (hw_json_value(&m->r, &value) != 0)
		return -EINVAL;
	hw_buf_str(m->out, named ? m->mark : value.raw);
	return 0;
}

int hw_redact_mark(struct hw_str json, const char *root, struct hw_str paths, struct hw_str mark,
	struct hw_buf *out)
{
	struct marking m = {.out = out, .paths = paths, .mark = mark};
	int rc;

	hw_buf_init(&m.pointer);
	hw_buf_init(&m.scratch);
	hw_buf_init(&m.other);
	add_pointer_name(&m.pointer, hw_str_of(root));
	hw_json_init(&m.r, json, 0);
	rc = mark_value(&m);
	if (rc == 0 && hw_json_finish(&m.r) != 0)
		rc = -EINVAL;
	if (rc == 0 && (m.pointer.failed || out->failed))
		rc = -ENOMEM;
	hw_buf_fini(&m.pointer);
	hw_buf_fini(&m.scratch);
	hw_buf_fini(&m.other);
	return rc;
}
