#include "base/pin.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static struct hw_blob *blob_of(struct hw_pin *pin)
{
	return HW_CONTAINER_OF(pin, struct hw_blob, pin);
}

static void blob_hold(struct hw_pin *pin)
{
	atomic_fetch_add_explicit(&blob_of(pin)->n_refs, 1, memory_order_relaxed);
}

static void blob_release(struct hw_pin *pin)
{
	struct hw_blob *blob = blob_of(pin);

	/* acquire and release: whoever frees sees what the others did with the bytes */
	if (atomic_fetch_sub_explicit(&blob->n_refs, 1, memory_order_acq_rel) == 1)
		free(blob);
}

static const struct hw_pin_ops blob_ops = {blob_hold, blob_release};

struct hw_blob *hw_blob_create(const void *p, size_t len)
{
	struct hw_blob *blob = len < SIZE_MAX - sizeof(*blob) ? malloc(sizeof(*blob) + len) : NULL;

	if (!blob)
		return NULL;
	blob->pin.ops = &blob_ops;
	atomic_init(&blob->n_refs, 1);
	blob->len = len;
	if (p && len > 0)
		memcpy(blob->data, p, len);
	return blob;
}
