/* A Lua file as an entry of the chain: what policy { … } takes, what the functions may answer,
 * modules, settings, logs. */
#include "lua_world.h"

#include "crypto/jwt.h"
#include "hook/lua_state.h"

#define SUBSCRIBE(body) \
	"return policy { api = 1, authorize = { subscribe = function(s, topic, ctx) " body \
	" end } }"
#define AUTHENTICATE(body) \
	"return policy { api = 1, authenticate = function(req, ctx) " body " end }"

struct refusal {
	const char *source;
	const char *says;
};

/* clang-format off: one case a line */
static const struct refusal refused_files[] = {
	{"", "the file must end with: return policy { … }"},
	{"return 5", "the file must end with: return policy { … }"},
	{"return { api = 1 }", "the file must end with: return policy { … }"},
	{"policy { api = 1, transform = print } return { api = 1 }", "the file must end with"},
	{"return", "the file must end with"},
	{"this is no Lua", "policy.lua:1: syntax error near 'is'"},
	{"\n\nreturn policy { api = 1, transform = nofunction() }",
		"policy.lua:3: attempt to call a nil value (global 'nofunction')"},
	{"return policy {}", "policy.lua:1: policy needs api = 1"},
	{"return policy { api = 2, transform = print }", "speaks api = 1"},
	{"return policy { api = '1', transform = print }", "speaks api = 1"},
	{"return policy { api = 1 }", "registers no function"},
	{"return policy { api = 1, authorize = {} }", "registers no function"},
	{"return policy { api = 1, transfrom = print }",
		"unknown key 'transfrom' in policy (did you mean 'transform'?)"},
	{"return policy { api = 1, zzz = print }", "unknown key 'zzz' in policy"},
	{"return policy { api = 1, print }", "policy has a key that is a number"},
	{"return policy { api = 1, authorize = { subscibe = print } }",
		"unknown key 'subscibe' in authorize (did you mean 'subscribe'?)"},
	{"return policy { api = 1, authorize = { connect = print } }",
		"unknown key 'connect' in authorize"},
	{"return policy { api = 1, authorize = print }",
		"'authorize' must be a table, not a function"},
	{"return policy { api = 1, authorize = { subscribe = 1 } }",
		"'authorize.subscribe' must be a function, not a number"},
	{"return policy { api = 1, authenticate = {} }",
		"'authenticate' must be a function, not a table"},
	{"return policy { api = 1, on = { conect = print } }",
		"unknown key 'conect' in on (did you mean 'connect'?)"},
	{"return policy { api = 1, on = { disconnect = false } }",
		"'on.disconnect' must be a function, not a boolean"},
	{"return policy { api = 1, reads = {} }", "registers no function"},
	{"return policy { api = 1, filter = {} }", "'filter' must be a function, not a table"},
	{"return policy { api = 1, redact = 1 }", "'redact' must be a function, not a number"},
	{"return policy { api = 1, filter = print, reads = print }",
		"'reads' must be a table, not a function"},
	{"return policy { api = 1, filter = print, reads = { filtre = {} } }",
		"unknown key 'filtre' in reads (did you mean 'filter'?)"},
	{"return policy { api = 1, filter = print, reads = { filter = 'user' } }",
		"reads.filter must be a list of names, not a string"},
	{"return policy { api = 1, filter = print, reads = { filter = { 1 } } }",
		"reads.filter is a list of names, and one is a number"},
	{"return policy { api = 1, filter = print, reads = { filter = { user = true } } }",
		"reads.filter is a list of names"},
	{"return policy { api = 1, filter = print, reads = { filter = { 'role' } } }",
		"reads.filter: 'role' cannot be read: name \"user\", \"tenant\" or "
		"\"claims.NAME\""},
	{"return policy { api = 1, filter = print, reads = { filter = { 'claims.' } } }",
		"reads.filter: 'claims.' cannot be read"},
	{"local l = {} for i = 1, 17 do l[i] = 'claims.c' .. i end"
	 " return policy { api = 1, redact = print, reads = { redact = l } }",
		"reads.redact: more than 16 are read"},
	{"return policy { api = 1, filter = print, reads = { redact = { 'user' } } }",
		"reads.redact is declared, and there is no function redact"},
	{"policy { api = 1, transform = print } return policy { api = 1, transform = print }",
		"a file has one policy"},
	{"require('no_such') return policy { api = 1, transform = print }",
		"module 'no_such': there is no such file"},
	{"require('../x')", "a module's name is lower-case letters and '_'"},
	{"require('')", "a module's name is"},
	{"require('a.b')", "a module's name is"},
	{"require('bad')", "lib/bad.lua:2: attempt to perform arithmetic on a nil value"},
	{"require('loop_a')", "module 'loop_a' requires itself"},
	{"require('sub')", "module 'sub': cannot be read"},
	{"error({})", "raised an error that is no text but a table"},
	{"error('plain', 0)", "policy.lua: plain"},
};
/* clang-format on */

static void a_file_that_is_no_policy_is_refused_with_a_reason(void **state)
{
	struct world w;
	char path[128];

	(void)state;
	world_init(&w);
	world_write(&w, "bad.lua", "-- a comment\nlocal x = nil + 1\n");
	world_write(&w, "loop_a.lua", "require('loop_b')");
	world_write(&w, "loop_b.lua", "require('loop_a')");
	snprintf(path, sizeof(path), "%s/sub.lua", w.dir);
	assert_int_equal(symlink("/", path), 0);
	for (size_t i = 0; i < HW_COUNT(refused_files); i++) {
		if (world_load(&w, false, refused_files[i].source, NULL) != -EINVAL)
			fail_msg("was loaded: %s", refused_files[i].source);
		if (!strstr(w.problem.text, refused_files[i].says) ||
			!strstr(w.problem.text, "policy.lua"))
			fail_msg("%s\nsays: %s\nnot:  %s", refused_files[i].source, w.problem.text,
				refused_files[i].says);
		assert_string_equal(w.problem.path, "");
	}
	world_fini(&w);
}

static void what_is_registered_is_what_the_chain_will_ask(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, transform = function(e) return e end, on = { "
			 "disconnect = print },\n"
			 "authorize = { wildcard = print, presence = print } }");
	assert_int_equal(w.entry->registers, HW_REGISTERS_STAGE(HW_STAGE_TRANSFORM) |
						     HW_REGISTERS_STAGE(HW_STAGE_LIFECYCLE) |
						     HW_REGISTERS_KIND(HW_ON_DISCONNECT) |
						     HW_REGISTERS_STAGE(HW_STAGE_AUTHORIZE) |
						     HW_REGISTERS_OPERATION(HW_OP_WILDCARD) |
						     HW_REGISTERS_OPERATION(HW_OP_PRESENCE));
	assert_int_equal(
		world_lifecycle(&w, HW_ON_CONNECT, 0), HW_ALLOW); /* only disconnect is there */
	world_fini(&w);
}

struct answer {
	const char *body;
	enum hw_verdict verdict;
	const char *code;    /* NULL: none */
	const char *message; /* what the client may read */
	const char *detail;  /* part of it */
};

/* clang-format off: one case a line */
static const struct answer answers[] = {
	{"return allow()", HW_ALLOW, NULL, "", ""},
	{"return allow {}", HW_ALLOW, NULL, "", ""},
	{"return nil", HW_DEFER, NULL, "", ""},
	{"", HW_DEFER, NULL, "", ""},
	{"return defer()", HW_DEFER, NULL, "", ""},
	{"return deny()", HW_DENY, NULL, "", ""},
	{"return deny('rate_limited')", HW_DENY, "rate_limited", "", ""},
	{"return deny('forbidden_topic', 'not yours')", HW_DENY, "forbidden_topic", "not yours",
		""},
	{"return deny(nil, 'why')", HW_DENY, NULL, "why", ""},
	{"return deny('unauthorised', 'x')", HW_ERROR, NULL, "",
		"deny takes an error code first, as in deny('unauthorized', 'why'): 'unauthorised' "
		"is none"},
	{"return deny('that is not yours')", HW_ERROR, NULL, "",
		"deny takes an error code first, as in deny('forbidden_topic', 'why'): 'that is "
		"not yours' is none"},
	{"return deny({})", HW_ERROR, NULL, "", "string expected, got table"},
	{"return unavailable()", HW_ERROR, NULL, "", "the policy answered unavailable"},
	{"return unavailable('come back')", HW_ERROR, NULL, "come back",
		"the policy answered unavailable: come back"},
	{"return true", HW_ERROR, NULL, "",
		"authorize.subscribe must return allow(), deny(), defer() or unavailable(), not a "
		"boolean"},
	{"return { verdict = 1 }", HW_ERROR, NULL, "", "not a table"},
	{"return allow", HW_ERROR, NULL, "", "not a function"},
	{"return json.null", HW_ERROR, NULL, "", "not a userdata"},
	{"error('secret of the house')", HW_ERROR, NULL, "", "secret of the house"},
	{"return nothing.x", HW_ERROR, NULL, "",
		"policy.lua:1: attempt to index a nil value (global 'nothing')"},
	{"error(setmetatable({}, {__tostring = function() return 'x' end}))", HW_ERROR, NULL, "",
		"no text but a table"},
	{"return allow { user = 'x' }", HW_ERROR, NULL, "", "unknown key 'user' in allow"},
	{"return allow { claim = {} }", HW_ERROR, NULL, "", "did you mean 'claims'?"},
	{"return allow { user_id = 'x' }", HW_ERROR, NULL, "",
		"allow of authorize.subscribe takes no 'user_id'"},
	{"return allow { act_as = true }", HW_ERROR, NULL, "",
		"allow of authorize.subscribe takes no 'act_as'"},
	{"return allow(5)", HW_ERROR, NULL, "", "table expected, got number"},
	{"ctx.state.v = ctx.state.v or deny('rate_limited', 'kept') return ctx.state.v", HW_DENY,
		"rate_limited", "kept", ""},
};
/* clang-format on */

static void a_verdict_reaches_the_chain_and_an_error_does_not_reach_the_client(void **state)
{
	struct world w;
	char source[1024];

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(answers); i++) {
		const struct answer *a = &answers[i];

		snprintf(source, sizeof(source), SUBSCRIBE("%s"), a->body);
		world_policy(&w, source);
		for (int again = 0; again < 2; again++) {
			if (world_subscribe(&w, "a:b") != a->verdict)
				fail_msg("%s: verdict %d: %s", a->body, w.answer.verdict,
					w.answer.detail);
			assert_string_equal(
				w.answer.code ? w.answer.code : "none", a->code ? a->code : "none");
			assert_string_equal(w.answer.message, a->message);
			if (!strstr(w.answer.detail, a->detail))
				fail_msg("%s: '%s' does not say '%s'", a->body, w.answer.detail,
					a->detail);
		}
	}
	world_fini(&w);
}

static void a_message_is_cut_between_characters(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, SUBSCRIBE("return deny(nil, 'x' .. ('é'):rep(300))"));
	assert_int_equal(world_subscribe(&w, "a:b"), HW_DENY);
	assert_int_equal(strlen(w.answer.message), 255);
	assert_memory_equal(w.answer.message + 253, "\xc3\xa9", 2);
	world_policy(&w, SUBSCRIBE("return deny(nil, ('é'):rep(300))"));
	assert_int_equal(world_subscribe(&w, "a:b"), HW_DENY);
	assert_int_equal(strlen(w.answer.message), 254);
	world_fini(&w);
}

static void every_operation_asks_its_own_function(void **state)
{
	static const char *const names[] = {
		"subscribe", "wildcard", "publish", "presence", "session"};
	struct world w;
	char source[512];

	(void)state;
	world_init(&w);
	for (int i = 0; i <= HW_OP_SESSION; i++) {
		snprintf(source, sizeof(source),
			"return policy { api = 1, authorize = { %s = function(s, topic, ctx, "
			"event)\n"
			"return deny(nil, ('%%s %%s %%s'):format(topic and topic.name, ctx.config "
			"~= nil, event and event.event)) end } }",
			names[i]);
		world_policy(&w, source);
		for (int j = 0; j <= HW_OP_SESSION; j++) {
			enum hw_verdict v = world_authorize(&w, (enum hw_operation)j, "a:b",
				j == HW_OP_PUBLISH ? "{\"event\":\"ADDED\"}" : NULL);

			assert_int_equal(v, i == j ? HW_DENY : HW_DEFER);
			if (i == j)
				assert_string_equal(
					w.answer.message, j == HW_OP_PUBLISH   ? "a:b true ADDED"
							  : j == HW_OP_SESSION ? "nil true nil"
									       : "a:b true nil");
		}
	}
	world_policy(&w, "return policy { api = 1, authorize = { publish = function() return allow "
			 "{ act_as = true } end } }");
	assert_int_equal(world_authorize(&w, HW_OP_PUBLISH, "a:b", "{}"), HW_ALLOW);
	assert_true(w.answer.act_as);
	world_fini(&w);
}

static void authenticate_says_who_it_is(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	assert_int_equal(
		world_load(&w, true,
			AUTHENTICATE("assert(req.address == '192.0.2.1' and req.path == '/ws' and "
				     "req.transport == 'ws' and req.origin == '')\n"
				     "return allow { user_id = req.token, tenant_id = 'acme', "
				     "claims = { role = 'x' }, expires_at = 1767225600.9,\n"
				     "act_as = true, tenants = { 'one', 'two' } }"),
			NULL),
		0);
	for (int i = 0; i < 2; i++) {
		if (world_authenticate(&w, "jürgen") != HW_ALLOW)
			fail_msg("%s", w.answer.detail);
		assert_string_equal(w.answer.user_id, "jürgen");
		assert_string_equal(w.answer.tenant_id, "acme");
		assert_string_equal(w.answer.claims, "{\"role\":\"x\"}");
		assert_true(w.answer.has_expires_at);
		assert_int_equal(w.answer.expires_at, 1767225600);
		assert_true(w.answer.act_as);
		assert_int_equal(w.answer.n_tenants, 2);
		assert_string_equal(w.answer.tenants[0], "one");
		assert_string_equal(w.answer.tenants[1], "two");
	}
	world_fini(&w);
}

/* clang-format off: one case a line */
static const struct answer bad_identities[] = {
	{"user_id = ''", HW_ERROR, NULL, "", "'user_id' must have 1 to 255 bytes"},
	{"user_id = ('x'):rep(256)", HW_ERROR, NULL, "", "'user_id' must have 1 to 255 bytes"},
	{"user_id = 5", HW_ERROR, NULL, "", "'user_id' must be a text, not a number"},
	{"user_id = '\\xff'", HW_ERROR, NULL, "", "'user_id' must be UTF-8"},
	{"tenant_id = 'a b'", HW_ERROR, NULL, "", "'tenant_id' may hold only letters"},
	{"tenant_id = 'a\\0'", HW_ERROR, NULL, "", "'tenant_id' may hold only letters"},
	{"tenant_id = ('x'):rep(65)", HW_ERROR, NULL, "", "'tenant_id' must have 1 to 64 bytes"},
	{"claims = 'x'", HW_ERROR, NULL, "", "'claims' must be a table"},
	{"claims = {1, 2}", HW_ERROR, NULL, "", "must be named, not a list"},
	{"claims = { f = print }", HW_ERROR, NULL, "", "a function cannot be written as JSON"},
	{"expires_at = '2026'", HW_ERROR, NULL, "", "'expires_at' must be seconds"},
	{"expires_at = 0", HW_ERROR, NULL, "", "'expires_at' must be seconds"},
	{"expires_at = 0/0", HW_ERROR, NULL, "", "'expires_at' must be seconds"},
	{"expires_at = 1767225600000000", HW_ERROR, NULL, "", "not milliseconds"},
	{"act_as = 1", HW_ERROR, NULL, "", "'act_as' must be true or false"},
	{"tenants = 'x'", HW_ERROR, NULL, "", "'tenants' must be a list"},
	{"tenants = { 'a', '' }", HW_ERROR, NULL, "", "'tenants' must have 1 to 64 bytes"},
	{"tenants = { 'a', 5 }", HW_ERROR, NULL, "", "'tenants' must be a text"},
	{"[1] = 'x'", HW_ERROR, NULL, "", "a key is a number"},
};
/* clang-format on */

static void an_identity_that_cannot_be_is_an_error(void **state)
{
	struct world w;
	char source[512];

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < HW_COUNT(bad_identities); i++) {
		snprintf(source, sizeof(source), AUTHENTICATE("return allow { %s }"),
			bad_identities[i].body);
		assert_int_equal(world_load(&w, true, source, NULL), 0);
		if (world_authenticate(&w, "t") != HW_ERROR)
			fail_msg("%s: was let through", bad_identities[i].body);
		if (!strstr(w.answer.detail, bad_identities[i].detail))
			fail_msg("%s: '%s' does not say '%s'", bad_identities[i].body,
				w.answer.detail, bad_identities[i].detail);
		assert_null(w.answer.user_id);
		assert_null(w.answer.claims);
	}
	world_fini(&w);
}

static void tokens_are_verified_with_the_keys_of_the_settings(void **state)
{
	static const char config[] =
		"{\"keys\":[{\"alg\":\"HS256\",\"secret\":\"0123456789abcdef0123456789abcdef\"}]}";
	struct world w;
	struct hw_err err;
	char *token = NULL;

	(void)state;
	world_init(&w);
	assert_int_equal(
		hw_jwt_mint(HW_JWT_HS256, HW_STR("0123456789abcdef0123456789abcdef"), HW_STR(""),
			HW_STR("{\"sub\":\"u7\",\"tenant\":\"acme\",\"exp\":1767229200,\"role\":["
			       "\"a\"]}"),
			&token, &err),
		0);
	assert_int_equal(world_load(&w, true,
				 AUTHENTICATE("local claims, err, code = ctx.jwt.verify(req.token, "
					      "{ skew_s = 5 })\n"
					      "if not claims then return deny(code, err) end\n"
					      "assert(claims.role[1] == 'a')\n"
					      "return allow { user_id = claims.sub, tenant_id = "
					      "claims.tenant, expires_at = claims.exp }"),
				 config),
		0);
	if (world_authenticate(&w, token) != HW_ALLOW)
		fail_msg("%s %s", w.answer.detail, w.answer.message);
	assert_string_equal(w.answer.user_id, "u7");
	assert_int_equal(w.answer.expires_at, 1767229200);
	w.wall_ms += 3606000;
	assert_int_equal(world_authenticate(&w, token), HW_DENY);
	assert_string_equal(w.answer.code, "token_expired");
	assert_true(w.answer.message[0] != '\0');
	assert_int_equal(world_authenticate(&w, "a.b.c"), HW_DENY);
	assert_string_equal(w.answer.code, "unauthorized");
	assert_int_equal(
		world_load(&w, true,
			AUTHENTICATE("return ctx.jwt.verify(req.token, { isuer = 'x' })"), config),
		0);
	assert_int_equal(world_authenticate(&w, token), HW_ERROR);
	assert_non_null(strstr(w.answer.detail, "did you mean 'issuer'?"));
	/* a number becomes a text that nothing keeps alive */
	assert_int_equal(
		world_load(&w, true,
			AUTHENTICATE("return ctx.jwt.verify(req.token, { audience = 7 })"), config),
		0);
	assert_int_equal(world_authenticate(&w, token), HW_ERROR);
	assert_non_null(strstr(w.answer.detail, "'audience' must be a text, not a number"));
	/* a tenant's entry, or one without keys, verifies nothing */
	assert_int_equal(
		world_load(&w, false,
			AUTHENTICATE("if ctx.jwt.verify == nil then return deny() end"), config),
		0);
	assert_int_equal(world_authenticate(&w, token), HW_DENY);
	assert_int_equal(
		world_load(&w, true,
			AUTHENTICATE("if ctx.jwt.verify == nil then return deny() end"), NULL),
		0);
	assert_int_equal(world_authenticate(&w, token), HW_DENY);
	free(token);
	assert_int_equal(world_load(&w, true, AUTHENTICATE("return nil"),
				 "{\"keys\":[{\"alg\":\"HS256\",\"secret\":\"short\"}]}"),
		-EINVAL);
	if (strncmp(w.problem.path, "/keys/0", 7) != 0)
		fail_msg("'%s' is no place in the settings", w.problem.path);
	world_fini(&w);
}

static void lifecycle_functions_are_told_and_their_errors_are_errors(void **state)
{
	struct world w;
	char *log;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, on = { connect = function(s, ctx) "
			 "ctx.log.info('hello', s.user_id) end,\n"
			 "disconnect = function(s, ctx, code) if code == 4401 then error('late') "
			 "end ctx.log.warn('bye', s.user_id, code) end } }");
	assert_int_equal(world_lifecycle(&w, HW_ON_CONNECT, 0), HW_ALLOW);
	assert_int_equal(world_lifecycle(&w, HW_ON_DISCONNECT, 1000), HW_ALLOW);
	assert_int_equal(world_lifecycle(&w, HW_ON_DISCONNECT, 4401), HW_ERROR);
	assert_non_null(strstr(w.answer.detail, "late"));
	log = world_take_log(&w);
	assert_non_null(strstr(log, "hello u1"));
	assert_non_null(strstr(log, "bye u1 1000"));
	assert_non_null(strstr(log, "tenant=acme"));
	assert_non_null(strstr(log, "hook=test"));
	free(log);
	world_fini(&w);
}

static void told_of_topics_and_events(void **state)
{
	const struct hw_who nobody = {.size = sizeof(nobody), .tenant_id = {"acme", 4}};
	struct hw_lifecycle what = {.size = sizeof(what),
		.kind = HW_ON_VACATED,
		.topic = {"a:1", 3},
		.resource = {"a", 1},
		.id = {"1", 1},
		.number = 7};
	struct hw_ask ask = {
		.stage = HW_STAGE_LIFECYCLE, .lifecycle = &what, .who = &nobody, .depth = 2};
	struct world w;
	char *log;

	(void)state;
	world_init(&w);
	world_policy(&w, "return policy { api = 1, on = {"
			 " vacated = function(topic, ctx, number)"
			 " ctx.log.info(topic.name, topic.resource, topic.id, number) end,"
			 " publish = function(event, s, ctx) event.id = nil"
			 " ctx.log.info(event.topic, event.data.n, s.user_id) end } }");
	assert_int_equal(w.entry->registers, HW_REGISTERS_STAGE(HW_STAGE_LIFECYCLE) |
						     HW_REGISTERS_KIND(HW_ON_VACATED) |
						     HW_REGISTERS_KIND(HW_ON_PUBLISH));
	assert_int_equal(world_ask(&w, &ask), HW_ALLOW);
	what.kind = HW_ON_PUBLISH;
	what.event = slice("{\"topic\":\"a:1\",\"data\":{\"n\":5},\"id\":\"e-1\"}");
	ask.who = NULL;
	assert_int_equal(world_ask(&w, &ask), HW_ALLOW);
	what.kind = HW_ON_OCCUPIED;
	assert_int_equal(world_ask(&w, &ask), HW_ALLOW); /* it has none */
	log = world_take_log(&w);
	assert_non_null(strstr(log, "a:1 a 1 7"));
	assert_non_null(strstr(log, "a:1 5 u1"));
	free(log);
	world_fini(&w);
}

static void a_log_has_levels_bounds_and_no_line_of_its_own_making(void **state)
{
	struct world w;
	char *log;
	int n = 0;

	(void)state;
	world_init(&w);
	w.budget.cpu_ms = 500;
	world_policy(&w, SUBSCRIBE("ctx.log.debug('d', nil, true, 1.5) ctx.log.info('a\\nb') "
				   "ctx.log.warn() ctx.log.error(('x'):rep(5000)) print('p', 1)"));
	world_subscribe(&w, "a:b");
	log = world_take_log(&w);
	assert_non_null(strstr(log, "d nil true 1.5"));
	assert_null(strstr(log, "a\nb"));
	assert_non_null(strstr(log, "p 1"));
	for (const char *p = log; *p; p++)
		n += *p == '\n';
	assert_int_equal(n, 5);
	assert_true(strlen(log) < 3000);
	free(log);
	world_policy(&w, SUBSCRIBE("for i = 1, 1000 do ctx.log.info(i) end"));
	world_subscribe(&w, "a:b");
	w.mono_ms += 1000;
	world_policy(&w, SUBSCRIBE("ctx.log.info('after')"));
	world_subscribe(&w, "a:b");
	log = world_take_log(&w);
	n = 0;
	for (const char *p = log; *p; p++)
		n += *p == '\n';
	assert_in_range(n, 50, 150);
	free(log);
	hw_log_configure(w.log, HW_LOG_ERROR, HW_LOG_TEXT);
	world_policy(&w, SUBSCRIBE("ctx.log.info('no')"));
	world_subscribe(&w, "a:b");
	log = world_take_log(&w);
	assert_string_equal(log, "");
	free(log);
	world_fini(&w);
}

/* ---- modules ---- */

static void modules_come_from_their_folder_once_for_each_policy(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_write(&w, "counter.lua",
		"local name = ... local n = 0 return { name = name, next = function() n = n + 1 "
		"return n end }");
	world_write(&w, "silent.lua", "shared = 5");
	world_policy(&w, "local a, b = require 'counter', require('counter') assert(a == b and "
			 "a.name == 'counter')\n"
			 "assert(require('silent') == true and shared == nil)\n" SUBSCRIBE(
				 "if tostring(a.next()) == topic.id then return allow() end"));
	assert_int_equal(world_subscribe(&w, "a:1"), HW_ALLOW);
	assert_int_equal(world_subscribe(&w, "a:2"), HW_ALLOW);
	world_fini(&w);
}

static int load_again(struct world *w, struct hw_hook_entry **out)
{
	char path[128];
	struct hw_hook_spec spec = {.name = "test",
		.kind = HW_HOOK_LUA,
		.budget = w->budget,
		.config = HW_STR("{}"),
		.path = path};

	snprintf(path, sizeof(path), "%s/policy.lua", w->dir);
	return hw_hook_entry_load(w->env, &spec, &w->chain, 1, out, &w->problem);
}

static void an_edited_module_makes_a_new_entry_and_the_old_one_keeps_the_old_bytes(void **state)
{
	struct hw_hook_entry *again;
	struct world w;
	char path[128];

	(void)state;
	world_init(&w);
	world_write(&w, "limit.lua", "return '1'");
	world_policy(&w, "local limit = require 'limit' " SUBSCRIBE(
				 "if topic.id == limit then return allow() end"));
	assert_int_equal(load_again(&w, &again), 0);
	assert_ptr_equal(again, w.entry);
	hw_hook_entry_unref(&again);
	world_write(&w, "limit.lua", "return '2'");
	assert_int_equal(load_again(&w, &again), 0);
	assert_ptr_not_equal(again, w.entry);
	assert_memory_not_equal(again->hash, w.entry->hash, sizeof(again->hash));
	assert_memory_equal(again->spec_hash, w.entry->spec_hash, sizeof(again->spec_hash));
	hw_hook_entry_unref(&again);
	hw_hook_env_reap(w.env);
	/* the bench of the old generation makes its state only now */
	assert_int_equal(world_subscribe(&w, "a:1"), HW_ALLOW);
	assert_int_equal(world_subscribe(&w, "a:2"), HW_DEFER);
	snprintf(path, sizeof(path), "%s/limit.lua", w.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_not_equal(load_again(&w, &again), 0);
	assert_non_null(strstr(w.problem.text, "there is no such file"));
	world_fini(&w);
}

static void a_file_without_modules_is_reused(void **state)
{
	struct hw_hook_entry *again;
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, SUBSCRIBE(""));
	assert_int_equal(load_again(&w, &again), 0);
	assert_ptr_equal(again, w.entry);
	hw_hook_entry_unref(&again);
	world_fini(&w);
}

/* ---- states ---- */

static void an_error_keeps_the_state_and_garbage_does_not_pile_up(void **state)
{
	struct world w;
	size_t used = 0;

	(void)state;
	world_init(&w);
	w.budget.memory_bytes = 1 << 20;
	world_policy(
		&w, SUBSCRIBE("ctx.state.n = (ctx.state.n or 0) + 1 if topic.id == 'bad' then "
			      "error({ topic }) end\n"
			      "if ctx.state.n == tonumber(s.claims.n) then return allow() end"));
	for (int i = 1; i <= 5000; i++) {
		char claims[32], session[32];

		snprintf(claims, sizeof(claims), "{\"n\":\"%d\"}", i);
		snprintf(session, sizeof(session), "s%d", i);
		w.claims = claims;
		w.session = session;
		assert_int_equal(
			world_subscribe(&w, i % 2 ? "a:bad" : "a:b"), i % 2 ? HW_ERROR : HW_ALLOW);
		if (i == 1000)
			used = hw_lua_state_used(w.bench->lua);
	}
	assert_true(hw_lua_state_used(w.bench->lua) < 2 * used);
	world_fini(&w);
}

/* A state of the least size with ballast up to every 48 bytes: whatever allocation fails, it is
 * an error that says so. */
static void running_out_of_memory_anywhere_is_an_error_and_nothing_else(void **state)
{
	static const char source[] =
		"local function fill(ctx, n) ctx.state.ballast = ctx.state.ballast or ('x'):rep(n) "
		"end\n"
		"local n = 0 return policy { api = 1,\n"
		"authenticate = function(req, ctx) fill(ctx, tonumber(req.token)) return allow { "
		"user_id = 'u' .. req.token, tenant_id = 't',\n"
		"  claims = { list = { 1, 2, 3 }, deep = { er = ctx.config.list } }, tenants = { "
		"'a', 'b', 'c' } } end,\n"
		"authorize = { publish = function(s, topic, ctx, event) if event.data.payload.a ~= "
		"1 then return deny() end\n"
		"  return deny('rate_limited', ('%s %d %q'):format(s.user_id, 5, topic.name)) end "
		"},\n"
		"transform = function(e, ctx) e.data.payload.new = { list = { 1, 2 } } "
		"e.data.payload.a = nil return e end }";
	static const char event[] =
		"{\"data\":{\"payload\":{\"a\":1,\"b\":[1,2,{\"c\":\"\\u00e9\"}]},\"x\":1.0}}";
	int n_full = 0, n_whole = 0;
	struct world w;
	char token[16];

	(void)state;
	world_init(&w);
	w.budget.memory_bytes = 64 << 10;
	w.budget.cpu_ms = 100; /* a slow build is no matter of memory */
	assert_int_equal(world_load(&w, true, source, "{\"list\":[1,2]}"), 0);
	for (int ballast = 0; ballast < 40000; ballast += 48) {
		enum hw_verdict verdicts[3];

		hw_hook_bench_destroy(&w.bench);
		assert_int_equal(hw_hook_bench_create(w.env, w.chain, HW_STR(""), 0, &w.bench), 0);
		snprintf(token, sizeof(token), "%d", ballast);
		verdicts[0] = world_authenticate(&w, token);
		if (verdicts[0] == HW_ERROR)
			assert_non_null(strstr(w.answer.detail, "64 KiB of memory"));
		else
			assert_string_equal(
				w.answer.claims, "{\"deep\":{\"er\":[1,2]},\"list\":[1,2,3]}");
		verdicts[1] = world_authorize(&w, HW_OP_PUBLISH, "a:b", event);
		if (verdicts[1] == HW_ERROR)
			assert_non_null(strstr(w.answer.detail, "64 KiB of memory"));
		else
			assert_string_equal(w.answer.message, "u1 5 \"a:b\"");
		verdicts[2] = world_transform(&w, event);
		if (verdicts[2] == HW_ERROR)
			assert_non_null(strstr(w.answer.detail, "64 KiB of memory"));
		else
			assert_string_equal(w.answer.event,
				"{\"data\":{\"payload\":{\"b\":[1,2,{\"c\":\"\\u00e9\"}],\"new\":{"
				"\"list\":[1,2]}},\"x\":1.0}}");
		n_full += verdicts[0] == HW_ERROR || verdicts[1] == HW_ERROR ||
			  verdicts[2] == HW_ERROR;
		n_whole += verdicts[0] != HW_ERROR && verdicts[1] != HW_ERROR &&
			   verdicts[2] != HW_ERROR;
	}
	print_message("%d found room, %d did not\n", n_whole, n_full);
	assert_true(n_full > 20 && n_whole > 20);
	world_fini(&w);
}

static void a_byte_order_mark_and_a_long_path_do_not_matter(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_policy(&w, "\xef\xbb\xbf" SUBSCRIBE("return allow()"));
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ALLOW);
	world_fini(&w);
}

static void a_thread_that_has_not_entered_cannot_ask_but_can_load(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	hw_watchdog_leave_thread(w.watchdog);
	world_policy(&w, SUBSCRIBE("return allow()"));
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ERROR);
	assert_non_null(strstr(w.answer.detail, "has not entered the watchdog"));
	assert_int_equal(hw_watchdog_enter_thread(w.watchdog), 0);
	assert_int_equal(world_subscribe(&w, "a:b"), HW_ALLOW);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_no_policy_is_refused_with_a_reason),
		cmocka_unit_test(what_is_registered_is_what_the_chain_will_ask),
		cmocka_unit_test(
			a_verdict_reaches_the_chain_and_an_error_does_not_reach_the_client),
		cmocka_unit_test(a_message_is_cut_between_characters),
		cmocka_unit_test(every_operation_asks_its_own_function),
		cmocka_unit_test(authenticate_says_who_it_is),
		cmocka_unit_test(an_identity_that_cannot_be_is_an_error),
		cmocka_unit_test(tokens_are_verified_with_the_keys_of_the_settings),
		cmocka_unit_test(lifecycle_functions_are_told_and_their_errors_are_errors),
		cmocka_unit_test(told_of_topics_and_events),
		cmocka_unit_test(a_log_has_levels_bounds_and_no_line_of_its_own_making),
		cmocka_unit_test(modules_come_from_their_folder_once_for_each_policy),
		cmocka_unit_test(
			an_edited_module_makes_a_new_entry_and_the_old_one_keeps_the_old_bytes),
		cmocka_unit_test(a_file_without_modules_is_reused),
		cmocka_unit_test(an_error_keeps_the_state_and_garbage_does_not_pile_up),
		cmocka_unit_test(running_out_of_memory_anywhere_is_an_error_and_nothing_else),
		cmocka_unit_test(a_byte_order_mark_and_a_long_path_do_not_matter),
		cmocka_unit_test(a_thread_that_has_not_entered_cannot_ask_but_can_load),
	};

	return cmocka_run_group_tests_name("hook.entry_lua", tests, NULL, NULL);
}
