/* Unpredictable bytes from the kernel: epochs, session ids, tickets.
 * Never fails on Linux once the pool is ready; aborts the process if the kernel has no
 * getrandom(2). */
#pragma once

#include <stddef.h>

void hw_random(void *out, size_t len); /* any thread */
