#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

static void assert_prints(struct hw_metrics *m, const char *expected)
{
	struct hw_buf out;
	char *text;

	hw_buf_init(&out);
	hw_metrics_print(m, &out);
	text = hw_buf_steal(&out);
	assert_string_equal(text, expected);
	free(text);
}

static void nothing_prints_nothing(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();

	assert_prints(m, "");
	hw_metrics_destroy(&m);
	assert_null(m);
	hw_metrics_destroy(&m);
}

static void samples_are_grouped_and_sorted(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();
	struct hw_metric *b2, *b1, *a, *gauge;

	b2 = hw_metrics_get(m, HW_METRIC_COUNTER, "b_total", "Things.", "tenant=\"two\"");
	gauge = hw_metrics_get(m, HW_METRIC_GAUGE, "c", "Now.", "");
	b1 = hw_metrics_get(m, HW_METRIC_COUNTER, "b_total", "ignored", "tenant=\"one\"");
	a = hw_metrics_get(m, HW_METRIC_COUNTER, "a_total", "", NULL);
	hw_metric_add(b1, 1);
	hw_metric_add(b1, 1);
	hw_metric_add(b2, INT64_MAX);
	hw_metric_add(a, 3);
	hw_metric_set(gauge, 5);
	hw_metric_add(gauge, -7);
	assert_prints(m, "# TYPE a_total counter\n"
			 "a_total 3\n"
			 "# HELP b_total Things.\n"
			 "# TYPE b_total counter\n"
			 "b_total{tenant=\"one\"} 2\n"
			 "b_total{tenant=\"two\"} 9223372036854775807\n"
			 "# HELP c Now.\n"
			 "# TYPE c gauge\n"
			 "c -2\n");
	hw_metric_set(gauge, INT64_MIN);
	hw_metrics_destroy(&m);
}

static void same_name_and_labels_are_the_same_metric(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();
	struct hw_metric *one = hw_metrics_get(m, HW_METRIC_COUNTER, "x", "h", "a=\"1\"");

	assert_ptr_equal(hw_metrics_get(m, HW_METRIC_GAUGE, "x", "h", "a=\"1\""), one);
	assert_ptr_not_equal(hw_metrics_get(m, HW_METRIC_COUNTER, "x", "h", "a=\"2\""), one);
	assert_ptr_not_equal(hw_metrics_get(m, HW_METRIC_COUNTER, "y", "h", "a=\"1\""), one);
	hw_metrics_destroy(&m);
}

static void bad_names_count_nowhere(void **state HW_UNUSED)
{
	static const char *const bad[] = {"", "1a", "a b", "a-b", "a{", "a\n", "caf\xc3\xa9"};
	struct hw_metrics *m = hw_metrics_create();

	for (size_t i = 0; i < HW_COUNT(bad); i++) {
		struct hw_metric *metric = hw_metrics_get(m, HW_METRIC_COUNTER, bad[i], "h", "");

		assert_non_null(metric);
		hw_metric_add(metric, 1);
	}
	assert_prints(m, "");
	hw_metric_add(hw_metrics_get(m, HW_METRIC_COUNTER, ":a_B9", "", ""), 1);
	assert_prints(m, "# TYPE :a_B9 counter\n:a_B9 1\n");
	hw_metrics_destroy(&m);
}

static void labels_are_escaped_and_joined(void **state HW_UNUSED)
{
	struct hw_buf b;
	char *text;

	hw_buf_init(&b);
	hw_metrics_label(&b, "hook", HW_STR("plain"));
	hw_metrics_label(&b, "tenant", HW_STR("a\"b\\c\nd\re\xff"));
	hw_metrics_label(&b, "none", HW_STR_NULL);
	text = hw_buf_steal(&b);
	assert_string_equal(
		text, "hook=\"plain\",tenant=\"a\\\"b\\\\c\\nd\re\xef\xbf\xbd\",none=\"\"");
	free(text);
}

static void help_is_escaped(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();

	hw_metrics_get(m, HW_METRIC_GAUGE, "x", "a \"b\" \\ c\nd", "");
	assert_prints(m, "# HELP x a \"b\" \\\\ c\\nd\n# TYPE x gauge\nx 0\n");
	hw_metrics_destroy(&m);
}

static void many_metrics_keep_their_place(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();
	struct hw_metric *metrics[1000];
	struct hw_buf out;
	char labels[32];
	char *text, *line;
	int n = 0;

	for (int i = 0; i < 1000; i++) {
		/* in an order that is neither that of creation nor sorted */
		snprintf(labels, sizeof(labels), "n=\"%03d\"", i * 377 % 1000);
		metrics[i * 377 % 1000] = hw_metrics_get(m, HW_METRIC_COUNTER, "x", "", labels);
	}
	for (int i = 0; i < 1000; i++)
		hw_metric_set(metrics[i], i);
	hw_buf_init(&out);
	hw_metrics_print(m, &out);
	text = hw_buf_steal(&out);
	line = strchr(text, '\n') + 1;
	for (; *line; line = strchr(line, '\n') + 1, n++) {
		snprintf(labels, sizeof(labels), "x{n=\"%03d\"} %d\n", n, n);
		assert_memory_equal(line, labels, strlen(labels));
	}
	assert_int_equal(n, 1000);
	free(text);
	hw_metrics_destroy(&m);
}

static void histograms_have_buckets_a_sum_and_quantiles(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();
	struct hw_histogram *h = hw_metrics_histogram(m, "t_seconds", "T.", "a=\"b\"");
	struct hw_buf out;

	assert_true(hw_histogram_quantile(h, 0.5) < 0);
	/* at an edge, just over it, over the last one, and what a clock that goes back gives */
	hw_histogram_note(h, 4000);
	hw_histogram_note(h, 4001);
	hw_histogram_note(h, INT64_C(5000000000));
	hw_histogram_note(h, -5);
	hw_buf_init(&out);
	hw_metrics_print(m, &out);
	hw_buf_putc(&out, '\0');
	assert_non_null(strstr(out.data, "# TYPE t_seconds histogram\n"
					 "t_seconds_bucket{a=\"b\",le=\"1e-06\"} 1\n"
					 "t_seconds_bucket{a=\"b\",le=\"4e-06\"} 2\n"
					 "t_seconds_bucket{a=\"b\",le=\"1.6e-05\"} 3\n"));
	assert_non_null(strstr(out.data, "t_seconds_bucket{a=\"b\",le=\"4.194304\"} 3\n"
					 "t_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n"
					 "t_seconds_sum{a=\"b\"} 5.000008\n"
					 "t_seconds_count{a=\"b\"} 4\n"));
	hw_buf_fini(&out);
	assert_true(hw_histogram_quantile(h, 0.25) <= 1e-6);
	assert_true(hw_histogram_quantile(h, 1) > 4.19 && hw_histogram_quantile(h, 1) < 4.2);
	h = hw_metrics_histogram(m, "u_seconds", "U.", "");
	for (int i = 0; i < 99; i++)
		hw_histogram_note(h, 100000);
	hw_histogram_note(h, 900000000);
	/* 64 to 128 us, and nothing of the slow one until the last hundredth */
	assert_true(
		hw_histogram_quantile(h, 0.5) > 64e-6 && hw_histogram_quantile(h, 0.5) < 128e-6);
	assert_true(hw_histogram_quantile(h, 0.99) <= 128.1e-6);
	assert_true(hw_histogram_quantile(h, 0.995) > 0.5);
	/* a name that is a counter's already is none */
	hw_metric_add(hw_metrics_get(m, HW_METRIC_COUNTER, "c_total", "", ""), 1);
	hw_histogram_note(hw_metrics_histogram(m, "c_total", "", ""), 5);
	assert_int_equal(hw_metrics_get(m, HW_METRIC_COUNTER, "c_total", "", "")->value, 1);
	hw_metrics_destroy(&m);
}

#define N_THREADS 4
#define N_ADDS 5000

static void *bump(void *arg)
{
	struct hw_metrics *m = arg;
	char labels[32];

	for (int i = 0; i < N_ADDS; i++) {
		snprintf(labels, sizeof(labels), "n=\"%d\"", i % 50);
		hw_metric_add(hw_metrics_get(m, HW_METRIC_COUNTER, "x", "", labels), 1);
		if (i % 1000 == 0) {
			struct hw_buf out;

			hw_buf_init(&out);
			hw_metrics_print(m, &out);
			hw_buf_fini(&out);
		}
	}
	return NULL;
}

static void threads_lose_no_count(void **state HW_UNUSED)
{
	struct hw_metrics *m = hw_metrics_create();
	pthread_t threads[N_THREADS];
	char labels[32];

	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bump, m), 0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 50; i++) {
		snprintf(labels, sizeof(labels), "n=\"%d\"", i);
		assert_int_equal(hw_metrics_get(m, HW_METRIC_COUNTER, "x", "", labels)->value,
			N_THREADS * N_ADDS / 50);
	}
	hw_metrics_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_prints_nothing),
		cmocka_unit_test(samples_are_grouped_and_sorted),
		cmocka_unit_test(same_name_and_labels_are_the_same_metric),
		cmocka_unit_test(bad_names_count_nowhere),
		cmocka_unit_test(labels_are_escaped_and_joined),
		cmocka_unit_test(help_is_escaped),
		cmocka_unit_test(many_metrics_keep_their_place),
		cmocka_unit_test(histograms_have_buckets_a_sum_and_quantiles),
		cmocka_unit_test(threads_lose_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
