/* A few threads for what must not be done on a worker because it blocks. They begin with the first
 * work. */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"
#include "base/list.h"

#define HW_CREW_THREADS 4
#define HW_CREW_QUEUE_MAX 1024 /* that wait for a thread */

struct hw_crew;

/* Embedded in what it is about. */
struct hw_work {
	struct hw_list link;
	void (*run)(struct hw_work *work); /* on a thread of the crew; may free it */
};

struct hw_crew *hw_crew_create(void); /* NULL when out of memory */
/** Ends the threads, what they are doing first. Nobody adds any more; what still waits is not
 * done. */
void hw_crew_destroy(struct hw_crew **crew);
/** Any thread. false: too much waits, or there is no thread to be had. */
HW_MUST_CHECK bool hw_crew_add(struct hw_crew *crew, struct hw_work *work);
/** Any thread. true: it will not run. false: it has begun, or was never added. */
HW_MUST_CHECK bool hw_crew_take_back(struct hw_crew *crew, struct hw_work *work);
