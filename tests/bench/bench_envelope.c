// links: wire
/* How fast the envelope of an event is read: MB of event text a CPU second, for payloads of several
 * shapes. Prints figures and judges nothing. Usage: bench_envelope [milliseconds per figure] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/event.h"

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench_envelope: %s\n", what);
	exit(1);
}

/* Payloads. Each appends about @size bytes. */
static void text_payload(struct hw_buf *b, size_t size)
{
	hw_buf_putc(b, '"');
	for (size_t end = b->len + size; b->len < end;)
		hw_buf_puts(b, "The quick brown fox jumps over the lazy dog. ");
	hw_buf_putc(b, '"');
}

static void record_payload(struct hw_buf *b, size_t size)
{
	unsigned i = 0;

	hw_buf_putc(b, '[');
	for (size_t end = b->len + size; b->len < end; i++)
		hw_buf_printf(b,
			"%s{\"id\":\"gift-%u\",\"name\":\"Red bicycle with a bell, size "
			"%u\",\"price\":%u.50,"
			"\"tags\":[\"outdoor\",\"kids\"],\"url\":\"https://shop.example/items/%u\","
			"\"bought\":%s,\"note\":null}",
			i ? "," : "", i * 7919, i, i * 13, i * 104729, i & 1 ? "true" : "false");
	hw_buf_putc(b, ']');
}

static void number_payload(struct hw_buf *b, size_t size)
{
	unsigned i = 0;

	hw_buf_putc(b, '[');
	for (size_t end = b->len + size; b->len < end; i++)
		hw_buf_printf(b, "%s%u.%u", i ? "," : "", i * 7919 % 1000, i * 104729 % 100000);
	hw_buf_putc(b, ']');
}

static void utf8_payload(struct hw_buf *b, size_t size)
{
	hw_buf_putc(b, '"');
	for (size_t end = b->len + size; b->len < end;)
		hw_buf_puts(b, "Schöne Grüße aus Köln, Ελληνικά, 日本語. ");
	hw_buf_putc(b, '"');
}

static void make_event(struct hw_buf *b, void (*payload)(struct hw_buf *, size_t), size_t size)
{
	hw_buf_clear(b);
	hw_buf_puts(b, "{\"topic\":\"gift-list:family-123\",\"event\":\"UPDATED\","
		       "\"data\":{\"entity_id\":\"gift-456\",\"payload\":");
	payload(b, size);
	hw_buf_puts(b, ",\"user_id\":\"u1\",\"tenant_id\":\"acme\","
		       "\"timestamp\":\"2026-01-01T00:00:00.000Z\"},"
		       "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}");
	if (b->failed)
		die("out of memory");
}

static void read_event(struct hw_str text, unsigned flags, struct hw_event *ev)
{
	struct hw_err err;

	if (hw_event_parse(text, flags, ev, NULL, &err) != 0)
		die(err.text);
}

static double measure(struct hw_str text, unsigned flags, bool write, double seconds)
{
	static const struct hw_event_fill fill = {
		.user_id = {"u1", 2}, .tenant_id = {"acme", 4}, .wall_ms = 1767225600000};
	double begin = cpu_s(), now = begin;
	struct hw_event ev;
	struct hw_buf out;
	size_t bytes = 0;

	hw_buf_init(&out);
	while (now - begin < seconds) {
		for (int i = 0; i < 1000; i++) {
			read_event(text, flags, &ev);
			if (write) {
				hw_buf_clear(&out);
				hw_event_encode(&out, &ev, &fill);
			}
			bytes += text.len;
		}
		now = cpu_s();
	}
	hw_buf_fini(&out);
	return (double)bytes / (now - begin) / 1e6;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*payload)(struct hw_buf *, size_t);
		size_t size;
	} shapes[] = {
		{"text, 128 B", text_payload, 1},
		{"text, 1 KiB", text_payload, 760},
		{"records, 1 KiB", record_payload, 650},
		{"numbers, 1 KiB", number_payload, 790},
		{"UTF-8 text, 1 KiB", utf8_payload, 740},
		{"records, 64 KiB", record_payload, 65000},
	};
	double seconds = (argc > 1 ? atof(argv[1]) : 300) / 1000;
	struct hw_buf b;

	hw_buf_init(&b);
	printf("%-20s %8s %14s %14s %14s\n", "payload", "bytes", "read MB/s", "UTF-8 known",
		"and write");
	for (size_t i = 0; i < HW_COUNT(shapes); i++) {
		struct hw_str text;

		make_event(&b, shapes[i].payload, shapes[i].size);
		text = hw_buf_view(&b);
		printf("%-20s %8zu %14.0f", shapes[i].name, text.len,
			measure(text, 0, false, seconds));
		printf(" %14.0f", measure(text, HW_JSON_UTF8_DONE, false, seconds));
		printf(" %14.0f\n", measure(text, HW_JSON_UTF8_DONE, true, seconds));
	}
	hw_buf_fini(&b);
	return 0;
}
