#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hook/entry_internal.h"
#include "hook/env.h"
#include "hook/plugin_host.h"
#include "hook/plugin_library.h"

struct plugin_entry {
	struct hw_hook_entry base;
	struct hw_plugin table;
	struct hw_plugin_host host;
	bool unloaded;
};

static struct plugin_entry *plugin_of(struct hw_hook_entry *entry)
{
	return HW_CONTAINER_OF(entry, struct plugin_entry, base);
}

static struct hw_plugin_seat *seat_of(struct hw_entry_state *state)
{
	return (struct hw_plugin_seat *)(void *)state;
}

static int plugin_attach(
	struct hw_hook_entry *entry, struct hw_hook_bench *bench, struct hw_entry_state **out)
{
	struct hw_plugin_seat *seat;
	int rc = hw_plugin_seat_create(&plugin_of(entry)->host, bench, &seat);

	if (rc == 0)
		*out = (struct hw_entry_state *)(void *)seat;
	return rc;
}

static void plugin_detach(struct hw_hook_entry *entry, struct hw_entry_state *state)
{
	struct hw_plugin_seat *seat = seat_of(state);

	(void)entry;
	hw_plugin_seat_destroy(&seat);
}

/* The structs grow at their end: what an asker that knows less has not set is zero, and size says
 * how much it is. */
static enum hw_verdict dispatch(
	struct plugin_entry *plugin, struct hw_call *call, struct hw_ask *ask)
{
	struct hw_who who = {0};

	if (ask->who) {
		who = *ask->who;
		who.size = sizeof(who);
	}
	switch (ask->stage) {
	case HW_STAGE_AUTHENTICATE: {
		struct hw_request request = *ask->request;
		struct hw_str user = hw_ask_user(ask);

		request.size = sizeof(request);
		request.user_id = (struct hw_slice){user.p, user.len};
		request.tenant_id = user.p ? call->tenant : (struct hw_slice){NULL, 0};
		return plugin->table.authenticate(call, &request);
	}
	case HW_STAGE_AUTHORIZE: {
		struct hw_question question = *ask->question;

		question.size = sizeof(question);
		question.again = question.again || hw_plugin_call_of(call)->seat->trial;
		return plugin->table.authorize(call, &who, &question);
	}
	case HW_STAGE_TRANSFORM:
		return plugin->table.transform(
			call, &who, (struct hw_slice){ask->event.p, ask->event.len});
	case HW_STAGE_FILTER:
		return plugin->table.filter(call, (struct hw_slice){ask->event.p, ask->event.len});
	case HW_STAGE_REDACT:
		return plugin->table.redact(call, (struct hw_slice){ask->event.p, ask->event.len});
	case HW_STAGE_LIFECYCLE: {
		struct hw_lifecycle what = *ask->lifecycle;

		what.size = sizeof(what);
		plugin->table.lifecycle(call, &who, &what);
		return HW_DEFER;
	}
	case HW_STAGE_EVERY: /* Lua's */
		break;
	}
	return HW_ERROR;
}

static enum hw_verdict plugin_call(struct hw_hook_entry *entry, struct hw_entry_state *state,
	struct hw_ask *ask, struct hw_entry_answer *answer)
{
	struct hw_str tenant = hw_ask_tenant(ask, entry);
	struct hw_plugin_call call;
	enum hw_verdict verdict;

	hw_plugin_call_init(&call, seat_of(state), answer, ask->depth);
	call.call.tenant = (struct hw_slice){tenant.p, tenant.len};
	call.ask = ask;
	call.stage = ask->stage;
	call.audience = ask->audience;
	call.publish =
		ask->stage == HW_STAGE_AUTHORIZE && ask->question->operation == HW_OP_PUBLISH;
	verdict = dispatch(plugin_of(entry), &call.call, ask);
	if (verdict == HW_PENDING && call.wait) {
		hw_plugin_wait_begin(call.wait);
		return HW_PENDING;
	}
	if (call.wait)
		hw_plugin_wait_discard(call.wait);
	if (verdict == HW_PENDING) {
		snprintf(answer->detail, sizeof(answer->detail), "HW_PENDING without suspend");
		return HW_ERROR;
	}
	if (call.undeclared)
		return HW_ERROR;
	answer->said = verdict == HW_ERROR;
	return hw_plugin_verdict(&call, verdict);
}

static void plugin_cancel(
	struct hw_hook_entry *entry, struct hw_entry_state *state, struct hw_ask *ask)
{
	struct hw_plugin_wait *wait = hw_plugin_wait_find(seat_of(state), ask);

	(void)entry;
	if (wait)
		hw_plugin_wait_discard(wait);
}

static void plugin_inherit(
	struct hw_hook_entry *entry, struct hw_entry_state *state, struct hw_entry_state *from)
{
	(void)entry;
	hw_plugin_seat_inherit(seat_of(state), seat_of(from));
}

void hw_entry_plugin_unload(struct hw_hook_entry *entry)
{
	struct plugin_entry *plugin = plugin_of(entry);

	if (plugin->table.unload && !plugin->unloaded) {
		hw_hook_env_do(entry->env, "unload", entry->name);
		plugin->table.unload(&plugin->host.host, plugin->host.instance);
		hw_hook_env_do(entry->env, NULL, NULL);
	}
	plugin->unloaded = true;
}

static void plugin_free(struct hw_hook_entry *entry)
{
	struct plugin_entry *plugin = plugin_of(entry);

	hw_entry_plugin_unload(entry);
	hw_plugin_host_fini(&plugin->host);
	hw_entry_fini(entry);
	free(plugin);
}

static const struct hw_entry_ops plugin_ops = {
	.attach = plugin_attach,
	.detach = plugin_detach,
	.call = plugin_call,
	.cancel = plugin_cancel,
	.free = plugin_free,
	.inherit = plugin_inherit,
};

struct hw_plugin_host *hw_entry_plugin_host(struct hw_hook_entry *entry)
{
	return entry->ops == &plugin_ops ? &plugin_of(entry)->host : NULL;
}

static uint32_t registered(const struct hw_plugin *table)
{
	const uint32_t all = (1u << (HW_OP_SESSION + 1)) - 1;
	uint32_t operations = table->operations & all, bits = 0;

	if (table->authenticate)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_AUTHENTICATE);
	if (table->authorize)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
			HW_REGISTERS_OPERATION(0) *
				(operations ? operations : all & ~(1u << HW_OP_SESSION));
	if (table->transform)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_TRANSFORM);
	if (table->filter)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_FILTER);
	if (table->redact)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_REDACT);
	/* which kinds: once it is loaded, see start */
	if (table->lifecycle)
		bits |= HW_REGISTERS_STAGE(HW_STAGE_LIFECYCLE);
	return bits;
}

static int refused(const struct hw_problem *from, struct hw_hook_problem *problem)
{
	snprintf(problem->path, sizeof(problem->path), "%.127s", from->path);
	snprintf(problem->text, sizeof(problem->text), "%.383s",
		from->text[0] ? from->text : "the plugin refuses its settings");
	return -EINVAL;
}

static int take_reads(
	const char *const *names, struct hw_reads *reads, struct hw_hook_problem *problem)
{
	struct hw_err err;
	int rc = 0;

	for (; names && *names && rc == 0; names++)
		rc = hw_reads_add(reads, hw_str_of(*names), &err);
	if (rc < 0)
		snprintf(problem->text, sizeof(problem->text), "the plugin's reads: %.380s",
			err.text);
	return rc;
}

/* What is told of none of them is not told at all. */
static uint32_t kinds(const struct plugin_entry *plugin)
{
	const uint32_t all = (1u << (HW_ON_PUBLISH + 1)) - 1;
	uint32_t wanted = 1u << HW_ON_CONNECT | 1u << HW_ON_DISCONNECT;

	if (plugin->table.lifecycle_kinds)
		wanted = all &
			 plugin->table.lifecycle_kinds(&plugin->host.host, plugin->host.instance);
	return HW_REGISTERS_KIND(0) * wanted;
}

static int start_plugin(struct plugin_entry *plugin, const struct hw_hook_spec *spec,
	struct hw_hook_problem *problem)
{
	const struct hw_host *host = &plugin->host.host;
	struct hw_slice settings = {spec->config.p, spec->config.len};
	struct hw_problem said = {"", ""};

	if (plugin->table.validate && plugin->table.validate(host, settings, &said) != 0)
		return refused(&said, problem);
	plugin->unloaded = spec->only_check;
	if (plugin->table.load && !spec->only_check &&
		plugin->table.load(host, settings, &plugin->host.instance, &said) != 0)
		return refused(&said, problem);
	if (plugin->table.lifecycle && !spec->only_check)
		plugin->base.registers |= kinds(plugin);
	return 0;
}

static int start(struct plugin_entry *plugin, const struct hw_hook_spec *spec,
	struct hw_hook_problem *problem)
{
	int rc;

	plugin->host.config_file = spec->config_file;
	rc = start_plugin(plugin, spec, problem);
	plugin->host.config_file = NULL;
	return rc;
}

int hw_entry_plugin_load(struct hw_hook_env *env, const struct hw_hook_spec *spec,
	struct hw_str image, const uint8_t hash[32], struct hw_hook_entry **out,
	struct hw_hook_problem *problem)
{
	const struct hw_plugin_library *library;
	struct plugin_entry *plugin;
	struct hw_err err = {""};
	int rc = hw_plugin_library_get(env, image, hash, &library, &err);

	if (rc < 0) {
		snprintf(problem->text, sizeof(problem->text), "%s: %.380s", spec->path, err.text);
		return rc;
	}
	plugin = calloc(1, sizeof(*plugin));
	if (!plugin || hw_entry_init(&plugin->base, &plugin_ops, env, spec) < 0) {
		free(plugin);
		return -ENOMEM;
	}
	plugin->table = library->table;
	plugin->base.registers = registered(&plugin->table);
	rc = hw_plugin_host_init(&plugin->host, env, plugin->base.name, &plugin->table);
	if (rc < 0) {
		hw_entry_fini(&plugin->base);
		free(plugin);
		return rc;
	}
	rc = take_reads(plugin->table.filter_reads, &plugin->base.reads[0], problem);
	if (rc == 0)
		rc = take_reads(plugin->table.redact_reads, &plugin->base.reads[1], problem);
	if (rc == 0) {
		hw_hook_env_do(env, "load", spec->name);
		rc = start(plugin, spec, problem);
		hw_hook_env_do(env, NULL, NULL);
	}
	if (rc < 0) {
		hw_plugin_host_fini(&plugin->host);
		hw_entry_fini(&plugin->base);
		free(plugin);
		return rc;
	}
	plugin->host.entry = &plugin->base;
	*out = &plugin->base;
	return 0;
}
