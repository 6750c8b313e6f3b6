/* What the host's table offers beside answers: shared values, digests, tokens. The test is the
 * plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "forwarded.h"
#include "hook/dict.h"

static bool is(const char *value, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(value, text, len) == 0;
}

/* ---- dict ---- */

/* Each function once; a different verdict tells a different failure. */
static enum hw_verdict use_dict(struct hw_call *call)
{
	const struct hw_host *host = call->host;
	struct hw_slice k = HW_SLICE("k"), n = HW_SLICE("n");
	char value[8];
	size_t len = 99;
	int64_t sum = 0;

	if (host->dict_get(call, k, value, sizeof(value), &len) != HW_DICT_ABSENT)
		return HW_DENY;
	assert_int_equal(host->dict_set(call, k, HW_SLICE("one"), 0), HW_DICT_OK);
	assert_int_equal(host->dict_add(call, k, HW_SLICE("two"), 0), HW_DICT_PRESENT);
	assert_int_equal(host->dict_get(call, k, value, sizeof(value), &len), HW_DICT_OK);
	assert_true(is(value, len, "one"));
	assert_int_equal(
		host->dict_cas(call, k, HW_SLICE("two"), HW_SLICE("x"), 0), HW_DICT_DIFFERENT);
	assert_int_equal(
		host->dict_cas(call, k, HW_SLICE("one"), HW_SLICE("much too long"), 0), HW_DICT_OK);
	assert_int_equal(host->dict_get(call, k, value, sizeof(value), &len), HW_DICT_TOO_LONG);
	assert_int_equal(len, strlen("much too long"));
	assert_int_equal(host->dict_incr(call, n, 41, 0, &sum), HW_DICT_OK);
	assert_int_equal(host->dict_incr(call, n, 1, 0, &sum), HW_DICT_OK);
	assert_int_equal(sum, 42);
	assert_int_equal(host->dict_get(call, n, value, sizeof(value), &len), HW_DICT_OK);
	assert_true(is(value, len, "42"));
	assert_int_equal(host->dict_delete(call, n), HW_DICT_OK);
	assert_int_equal(host->dict_delete(call, n), HW_DICT_ABSENT);
	assert_int_equal(host->dict_set(call, HW_SLICE(""), k, 0), HW_DICT_TOO_LONG);
	assert_int_equal(host->dict_set(call, HW_SLICE("short"), k, 50), HW_DICT_OK);
	return HW_ALLOW;
}

static void a_tenant_has_a_space_of_its_own(void **state HW_UNUSED)
{
	static const struct forward to = {.authorize = use_dict};
	struct hw_hook_bench *acme, *beta;
	enum hw_dict_kind kind;
	struct forwarded f;
	struct hw_ask ask;
	struct hw_buf buf;

	forwarded_init(&f);
	acme = forwarded_bench(&f, &to, 1, "acme");
	beta = forwarded_bench(&f, &to, 2, "beta");
	assert_int_equal(forwarded_ask(&f, acme, &ask, NULL), HW_ALLOW);
	assert_int_equal(forwarded_ask(&f, acme, &ask, NULL), HW_DENY);
	assert_int_equal(forwarded_ask(&f, beta, &ask, NULL), HW_ALLOW);
	assert_int_equal(hw_dict_bytes(f.l.env->dict, HW_STR("")), 0);
	hw_buf_init(&buf);
	f.l.now_ms += 49;
	assert_int_equal(hw_dict_get(f.l.env->dict, HW_STR("acme"), HW_STR("short"), f.l.now_ms,
				 &kind, &buf),
		HW_DICT_OK);
	f.l.now_ms++;
	hw_hook_env_tick(f.l.env);
	assert_int_equal(hw_dict_get(f.l.env->dict, HW_STR("acme"), HW_STR("short"), f.l.now_ms,
				 &kind, &buf),
		HW_DICT_ABSENT);
	hw_buf_fini(&buf);
	hw_hook_bench_destroy(&acme);
	hw_hook_bench_destroy(&beta);
	forwarded_fini(&f);
}

/* Answers what it would, and nobody finds anything of it. */
static enum hw_verdict write_all(struct hw_call *call)
{
	const struct hw_host *host = call->host;
	int64_t sum = 0;

	assert_int_equal(host->dict_set(call, HW_SLICE("k"), HW_SLICE("v"), 0), HW_DICT_OK);
	assert_int_equal(host->dict_add(call, HW_SLICE("a"), HW_SLICE("v"), 0), HW_DICT_OK);
	assert_int_equal(host->dict_incr(call, HW_SLICE("n"), 1, 0, &sum), HW_DICT_OK);
	assert_int_equal(sum, 1);
	assert_int_equal(host->dict_cas(call, HW_SLICE("kept"), HW_SLICE("v"), HW_SLICE("w"), 0),
		HW_DICT_OK);
	assert_int_equal(host->dict_delete(call, HW_SLICE("kept")), HW_DICT_OK);
	return HW_ALLOW;
}

static void one_that_is_tried_does_nothing_to_others(void **state HW_UNUSED)
{
	static const struct forward to = {.authorize = write_all};
	const struct hw_dict_value kept = {HW_DICT_BYTES, HW_STR("v")};
	const struct hw_str space = HW_STR("acme");
	struct hw_hook_bench *acme, *trial;
	struct forwarded f;
	struct hw_ask ask;
	size_t bytes;

	forwarded_init(&f);
	acme = forwarded_bench(&f, &to, 1, "acme");
	assert_int_equal(hw_hook_bench_create_trial(
				 f.l.env, hw_hook_bench_chain(acme), space, WORKER, &trial),
		0);
	assert_int_equal(
		hw_dict_set(f.l.env->dict, space, HW_STR("kept"), &kept, 0, f.l.now_ms), 0);
	bytes = hw_dict_bytes(f.l.env->dict, space);
	assert_int_equal(forwarded_ask(&f, trial, &ask, NULL), HW_ALLOW);
	assert_int_equal(forwarded_ask(&f, trial, &ask, NULL), HW_ALLOW);
	assert_int_equal(hw_dict_bytes(f.l.env->dict, space), bytes);
	hw_hook_bench_destroy(&trial);
	hw_hook_bench_destroy(&acme);
	forwarded_fini(&f);
}

/* ---- digests and tokens ---- */

static enum hw_verdict use_crypto(struct hw_call *call)
{
	/* RFC 4231, test case 2 */
	static const uint8_t expected[32] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a,
		0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39,
		0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
	const struct hw_host *host = call->host;
	uint8_t out[32], other[32];

	host->hmac_sha256(HW_SLICE("Jefe"), HW_SLICE("what do ya want for nothing?"), out);
	assert_memory_equal(out, expected, 32);
	assert_int_equal(host->equal(HW_SLICE("abc"), HW_SLICE("abc")), 1);
	assert_int_equal(host->equal(HW_SLICE("abc"), HW_SLICE("abd")), 0);
	assert_int_equal(host->equal(HW_SLICE("abc"), HW_SLICE("abcd")), 0);
	host->random(out, sizeof(out));
	host->random(other, sizeof(other));
	assert_memory_not_equal(out, other, 32);
	return HW_ALLOW;
}

#define SECRET "0123456789abcdef0123456789abcdef"

static enum hw_verdict use_jwt(struct hw_call *call)
{
	const struct hw_host *host = call->host;
	struct hw_jwt_rules rules = {.size = sizeof(rules)};
	struct hw_jwt_result result = {0};
	struct hw_problem problem = {"", ""};
	struct hw_jwt_keys *keys = NULL;
	char token[512];
	size_t len = 0;

	assert_int_equal(host->jwt_sign("HS256", HW_SLICE(SECRET), HW_SLICE(""),
				 HW_SLICE("{\"sub\":\"u1\",\"exp\":1800000000}"), token,
				 sizeof(token), &len, &problem),
		0);
	assert_int_equal(host->jwt_keys_create(host,
				 HW_SLICE("[{\"alg\":\"HS256\",\"secret\":\"" SECRET "\"}]"), &keys,
				 &problem),
		0);
	assert_int_equal(host->jwt_verify(keys, (struct hw_slice){token, len}, &rules, call->now_ms,
				 &result),
		0);
	assert_non_null(strstr(result.claims.p, "\"u1\""));
	assert_int_equal(result.expires_at, 1800000000);
	host->jwt_release(&result);
	host->jwt_keys_destroy(&keys);
	/* each refusal says why */
	assert_int_equal(host->jwt_sign("HS1", HW_SLICE(SECRET), HW_SLICE(""), HW_SLICE("{}"),
				 token, sizeof(token), &len, &problem),
		-1);
	assert_non_null(strstr(problem.text, "algorithm"));
	assert_int_equal(host->jwt_sign("HS256", HW_SLICE("short"), HW_SLICE(""), HW_SLICE("{}"),
				 token, sizeof(token), &len, &problem),
		-1);
	assert_null(strstr(problem.text, "algorithm"));
	assert_int_equal(host->jwt_sign("HS256", HW_SLICE(SECRET), HW_SLICE(""), HW_SLICE("[]"),
				 token, sizeof(token), &len, &problem),
		-1);
	assert_non_null(strstr(problem.text, "object"));
	assert_int_equal(host->jwt_sign("HS256", HW_SLICE(SECRET), HW_SLICE(""), HW_SLICE("{}"),
				 token, 10, &len, &problem),
		-1);
	assert_non_null(strstr(problem.text, "buffer"));
	return HW_ALLOW;
}

static void digests_and_tokens_are_right(void **state HW_UNUSED)
{
	static const struct forward crypto = {.authorize = use_crypto},
				    jwt = {.authorize = use_jwt};
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;

	forwarded_init(&f);
	bench = forwarded_bench(&f, &crypto, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	hw_hook_bench_destroy(&bench);
	bench = forwarded_bench(&f, &jwt, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
}

/* ---- reauth ---- */

struct reauthed {
	int n;
	char text[64];
};

static void take_reauth(void *arg, struct hw_str tenant, struct hw_str user, struct hw_str topic)
{
	struct reauthed *r = arg;

	r->n++;
	snprintf(r->text, sizeof(r->text), "%.*s/%.*s/%.*s", HW_STR_ARG(tenant), HW_STR_ARG(user),
		HW_STR_ARG(topic));
}

static enum hw_verdict use_reauth(struct hw_call *call)
{
	return call->host->reauth(call, HW_SLICE("u1"), HW_SLICE("")) == 0 ? HW_ALLOW : HW_DENY;
}

static void nothing(void *arg)
{
	(void)arg;
}

static void reauth_reaches_every_worker_and_is_bounded(void **state HW_UNUSED)
{
	static const struct forward to = {.authorize = use_reauth};
	struct reauthed here = {0}, there = {0};
	struct hw_hook_bench *bench;
	struct hw_timers *timers;
	struct forwarded f;
	struct hw_ask ask;

	forwarded_init(&f);
	timers = hw_timers_create(f.l.now_ms);
	assert_int_equal(hw_hook_inbox_open(f.l.env, 0, timers, nothing, NULL), 0);
	bench = forwarded_bench(&f, &to, 1, "acme");
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_DENY); /* nobody does it */
	hw_hook_inbox_on_reauth(f.l.env, WORKER, take_reauth, &here);
	hw_hook_inbox_on_reauth(f.l.env, 0, take_reauth, &there);
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	assert_int_equal(here.n + there.n, 0);
	forwarded_turn(&f);
	assert_int_equal(here.n, 1);
	assert_int_equal(there.n, 0);
	hw_hook_inbox_run(f.l.env, 0);
	assert_int_equal(there.n, 1);
	assert_string_equal(here.text, "acme/u1/");
	for (int i = 0; i < 16; i++)
		assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_DENY);
	forwarded_turn(&f);
	assert_int_equal(here.n, 17);
	assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_ALLOW);
	hw_hook_bench_destroy(&bench);
	hw_hook_inbox_close(f.l.env, 0); /* with some on their way */
	assert_int_equal(there.n, 1);
	hw_timers_destroy(&timers);
	forwarded_fini(&f);
}

static int64_t retries[] = {0, -1, 86400001, 1500, 86400000};
static size_t n_retries;
static uint64_t retry_ticket;
static const struct hw_host *retry_host;

static enum hw_verdict deny_for_a_while(struct hw_call *call)
{
	int64_t ms = retries[n_retries];
	int expected = ms >= 1 && ms <= 86400000 ? 0 : -1;

	assert_true(HW_HOST_HAS(call->host, retry_after));
	assert_int_equal(call->host->retry_after(call, ms), expected);
	return HW_DENY;
}

static enum hw_verdict answer_later(struct hw_call *call)
{
	retry_host = call->host;
	retry_ticket = call->host->suspend(call, 0);
	return HW_PENDING;
}

static void on_retry_decided(struct hw_ask *ask)
{
	(void)ask;
	n_retries++;
}

static void a_refusal_may_say_when_to_try_again(void **state)
{
	static const struct forward denies = {.authorize = deny_for_a_while};
	static const struct forward waits = {.authorize = answer_later};
	const struct hw_answer later = {
		.size = sizeof(later), .verdict = HW_DENY, .retry_after_ms = 2500};
	struct hw_hook_bench *bench;
	struct forwarded f;
	struct hw_ask ask;

	(void)state;
	forwarded_init(&f);
	bench = forwarded_bench(&f, &denies, 1, "acme");
	for (n_retries = 0; n_retries < HW_COUNT(retries); n_retries++) {
		assert_int_equal(forwarded_ask(&f, bench, &ask, NULL), HW_DENY);
		assert_int_equal(ask.retry_after_ms, n_retries < 3 ? 0 : retries[n_retries]);
	}
	hw_hook_bench_destroy(&bench);
	bench = forwarded_bench(&f, &waits, 2, "acme");
	n_retries = 0;
	assert_int_equal(forwarded_ask(&f, bench, &ask, on_retry_decided), HW_PENDING);
	assert_int_equal(retry_host->finish(retry_host, retry_ticket, &later), 0);
	forwarded_turn(&f);
	assert_int_equal(n_retries, 1);
	assert_int_equal(ask.verdict, HW_DENY);
	assert_int_equal(ask.retry_after_ms, 2500);
	hw_hook_bench_destroy(&bench);
	forwarded_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tenant_has_a_space_of_its_own),
		cmocka_unit_test(one_that_is_tried_does_nothing_to_others),
		cmocka_unit_test(digests_and_tokens_are_right),
		cmocka_unit_test(reauth_reaches_every_worker_and_is_bounded),
		cmocka_unit_test(a_refusal_may_say_when_to_try_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
