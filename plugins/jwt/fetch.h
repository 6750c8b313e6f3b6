/* Gets a document over HTTP, and blocks until it is there: for threads that may. */
#pragma once

#include <stddef.h>

#define FETCH_MAX_BYTES (256u << 10)
#define FETCH_TIMEOUT_MS 5000L
#define FETCH_ERROR_SIZE 256

/** 0 and *doc of *len bytes, to be freed; or -1 and @error. */
int fetch_document(const char *url, char **doc, size_t *len, char error[FETCH_ERROR_SIZE]);
/** Is this an address that can be fetched: http or https, with a host? */
int fetch_is_url(const char *url);
