/* Standard Webhooks: secrets, message ids and signatures; and which trace a message belongs to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <hookwire/plugin.h>

#define SIGN_SECRET_MIN 24 /* bytes of a secret, as the specification has it */
#define SIGN_SECRET_MAX 64
#define SIGN_ID_SIZE 37        /* "msg_", 32 hexadecimal digits, zero */
#define SIGN_SIGNATURE_SIZE 48 /* "v1,", base64 of 32 bytes, zero */
#define SIGN_TRACE_SIZE 56     /* "00-", 32 digits, "-", 16 digits, "-01", zero */

struct sign_secret {
	unsigned char bytes[SIGN_SECRET_MAX];
	size_t len;
};

/** "whsec_" and base64. false: it is none. */
bool sign_secret_parse(struct hw_slice text, struct sign_secret *out);
/** A new id that nobody can guess. */
void sign_make_id(const struct hw_host *host, char out[SIGN_ID_SIZE]);
/** For an event's message, the header `traceparent` of W3C Trace Context: the event's trace, and
 * this attempt as what happens in it. false: it is about no event, or of no trace of that kind. */
bool sign_trace(const struct hw_host *host, struct hw_slice body, char out[SIGN_TRACE_SIZE]);
/** Of "id.timestamp.body". false: out of memory. */
bool sign_message(const struct hw_host *host, const struct sign_secret *secret, const char *id,
	int64_t timestamp_s, struct hw_slice body, char out[SIGN_SIGNATURE_SIZE]);
