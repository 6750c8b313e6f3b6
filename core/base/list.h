/* An intrusive, circular, doubly linked list. The head is a node of its own; an unlinked node
 * points to itself, so removing twice is harmless. Header only. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"

struct hw_list {
	struct hw_list *next;
	struct hw_list *prev;
};

static inline void hw_list_init(struct hw_list *l)
{
	l->next = l->prev = l;
}

static inline bool hw_list_empty(const struct hw_list *l)
{
	return l->next == l;
}

static inline void hw_list_push(struct hw_list *head, struct hw_list *node) /* at the end */
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void hw_list_remove(struct hw_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	hw_list_init(node);
}

static inline struct hw_list *hw_list_pop(struct hw_list *head) /* the first, or NULL */
{
	struct hw_list *node = head->next;

	if (node == head)
		return NULL;
	hw_list_remove(node);
	return node;
}

/* Moves all of @from to the end of @to. */
static inline void hw_list_splice(struct hw_list *to, struct hw_list *from)
{
	if (hw_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	hw_list_init(from);
}

#define hw_list_each(node, head) \
	for (struct hw_list *node = (head)->next; node != (head); node = node->next)
/* the node of the current turn may be removed and freed */
#define hw_list_each_safe(node, head) \
	for (struct hw_list *node = (head)->next, *hw_next_ = node->next; node != (head); \
		node = hw_next_, hw_next_ = node->next)
