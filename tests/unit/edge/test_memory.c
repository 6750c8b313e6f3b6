#include "edge_world.h"

/* Requests of which nothing can be kept, as no buffer grows past a few KiB. */

#define OPEN "return policy { api = 1, authorize = { subscribe = function() return allow() end } }"
#define ORIGIN_LEN 6000
#define MEMORY_LEFT 4096

static char origin[ORIGIN_LEN + 1];
static const char *const origins[] = {origin};
static atomic_bool memory_is_short;

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
	return atomic_load(&memory_is_short) && size > MEMORY_LEFT ? NULL : __real_realloc(p, size);
}

static void list_the_origin(struct hw_settings *settings)
{
	memset(origin, 'a', ORIGIN_LEN);
	settings->any_origin = false;
	settings->origins = origins;
	settings->n_origins = 1;
	settings->auth_cookie = "sid";
}

static int ask_from_the_origin(struct edge_world *ew, const char *line, const char *headers)
{
	char request[ORIGIN_LEN + 1024];
	int status;

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: h\r\nOrigin: %s\r\n%s\r\n", line,
		origin, headers);
	atomic_store(&memory_is_short, true);
	status = ask_once(ew, HW_EDGE_PUBLIC, request);
	atomic_store(&memory_is_short, false);
	return status;
}

static void what_cannot_be_kept_of_a_head_is_unavailable_and_decides_nothing_else(void **state)
{
	static const char upgrade[] =
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
		"dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
	struct edge_world *ew = edge_world_create(OPEN, list_the_origin);

	(void)state;
	/* not "this origin is not allowed", which would be for good */
	assert_int_equal(ask_from_the_origin(ew, "GET /ws?token=ann@acme", upgrade), 503);
	heard_part(ew, "\"code\":\"unavailable\"");
	assert_int_equal(ask_from_the_origin(ew, "GET /cursor", "Cookie: sid=ann@acme\r\n"), 503);
	assert_int_equal(
		ask_from_the_origin(ew, "GET /cursor", "Authorization: Bearer ann@acme\r\n"), 503);
	edge_world_destroy(ew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_cannot_be_kept_of_a_head_is_unavailable_and_decides_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
