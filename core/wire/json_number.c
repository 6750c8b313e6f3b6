#include "wire/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* strtod rounds correctly but reads only what ends in a zero, and a decimal point as the locale has
 * it. So a number is first brought to digits and a power of ten. 768 significant digits decide
 * every rounding; of more it matters only whether one is not zero, and a single 1 behind the rest
 * says that. */
#define N_DIGITS 768
#define EXPONENT_CAP 100000000

struct decimal {
	char digits[N_DIGITS + 1];
	size_t n;
	bool more;     /* a digit that is not zero did not fit */
	long exponent; /* of ten, for the digits read as an integer */
};

static void take_digit(struct decimal *d, char c, bool fraction)
{
	if (d->n < N_DIGITS) {
		if (d->n > 0 || c != '0')
			d->digits[d->n++] = c;
		d->exponent -= fraction;
	} else {
		d->more |= c != '0';
		d->exponent += !fraction;
	}
}

static long read_exponent(const char *p, const char *end)
{
	bool negative = *p == '-';
	long n = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; p < end && n < EXPONENT_CAP; p++)
		n = n * 10 + (*p - '0');
	return negative ? -n : n;
}

double hw_json_double(struct hw_json number)
{
	const char *p = number.raw.p, *end = p + number.raw.len;
	char text[N_DIGITS + 32];
	struct decimal d = {.n = 0};
	bool negative = *p == '-', fraction = false;
	double value;

	for (p += negative; p < end; p++) {
		if (*p == '.') {
			fraction = true;
		} else if ((*p | 0x20) == 'e') {
			d.exponent += read_exponent(p + 1, end);
			break;
		} else {
			take_digit(&d, *p, fraction);
		}
	}
	if (d.n == 0)
		return negative ? -0.0 : 0.0;
	if (d.more) {
		d.digits[d.n++] = '1';
		d.exponent--;
	}
	snprintf(text, sizeof(text), "%.*se%ld", (int)d.n, d.digits, d.exponent);
	value = strtod(text, NULL);
	return negative ? -value : value;
}

/* At a power of two the doubles below lie closer than those above: the nearest decimal of some
 * length may then read back as a neighbour while the next one up is right. Adds one to the last
 * digit before the 'e'. */
static void round_up(char *text)
{
	for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
		if (*p < '0' || *p > '9')
			continue;
		if (*p != '9') {
			++*p;
			return;
		}
		*p = '0';
	}
}

/* The fewest digits that read back as @n: d[0].d[1]… × 10^exponent. Returns how many. */
static int shortest(double n, char digits[17], int *exponent)
{
	char text[40];
	int n_digits = 0;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, n);
		if (strtod(text, NULL) == n)
			break;
		round_up(text);
		if (strtod(text, NULL) == n)
			break;
	}
	*exponent = atoi(strchr(text, 'e') + 1);
	for (const char *p = text; *p != 'e'; p++) {
		if (*p >= '0' && *p <= '9')
			digits[n_digits++] = *p;
	}
	while (n_digits > 1 && digits[n_digits - 1] == '0')
		n_digits--;
	return n_digits;
}

static void put_zeros(struct hw_buf *out, int n)
{
	while (n-- > 0)
		hw_buf_putc(out, '0');
}

void hw_json_js_number(struct hw_buf *out, double n)
{
	char digits[17];
	int k, e, point;

	if (isnan(n)) {
		hw_buf_puts(out, "NaN");
		return;
	}
	if (n == 0) { /* also minus zero */
		hw_buf_putc(out, '0');
		return;
	}
	if (n < 0)
		hw_buf_putc(out, '-');
	if (isinf(n)) {
		hw_buf_puts(out, "Infinity");
		return;
	}
	k = shortest(fabs(n), digits, &e);
	point = e + 1; /* digits before the decimal point: "n" in the standard's text, whose k is
			  ours */
	if (point > 0 && point <= 21) {
		int whole = k < point ? k : point;

		hw_buf_add(out, digits, (size_t)whole);
		put_zeros(out, point - k);
		if (k > point) {
			hw_buf_putc(out, '.');
			hw_buf_add(out, digits + point, (size_t)(k - point));
		}
	} else if (point > -6 && point <= 0) {
		hw_buf_puts(out, "0.");
		put_zeros(out, -point);
		hw_buf_add(out, digits, (size_t)k);
	} else {
		hw_buf_putc(out, digits[0]);
		if (k > 1) {
			hw_buf_putc(out, '.');
			hw_buf_add(out, digits + 1, (size_t)(k - 1));
		}
		hw_buf_printf(out, "e%c%d", e < 0 ? '-' : '+', e < 0 ? -e : e);
	}
}
