#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook/claims.h"
#include "hook/identity.h"

static struct hw_identity *make(const char *user, const char *tenant, const char *claims)
{
	struct hw_str tenants[] = {HW_STR("beta"), HW_STR("gamma")};
	struct hw_identity from = {
		.user_id = hw_str_of(user),
		.tenant_id = hw_str_of(tenant),
		.claims = hw_str_of(claims),
		.expires_at = 42,
		.act_as = true,
		.n_tenants = 2,
		.tenants = tenants,
	};

	return hw_identity_create(&from);
}

static void a_copy_holds_everything_by_itself(void **state HW_UNUSED)
{
	char user[] = "u1", tenant[] = "acme", claims[] = "{\"a\":1}";
	struct hw_identity *i = make(user, tenant, claims);

	memset(user, 'x', 2);
	memset(tenant, 'x', 4);
	memset(claims, 'x', 7);
	assert_true(hw_str_eq(i->user_id, HW_STR("u1")));
	assert_true(hw_str_eq(i->tenant_id, HW_STR("acme")));
	assert_true(hw_str_eq(i->claims, HW_STR("{\"a\":1}")));
	assert_int_equal(i->expires_at, 42);
	assert_true(i->act_as);
	assert_int_equal(i->n_tenants, 2);
	assert_true(hw_str_eq(i->tenants[1], HW_STR("gamma")));
	hw_identity_unref(&i);
	assert_null(i);
	hw_identity_unref(&i);
}

static void the_last_reference_frees(void **state HW_UNUSED)
{
	struct hw_identity *i = make("u", "t", "{}"), *second = hw_identity_ref(i);

	hw_identity_unref(&i);
	assert_true(hw_str_eq(second->user_id, HW_STR("u"))); /* a sanitizer would see it freed */
	hw_identity_unref(&second);
}

static void a_person_is_user_and_tenant(void **state HW_UNUSED)
{
	struct hw_identity *a = make("u1", "acme", "{}"), *b = make("u1", "acme", "{\"x\":1}"),
			   *c = make("u2", "acme", "{}"), *d = make("u1", "other", "{}");

	assert_true(hw_identity_same_person(a, b));
	assert_false(hw_identity_same_person(a, c));
	assert_false(hw_identity_same_person(a, d));
	assert_false(hw_identity_same_claims(a, b));
	assert_true(hw_identity_same_claims(a, c));
	c->act_as = false;
	assert_false(hw_identity_same_claims(a, c));
	d->tenants[1] = HW_STR("delta");
	assert_false(hw_identity_same_claims(a, d));
	d->n_tenants = 1;
	assert_false(hw_identity_same_claims(a, d));
	hw_identity_unref(&a);
	hw_identity_unref(&b);
	hw_identity_unref(&c);
	hw_identity_unref(&d);
}

static void publishing_is_to_the_own_tenant_and_the_granted_ones(void **state HW_UNUSED)
{
	struct hw_identity *i = make("u1", "acme", "{}");

	assert_true(hw_identity_may_publish_to(i, HW_STR("acme")));
	assert_true(hw_identity_may_publish_to(i, HW_STR("gamma")));
	assert_false(hw_identity_may_publish_to(i, HW_STR("gam")));
	assert_false(hw_identity_may_publish_to(i, HW_STR("")));
	hw_identity_unref(&i);
}

static void ids_have_bounds(void **state HW_UNUSED)
{
	char long_id[300];

	memset(long_id, 'a', sizeof(long_id));
	assert_true(hw_user_id_valid(HW_STR("Zo\xc3\xab |!")));
	assert_true(hw_user_id_valid((struct hw_str){long_id, 255}));
	assert_false(hw_user_id_valid((struct hw_str){long_id, 256}));
	assert_false(hw_user_id_valid(HW_STR("")));
	assert_false(hw_user_id_valid(HW_STR("\xff")));
	assert_false(hw_user_id_valid(HW_STR("a\0b")));
	assert_true(hw_tenant_id_valid(HW_STR("Acme-1_x.y")));
	assert_true(hw_tenant_id_valid((struct hw_str){long_id, 64}));
	assert_false(hw_tenant_id_valid((struct hw_str){long_id, 65}));
	assert_false(hw_tenant_id_valid(HW_STR("")));
	assert_false(hw_tenant_id_valid(HW_STR("a/b")));
	assert_false(hw_tenant_id_valid(HW_STR("a b")));
	assert_false(hw_tenant_id_valid(HW_STR("*")));
}

static void merged_claims_keep_their_text_and_later_values_replace(void **state HW_UNUSED)
{
	static const struct {
		const char *old, *added, *merged; /* NULL: refused */
	} cases[] = {
		{"{}", "{}", "{}"},
		{"{}", "{\"a\":1.10}", "{\"a\":1.10}"},
		{" { \"a\" : 1e400 , \"b\":2} ", "{\"c\":[ 1 ]}",
			"{\"a\" : 1e400,\"b\":2,\"c\":[ 1 ]}"},
		{"{\"a\":1,\"b\":2}", "{\"a\":3}", "{\"b\":2,\"a\":3}"},
		{"{\"a\":1}", "{\"\\u0061\":3}", "{\"\\u0061\":3}"},
		{"{\"\\u0061\":1}", "{\"a\":3}", "{\"a\":3}"},
		{"{\"a\":1}", "[]", NULL},
		{"{\"a\":1}", "{\"b\":1,\"b\":2}", NULL},
		{"{\"a\":1}", "{\"b\":1,\"\\u0062\":2}", NULL},
		{"{\"a\":1}", "{\"b\":}", NULL},
		{"{\"a\":1}", "{\"b\":1}x", NULL},
		{"{\"a\":1}", "{\"b\":1", NULL},
		{"{\"a\":1}", "{\"\\ud800\":1}", NULL},
		{"{\"a\":1}", "", NULL},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_buf out;
		int rc;

		hw_buf_init(&out);
		hw_buf_puts(&out, "before");
		rc = hw_claims_merge(&out, hw_str_of(cases[i].old), hw_str_of(cases[i].added));
		hw_buf_putc(&out, '\0');
		assert_int_equal(rc, cases[i].merged ? 0 : -EINVAL);
		assert_string_equal(out.data + 6, cases[i].merged ? cases[i].merged : "");
		hw_buf_fini(&out);
	}
}

static void claims_are_bounded(void **state HW_UNUSED)
{
	struct hw_buf json, out;

	for (int n = HW_CLAIMS_MAX_MEMBERS; n <= HW_CLAIMS_MAX_MEMBERS + 1; n++) {
		hw_buf_init(&json);
		hw_buf_init(&out);
		for (int i = 0; i < n; i++)
			hw_buf_printf(&json, "%s\"%d\":1", i == 0 ? "{" : ",", i);
		hw_buf_putc(&json, '}');
		assert_int_equal(hw_claims_merge(&out, HW_STR("{}"), hw_buf_view(&json)),
			n > HW_CLAIMS_MAX_MEMBERS ? -EINVAL : 0);
		hw_buf_fini(&json);
		hw_buf_fini(&out);
	}
	hw_buf_init(&json);
	hw_buf_init(&out);
	hw_buf_puts(&json, "{\"a\":\"");
	while (json.len < HW_CLAIMS_MAX_BYTES - 2)
		hw_buf_putc(&json, 'x');
	hw_buf_puts(&json, "\"}");
	assert_int_equal(hw_claims_merge(&out, HW_STR("{}"), hw_buf_view(&json)), 0);
	hw_buf_clear(&out);
	assert_int_equal(hw_claims_merge(&out, HW_STR("{\"b\":1}"), hw_buf_view(&json)), -EINVAL);
	assert_int_equal(out.len, 0);
	hw_buf_fini(&json);
	hw_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_holds_everything_by_itself),
		cmocka_unit_test(the_last_reference_frees),
		cmocka_unit_test(a_person_is_user_and_tenant),
		cmocka_unit_test(publishing_is_to_the_own_tenant_and_the_granted_ones),
		cmocka_unit_test(ids_have_bounds),
		cmocka_unit_test(merged_claims_keep_their_text_and_later_values_replace),
		cmocka_unit_test(claims_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
