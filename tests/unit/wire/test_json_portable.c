/* All of test_json once more with the scanner for machines without SSE2. Its functions stand in for
 * those of the library. */
#define HW_JSON_PORTABLE
#include "wire/json.c" /* NOLINT */

#include "test_json.c" /* NOLINT */
