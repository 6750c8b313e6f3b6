#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hook/plugin_check.h"
#include "hook/plugin_trial.h"
#include "loaded.h"

#define PROBE(name) HW_BINARY_DIR "/tests/probes/" name ".so"
#define SELF "/proc/self/exe" /* this test is its own `check --plugin`: see main */

static void copy_file(const char *from, const char *to, long max_bytes)
{
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	int c;

	assert_non_null(in);
	assert_non_null(out);
	for (long i = 0; i < max_bytes && (c = getc(in)) != EOF; i++)
		putc(c, out);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void assert_not_loaded(struct loaded *l, const char *path, const char *config,
	const char *pointer, const char *why)
{
	struct hw_hook_entry *entry = NULL;

	assert_true(loaded_load(l, path, config, true, &entry) < 0);
	assert_null(entry);
	if (!strstr(l->problem.text, why))
		print_error("\"%s\" for \"%s\"\n", l->problem.text, why);
	assert_non_null(strstr(l->problem.text, why));
	assert_string_equal(l->problem.path, pointer);
}

/* ---- loading ---- */

static const struct {
	const char *path, *why;
} wrong[] = {
	{PROBE("probe_magic"), "magic"},
	{PROBE("probe_major"), "interface 2."},
	{PROBE("probe_minor"), "update the broker"},
	{PROBE("probe_size"), "too small"},
	{PROBE("probe_name"), "needs a name"},
	{PROBE("probe_no_export"), "exports no hookwire_plugin()"},
	{PROBE("probe_no_table"), "returns no table"},
	{PROBE("probe_undefined"), "nobody_has_this"},
	{HW_SOURCE_DIR "/CMakeLists.txt", "not a shared object"},
	{"/nowhere/x.so", "No such file"},
	{"/tmp", "not a regular file"},
	{"/dev/zero", "not a regular file"},
};

static void a_plugin_that_is_wrong_is_refused_and_says_why(void **state HW_UNUSED)
{
	static const char *const selves[] = {SELF, NULL};

	for (size_t s = 0; s < HW_COUNT(selves); s++) {
		struct loaded l;

		loaded_init(&l, selves[s]);
		for (size_t i = 0; i < HW_COUNT(wrong); i++) {
			assert_not_loaded(&l, wrong[i].path, "{}", "", wrong[i].why);
			assert_int_equal(
				strncmp(l.problem.text, wrong[i].path, strlen(wrong[i].path)), 0);
			assert_null(strstr(l.problem.text,
				l.cache)); /* a person knows the file by its own name */
			assert_int_equal(loaded_count(l.cache, NULL), 0);
		}
		loaded_fini(&l);
	}
}

static void what_ends_the_child_does_not_end_the_broker(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, SELF);
	assert_not_loaded(&l, PROBE("probe_crash"), "{}", "", "signal 6");
	assert_int_equal(loaded_count(l.cache, NULL), 0);
	loaded_fini(&l);
}

static long size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (long)st.st_size;
}

/* Cut anywhere, a file is refused before anything maps it, or only what is never mapped is missing.
 * Cuts are finer at the end, where the difference is. */
static void a_file_that_lacks_its_end_is_never_opened(void **state HW_UNUSED)
{
	long size = size_of(PROBE("probe")), n_refused = 0, whole = 0;
	struct loaded l;
	char path[64];

	loaded_init(&l, SELF);
	snprintf(path, sizeof(path), "%s/cut.so", l.folder);
	for (long cut = 0; cut < size; cut += size / 61) {
		struct hw_hook_entry *entry = NULL;

		copy_file(PROBE("probe"), path, cut);
		if (loaded_load(&l, path, "{}", true, &entry) == 0) {
			whole = whole ? whole : cut;
			hw_hook_entry_unref(&entry);
			continue;
		}
		assert_int_equal(whole, 0); /* what is whole stays whole with more of it */
		assert_true(strstr(l.problem.text, "the file is incomplete") ||
			    strstr(l.problem.text, "not a shared object"));
		n_refused++;
	}
	assert_in_range(n_refused, 10, 61);
	loaded_fini(&l);
}

/* Also who asks the child directly hears what is wrong, and not of a signal. */
static void the_child_says_that_a_file_lacks_its_end(void **state HW_UNUSED)
{
	long size = size_of(PROBE("probe"));
	struct hw_err err = {""};
	struct loaded l;
	size_t n_refused = 0;
	char path[64];

	loaded_init(&l, SELF);
	for (long cut = 4096; cut < size; cut += 4096) {
		snprintf(path, sizeof(path), "%s/cut%ld.so", l.folder, cut);
		copy_file(PROBE("probe"), path, cut);
		if (hw_plugin_trial(SELF, path, &err) == 0)
			continue;
		assert_non_null(strstr(err.text, "the file is incomplete"));
		n_refused++;
	}
	assert_true(n_refused > 0);
	loaded_fini(&l);
}

static void a_constructor_that_waits_is_given_up(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, SELF);
	assert_not_loaded(&l, PROBE("probe_hang"), "{}", "", "took longer than 5000 ms");
	loaded_fini(&l);
}

/* Dead, and nobody has waited for it yet. */
static bool is_zombie(int pid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (file)
		fclose(file);
	return state == 'Z';
}

/* With status 0, as if all were well: in the broker it would have ended the broker. */
static void a_constructor_that_exits_is_refused(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, SELF);
	assert_not_loaded(&l, PROBE("probe_exit"), "{}", "", "do its constructors exit?");
	loaded_fini(&l);
}

/* The trial neither waits for what a constructor has started nor leaves it behind. */
static void a_constructor_that_forks_leaves_nothing_of_the_trial(void **state HW_UNUSED)
{
	struct hw_err err = {""};
	struct loaded l;
	char path[64];
	FILE *file;
	int pid;

	loaded_init(&l, SELF);
	snprintf(path, sizeof(path), "%s/pid", l.folder);
	setenv("PROBE_FORK_PID", path, 1);
	alarm(4); /* less than the time that a trial has */
	assert_int_equal(hw_plugin_trial(SELF, PROBE("probe_fork"), &err), 0);
	alarm(0);
	unsetenv("PROBE_FORK_PID");
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	fclose(file);
	for (int tries = 0; kill(pid, 0) == 0 && !is_zombie(pid); tries++) {
		assert_in_range(tries, 0, 400);
		usleep(5000);
	}
	unlink(path);
	loaded_fini(&l);
}

static void a_trial_that_cannot_be_run_refuses(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, "/nowhere/hookwire");
	assert_not_loaded(&l, PROBE("probe"), "{}", "", "/nowhere/hookwire");
	loaded_fini(&l);
	loaded_init(&l, "/bin/false");
	assert_not_loaded(&l, PROBE("probe"), "{}", "", "trial in a child process failed");
	loaded_fini(&l);
}

static void a_cache_that_cannot_be_written_refuses(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, NULL);
	l.env->plugin_cache = "/nowhere/cache";
	assert_not_loaded(
		&l, PROBE("probe"), "{}", "", "cannot make the private copy /nowhere/cache");
	l.env->plugin_cache = NULL;
	assert_not_loaded(&l, PROBE("probe"), "{}", "", "no folder for private copies");
	loaded_fini(&l);
}

static void settings_are_refused_where_the_plugin_points(void **state HW_UNUSED)
{
	struct loaded l;

	loaded_init(&l, NULL);
	assert_not_loaded(
		&l, PROBE("probe"), "{\"fail\":\"validate\"}", "/fail", "told to fail in validate");
	assert_not_loaded(&l, PROBE("probe"), "{\"fail\":\"load\"}", "", "told to fail in load");
	assert_not_loaded(
		&l, PROBE("probe"), "{\"fail\":\"silently\"}", "", "refuses its settings");
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_probe_loaded_total", "probe"), 0);
	loaded_fini(&l);
}

/* ---- asking ---- */

static const struct hw_question subscribe = {.operation = HW_OP_SUBSCRIBE},
				publish = {.operation = HW_OP_PUBLISH};
static const struct hw_lifecycle gone = {.kind = HW_ON_DISCONNECT, .close_code = 1000};

struct asked {
	struct hw_ask ask;
	struct hw_request request;
	struct hw_who who;
	struct hw_hook_chain *none;
	struct hw_hook_bench *empty;
};

static enum hw_verdict ask(struct loaded *l, struct hw_hook_bench *bench, bool global,
	enum hw_hook_stage stage, const struct hw_question *question, const char *script,
	struct asked *a)
{
	memset(a, 0, sizeof(*a));
	a->none = hw_hook_chain_create(NULL, 0);
	assert_int_equal(hw_hook_bench_create(l->env, a->none, HW_STR("acme"), 3, &a->empty), 0);
	a->request.token = (struct hw_slice){script, strlen(script)};
	a->who = (struct hw_who){.user_id = HW_SLICE("u1"),
		.tenant_id = HW_SLICE("acme"),
		.session = {script, strlen(script)},
		.claims = HW_SLICE("{\"n\":1.50,\"s\":\"a\\u00e9\",\"x\":[1,\"b\"]}")};
	a->ask.stage = stage;
	a->ask.global = global ? bench : a->empty;
	a->ask.tenant = global ? a->empty : bench;
	a->ask.request = &a->request;
	a->ask.who = stage == HW_STAGE_AUTHENTICATE ? NULL : &a->who;
	a->ask.question = question;
	a->ask.event = HW_STR("{\"topic\":\"a:1\"}");
	a->ask.lifecycle = &gone;
	return hw_hooks_ask(&a->ask);
}

static void release(struct asked *a)
{
	hw_identity_unref(&a->ask.identity);
	free(a->ask.new_event);
	hw_hook_bench_destroy(&a->empty);
	hw_hook_chain_unref(&a->none);
}

struct probe {
	struct loaded l;
	struct hw_hook_bench *global, *tenant;
};

static void probe_init(struct probe *p)
{
	struct hw_hook_entry *entry;

	loaded_init(&p->l, NULL);
	assert_int_equal(loaded_load(&p->l, PROBE("probe"), "{}", true, &entry), 0);
	p->global = loaded_bench(&p->l, entry);
	assert_int_equal(loaded_load(&p->l, PROBE("probe"), "{}", false, &entry), 0);
	p->tenant = loaded_bench(&p->l, entry);
	assert_non_null(p->global);
	assert_non_null(p->tenant);
}

static void probe_fini(struct probe *p)
{
	hw_hook_bench_destroy(&p->global);
	hw_hook_bench_destroy(&p->tenant);
	assert_int_equal(loaded_metric(&p->l, "hookwire_plugin_probe_unloaded_total", "probe"), 0);
	hw_hook_env_reap(p->l.env);
	assert_int_equal(loaded_metric(&p->l, "hookwire_plugin_probe_unloaded_total", "probe"), 2);
	loaded_fini(&p->l);
}

static void authenticate_takes_over_all_that_was_set(void **state HW_UNUSED)
{
	const struct hw_identity *id;
	struct probe p;
	struct asked a;

	probe_init(&p);
	assert_int_equal(ask(&p.l, p.global, true, HW_STAGE_AUTHENTICATE, NULL,
				 "user=no;user=u1;tenant=acme;claims={\"a\":1,\"b\":2};claims={"
				 "\"b\":3};expires=900;expires=1000;"
				 "grant=beta;grant=gamma;act_as;return=1",
				 &a),
		HW_ALLOW);
	id = a.ask.identity;
	assert_true(hw_str_eq(id->user_id, HW_STR("u1")));
	assert_true(hw_str_eq(id->tenant_id, HW_STR("acme")));
	assert_true(hw_str_eq(id->claims, HW_STR("{\"a\":1,\"b\":3}")));
	assert_int_equal(id->expires_at, 900);
	assert_true(id->act_as);
	assert_int_equal(id->n_tenants, 2);
	assert_true(hw_str_eq(id->tenants[1], HW_STR("gamma")));
	release(&a);
	probe_fini(&p);
}

static void verdicts_and_reasons_come_through(void **state HW_UNUSED)
{
	static const struct {
		const char *script;
		enum hw_verdict verdict;
		const char *code, *message;
	} cases[] = {
		{"return=1", HW_ALLOW, "", ""},
		{"return=0", HW_DENY, "forbidden_topic", ""},
		{"return=2", HW_DENY, "forbidden_topic", ""},
		{"reason=rate_limited:slow down;return=2", HW_DENY, "rate_limited", "slow down"},
		{"reason=nonsense:slow down;return=2", HW_DENY, "forbidden_topic", ""},
		{"reason=rate_limited:\xff;return=2", HW_DENY, "forbidden_topic", ""},
		{"reason=rate_limited:later;return=4", HW_ERROR, "unavailable", "later"},
		{"return=3", HW_ERROR, "unavailable", ""}, /* cannot wait yet */
		{"return=99", HW_ERROR, "unavailable", ""},
		{"return=-1", HW_ERROR, "unavailable", ""},
		/* a setter that refuses fails the call, whatever the plugin makes of it */
		{"user=u2;return=1", HW_ERROR, "unavailable", ""},
		{"user=u2;return=0", HW_ERROR, "unavailable", ""},
		{"user=u2;return=2", HW_DENY, "forbidden_topic", ""},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct probe p;
		struct asked a;

		probe_init(&p);
		assert_int_equal(ask(&p.l, p.tenant, false, HW_STAGE_AUTHORIZE, &subscribe,
					 cases[i].script, &a),
			cases[i].verdict);
		assert_string_equal(a.ask.code ? a.ask.code : "", cases[i].code);
		assert_string_equal(a.ask.message, cases[i].message);
		release(&a);
		probe_fini(&p);
	}
}

static void setters_refuse_what_is_not_acceptable(void **state HW_UNUSED)
{
	static const struct {
		enum hw_hook_stage stage;
		bool global;
		const struct hw_question *question;
		const char *word;
		int n_failed;
	} cases[] = {
		{HW_STAGE_AUTHENTICATE, true, NULL, "user=u1", 0},
		{HW_STAGE_AUTHENTICATE, true, NULL, "user=", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "user=\xff", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "tenant=a b", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "tenant=", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "claims=[]", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "claims={\"a\":1,\"a\":2}", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "expires=0", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "expires=-3", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "expires=1700000000000", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "grant=beta", 0},
		{HW_STAGE_AUTHENTICATE, true, NULL, "grant=be ta", 1},
		{HW_STAGE_AUTHENTICATE, true, NULL, "event={}", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "user=u1", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "tenant=acme", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "claims={}", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "expires=900", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "grant=beta", 1},
		{HW_STAGE_AUTHORIZE, false, &subscribe, "act_as", 1},
		{HW_STAGE_AUTHORIZE, false, &publish, "act_as", 0},
		{HW_STAGE_AUTHORIZE, false, &publish, "event={}", 1},
		{HW_STAGE_TRANSFORM, false, NULL, "event={\"a\":1}", 0},
		{HW_STAGE_TRANSFORM, false, NULL, "event=[]", 1},
		{HW_STAGE_TRANSFORM, false, NULL, "event={\"a\":1", 1},
		{HW_STAGE_TRANSFORM, false, NULL, "act_as", 1},
		{HW_STAGE_TRANSFORM, false, NULL, "reason=forbidden_topic:x", 0},
		{HW_STAGE_LIFECYCLE, false, NULL, "act_as", 1},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct probe p;
		struct asked a;

		probe_init(&p);
		(void)!ask(&p.l, cases[i].global ? p.global : p.tenant, cases[i].global,
			cases[i].stage, cases[i].question, cases[i].word, &a);
		assert_int_equal(
			loaded_metric(&p.l, "hookwire_plugin_probe_setter_failed_total", "probe"),
			cases[i].n_failed);
		release(&a);
		probe_fini(&p);
	}
}

static void only_a_global_entry_grants_tenants(void **state HW_UNUSED)
{
	struct probe p;
	struct asked a;

	probe_init(&p);
	memset(&a, 0, sizeof(a));
	a.request.token = HW_SLICE("user=u1;tenant=acme;return=1");
	a.ask = (struct hw_ask){.stage = HW_STAGE_AUTHENTICATE,
		.global = p.global,
		.tenant = p.tenant,
		.request = &a.request};
	assert_int_equal(
		hw_hooks_ask(&a.ask), HW_ALLOW); /* both entries are asked: the second may agree */
	hw_identity_unref(&a.ask.identity);
	a.request.token = HW_SLICE("user=u1;tenant=acme;grant=beta;return=1");
	a.ask = (struct hw_ask){.stage = HW_STAGE_AUTHENTICATE,
		.global = p.global,
		.tenant = p.tenant,
		.request = &a.request};
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ERROR);
	probe_fini(&p);
}

static void transform_replaces_the_event(void **state HW_UNUSED)
{
	struct probe p;
	struct asked a;

	probe_init(&p);
	assert_int_equal(ask(&p.l, p.tenant, false, HW_STAGE_TRANSFORM, NULL,
				 "event={\"n\":1.0};return=0", &a),
		HW_ALLOW);
	assert_int_equal(a.ask.new_event_len, 9);
	assert_memory_equal(a.ask.new_event, "{\"n\":1.0}", 9);
	release(&a);
	assert_int_equal(ask(&p.l, p.tenant, false, HW_STAGE_TRANSFORM, NULL,
				 "event={\"n\":1.0};return=2", &a),
		HW_DENY);
	assert_null(a.ask.new_event);
	release(&a);
	probe_fini(&p);
}

static void the_json_functions_read_as_they_say(void **state HW_UNUSED)
{
	static const struct {
		enum hw_hook_stage stage;
		const char *script, *message;
	} cases[] = {
		{HW_STAGE_AUTHORIZE, "get=n;return=2", "0n:1.50"},
		{HW_STAGE_AUTHORIZE, "get=s;return=2", "0s:a\xc3\xa9"},
		{HW_STAGE_AUTHORIZE, "get=x;return=2", "0a:[1,\"b\"]"},
		{HW_STAGE_AUTHORIZE, "get=none;return=2", "1-:"},
		{HW_STAGE_AUTHORIZE, "walk;return=2", "n=n1.50,s=sa\xc3\xa9,x=a[1,\"b\"],1"},
		{HW_STAGE_TRANSFORM, "walk;return=2", "topic=sa:1,1"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct probe p;
		struct asked a;

		probe_init(&p);
		assert_int_equal(
			ask(&p.l, p.tenant, false, cases[i].stage, &subscribe, cases[i].script, &a),
			HW_DENY);
		assert_string_equal(a.ask.message, cases[i].message);
		release(&a);
		probe_fini(&p);
	}
}

static void json_that_is_none_is_told(void **state HW_UNUSED)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[1,\"\\u0041\",null,true,{}]", "=n1,=sA,=znull,=ttrue,=o{},1"},
		{"[]", "1"},
		{" { } ", "1"},
		{"{\"a\":1", "a=n1,-1"},
		{"{\"a\" 1}", "-1"},
		{"[1 2]", "=n1,-1"},
		{"7", "-1"},
		{"", "-1"},
		{"{\"a\":\"\\u0041longer than the scratch is\"}", "-1"},
		{"{\"a\":\"\\ud800\"}", "-1"},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct probe p;
		struct asked a;

		probe_init(&p);
		memset(&a, 0, sizeof(a));
		a.none = hw_hook_chain_create(NULL, 0);
		assert_int_equal(
			hw_hook_bench_create(p.l.env, a.none, HW_STR("acme"), 3, &a.empty), 0);
		a.who = (struct hw_who){
			.session = HW_SLICE("walk;return=2"), .tenant_id = HW_SLICE("acme")};
		a.ask = (struct hw_ask){.stage = HW_STAGE_TRANSFORM,
			.global = a.empty,
			.tenant = p.tenant,
			.who = &a.who,
			.event = hw_str_of(cases[i].text)};
		assert_int_equal(hw_hooks_ask(&a.ask), HW_DENY);
		assert_string_equal(a.ask.message, cases[i].message);
		release(&a);
		probe_fini(&p);
	}
}

static void long_reasons_are_cut_between_characters(void **state HW_UNUSED)
{
	char script[512] = "reason=rate_limited:";
	struct probe p;
	struct asked a;

	probe_init(&p);
	for (int i = 0; i < 150; i++)
		strcat(script, "\xc3\xa9");
	strcat(script, ";return=2");
	assert_int_equal(
		ask(&p.l, p.tenant, false, HW_STAGE_AUTHORIZE, &subscribe, script, &a), HW_DENY);
	assert_int_equal(strlen(a.ask.message), 254);
	release(&a);
	probe_fini(&p);
}

static void a_call_knows_its_tenant(void **state HW_UNUSED)
{
	struct probe p;
	struct asked a;

	probe_init(&p);
	assert_int_equal(ask(&p.l, p.tenant, false, HW_STAGE_AUTHORIZE, &subscribe,
				 "tenant_of_call;return=2", &a),
		HW_DENY);
	assert_string_equal(a.ask.message, "acme");
	release(&a);
	assert_int_equal(ask(&p.l, p.global, true, HW_STAGE_AUTHENTICATE, NULL,
				 "tenant_of_call;return=2", &a),
		HW_DENY);
	assert_string_equal(a.ask.message, "");
	release(&a);
	probe_fini(&p);
}

static void metrics_and_log_lines_name_the_plugin(void **state HW_UNUSED)
{
	FILE *file = tmpfile();
	struct hw_log *log = hw_log_create(fileno(file), HW_LOG_INFO, HW_LOG_TEXT);
	char text[1024] = "";
	struct probe p;
	struct asked a;

	probe_init(&p);
	p.l.env->log = log;
	assert_int_equal(ask(&p.l, p.tenant, false, HW_STAGE_LIFECYCLE, NULL,
				 "metric=seen;metric=seen;metric=Bad;log=hello", &a),
		HW_ALLOW);
	release(&a);
	assert_int_equal(loaded_metric(&p.l, "hookwire_plugin_seen_total", "probe"), 4);
	rewind(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_non_null(strstr(text, "hello"));
	assert_non_null(strstr(text, "plugin=probe"));
	p.l.env->log = NULL;
	hw_log_destroy(&log);
	fclose(file);
	probe_fini(&p);
}

static void a_plugin_is_told_of_the_kinds_that_it_names(void **state HW_UNUSED)
{
	static const struct {
		struct hw_lifecycle what;
		bool told;
	} all[] = {{{.kind = HW_ON_CONNECT}, false},
		{{.kind = HW_ON_DISCONNECT, .close_code = 1000}, true},
		{{.kind = HW_ON_OCCUPIED, .topic = HW_SLICE("a:1"), .number = 7}, true},
		{{.kind = HW_ON_VACATED, .topic = HW_SLICE("a:1"), .number = 8}, false},
		{{.kind = HW_ON_PUBLISH, .event = HW_SLICE("{\"topic\":\"a:1\"}")}, true}};
	int64_t n_told = 0;
	struct probe p;
	struct asked a;

	probe_init(&p);
	assert_int_equal(
		ask(&p.l, p.tenant, false, HW_STAGE_LIFECYCLE, NULL, "metric=told", &a), HW_ALLOW);
	n_told = loaded_metric(&p.l, "hookwire_plugin_told_total", "probe");
	assert_true(n_told > 0);
	for (size_t i = 0; i < HW_COUNT(all); i++) {
		int64_t before = loaded_metric(&p.l, "hookwire_plugin_told_total", "probe");

		a.ask.lifecycle = &all[i].what;
		assert_int_equal(hw_hook_bench_has_kind(p.tenant, all[i].what.kind), all[i].told);
		assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
		assert_int_equal(loaded_metric(&p.l, "hookwire_plugin_told_total", "probe"),
			before + (all[i].told ? n_told : 0));
	}
	/* a tenant that a reload took away has no chain, and the guards hear of it nevertheless */
	a.ask.global = p.global;
	a.ask.tenant = NULL;
	a.ask.lifecycle = &all[1].what;
	assert_int_equal(hw_hooks_ask(&a.ask), HW_ALLOW);
	assert_int_equal(loaded_metric(&p.l, "hookwire_plugin_told_total", "probe"), 5 * n_told);
	release(&a);
	probe_fini(&p);
}

static void a_plugin_is_not_asked_about_sessions_unless_it_says_so(void **state HW_UNUSED)
{
	struct probe p;

	probe_init(&p);
	assert_true(hw_hook_bench_has_operation(p.tenant, HW_OP_SUBSCRIBE));
	assert_true(hw_hook_bench_has_operation(p.tenant, HW_OP_WILDCARD));
	assert_true(hw_hook_bench_has_operation(p.tenant, HW_OP_PUBLISH));
	assert_true(hw_hook_bench_has_operation(p.tenant, HW_OP_PRESENCE));
	assert_false(hw_hook_bench_has_operation(p.tenant, HW_OP_SESSION));
	probe_fini(&p);
}

static void a_table_that_is_too_short_for_a_hook_has_none(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry;
	struct hw_hook_bench *bench;
	struct loaded l;

	loaded_init(&l, SELF);
	assert_int_equal(loaded_load(&l, PROBE("probe_short"), "{}", false, &entry), 0);
	bench = loaded_bench(&l, entry);
	assert_true(hw_hook_bench_has(bench, HW_STAGE_AUTHORIZE));
	assert_false(hw_hook_bench_has(bench, HW_STAGE_TRANSFORM));
	assert_false(hw_hook_bench_has(bench, HW_STAGE_LIFECYCLE));
	hw_hook_bench_destroy(&bench);
	loaded_fini(&l);
}

static void a_worker_that_cannot_begin_makes_no_bench(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry;
	struct hw_hook_chain *chain;
	struct hw_hook_bench *bench;
	struct loaded l;

	loaded_init(&l, NULL);
	assert_int_equal(
		loaded_load(&l, PROBE("probe"), "{\"fail\":\"worker_init\"}", true, &entry), 0);
	chain = hw_hook_chain_create(&entry, 1);
	assert_int_equal(hw_hook_bench_create(l.env, chain, HW_STR(""), 3, &bench), -EIO);
	hw_hook_chain_unref(&chain);
	hw_hook_entry_unref(&entry);
	loaded_fini(&l);
}

/* ---- reloading ---- */

static void assert_version(struct loaded *l, struct hw_hook_entry *entry, const char *version)
{
	struct hw_hook_bench *bench = loaded_bench(l, hw_hook_entry_ref(entry));
	struct asked a;

	assert_int_equal(
		ask(l, bench, false, HW_STAGE_AUTHORIZE, &subscribe, "version;return=2", &a),
		HW_DENY);
	assert_string_equal(a.ask.message, version);
	release(&a);
	hw_hook_bench_destroy(&bench);
}

static void a_new_file_under_the_old_name_is_new_code(void **state HW_UNUSED)
{
	struct hw_hook_entry *first, *second, *third;
	char path[64], temporary[64];
	struct loaded l;

	loaded_init(&l, SELF);
	snprintf(path, sizeof(path), "%s/it.so", l.folder);
	snprintf(temporary, sizeof(temporary), "%s/it.new", l.folder);
	copy_file(PROBE("probe"), path, 1 << 24);
	assert_int_equal(loaded_load(&l, path, "{}", false, &first), 0);
	copy_file(PROBE("probe_second"), temporary, 1 << 24);
	assert_int_equal(rename(temporary, path), 0);
	assert_int_equal(loaded_load(&l, path, "{}", false, &second), 0);
	assert_version(&l, second, "2.0");
	assert_version(&l, first, "1.0"); /* the generation before is served as it was */
	assert_memory_not_equal(first->hash, second->hash, 32);
	assert_int_equal(loaded_count(l.cache, NULL), 2);
	/* and back: what was opened once is not opened again */
	copy_file(PROBE("probe"), path, 1 << 24);
	l.env->self_exe = "/bin/false";
	assert_int_equal(loaded_load(&l, path, "{}", false, &third), 0);
	assert_version(&l, third, "1.0");
	assert_memory_equal(first->hash, third->hash, 32);
	hw_hook_entry_unref(&first);
	hw_hook_entry_unref(&second);
	hw_hook_entry_unref(&third);
	loaded_fini(&l);
}

static void a_damaged_copy_in_the_cache_is_made_anew(void **state HW_UNUSED)
{
	struct hw_hook_entry *entry;
	char name[256], path[320];
	struct stat st;
	struct loaded l;
	FILE *file;

	loaded_init(&l, NULL);
	assert_int_equal(loaded_load(&l, PROBE("probe"), "{}", false, &entry), 0);
	hw_hook_entry_unref(&entry);
	assert_int_equal(loaded_count(l.cache, name), 1);
	assert_int_equal(strlen(name), 64 + 3);
	hw_hook_env_destroy(&l.env);
	snprintf(path, sizeof(path), "%s/%s", l.cache, name);
	unlink(path); /* not over the open one */
	file = fopen(path, "w");
	fputs("half of it", file);
	fclose(file);
	l.env = hw_hook_env_create(NULL, l.metrics, &l.clock, NULL, NULL, l.cache, SELF);
	assert_int_equal(loaded_load(&l, PROBE("probe"), "{}", false, &entry), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 1000);
	assert_version(&l, entry, "1.0");
	hw_hook_entry_unref(&entry);
	loaded_fini(&l);
}

static void an_entry_whose_hash_is_the_same_is_used_again(void **state HW_UNUSED)
{
	struct hw_hook_spec spec = {.name = "it",
		.kind = HW_HOOK_PLUGIN,
		.path = PROBE("probe"),
		.config = HW_STR("{\"a\":1}"),
		.budget = HW_HOOK_BUDGET_DEFAULT};
	struct hw_hook_entry *first, *second;
	struct hw_hook_chain *chain;
	struct loaded l;

	loaded_init(&l, NULL);
	assert_int_equal(hw_hook_entry_load(l.env, &spec, NULL, 0, &first, &l.problem), 0);
	chain = hw_hook_chain_create(&first, 1);
	assert_int_equal(hw_hook_entry_load(l.env, &spec, &chain, 1, &second, &l.problem), 0);
	assert_ptr_equal(first, second);
	hw_hook_entry_unref(&second);
	for (int i = 0; i < 5; i++) {
		struct hw_hook_spec other = spec;

		if (i == 0)
			other.name = "other";
		else if (i == 1)
			other.config = HW_STR("{\"a\":2}");
		else if (i == 2)
			other.global = true;
		else if (i == 3)
			other.budget.cpu_ms++;
		else
			other.path = PROBE("probe_second");
		assert_int_equal(
			hw_hook_entry_load(l.env, &other, &chain, 1, &second, &l.problem), 0);
		assert_ptr_not_equal(first, second);
		assert_memory_not_equal(first->hash, second->hash, 32);
		hw_hook_entry_unref(&second);
	}
	hw_hook_env_reap(l.env);
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_probe_loaded_total", "probe"), 6);
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_probe_unloaded_total", "probe"), 5);
	hw_hook_entry_unref(&first);
	hw_hook_env_reap(l.env);
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_probe_unloaded_total", "probe"),
		5); /* the chain holds it */
	hw_hook_chain_unref(&chain);
	hw_hook_env_reap(l.env);
	assert_int_equal(loaded_metric(&l, "hookwire_plugin_probe_unloaded_total", "probe"), 6);
	loaded_fini(&l);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plugin_that_is_wrong_is_refused_and_says_why),
		cmocka_unit_test(what_ends_the_child_does_not_end_the_broker),
		cmocka_unit_test(a_file_that_lacks_its_end_is_never_opened),
		cmocka_unit_test(the_child_says_that_a_file_lacks_its_end),
		cmocka_unit_test(a_constructor_that_waits_is_given_up),
		cmocka_unit_test(a_constructor_that_exits_is_refused),
		cmocka_unit_test(a_constructor_that_forks_leaves_nothing_of_the_trial),
		cmocka_unit_test(a_trial_that_cannot_be_run_refuses),
		cmocka_unit_test(a_cache_that_cannot_be_written_refuses),
		cmocka_unit_test(settings_are_refused_where_the_plugin_points),
		cmocka_unit_test(authenticate_takes_over_all_that_was_set),
		cmocka_unit_test(verdicts_and_reasons_come_through),
		cmocka_unit_test(setters_refuse_what_is_not_acceptable),
		cmocka_unit_test(only_a_global_entry_grants_tenants),
		cmocka_unit_test(transform_replaces_the_event),
		cmocka_unit_test(the_json_functions_read_as_they_say),
		cmocka_unit_test(json_that_is_none_is_told),
		cmocka_unit_test(long_reasons_are_cut_between_characters),
		cmocka_unit_test(a_call_knows_its_tenant),
		cmocka_unit_test(metrics_and_log_lines_name_the_plugin),
		cmocka_unit_test(a_plugin_is_told_of_the_kinds_that_it_names),
		cmocka_unit_test(a_plugin_is_not_asked_about_sessions_unless_it_says_so),
		cmocka_unit_test(a_table_that_is_too_short_for_a_hook_has_none),
		cmocka_unit_test(a_worker_that_cannot_begin_makes_no_bench),
		cmocka_unit_test(a_new_file_under_the_old_name_is_new_code),
		cmocka_unit_test(a_damaged_copy_in_the_cache_is_made_anew),
		cmocka_unit_test(an_entry_whose_hash_is_the_same_is_used_again),
	};

	if (argc == 4 && strcmp(argv[1], "check") == 0 && strcmp(argv[2], "--plugin") == 0)
		return hw_plugin_check(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
