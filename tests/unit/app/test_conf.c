#include "app/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "conf_files.h"

/* ---- what is read -------------------------------------------------------- */

static void an_empty_configuration_has_every_default(void **state)
{
	struct load *l = *state;
	const struct hw_conf_global *g = load_good(l, "{}");
	const struct sockaddr_in *in = (const struct sockaddr_in *)&g->listen[0].addr;
	char expected[256];

	assert_int_equal(g->n_listen, 1);
	assert_string_equal(g->listen[0].text, "127.0.0.1:8080");
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(ntohs(in->sin_port), 8080);
	assert_int_equal(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(g->listen[0].addr_len, sizeof(*in));
	assert_false(g->admin.enabled);
	assert_string_equal(g->admin.listen.text, "127.0.0.1:8081");
	assert_int_equal(g->n_trusted_proxies, 0);
	assert_false(g->listen[0].proxy_protocol);
	assert_null(g->admin.token);
	assert_int_equal(g->workers, 0);
	assert_int_equal(g->log.level, HW_LOG_INFO);
	assert_int_equal(g->log.format, HW_LOG_TEXT);
	assert_true(g->auth.query);
	assert_null(g->auth.cookie);
	assert_true(g->auth.first_message);
	assert_int_equal(g->auth.timeout_ms, 5000);
	assert_int_equal(g->auth.n_origins, 1);
	assert_string_equal(g->auth.origins[0], "*");
	assert_true(g->auth.any_origin);
	assert_int_equal(g->n_hooks, 0);
	assert_int_equal(g->journal.retention.count, 100000);
	assert_int_equal(g->journal.retention.bytes, 67108864);
	assert_int_equal(g->journal.retention.age_ms, 3600000);
	assert_int_equal(g->n_topics, 0);
	assert_int_equal(g->slow.outbox_bytes, 1048576);
	assert_int_equal(g->slow.deadline_ms, 60000);
	assert_int_equal(g->limits.message_bytes, 65536);
	assert_int_equal(g->limits.body_bytes, 1048576);
	assert_int_equal(g->limits.topics_per_session, 100);
	assert_int_equal(g->heartbeat.interval_ms, 25000);
	assert_int_equal(g->heartbeat.timeout_ms, 60000);
	assert_int_equal(g->drain_ms, 10000);
	assert_null(g->echo);
	assert_null(g->plugin_cache);
	assert_int_equal(g->n_include, 0);
	assert_int_equal(g->n_plugin_path, 1);
	snprintf(expected, sizeof(expected), "%s/plugins", l->files.dir);
	assert_string_equal(g->plugin_path[0], expected);
	snprintf(expected, sizeof(expected), "%s/scripts/lib", l->files.dir);
	assert_string_equal(g->script_path, expected);
	assert_int_equal(l->conf->n_tenants, 0);
	assert_null(tenant(l, "acme"));
	/* usable, but of no use: said, and no error */
	assert_int_equal(l->report.n_warnings, 1);
	assert_problem(l, "hookwire.json", "1:1", "nobody can be authenticated");
}

static const char full[] =
	"{ \"$schema\": 5,\n"
	"  \"listen\": [\"0.0.0.0:0\", \"[::1]:9\", {\"address\": \"unix:run.sock\"}, "
	"{\"proxy_protocol\": true, \"address\": \"localhost:65535\"}],\n"
	"  \"trusted_proxies\": [\"10.0.0.0/8\", \"::1\", \"unix\"],"
	"  \"admin\": {\"listen\": \"[::1]:8081\", \"token\": \"${SECRET}\"},\n"
	"  \"workers\": 4, \"log\": {\"level\": \"debug\", \"format\": \"json\"},\n"
	"  \"auth\": {\"query\": false, \"cookie\": \"sid\", \"first_message\": false, "
	"\"timeout_ms\": 100,\n"
	"    \"origins\": [\"https://a.example\", \"http://localhost:3000\", "
	"\"capacitor://localhost\"]},\n"
	"  \"hooks\": [{\"name\": \"who\", \"plugin\": \"jwt\", \"on_error\": \"unavailable\",\n"
	"     \"config\": {\"keys\": [ {\"secret\": \"${SECRET}\", \"n\": 1.50} ]}},\n"
	"    {\"lua\": \"./open.lua\", \"budget\": {\"cpu_ms\": 5, \"load_ms\": 50, "
	"\"memory_bytes\": 1048576, \"deadline_ms\": 300, \"in_flight\": 7}}],\n"
	"  \"tenants\": {\"*\": {\"hooks\": [{\"lua\": \"open.lua\"}]}, \"acme\": {\"hooks\": "
	"[{\"plugin\": "
	"\"./plugins/jwt.so\"}],\n"
	"      \"limits\": {\"connections\": 7, \"subscriptions\": 8, \"publish_per_s\": 9},\n"
	"      \"journal\": {\"retention\": {\"count\": 10}}}},\n"
	"  \"journal\": {\"retention\": {\"count\": 5, \"bytes\": 65536, \"age_ms\": 1}},\n"
	"  \"topics\": {\"cursor:*\": {\"history\": \"none\"}, \"audit:1\": {\"retention\": "
	"{\"age_ms\": 99}, \"conflate\": \"append\"}},\n"
	"  \"slow\": {\"outbox_bytes\": 2048, \"deadline_ms\": 20},\n"
	"  \"limits\": {\"message_bytes\": 16777216, \"body_bytes\": 4096, \"topics_per_session\": "
	"3},\n"
	"  \"heartbeat\": {\"interval_ms\": 50, \"timeout_ms\": 100}, \"drain_ms\": 0, \"echo\": "
	"\"/echo\",\n"
	"  \"plugin_path\": [\"nowhere\", \"plugins\"], \"script_path\": \"scripts\", "
	"\"plugin_cache\": \"/var/x\"\n"
	"}";

static void every_key_is_read(void **state)
{
	struct load *l = *state;
	const struct hw_conf_global *g = load_good(l, full);
	char expected[256];

	assert_int_equal(g->n_listen, 4);
	assert_int_equal(g->listen[0].port, 0);
	assert_string_equal(g->listen[1].text, "[::1]:9");
	assert_string_equal(g->listen[1].host, "::1");
	assert_int_equal(g->listen[1].addr.ss_family, AF_INET6);
	assert_int_equal(g->listen[2].kind, HW_CONF_LISTEN_UNIX);
	snprintf(expected, sizeof(expected), "%s/run.sock", l->files.dir);
	assert_string_equal(g->listen[2].path, expected);
	assert_string_equal(((const struct sockaddr_un *)&g->listen[2].addr)->sun_path, expected);
	assert_string_equal(g->listen[3].text, "127.0.0.1:65535");
	assert_false(g->listen[1].proxy_protocol || g->listen[2].proxy_protocol);
	assert_true(g->listen[3].proxy_protocol);
	assert_int_equal(g->n_trusted_proxies, 3);
	assert_int_equal(g->trusted_proxies[0].prefix, 8);
	assert_int_equal(g->trusted_proxies[0].base.bytes[0], 10);
	assert_int_equal(g->trusted_proxies[1].base.kind, HW_ADDRESS_V6);
	assert_int_equal(g->trusted_proxies[2].base.kind, HW_ADDRESS_UNIX);
	assert_true(g->admin.enabled);
	assert_string_equal(g->admin.listen.text, "[::1]:8081");
	assert_string_equal(g->admin.token, SECRET);
	assert_int_equal(g->workers, 4);
	assert_int_equal(g->log.level, HW_LOG_DEBUG);
	assert_int_equal(g->log.format, HW_LOG_JSON);
	assert_false(g->auth.query);
	assert_string_equal(g->auth.cookie, "sid");
	assert_false(g->auth.first_message);
	assert_int_equal(g->auth.timeout_ms, 100);
	assert_int_equal(g->auth.n_origins, 3);
	assert_string_equal(g->auth.origins[2], "capacitor://localhost");
	assert_false(g->auth.any_origin);
	assert_int_equal(g->journal.retention.count, 5);
	assert_int_equal(g->journal.retention.bytes, 65536);
	assert_int_equal(g->journal.retention.age_ms, 1);
	assert_int_equal(g->n_topics, 2);
	assert_string_equal(g->topics[0].pattern, "cursor:*");
	assert_true(g->topics[0].history_none);
	assert_int_equal(g->topics[0].conflate, HW_CONFLATE_NONE);
	assert_false(g->topics[1].history_none);
	assert_int_equal(g->topics[1].conflate, HW_CONFLATE_APPEND);
	assert_int_equal(g->topics[1].retention.age_ms, 99);
	assert_int_equal(g->topics[1].retention.count,
		5); /* the journal's, wherever in the file it stands */
	assert_int_equal(g->slow.outbox_bytes, 2048);
	assert_int_equal(g->slow.deadline_ms, 20);
	assert_int_equal(g->limits.message_bytes, 16777216);
	assert_int_equal(g->limits.body_bytes, 4096);
	assert_int_equal(g->limits.topics_per_session, 3);
	assert_int_equal(g->heartbeat.interval_ms, 50);
	assert_int_equal(g->heartbeat.timeout_ms, 100);
	assert_int_equal(g->drain_ms, 0);
	assert_string_equal(g->echo, "/echo");
	snprintf(expected, sizeof(expected), "%s/scripts", l->files.dir);
	assert_string_equal(g->script_path, expected);
	assert_string_equal(g->plugin_cache, "/var/x");
	assert_int_equal(g->n_plugin_path, 2);
	assert_int_equal(l->report.n_items, 0);
}

static void hook_entries_are_read(void **state)
{
	struct load *l = *state;
	const struct hw_conf_hook *hook = load_good(l, full)->hooks;
	char expected[512], real[256];
	struct hw_conf_pos pos;

	assert_non_null(realpath(l->files.dir, real));
	assert_int_equal(l->conf->global->n_hooks, 2);
	assert_string_equal(hook->name, "who");
	assert_int_equal(hook->source, HW_CONF_PLUGIN);
	assert_string_equal(hook->given, "jwt");
	snprintf(expected, sizeof(expected), "%s/plugins/jwt.so", real);
	assert_string_equal(hook->path, expected);
	assert_string_equal(hook->config.p, "{\"keys\":[{\"secret\":\"" SECRET "\",\"n\":1.50}]}");
	assert_int_equal(hook->config.len, strlen(hook->config.p));
	assert_true(hook->config_secret);
	assert_int_equal(hook->budget.cpu_ms, 2);
	assert_int_equal(hook->pos.line, 7);
	assert_int_equal(hook->source_pos.column, 39);
	assert_int_equal(hook->config_pos.line, 8);

	/* where a plugin's refusal of its settings points */
	pos = hw_conf_hook_locate(hook, HW_STR("/keys/0/n"));
	assert_string_equal(pos.file, l->files.conf);
	assert_int_equal(pos.line, 8);
	assert_int_equal(pos.column, 56);
	pos = hw_conf_hook_locate(hook, HW_STR(""));
	assert_int_equal(pos.column, 16);
	pos = hw_conf_hook_locate(hook, HW_STR("/keys/3/n"));
	assert_int_equal(pos.column, 25);

	hook++;
	assert_string_equal(hook->name, "open");
	assert_int_equal(hook->source, HW_CONF_LUA);
	snprintf(expected, sizeof(expected), "%s/open.lua", real);
	assert_string_equal(hook->path, expected);
	assert_string_equal(hook->given, "./open.lua");
	assert_string_equal(hook->config.p, "{}");
	assert_false(hook->config_secret);
	assert_int_equal(hook->budget.cpu_ms, 5);
	assert_int_equal(hook->budget.load_ms, 50);
	assert_int_equal(hook->budget.memory_bytes, 1048576);
	assert_int_equal(hook->budget.deadline_ms, 300);
	assert_int_equal(hook->budget.in_flight, 7);
	pos = hw_conf_hook_locate(hook, HW_STR("/x"));
	assert_int_equal(pos.line, 9);
	assert_int_equal(pos.column, 5);
	assert_non_null(strstr(hook->text.p, "\"cpu_ms\":5"));
}

static void tenants_are_found_and_complete_themselves(void **state)
{
	struct load *l = *state;
	struct hw_conf_retention r;

	load_good(l, full);
	assert_int_equal(l->conf->n_tenants, 2);
	assert_string_equal(tenant(l, "acme")->id, "acme");
	assert_int_equal(tenant(l, "acme")->limits.connections, 7);
	assert_int_equal(tenant(l, "acme")->limits.subscriptions, 8);
	assert_int_equal(tenant(l, "acme")->limits.publish_per_s, 9);
	assert_string_equal(tenant(l, "acme")->hooks[0].name, "jwt");
	assert_string_equal(tenant(l, "acme")->unit, l->files.conf);
	assert_int_equal(tenant(l, "acme")->pos.line, 10);
	r = hw_conf_retention_of(l->conf, tenant(l, "acme"));
	assert_int_equal(r.count, 10);
	assert_int_equal(r.bytes, 65536);
	assert_int_equal(r.age_ms, 1);
	assert_string_equal(tenant(l, "acm")->id, "*");
	assert_string_equal(tenant(l, "acme2")->id, "*");
	assert_string_equal(tenant(l, "")->id, "*");
	/* its own entry or the star's, never a mixture */
	assert_int_equal(tenant(l, "other")->limits.connections, 10000);
	assert_int_equal(tenant(l, "other")->limits.subscriptions, 1000);
	assert_int_equal(tenant(l, "other")->limits.publish_per_s, 1000);
	r = hw_conf_retention_of(l->conf, tenant(l, "other"));
	assert_int_equal(r.count, 5);
}

static void a_unit_s_text_changes_only_with_its_meaning(void **state)
{
	struct load *l = *state;
	char before[4096];

	load_good(l, "{\"drain_ms\": 5, \"hooks\": []}");
	assert_true(l->conf->units[0].text.len < sizeof(before));
	strcpy(before, l->conf->units[0].text.p);
	load_good(l, "// more\n{ \"drain_ms\" :5,\n\"hooks\":[ ] }");
	assert_string_equal(l->conf->units[0].text.p, before);
	load_good(l, "{\"drain_ms\": 6, \"hooks\": []}");
	assert_string_not_equal(l->conf->units[0].text.p, before);
	assert_int_equal(hw_conf_locate(&l->conf->units[0], HW_STR("/drain_ms")).column, 14);
}

static void a_plugin_is_taken_from_the_first_directory_that_has_it(void **state)
{
	struct load *l = *state;
	char expected[256], path[256];

	snprintf(path, sizeof(path), "%s/other", l->files.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	conf_files_put(&l->files, "other/jwt.so", "");
	load_good(l, "{\"plugin_path\": [\"missing\", \"other\", \"plugins\"], \"hooks\": "
		     "[{\"plugin\": \"jwt\"}]}");
	snprintf(expected, sizeof(expected), "%s/other/jwt.so", l->files.dir);
	assert_string_equal(l->conf->global->hooks[0].path, expected);
}

/* ---- what is refused ----------------------------------------------------- */

static void each_mistake_is_told_at_its_place(void **state)
{
	static const struct {
		const char *text, *place, *words;
	} cases[] = {
		{"[]", "1:1", "the configuration is an array; write an object"},
		{"{\"worker\": 1}", "1:2", "did you mean \"workers\"?"},
		{"{\"Listen\": []}", "1:2", "did you mean \"listen\"?"},
		{"{\"xyzzy\": 1}", "1:2", "known here: listen, admin"},
		{"{\"timeout_ms\": 1}", "1:2", "it belongs in \"auth\" or \"heartbeat\""},
		{"{\"connections\": 1}", "1:2", "it belongs in \"tenants.*.limits\""},
		{"{\"auth\": {\"timeout\": 1}}", "1:11", "did you mean \"timeout_ms\"?"},
		{"{\"log\": {\"level\": \"infoo\"}}", "1:19",
			"\"debug\", \"info\", \"warn\" or \"error\" (did you mean \"info\"?)"},
		{"{\"log\": {\"level\": 3}}", "1:19", "\"level\" is 3; write \"debug\""},
		{"{\"log\": {\"level\": \"${SECRET}\"}}", "1:19",
			"\"level\" cannot be \"${SECRET}\"; write"},
		{"{\"log\": null}", "1:9", "\"log\" is null; write an object"},
		{"{\"workers\": \"4\"}", "1:13",
			"\"workers\" is a string; write a whole number from 0 to 64"},
		{"{\"workers\": 1.5}", "1:13", "\"workers\" is 1.5; write a whole number"},
		{"{\"workers\": -1}", "1:13", "out of range"},
		{"{\"workers\": 65}", "1:13", "out of range; write a whole number from 0 to 64"},
		{"{\"workers\": null}", "1:13", "\"workers\" is null"},
		{"{\"drain_ms\": 4294967296}", "1:14", "out of range"},
		{"{\"auth\": {\"query\": 1}}", "1:20", "write true or false"},
		/* addresses */
		{"{\"listen\": \"127.0.0.1:8080\"}", "1:12", "an array of addresses"},
		{"{\"listen\": []}", "1:12", "nobody could connect"},
		{"{\"listen\": [\"unix:1\", \"unix:2\", \"unix:3\", \"unix:4\", \"unix:5\", "
		 "\"unix:6\", \"unix:7\", \"unix:8\", \"unix:9\", \"unix:a\", \"unix:b\", "
		 "\"unix:c\", \"unix:d\", \"unix:e\", \"unix:f\",\n\"unix:g\", \"unix:h\"]}",
			"2:1", "more than 15 addresses"},
		{"{\"listen\": [8080]}", "1:13", "item 1 of \"listen\" is 8080; write an address"},
		{"{\"listen\": [\"127.0.0.1\"]}", "1:13", "has no port"},
		{"{\"listen\": [\"127.0.0.1:http\"]}", "1:13", "not a number from 0 to 65535"},
		{"{\"listen\": [\"127.0.0.1:65536\"]}", "1:13", "not a number from 0 to 65535"},
		{"{\"listen\": [\"127.0.0.1:\"]}", "1:13", "not a number from 0 to 65535"},
		{"{\"listen\": [\":8080\"]}", "1:13", "write \"0.0.0.0:8080\" or \"[::]:8080\""},
		{"{\"listen\": [\"*:8080\"]}", "1:13", "write \"0.0.0.0:8080\" or \"[::]:8080\""},
		{"{\"listen\": [\"::1:8080\"]}", "1:13", "wants brackets"},
		{"{\"listen\": [\"example.com:8080\"]}", "1:13", "names are not looked up"},
		{"{\"listen\": [\"[::g]:8080\"]}", "1:13", "not an IP address"},
		{"{\"listen\": [\"1.2.3.4:1\", \"1.2.3.4:1\"]}", "1:26", "twice"},
		{"{\"listen\": [\"unix:\"]}", "1:13", "without a path"},
		{"{\"listen\": [\"unix:@x\"]}", "1:13", "without a path"},
		{"{\"listen\": [\"unix:/"
		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		 "xx"
		 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]}",
			"1:13", "too long"},
		{"{\"listen\": [{\"address\": \"1.2.3.4\"}]}", "1:25", "has no port"},
		{"{\"listen\": [{\"proxy_protocol\": true}]}", "1:13", "no \"address\""},
		{"{\"listen\": [{\"address\": \"1.2.3.4:1\", \"proxy\": true}]}", "1:38",
			"did you mean \"proxy_protocol\"?"},
		{"{\"listen\": [{\"address\": \"1.2.3.4:1\", \"cert\": \"x\"}]}", "1:38",
			"not in this version: TLS"},
		{"{\"listen\": [{\"address\": \"1.2.3.4:1\", \"proxy_protocol\": 2}]}", "1:56",
			"true or false"},
		{"{\"listen\": [{\"address\": \"1.2.3.4:1\", \"proxy_protocol\": true}]}", "1:12",
			"nobody in \"trusted_proxies\""},
		{"{\"admin\": {\"listen\": {\"address\": \"127.0.0.1:1\"}}}", "1:22",
			"takes no PROXY header"},
		{"{\"trusted_proxies\": \"127.0.0.1\"}", "1:21", "an array of addresses"},
		{"{\"trusted_proxies\": [1]}", "1:22", "an address or a block of addresses"},
		{"{\"trusted_proxies\": [\"proxy.example.com\"]}", "1:22",
			"names are not looked up"},
		{"{\"trusted_proxies\": [\"127.0.0.1:80\"]}", "1:22", "is no address"},
		{"{\"trusted_proxies\": [\"10.1.2.3/8\"]}", "1:22",
			"write \"10.0.0.0/8\" for the whole block"},
		{"{\"admin\": {\"listen\": \"0.0.0.0:8081\"}}", "1:22",
			"TLS, which is not in this version"},
		{"{\"admin\": {\"listen\": \"192.168.1.1:8081\"}}", "1:22", "not in this version"},
		{"{\"admin\": {\"listen\": \"[::]:8081\"}}", "1:22",
			"TLS, which is not in this version"},
		{"{\"admin\": {\"listen\": \"127.0.0.1:8080\"}}", "1:22",
			"an address of \"listen\""},
		{"{\"admin\": {}, \"listen\": [\"127.0.0.1:8081\"]}", "1:11",
			"an address of \"listen\""},
		{"{\"admin\": {\"token\": \"123456789012345\"}}", "1:21",
			"fewer than 16 characters"},
		{"{\"admin\": {\"token\": \"1234567890 123456\"}}", "1:21", "no header can carry"},
		{"{\"admin\": {\"token\": \"1234567890é123456\"}}", "1:21", "no header can carry"},
		{"{\"admin\": {\"token\": \"${NOT_SET}\"}}", "1:22", "NOT_SET is not set"},
		{"{\"admin\": {\"token\": \"@file:missing\"}}", "1:21", "No such file"},
		/* browsers */
		{"{\"auth\": {\"cookie\": \"sid\"}}", "1:21",
			"a cookie is refused while \"origins\" allows \"*\""},
		{"{\"auth\": {\"cookie\": \"sid\", \"origins\": [\"https://a\", \"*\"]}}", "1:21",
			"any web page"},
		{"{\"auth\": {\"cookie\": \"a b\", \"origins\": []}}", "1:21",
			"cannot be the name of a cookie"},
		{"{\"auth\": {\"cookie\": \"\", \"origins\": []}}", "1:21",
			"cannot be the name of a cookie"},
		{"{\"auth\": {\"origins\": \"*\"}}", "1:22", "an array of origins"},
		{"{\"auth\": {\"origins\": [\"null\"]}}", "1:23", "sandboxed"},
		{"{\"auth\": {\"origins\": [\"https://a/\"]}}", "1:23", "no path"},
		{"{\"auth\": {\"origins\": [\"https://*.a.b\"]}}", "1:23", "compared whole"},
		{"{\"auth\": {\"origins\": [\"a.example\"]}}", "1:23", "scheme and host"},
		{"{\"auth\": {\"origins\": [\"https://A.b\"]}}", "1:23", "small letters"},
		{"{\"auth\": {\"origins\": [\"https://a.b:443\"]}}", "1:23", "remove :443"},
		{"{\"auth\": {\"origins\": [\"http://a.b:80\"]}}", "1:23", "remove :80"},
		{"{\"auth\": {\"origins\": [\"https://é.b\"]}}", "1:23", "ASCII"},
		{"{\"echo\": \"echo\"}", "1:10", "not a path"},
		{"{\"echo\": \"/\"}", "1:10", "not a path"},
		{"{\"echo\": \"/ws\"}", "1:10", "an endpoint already"},
		{"{\"echo\": \"/topics/x\"}", "1:10", "an endpoint already"},
		{"{\"echo\": \"/a?b\"}", "1:10", "a path cannot have"},
		{"{\"heartbeat\": {\"interval_ms\": 100, \"timeout_ms\": 100}}", "1:50",
			"not more than"},
		{"{\"heartbeat\": {\"interval_ms\": 60000}}", "1:31", "not more than"},
		/* hooks */
		{"{\"hooks\": {}}", "1:11", "an array of entries"},
		{"{\"hooks\": [\"jwt\"]}", "1:12", "write an entry"},
		{"{\"hooks\": [{}]}", "1:12", "no source"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"lua\": \"open.lua\"}]}", "1:13",
			"one source"},
		{"{\"hooks\": [{\"plugin\": \"jwtt\"}]}", "1:23", "did you mean \"jwt\"?"},
		{"{\"hooks\": [{\"plugin\": \"nothing\"}]}", "1:23",
			"there is no plugin \"nothing\" in /tmp/"},
		{"{\"plugin_path\": [], \"hooks\": [{\"plugin\": \"jwt\"}]}", "1:42",
			"has no directory"},
		{"{\"plugin_path\": [\"/${SECRET}\"], \"hooks\": [{\"plugin\": \"jwt\"}]}", "1:54",
			"in the directories of \"plugin_path\""},
		{"{\"hooks\": [{\"plugin\": \"jwt.so\"}]}", "1:23", "without .so"},
		{"{\"hooks\": [{\"plugin\": \"./none.so\"}]}", "1:23", "No such file or directory"},
		{"{\"hooks\": [{\"plugin\": \"\"}]}", "1:23", "empty"},
		{"{\"hooks\": [{\"lua\": \"none.lua\"}]}", "1:20",
			"\"none.lua\" cannot be read: No such file"},
		{"{\"hooks\": [{\"lua\": \"/dev/zero\"}]}", "1:20",
			"\"/dev/zero\" cannot be read: it is not a regular file"},
		{"{\"hooks\": [{\"lua\": \"${SECRET}.lua\"}]}", "1:20",
			"\"${SECRET}.lua\" cannot be read: No such file"},
		{"{\"hooks\": [{\"lua\": \"plugins\"}]}", "1:20", "Is a directory"},
		{"{\"hooks\": [{\"lua\": \"\"}]}", "1:20", "empty"},
		{"{\"hooks\": [{\"name\": \"A\", \"lua\": \"open.lua\"}]}", "1:21",
			"cannot name a hook"},
		{"{\"hooks\": [{\"name\": \"\", \"lua\": \"open.lua\"}]}", "1:21",
			"cannot name a hook"},
		{"{\"hooks\": [{\"lua\": \"open.lua\"},\n{\"lua\": \"open.lua\"}]}", "2:1",
			"the name \"open\" is taken by the entry at"},
		{"{\"hooks\": [{\"name\": \"jwt\", \"lua\": \"open.lua\"},\n{\"name\": \"jwt\", "
		 "\"plugin\": \"jwt\"}]}",
			"2:10", "choose another"},
		{"{\"hooks\": [{\"lua\": \"open.lua\", \"config\": []}]}", "1:42",
			"\"config\" is an array; write an object"},
		{"{\"hooks\": [{\"lua\": \"open.lua\", \"budget\": {\"cpu_ms\": 0}}]}", "1:53",
			"out of range"},
		{"{\"hooks\": [{\"lua\": \"open.lua\", \"budget\": {\"in_flight\": 0}}]}", "1:56",
			"1"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"budget\": {\"cpu_ms\": 3}}]}", "1:30",
			"never interrupted"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"on_error\": \"allow\"}]}", "1:42",
			"never lets anything by"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"on_error\": \"deny\"}]}", "1:42",
			"not in this version"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"scope\": 1}]}", "1:30",
			"known here: name, lua, plugin, config, budget, breaker, on_error, revoke, "
			"shadow"},
		/* tenants and topics */
		{"{\"tenants\": []}", "1:13", "write an object"},
		{"{\"tenants\": {\"\": {\"hooks\": []}}}", "1:14", "it is empty"},
		{"{\"tenants\": {\"a*\": {\"hooks\": []}}}", "1:14", "alone stands for"},
		{"{\"tenants\": {\"a\\u0007\": {\"hooks\": []}}}", "1:14", "control character"},
		{"{\"tenants\": {\"a\": null}}", "1:19", "\"a\" is null; write an object"},
		{"{\"tenants\": {\"a\": {\"limits\": {\"connections\": 0}}}}", "1:46",
			"out of range"},
		{"{\"tenants\": {\"a\": {\"hooks\": [{\"lua\": \"x.lua\"}]}}}", "1:38",
			"No such file"},
		{"{\"tenants\": {\"a\": {\"journal\": {\"plugin\": \"x\"}}}}", "1:32",
			"not a key here"},
		{"{\"tenants\": {\"a\": {}, \"a\": {}}}", "1:23", "a second time, first at"},
		{"{\"topics\": {\"cursor\": {\"history\": \"none\"}}}", "1:13", "matches no topic"},
		{"{\"topics\": {\"*\": {\"history\": \"none\"}}}", "1:13", "matches no topic"},
		{"{\"topics\": {\"a:*\": {\"history\": \"some\"}}}", "1:32", "write \"none\""},
		{"{\"topics\": {\"a:*\": {}}}", "1:13", "says nothing"},
		{"{\"topics\": {\"a:*\": {\"history\": \"none\", \"retention\": {}}}}", "1:40",
			"nothing to retain"},
		{"{\"topics\": {\"a:*\": {\"conflate\": \"first\"}}}", "1:33",
			"\"none\", \"latest\" or \"append\""},
		{"{\"topics\": {\"a:*\": {\"history\": \"none\", \"conflate\": \"latest\"}}}",
			"1:40", "nothing to conflate"},
		{"{\"topics\": "
		 "{\"a:1\":{},\"a:2\":{},\"a:3\":{},\"a:4\":{},\"a:5\":{},\"a:6\":{},\"a:7\":{},"
		 "\"a:8\":{},"
		 "\"a:9\":{},\"a:10\":{},\"a:11\":{},\"a:12\":{},\"a:13\":{},\"a:14\":{},\"a:15\":{"
		 "},\"a:16\":{}}}",
			"1:12", "at most 15"},
		{"{\"journal\": {\"retention\": {\"count\": 0}}}", "1:37", "out of range"},
		{"{\"journal\": {\"retention\": {\"bytes\": 65535}}}", "1:37", "out of range"},
		/* paths */
		{"{\"plugin_path\": \"plugins\"}", "1:17", "an array of directories"},
		{"{\"plugin_path\": [\"\"]}", "1:18", "without a name"},
		{"{\"script_path\": \"\"}", "1:17", "empty"},
		{"{\"include\": \"x\"}", "1:13", "an array of files"},
		{"{\"include\": [\"\"]}", "1:14", "without a name"},
		{"{\"include\": [\"none.json\"]}", "1:14", "No such file"},
		{"{\"include\": [\"hookwire.json\"]}", "1:14", "this file itself"},
		{"{\"include\": [\"${SECRET}/*.json\"]}", "1:14",
			"${…} and @file: are not replaced here"},
		{"{\"include\": [\"*.d/x.json\"]}", "1:14",
			"a wildcard in the name of a directory"},
		/* later */
		{"{\"max_revoke\": 1.5}", "1:16", "0 to 1"},
		{"{\"seal_cursors\": true}", "1:2", "not in this version"},
		{"{\"journal\": {\"plugin\": \"nonesuch\"}}", "1:24",
			"there is no plugin \"nonesuch\""},
		{"{\"journal\": {\"config\": []}}", "1:24", "an object"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"revoke\": \"later\"}]}", "1:40", "sweep"},
		{"{\"hooks\": [{\"plugin\": \"jwt\", \"shadow\": \"yes\"}]}", "1:40",
			"true or false"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++)
		expect(*state, cases[i].text, cases[i].place, cases[i].words);
}

static void a_proxy_list_that_trusts_everybody_is_warned_of(void **state)
{
	struct load *l = *state;

	load_good(l, "{\"hooks\": [{\"plugin\": \"jwt\"}], \"trusted_proxies\": "
		     "[\"10.0.0.0/8\", \"::/0\"]}");
	assert_int_equal(l->report.n_warnings, 1);
	assert_problem(l, "hookwire.json", "1:66", "trusts every address");
}

static void null_stands_for_the_default_where_there_is_nothing(void **state)
{
	const struct hw_conf_global *g = load_good(*state,
		"{\"admin\": null, \"echo\": null, \"plugin_path\": null, \"script_path\": null, "
		"\"plugin_cache\": null, \"auth\": {\"cookie\": null}}");

	assert_false(g->admin.enabled);
	assert_int_equal(g->n_plugin_path, 1);
	assert_non_null(g->script_path);
	g = load_good(*state, "{\"admin\": {\"token\": null}}");
	assert_true(g->admin.enabled);
	assert_null(g->admin.token);
}

static void all_problems_are_told_in_the_order_of_the_file(void **state)
{
	static const char *const places[] = {":1:2: ", ":2:12: ", ":3:2: ", ":4:14: ", ":5:22: ",
		":6:30: ", ":7:12: ", ":7:24: "};
	struct load *l = *state;
	size_t len = strlen(l->files.conf);

	load(l, "{\"seal_cursors\": [],\n"
		"\"drain_ms\":\"1\",\n"
		" \"echoo\": 1,\n"
		"\"include\": [ \"none.json\"],\n"
		"\"hooks\": [{\"plugin\": \"nothing\"},\n"
		"  {\"lua\": \"open.lua\",\"config\":{\"a\":[1,]}}],\n"
		"\"topics\": {\"cursor\": {\"history\": 1}}}");
	/* a comma too many is at 6:39 */
	assert_int_equal(l->report.n_items, HW_COUNT(places));
	for (size_t i = 0; i < HW_COUNT(places); i++) {
		const char *text = l->report.items[i].text;

		assert_memory_equal(text, l->files.conf, len);
		if (i == 5)
			assert_memory_equal(text + len, ":6:", 3);
		else if (i == 7)
			assert_memory_equal(text + len, ":7:", 3);
		else if (strncmp(text + len, places[i], strlen(places[i])) != 0)
			fail_msg("%zu: %s", i, text);
	}
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
	struct load *l = *state;
	struct hw_conf_report report;
	struct hw_conf *conf = NULL;

	hw_conf_report_init(&report);
	assert_int_equal(hw_conf_load("/nonexistent/x.json", &conf, &report), HW_CONF_PARTIAL);
	assert_string_equal(report.items[0].text, "/nonexistent/x.json: this file cannot be read: "
						  "No such file or directory; give the "
						  "path of a readable file");
	assert_true(conf->units[0].broken);
	assert_non_null(conf->global); /* and nothing that looks at it falls */
	assert_int_equal(conf->global->drain_ms, 10000);
	assert_int_equal(hw_conf_locate(&conf->units[0], HW_STR("/x")).line, 0);
	hw_conf_destroy(&conf);
	hw_conf_report_fini(&report);
	expect(l, "", "1:1", "empty");
	expect(l, "{\"drain_ms\": 1", "1:1", "does not end");
	/* a string that does not end has no value for anybody to look at */
	expect(l, "{\"auth\": {\"origins\": [\"https://a", "1:23", "does not end in its line");
}

/* Puts @value where @@ stands. */
static void fill(char out[4096], const char *place, const char *value)
{
	const char *at;

	*out = '\0';
	while ((at = strstr(place, "@@")) != NULL) {
		strncat(out, place, (size_t)(at - place));
		strcat(out, value);
		place = at + 2;
	}
	strcat(out, place);
}

static void no_message_holds_a_secret(void **state)
{
	struct load *l = *state;
	char text[4096];

	/* the reader of every key is given one, wherever a string may stand; load() looks through
	 * all messages */
	static const char *const places[] = {"{\"listen\": [@@]}", "{\"admin\": {\"listen\": @@}}",
		"{\"admin\": {\"token\": @@}}", "{\"workers\": @@}", "{\"log\": {\"level\": @@}}",
		"{\"auth\": {\"query\": @@}}", "{\"auth\": {\"cookie\": @@, \"origins\": []}}",
		"{\"auth\": {\"origins\": [@@]}}",
		"{\"plugin_path\": [@@], \"hooks\": [{\"plugin\": \"x\"}]}",
		"{\"script_path\": @@}", "{\"hooks\": @@}", "{\"hooks\": [@@]}",
		"{\"hooks\": [{\"name\": @@}]}",
		"{\"hooks\": [{\"name\": @@, \"lua\": \"open.lua\"}, {\"name\": @@, \"lua\": "
		"\"open.lua\"}]}",
		"{\"hooks\": [{\"lua\": @@}]}", "{\"hooks\": [{\"plugin\": @@}]}",
		"{\"hooks\": [{\"config\": @@}]}",
		"{\"hooks\": [{\"plugin\": \"jwt\", \"on_error\": @@}]}", "{\"tenants\": @@}",
		"{\"tenants\": {\"a\": @@}}", "{\"topics\": {\"a:*\": {\"history\": @@}}}",
		"{\"echo\": @@}", "{\"include\": [@@]}", "{\"trusted_proxies\": @@}",
		"{\"unknown\": @@}", "@@"};
	static const char *const values[] = {"\"${SECRET}\"", "\"@file:secret\"", "\"/${SECRET}\"",
		"\"x ${SECRET} ?\"", "\"${SECRET}:80\"", "\"unix:@${SECRET}\"",
		"\"./${SECRET}.so\"", "\"https://${SECRET}/\"", "\"s${SECRET}${\""};

	conf_files_put(&l->files, "secret", SECRET "\n");
	for (size_t i = 0; i < HW_COUNT(places); i++) {
		for (size_t k = 0; k < HW_COUNT(values); k++) {
			fill(text, places[i], values[k]);
			load(l, text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_configuration_has_every_default),
		TEST(every_key_is_read),
		TEST(hook_entries_are_read),
		TEST(tenants_are_found_and_complete_themselves),
		TEST(a_unit_s_text_changes_only_with_its_meaning),
		TEST(a_plugin_is_taken_from_the_first_directory_that_has_it),
		TEST(each_mistake_is_told_at_its_place),
		TEST(a_proxy_list_that_trusts_everybody_is_warned_of),
		TEST(null_stands_for_the_default_where_there_is_nothing),
		TEST(all_problems_are_told_in_the_order_of_the_file),
		TEST(a_file_that_cannot_be_read_is_told),
		TEST(no_message_holds_a_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
