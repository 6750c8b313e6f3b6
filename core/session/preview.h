/* What another generation would take away from a worker's live sessions, found out without effect:
 * it is asked of benches of its own, and nobody hears of it. One worker's own. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "hub/worker.h"

struct hw_preview_tenant {
	char *id;
	const struct hw_tenant_rules *rules; /* of the new generation; NULL: not served */
	size_t n_sessions, n_subscriptions;  /* live now */
	size_t cut_sessions;
	size_t cut_subscriptions; /* those of sessions that end too */
	size_t cut_by_global; /* of these: by a hook of the global chain, or by not being served */
	/* the preview's own */
	struct hw_hook_bench *bench;
	bool same; /* its policy stays as it is: nothing is asked */
};

/* One that would end. Strings are the preview's; @topic NULL: the session itself. */
struct hw_preview_revoked {
	char *tenant, *user, *topic, *hook;
	const char *code; /* static */
};
#define HW_PREVIEW_REVOKED 20 /* so many are told of */

struct hw_preview_slot;

struct hw_preview {
	/* set by who starts it, zeroed before */
	struct hw_worker *worker;
	struct hw_generation *generation; /* borrowed until done */
	void (*done)(struct hw_preview *preview);
	/* the answer */
	int error;             /* negative errno: it is not complete */
	const char *refused;   /* its hooks do not start here: as in hw_worker_swap; else NULL */
	struct hw_map tenants; /* id -> struct hw_preview_tenant */
	struct hw_preview_revoked revoked[HW_PREVIEW_REVOKED];
	size_t n_revoked; /* of the array */
	/* its own */
	struct hw_hook_bench *global;
	struct hw_list sessions; /* to be asked about: struct hw_session.preview */
	struct hw_list slots, ready;
	struct hw_timer timer;
	bool ended;
};

/** Begins; done is called later, from the loop. Another one of this worker that has not ended ends
 * now, with -ECANCELED. */
void hw_preview_start(struct hw_preview *preview);
/** Ends it now, if it has not: done is called with -ECANCELED. */
void hw_preview_cancel(struct hw_preview *preview);
/** Frees the answer. It has ended. */
void hw_preview_fini(struct hw_preview *preview);
