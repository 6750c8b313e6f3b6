/* The events with the lowest numbers, so many at most, out of what comes in any order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct found {
	uint64_t number;
	int64_t id;
};

struct collect {
	struct found *heap; /* the largest number on top, while it is filled */
	size_t n, most;
	uint64_t lowest; /* UINT64_MAX: nothing is there */
	uint64_t upto;   /* what is above is of no interest any more */
};

/** 0, or -1: out of memory. */
int collect_init(struct collect *c, size_t most, uint64_t upto);
void collect_add(struct collect *c, uint64_t number, int64_t id);
/** By their number, the lowest first. */
void collect_sort(struct collect *c);
void collect_fini(struct collect *c);
