#include <errno.h>

#include "edge/edge_internal.h"
#include "wire/query.h"
#include "wire/ws_handshake.h"

bool token_origin_listed(const struct hw_settings *settings, struct hw_str origin)
{
	for (size_t i = 0; i < settings->n_origins; i++) {
		if (hw_str_eq(origin, hw_str_of(settings->origins[i])))
			return true;
	}
	return false;
}

/* ---- the query
 * --------------------------------------------------------------------------------------------------------------
 */

static void take_parameter(
	struct exchange *ex, struct kept *where, struct hw_str value, const char *twice)
{
	if (where->there)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, twice);
	else
		*where = exchange_keep(ex, value);
}

void token_read_query(struct exchange *ex, const struct hw_http1_request *request)
{
	const struct {
		const char *name;
		struct kept *where;
		const char *twice;
	} parameters[] = {
		{"token", &ex->token, "the query has more than one token"},
		{"ticket", &ex->ticket, "the query has more than one ticket"},
		{"topics", &ex->topics, "the query has more than one list of topics"},
		{"cursor", &ex->cursor, "the query has more than one cursor"},
		{"last", &ex->last, "the query has more than one last"},
		{"wait", &ex->wait, "the query has more than one wait"},
		{"limit", &ex->limit, "the query has more than one limit"},
	};
	struct hw_query query;
	struct hw_buf scratch;
	struct hw_str name, value;
	int r;

	hw_buf_init(&scratch);
	hw_query_init(&query, request->query);
	while (!(r = hw_query_next(&query, &scratch, &name, &value))) {
		size_t i = 0;

		while (i < HW_COUNT(parameters) && !hw_str_eq(name, hw_str_of(parameters[i].name)))
			i++;
		if (i < HW_COUNT(parameters))
			take_parameter(ex, parameters[i].where, value, parameters[i].twice);
	}
	hw_buf_fini(&scratch);
	if (r == -ENOMEM)
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
	else if (r < 0)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "the query is malformed");
	if (ex->token.there && !http_settings(ex)->auth_query)
		exchange_refuse(
			ex, 0, HW_CODE_UNAUTHORIZED, "tokens in the query are switched off here");
}

bool token_query_last(struct exchange *ex, bool *last)
{
	struct hw_str text = exchange_str(ex, ex->last);

	*last = hw_str_eq(text, HW_STR("1"));
	if (!text.p || *last || hw_str_eq(text, HW_STR("0")))
		return true;
	exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "last is 1, or 0");
	return false;
}

/* ---- the header
 * ----------------------------------------------------------------------------------------------------------------
 */

bool token_bearer(const struct hw_http1_request *request, struct hw_str *token)
{
	size_t n;
	struct hw_str value = hw_http1_header(request, "Authorization", &n), scheme;

	*token = HW_STR_NULL;
	if (n == 0)
		return true;
	scheme = hw_str_cut(&value, ' ');
	if (n == 1 && !hw_str_eq_nocase(scheme, HW_STR("Bearer")))
		return true; /* as a browser behind a proxy's login sends Basic */
	if (n > 1 || !value.p)
		return false;
	*token = hw_str_trim(value);
	for (size_t i = 0; i < token->len; i++) {
		if (token->p[i] == ' ' || token->p[i] == '\t' || token->p[i] == ',')
			return false;
	}
	return true;
}

/* ---- the cookie
 * ------------------------------------------------------------------------------------------------------------------
 */

/* Of one Cookie header; counts how many there are. */
static size_t cookie_in(struct hw_str header, struct hw_str name, struct hw_str *value)
{
	size_t n = 0;

	while (header.p) {
		struct hw_str pair = hw_str_trim(hw_str_cut(&header, ';'));
		struct hw_str key = hw_str_cut(&pair, '=');

		if (pair.p && hw_str_eq(key, name)) {
			*value = pair;
			n++;
		}
	}
	return n;
}

/* Only a page of an origin that is listed by its name may use what the browser adds by itself. */
static bool cookie_allowed(struct exchange *ex)
{
	const struct hw_settings *settings = http_settings(ex);
	struct hw_str origin = exchange_str(ex, ex->origin);

	return settings->auth_cookie && !settings->any_origin && origin.p &&
	       !hw_str_eq(origin, HW_STR("null")) && token_origin_listed(settings, origin);
}

static void find_cookie(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str name = hw_str_of(http_settings(ex)->auth_cookie), value = HW_STR_NULL;
	size_t n = 0;

	for (size_t i = 0; i < request->n_headers; i++) {
		if (hw_str_eq_nocase(request->headers[i].name, HW_STR("Cookie")))
			n += cookie_in(request->headers[i].value, name, &value);
	}
	if (n > 1)
		exchange_refuse(
			ex, 0, HW_CODE_BAD_REQUEST, "the token's cookie is there more than once");
	else if (n == 1)
		ex->token = exchange_keep(ex, value);
}

/* ---- all
 * -------------------------------------------------------------------------------------------------------------------------
 */

static void find_protocol(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_ws_protocols it;
	struct hw_str name;

	hw_ws_protocols_init(&it, request);
	while (hw_ws_protocols_next(&it, &name)) {
		if (!hw_str_starts(name, HW_STR("token.")))
			continue;
		name = (struct hw_str){name.p + 6, name.len - 6};
		take_parameter(ex, &ex->token, name,
			"there is more than one token among the sub-protocols");
	}
}

void token_find(struct exchange *ex, const struct hw_http1_request *request, bool cookie)
{
	struct hw_str bearer;

	if (!ex->token.there) {
		if (!token_bearer(request, &bearer))
			exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST,
				"Authorization is not one bearer token");
		else if (bearer.p)
			ex->token = exchange_keep(ex, bearer);
	}
	if (!ex->token.there && cookie && cookie_allowed(ex))
		find_cookie(ex, request);
	if (!ex->token.there && ex->upgrade && ex->v1)
		find_protocol(ex, request);
	if (ex->token.there && ex->token.len == 0)
		exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED, "the token is empty");
}
