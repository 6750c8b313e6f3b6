#include "hook/reauth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/entry_internal.h"

/* On its way to one worker. */
struct errand {
	struct hw_mail mail;
	struct hw_hook_inbox *to;
	size_t tenant_len, user_len, topic_len;
	char bytes[]; /* one behind the other */
};

static void run(struct hw_mail *mail)
{
	struct errand *e = HW_CONTAINER_OF(mail, struct errand, mail);
	const char *user = e->bytes + e->tenant_len, *topic = user + e->user_len;

	if (e->to->reauth) /* else the worker has ended */
		e->to->reauth(e->to->reauth_arg, (struct hw_str){e->bytes, e->tenant_len},
			(struct hw_str){user, e->user_len}, (struct hw_str){topic, e->topic_len});
	free(e);
}

static char *put(char *at, struct hw_str s)
{
	if (s.len > 0)
		memcpy(at, s.p, s.len);
	return at + s.len;
}

static struct errand *make(
	struct hw_hook_inbox *to, struct hw_str tenant, struct hw_str user_id, struct hw_str topic)
{
	struct errand *e = malloc(sizeof(*e) + tenant.len + user_id.len + topic.len);

	if (!e)
		return NULL;
	e->mail.run = run;
	hw_list_init(&e->mail.link);
	e->to = to;
	e->tenant_len = tenant.len;
	e->user_len = user_id.len;
	e->topic_len = topic.len;
	put(put(put(e->bytes, tenant), user_id), topic);
	return e;
}

int hw_hook_reauth(struct hw_hook_inbox *inbox, struct hw_reauth_quota *quota, struct hw_str tenant,
	struct hw_str user_id, struct hw_str topic)
{
	int rc = 0;

	if (!inbox || !inbox->reauth)
		return -ENOSYS;
	if (tenant.len == 0)
		return -EINVAL;
	if (quota->turn != inbox->turn)
		quota->n = 0;
	quota->turn = inbox->turn;
	if (quota->n >= HW_HOOK_REAUTH_TURN_MAX)
		return -EBUSY;
	quota->n++;
	if (quota->trial)
		return 0;
	for (unsigned i = 0; i < HW_HOOK_INBOXES_MAX; i++) {
		struct hw_hook_inbox *to = inbox->env->inboxes[i];
		struct errand *e = to ? make(to, tenant, user_id, topic) : NULL;

		if (to && !e)
			rc = -ENOMEM;
		else if (to && !hw_inbox_offer(to, &e->mail))
			free(e);
	}
	return rc;
}
