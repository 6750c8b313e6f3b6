#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define CACHE_LINE 64

/* An array of pointers to things that begin their life with a text and are sorted by it. */
struct table {
	void **items;
	size_t n;
	const char *(*text_of)(const void *item);
};

/* One time series. On cache lines of its own: threads that bump different metrics do not
 * disturb each other. */
struct sample {
	_Alignas(CACHE_LINE) struct hw_metric metric;
	struct hw_histogram *histogram; /* NULL: it is no histogram's */
	char labels[];
};

/* All metrics of one name. */
struct family {
	char *name;
	char *help;
	enum hw_metric_kind kind;
	struct table samples;
};

struct hw_metrics {
	pthread_mutex_t lock;
	struct table families;
	/* for those who cannot have one of their own */
	struct hw_metric nowhere;
	struct hw_histogram no_histogram;
};

static const char *family_text(const void *item)
{
	return ((const struct family *)item)->name;
}

static const char *sample_text(const void *item)
{
	return ((const struct sample *)item)->labels;
}

/* The item with @text, or NULL and where it would have to be put. */
static void *table_find(const struct table *t, const char *text, size_t *at)
{
	size_t low = 0;
	size_t high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(t->text_of(t->items[middle]), text);

		if (order == 0)
			return t->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*at = low;
	return NULL;
}

static bool table_insert(struct table *t, size_t at, void *item)
{
	/* the array doubles whenever it is full, which is when the count is a power of two */
	if ((t->n & (t->n - 1)) == 0) {
		void **larger = realloc(t->items, (t->n > 0 ? 2 * t->n : 1) * sizeof(*larger));

		if (!larger)
			return false;
		t->items = larger;
	}
	memmove(t->items + at + 1, t->items + at, (t->n - at) * sizeof(*t->items));
	t->items[at] = item;
	t->n++;
	return true;
}

struct hw_metrics *hw_metrics_create(void)
{
	struct hw_metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return NULL;
	metrics->families.text_of = family_text;
	if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
		free(metrics);
		return NULL;
	}
	return metrics;
}

static void family_destroy(struct family *f)
{
	for (size_t i = 0; i < f->samples.n; i++) {
		free(((struct sample *)f->samples.items[i])->histogram);
		free(f->samples.items[i]);
	}
	free(f->samples.items);
	free(f->name);
	free(f->help);
	free(f);
}

void hw_metrics_destroy(struct hw_metrics **metrics)
{
	struct hw_metrics *m = *metrics;

	if (!m)
		return;
	for (size_t i = 0; i < m->families.n; i++)
		family_destroy(m->families.items[i]);
	free(m->families.items);
	pthread_mutex_destroy(&m->lock);
	free(m);
	*metrics = NULL;
}

static bool is_name(const char *name)
{
	if (!*name || (*name >= '0' && *name <= '9'))
		return false;
	for (; *name; name++) {
		bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');

		if (!letter && !(*name >= '0' && *name <= '9') && *name != '_' && *name != ':')
			return false;
	}
	return true;
}

static struct family *family_create(enum hw_metric_kind kind, const char *name, const char *help)
{
	struct family *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->kind = kind;
	f->samples.text_of = sample_text;
	f->name = strdup(name);
	f->help = strdup(help ? help : "");
	if (!f->name || !f->help) {
		family_destroy(f);
		return NULL;
	}
	return f;
}

static size_t whole_lines(size_t len)
{
	return (len + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static struct sample *sample_create(const char *labels, bool histogram)
{
	size_t labels_len = strlen(labels);
	size_t len = offsetof(struct sample, labels) + labels_len + 1;
	struct sample *s = aligned_alloc(CACHE_LINE, whole_lines(len));

	if (!s)
		return NULL;
	s->histogram = NULL;
	if (histogram) {
		s->histogram = aligned_alloc(CACHE_LINE, whole_lines(sizeof(*s->histogram)));
		if (!s->histogram) {
			free(s);
			return NULL;
		}
		memset(s->histogram, 0, sizeof(*s->histogram));
	}
	atomic_init(&s->metric.value, 0);
	memcpy(s->labels, labels, labels_len + 1);
	return s;
}

static struct family *get_family(
	struct hw_metrics *metrics, enum hw_metric_kind kind, const char *name, const char *help)
{
	size_t at;
	struct family *f = table_find(&metrics->families, name, &at);

	if (f)
		return f;
	f = is_name(name) ? family_create(kind, name, help) : NULL;
	if (f && !table_insert(&metrics->families, at, f)) {
		family_destroy(f);
		f = NULL;
	}
	return f;
}

static struct sample *get_sample(struct family *f, const char *labels)
{
	size_t at;
	struct sample *s = table_find(&f->samples, labels, &at);

	if (s)
		return s;
	s = sample_create(labels, f->kind == HW_METRIC_HISTOGRAM);
	if (s && !table_insert(&f->samples, at, s)) {
		free(s->histogram);
		free(s);
		s = NULL;
	}
	return s;
}

static struct sample *find_sample(struct hw_metrics *metrics, enum hw_metric_kind kind,
	const char *name, const char *help, const char *labels)
{
	struct family *f;
	struct sample *s;

	pthread_mutex_lock(&metrics->lock);
	f = get_family(metrics, kind, name, help);
	s = f ? get_sample(f, labels ? labels : "") : NULL;
	pthread_mutex_unlock(&metrics->lock);
	return s;
}

struct hw_metric *hw_metrics_get(struct hw_metrics *metrics, enum hw_metric_kind kind,
	const char *name, const char *help, const char *labels)
{
	struct sample *s = find_sample(metrics, kind, name, help, labels);

	return s ? &s->metric : &metrics->nowhere;
}

struct hw_histogram *hw_metrics_histogram(
	struct hw_metrics *metrics, const char *name, const char *help, const char *labels)
{
	struct sample *s = find_sample(metrics, HW_METRIC_HISTOGRAM, name, help, labels);

	return s && s->histogram ? s->histogram : &metrics->no_histogram;
}

static double edge_s(unsigned i)
{
	return (double)(UINT64_C(1) << i) / 1e6;
}

double hw_histogram_quantile(const struct hw_histogram *h, double share)
{
	uint64_t n[HW_HISTOGRAM_EDGES + 1], all = 0;
	double wanted;

	for (unsigned i = 0; i <= HW_HISTOGRAM_EDGES; i++)
		all += n[i] = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
	if (all == 0)
		return -1;
	wanted = share * (double)all;
	for (unsigned i = 0; i < HW_HISTOGRAM_EDGES; i++) {
		double low = i ? edge_s(i - 1) : 0;

		if (n[i] > 0 && wanted <= (double)n[i])
			return low + (edge_s(i) - low) * wanted / (double)n[i];
		wanted -= (double)n[i];
	}
	return edge_s(HW_HISTOGRAM_EDGES - 1);
}

/* The escapes that the format has, in HELP lines (quotes stay) and in label values. */
static void put_escaped(struct hw_buf *out, struct hw_str s, bool quoted)
{
	bool valid;
	size_t n;

	for (; s.len > 0; s.p += n, s.len -= n) {
		n = hw_utf8_next(s.p, s.len, &valid);
		if (!valid)
			hw_buf_puts(out, "\xef\xbf\xbd");
		else if (*s.p == '\\')
			hw_buf_puts(out, "\\\\");
		else if (*s.p == '\n')
			hw_buf_puts(out, "\\n");
		else if (*s.p == '"' && quoted)
			hw_buf_puts(out, "\\\"");
		else
			hw_buf_add(out, s.p, n);
	}
}

void hw_metrics_label(struct hw_buf *out, const char *name, struct hw_str value)
{
	if (out->len > 0)
		hw_buf_putc(out, ',');
	hw_buf_puts(out, name);
	hw_buf_puts(out, "=\"");
	put_escaped(out, value, true);
	hw_buf_putc(out, '"');
}

/* name_suffix{labels,le="edge"} */
static void print_name(
	const struct family *f, const struct sample *s, const char *suffix, struct hw_buf *out)
{
	hw_buf_puts(out, f->name);
	hw_buf_puts(out, suffix);
	if (*s->labels)
		hw_buf_printf(out, "{%s}", s->labels);
	hw_buf_putc(out, ' ');
}

static void print_bucket(const struct family *f, const struct sample *s, const char *edge,
	uint64_t n, struct hw_buf *out)
{
	hw_buf_printf(
		out, "%s_bucket{%s%sle=\"%s\"} ", f->name, s->labels, *s->labels ? "," : "", edge);
	hw_buf_u64(out, n);
	hw_buf_putc(out, '\n');
}

static void print_histogram(const struct family *f, struct sample *s, struct hw_buf *out)
{
	const struct hw_histogram *h = s->histogram;
	uint64_t n = 0;
	char edge[32];

	for (unsigned i = 0; i < HW_HISTOGRAM_EDGES; i++) {
		n += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		if (i % 2)
			continue;
		snprintf(edge, sizeof(edge), "%.7g", edge_s(i));
		print_bucket(f, s, edge, n, out);
	}
	n += atomic_load_explicit(&h->buckets[HW_HISTOGRAM_EDGES], memory_order_relaxed);
	print_bucket(f, s, "+Inf", n, out);
	print_name(f, s, "_sum", out);
	hw_buf_printf(out, "%.9g\n",
		(double)atomic_load_explicit(&h->sum_ns, memory_order_relaxed) / 1e9);
	print_name(f, s, "_count", out);
	hw_buf_u64(out, n);
	hw_buf_putc(out, '\n');
}

static void print_sample(const struct family *f, struct sample *s, struct hw_buf *out)
{
	int64_t value = atomic_load_explicit(&s->metric.value, memory_order_relaxed);

	if (s->histogram) {
		print_histogram(f, s, out);
		return;
	}
	print_name(f, s, "", out);
	if (value < 0)
		hw_buf_putc(out, '-');
	hw_buf_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
	hw_buf_putc(out, '\n');
}

static void print_family(const struct family *f, struct hw_buf *out)
{
	static const char *const kinds[] = {" counter\n", " gauge\n", " histogram\n"};

	if (*f->help) {
		hw_buf_puts(out, "# HELP ");
		hw_buf_puts(out, f->name);
		hw_buf_putc(out, ' ');
		put_escaped(out, hw_str_of(f->help), false);
		hw_buf_putc(out, '\n');
	}
	hw_buf_puts(out, "# TYPE ");
	hw_buf_puts(out, f->name);
	hw_buf_puts(out, kinds[f->kind]);
	for (size_t i = 0; i < f->samples.n; i++)
		print_sample(f, f->samples.items[i], out);
}

void hw_metrics_print(struct hw_metrics *metrics, struct hw_buf *out)
{
	pthread_mutex_lock(&metrics->lock);
	for (size_t i = 0; i < metrics->families.n; i++)
		print_family(metrics->families.items[i], out);
	pthread_mutex_unlock(&metrics->lock);
}
