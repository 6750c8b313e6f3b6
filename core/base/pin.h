/* Somebody who owns bytes that a socket has yet to write. A queue that references the bytes holds
 * the pin while it does; taking and giving are the owner's functions, so that a journal segment
 * (pinned only by blocked sockets) and a heap block (counted always) look the same to a stream. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct hw_pin;

struct hw_pin_ops {
	void (*hold)(struct hw_pin *pin);    /* any thread that may read the bytes now */
	void (*release)(struct hw_pin *pin); /* may free the owner */
};

struct hw_pin {
	const struct hw_pin_ops *ops;
};

static inline void hw_pin_hold(struct hw_pin *pin)
{
	pin->ops->hold(pin);
}
static inline void hw_pin_release(struct hw_pin *pin)
{
	pin->ops->release(pin);
}

/* A heap block with its own count, for replies and control frames. The maker has one reference. */
struct hw_blob {
	struct hw_pin pin;
	atomic_uint n_refs;
	size_t len;
	char data[];
};

/** Copies @p, or leaves the bytes unset if that is NULL. NULL when out of memory. */
struct hw_blob *hw_blob_create(const void *p, size_t len);
