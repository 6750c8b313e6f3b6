#include "collect.h"

#include <stdlib.h>

int collect_init(struct collect *c, size_t most, uint64_t upto)
{
	*c = (struct collect){.most = most, .lowest = UINT64_MAX, .upto = upto};
	c->heap = malloc(most * sizeof(*c->heap));
	return c->heap ? 0 : -1;
}

static void swap(struct found *a, struct found *b)
{
	struct found t = *a;

	*a = *b;
	*b = t;
}

static void sift_up(struct collect *c, size_t i)
{
	for (; i > 0 && c->heap[(i - 1) / 2].number < c->heap[i].number; i = (i - 1) / 2)
		swap(&c->heap[i], &c->heap[(i - 1) / 2]);
}

static void sift_down(struct collect *c)
{
	size_t i = 0, child;

	while ((child = 2 * i + 1) < c->n) {
		if (child + 1 < c->n && c->heap[child + 1].number > c->heap[child].number)
			child++;
		if (c->heap[i].number >= c->heap[child].number)
			return;
		swap(&c->heap[i], &c->heap[child]);
		i = child;
	}
}

void collect_add(struct collect *c, uint64_t number, int64_t id)
{
	if (number > c->upto)
		return;
	if (number < c->lowest)
		c->lowest = number;
	if (c->n < c->most) {
		c->heap[c->n] = (struct found){number, id};
		sift_up(c, c->n++);
	} else {
		c->heap[0] = (struct found){number, id};
		sift_down(c);
	}
	if (c->n == c->most)
		c->upto = c->heap[0].number - 1;
}

static int by_number(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

void collect_sort(struct collect *c)
{
	qsort(c->heap, c->n, sizeof(*c->heap), by_number);
}

void collect_fini(struct collect *c)
{
	free(c->heap);
	c->heap = NULL;
}
