#include "load/load.h"

#include <errno.h>
#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1e9

void load_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("FAILED: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void load_bad_usage(const char *what)
{
	const char *me = program_invocation_short_name;

	fprintf(stderr, "%s: %s; try: %s --help\n", me, what, me);
	exit(2);
}

size_t load_whole(const char *text, size_t min, size_t max, const char *what)
{
	uint64_t n;

	if (hw_str_to_u64(hw_str_of(text), &n) < 0 || n < min || n > max)
		load_bad_usage(what);
	return (size_t)n;
}

uint64_t load_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The scheduler counts in nanoseconds, where /proc/PID/stat has ticks of 10 ms. */
static double schedstat_s(const char *path)
{
	unsigned long long ns = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0; /* a thread that has just ended */
	if (fscanf(file, "%llu", &ns) != 1)
		load_die("%s: the kernel does not tell CPU time", path);
	fclose(file);
	return (double)ns / NS_PER_S;
}

double load_cpu_s(int pid)
{
	char path[64 + NAME_MAX];
	struct dirent *entry;
	double sum = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid ? pid : getpid());
	dir = opendir(path);
	if (!dir)
		load_die("process %d has ended", pid);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid ? pid : getpid(),
			entry->d_name);
		sum += schedstat_s(path);
	}
	closedir(dir);
	return sum;
}

size_t load_rss_bytes(int pid)
{
	unsigned long long size, resident;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
		load_die("process %d has ended", pid);
	fclose(file);
	return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

double load_machine_s(void)
{
	/* user nice system idle iowait irq softirq; steal is another machine's */
	unsigned long long t[7];
	FILE *file = fopen("/proc/stat", "re");

	if (!file || fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
			     &t[3], &t[4], &t[5], &t[6]) != 7)
		load_die("/proc/stat cannot be read");
	fclose(file);
	return (double)(t[0] + t[1] + t[2] + t[5] + t[6]) / (double)sysconf(_SC_CLK_TCK);
}

void load_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sysconf(_SC_NPROCESSORS_ONLN) > cpu)
		sched_setaffinity(0, sizeof(set), &set); /* not allowed: figures vary more */
}

/* Bucket i holds, for values of at least 32, the values whose five bits behind the first are i
 * % 32. */
static size_t bucket(uint64_t ns)
{
	int shift;

	if (ns < 32)
		return (size_t)ns;
	shift = 63 - __builtin_clzll(ns) - 5;
	return (size_t)(shift + 1) * 32 + (size_t)((ns >> shift) & 31);
}

static double bucket_ns(size_t i)
{
	if (i < 32)
		return (double)i;
	return (double)(32 + i % 32) * (double)(UINT64_C(1) << (i / 32 - 1));
}

void load_hist_add(struct load_hist *h, uint64_t ns)
{
	h->counts[bucket(ns)]++;
	h->n++;
}

double load_hist_us(const struct load_hist *h, double share)
{
	uint64_t want = (uint64_t)((double)h->n * share), seen = 0;

	for (size_t i = 0; i < LOAD_HIST_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen > want)
			return bucket_ns(i) / 1e3;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct load_spread load_spread(const double *figures, size_t n)
{
	double *sorted = malloc(n * sizeof(*sorted));
	struct load_spread s;

	if (!sorted)
		load_die("out of memory");
	memcpy(sorted, figures, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	s.min = sorted[0];
	s.max = sorted[n - 1];
	s.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
	free(sorted);
	return s;
}
