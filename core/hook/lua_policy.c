#include "hook/lua_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* policy { … }, the file around it, and the modules that file requires. */

#define MODULE_MAX_BYTES (1u << 20)

const char *const hw_lua_function_names[HW_LUA_N_FUNCTIONS] = {
	[HW_LUA_AUTHENTICATE] = "authenticate",
	[HW_LUA_SUBSCRIBE] = "authorize.subscribe",
	[HW_LUA_WILDCARD] = "authorize.wildcard",
	[HW_LUA_PUBLISH] = "authorize.publish",
	[HW_LUA_PRESENCE] = "authorize.presence",
	[HW_LUA_SESSION] = "authorize.session",
	[HW_LUA_TRANSFORM] = "transform",
	[HW_LUA_FILTER] = "filter",
	[HW_LUA_REDACT] = "redact",
	[HW_LUA_CONNECT] = "on.connect",
	[HW_LUA_DISCONNECT] = "on.disconnect",
	[HW_LUA_OCCUPIED] = "on.occupied",
	[HW_LUA_VACATED] = "on.vacated",
	[HW_LUA_PUBLISHED] = "on.publish",
	[HW_LUA_SAVE] = "save",
	[HW_LUA_RESTORE] = "restore",
};

/* ---- policy { … } ---- */

/* A name of hw_lua_function_names by its parts; HW_LUA_N_FUNCTIONS if there is none. */
static enum hw_lua_function find_function(const char *group, const char *key)
{
	char name[64];
	int i;

	if (group)
		snprintf(name, sizeof(name), "%s.%s", group, key);
	else
		snprintf(name, sizeof(name), "%s", key);
	for (i = 0; i < HW_LUA_N_FUNCTIONS; i++) {
		if (strcmp(hw_lua_function_names[i], name) == 0)
			break;
	}
	return (enum hw_lua_function)i;
}

/* The value on top is popped. */
static void take_function(lua_State *lua, struct hw_lua_chunk *chunk, enum hw_lua_function f)
{
	if (lua_type(lua, -1) != LUA_TFUNCTION)
		luaL_error(lua, "'%s' must be a function, not a %s", hw_lua_function_names[f],
			luaL_typename(lua, -1));
	chunk->functions[f] = luaL_ref(lua, LUA_REGISTRYINDEX);
}

static const char *key_text(lua_State *lua, const char *where)
{
	if (lua_type(lua, -2) != LUA_TSTRING)
		luaL_error(lua, "%s has a key that is a %s; its keys are names", where,
			luaL_typename(lua, -2));
	return lua_tostring(lua, -2);
}

/* authorize = { … } and on = { … }; the table is on top and popped. */
static void take_group(lua_State *lua, struct hw_lua_chunk *chunk, const char *group)
{
	static const char *const authorize[] = {
		"subscribe", "wildcard", "publish", "presence", "session"};
	static const char *const on[] = {"connect", "disconnect", "occupied", "vacated", "publish"};
	bool is_on = strcmp(group, "on") == 0;

	if (lua_type(lua, -1) != LUA_TTABLE)
		luaL_error(lua, "'%s' must be a table, not a %s", group, luaL_typename(lua, -1));
	lua_pushnil(lua);
	while (lua_next(lua, -2)) {
		const char *key = key_text(lua, group);
		enum hw_lua_function f = find_function(group, key);

		if (f == HW_LUA_N_FUNCTIONS)
			hw_lua_unknown_key(lua, key, group, is_on ? on : authorize,
				is_on ? HW_COUNT(on) : HW_COUNT(authorize));
		take_function(lua, chunk, f);
	}
	lua_pop(lua, 1);
}

/* key at -2, value at -1, which is popped */
static void take_key(lua_State *lua, struct hw_lua_chunk *chunk)
{
	static const char *const known[] = {"api", "authenticate", "authorize", "transform",
		"reads", "filter", "redact", "on", "every", "save", "restore"};
	const char *key = key_text(lua, "policy");

	if (strcmp(key, "api") == 0) {
		if (lua_type(lua, -1) != LUA_TNUMBER || lua_tonumber(lua, -1) != 1)
			luaL_error(lua, "this version of Hookwire speaks api = 1");
		lua_pop(lua, 1);
	} else if (strcmp(key, "authenticate") == 0 || strcmp(key, "transform") == 0 ||
		   strcmp(key, "filter") == 0 || strcmp(key, "redact") == 0 ||
		   strcmp(key, "save") == 0 || strcmp(key, "restore") == 0) {
		take_function(lua, chunk, find_function(NULL, key));
	} else if (strcmp(key, "authorize") == 0 || strcmp(key, "on") == 0) {
		take_group(lua, chunk, key);
	} else if (strcmp(key, "reads") == 0) {
		hw_lua_take_reads(lua, chunk);
	} else if (strcmp(key, "every") == 0) {
		hw_lua_take_every(lua, chunk);
	} else {
		hw_lua_unknown_key(lua, key, "policy", known, HW_COUNT(known));
	}
}

static bool registers_any(const struct hw_lua_chunk *chunk)
{
	if (chunk->n_every > 0)
		return true;
	for (int i = 0; i < HW_LUA_SAVE; i++) {
		if (chunk->functions[i] != LUA_NOREF)
			return true;
	}
	return false;
}

int hw_lua_policy(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_lua_chunk *chunk = state->running;

	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	if (!state->loading)
		return luaL_error(
			lua, "policy { … } is for the file itself, not for a function in it");
	if (chunk->made != LUA_NOREF)
		return luaL_error(lua, "a file has one policy { … }");
	lua_pushliteral(lua, "api");
	if (lua_rawget(lua, 1) == LUA_TNIL)
		return luaL_error(lua, "policy needs api = 1");
	lua_settop(lua, 1);
	lua_pushnil(lua);
	while (lua_next(lua, 1))
		take_key(lua, chunk);
	if (!registers_any(chunk))
		return luaL_error(lua, "policy registers no function: it has none of authenticate, "
				       "authorize, transform, filter, redact, on, every");
	hw_lua_check_reads(lua, chunk);
	lua_pushvalue(lua, 1);
	chunk->made = luaL_ref(lua, LUA_REGISTRYINDEX);
	return 1;
}

/* ---- the file ---- */

/* Compiles @source as a text chunk with a fresh environment and pushes the function. */
static void push_compiled(lua_State *lua, const char *source, size_t len, const char *chunk_name)
{
	if (len >= 3 && memcmp(source, "\xef\xbb\xbf", 3) == 0) {
		source += 3;
		len -= 3;
	}
	if (luaL_loadbufferx(lua, source, len, chunk_name, "t") != LUA_OK)
		lua_error(lua);
	hw_lua_push_env(lua);
	lua_setupvalue(lua, -2, 1);
}

int hw_lua_load_chunk(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_lua_chunk *chunk = lua_touserdata(lua, 1);
	struct hw_lua_entry *entry = chunk->entry;

	state->running = chunk;
	state->ask = NULL;
	state->loading = true;
	for (int i = 0; i < HW_LUA_N_FUNCTIONS; i++)
		chunk->functions[i] = LUA_NOREF;
	chunk->made = LUA_NOREF;
	lua_newtable(lua);
	chunk->modules = luaL_ref(lua, LUA_REGISTRYINDEX);
	hw_lua_push_ctx(lua, chunk);
	chunk->ctx = luaL_ref(lua, LUA_REGISTRYINDEX);
	push_compiled(lua, entry->source, entry->source_len, entry->chunk_name);
	lua_call(lua, 0, 1);
	if (chunk->made != LUA_NOREF)
		lua_rawgeti(lua, LUA_REGISTRYINDEX, chunk->made);
	else
		lua_pushboolean(lua, 0);
	if (!lua_rawequal(lua, -1, -2))
		return luaL_error(lua, "%s: the file must end with: return policy { … }",
			entry->chunk_name + 1);
	luaL_unref(lua, LUA_REGISTRYINDEX, chunk->made);
	luaL_unref(lua, LUA_REGISTRYINDEX, chunk->modules);
	state->loading = false;
	return 0;
}

/* ---- require ---- */

static struct hw_lua_module *find_module(struct hw_lua_entry *entry, const char *name)
{
	struct hw_lua_module *module = entry->modules;

	while (module && strcmp(module->name, name) != 0)
		module = module->next;
	return module;
}

static void module_free(struct hw_lua_module *module)
{
	free(module->name);
	free(module->source);
	free(module);
}

void hw_lua_modules_free(struct hw_lua_module **modules)
{
	while (*modules) {
		struct hw_lua_module *module = *modules;

		*modules = module->next;
		module_free(module);
	}
}

/* Reads all of a regular file. 0 or negative errno. */
static int read_file(int fd, struct hw_lua_module *module)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > (off_t)MODULE_MAX_BYTES)
		return -EFBIG;
	module->source = malloc((size_t)st.st_size + 1);
	if (!module->source)
		return -ENOMEM;
	while (module->len < (size_t)st.st_size) {
		n = read(fd, module->source + module->len, (size_t)st.st_size - module->len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		module->len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int hw_lua_module_read(const char *folder, const char *name, struct hw_lua_module **out)
{
	struct hw_lua_module *module = calloc(1, sizeof(*module));
	char path[4096];
	int fd, rc;

	if (!module)
		return -ENOMEM;
	module->name = strdup(name);
	rc = module->name ? 0 : -ENOMEM;
	if (rc == 0 && snprintf(path, sizeof(path), "%s/%s.lua", folder, name) >= (int)sizeof(path))
		rc = -ENAMETOOLONG;
	if (rc == 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		rc = fd < 0 ? -errno : read_file(fd, module);
		if (fd >= 0)
			close(fd);
	}
	if (rc < 0) {
		module_free(module);
		return rc;
	}
	*out = module;
	return 0;
}

/* Only while the entry is loaded the file system is read; later states run what was read then. */
static struct hw_lua_module *load_module(
	lua_State *lua, struct hw_lua_entry *entry, const char *name)
{
	const char *folder = entry->base.env->script_lib;
	struct hw_lua_module *module = find_module(entry, name);
	int rc;

	if (module)
		return module;
	if (entry->loaded)
		luaL_error(
			lua, "module '%s' was not required when the policy was first loaded", name);
	if (!folder)
		luaL_error(lua, "there is no folder of modules to require '%s' from", name);
	hw_lua_host_begin(lua);
	rc = hw_lua_module_read(folder, name, &module);
	if (rc == 0) {
		module->next = entry->modules;
		entry->modules = module;
	}
	hw_lua_host_end(lua);
	if (rc < 0)
		luaL_error(lua, "module '%s': %s: %s/%s.lua", name,
			rc == -ENOENT ? "there is no such file" : "cannot be read", folder, name);
	return module;
}

int hw_lua_require(lua_State *lua)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	const char *name = luaL_checkstring(lua, 1);
	struct hw_lua_module *module;
	char chunk_name[96];

	lua_settop(lua, 1);
	if (!state->loading)
		return luaL_error(
			lua, "require works only while the file is loaded: put it at the top");
	luaL_argcheck(lua,
		*name && strlen(name) <= 64 &&
			strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name),
		1, "a module's name is lower-case letters and '_'");
	lua_rawgeti(lua, LUA_REGISTRYINDEX, state->running->modules);
	lua_pushvalue(lua, 1);
	if (lua_rawget(lua, 2) != LUA_TNIL) {
		if (lua_touserdata(lua, -1) == state)
			return luaL_error(lua, "module '%s' requires itself", name);
		return 1;
	}
	lua_pushvalue(lua, 1);
	lua_pushlightuserdata(lua, state);
	lua_rawset(lua, 2);
	module = load_module(lua, state->running->entry, name);
	snprintf(chunk_name, sizeof(chunk_name), "@lib/%s.lua", name);
	push_compiled(lua, module->source, module->len, chunk_name);
	lua_pushvalue(lua, 1);
	lua_call(lua, 1, 1);
	if (lua_isnil(lua, -1)) {
		lua_pop(lua, 1);
		lua_pushboolean(lua, 1);
	}
	lua_pushvalue(lua, 1);
	lua_pushvalue(lua, -2);
	lua_rawset(lua, 2);
	return 1;
}
