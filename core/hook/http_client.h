/* HTTP requests of one worker, on its loop: libcurl's multi interface over struct hw_poller.
 * Certificates are verified, redirects not followed, connections reused. One thread's own.
 *
 *   queued --a resolve is free--> resolving --address--> connecting, talking --> done
 *                                     |
 *       timeout, destroy (all states) +--> its resolve goes on unasked until libc gives it up
 *
 * libcurl resolves names in threads of its own, which nothing can end. So many are let run at the
 * same time, and one is counted until it has really ended, also when nobody waits for it any
 * more: a silent DNS server costs HW_HTTP_RESOLVES threads, not one a request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/poller.h"
#include "base/quota.h"

#define HW_HTTP_RESOLVES 32      /* at the same time, of a worker */
#define HW_HTTP_OWNER_RESOLVES 4 /* of one owner */
#define HW_HTTP_REQUESTS 1024    /* of a worker */
#define HW_HTTP_HEAD_BYTES 65536

struct hw_http_client;
struct hw_http_request;
struct hw_trust;

struct hw_http_spec {
	const char *method;         /* upper case */
	const char *url;            /* http or https */
	const char *const *headers; /* "Name: value" */
	size_t n_headers;
	struct hw_str body; /* p NULL: none */
	int64_t timeout_ms; /* for all of it */
	size_t max_bytes;   /* of the answer's body */
	/* Charged for the body that is sent and for what is received, until the request is
	 * destroyed; NULL: nothing is. */
	struct hw_quota *memory;
	const void *owner; /* whose resolves are counted together */
	/** It is over; may destroy it. From the loop, never from inside of start. */
	void (*done)(struct hw_http_request *request, void *arg);
	void *arg;
};

struct hw_http_request {
	/* the answer, from done on */
	const char *error; /* NULL: there is one; else why not, static or in @reason */
	unsigned status;
	struct hw_buf head; /* lines "Name: value", each ended by CR LF, without the status line */
	struct hw_buf body;
	/* the client's own */
	struct hw_http_client *client;
	struct hw_list link;
	struct hw_timer timeout;
	struct hw_http_spec spec; /* of what start was given: nothing borrowed is read later */
	void *easy;
	void *header_list;
	char *method, *url, *sent;
	size_t charged;
	bool active; /* in the multi handle */
	bool resolving;
	bool lost_socket; /* curl has closed its socket, and no other was opened yet */
	bool over;        /* done was called */
	bool too_long, head_too_long, no_memory;
	char reason[256];
};

/** @poller and @trust are borrowed. @trust NULL: no certificate is believed. NULL: out of memory.
 */
struct hw_http_client *hw_http_client_create(struct hw_poller *poller, struct hw_trust *trust);
/** The file of authorities that clients believe: SSL_CERT_FILE of the environment, as OpenSSL's own
 * programs take it, else libcurl's default; NULL: there is none. */
const char *hw_http_ca_file(void);
/** All its requests are destroyed. Does not wait for resolves. */
void hw_http_client_destroy(struct hw_http_client **client);

/** From now on @answer takes the place of the network: for each request that is started it is given
 * what is asked, whose strings live until it returns, and fills the request's status, head and
 * body, or error (static) or reason with error pointing to it. Returns after how many milliseconds
 * that arrives: after timeout_ms it does not. For tests of policies. */
void hw_http_client_stub(struct hw_http_client *client,
	int64_t (*answer)(
		void *arg, const struct hw_http_spec *spec, struct hw_http_request *request),
	void *arg);
/** Copies what @spec points to, but for @memory and @arg. 0 and *@out; or -ENOMEM, -EINVAL when the
 * URL is none, -EBUSY beyond HW_HTTP_REQUESTS, -EDQUOT when @memory has no room for the body. */
HW_MUST_CHECK int hw_http_start(struct hw_http_client *client, const struct hw_http_spec *spec,
	struct hw_http_request **out);
/** Forgets it, whatever it does: done is not called any more. */
void hw_http_request_destroy(struct hw_http_request **request);
/** Requests that are queued or under way, those that nobody waits for too. */
size_t hw_http_client_count(const struct hw_http_client *client);
/** Resolves under way. */
unsigned hw_http_client_resolves(const struct hw_http_client *client);
