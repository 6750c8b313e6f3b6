/* Shared by the files of the configuration reader: one unit being read, and what each file of the
 * reader offers the others. Nobody else includes this but its tests. */
#pragma once

#include <stdatomic.h>

#include "app/conf.h"
#include "app/conf_arena.h"
#include "app/conf_tree.h"

/* What one file became. Shared by the configurations of several loads, since a broken unit keeps
 * its former part. Counted: a generation may be dropped on any thread. */
struct hw_conf_part {
	atomic_uint n_refs;
	struct hw_conf_arena arena; /* of all below but the tree */
	struct hw_conf_tree *tree;  /* NULL when unreadable */
	const char *name;
	struct hw_str text;
	struct hw_conf_global *global; /* NULL of an included file */
	struct hw_conf_tenant *tenants;
	size_t n_tenants;
	const struct hw_conf_value **include; /* where each of global's include stands */
	bool plugin_path_secret; /* parts of global's were substituted: not to be shown */
};

/* What a part may use while it is read. */
struct hw_conf_part_options {
	const char *(*env)(void *arg, const char *name); /* NULL: nothing is set */
	void *env_arg;
	const char *const *plugin_path; /* until the file says otherwise; copied */
	size_t n_plugin_path;
	bool plugin_path_secret;
	const char *script_path; /* NULL: none */
	bool files;              /* may look at the file system: sources, @file: */
};

/* One unit while it is read. */
struct hw_conf_reader {
	struct hw_conf_report *report;
	struct hw_conf_part *part;
	const char *const *plugin_path;
	size_t n_plugin_path;
	bool plugin_path_secret; /* parts of it were substituted */
	bool files;              /* may look at the file system */
	bool text_broken;        /* what is not in the tree may be in the file all the same */
};

/* conf_read.c */
void hw_conf_error(struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format,
	...) HW_PRINTF(3, 4);
/** Likewise at the key of a member. */
void hw_conf_error_key(struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format,
	...) HW_PRINTF(3, 4);
void hw_conf_warn(struct hw_conf_reader *r, const struct hw_conf_value *at, const char *format, ...)
	HW_PRINTF(3, 4);
struct hw_conf_pos hw_conf_pos_of(const struct hw_conf_reader *r, const struct hw_conf_value *v);
struct hw_conf_pos hw_conf_pos_of_key(
	const struct hw_conf_reader *r, const struct hw_conf_value *v);

#define HW_CONF_SHOW_MAX 80
/** What of @v may be printed, in quotes if it is a string: as written, so never a substituted
 * value; long ones are cut. */
const char *hw_conf_show(const struct hw_conf_value *v, char out[HW_CONF_SHOW_MAX]);
/** false, and an error unless there is one about @v already, if @v is of another type.
 * @wanted finishes the sentence "write …". */
bool hw_conf_expect(struct hw_conf_reader *r, const struct hw_conf_value *v, enum hw_conf_type type,
	const char *wanted);
/** @v's text joined to the directory of the file that holds it; NULL when out of memory. */
const char *hw_conf_path_of(struct hw_conf_reader *r, const struct hw_conf_value *v);
/** @v as compact JSON in the part's memory, zero-terminated. */
struct hw_str hw_conf_text_of(struct hw_conf_reader *r, const struct hw_conf_value *v);

/* conf_part.c */
struct hw_conf_part *hw_conf_part_create(const char *name); /* NULL: out of memory */
struct hw_conf_part *hw_conf_part_ref(struct hw_conf_part *part);
void hw_conf_part_unref(struct hw_conf_part **part);

/** Parses and types @text as the file called @part's name; everything found wrong is reported,
 * sorted by place. @main: the main file; else one of tenants only. @text NULL: there is none, only
 * defaults. @part stays usable as far as it could be read. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_conf_part_read(struct hw_conf_part *part, struct hw_str text, bool main,
	const struct hw_conf_part_options *options, struct hw_conf_report *report);

/* conf_include.c */
struct hw_conf_names {
	char **names;
	size_t n;
	size_t cap;
};
/** The files that @main includes, sorted by name, each once. Patterns that name nothing are
 * reported at their places. 0 or -ENOMEM with @out empty. */
HW_MUST_CHECK int hw_conf_include_expand(
	const struct hw_conf_part *main, struct hw_conf_report *report, struct hw_conf_names *out);
/** Likewise for the patterns of an earlier load: what is wrong with them is left out. */
HW_MUST_CHECK int hw_conf_include_expand_old(
	const struct hw_conf_global *old, struct hw_conf_names *out);
void hw_conf_names_fini(struct hw_conf_names *names);

/* conf_join.c */
/** Reports tenants that more than one unit defines, and marks the units broken. 0 or -ENOMEM. */
HW_MUST_CHECK int hw_conf_find_twins(struct hw_conf *conf, struct hw_conf_report *report);
/** Fills conf->tenants and conf->pinned: tenants of inherited units first, then of good ones, then,
 * if @old is given and something is missing, of @old. 0, or -ENOMEM with @conf unchanged. */
HW_MUST_CHECK int hw_conf_join(struct hw_conf *conf, const struct hw_conf *old);
