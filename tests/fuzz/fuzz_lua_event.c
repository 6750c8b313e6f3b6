// links: hook
/* Any text as an event through Lua: looked into everywhere and not changed it must stay as it is;
 * with one member added it must be the same text with just that member; written anew it must be
 * JSON that says the same. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hook/hooks.h"
#include "hook/watchdog.h"
#include "wire/json.h"

static const char policy[] =
	"local function walk(t) for k, v in pairs(t) do if type(v) == 'table' then walk(v) end end "
	"end\n"
	"local function copy(t)\n"
	"  local c = {} if #t > 0 or getmetatable(t) == false then json.array(c) end\n"
	"  for k, v in pairs(t) do c[k] = type(v) == 'table' and copy(v) or v end return c end\n"
	"return policy { api = 1,\n"
	"transform = function(e, ctx, s)\n"
	"  walk(e)\n"
	"  if s.user_id == 'add' then e.added = true end\n"
	"  if s.user_id == 'copy' then return copy(e) end\n"
	"  return e end }\n";

struct world {
	struct hw_hook_env *env;
	struct hw_hook_bench *global, *tenant;
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* Lives as long as the process: libFuzzer has no end. */
static struct world *make_world(void)
{
	static struct world world;
	struct hw_hook_budget budget = {.cpu_ms = 5000, .load_ms = 5000, .memory_bytes = 64u << 20};
	char path[] = "/tmp/hw-fuzz-XXXXXX.lua";
	struct hw_hook_spec spec = {.name = "fuzz",
		.kind = HW_HOOK_LUA,
		.path = path,
		.config = HW_STR("{}"),
		.budget = budget};
	struct hw_hook_problem problem;
	struct hw_watchdog *watchdog;
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	int fd;

	if (world.env)
		return &world;
	fd = mkstemps(path, 4);
	must(fd >= 0 && write(fd, policy, sizeof(policy) - 1) == (ssize_t)sizeof(policy) - 1);
	close(fd);
	must(hw_watchdog_create(&watchdog) == 0 && hw_watchdog_enter_thread(watchdog) == 0);
	world.env = hw_hook_env_create(hw_log_create(STDERR_FILENO, HW_LOG_ERROR, HW_LOG_TEXT),
		hw_metrics_create(), &hw_clock_system, watchdog, NULL, NULL, NULL);
	must(world.env != NULL);
	if (hw_hook_entry_load(world.env, &spec, NULL, 0, &entry, &problem) != 0) {
		fprintf(stderr, "%s\n", problem.text);
		abort();
	}
	unlink(path);
	chain = hw_hook_chain_create(&entry, 1);
	must(chain &&
		hw_hook_bench_create(world.env, chain, HW_STR("acme"), 0, &world.tenant) == 0);
	must(hw_hook_bench_create(
		     world.env, hw_hook_chain_create(NULL, 0), HW_STR(""), 0, &world.global) == 0);
	return &world;
}

static enum hw_verdict transform(
	struct world *w, const char *user, struct hw_str text, char **out, size_t *len)
{
	struct hw_who who = {
		.size = sizeof(who), .user_id = {user, strlen(user)}, .tenant_id = {"acme", 4}};
	struct hw_ask ask = {.stage = HW_STAGE_TRANSFORM,
		.global = w->global,
		.tenant = w->tenant,
		.who = &who,
		.event = text};
	enum hw_verdict verdict = hw_hooks_ask(&ask);

	*out = ask.new_event;
	*len = ask.new_event_len;
	return verdict;
}

static bool has_member(struct hw_str text, struct hw_str name, bool *empty)
{
	struct hw_json_reader r;
	struct hw_json key, value;
	bool found = false;

	*empty = true;
	hw_json_init(&r, text, 0);
	must(hw_json_enter(&r, HW_JSON_OBJECT) == 0);
	while (hw_json_member(&r, &key) == 0 && hw_json_value(&r, &value) == 0) {
		*empty = false;
		found |= hw_json_is(key, name);
	}
	return found;
}

static void check_added(struct world *w, struct hw_str text, struct hw_str object)
{
	bool empty, there = has_member(object, HW_STR("added"), &empty);
	size_t len;
	char *out;

	must(transform(w, "add", text, &out, &len) == HW_ALLOW);
	if (out && !there) {
		struct hw_str tail = empty ? HW_STR("\"added\":true}") : HW_STR(",\"added\":true}");
		size_t kept = empty ? 1 : object.len - 1;

		must(len == kept + tail.len);
		must(memcmp(out, object.p, kept) == 0 && memcmp(out + kept, tail.p, tail.len) == 0);
	}
	must(out || there);
	free(out);
}

/* Whether Lua can hold it all, so that a copy says the same. */
static bool is_plain(struct hw_str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\\')
			return false; /* a lone surrogate, perhaps */
	}
	return true;
}

static void check_copy(struct world *w, struct hw_str text)
{
	struct hw_json whole;
	size_t len;
	char *out;

	if (transform(w, "copy", text, &out, &len) == HW_ALLOW) {
		must(out && hw_json_whole((struct hw_str){out, len}, 0, &whole, NULL) == 0 &&
			whole.kind == HW_JSON_OBJECT);
		if (is_plain(text)) {
			json_t *a = json_loadb(text.p, text.len, JSON_DECODE_INT_AS_REAL, NULL);
			json_t *b = json_loadb(out, len, JSON_DECODE_INT_AS_REAL, NULL);

			must(!a || (b && json_equal(a, b)));
			json_decref(a);
			json_decref(b);
		}
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_str text = {(const char *)data, size};
	struct world *w = make_world();
	struct hw_json whole;
	size_t len;
	char *out;

	if (size > 65536)
		return 0;
	if (hw_json_whole(text, 0, &whole, NULL) != 0 || whole.kind != HW_JSON_OBJECT) {
		/* whatever it is, it is refused or left as it is */
		(void)transform(w, "look", text, &out, &len);
		must(!out);
		return 0;
	}
	must(transform(w, "look", text, &out, &len) == HW_ALLOW);
	must(!out);
	check_added(w, text, whole.raw);
	check_copy(w, text);
	return 0;
}
