#include <errno.h>
#include <stdlib.h>

#include "app/conf_schema.h"

struct hw_conf_part *hw_conf_part_create(const char *name)
{
	struct hw_conf_part *part = calloc(1, sizeof(*part));

	if (!part)
		return NULL;
	atomic_init(&part->n_refs, 1);
	hw_conf_arena_init(&part->arena);
	part->name = hw_conf_arena_dup(&part->arena, hw_str_of(name));
	if (!part->name)
		hw_conf_part_unref(&part);
	return part;
}

struct hw_conf_part *hw_conf_part_ref(struct hw_conf_part *part)
{
	if (part)
		atomic_fetch_add_explicit(&part->n_refs, 1, memory_order_relaxed);
	return part;
}

void hw_conf_part_unref(struct hw_conf_part **part)
{
	struct hw_conf_part *p = *part;

	*part = NULL;
	if (!p || atomic_fetch_sub_explicit(&p->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	hw_conf_tree_destroy(&p->tree);
	hw_conf_arena_fini(&p->arena);
	free(p);
}

/* The paths outlive the loader's: they are the configuration's from here on. */
static int copy_paths(struct hw_conf_reader *r, const struct hw_conf_part_options *options)
{
	struct hw_conf_arena *arena = &r->part->arena;
	const char **list = hw_conf_arena_array(arena, options->n_plugin_path, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < options->n_plugin_path; i++)
		list[i] = hw_conf_arena_dup(arena, hw_str_of(options->plugin_path[i]));
	r->plugin_path = list;
	r->n_plugin_path = options->n_plugin_path;
	r->plugin_path_secret = options->plugin_path_secret;
	return arena->failed ? -ENOMEM : 0;
}

static void read_main(struct hw_conf_reader *r, const struct hw_conf_part_options *options)
{
	const struct hw_conf_value *root = r->part->tree ? hw_conf_tree_root(r->part->tree) : NULL;
	struct hw_conf_global *g = hw_conf_arena_alloc(&r->part->arena, sizeof(*g));

	if (!g)
		return;
	r->part->global = g;
	hw_conf_global_defaults(r, g);
	if (options->script_path)
		g->script_path =
			hw_conf_arena_dup(&r->part->arena, hw_str_of(options->script_path));
	if (!root)
		return;
	if (!hw_conf_expect(r, root, HW_CONF_OBJECT, "an object: {…}"))
		return;
	hw_conf_read_members(r, &hw_conf_keys_global, root, g);
	if (!r->part->arena.failed)
		hw_conf_global_rules(r, root, g);
}

static void read_included(struct hw_conf_reader *r)
{
	const struct hw_conf_value *root = r->part->tree ? hw_conf_tree_root(r->part->tree) : NULL;

	if (root && hw_conf_expect(r, root, HW_CONF_OBJECT, "an object: {\"tenants\": {…}}"))
		hw_conf_read_members(r, &hw_conf_keys_included, root, r->part);
}

int hw_conf_part_read(struct hw_conf_part *part, struct hw_str text, bool main,
	const struct hw_conf_part_options *options, struct hw_conf_report *report)
{
	const struct hw_conf_tree_options tree_options = {.file = part->name,
		.env = options->env,
		.env_arg = options->env_arg,
		.files = options->files};
	struct hw_conf_reader r = {.report = report, .part = part, .files = options->files};
	size_t n_items = report->n_items;
	int rc = copy_paths(&r, options);

	if (rc == 0 && text.p)
		rc = hw_conf_tree_parse(text, &tree_options, &part->tree, report);
	if (rc < 0)
		return rc;
	r.text_broken = rc > 0;
	if (main)
		read_main(&r, options);
	else
		read_included(&r);
	if (part->tree)
		part->text = hw_conf_text_of(&r, hw_conf_tree_root(part->tree));
	hw_conf_report_sort(report, n_items);
	return part->arena.failed || report->failed ? -ENOMEM : 0;
}
