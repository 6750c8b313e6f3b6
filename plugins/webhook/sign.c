#include "sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST 32 /* bytes of a SHA-256 */
#define TRACE_DIGITS 32

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64(const uint8_t *p, size_t len, char *out)
{
	for (size_t i = 0; i < len; i += 3) {
		uint32_t three = (uint32_t)p[i] << 16;

		three |= i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0;
		three |= i + 2 < len ? p[i + 2] : 0;
		*out++ = letters[three >> 18];
		*out++ = letters[three >> 12 & 63];
		*out++ = i + 1 < len ? letters[three >> 6 & 63] : '=';
		*out++ = i + 2 < len ? letters[three & 63] : '=';
	}
	*out = '\0';
}

bool sign_secret_parse(struct hw_slice text, struct sign_secret *out)
{
	static const char prefix[] = "whsec_";
	size_t padding = 0;
	uint32_t bits = 0;
	unsigned n_bits = 0;

	out->len = 0;
	if (text.len < sizeof(prefix) - 1 || memcmp(text.p, prefix, sizeof(prefix) - 1) != 0)
		return false;
	for (size_t i = sizeof(prefix) - 1; i < text.len; i++) {
		const char *at = text.p[i] ? strchr(letters, text.p[i]) : NULL;

		if (text.p[i] == '=') {
			padding++;
			continue;
		}
		if (!at || padding > 0)
			return false;
		bits = bits << 6 | (uint32_t)(at - letters);
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		if (out->len == SIGN_SECRET_MAX)
			return false;
		out->bytes[out->len++] = (unsigned char)(bits >> n_bits);
	}
	return padding <= 2 && out->len >= SIGN_SECRET_MIN;
}

void sign_make_id(const struct hw_host *host, char out[SIGN_ID_SIZE])
{
	unsigned char bytes[16];
	int n = snprintf(out, SIGN_ID_SIZE, "msg_");

	host->random(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		n += snprintf(out + n, SIGN_ID_SIZE - (size_t)n, "%02x", bytes[i]);
}

/* Behind an event's data, whose strings hold no plain quote, stands nothing of that name but its
 * own trace: it is the last. */
bool sign_trace(const struct hw_host *host, struct hw_slice body, char out[SIGN_TRACE_SIZE])
{
	static const char name[] = "\"trace_id\":\"", hex[] = "0123456789abcdef";
	const char *end = body.p + body.len, *trace = NULL;
	unsigned char span[8];
	int n;

	for (const char *at = body.p;
		(at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1));)
		trace = at += sizeof(name) - 1;
	if (!trace || end - trace <= TRACE_DIGITS || trace[TRACE_DIGITS] != '"' ||
		strspn(trace, hex) != TRACE_DIGITS || strspn(trace, "0") == TRACE_DIGITS)
		return false;
	n = snprintf(out, SIGN_TRACE_SIZE, "00-%.*s-", TRACE_DIGITS, trace);
	do
		host->random(span, sizeof(span));
	while (!memcmp(span, (unsigned char[sizeof(span)]){0}, sizeof(span)));
	for (size_t i = 0; i < sizeof(span); i++)
		n += snprintf(out + n, SIGN_TRACE_SIZE - (size_t)n, "%02x", span[i]);
	snprintf(out + n, SIGN_TRACE_SIZE - (size_t)n, "-01");
	return true;
}

bool sign_message(const struct hw_host *host, const struct sign_secret *secret, const char *id,
	int64_t timestamp_s, struct hw_slice body, char out[SIGN_SIGNATURE_SIZE])
{
	const struct hw_slice key = {(const char *)secret->bytes, secret->len};
	char head[SIGN_ID_SIZE + 24], *text;
	uint8_t digest[DIGEST];
	size_t len = (size_t)snprintf(head, sizeof(head), "%s.%" PRId64 ".", id, timestamp_s);

	text = malloc(len + body.len);
	if (!text)
		return false;
	memcpy(text, head, len);
	memcpy(text + len, body.p, body.len);
	host->hmac_sha256(key, (struct hw_slice){text, len + body.len}, digest);
	free(text);
	memcpy(out, "v1,", 3);
	base64(digest, sizeof(digest), out + 3);
	return true;
}
