#include <stdlib.h>

#include "hook/crew.h"
#include "hook/plugin_host.h"

/* Work of a plugin's that the crew does.
 *
 *   queued --a thread takes it--> worked on --> in the inbox --the worker's turn--> done(call)
 *      |                              |               |
 *      +------- its seat goes --------+---------------+--> done(NULL)
 *
 * It holds the entry, so that the instance is not unloaded under it. */
struct hw_plugin_job {
	struct hw_work work;
	struct hw_mail mail;
	struct hw_list link; /* seat->jobs: the worker's */
	struct hw_plugin_host *host;
	struct hw_plugin_seat *seat; /* under host->lock; NULL: gone */
	bool posted;                 /* likewise: it is in the inbox */
	void (*run)(const struct hw_host *host, void *instance, void *arg);
	void (*done)(struct hw_call *call, void *arg);
	void *arg;
	unsigned depth; /* of the call that made it */
};

static void release(struct hw_plugin_job *job)
{
	struct hw_hook_entry *entry = job->host->entry;

	free(job);
	hw_hook_entry_unref(&entry);
}

static void end_without(struct hw_plugin_job *job)
{
	job->done(NULL, job->arg);
	release(job);
}

static void on_mail(struct hw_mail *mail)
{
	struct hw_plugin_job *job = HW_CONTAINER_OF(mail, struct hw_plugin_job, mail);
	struct hw_entry_answer answer = {0};
	struct hw_plugin_call c;

	hw_list_remove(&job->link);
	hw_plugin_call_init(&c, job->seat, &answer, job->depth);
	job->done(&c.call, job->arg);
	hw_entry_answer_fini(&answer);
	release(job);
}

static void on_crew(struct hw_work *work)
{
	struct hw_plugin_job *job = HW_CONTAINER_OF(work, struct hw_plugin_job, work);
	struct hw_plugin_host *host = job->host;
	/* of its own: the worker may be done with a posted job while the lock is still held here */
	struct hw_hook_entry *entry = hw_hook_entry_ref(host->entry);
	bool posted;

	job->run(&host->host, host->instance, job->arg);
	pthread_mutex_lock(&host->lock);
	posted = job->posted = job->seat != NULL;
	if (posted)
		hw_inbox_post(job->seat->inbox, &job->mail);
	pthread_mutex_unlock(&host->lock);
	if (!posted)
		end_without(job);
	hw_hook_entry_unref(&entry);
}

int hw_plugin_offload(struct hw_call *call,
	void (*work)(const struct hw_host *host, void *instance, void *arg),
	void (*done)(struct hw_call *call, void *arg), void *arg)
{
	struct hw_plugin_seat *seat = hw_plugin_call_of(call)->seat;
	struct hw_plugin_job *job = seat->inbox ? calloc(1, sizeof(*job)) : NULL;

	if (!job)
		return -1;
	job->work.run = on_crew;
	job->mail.run = on_mail;
	hw_list_init(&job->work.link);
	hw_list_init(&job->mail.link);
	job->host = seat->host;
	job->seat = seat;
	job->run = work;
	job->done = done;
	job->arg = arg;
	job->depth = hw_plugin_call_of(call)->depth;
	hw_hook_entry_ref(seat->host->entry);
	hw_list_push(&seat->jobs, &job->link);
	if (hw_crew_add(seat->host->env->crew, &job->work))
		return 0;
	hw_list_remove(&job->link);
	release(job);
	return -1;
}

static void leave(struct hw_plugin_seat *seat, struct hw_plugin_job *job)
{
	struct hw_plugin_host *host = seat->host;
	bool posted;

	hw_list_remove(&job->link);
	if (hw_crew_take_back(host->env->crew, &job->work)) {
		end_without(job);
		return;
	}
	pthread_mutex_lock(&host->lock);
	posted = job->posted;
	job->seat = NULL; /* the thread that works on it ends it */
	pthread_mutex_unlock(&host->lock);
	if (posted) {
		hw_inbox_take_back(seat->inbox, &job->mail);
		end_without(job);
	}
}

void hw_plugin_jobs_end(struct hw_plugin_seat *seat)
{
	while (!hw_list_empty(&seat->jobs))
		leave(seat, HW_CONTAINER_OF(seat->jobs.next, struct hw_plugin_job, link));
}
