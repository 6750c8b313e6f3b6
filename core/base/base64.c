#include "base/base64.h"

#include <errno.h>

static const char standard[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* bits 0..5 the value of a letter, and in which alphabets it is one; 0 in neither */
#define IN_STANDARD 0x40
#define IN_URL 0x80
#define BOTH(value) ((value) | IN_STANDARD | IN_URL)
#define BOTH4(value) BOTH(value), BOTH((value) + 1), BOTH((value) + 2), BOTH((value) + 3)
#define BOTH13(value) BOTH4(value), BOTH4((value) + 4), BOTH4((value) + 8), BOTH((value) + 12)

static const unsigned char letters[256] = {
	['+'] = 62 | IN_STANDARD,
	['/'] = 63 | IN_STANDARD,
	['-'] = 62 | IN_URL,
	['_'] = 63 | IN_URL,
	['0'] = BOTH4(52),
	BOTH4(56),
	BOTH(60),
	BOTH(61),
	['A'] = BOTH13(0),
	BOTH13(13),
	['a'] = BOTH13(26),
	BOTH13(39),
};

static void encode(
	struct hw_buf *out, const unsigned char *p, size_t len, const char *alphabet, bool padded)
{
	size_t rest = len % 3;
	char *to = len <= SIZE_MAX / 4 ? hw_buf_reserve(out, len / 3 * 4 + 4) : NULL;
	char *start = to;

	if (!to) {
		out->failed = true;
		return;
	}
	for (size_t n = len / 3; n > 0; n--, p += 3) {
		*to++ = alphabet[p[0] >> 2];
		*to++ = alphabet[(p[0] & 0x03) << 4 | p[1] >> 4];
		*to++ = alphabet[(p[1] & 0x0f) << 2 | p[2] >> 6];
		*to++ = alphabet[p[2] & 0x3f];
	}
	if (rest > 0) {
		unsigned second = rest == 2 ? p[1] : 0;

		*to++ = alphabet[p[0] >> 2];
		*to++ = alphabet[(p[0] & 0x03) << 4 | second >> 4];
		if (rest == 2)
			*to++ = alphabet[(second & 0x0f) << 2];
		else if (padded)
			*to++ = '=';
		if (padded)
			*to++ = '=';
	}
	out->len += (size_t)(to - start);
}

void hw_base64_encode(struct hw_buf *out, const void *p, size_t len)
{
	encode(out, p, len, standard, true);
}

void hw_base64url_encode(struct hw_buf *out, const void *p, size_t len)
{
	encode(out, p, len, url, false);
}

/* @text without its padding. */
static int decode(struct hw_buf *out, struct hw_str text, unsigned char alphabet)
{
	const unsigned char *p = (const unsigned char *)text.p;
	bool failed_before = out->failed;
	unsigned bits = 0;
	int n_bits = 0;
	char *start;
	char *to;

	if (text.len % 4 == 1)
		return -EINVAL;
	start = to = hw_buf_reserve(out, text.len / 4 * 3 + 3);
	if (!to) {
		out->failed = failed_before;
		return -ENOMEM;
	}
	for (size_t i = 0; i < text.len; i++) {
		unsigned char letter = letters[p[i]];

		if (!(letter & alphabet))
			return -EINVAL;
		bits = bits << 6 | (letter & 0x3f);
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			*to++ = (char)(bits >> n_bits);
		}
	}
	/* what the last letter has beyond the last byte must be zero, or two texts mean the same */
	if (bits & ((1u << n_bits) - 1))
		return -EINVAL;
	out->len += (size_t)(to - start);
	return 0;
}

int hw_base64_decode(struct hw_buf *out, struct hw_str text)
{
	if (text.len % 4 != 0)
		return -EINVAL;
	for (int n_pads = 0; n_pads < 2 && text.len > 0 && text.p[text.len - 1] == '='; n_pads++)
		text.len--;
	return decode(out, text, IN_STANDARD);
}

int hw_base64url_decode(struct hw_buf *out, struct hw_str text)
{
	return decode(out, text, IN_URL);
}
