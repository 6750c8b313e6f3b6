#include "hook/claims.h"

#include <errno.h>

#include "wire/json.h"

struct member {
	struct hw_str key;  /* what it says, escapes resolved */
	struct hw_str text; /* "key":value as it stands */
};

/* The members of one object in the order of its text. */
struct members {
	size_t n;
	struct member items[HW_CLAIMS_MAX_MEMBERS];
	struct hw_buf plain; /* keys that were escaped; reserved at once, so that it never moves */
};

static const struct member *find(const struct members *members, struct hw_str key)
{
	for (size_t i = 0; i < members->n; i++) {
		if (hw_str_eq(members->items[i].key, key))
			return &members->items[i];
	}
	return NULL;
}

static int plain_key(struct members *members, struct hw_json key, struct hw_str *out)
{
	size_t start = members->plain.len;
	int rc;

	if (!key.escaped) {
		*out = hw_json_inside(key);
		return 0;
	}
	rc = hw_json_unescape(&members->plain, key);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EINVAL;
	*out = (struct hw_str){members->plain.data + start, members->plain.len - start};
	return 0;
}

static int read_members(struct hw_str text, struct members *members)
{
	struct hw_json_reader reader;
	int rc;

	if (text.len > HW_CLAIMS_MAX_BYTES)
		return -EINVAL;
	if (!hw_buf_reserve(&members->plain, text.len))
		return -ENOMEM;
	hw_json_init(&reader, text, 0);
	rc = hw_json_enter(&reader, HW_JSON_OBJECT);
	while (rc == 0) {
		struct hw_json key, value;
		struct member *member = &members->items[members->n];

		rc = hw_json_member(&reader, &key);
		if (rc != 0)
			break;
		if (members->n == HW_CLAIMS_MAX_MEMBERS)
			return -EINVAL;
		rc = plain_key(members, key, &member->key);
		if (rc == 0 && find(members, member->key))
			return -EINVAL;
		if (rc == 0)
			rc = hw_json_value(&reader, &value);
		if (rc == 0) {
			member->text = (struct hw_str){
				key.raw.p, (size_t)(value.raw.p + value.raw.len - key.raw.p)};
			members->n++;
		}
	}
	return rc == HW_JSON_END ? hw_json_finish(&reader) : rc;
}

static void put(struct hw_buf *out, const struct member *member, bool *first)
{
	if (!*first)
		hw_buf_putc(out, ',');
	*first = false;
	hw_buf_str(out, member->text);
}

static int write_merged(struct hw_buf *out, const struct members *old, const struct members *added)
{
	size_t before = out->len;
	bool first = true;

	hw_buf_putc(out, '{');
	for (size_t i = 0; i < old->n; i++) {
		if (!find(added, old->items[i].key))
			put(out, &old->items[i], &first);
	}
	for (size_t i = 0; i < added->n; i++)
		put(out, &added->items[i], &first);
	hw_buf_putc(out, '}');
	if (out->failed)
		return -ENOMEM;
	if (out->len - before > HW_CLAIMS_MAX_BYTES) {
		out->len = before;
		return -EINVAL;
	}
	return 0;
}

int hw_claims_merge(struct hw_buf *out, struct hw_str old, struct hw_str added)
{
	struct members a, b;
	int rc;

	a.n = b.n = 0;
	hw_buf_init(&a.plain);
	hw_buf_init(&b.plain);
	rc = read_members(old, &a);
	if (rc == 0)
		rc = read_members(added, &b);
	if (rc == 0)
		rc = write_merged(out, &a, &b);
	hw_buf_fini(&a.plain);
	hw_buf_fini(&b.plain);
	return rc;
}
