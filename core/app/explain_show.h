/* An explanation, as GET /api/explain gives it, for a person at 3 a.m. */
#pragma once

#include <jansson.h>

/** Prints it on standard output. What clients named themselves is shown as JSON, so that it cannot
 * write on the terminal. */
void hw_explain_show(const json_t *explanation);
