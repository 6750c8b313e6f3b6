#include "edge/edge_internal.h"
#include "wire/forwarded.h"

/* Whose connection or request it is. What a peer says of that is believed of a trusted proxy alone:
 *
 *   peer ──(PROXY header)──> the connection's ──(X-Forwarded-For, from the right)──> the request's
 *
 * each step only from an address in trusted_proxies, so that the first one that is not listed is as
 * far as anybody's word goes. */

static bool trusted(const struct hw_settings *settings, const struct hw_address *address)
{
	return hw_address_in(address, settings->trusted_proxies, settings->n_trusted_proxies);
}

bool client_may_tell(const struct hw_edge *edge, const char *peer)
{
	struct hw_address address;

	return !hw_address_parse(hw_str_of(peer), &address) &&
	       trusted(&edge->worker->generation->settings, &address);
}

void client_find(struct exchange *ex, const struct hw_http1_request *request)
{
	const struct hw_settings *settings = http_settings(ex);
	struct hw_address client, next;
	struct hw_forwarded it;
	bool forwarded = false;

	if (settings->n_trusted_proxies == 0 || http_kind(ex) != HW_EDGE_PUBLIC ||
		hw_address_parse(hw_str_of(http_address(ex)), &client))
		return;
	hw_forwarded_init(&it, request);
	while (trusted(settings, &client) && !hw_forwarded_next(&it, &next)) {
		client = next;
		forwarded = true;
	}
	if (forwarded)
		hw_address_print(&client, ex->client);
}
