/* Where the cases of a policy's test play: the broker's own runtime with a clock that is turned by
 * hand, so that waiting takes no time, and answers in the place of the network. One thread. */
#pragma once

#include <jansson.h>

#include "app/hook_kit.h"
#include "base/buf.h"
#include "base/poller.h"
#include "base/timers.h"
#include "hook/http_client.h"

/* What a case sees on the clock unless it says otherwise: 2026-01-01T00:00:00Z. */
#define HW_POLICY_NOW_MS 1767225600000

struct hw_policy_stage {
	struct hw_hook_kit kit;
	int log_fd; /* what hooks log */
	struct hw_buf plugin_path, script_path;
	int64_t mono_ms, wall_ms;
	struct hw_clock clock;
	struct hw_timers *timers;
	struct hw_poller poller;
	bool entered;
	int wake_fd;       /* other threads have something for the hooks */
	bool real_time;    /* a plugin's threads take their time: the clock goes on as it does */
	json_t *published; /* events that hooks publish; who plays a case empties it */
	/* HTTP */
	json_t *stubs;           /* borrowed; NULL: none */
	struct hw_buf requests;  /* "GET http://…", a line each, since it was cleared */
	struct hw_buf unmatched; /* the same of those that no stub answered */
};

/** 0 or negative errno; close it in either case. */
HW_MUST_CHECK int hw_policy_stage_open(struct hw_policy_stage *stage);
/** The same with scripts' require looking in @script_path (NULL: nowhere), which is borrowed. */
HW_MUST_CHECK int hw_policy_stage_open_with(struct hw_policy_stage *stage, const char *script_path);
void hw_policy_stage_close(struct hw_policy_stage *stage);
/** Lets @ms pass, and everything that is due in it happen. */
void hw_policy_stage_pass(struct hw_policy_stage *stage, int64_t ms);
/** Lets time pass until @done, or false: nothing will happen any more. Takes real time if
 * real_time is set. */
bool hw_policy_stage_until(struct hw_policy_stage *stage, const bool *done);
/** Forgets what was logged. */
void hw_policy_stage_forget_log(struct hw_policy_stage *stage);
/** Appends what was logged. */
void hw_policy_stage_read_log(struct hw_policy_stage *stage, struct hw_buf *out);

/* policy_stub.c */
int64_t hw_policy_stub_answer(
	void *stage, const struct hw_http_spec *spec, struct hw_http_request *request);
/** What is wrong with a case's "http", or NULL. */
const char *hw_policy_stub_check(const json_t *stubs, struct hw_buf *scratch);
