#include "wire/keys.h"

#include <errno.h>
#include <stdlib.h>

struct hw_keys_decoded {
	struct hw_keys_decoded *next;
	char text[];
};

void hw_keys_init(struct hw_keys *keys)
{
	keys->n = 0; /* the rest is set up when it is needed */
	keys->decoded = NULL;
}

void hw_keys_fini(struct hw_keys *keys)
{
	if (keys->n > HW_KEYS_FEW)
		hw_map_fini(&keys->map);
	while (keys->decoded) {
		struct hw_keys_decoded *next = keys->decoded->next;

		free(keys->decoded);
		keys->decoded = next;
	}
}

/* What a key says, to live as long as the map. */
static int plain_text(struct hw_keys *keys, struct hw_json key, struct hw_str *out)
{
	struct hw_keys_decoded *d;

	if (!key.escaped) {
		*out = hw_json_inside(key);
		return 0;
	}
	d = malloc(sizeof(*d) + key.raw.len);
	if (!d)
		return -ENOMEM;
	d->next = keys->decoded;
	keys->decoded = d;
	*out = (struct hw_str){d->text, hw_json_copy_any(key, d->text)};
	return 0;
}

static int add_to_map(struct hw_keys *keys, struct hw_json key)
{
	struct hw_str text;
	void *old = NULL;
	int rc = plain_text(keys, key, &text);

	if (rc == 0)
		rc = hw_map_put(&keys->map, text, keys, &old);
	if (rc == 0 && old)
		rc = HW_KEYS_TWICE;
	return rc;
}

/* Clients choose the names, so the hash has a key of its own that nobody else knows. */
static int start_map(struct hw_keys *keys)
{
	struct hw_hash_key secret = hw_hash_key_random();
	int rc = 0;

	hw_map_init(&keys->map, &secret);
	for (size_t i = 0; i < HW_KEYS_FEW && rc == 0; i++)
		rc = add_to_map(keys, keys->few[i]);
	if (rc != 0)
		hw_map_fini(&keys->map);
	return rc;
}

int hw_keys_add(struct hw_keys *keys, struct hw_json key)
{
	int rc;

	if (keys->n < HW_KEYS_FEW) {
		for (size_t i = 0; i < keys->n; i++) {
			if (hw_json_same(keys->few[i], key))
				return HW_KEYS_TWICE;
		}
		keys->few[keys->n++] = key;
		return 0;
	}
	if (keys->n == HW_KEYS_FEW) {
		rc = start_map(keys);
		if (rc != 0)
			return rc;
		keys->n++; /* from here on the map is there, whatever becomes of this key */
	}
	return add_to_map(keys, key);
}
