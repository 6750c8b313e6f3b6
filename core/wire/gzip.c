#include "wire/gzip.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <zlib.h>

/* deflate keeps 2^(WINDOW_BITS+2) + 2^(MEM_LEVEL+9) bytes and some 6 KiB */
enum { WINDOW_BITS = 12, GZIP_HEADER = 16, MEM_LEVEL = 5, FLUSH_BYTES = 16 };

struct hw_gzip {
	z_stream z;
};

struct hw_gzip *hw_gzip_create(void)
{
	struct hw_gzip *g = calloc(1, sizeof(*g));

	if (g && deflateInit2(&g->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS + GZIP_HEADER,
			 MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return NULL;
	}
	return g;
}

void hw_gzip_destroy(struct hw_gzip **gzip)
{
	if (!*gzip)
		return;
	(void)deflateEnd(&(*gzip)->z);
	free(*gzip);
	*gzip = NULL;
}

int hw_gzip_write(struct hw_gzip *g, struct hw_str text, bool last, struct hw_buf *out)
{
	/* the room is there before anything is taken: a stream that lost a byte is none */
	size_t room = deflateBound(&g->z, text.len) + FLUSH_BYTES;
	char *p = hw_buf_reserve(out, room);
	int r;

	assert(text.len < UINT_MAX / 2);
	if (!p)
		return -ENOMEM;
	g->z.next_in = (Bytef *)(uintptr_t)text.p;
	g->z.avail_in = (uInt)text.len;
	g->z.next_out = (Bytef *)p;
	g->z.avail_out = (uInt)room;
	r = deflate(&g->z, last ? Z_FINISH : Z_SYNC_FLUSH);
	assert(r == (last ? Z_STREAM_END : Z_OK) && g->z.avail_in == 0 && g->z.avail_out > 0);
	(void)r;
	out->len += room - g->z.avail_out;
	return 0;
}

static bool is_zero(struct hw_str quality)
{
	if (!hw_str_starts(quality, HW_STR("0")))
		return false;
	for (size_t i = 1; i < quality.len; i++) {
		if (quality.p[i] != '.' && quality.p[i] != '0')
			return false;
	}
	return true;
}

bool hw_gzip_accepted(struct hw_str rest)
{
	while (rest.p) {
		struct hw_str item = hw_str_cut(&rest, ',');
		struct hw_str coding = hw_str_trim(hw_str_cut(&item, ';'));
		struct hw_str weight = hw_str_trim(item);
		struct hw_str name = hw_str_cut(&weight, '=');

		if (!hw_str_eq_nocase(coding, HW_STR("gzip")) &&
			!hw_str_eq_nocase(coding, HW_STR("x-gzip")))
			continue;
		return !(hw_str_eq_nocase(hw_str_trim(name), HW_STR("q")) && weight.p &&
			 is_zero(hw_str_trim(weight)));
	}
	return false;
}
