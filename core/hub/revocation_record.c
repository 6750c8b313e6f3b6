#include "hub/revocation_record.h"

#include <errno.h>
#include <string.h>

#include "wire/json.h"

static const char *const names[] = {
	[HW_RECORD_REVOKED] = "REVOKED",
	[HW_RECORD_UNREVOKED] = "UNREVOKED",
	[HW_RECORD_LIST] = "LIST",
	[HW_RECORD_LIST_END] = "LIST_END",
};

/* ---- writing ---- */

static void put_text(struct hw_buf *out, const char *name, struct hw_str text)
{
	if (!text.p)
		return;
	hw_buf_printf(out, ",\"%s\":", name);
	hw_buf_json(out, text);
}

void hw_revocation_record_write(
	struct hw_buf *out, enum hw_revocation_record_kind kind, const struct hw_revocation *what)
{
	hw_buf_printf(out,
		"{\"topic\":\"" HW_REVOCATIONS_TOPIC
		"\",\"event\":\"%s\",\"data\":{\"entity_id\":\"%llu\"",
		names[kind], (unsigned long long)what->number);
	if (kind == HW_RECORD_REVOKED) {
		put_text(out, "tenant", what->tenant);
		put_text(out, what->kind == HW_REVOKED_TOKEN ? "jti" : "user", what->name);
		if (what->kind != HW_REVOKED_TOKEN)
			hw_buf_printf(out, ",\"issued_until\":%lld", (long long)what->before_s);
		if (what->until_s)
			hw_buf_printf(out, ",\"until\":%lld", (long long)what->until_s);
	}
	hw_buf_puts(out, "}}");
}

/* ---- reading ---- */

static int take_kind(struct hw_json value, struct hw_revocation_record *out)
{
	for (size_t i = 0; value.kind == HW_JSON_STRING && i < HW_COUNT(names); i++) {
		if (!hw_json_is(value, hw_str_of(names[i])))
			continue;
		out->kind = (enum hw_revocation_record_kind)i;
		return 0;
	}
	return -EINVAL;
}

/* A view of @memory, in which there is room: it does not move. */
static int take_text(struct hw_json value, struct hw_buf *memory, struct hw_str *out)
{
	size_t at = memory->len;
	int r = value.kind == HW_JSON_STRING ? hw_json_unescape(memory, value) : -EINVAL;

	if (!r)
		*out = (struct hw_str){memory->data + at, memory->len - at};
	return r == -EILSEQ ? -EINVAL : r;
}

static int take_time(struct hw_json value, int64_t *out)
{
	uint64_t n;

	if (value.kind != HW_JSON_NUMBER || hw_str_to_u64(value.raw, &n) || n > INT64_MAX)
		return -EINVAL;
	*out = (int64_t)n;
	return 0;
}

static int take_member(struct hw_json key, struct hw_json value, struct hw_revocation_record *out)
{
	struct hw_revocation *what = &out->revocation;
	bool user = hw_json_is(key, HW_STR("user"));

	if (hw_json_is(key, HW_STR("entity_id")))
		return value.kind == HW_JSON_STRING &&
				       !hw_str_to_u64(hw_json_inside(value), &what->number)
			       ? 0
			       : -EINVAL;
	if (hw_json_is(key, HW_STR("tenant")))
		return take_text(value, &out->memory, &what->tenant);
	if (user || hw_json_is(key, HW_STR("jti"))) {
		what->kind = user ? HW_REVOKED_USER : HW_REVOKED_TOKEN;
		return take_text(value, &out->memory, &what->name);
	}
	if (hw_json_is(key, HW_STR("issued_until")))
		return take_time(value, &what->before_s);
	if (hw_json_is(key, HW_STR("until")))
		return take_time(value, &what->until_s);
	return 0; /* what would narrow it is not known here: it is taken in full */
}

static int take_data(struct hw_json_reader *r, struct hw_revocation_record *out)
{
	struct hw_json key, value;
	int rc = hw_json_enter(r, HW_JSON_OBJECT);

	out->revocation.kind = HW_REVOKED_TENANT;
	while (!rc && !(rc = hw_json_member(r, &key))) {
		rc = hw_json_value(r, &value);
		if (!rc)
			rc = take_member(key, value, out);
	}
	return rc == HW_JSON_END ? 0 : rc;
}

static int read_event(struct hw_str text, struct hw_revocation_record *out)
{
	struct hw_json_reader r;
	struct hw_json key, value;
	bool named = false;
	int rc;

	hw_json_init(&r, text, 0);
	rc = hw_json_enter(&r, HW_JSON_OBJECT);
	while (!rc && !(rc = hw_json_member(&r, &key))) {
		if (hw_json_is(key, HW_STR("data"))) {
			rc = take_data(&r, out);
			continue;
		}
		rc = hw_json_value(&r, &value);
		if (!rc && hw_json_is(key, HW_STR("event"))) {
			rc = take_kind(value, out);
			named = true;
		}
	}
	if (rc == HW_JSON_END)
		rc = hw_json_finish(&r);
	if (rc)
		return rc;
	return named && (out->revocation.number || out->kind != HW_RECORD_REVOKED) ? 0 : -EINVAL;
}

int hw_revocation_record_read(struct hw_str text, struct hw_revocation_record *out)
{
	int r;

	memset(out, 0, sizeof(*out));
	hw_buf_init(&out->memory);
	if (!hw_buf_reserve(&out->memory, text.len)) /* unescaped, no text is longer */
		return -ENOMEM;
	r = read_event(text, out);
	if (r)
		hw_revocation_record_fini(out);
	return r;
}

void hw_revocation_record_fini(struct hw_revocation_record *record)
{
	hw_buf_fini(&record->memory);
}
