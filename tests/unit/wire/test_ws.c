#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ws_transcript.h"

#define BIG (1u << 20)

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Appends a frame; @b0 is its first byte. The length is in its shortest form. */
static void add_frame(struct hw_buf *out, uint8_t b0, const void *payload, size_t len, bool masked)
{
	uint8_t header[HW_WS_HEADER_BYTES];
	size_t n = hw_ws_header(header, true, HW_WS_OP_TEXT, len, masked ? key : NULL), at;

	header[0] = b0;
	hw_buf_add(out, header, n);
	at = out->len;
	hw_buf_add(out, payload, len);
	for (size_t i = 0; masked && i < len; i++)
		out->data[at + i] ^= (char)key[i % 4];
}

static void add_text(struct hw_buf *out, uint8_t b0, const char *payload)
{
	add_frame(out, b0, payload, strlen(payload), true);
}

static void transcribe(struct ws_transcript *t, struct hw_str input, uint64_t max,
	const size_t *cuts, size_t n_cuts)
{
	ws_transcript_run(t, HW_WS_SERVER, max, (const uint8_t *)input.p, input.len, cuts, n_cuts);
}

static void assert_same(
	struct hw_str got, struct hw_str expected, const char *how, size_t a, size_t b)
{
	if (!hw_str_eq(got, expected))
		fail_msg("%s %zu %zu: got [%.*s], not [%.*s]", how, a, b, HW_STR_ARG(got),
			HW_STR_ARG(expected));
}

/* Whole, cut at every byte, cut at every pair when short, and byte by byte: always @expected. */
static void assert_reads_within(struct hw_str input, uint64_t max, const char *expected)
{
	struct ws_transcript t;
	struct hw_str wanted = hw_str_of(expected);
	size_t *each = calloc(input.len + 1, sizeof(*each)), cuts[2];

	assert_non_null(each);
	for (cuts[0] = 0; cuts[0] <= input.len; cuts[0]++) {
		each[cuts[0]] = cuts[0];
		for (cuts[1] = cuts[0]; cuts[1] <= input.len; cuts[1]++) {
			if (input.len > 200 && cuts[1] != cuts[0])
				break;
			transcribe(&t, input, max, cuts, 2);
			assert_same(hw_buf_view(&t.text), wanted, "cut at", cuts[0], cuts[1]);
			ws_transcript_fini(&t);
		}
	}
	transcribe(&t, input, max, each, input.len);
	assert_same(hw_buf_view(&t.text), wanted, "byte by byte", 0, 0);
	ws_transcript_fini(&t);
	free(each);
}

static void assert_reads(struct hw_buf *input, const char *expected)
{
	assert_reads_within(hw_buf_view(input), BIG, expected);
	hw_buf_fini(input);
}

/* The code of the error that @input ends in, however it is cut; 0: none. */
static uint16_t error_code(struct hw_str input, uint64_t max)
{
	struct ws_transcript whole, split;
	uint16_t code;

	transcribe(&whole, input, max, NULL, 0);
	for (size_t cut = 0; cut <= input.len; cut++) {
		transcribe(&split, input, max, &cut, 1);
		assert_same(hw_buf_view(&split.text), hw_buf_view(&whole.text), "cut at", cut, 0);
		ws_transcript_fini(&split);
	}
	code = whole.failed ? whole.code : 0;
	ws_transcript_fini(&whole);
	return code;
}

static void messages_are_read_however_they_are_cut(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x81, "Hello");
	add_text(&in, 0x82, "\xff\xfe");
	add_text(&in, 0x81, "");
	add_text(&in, 0x82, "");
	add_text(&in, 0x81, "k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x8e\x81");
	assert_reads(&in, "TEXT Hello\nBINARY \xff\xfe\nTEXT \nBINARY \n"
			  "TEXT k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x8e\x81\n");
}

static void fragments_are_one_message_and_control_frames_come_between(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x01, "one ");
	add_text(&in, 0x89, "are you there");
	add_text(&in, 0x00, "two ");
	add_text(&in, 0x8a, "");
	add_text(&in, 0x80, "three");
	add_text(&in, 0x82, "next");
	assert_reads(&in, "PING are you there\nPONG \nTEXT one two three\nBINARY next\n");
}

static void empty_fragments_are_fine_anywhere(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x01, "");
	add_text(&in, 0x00, "");
	add_text(&in, 0x00, "x");
	add_text(&in, 0x00, "");
	add_text(&in, 0x80, "");
	add_text(&in, 0x02, "");
	add_text(&in, 0x80, "");
	assert_reads(&in, "TEXT x\nBINARY \n");
}

static void control_frames_may_carry_125_bytes(void **state HW_UNUSED)
{
	char payload[HW_WS_CONTROL_BYTES + 1] = "", expected[HW_WS_CONTROL_BYTES + 20];
	struct hw_buf in;

	memset(payload, 'p', HW_WS_CONTROL_BYTES);
	snprintf(expected, sizeof(expected), "PING %s\n", payload);
	hw_buf_init(&in);
	add_text(&in, 0x89, payload);
	assert_reads(&in, expected);
}

static void a_character_may_be_split_over_fragments(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x01, "a\xf0\x9f");
	add_text(&in, 0x89, "\xff"); /* control payloads are not text */
	add_text(&in, 0x00, "\x8e");
	add_text(&in, 0x80, "\x81z");
	assert_reads(&in, "PING \xff\nTEXT a\xf0\x9f\x8e\x81z\n");
}

static void all_length_forms_round_trip(void **state HW_UNUSED)
{
	static const size_t lengths[] = {0, 1, 124, 125, 126, 127, 255, 256, 65535, 65536, 70000};
	char *payload = malloc(70000);

	assert_non_null(payload);
	for (size_t i = 0; i < 70000; i++)
		payload[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < HW_COUNT(lengths); i++) {
		struct ws_transcript t;
		struct hw_buf in;
		size_t len = lengths[i];
		size_t cuts[] = {1, 2, 3, len / 3 + 4, len / 2 + 7};

		hw_buf_init(&in);
		add_frame(&in, 0x82, payload, len, true);
		for (size_t n_cuts = 0; n_cuts <= HW_COUNT(cuts); n_cuts += HW_COUNT(cuts)) {
			transcribe(&t, hw_buf_view(&in), 70000, cuts, len > 20 ? n_cuts : 0);
			assert_int_equal(t.text.len, 7 + len + 1);
			assert_memory_equal(t.text.data + 7, payload, len);
			ws_transcript_fini(&t);
		}
		hw_buf_fini(&in);
	}
	free(payload);
}

static void headers_are_written_in_their_shortest_form(void **state HW_UNUSED)
{
	static const struct {
		bool fin, masked;
		enum hw_ws_opcode opcode;
		uint64_t len;
		size_t n;
		uint8_t bytes[14];
	} cases[] = {
		{true, false, HW_WS_OP_TEXT, 0, 2, {0x81, 0}},
		{false, false, HW_WS_OP_BINARY, 125, 2, {0x02, 125}},
		{false, false, HW_WS_OP_CONTINUATION, 126, 4, {0x00, 126, 0, 126}},
		{true, false, HW_WS_OP_TEXT, 65535, 4, {0x81, 126, 0xff, 0xff}},
		{true, false, HW_WS_OP_TEXT, 65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
		{true, false, HW_WS_OP_TEXT, 0x0102030405060708, 10,
			{0x81, 127, 1, 2, 3, 4, 5, 6, 7, 8}},
		{true, true, HW_WS_OP_PING, 5, 6, {0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d}},
		{true, true, HW_WS_OP_PONG, 300, 8, {0x8a, 0xfe, 1, 44, 0x37, 0xfa, 0x21, 0x3d}},
		{true, true, HW_WS_OP_BINARY, 65536, 14,
			{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0x37, 0xfa, 0x21, 0x3d}},
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		uint8_t out[HW_WS_HEADER_BYTES];
		size_t n = hw_ws_header(out, cases[i].fin, cases[i].opcode, cases[i].len,
			cases[i].masked ? key : NULL);

		assert_int_equal(n, cases[i].n);
		assert_memory_equal(out, cases[i].bytes, n);
	}
}

static void masking_is_the_same_at_every_offset_and_alignment(void **state HW_UNUSED)
{
	uint8_t plain[300], wide[300];

	for (size_t len = 0; len <= 200; len++) {
		for (size_t align = 0; align < 16; align += 3) {
			for (size_t offset = 0; offset < 6; offset++) {
				for (size_t i = 0; i < sizeof(plain); i++)
					plain[i] = wide[i] = (uint8_t)(i * 7 + len);
				hw_ws_mask(wide + align, len, key, offset);
				for (size_t i = 0; i < len; i++)
					plain[align + i] ^= key[(offset + i) % 4];
				assert_memory_equal(plain, wide, sizeof(plain));
			}
		}
	}
}

static void broken_frames_are_protocol_errors(void **state HW_UNUSED)
{
#define FRAME(...) \
	{ \
		sizeof((uint8_t[]){__VA_ARGS__}), \
		{ \
			__VA_ARGS__ \
		} \
	}
#define KEY 1, 2, 3, 4
	static const struct {
		size_t len;
		uint8_t bytes[24];
	} cases[] = {
		/* reserved bits, alone and together, on every kind of frame */
		FRAME(0xc1, 0x80, KEY),
		FRAME(0xa1, 0x80, KEY),
		FRAME(0x91, 0x80, KEY),
		FRAME(0xf1, 0x80, KEY),
		FRAME(0xc9, 0x80, KEY),
		FRAME(0xc8, 0x80, KEY),
		FRAME(0x01, 0x80, KEY, 0xc0, 0x80, KEY),
		/* reserved opcodes */
		FRAME(0x83, 0x80, KEY),
		FRAME(0x84, 0x80, KEY),
		FRAME(0x85, 0x80, KEY),
		FRAME(0x86, 0x80, KEY),
		FRAME(0x87, 0x80, KEY),
		FRAME(0x8b, 0x80, KEY),
		FRAME(0x8c, 0x80, KEY),
		FRAME(0x8d, 0x80, KEY),
		FRAME(0x8e, 0x80, KEY),
		FRAME(0x8f, 0x80, KEY),
		FRAME(0x03, 0x80, KEY),
		/* not masked */
		FRAME(0x81, 0x00),
		FRAME(0x81, 0x01, 'x'),
		FRAME(0x88, 0x00),
		FRAME(0x89, 0x00),
		/* lengths that have a shorter form, or the high bit */
		FRAME(0x82, 0xfe, 0, 0, KEY),
		FRAME(0x82, 0xfe, 0, 125, KEY),
		FRAME(0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, KEY),
		FRAME(0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, KEY),
		FRAME(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, KEY),
		FRAME(0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, KEY),
		/* control frames: fragmented, or longer than 125 */
		FRAME(0x09, 0x80, KEY),
		FRAME(0x0a, 0x80, KEY),
		FRAME(0x08, 0x80, KEY),
		FRAME(0x89, 0xfe, 0, 126, KEY),
		FRAME(0x8a, 0xfe, 0, 126, KEY),
		FRAME(0x88, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, KEY),
		/* continuations of nothing, messages inside another */
		FRAME(0x80, 0x80, KEY),
		FRAME(0x00, 0x80, KEY),
		FRAME(0x81, 0x80, KEY, 0x80, 0x80, KEY),
		FRAME(0x01, 0x80, KEY, 0x81, 0x80, KEY),
		FRAME(0x01, 0x80, KEY, 0x01, 0x80, KEY),
		FRAME(0x02, 0x80, KEY, 0x81, 0x80, KEY),
		FRAME(0x01, 0x80, KEY, 0x80, 0x80, KEY, 0x80, 0x80, KEY),
		/* half a close code */
		FRAME(0x88, 0x81, KEY, 3),
	};

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		struct hw_str input = {(const char *)cases[i].bytes, cases[i].len};

		if (error_code(input, BIG) != HW_WS_CODE_PROTOCOL)
			fail_msg("case %zu (%02x %02x): %u", i, cases[i].bytes[0],
				cases[i].bytes[1], error_code(input, BIG));
	}
}

static void the_first_two_bytes_are_enough_to_refuse(void **state HW_UNUSED)
{
	static const uint8_t frames[][2] = {
		{0xc1, 0x85}, {0x83, 0x85}, {0x81, 0x05}, {0x09, 0x85}, {0x89, 0xfe}, {0x80, 0x85}};

	for (size_t i = 0; i < HW_COUNT(frames); i++)
		assert_int_equal(
			error_code((struct hw_str){(const char *)frames[i], 2}, BIG), 1002);
}

static void where_only_text_is_taken_two_bytes_of_a_binary_message_are_enough(
	void **state HW_UNUSED)
{
	uint8_t begun[] = {0x02, 0xff}, text[] = {0x81, 0x80, 0, 0, 0, 0},
		inside[] = {0x01, 0x80, 0, 0, 0, 0, 0x02, 0x80};
	struct hw_ws_reader r;
	struct hw_ws_event ev;
	size_t used;

	hw_ws_reader_init(&r, HW_WS_SERVER, BIG);
	r.text_only = true;
	assert_int_equal(hw_ws_read(&r, text, sizeof(text), &used, &ev), HW_WS_DATA);
	assert_int_equal(hw_ws_read(&r, begun, sizeof(begun), &used, &ev), HW_WS_ERROR);
	assert_int_equal(ev.code, 1003);
	hw_ws_reader_fini(&r);
	/* what breaks the protocol is told as that */
	hw_ws_reader_init(&r, HW_WS_SERVER, BIG);
	r.text_only = true;
	assert_int_equal(hw_ws_read(&r, inside, sizeof(inside), &used, &ev), HW_WS_ERROR);
	assert_int_equal(ev.code, 1002);
	hw_ws_reader_fini(&r);
}

/* 7.4.1, 7.4.2 and what the registry of IANA has added, one by one. */
static bool listed(unsigned code)
{
	static const unsigned registered[] = {
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};

	for (size_t i = 0; i < HW_COUNT(registered); i++) {
		if (registered[i] == code)
			return true;
	}
	return code / 1000 == 3 || code / 1000 == 4;
}

static void every_close_code_is_judged(void **state HW_UNUSED)
{
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
		struct ws_transcript t;
		struct hw_buf in;
		char expected[64];

		assert_int_equal(hw_ws_code_sendable(code), listed(code));
		hw_buf_init(&in);
		add_frame(&in, 0x88, payload, 2, true);
		transcribe(&t, hw_buf_view(&in), BIG, NULL, 0);
		snprintf(expected, sizeof(expected), "CLOSE %u \n", code);
		if (listed(code))
			assert_same(hw_buf_view(&t.text), hw_str_of(expected), "code", code, 0);
		else
			assert_int_equal(t.code, HW_WS_CODE_PROTOCOL);
		ws_transcript_fini(&t);
		hw_buf_fini(&in);
	}
	assert_false(hw_ws_code_sendable(65536 + 1000));
}

static void a_close_frame_ends_it_and_what_follows_is_dropped(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x01, "unfinished");
	add_text(&in, 0x88, "\x03\xe8good bye \xe2\x82\xac");
	add_text(&in, 0x81, "late");
	hw_buf_puts(&in, "\xff\xff\xff garbage");
	assert_reads(&in, "CLOSE 1000 good bye \xe2\x82\xac\n");
	hw_buf_init(&in);
	add_text(&in, 0x88, "");
	add_text(&in, 0x89, "");
	assert_reads(&in, "CLOSE 1005 \n");
}

static void close_reasons_are_text(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x88, "\x03\xe8\xc3");
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
	hw_buf_clear(&in);
	add_text(&in, 0x88, "\x03\xe8\xed\xa0\x80");
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
	hw_buf_clear(&in);
	add_text(&in, 0x88, "\x03\xec\xc3"); /* 1004: the code is judged first */
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_PROTOCOL);
	hw_buf_fini(&in);
}

static void text_that_is_not_utf8_is_refused(void **state HW_UNUSED)
{
	static const char *const bad[] = {"\xff", "a\x80", "\xc0\xaf", "\xc3\x28", "\xe0\x80\xaf",
		"\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5", "\xfe\xfe\xff\xff",
		/* cut off inside a character */
		"\xc3", "x\xe2\x82", "\xf0\x9f\x8e"};
	struct hw_buf in;

	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		hw_buf_init(&in);
		add_text(&in, 0x81, bad[i]);
		assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
		hw_buf_clear(&in);
		add_text(&in, 0x01, "fine so far ");
		add_text(&in, 0x80, bad[i]);
		assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
		hw_buf_clear(&in);
		add_text(&in, 0x82, bad[i]); /* as binary it is nobody's business */
		assert_int_equal(error_code(hw_buf_view(&in), BIG), 0);
		hw_buf_fini(&in);
	}
	hw_buf_init(&in);
	add_text(&in, 0x01, "\xe2\x82"); /* ends in an empty fragment, inside a character */
	add_text(&in, 0x80, "");
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
	hw_buf_clear(&in);
	add_text(&in, 0x81, "\xe2\x82"); /* the next message does not complete it */
	add_text(&in, 0x81, "\xac");
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
	hw_buf_fini(&in);
}

static void bad_text_is_refused_inside_an_unfinished_frame(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x01, "good\xc3\x28 and much more that never comes");
	in.len = 6 + 5; /* up to the lead byte: may still become something */
	assert_int_equal(error_code(hw_buf_view(&in), BIG), 0);
	in.len = 6 + 6;
	assert_int_equal(error_code(hw_buf_view(&in), BIG), HW_WS_CODE_BAD_DATA);
	hw_buf_fini(&in);
}

static void the_message_limit_is_exact_and_taken_from_headers(void **state HW_UNUSED)
{
	struct hw_buf in;

	hw_buf_init(&in);
	add_text(&in, 0x81, "0123456789");
	add_text(&in, 0x01, "01234");
	add_text(&in, 0x89, "control frames do not count");
	add_text(&in, 0x00, "56789");
	add_text(&in, 0x80, "");
	add_text(&in, 0x82, "0123456789"); /* each message counts for itself */
	assert_reads_within(hw_buf_view(&in), 10,
		"TEXT 0123456789\nPING control frames do not count\nTEXT 0123456789\n"
		"BINARY 0123456789\n");
	assert_int_equal(error_code(hw_buf_view(&in), 9), HW_WS_CODE_TOO_BIG);
	hw_buf_clear(&in);
	add_text(&in, 0x01, "01234");
	add_text(&in, 0x80, "567890");
	in.len = 11 + 2; /* the header tells, without its mask and payload */
	assert_int_equal(error_code(hw_buf_view(&in), 10), HW_WS_CODE_TOO_BIG);
	assert_int_equal(error_code(hw_buf_view(&in), 11), 0);
	in.len = 11 + 1;
	assert_int_equal(error_code(hw_buf_view(&in), 10), 0);
	hw_buf_fini(&in);
	assert_int_equal(error_code(HW_STR("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), BIG),
		HW_WS_CODE_TOO_BIG);
	assert_int_equal(
		error_code(HW_STR("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX), 0);
	hw_buf_init(&in);
	for (int i = 0; i < 3; i++) /* all fragments together */
		add_text(&in, i ? 0x00 : 0x02, "0123");
	assert_int_equal(error_code(hw_buf_view(&in), 11), HW_WS_CODE_TOO_BIG);
	assert_int_equal(error_code(hw_buf_view(&in), 12), 0);
	hw_buf_fini(&in);
	assert_int_equal(error_code(HW_STR("\x81\x80\1\2\3\4"), 0), 0);
	assert_int_equal(error_code(HW_STR("\x81\x81\1\2\3\4"), 0), HW_WS_CODE_TOO_BIG);
}

static void a_client_reads_what_a_server_sends(void **state HW_UNUSED)
{
	struct ws_transcript t;
	struct hw_buf in;

	hw_buf_init(&in);
	add_frame(&in, 0x81, "plain", 5, false);
	add_frame(&in, 0x89, "ping", 4, false);
	add_frame(&in, 0x01, "a", 1, false);
	add_frame(&in, 0x80, "b", 1, false);
	add_frame(&in, 0x88, "\x03\xe9", 2, false);
	for (size_t cut = 0; cut <= in.len; cut++) {
		ws_transcript_run(&t, HW_WS_CLIENT, BIG, (uint8_t *)in.data, in.len, &cut, 1);
		assert_same(hw_buf_view(&t.text),
			HW_STR("TEXT plain\nPING ping\nTEXT ab\nCLOSE 1001 \n"), "cut at", cut, 0);
		ws_transcript_fini(&t);
	}
	hw_buf_clear(&in);
	add_text(&in, 0x81, "masked");
	ws_transcript_run(&t, HW_WS_CLIENT, BIG, (uint8_t *)in.data, in.len, NULL, 0);
	assert_int_equal(t.code, HW_WS_CODE_PROTOCOL);
	ws_transcript_fini(&t);
	hw_buf_fini(&in);
}

static void pieces_tell_where_a_message_begins_and_ends(void **state HW_UNUSED)
{
	struct hw_ws_reader r;
	struct hw_ws_event ev;
	struct hw_buf in;
	uint8_t *p;
	size_t used;

	hw_buf_init(&in);
	add_text(&in, 0x01, "abcd");
	add_text(&in, 0x80, "ef");
	p = (uint8_t *)in.data;
	hw_ws_reader_init(&r, HW_WS_SERVER, BIG);
	assert_false(hw_ws_reader_busy(&r));
	assert_int_equal(hw_ws_read(&r, p, 8, &used, &ev), HW_WS_DATA);
	assert_int_equal(used, 8);
	assert_ptr_equal(ev.data.p, p + 6); /* in place */
	assert_memory_equal(ev.data.p, "ab", 2);
	assert_int_equal(ev.opcode, HW_WS_OP_TEXT);
	assert_true(ev.first && !ev.last && hw_ws_reader_busy(&r));
	assert_int_equal(hw_ws_read(&r, p + 8, 2, &used, &ev), HW_WS_DATA);
	assert_true(
		!ev.first && !ev.last && hw_ws_reader_busy(&r)); /* a frame ends, not the message */
	assert_int_equal(hw_ws_read(&r, p + 10, in.len - 10, &used, &ev), HW_WS_DATA);
	assert_int_equal(used, 8);
	assert_memory_equal(ev.data.p, "ef", 2);
	assert_int_equal(ev.opcode, HW_WS_OP_TEXT); /* of the message, not of the continuation */
	assert_true(!ev.first && ev.last && !hw_ws_reader_busy(&r));
	hw_ws_reader_fini(&r);
	hw_buf_fini(&in);
}

static void only_a_split_control_frame_needs_memory(void **state HW_UNUSED)
{
	struct hw_ws_reader r;
	struct hw_ws_event ev;
	struct hw_buf in;
	uint8_t *p;
	size_t used;

	hw_buf_init(&in);
	add_text(&in, 0x89, "0123456789");
	add_text(&in, 0x89, "0123456789");
	p = (uint8_t *)in.data;
	hw_ws_reader_init(&r, HW_WS_SERVER, BIG);
	assert_int_equal(hw_ws_read(&r, p, 16, &used, &ev), HW_WS_PING);
	assert_null(r.control);
	assert_int_equal(hw_ws_read(&r, p + 16, 9, &used, &ev), HW_WS_MORE);
	assert_non_null(r.control);
	memset(p, '!', 25); /* what was read is no longer needed */
	assert_int_equal(hw_ws_read(&r, p + 25, 7, &used, &ev), HW_WS_PING);
	assert_int_equal(ev.data.len, 10);
	assert_memory_equal(ev.data.p, "0123456789", 10);
	assert_int_equal(hw_ws_read(&r, NULL, 0, &used, &ev), HW_WS_MORE);
	assert_null(r.control);
	hw_ws_reader_fini(&r);
	hw_buf_fini(&in);
}

static void close_frames_are_written_and_read_back(void **state HW_UNUSED)
{
	static const struct {
		uint16_t code;
		const char *reason, *expected;
	} cases[] = {
		{1000, "", "CLOSE 1000 \n"},
		{4401, "token expired", "CLOSE 4401 token expired\n"},
		{HW_WS_CODE_NONE, "ignored", "CLOSE 1005 \n"},
	};
	uint8_t out[HW_WS_CLOSE_BYTES];
	struct ws_transcript t;
	size_t n;

	for (size_t i = 0; i < HW_COUNT(cases); i++) {
		for (int masked = 0; masked < 2; masked++) {
			n = hw_ws_close(out, cases[i].code, hw_str_of(cases[i].reason),
				masked ? key : NULL);
			ws_transcript_run(
				&t, masked ? HW_WS_SERVER : HW_WS_CLIENT, BIG, out, n, NULL, 0);
			assert_same(
				hw_buf_view(&t.text), hw_str_of(cases[i].expected), "case", i, 0);
			ws_transcript_fini(&t);
		}
	}
}

static void long_close_reasons_are_cut_between_characters(void **state HW_UNUSED)
{
	/* each character begins one byte later in turn; 123 bytes fit */
	static const struct {
		const char *character;
		size_t len;
	} wide[] = {{"\xc3\xb6", 2}, {"\xe2\x82\xac", 3}, {"\xf0\x9f\x8e\x81", 4}};
	uint8_t out[HW_WS_CLOSE_BYTES];

	for (size_t w = 0; w < HW_COUNT(wide); w++) {
		for (size_t ascii = 0; ascii < 5; ascii++) {
			struct hw_buf reason;
			size_t n, kept;

			hw_buf_init(&reason);
			hw_buf_add(&reason, "xxxxx", ascii);
			while (reason.len < 200)
				hw_buf_add(&reason, wide[w].character, wide[w].len);
			n = hw_ws_close(out, 1000, hw_buf_view(&reason), NULL);
			kept = ascii + (123 - ascii) / wide[w].len * wide[w].len;
			assert_int_equal(n, 4 + kept);
			assert_int_equal(out[1], 2 + kept);
			assert_memory_equal(out + 4, reason.data, kept);
			hw_buf_fini(&reason);
		}
	}
	assert_int_equal(
		hw_ws_close(out, 1000,
			HW_STR("0123456789012345678901234567890123456789012345678901234567890123"
			       "45678901234567890123456789012345678901234567890123456789012"),
			key),
		6 + 125);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_read_however_they_are_cut),
		cmocka_unit_test(fragments_are_one_message_and_control_frames_come_between),
		cmocka_unit_test(empty_fragments_are_fine_anywhere),
		cmocka_unit_test(control_frames_may_carry_125_bytes),
		cmocka_unit_test(a_character_may_be_split_over_fragments),
		cmocka_unit_test(all_length_forms_round_trip),
		cmocka_unit_test(headers_are_written_in_their_shortest_form),
		cmocka_unit_test(masking_is_the_same_at_every_offset_and_alignment),
		cmocka_unit_test(broken_frames_are_protocol_errors),
		cmocka_unit_test(the_first_two_bytes_are_enough_to_refuse),
		cmocka_unit_test(where_only_text_is_taken_two_bytes_of_a_binary_message_are_enough),
		cmocka_unit_test(every_close_code_is_judged),
		cmocka_unit_test(a_close_frame_ends_it_and_what_follows_is_dropped),
		cmocka_unit_test(close_reasons_are_text),
		cmocka_unit_test(text_that_is_not_utf8_is_refused),
		cmocka_unit_test(bad_text_is_refused_inside_an_unfinished_frame),
		cmocka_unit_test(the_message_limit_is_exact_and_taken_from_headers),
		cmocka_unit_test(a_client_reads_what_a_server_sends),
		cmocka_unit_test(pieces_tell_where_a_message_begins_and_ends),
		cmocka_unit_test(only_a_split_control_frame_needs_memory),
		cmocka_unit_test(close_frames_are_written_and_read_back),
		cmocka_unit_test(long_close_reasons_are_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
