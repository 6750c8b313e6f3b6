#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "app/conf_schema.h"

#define FORMS "\"127.0.0.1:8080\", \"[::]:8080\" or \"unix:/run/hookwire.sock\""

/* Fills @l from a numeric address. false: @host is none. */
static bool set_tcp(struct hw_conf_reader *r, struct hw_str host, bool v6, uint16_t port,
	struct hw_conf_listen *l)
{
	char zero[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 16];
	struct sockaddr_in *in = (struct sockaddr_in *)&l->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l->addr;

	if (host.len >= sizeof(zero))
		return false;
	memcpy(zero, host.p, host.len);
	zero[host.len] = '\0';
	memset(&l->addr, 0, sizeof(l->addr));
	if (v6) {
		if (inet_pton(AF_INET6, zero, &in6->sin6_addr) != 1)
			return false;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		l->addr_len = sizeof(*in6);
		if (!inet_ntop(AF_INET6, &in6->sin6_addr, zero, sizeof(zero)))
			return false;
	} else {
		if (inet_pton(AF_INET, zero, &in->sin_addr) != 1)
			return false;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		l->addr_len = sizeof(*in);
	}
	l->kind = HW_CONF_LISTEN_TCP;
	l->port = port;
	l->path = NULL;
	l->host = hw_conf_arena_dup(&r->part->arena, hw_str_of(zero));
	snprintf(text, sizeof(text), v6 ? "[%s]:%u" : "%s:%u", zero, port);
	l->text = hw_conf_arena_dup(&r->part->arena, hw_str_of(text));
	return true;
}

void hw_conf_listen_default(
	struct hw_conf_reader *r, const char *host, uint16_t port, struct hw_conf_listen *out)
{
	if (!set_tcp(r, hw_str_of(host), strchr(host, ':') != NULL, port, out))
		return;
	out->pos = (struct hw_conf_pos){r->part->name, 0, 0};
}

static bool parse_unix(struct hw_conf_reader *r, const struct hw_conf_value *v,
	struct hw_str written, struct hw_conf_listen *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->addr;
	struct hw_conf_value path = *v;
	struct hw_buf text;

	path.text = written;
	out->path = hw_conf_path_of(r, &path);
	if (!out->path)
		return false;
	if (written.len == 0 || written.p[0] == '@') {
		hw_conf_error(r, v,
			"a unix socket without a path in the file system; write "
			"\"unix:/run/hookwire.sock\"");
		return false;
	}
	if (strlen(out->path) >= sizeof(un->sun_path)) {
		hw_conf_error(r, v,
			"the path of the unix socket is too long: with the directory of this file "
			"it has "
			"%zu bytes, the system allows %zu; choose a shorter one",
			strlen(out->path), sizeof(un->sun_path) - 1);
		return false;
	}
	memset(&out->addr, 0, sizeof(out->addr));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, out->path, strlen(out->path) + 1);
	out->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(out->path) + 1);
	out->kind = HW_CONF_LISTEN_UNIX;
	out->host = NULL;
	out->port = 0;
	hw_buf_init(&text);
	hw_buf_printf(&text, "unix:%s", out->path);
	out->text = hw_conf_arena_dup(&r->part->arena, hw_buf_view(&text));
	r->part->arena.failed = r->part->arena.failed || text.failed;
	hw_buf_fini(&text);
	return true;
}

/* Cuts "[::1]:80" or "127.0.0.1:80" into its halves. */
static bool split(struct hw_str text, struct hw_str *host, struct hw_str *port, bool *v6)
{
	size_t colon = text.len;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return false;
	*port = (struct hw_str){text.p + colon, text.len - colon};
	*host = (struct hw_str){text.p, colon - 1};
	*v6 = host->len >= 2 && host->p[0] == '[' && host->p[host->len - 1] == ']';
	if (*v6) {
		host->p++;
		host->len -= 2;
	}
	return true;
}

bool hw_conf_listen_parse(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_listen *out)
{
	const struct hw_str unix_prefix = HW_STR("unix:");
	struct hw_str text = v->text, host, port;
	char shown[HW_CONF_SHOW_MAX];
	uint64_t number;
	bool v6;

	if (!hw_conf_expect(r, v, HW_CONF_STRING, "an address: " FORMS))
		return false;
	out->pos = hw_conf_pos_of(r, v);
	if (hw_str_starts(text, unix_prefix)) {
		text.p += unix_prefix.len;
		text.len -= unix_prefix.len;
		return parse_unix(r, v, text, out);
	}
	if (!split(text, &host, &port, &v6)) {
		hw_conf_error(r, v, "%s has no port; write " FORMS, hw_conf_show(v, shown));
		return false;
	}
	if (port.len > 5 || hw_str_to_u64(port, &number) != 0 || number > 65535) {
		hw_conf_error(r, v,
			"the port of %s is not a number from 0 to 65535; write " FORMS
			" (port 0: a free one is chosen)",
			hw_conf_show(v, shown));
		return false;
	}
	if (hw_str_eq(host, HW_STR("localhost")))
		host = HW_STR("127.0.0.1");
	if (set_tcp(r, host, v6, (uint16_t)number, out))
		return true;
	if (!v6 && memchr(host.p, ':', host.len))
		hw_conf_error(r, v, "%s: an IPv6 address wants brackets; write \"[::1]:8080\"",
			hw_conf_show(v, shown));
	else if (host.len == 0 || hw_str_eq(host, HW_STR("*")))
		hw_conf_error(r, v,
			"%s names no address; write \"0.0.0.0:%u\" or \"[::]:%u\" for all of this "
			"machine",
			hw_conf_show(v, shown), (unsigned)number, (unsigned)number);
	else
		hw_conf_error(r, v,
			"%s: the host is not an IP address, and names are not looked up; "
			"write " FORMS,
			hw_conf_show(v, shown));
	return false;
}

HW_CONF_READ(listen_address)
{
	(void)hw_conf_listen_parse(r, v, target);
}

/* An item of "listen": an address, or an object with one. false: refused. */
static bool read_item(
	struct hw_conf_reader *r, const struct hw_conf_value *v, struct hw_conf_listen *out)
{
	if (v->type != HW_CONF_OBJECT || v->broken)
		return hw_conf_listen_parse(r, v, out);
	hw_conf_read_members(r, &hw_conf_keys_listen, v, out);
	if (!hw_conf_value_get(v, HW_STR("address")))
		hw_conf_error(
			r, v, "this listener has no \"address\"; add one, like \"127.0.0.1:8080\"");
	return out->text != NULL;
}

HW_CONF_READ(listen)
{
	struct hw_conf_global *g = target;
	struct hw_conf_listen *list;
	size_t n = 0;

	if (!hw_conf_expect(r, v, HW_CONF_ARRAY, "an array of addresses: [\"127.0.0.1:8080\"]"))
		return;
	if (v->n_children == 0) {
		hw_conf_error(r, v,
			"\"listen\" is empty: nobody could connect; write [\"127.0.0.1:8080\"]");
		return;
	}
	list = hw_conf_arena_array(&r->part->arena, v->n_children, sizeof(*list));
	if (!list)
		return;
	for (const struct hw_conf_value *item = v->first; item; item = item->next) {
		bool twice = false;

		list[n] = (struct hw_conf_listen){0};

		if (n == HW_CONF_LISTEN_MAX) {
			hw_conf_error(r, item, "\"listen\" has more than %d addresses; remove some",
				HW_CONF_LISTEN_MAX);
			break;
		}
		if (!read_item(r, item, &list[n]) || r->part->arena.failed)
			continue;
		for (size_t i = 0; i < n && !twice; i++)
			twice = strcmp(list[i].text, list[n].text) == 0 &&
				(list[n].port != 0 || list[n].kind == HW_CONF_LISTEN_UNIX);
		if (twice)
			hw_conf_error(r, item, "this address is in \"listen\" twice; remove one");
		n++;
	}
	if (n > 0) {
		g->listen = list;
		g->n_listen = n;
	}
}

HW_CONF_READ(admin)
{
	struct hw_conf_global *g = target;

	(void)r;
	(void)v;
	g->admin.enabled = true;
}

static bool is_loopback(const struct hw_conf_listen *l)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&l->addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&l->addr;

	if (l->kind == HW_CONF_LISTEN_UNIX)
		return true;
	if (l->addr.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	return ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

HW_CONF_READ(admin_listen)
{
	struct hw_conf_global *g = target;
	struct hw_conf_listen listen = {0};
	char shown[HW_CONF_SHOW_MAX];

	if (v->type == HW_CONF_OBJECT && !v->broken) {
		hw_conf_error(r, v,
			"the admin listener is reached directly and takes no PROXY header; write "
			"its address alone: \"127.0.0.1:8081\"");
		return;
	}
	if (!hw_conf_listen_parse(r, v, &listen))
		return;
	if (!is_loopback(&listen)) {
		hw_conf_error(r, v,
			"the admin listener on %s can be reached from elsewhere: that needs TLS, "
			"which is "
			"not in this version; write \"127.0.0.1:8081\", \"[::1]:8081\" or a unix "
			"socket",
			hw_conf_show(v, shown));
		return;
	}
	g->admin.listen = listen;
}
