/* A crowd that a test commands: it has a broker of its own and does to it what it likes. */
#include "load/load.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };

static void print_phase(const char *name, const struct load_crowd_phase *p)
{
	printf("{\"phase\":\"%s\",\"seconds\":%.3f,\"published\":%llu,\"deliveries\":%llu,"
	       "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"behind_ms\":%.3f}\n",
		name, p->seconds, (unsigned long long)p->n_published,
		(unsigned long long)p->n_events, p->p50_ms, p->p99_ms, p->max_ms, p->behind_ms);
}

static void print_slow(const struct load_crowd *c)
{
	printf("{\"missed\":%llu,\"behind\":%zu,\"caught_up_ms\":%.3f}\n",
		(unsigned long long)load_crowd_missed(c), load_crowd_behind(c),
		load_crowd_caught_up_ms(c));
}

/* One line; false: there is none any more. Its reader polls the descriptor, so no buffer is
 * between. */
static bool read_line(char line[LINE_BYTES])
{
	size_t n = 0;

	while (n + 1 < LINE_BYTES && read(STDIN_FILENO, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return n > 0;
}

int load_crowd_attached(const struct load_crowd_plan *plan)
{
	struct load_crowd *crowd = load_crowd_open(plan);
	struct load_crowd_phase phase;
	char line[LINE_BYTES], name[LINE_BYTES] = "";
	bool publishing = false;

	puts("{\"ready\":true}");
	fflush(stdout);
	while (read_line(line)) {
		if (strncmp(line, "begin ", 6) == 0) {
			snprintf(name, sizeof(name), "%s", line + 6);
			load_crowd_begin(crowd);
			publishing = true;
		} else if (strcmp(line, "end") == 0) {
			load_crowd_end(crowd, &phase);
			print_phase(name, &phase);
			publishing = false;
		} else if (strcmp(line, "stop") == 0) {
			load_crowd_stop_slow(crowd);
		} else if (strcmp(line, "go on") == 0) {
			load_crowd_go_on(crowd);
		} else if (strcmp(line, "slow") == 0) {
			print_slow(crowd);
		} else {
			load_die("\"%s\" is no command", line);
		}
		fflush(stdout);
		if (publishing)
			load_crowd_run(crowd, UINT64_MAX, STDIN_FILENO);
	}
	load_crowd_close(&crowd);
	puts("{\"ok\":true}");
	return 0;
}

/* The two names of --tenants. */
static void read_tenants(struct load_crowd_plan *plan, char *text)
{
	char *comma = strchr(text, ',');

	if (!comma)
		load_bad_usage("--tenants: two, with a comma between them");
	*comma = '\0';
	plan->tenants[0] = text;
	plan->tenants[1] = comma + 1;
}

void load_crowd_option(struct load_crowd_plan *plan, int option, char *value)
{
	switch (option) {
	case LOAD_SESSIONS:
		plan->n_sessions =
			load_whole(value, sizeof(plan->tenants) / sizeof(plan->tenants[0]),
				LOAD_MAX_SESSIONS, "--sessions");
		break;
	case LOAD_PER_TOPIC:
		plan->per_topic = load_whole(value, 1, LOAD_MAX_SESSIONS, "--per-topic");
		break;
	case LOAD_ATTACH:
		plan->port = (int)load_whole(value, 1, 65535, "--attach");
		break;
	case LOAD_SECRET:
		plan->secret = hw_str_of(value);
		break;
	case LOAD_TENANTS:
		read_tenants(plan, value);
		break;
	default:
		load_bad_usage("unknown option");
	}
}

void load_crowd_options_end(const struct load_crowd_plan *plan)
{
	if (plan->port && !plan->secret.p)
		load_bad_usage("--attach wants --secret");
}
