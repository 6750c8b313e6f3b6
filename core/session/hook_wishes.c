/* What hooks ask of the sessions' rank: events that they publish, each a publisher of its own for
 * the time it takes; and that who is connected is authorized again. */
#include <stdlib.h>
#include <string.h>

#include "hook/publish.h"
#include "session/publish.h"
#include "session/session_internal.h"

#define LOG_EVERY_MS 1000

struct system_publish {
	struct hw_publish publish;
	struct hw_command command;
	char *by;
	char text[];
};

static void say(struct hw_worker *w, struct hw_str tenant, const char *by, const char *why)
{
	struct hw_sessions *all = w->sessions;
	int64_t now_ms = hw_worker_now_ms(w);

	if (now_ms < all->system_log_after_ms) {
		all->n_system_unlogged++;
		return;
	}
	hw_log(w->log, HW_LOG_WARN, "session", "an event of a hook is not published",
		HW_F_STR("tenant", tenant), HW_F_Z("hook", by), HW_F_Z("why", why),
		HW_F_SOME("unlogged", all->n_system_unlogged));
	all->system_log_after_ms = now_ms + LOG_EVERY_MS;
	all->n_system_unlogged = 0;
}

static void refused(struct hw_worker *w, struct hw_str tenant, const char *by, const char *why)
{
	hw_metric_add(w->counters->refused, 1);
	say(w, tenant, by, why);
}

static void end(struct system_publish *s)
{
	struct hw_publish *p = &s->publish;

	if (p->code != HW_CODE_NONE)
		say(p->hub->worker, p->hub->tenant->id, s->by,
			p->message[0] ? p->message : hw_code_info(p->code)->name);
	hw_publish_fini(p);
	hw_identity_unref(&p->identity);
	free(s->by);
	free(s);
}

static void on_decided(struct hw_publish *publish)
{
	end(HW_CONTAINER_OF(publish, struct system_publish, publish));
}

static struct system_publish *make(
	struct hw_hub *hub, struct hw_str event, const char *by, unsigned depth)
{
	const struct hw_identity system = {
		.user_id = HW_STR("system"), .tenant_id = hub->tenant->id, .claims = HW_STR("{}")};
	struct system_publish *s = calloc(1, sizeof(*s) + event.len);
	struct hw_err err;

	if (!s)
		return NULL;
	memcpy(s->text, event.p, event.len);
	s->by = strdup(by);
	s->command.type = HW_COMMAND_PUBLISH;
	s->publish = (struct hw_publish){
		.hub = hub,
		.identity = hw_identity_create(&system),
		.command = &s->command,
		.text = {s->text, event.len},
		.session = HW_STR("hook"),
		.address = HW_STR("hook"),
		.system = true,
		.depth = depth,
		.decided = on_decided,
	};
	if (s->by && s->publish.identity &&
		hw_event_parse(s->publish.text, 0, &s->command.event, NULL, &err) == 0)
		return s;
	hw_identity_unref(&s->publish.identity);
	free(s->by);
	free(s);
	return NULL;
}

static void publish(
	void *arg, struct hw_str tenant, struct hw_str event, const char *by, unsigned depth)
{
	struct hw_worker *w = arg;
	struct system_publish *s;
	struct hw_hub *hub;

	if (hw_hub_get(w, tenant, &hub)) {
		refused(w, tenant, by, "the tenant is not served now");
		return;
	}
	s = make(hub, event, by, depth);
	if (!s) {
		refused(w, tenant, by, "out of memory");
		return;
	}
	if (hw_publish_start(&s->publish))
		end(s);
}

static struct hw_str named(struct hw_str s)
{
	return s.len > 0 ? s : HW_STR_NULL;
}

static void reauthorize(void *arg, struct hw_str tenant, struct hw_str user_id, struct hw_str topic)
{
	const struct hw_session_match match = {
		.user = named(user_id), .tenant = tenant, .topic = named(topic)};

	(void)hw_sessions_reauthorize(arg, &match);
}

/* What still waits for a hook when the worker ends is decided as its benches go. */
void hook_wishes_init(struct hw_worker *w)
{
	hw_hook_inbox_on_publish(w->env, w->index, publish, w);
	hw_hook_inbox_on_reauth(w->env, w->index, reauthorize, w);
}
