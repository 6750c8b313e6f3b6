#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/conf_schema.h"
#include "hook/decisions.h"

/* Keys whose values have a shape of their own: the token, the cookie, origins, the echo path, lists
 * of paths. */

#define TOKEN_MIN 16

HW_CONF_READ(admin_token)
{
	struct hw_conf_global *g = target;

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "\"${HOOKWIRE_ADMIN_TOKEN}\", or null for none"))
		return;
	if (v->text.len < TOKEN_MIN) {
		hw_conf_error(r, v,
			"the admin token has fewer than %d characters, and whoever guesses it runs "
			"the "
			"broker; make one with: openssl rand -hex 32",
			TOKEN_MIN);
		return;
	}
	for (size_t i = 0; i < v->text.len; i++) {
		if (v->text.p[i] <= ' ' || v->text.p[i] > '~') {
			hw_conf_error(r, v,
				"the admin token has a character that no header can carry; use "
				"letters, "
				"digits and punctuation of ASCII");
			return;
		}
	}
	g->admin.token = v->text.p;
}

/* RFC 6265, section 4.1.1: a cookie-name is a token of RFC 9110, section 5.6.2. */
static bool is_token(struct hw_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c <= ' ' || c > '~' || strchr("()<>@,;:\\\"/[]?={}", c))
			return false;
	}
	return s.len > 0;
}

HW_CONF_READ(cookie)
{
	struct hw_conf_global *g = target;
	char shown[HW_CONF_SHOW_MAX];

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "the name of a cookie, or null for none"))
		return;
	if (!is_token(v->text))
		hw_conf_error(r, v,
			"%s cannot be the name of a cookie; use letters, digits, - and _, or null "
			"for none",
			hw_conf_show(v, shown));
	else
		g->auth.cookie = v->text.p;
}

/* RFC 6454, section 6.2: scheme "://" host [ ":" port ], as a browser writes it, so in small
 * letters. */
static const char *origin_problem(struct hw_str o)
{
	const char *colon = memmem(o.p, o.len, "://", 3);
	struct hw_str host;

	if (hw_str_eq(o, HW_STR("null")))
		return "every sandboxed page has the origin null; write the page's own, or \"*\"";
	if (!colon || colon == o.p)
		return "write scheme and host, like \"https://app.example.com\", or \"*\"";
	host = (struct hw_str){colon + 3, (size_t)(o.p + o.len - colon - 3)};
	if (host.len == 0)
		return "write scheme and host, like \"https://app.example.com\", or \"*\"";
	if (memchr(host.p, '/', host.len))
		return "an origin has no path and does not end in /; remove what follows the host";
	if (memchr(o.p, '*', o.len))
		return "origins are compared whole; list each one, or write \"*\" alone";
	for (size_t i = 0; i < o.len; i++) {
		if (o.p[i] >= 'A' && o.p[i] <= 'Z')
			return "browsers send origins in small letters; write it so";
		if (o.p[i] <= ' ' || o.p[i] > '~' || strchr("@?#\\", o.p[i]))
			return "an origin is scheme, host and port alone, in ASCII; remove the "
			       "rest";
	}
	if (hw_str_starts(o, HW_STR("https://")) && host.len > 4 &&
		memcmp(host.p + host.len - 4, ":443", 4) == 0)
		return "browsers leave the usual port out; remove :443";
	if (hw_str_starts(o, HW_STR("http://")) && host.len > 3 &&
		memcmp(host.p + host.len - 3, ":80", 3) == 0)
		return "browsers leave the usual port out; remove :80";
	return NULL;
}

HW_CONF_READ(origins)
{
	struct hw_conf_global *g = target;
	const char **list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY,
		    "an array of origins: [\"https://app.example.com\"], or [\"*\"]"))
		return;
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	g->auth.any_origin = false;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		char shown[HW_CONF_SHOW_MAX];
		const char *problem = NULL;

		if (!hw_conf_expect(
			    r, item, HW_CONF_STRING, "an origin: \"https://app.example.com\""))
			continue;
		if (hw_str_eq(item->text, HW_STR("*")))
			g->auth.any_origin = true;
		else
			problem = origin_problem(item->text);
		if (problem)
			hw_conf_error(r, item, "%s is not an origin: %s", hw_conf_show(item, shown),
				problem);
		else
			list[n++] = item->text.p;
	}
	g->auth.origins = list;
	g->auth.n_origins = n;
}

HW_CONF_READ(echo)
{
	static const char *const taken[] = {"/ws", "/sse", "/poll", "/publish", "/cursor",
		"/topics", "/ticket", "/healthz", "/readyz"};
	struct hw_conf_global *g = target;
	char shown[HW_CONF_SHOW_MAX];

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "a path like \"/echo\", or null for none"))
		return;
	for (size_t i = 0; i < HW_COUNT(taken); i++) {
		if (hw_str_eq(v->text, hw_str_of(taken[i])) ||
			(hw_str_starts(v->text, HW_STR("/topics/")))) {
			hw_conf_error(r, v, "%s is an endpoint already; write \"/echo\"",
				hw_conf_show(v, shown));
			return;
		}
	}
	for (size_t i = 0; i < v->text.len; i++) {
		char c = v->text.p[i];

		if (c <= ' ' || c > '~' || c == '?' || c == '#' || c == '%') {
			hw_conf_error(r, v,
				"%s has a character that a path cannot have as it is; write "
				"\"/echo\"",
				hw_conf_show(v, shown));
			return;
		}
	}
	if (v->text.len < 2 || v->text.p[0] != '/')
		hw_conf_error(r, v, "%s is not a path; write \"/echo\", or null for none",
			hw_conf_show(v, shown));
	else
		g->echo = v->text.p;
}

HW_CONF_READ(max_revoke)
{
	static const char wanted[] = "a share from 0 to 1, like 0.1, or null for no bound";
	struct hw_conf_global *g = target;
	char shown[HW_CONF_SHOW_MAX];
	double share;

	if (!hw_conf_expect(r, v, HW_CONF_NUMBER, wanted))
		return;
	share = strtod(v->text.p, NULL);
	if (share >= 0 && share <= 1)
		g->max_revoke = share;
	else
		hw_conf_error(r, v, "\"max_revoke\" is %s, which is out of range; write %s",
			hw_conf_show(v, shown), wanted);
}

#define PROXY_FORMS "\"10.0.0.7\", \"10.0.0.0/8\", \"2001:db8::/32\" or \"unix\""

static bool read_block(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_address_block *out)
{
	char shown[HW_CONF_SHOW_MAX], right[HW_ADDRESS_BLOCK_TEXT];
	int rc;

	if (!hw_conf_expect(
		    r, v, HW_CONF_STRING, "an address or a block of addresses: " PROXY_FORMS))
		return false;
	rc = hw_address_block_parse(v->text, out);
	if (rc == -ERANGE && !v->secret) {
		hw_address_block_print(out, right);
		hw_conf_error(r, v,
			"%s has bits set behind its prefix, so that it is unclear what is meant; "
			"write \"%s\" for the whole block, or an address without a prefix",
			hw_conf_show(v, shown), right);
	} else if (rc) {
		hw_conf_error(r, v,
			"%s is no address and no block of addresses, and names are not looked up; "
			"write " PROXY_FORMS,
			hw_conf_show(v, shown));
	} else if (out->prefix == 0 && out->base.kind != HW_ADDRESS_UNIX) {
		hw_conf_warn(r, v,
			"%s trusts every address: whoever can connect can say who he is; list the "
			"proxies' own addresses",
			hw_conf_show(v, shown));
	}
	return !rc;
}

HW_CONF_READ(trusted_proxies)
{
	struct hw_conf_global *g = target;
	struct hw_address_block *list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, "an array of addresses: [\"127.0.0.1\"]"))
		return;
	if (v->n_children > HW_CONF_PROXIES_MAX) {
		hw_conf_error(r, v,
			"\"trusted_proxies\" has more than %d entries, and each connection is "
			"compared with all of them; write larger blocks",
			HW_CONF_PROXIES_MAX);
		return;
	}
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next)
		n += read_block(r, item, &list[n]);
	g->trusted_proxies = list;
	g->n_trusted_proxies = n;
}

HW_CONF_READ(plugin_path)
{
	struct hw_conf_global *g = target;
	const char **list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, "an array of directories: [\"plugins\"]"))
		return;
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		if (!hw_conf_expect(r, item, HW_CONF_STRING, "a directory in quotes"))
			continue;
		if (item->text.len == 0)
			hw_conf_error(r, item, "a directory without a name; write its path");
		else
			list[n++] = hw_conf_path_of(r, item);
	}
	g->plugin_path = list;
	g->n_plugin_path = n;
	r->plugin_path = list;
	r->n_plugin_path = n;
	r->plugin_path_secret = r->part->plugin_path_secret = hw_conf_value_secret(v);
}

/* Why @v cannot be included, or NULL. */
static const char *include_problem(const struct hw_conf_value *v)
{
	const char *wildcard = strpbrk(v->text.p, "*?[");

	if (v->text.len == 0)
		return "a file without a name; write \"tenants.d/*.json\"";
	if (v->secret)
		return "${…} and @file: are not replaced here, since messages name the files; "
		       "write "
		       "the path itself";
	if (wildcard && strchr(wildcard, '/'))
		return "a wildcard in the name of a directory: only files are searched for; name "
		       "the "
		       "directories, one entry for each";
	return NULL;
}

HW_CONF_READ(include)
{
	const struct hw_conf_value **values;
	struct hw_conf_global *g = target;
	const char **list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, "an array of files: [\"tenants.d/*.json\"]"))
		return;
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	values = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*values));
	if (!list || !values)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		const char *problem;

		if (!hw_conf_expect(r, item, HW_CONF_STRING, "a file or pattern in quotes"))
			continue;
		problem = include_problem(item);
		if (problem) {
			hw_conf_error(r, item, "%s", problem);
			continue;
		}
		values[n] = item;
		list[n++] = hw_conf_path_of(r, item);
	}
	g->include = list;
	g->n_include = n;
	r->part->include = values;
}

void hw_conf_global_defaults(struct hw_conf_reader *r, struct hw_conf_global *g)
{
	struct hw_conf_listen *listen = hw_conf_arena_alloc(&r->part->arena, sizeof(*listen));
	const char **origins = hw_conf_arena_alloc(&r->part->arena, sizeof(*origins));

	hw_conf_defaults(&hw_conf_keys_global, g);
	if (listen) {
		hw_conf_listen_default(r, "127.0.0.1", 8080, listen);
		g->listen = listen;
		g->n_listen = 1;
	}
	hw_conf_listen_default(r, "127.0.0.1", 8081, &g->admin.listen);
	if (origins) {
		*origins = "*";
		g->auth.origins = origins;
		g->auth.n_origins = 1;
		g->auth.any_origin = true;
	}
	g->max_revoke = 1;
	g->decisions.sample = HW_CONF_DECISIONS_SAMPLE;
	g->decisions.stages = HW_CONF_DECISIONS_STAGES;
	g->plugin_path = r->plugin_path;
	g->n_plugin_path = r->n_plugin_path;
}

static const struct hw_conf_value *find(
	const struct hw_conf_value *root, const char *group, const char *key)
{
	const struct hw_conf_value *v = hw_conf_value_get(root, hw_str_of(group));

	return v ? hw_conf_value_get(v, hw_str_of(key)) : NULL;
}

static void check_heartbeat(
	struct hw_conf_reader *r, const struct hw_conf_value *root, const struct hw_conf_global *g)
{
	const struct hw_conf_value *v = find(root, "heartbeat", "timeout_ms");

	if (g->heartbeat.timeout_ms > g->heartbeat.interval_ms)
		return;
	if (!v)
		v = find(root, "heartbeat", "interval_ms");
	if (v)
		hw_conf_error(r, v,
			"\"timeout_ms\" (%u) is not more than \"interval_ms\" (%u): a silent "
			"client would be "
			"cut off before it was pinged; make it at least twice the interval",
			(unsigned)g->heartbeat.timeout_ms, (unsigned)g->heartbeat.interval_ms);
}

void hw_conf_global_rules(
	struct hw_conf_reader *r, const struct hw_conf_value *root, struct hw_conf_global *g)
{
	const struct hw_conf_value *v;

	check_heartbeat(r, root, g);
	hw_conf_decisions_rules(r, root, g);
	if (g->auth.cookie && g->auth.any_origin) {
		v = find(root, "auth", "cookie");
		hw_conf_error(r, v,
			"a cookie is refused while \"origins\" allows \"*\": any web page could "
			"connect with "
			"it in its visitor's name; list the origins, like "
			"[\"https://app.example.com\"]");
		g->auth.cookie = NULL;
	}
	for (size_t i = 0; g->admin.enabled && i < g->n_listen; i++) {
		const struct hw_conf_listen *l = &g->listen[i];

		if (!l->text || !g->admin.listen.text ||
			strcmp(l->text, g->admin.listen.text) != 0 ||
			(l->kind == HW_CONF_LISTEN_TCP && l->port == 0))
			continue;
		v = find(root, "admin", "listen");
		hw_conf_error(r, v ? v : hw_conf_value_get(root, HW_STR("admin")),
			"the admin listener has an address of \"listen\"; give it one of its own");
	}
	v = hw_conf_value_get(root, HW_STR("trusted_proxies"));
	for (size_t i = 0; (!v || v->n_children == 0) && i < g->n_listen; i++) {
		if (!g->listen[i].proxy_protocol)
			continue;
		v = hw_conf_value_get(root, HW_STR("listen"));
		hw_conf_error(r, v ? v : root,
			"%s has \"proxy_protocol\", and there is nobody in \"trusted_proxies\": "
			"every "
			"connection would be refused; list the proxies' addresses there",
			g->listen[i].text);
		break;
	}
	v = hw_conf_value_get(root, HW_STR("hooks"));
	if (v ? v->type == HW_CONF_ARRAY && v->n_children == 0 : !r->text_broken)
		hw_conf_warn(r, v ? v : root,
			"there is no entry in \"hooks\": nobody can be authenticated; add one, "
			"like "
			"{\"plugin\": \"jwt\", \"config\": {…}}");
}
