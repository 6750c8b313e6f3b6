#include "session/revoke.h"

#include "session/session_internal.h"
#include "wire/json.h"

static int64_t seconds_of(struct hw_json number)
{
	double s = number.kind == HW_JSON_NUMBER ? hw_json_double(number) : -1;

	/* a time that cannot be is none */
	return s >= 0 && s < (double)INT64_MAX ? (int64_t)s : HW_ISSUED_NEVER;
}

void hw_token_read(struct hw_token_read *out, const struct hw_identity *identity)
{
	struct hw_json_reader reader;
	struct hw_json key, value;

	out->facts = (struct hw_token_facts){.tenant = identity->tenant_id,
		.user = identity->user_id,
		.issued_s = HW_ISSUED_NEVER};
	hw_json_init(&reader, identity->claims, HW_JSON_UTF8_DONE);
	if (hw_json_enter(&reader, HW_JSON_OBJECT))
		return;
	while (!hw_json_member(&reader, &key) && !hw_json_value(&reader, &value)) {
		size_t len;

		if (hw_json_is(key, HW_STR("iat")))
			out->facts.issued_s = seconds_of(value);
		else if (hw_json_is(key, HW_STR("jti")) && value.kind == HW_JSON_STRING &&
			 !hw_json_copy(value, out->jti, sizeof(out->jti), &len))
			out->facts.jti = (struct hw_str){out->jti, len};
	}
}

bool hw_token_revoked(const struct hw_worker *w, const struct hw_identity *identity)
{
	struct hw_token_read token;

	if (!w->revocations || !hw_revocations_any(w->revocations))
		return false;
	hw_token_read(&token, identity);
	return hw_revocations_hit(w->revocations, &token.facts, hw_worker_wall_ms(w) / 1000);
}

/* The token first: its client comes again at once, to whichever worker. */
static int visit(struct hw_session_walk *walk, struct hw_session *s)
{
	struct hw_session_revoke *revoke = HW_CONTAINER_OF(walk, struct hw_session_revoke, walk);
	struct hw_token_read token;
	int r = 0;

	hw_token_read(&token, s->identity);
	if (token.facts.jti.p && token.facts.jti.len) {
		struct hw_revocation what = {.kind = HW_REVOKED_TOKEN,
			.tenant = token.facts.tenant,
			.name = token.facts.jti,
			.until_s = revoke->until_s ? revoke->until_s : s->identity->expires_at};

		r = hw_revocations_add(walk->worker->revocations, &what,
			hw_worker_wall_ms(walk->worker) / 1000, &revoke->number);
	}
	session_close_code(s, HW_CODE_UNAUTHORIZED, HW_REVOKED_WORDS);
	return r;
}

void hw_session_revoke_init(struct hw_session_revoke *revoke)
{
	revoke->walk.visit = visit;
}
