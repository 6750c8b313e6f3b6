#include "hub/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/ws.h"

enum { BLOCK_BYTES = 64u << 10, HEADER_MAX = 14 };

struct block {
	struct hw_pin pin;
	struct hw_list link;
	unsigned n_pins;
	bool retired; /* in no list: whoever lets go last frees it */
	uint64_t serial;
	size_t used, cap;
	char data[];
};

static void hold(struct hw_pin *pin)
{
	HW_CONTAINER_OF(pin, struct block, pin)->n_pins++;
}

static void release(struct hw_pin *pin)
{
	struct block *b = HW_CONTAINER_OF(pin, struct block, pin);

	if (--b->n_pins == 0 && b->retired)
		free(b);
}

static const struct hw_pin_ops pin_ops = {.hold = hold, .release = release};

void hw_frames_init(struct hw_frames *f)
{
	*f = (struct hw_frames){.oldest_serial = 1};
	hw_list_init(&f->blocks);
}

static void retire_oldest(struct hw_frames *f)
{
	struct block *b = HW_CONTAINER_OF(hw_list_pop(&f->blocks), struct block, link);

	f->bytes -= b->cap;
	f->oldest_serial = b->serial + 1;
	b->retired = true;
	if (b->n_pins == 0)
		free(b);
}

void hw_frames_fini(struct hw_frames *f)
{
	while (!hw_list_empty(&f->blocks))
		retire_oldest(f);
}

void hw_frames_trim(struct hw_frames *f)
{
	while (f->bytes > HW_FRAMES_KEPT_BYTES)
		retire_oldest(f);
}

static struct block *block_with_room(struct hw_frames *f, size_t size)
{
	struct block *b = HW_CONTAINER_OF(f->blocks.prev, struct block, link);
	size_t cap = size < BLOCK_BYTES ? BLOCK_BYTES : size;

	if (!hw_list_empty(&f->blocks) && b->cap - b->used >= size)
		return b;
	b = malloc(sizeof(*b) + cap);
	if (!b)
		return NULL;
	b->pin.ops = &pin_ops;
	b->n_pins = 0;
	b->retired = false;
	b->serial = ++f->last_serial;
	b->used = 0;
	b->cap = cap;
	hw_list_push(&f->blocks, &b->link);
	f->bytes += cap;
	return b;
}

char *hw_frames_room(struct hw_frames *f, size_t size, struct hw_pin **pin)
{
	struct block *b = block_with_room(f, size);

	if (!b)
		return NULL;
	b->used += size;
	*pin = &b->pin;
	return b->data + b->used - size;
}

int hw_frames_add(struct hw_frames *f, struct hw_str text, struct hw_str tail, struct hw_frame *out)
{
	struct block *b = block_with_room(f, HEADER_MAX + text.len + tail.len);
	char *p;
	size_t header_len;

	if (!b)
		return -ENOMEM;
	p = b->data + b->used;
	header_len = hw_ws_header((uint8_t *)p, true, HW_WS_OP_TEXT, text.len + tail.len, NULL);
	memcpy(p + header_len, text.p, text.len);
	memcpy(p + header_len + text.len, tail.p, tail.len);
	*out = (struct hw_frame){
		.p = p,
		.len = header_len + text.len + tail.len,
		.header_len = (uint8_t)header_len,
		.pin = &b->pin,
		.serial = b->serial,
	};
	b->used += out->len;
	return 0;
}
