#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hook/chain_internal.h"
#include "hook/plugin_host.h"

#define KEPT_MAX_BYTES (1u << 20)

void hw_plugin_call_init(struct hw_plugin_call *c, struct hw_plugin_seat *seat,
	struct hw_entry_answer *answer, unsigned depth)
{
	*c = (struct hw_plugin_call){
		.call =
			{
				.host = &seat->host->host,
				.instance = seat->host->instance,
				.worker = seat->state,
				.tenant = {seat->tenant, strlen(seat->tenant)},
				.now_ms = hw_clock_wall_ms(seat->host->env->clock),
			},
		.seat = seat,
		.answer = answer,
		.stage = HW_STAGE_LIFECYCLE, /* for which no setter has a use */
		.global = seat->host->entry->global,
		.depth = depth,
	};
}

/* A bench of guards has no tenant of its own: then it is that of the session. */
static struct hw_str tenant_of(const struct hw_plugin_call *c)
{
	struct hw_str tenant = hw_str_of(c->seat->tenant);

	if (tenant.len == 0 && c->ask)
		tenant = hw_ask_tenant(c->ask, c->seat->host->entry);
	return tenant;
}

int hw_plugin_reauth(struct hw_call *call, struct hw_slice user_id, struct hw_slice topic)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);

	return hw_hook_reauth(c->seat->inbox, &c->seat->reauths, tenant_of(c),
		       hw_plugin_str(user_id), hw_plugin_str(topic)) == 0
		       ? 0
		       : -1;
}

int hw_plugin_publish(struct hw_call *call, struct hw_slice event_json)
{
	struct hw_plugin_call *c = hw_plugin_call_of(call);
	struct hw_plugin_seat *seat = c->seat;
	enum hw_hook_publish_outcome outcome;
	struct hw_err err = {""};

	outcome = hw_hook_publish(seat->inbox, &seat->published, tenant_of(c),
		hw_plugin_str(event_json), seat->host->hook_name, c->depth, &err);
	if (outcome == HW_HOOK_PUBLISH_OK)
		return 0;
	hw_log(seat->host->env->log, HW_LOG_DEBUG, "plugin", "an event of a plugin is refused",
		HW_F_Z("plugin", seat->host->plugin_name), HW_F_Z("hook", seat->host->hook_name),
		HW_F_Z("tenant", seat->tenant),
		HW_F_Z("why", outcome == HW_HOOK_PUBLISH_INVALID ? err.text
								 : hw_hook_publish_why(outcome)));
	return -1;
}

/* ---- what a reload takes over ---- */

int hw_plugin_keep(struct hw_call *call, struct hw_slice state)
{
	struct hw_buf *kept = hw_plugin_call_of(call)->kept;

	if (!kept || kept->len > 0 || state.len > KEPT_MAX_BYTES)
		return -1;
	hw_buf_add(kept, state.p, state.len);
	return kept->failed ? -1 : 0;
}

static bool save(struct hw_plugin_seat *former, struct hw_buf *kept)
{
	struct hw_entry_answer answer = {0};
	struct hw_plugin_call c;
	bool saved;

	hw_plugin_call_init(&c, former, &answer, 0);
	c.kept = kept;
	saved = former->host->table->save(&c.call) == 0 && !kept->failed;
	hw_entry_answer_fini(&answer);
	return saved;
}

static void restore(struct hw_plugin_seat *seat, struct hw_slice state)
{
	struct hw_entry_answer answer = {0};
	struct hw_plugin_call c;

	hw_plugin_call_init(&c, seat, &answer, 0);
	if (seat->host->table->restore(&c.call, state) != 0)
		hw_log(seat->host->env->log, HW_LOG_WARN, "plugin",
			"a plugin does not take over its state of before the reload",
			HW_F_Z("plugin", seat->host->plugin_name),
			HW_F_Z("hook", seat->host->hook_name), HW_F_Z("tenant", seat->tenant));
	hw_entry_answer_fini(&answer);
}

void hw_plugin_seat_inherit(struct hw_plugin_seat *seat, struct hw_plugin_seat *former)
{
	struct hw_buf kept;

	if (!former->host->table->save || !seat->host->table->restore ||
		strcmp(former->host->plugin_name, seat->host->plugin_name) != 0)
		return;
	hw_buf_init(&kept);
	if (save(former, &kept))
		restore(seat, (struct hw_slice){kept.data, kept.len});
	hw_buf_fini(&kept);
}

/* ---- life ---- */

static int start(struct hw_plugin_seat *seat)
{
	struct hw_entry_answer answer = {0};
	struct hw_plugin_call c;
	int rc = 0;

	if (seat->host->table->worker_start) {
		hw_plugin_call_init(&c, seat, &answer, 0);
		rc = seat->host->table->worker_start(&c.call);
		hw_entry_answer_fini(&answer);
	}
	return rc == 0 ? 0 : -EIO;
}

int hw_plugin_seat_create(
	struct hw_plugin_host *host, struct hw_hook_bench *bench, struct hw_plugin_seat **out)
{
	struct hw_plugin_seat *seat = calloc(1, sizeof(*seat));
	int rc;

	if (!seat)
		return -ENOMEM;
	seat->host = host;
	seat->inbox = hw_hook_inbox_of(host->env, bench->worker);
	seat->tenant = bench->tenant;
	seat->trial = bench->trial;
	/* what a shadow would do to others is not done either */
	seat->published.trial = seat->reauths.trial = bench->trial || host->entry->shadow;
	seat->space = hw_bench_space(bench, host->entry);
	hw_list_init(&seat->waits);
	hw_list_init(&seat->timers);
	hw_list_init(&seat->jobs);
	if (host->table->worker_init && host->table->worker_init(&host->host, host->instance,
						bench->worker, &seat->state) != 0) {
		free(seat);
		return -EIO;
	}
	rc = start(seat);
	if (rc < 0) {
		hw_plugin_seat_destroy(&seat);
		return rc;
	}
	*out = seat;
	return 0;
}

void hw_plugin_seat_destroy(struct hw_plugin_seat **seat_in)
{
	struct hw_plugin_seat *seat = *seat_in;
	struct hw_plugin_host *host = seat->host;

	hw_plugin_timers_end(seat);
	hw_plugin_jobs_end(seat);
	if (host->table->worker_fini)
		host->table->worker_fini(&host->host, host->instance, seat->state);
	free(seat);
	*seat_in = NULL;
}
