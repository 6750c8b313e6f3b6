/* What is written is read back by a reader of the WHATWG's rules (HTML 9.2.5 and 9.2.6) that knows
 * nothing of the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/sse.h"

#define MESSAGES_MAX 64

/* What an EventSource would tell of a stream. */
struct heard {
	size_t n;
	struct message {
		char *name, *data, *id;
	} messages[MESSAGES_MAX];
	char *last_id;
	size_t n_comments;
};

struct field {
	struct hw_str name, value;
};

/* 9.2.5: a line ends at CR LF, LF or CR; what is not ended is no line. */
static bool next_line(struct hw_str *rest, struct hw_str *line)
{
	for (size_t i = 0; i < rest->len; i++) {
		size_t end = i + 1;

		if (rest->p[i] != '\r' && rest->p[i] != '\n')
			continue;
		if (rest->p[i] == '\r' && end < rest->len && rest->p[end] == '\n')
			end++;
		*line = (struct hw_str){rest->p, i};
		*rest = (struct hw_str){rest->p + end, rest->len - end};
		return true;
	}
	return false;
}

static struct field field_of(struct hw_str line)
{
	struct hw_str rest = line, name = hw_str_cut(&rest, ':');

	if (!rest.p)
		rest = HW_STR("");
	if (rest.len > 0 && rest.p[0] == ' ')
		rest = (struct hw_str){rest.p + 1, rest.len - 1};
	return (struct field){name, rest};
}

static char *text_of(const struct hw_buf *b, size_t len)
{
	return hw_str_dup((struct hw_str){b->len ? b->data : "", len});
}

static void read_stream(struct hw_str rest, struct heard *heard)
{
	struct hw_buf data, name, id;
	struct hw_str line;

	memset(heard, 0, sizeof(*heard));
	hw_buf_init(&data);
	hw_buf_init(&name);
	hw_buf_init(&id);
	while (next_line(&rest, &line)) {
		struct field f = field_of(line);

		if (line.len == 0) {
			free(heard->last_id);
			heard->last_id = text_of(&id, id.len);
			if (data.len > 0) {
				struct message *m = &heard->messages[heard->n++];

				assert_true(heard->n <= MESSAGES_MAX);
				m->name = name.len ? text_of(&name, name.len)
						   : hw_str_dup(HW_STR("message"));
				m->data = text_of(&data, data.len - 1);
				m->id = text_of(&id, id.len);
			}
			hw_buf_clear(&data);
			hw_buf_clear(&name);
		} else if (f.name.len == 0) {
			heard->n_comments++;
		} else if (hw_str_eq(f.name, HW_STR("event"))) {
			hw_buf_clear(&name);
			hw_buf_str(&name, f.value);
		} else if (hw_str_eq(f.name, HW_STR("data"))) {
			hw_buf_str(&data, f.value);
			hw_buf_putc(&data, '\n');
		} else if (hw_str_eq(f.name, HW_STR("id"))) {
			hw_buf_clear(&id);
			hw_buf_str(&id, f.value);
		} else {
			fail_msg("a field that nobody writes: %.*s", HW_STR_ARG(f.name));
		}
	}
	assert_int_equal(rest.len, 0);
	hw_buf_fini(&data);
	hw_buf_fini(&name);
	hw_buf_fini(&id);
}

static void heard_fini(struct heard *heard)
{
	for (size_t i = 0; i < heard->n; i++) {
		free(heard->messages[i].name);
		free(heard->messages[i].data);
		free(heard->messages[i].id);
	}
	free(heard->last_id);
}

static void add(struct hw_buf *out, const struct hw_sse_block *block)
{
	size_t size = hw_sse_size(block);
	char *p = hw_buf_reserve(out, size);

	assert_non_null(p);
	assert_ptr_equal(hw_sse_write(p, block), p + size);
	out->len += size;
}

static void test_a_block_is_written_as_it_is_read(void **state)
{
	struct hw_sse_block block = {
		.event = HW_STR("gap"), .id = HW_STR("k3f9a-7"), .data = HW_STR("{\"a\":1}")};
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	add(&out, &block);
	assert_int_equal(out.len, strlen("event: gap\nid: k3f9a-7\ndata: {\"a\":1}\n\n"));
	assert_memory_equal(out.data, "event: gap\nid: k3f9a-7\ndata: {\"a\":1}\n\n", out.len);
	hw_buf_fini(&out);
}

static void test_a_bare_id_moves_the_client_and_says_nothing(void **state)
{
	struct hw_sse_block block = {.id = HW_STR("k-9")};
	struct heard heard;
	struct hw_buf out;

	(void)state;
	hw_buf_init(&out);
	add(&out, &block);
	hw_buf_puts(&out, HW_SSE_COMMENT);
	read_stream(hw_buf_view(&out), &heard);
	assert_int_equal(heard.n, 0);
	assert_int_equal(heard.n_comments, 1);
	assert_string_equal(heard.last_id, "k-9");
	heard_fini(&heard);
	hw_buf_fini(&out);
}

/* As the reader joins lines: every end of a line is one LF. */
static void add_joined(struct hw_buf *out, struct hw_str data)
{
	for (size_t i = 0; i < data.len; i++) {
		if (data.p[i] == '\r' && i + 1 < data.len && data.p[i + 1] == '\n')
			i++;
		hw_buf_putc(out, data.p[i] == '\r' ? '\n' : data.p[i]);
	}
}

static void test_whatever_is_written_is_read(void **state)
{
	static const char alphabet[] = "{}\": \n\r\n\ra:0,event:id:data:";
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct hw_buf out, data, wanted;
		struct hw_str texts[8], ids[8];
		size_t at[9] = {0}, n = 1 + (size_t)rand_r(&seed) % 8, n_messages = 0;
		char id_text[8][8];
		struct heard heard;

		hw_buf_init(&out);
		hw_buf_init(&data);
		hw_buf_init(&wanted);
		for (size_t i = 0; i < n; i++) {
			for (int len = rand_r(&seed) % 24; len > 0; len--)
				hw_buf_putc(&data,
					alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)]);
			at[i + 1] = data.len;
			snprintf(id_text[i], sizeof(id_text[i]), "k-%zu", i);
		}
		for (size_t i = 0; i < n; i++) {
			bool named = rand_r(&seed) % 4 == 0;

			texts[i] = (struct hw_str){
				(data.len ? data.data : "") + at[i], at[i + 1] - at[i]};
			ids[i] = rand_r(&seed) % 2 ? hw_str_of(id_text[i]) : HW_STR_NULL;
			add(&out,
				&(struct hw_sse_block){.event = named ? HW_STR("gap") : HW_STR_NULL,
					.id = ids[i],
					.data = texts[i]});
		}
		read_stream(hw_buf_view(&out), &heard);
		assert_int_equal(heard.n, n);
		for (size_t i = 0; i < n; i++) {
			const char *last = "";

			hw_buf_clear(&wanted);
			add_joined(&wanted, texts[i]);
			hw_buf_putc(&wanted, '\0');
			assert_string_equal(heard.messages[i].data, wanted.data);
			for (size_t k = 0; k <= i; k++)
				last = ids[k].p ? id_text[k] : last;
			assert_string_equal(heard.messages[i].id, last);
			n_messages++;
		}
		assert_int_equal(n_messages, n);
		heard_fini(&heard);
		hw_buf_fini(&out);
		hw_buf_fini(&data);
		hw_buf_fini(&wanted);
	}
}

static void test_the_id_is_what_an_event_ends_with(void **state)
{
	static const struct {
		const char *text, *id;
	} cases[] = {
		{"{\"topic\":\"a:1\",\"trace_id\":\"t\",\"id\":\"k3f9a-10412\"}", "k3f9a-10412"},
		{"{\"topic\":\"a:1\",\"trace_id\":\"t\",\"id\":\"\"}", ""},
		{"{\"topic\":\"a:1\",\"trace_id\":\"k3f9a-10412\"}", NULL},
		{"{\"data\":{\"id\":\"k-1\"}}", NULL},
		{"{\"trace_id\":\"t\",\"xid\":\"k-1\"}", NULL},
		{"{\"trace_id\":\"t\",\"id\":1}", NULL},
		{"{}", NULL},
		{"\"}", NULL},
		{"}", NULL},
		{"", NULL},
		{",\"id\":\"\"}", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hw_str id = hw_sse_id_of(hw_str_of(cases[i].text));

		if (!cases[i].id)
			assert_null(id.p);
		else
			assert_true(id.p && hw_str_eq(id, hw_str_of(cases[i].id)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_block_is_written_as_it_is_read),
		cmocka_unit_test(test_a_bare_id_moves_the_client_and_says_nothing),
		cmocka_unit_test(test_whatever_is_written_is_read),
		cmocka_unit_test(test_the_id_is_what_an_event_ends_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
