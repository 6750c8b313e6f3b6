/* docs/openapi.json and docs/asyncapi.json, built into the program by cmake/embed_json.cmake. */
#pragma once

#include <stddef.h>

extern const unsigned char api_openapi[];
extern const size_t api_openapi_len;
extern const unsigned char api_asyncapi[];
extern const size_t api_asyncapi_len;
