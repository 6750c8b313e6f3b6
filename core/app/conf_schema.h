/* The contract of the configuration as tables: which keys there are, what they take, their defaults
 * and ranges. One walk over them reads, another prints them; a key is described here and nowhere
 * else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/conf_internal.h"

enum hw_conf_kind {
	HW_CONF_KEY_BOOL,   /* bool at offset */
	HW_CONF_KEY_U32,    /* uint32_t at offset, min to max */
	HW_CONF_KEY_U64,    /* uint64_t at offset, likewise */
	HW_CONF_KEY_PATH,   /* const char * at offset, joined to the file's directory */
	HW_CONF_KEY_WORD,   /* an int at offset: the index of one of words */
	HW_CONF_KEY_OBJECT, /* members, into the struct at offset; read, if any, is called before */
	HW_CONF_KEY_OTHER,  /* whatever read makes of it */
	HW_CONF_KEY_LATER,  /* refused: not in this version */
	HW_CONF_KEY_IGNORED,
};

struct hw_conf_key {
	const char *name;
	enum hw_conf_kind kind;
	bool nullable; /* null is its default, or the same as leaving it out */
	size_t offset;
	uint64_t min, max, initial;         /* numbers; of BOOL and WORD initial only */
	const char *const *words;           /* ends in NULL */
	const struct hw_conf_keys *members; /* OBJECT; OTHER: of what read takes, for the walk */
	/* @target is the struct that the table describes, not what is at offset */
	void (*read)(struct hw_conf_reader *r, const struct hw_conf_value *v, void *target);
	/* OTHER: its JSON type; members are those of its items when it is "array" or "map" */
	const char *shape;
	/* LATER: what is missing. OTHER: the default as JSON, for the walk */
	const char *text;
};

struct hw_conf_keys {
	const struct hw_conf_key *keys;
	size_t n_keys;
};

extern const struct hw_conf_keys hw_conf_keys_global;   /* into struct hw_conf_global */
extern const struct hw_conf_keys hw_conf_keys_included; /* struct hw_conf_part */
extern const struct hw_conf_keys hw_conf_keys_tenant;   /* struct hw_conf_tenant */
extern const struct hw_conf_keys hw_conf_keys_topic;    /* struct hw_conf_topic_class */
extern const struct hw_conf_keys hw_conf_keys_hook;     /* struct hw_conf_hook */
extern const struct hw_conf_keys hw_conf_keys_listen;   /* struct hw_conf_listen */

/** Sets what the tables give a default for; strings and what OTHER reads stay as they are. */
void hw_conf_defaults(const struct hw_conf_keys *keys, void *target);
/** Reads the members of @object into @target in the order of the table, and refuses those that are
 * not in it. */
void hw_conf_read_members(struct hw_conf_reader *r, const struct hw_conf_keys *keys,
	const struct hw_conf_value *object, void *target);

/* What OTHER keys are read with. conf_listen.c, conf_hook.c, conf_tenant.c, conf_values.c,
 * conf_decisions.c. */
#define HW_CONF_READ(name) \
	void hw_conf_read_##name( \
		struct hw_conf_reader *r, const struct hw_conf_value *v, void *target)
HW_CONF_READ(listen);
HW_CONF_READ(listen_address);
HW_CONF_READ(trusted_proxies);
HW_CONF_READ(admin);
HW_CONF_READ(admin_listen);
HW_CONF_READ(admin_token);
HW_CONF_READ(cookie);
HW_CONF_READ(origins);
HW_CONF_READ(echo);
HW_CONF_READ(max_revoke);
HW_CONF_READ(decisions);
HW_CONF_READ(decisions_path);
HW_CONF_READ(decisions_sample);
HW_CONF_READ(decisions_stages);
HW_CONF_READ(decisions_always);
HW_CONF_READ(decisions_redact);
HW_CONF_READ(presence_topics);
HW_CONF_READ(presence_claims);
HW_CONF_READ(plugin_path);
HW_CONF_READ(include);
HW_CONF_READ(global_hooks);
HW_CONF_READ(hook_name);
HW_CONF_READ(hook_lua);
HW_CONF_READ(hook_plugin);
HW_CONF_READ(hook_config);
HW_CONF_READ(on_error);
HW_CONF_READ(tenants);
HW_CONF_READ(tenant_hooks);
HW_CONF_READ(topics);
HW_CONF_READ(history);
HW_CONF_READ(journal_plugin);
HW_CONF_READ(journal_config);

/** "127.0.0.1:8080" and the like into @out, whose proxy_protocol stays as it is; an error is at @v.
 * false: refused. */
bool hw_conf_listen_parse(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_listen *out);
/** Sets @out to a numeric address that is known to be right. */
void hw_conf_listen_default(
	struct hw_conf_reader *r, const char *host, uint16_t port, struct hw_conf_listen *out);
/** What the tables do not default, before anything is read. */
void hw_conf_global_defaults(struct hw_conf_reader *r, struct hw_conf_global *g);
/** The rules that need more than one key, after everything is read. */
void hw_conf_global_rules(
	struct hw_conf_reader *r, const struct hw_conf_value *root, struct hw_conf_global *g);

/* conf_decisions.c: what stands for what is not given, and what several keys say together. */
#define HW_CONF_DECISIONS_SAMPLE 0.01
#define HW_CONF_DECISIONS_STAGES (1u << HW_STAGE_AUTHENTICATE | 1u << HW_STAGE_AUTHORIZE)
void hw_conf_decisions_rules(
	struct hw_conf_reader *r, const struct hw_conf_value *root, struct hw_conf_global *g);
