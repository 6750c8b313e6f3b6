/* The webhook plugin's settings, read once when an entry is loaded. */
#pragma once

#include "sign.h"

#define WEBHOOK_SECRETS_MAX 4
#define WEBHOOK_TOPICS_MAX 64

struct webhook_settings {
	char *url;
	char *ca_file; /* NULL: libcurl's own */
	struct sign_secret secrets[WEBHOOK_SECRETS_MAX];
	size_t n_secrets;
	unsigned kinds; /* bits 1u << HW_ON_… */
	char **topics;  /* that occupied, vacated and publish are told of, n_topics; none: of all */
	size_t n_topics;
	int64_t timeout_ms, retry_ms, retry_max_ms, close_ms;
	int64_t attempts, queue, queue_bytes, concurrency;
};

/** 0, or -1 with @problem filled. */
int webhook_settings_read(const struct hw_host *host, struct hw_slice config,
	struct webhook_settings *out, struct hw_problem *problem);
void webhook_settings_fini(struct webhook_settings *settings);
/** Is @topic, "resource:id", one of those that the settings name? */
bool webhook_settings_match(
	const struct webhook_settings *settings, struct hw_slice topic, struct hw_slice resource);
