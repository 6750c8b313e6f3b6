#include "hook/inbox.h"

#include <errno.h>
#include <stdlib.h>

#include "hook/entry_internal.h"
#include "hook/publish.h"
#include "hook/shadow.h"

static struct hw_hook_inbox *make(struct hw_hook_env *env, unsigned worker)
{
	struct hw_hook_inbox *inbox = calloc(1, sizeof(*inbox));

	if (!inbox)
		return NULL;
	if (pthread_mutex_init(&inbox->lock, NULL) != 0) {
		free(inbox);
		return NULL;
	}
	inbox->env = env;
	inbox->worker = worker;
	hw_list_init(&inbox->mails);
	hw_list_init(&inbox->publishes);
	hw_shadows_init(inbox);
	atomic_init(&inbox->any, false);
	return inbox;
}

int hw_hook_inbox_open(struct hw_hook_env *env, unsigned worker, struct hw_timers *timers,
	void (*wake)(void *arg), void *arg)
{
	struct hw_hook_inbox *inbox;

	if (worker >= HW_HOOK_INBOXES_MAX)
		return -ERANGE;
	if (!env->inboxes[worker])
		env->inboxes[worker] = make(env, worker);
	inbox = env->inboxes[worker];
	if (!inbox)
		return -ENOMEM;
	pthread_mutex_lock(&inbox->lock);
	inbox->timers = timers;
	inbox->wake = wake;
	inbox->wake_arg = arg;
	pthread_mutex_unlock(&inbox->lock);
	return 0;
}

void hw_hook_inbox_on_reauth(
	struct hw_hook_env *env, unsigned worker, hw_hook_reauth_fn *reauth, void *arg)
{
	struct hw_hook_inbox *inbox = hw_hook_inbox_of(env, worker);

	if (!inbox)
		return;
	inbox->reauth = reauth;
	inbox->reauth_arg = arg;
}

void hw_hook_inbox_on_publish(
	struct hw_hook_env *env, unsigned worker, hw_hook_publish_fn *publish, void *arg)
{
	struct hw_hook_inbox *inbox = hw_hook_inbox_of(env, worker);

	if (!inbox)
		return;
	inbox->publish = publish;
	inbox->publish_arg = arg;
}

struct hw_hook_inbox *hw_hook_inbox_of(const struct hw_hook_env *env, unsigned worker)
{
	struct hw_hook_inbox *inbox = worker < HW_HOOK_INBOXES_MAX ? env->inboxes[worker] : NULL;

	return inbox && inbox->timers ? inbox : NULL;
}

bool hw_hook_inbox_is_open(const struct hw_hook_env *env, unsigned worker)
{
	return hw_hook_inbox_of(env, worker);
}

void hw_inboxes_free(struct hw_hook_env *env)
{
	for (unsigned i = 0; i < HW_HOOK_INBOXES_MAX; i++) {
		if (!env->inboxes[i])
			continue;
		pthread_mutex_destroy(&env->inboxes[i]->lock);
		free(env->inboxes[i]);
		env->inboxes[i] = NULL;
	}
}

/* The wake is inside of the lock: after hw_hook_inbox_close nobody is about to call it. */
void hw_inbox_post(struct hw_hook_inbox *inbox, struct hw_mail *mail)
{
	pthread_mutex_lock(&inbox->lock);
	hw_list_push(&inbox->mails, &mail->link);
	atomic_store(&inbox->any, true);
	if (inbox->wake)
		inbox->wake(inbox->wake_arg);
	pthread_mutex_unlock(&inbox->lock);
}

bool hw_inbox_offer(struct hw_hook_inbox *inbox, struct hw_mail *mail)
{
	bool open;

	pthread_mutex_lock(&inbox->lock);
	open = inbox->wake != NULL;
	if (open) {
		hw_list_push(&inbox->mails, &mail->link);
		atomic_store(&inbox->any, true);
		inbox->wake(inbox->wake_arg);
	}
	pthread_mutex_unlock(&inbox->lock);
	return open;
}

void hw_inbox_take_back(struct hw_hook_inbox *inbox, struct hw_mail *mail)
{
	pthread_mutex_lock(&inbox->lock);
	hw_list_remove(&mail->link);
	pthread_mutex_unlock(&inbox->lock);
}

/* Not by hw_hook_inbox_of, which looks at what is the worker's. */
bool hw_hook_inbox_offer(struct hw_hook_env *env, unsigned worker, struct hw_mail *mail)
{
	return worker < HW_HOOK_INBOXES_MAX && env->inboxes[worker] &&
	       hw_inbox_offer(env->inboxes[worker], mail);
}

/* One at a time, as what is done may take another back; a mark says where those end that were there
 * at the beginning. */
static struct hw_mail *next(struct hw_hook_inbox *inbox, struct hw_list *mark)
{
	struct hw_list *node;

	pthread_mutex_lock(&inbox->lock);
	node = hw_list_pop(&inbox->mails);
	atomic_store(&inbox->any, !hw_list_empty(&inbox->mails));
	pthread_mutex_unlock(&inbox->lock);
	return node == mark ? NULL : HW_CONTAINER_OF(node, struct hw_mail, link);
}

static void run_mails(struct hw_hook_inbox *inbox)
{
	struct hw_list mark;
	struct hw_mail *mail;

	if (!atomic_load(&inbox->any))
		return;
	pthread_mutex_lock(&inbox->lock);
	hw_list_push(&inbox->mails, &mark);
	pthread_mutex_unlock(&inbox->lock);
	while ((mail = next(inbox, &mark)))
		mail->run(mail);
}

/* It stays where it is: a thread that is late may still look at it. */
void hw_hook_inbox_close(struct hw_hook_env *env, unsigned worker)
{
	struct hw_hook_inbox *inbox = hw_hook_inbox_of(env, worker);

	if (!inbox)
		return;
	pthread_mutex_lock(&inbox->lock);
	inbox->wake = NULL;
	inbox->timers = NULL;
	pthread_mutex_unlock(&inbox->lock);
	hw_timer_cancel(&inbox->shadow_turn); /* they went with their benches */
	hw_publishes_forget(inbox);
	inbox->publish = NULL;
	inbox->reauth = NULL;
	run_mails(inbox); /* what is left frees itself */
}

void hw_hook_inbox_run(struct hw_hook_env *env, unsigned worker)
{
	struct hw_hook_inbox *inbox = hw_hook_inbox_of(env, worker);

	if (!inbox)
		return;
	run_mails(inbox);
	hw_publishes_run(inbox);
}

bool hw_hook_inbox_has(const struct hw_hook_env *env, unsigned worker)
{
	const struct hw_hook_inbox *inbox = hw_hook_inbox_of(env, worker);

	return inbox && (atomic_load(&inbox->any) || !hw_list_empty(&inbox->publishes));
}
