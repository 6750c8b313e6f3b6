#include <errno.h>

#include "edge/edge_internal.h"

/* Tickets: instead of a token in an address line, where browsers, proxies and logs keep it. */

void ticket_handle(struct exchange *ex)
{
	struct hw_worker *w = ex->login.worker;
	struct hw_buf *body;
	char text[HW_TICKET_LEN + 1];
	int r = hw_ticket_make(&w->tenants->tickets, ex->login.hub->tenant, ex->login.identity,
		hw_worker_now_ms(w), text);

	if (r) {
		exchange_refuse(ex, 0, r == -EDQUOT ? HW_CODE_RATE_LIMITED : HW_CODE_UNAVAILABLE,
			r == -EDQUOT ? "the tenant has as many tickets as are kept for it"
				     : "out of memory");
		ex->retry_after_ms = r == -EDQUOT ? HW_TICKET_MS : EDGE_NO_RETRY;
		answer_refusal(ex);
		return;
	}
	body = answer_body(ex);
	hw_buf_printf(body, "{\"ticket\":\"%s\",\"expires_in_ms\":%d}", text, HW_TICKET_MS);
	answer_json(ex, 200, hw_buf_view(body));
}

void ticket_redeem(struct exchange *ex)
{
	struct hw_worker *w = http_edge(ex)->worker;

	if (ex->token.there)
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST, "give a token or a ticket, not both");
	if (exchange_refused(ex))
		return; /* it was not used */
	ex->known = hw_ticket_take(
		&w->tenants->tickets, exchange_str(ex, ex->ticket), hw_worker_now_ms(w));
	if (!ex->known)
		exchange_refuse(ex, 0, HW_CODE_UNAUTHORIZED,
			"this ticket is not known: it is good once, for 30 seconds");
}
