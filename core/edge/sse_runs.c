#include <errno.h>
#include <stdlib.h>

#include "edge/edge_internal.h"
#include "wire/sse.h"

/* Events as text/event-stream. The journal has them as WebSocket frames; here they are written
 * anew, once for all streams of the worker that get them in a turn. What a stream queues is so one
 * piece of whole events, as of WebSocket, and can be dropped like one. */

enum {
	SLOTS = 1024,
	SPARE_BYTES = 4u << 20, /* of a turn, for who can wait */
};

/* Which live run was written where: until the end of the turn nothing else can be at its place. A
 * collision costs writing it again. */
struct hw_sse_run {
	const char *frames;
	size_t len;
	uint64_t turn;
	struct sse_text text;
};

static struct hw_sse_run *slot_of(struct hw_edge *edge, const struct hw_run *run)
{
	uint64_t hash = (uint64_t)(uintptr_t)run->frames * UINT64_C(0x9e3779b97f4a7c15);

	if (!edge->sse_runs)
		edge->sse_runs = calloc(SLOTS, sizeof(*edge->sse_runs));
	return edge->sse_runs ? &edge->sse_runs[(hash >> 32) % SLOTS] : NULL;
}

static struct hw_sse_block block_of(const struct hw_run *run, size_t i)
{
	struct hw_str text = hw_run_event(run, i, NULL);

	return (struct hw_sse_block){
		.id = hw_run_has_id(run, i) ? hw_sse_id_of(text) : HW_STR_NULL, .data = text};
}

static int write_run(struct hw_edge *edge, const struct hw_run *run, struct sse_text *out)
{
	size_t size = 0;
	char *p;

	for (size_t i = 0; i < run->n; i++) {
		struct hw_sse_block block = block_of(run, i);

		size += hw_sse_size(&block);
	}
	p = hw_frames_room(&edge->sse, size, &out->pin);
	if (!p)
		return -ENOMEM;
	out->p = p;
	out->len = size;
	for (size_t i = 0; i < run->n; i++) {
		struct hw_sse_block block = block_of(run, i);

		p = hw_sse_write(p, &block);
	}
	edge->sse_bytes += size;
	return 0;
}

int sse_run_text(struct hw_edge *edge, const struct hw_run *run, bool live, struct sse_text *out)
{
	struct hw_sse_run *slot;
	int r;

	if (!live)
		return edge->sse_bytes < SPARE_BYTES ? write_run(edge, run, out) : -ENOMEM;
	slot = slot_of(edge, run);
	if (!slot)
		return -ENOMEM;
	if (slot->frames == run->frames && slot->len == run->len &&
		slot->turn == edge->worker->turn) {
		*out = slot->text;
		return 0;
	}
	r = write_run(edge, run, out);
	if (r)
		return r;
	*slot = (struct hw_sse_run){
		.frames = run->frames, .len = run->len, .turn = edge->worker->turn, .text = *out};
	return 0;
}

void sse_runs_flushed(struct hw_edge *edge)
{
	edge->sse_bytes = 0;
	hw_frames_trim(&edge->sse);
}

void sse_runs_fini(struct hw_edge *edge)
{
	hw_frames_fini(&edge->sse);
	free(edge->sse_runs);
	edge->sse_runs = NULL;
}
