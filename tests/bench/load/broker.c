#include "load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>

#include "crypto/jwt.h"

#define SECRET "a secret of the benchmarks alone"
#define TOKEN_LIFE_S 86400

/* No limit may be what is measured, and no heartbeat falls into a turn. */
static const char config[] =
	"{ %s \"listen\": [\"127.0.0.1:0\"], \"workers\": %zu,\n"
	"  \"hooks\": [{ \"plugin\": \"jwt\", \"config\": { \"keys\": [{ \"alg\": \"HS256\", "
	"\"secret\": \"" SECRET "\" }] } }],\n"
	"  \"tenants\": { \"*\": { \"hooks\": [{ \"lua\": \"bench.lua\", \"budget\": { "
	"\"cpu_ms\": 1000 } }],\n"
	"    \"limits\": { \"connections\": 1000000, \"subscriptions\": 1000000, "
	"\"publish_per_s\": 100000000 } } },\n"
	"  \"heartbeat\": { \"interval_ms\": 3600000, \"timeout_ms\": 7200000 }, \"drain_ms\": 0 "
	"}\n";

static const char policy[] =
	"local function ours(s, topic)\n"
	"  if topic.resource == \"gift-list\" then return allow() end\n"
	"end\n"
	"return policy { api = 1, authorize = { subscribe = ours, publish = ours } }\n";

static void start(struct load_server *s, const struct load_dir *dir, const char *binary,
	bool pinned, size_t n_workers, const char *name, const char *members)
{
	char path[128], file[64];
	char *argv[] = {(char *)binary, "serve", "-c", path, NULL};
	struct hw_buf text;

	hw_buf_init(&text);
	hw_buf_printf(&text, config, members, n_workers);
	snprintf(file, sizeof(file), "%s.json", name);
	load_dir_write(dir, file, hw_buf_view(&text));
	load_dir_write(dir, "bench.lua", HW_STR(policy));
	snprintf(path, sizeof(path), "%s/%s", dir->path, file);
	load_server_start(s, dir, name, argv, "hookwire: listening on 127.0.0.1:", 0, pinned);
	hw_buf_fini(&text);
}

void load_broker_start(
	struct load_server *s, const struct load_dir *dir, const char *binary, bool pinned)
{
	start(s, dir, binary, pinned, 1, "hookwire", "");
}

void load_broker_start_with(struct load_server *s, const struct load_dir *dir, const char *binary,
	size_t n_workers, const char *name, const char *members)
{
	start(s, dir, binary, false, n_workers, name, members);
}

struct hw_str load_broker_secret(void)
{
	return HW_STR(SECRET);
}

double load_broker_metric(int admin_port, const char *name)
{
	static const char ask[] =
		"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	int fd = load_connect(admin_port);
	struct hw_buf text;
	char part[4096], line[128];
	const char *found;
	double value;
	ssize_t n;

	hw_buf_init(&text);
	hw_buf_puts(&text, ask);
	load_send(fd, &text);
	hw_buf_clear(&text);
	while ((n = recv(fd, part, sizeof(part), 0)) > 0)
		hw_buf_add(&text, part, (size_t)n);
	close(fd);
	hw_buf_add(&text, "", 1);
	snprintf(line, sizeof(line), "\n%s ", name);
	found = n < 0 || text.failed ? NULL : strstr(text.data, line);
	if (!found)
		load_die("/metrics has no %s", name);
	value = strtod(found + strlen(line), NULL);
	hw_buf_fini(&text);
	return value;
}

char *load_broker_token(const char *user)
{
	return load_token(HW_STR(SECRET), user, "acme");
}

char *load_token(struct hw_str secret, const char *user, const char *tenant)
{
	struct hw_buf claims;
	struct hw_err err;
	char *token = NULL;

	hw_buf_init(&claims);
	hw_buf_printf(&claims, "{\"sub\":\"%s\",\"tenant_id\":\"%s\",\"exp\":%lld}", user, tenant,
		(long long)time(NULL) + TOKEN_LIFE_S);
	if (hw_jwt_mint(HW_JWT_HS256, secret, HW_STR_NULL, hw_buf_view(&claims), &token, &err) != 0)
		load_die("minting a token: %s", err.text);
	hw_buf_fini(&claims);
	return token;
}
