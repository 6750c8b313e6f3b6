/* The sqlite plugin's settings, read once when the journal is loaded. */
#pragma once

#include <stdbool.h>

#include <hookwire/plugin.h>

struct settings {
	char *path;
	bool synchronous_normal;   /* else full */
	uint64_t queue_bytes;      /* of events that wait for their commit */
	uint64_t checkpoint_bytes; /* of the write-ahead log, before it is copied into the file */
};

/** Looks at no file. 0, or -1 with @problem filled. */
int settings_read(const struct hw_host *host, struct hw_slice config, struct settings *out,
	struct hw_problem *problem);
void settings_fini(struct settings *settings);

/** Fills @problem; returns -1. */
int problem_set(struct hw_problem *problem, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
