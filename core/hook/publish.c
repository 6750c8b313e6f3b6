#include "hook/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/event.h"

/* An event that waits for the end of the call. */
struct outgoing {
	struct hw_list link; /* inbox->publishes */
	unsigned depth;
	size_t tenant_len, event_len;
	char bytes[]; /* the tenant, the event, the hook's name with its zero */
};

static bool within_quota(const struct hw_hook_inbox *inbox, struct hw_publish_quota *quota)
{
	if (quota->turn != inbox->turn)
		quota->n = 0;
	quota->turn = inbox->turn;
	if (quota->n >= HW_HOOK_PUBLISH_TURN_MAX)
		return false;
	quota->n++;
	return true;
}

static struct outgoing *make(
	struct hw_str tenant, struct hw_str event, const char *by, unsigned depth)
{
	size_t by_len = strlen(by);
	struct outgoing *o = malloc(sizeof(*o) + tenant.len + event.len + by_len + 1);

	if (!o)
		return NULL;
	o->depth = depth;
	o->tenant_len = tenant.len;
	o->event_len = event.len;
	memcpy(o->bytes, tenant.p, tenant.len);
	memcpy(o->bytes + tenant.len, event.p, event.len);
	memcpy(o->bytes + tenant.len + event.len, by, by_len + 1);
	return o;
}

enum hw_hook_publish_outcome hw_hook_publish(struct hw_hook_inbox *inbox,
	struct hw_publish_quota *quota, struct hw_str tenant, struct hw_str event, const char *by,
	unsigned depth, struct hw_err *err)
{
	struct outgoing *o;
	struct hw_event ev;
	int rc;

	if (!inbox || !inbox->publish || tenant.len == 0)
		return HW_HOOK_PUBLISH_NOWHERE;
	if (depth >= HW_HOOK_PUBLISH_DEPTH_MAX)
		return HW_HOOK_PUBLISH_DEEP;
	rc = hw_event_parse(event, 0, &ev, NULL, err);
	if (rc != 0)
		return rc == -ENOMEM ? HW_HOOK_PUBLISH_NO_MEMORY : HW_HOOK_PUBLISH_INVALID;
	if (!within_quota(inbox, quota))
		return HW_HOOK_PUBLISH_MANY;
	if (quota->trial)
		return HW_HOOK_PUBLISH_OK;
	o = make(tenant, event, by, depth + 1);
	if (!o)
		return HW_HOOK_PUBLISH_NO_MEMORY;
	hw_list_push(&inbox->publishes, &o->link);
	return HW_HOOK_PUBLISH_OK;
}

const char *hw_hook_publish_why(enum hw_hook_publish_outcome outcome)
{
	switch (outcome) {
	case HW_HOOK_PUBLISH_OK:
		return "";
	case HW_HOOK_PUBLISH_INVALID:
		return "this is no event";
	case HW_HOOK_PUBLISH_MANY:
		return "too many events at once";
	case HW_HOOK_PUBLISH_DEEP:
		return "the event that led to this call was published by hooks itself, too often";
	case HW_HOOK_PUBLISH_NOWHERE:
		return "there is no tenant to publish to";
	case HW_HOOK_PUBLISH_NO_MEMORY:
		break;
	}
	return "out of memory";
}

/* What is there now: what comes by it has to wait for the next turn. */
void hw_publishes_run(struct hw_hook_inbox *inbox)
{
	struct hw_list now, *node;

	inbox->turn++;
	hw_list_init(&now);
	hw_list_splice(&now, &inbox->publishes);
	while ((node = hw_list_pop(&now))) {
		struct outgoing *o = HW_CONTAINER_OF(node, struct outgoing, link);

		inbox->publish(inbox->publish_arg, (struct hw_str){o->bytes, o->tenant_len},
			(struct hw_str){o->bytes + o->tenant_len, o->event_len},
			o->bytes + o->tenant_len + o->event_len, o->depth);
		free(o);
	}
}

void hw_publishes_forget(struct hw_hook_inbox *inbox)
{
	struct hw_list *node;

	while ((node = hw_list_pop(&inbox->publishes)))
		free(HW_CONTAINER_OF(node, struct outgoing, link));
}
