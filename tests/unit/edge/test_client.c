#include "edge_world.h"

#include "proxy2_headers.h"

/* The peer of every connection is 192.0.2.1. A token is accepted from one address alone, so that
 * the status says which one the hooks saw. */
#define HEAD_MS 10000
#define ROOM 512
#define FROM(address) \
	"return policy { api = 1, authorize = { publish = function(s, t)" \
	" if s.address == '" address "' then return allow() end end } }"
#define EVENT "{\"topic\":\"a:1\",\"event\":\"ADDED\",\"data\":{\"entity_id\":\"e\",\"payload\":1}}"

static const struct hw_address_block peer[] = {
	{{HW_ADDRESS_V4, {192, 0, 2, 1}}, 32},
	{{HW_ADDRESS_V4, {10}}, 8},
};

static void trust_the_peer(struct hw_settings *settings)
{
	settings->trusted_proxies = peer;
	settings->n_trusted_proxies = HW_COUNT(peer);
}

static void trust_another(struct hw_settings *settings)
{
	settings->trusted_proxies = peer + 1;
	settings->n_trusted_proxies = 1;
}

static const char *request_with(const char *headers)
{
	static char request[4096];

	snprintf(request, sizeof(request),
		"POST /publish HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ann@acme\r\n"
		"Content-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
		headers, strlen(EVENT), EVENT);
	return request;
}

/* What hooks see of a request with @headers is @address: 200 from there and from nowhere else. */
static void expect_seen(
	void (*configure)(struct hw_settings *settings), const char *headers, const char *address)
{
	char policy[512];
	struct edge_world *ew;

	snprintf(policy, sizeof(policy), FROM("%s"), address);
	ew = edge_world_create(policy, configure);
	if (ask_once(ew, HW_EDGE_PUBLIC, request_with(headers)) != 200)
		fail_msg("with \"%s\" hooks do not see %s", headers, address);
	edge_world_destroy(ew);
}

static void only_a_trusted_peer_may_say_who_a_request_is_of(void **state)
{
	(void)state;
	expect_seen(NULL, "X-Forwarded-For: 203.0.113.9\r\n", "192.0.2.1");
	expect_seen(trust_another, "X-Forwarded-For: 203.0.113.9\r\n", "192.0.2.1");
	expect_seen(trust_the_peer, "", "192.0.2.1");
	expect_seen(trust_the_peer, "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9");
	expect_seen(trust_the_peer, "X-Forwarded-For: 2001:db8::9\r\n", "[2001:db8::9]");
}

static void the_client_is_the_first_from_the_right_that_is_not_trusted(void **state)
{
	(void)state;
	expect_seen(
		trust_the_peer, "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n", "203.0.113.9");
	expect_seen(trust_the_peer, "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.1.1\r\n",
		"203.0.113.9");
	expect_seen(trust_the_peer,
		"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\n"
		"X-Forwarded-For: 10.9.9.9, 192.0.2.1\r\n",
		"203.0.113.9");
	/* all are: the one farthest away */
	expect_seen(trust_the_peer, "X-Forwarded-For: 10.7.7.7, 10.1.1.1\r\n", "10.7.7.7");
}

static void a_malformed_entry_ends_what_can_be_known(void **state)
{
	(void)state;
	expect_seen(trust_the_peer, "X-Forwarded-For: 203.0.113.9, unknown\r\n", "192.0.2.1");
	expect_seen(
		trust_the_peer, "X-Forwarded-For: 203.0.113.9, unknown, 10.1.1.1\r\n", "10.1.1.1");
}

static void requests_of_one_connection_are_told_apart(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("203.0.113.9"), trust_the_peer);
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_text(fd, request_with("X-Forwarded-For: 203.0.113.9\r\n"));
	assert_int_equal(hear_http(ew, fd, false), 200);
	say_text(fd, request_with("X-Forwarded-For: 203.0.113.8\r\n"));
	assert_int_equal(hear_http(ew, fd, false), 403);
	say_text(fd, request_with(""));
	assert_int_equal(hear_http(ew, fd, false), 403);
	close(fd);
	edge_world_destroy(ew);
}

/* ---- the PROXY header ---- */

static void the_header_says_whose_the_connection_is_at_every_split(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("203.0.113.9"), trust_the_peer);
	uint8_t header[ROOM];
	size_t len = proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 9);

	(void)state;
	for (size_t first = 0; first <= len; first++) {
		int fd = dial_as(ew, HW_EDGE_PUBLIC, true);

		say_bytes(fd, header, first);
		on_loop(ew, nothing_to_do, NULL);
		say_bytes(fd, header + first, len - first);
		/* it is not believed any more when the connection is an untrusted client's */
		say_text(fd, request_with("X-Forwarded-For: 198.51.100.1\r\n"));
		assert_int_equal(hear_http(ew, fd, false), 200);
		say_text(fd, request_with(""));
		assert_int_equal(hear_http(ew, fd, false), 200);
		close(fd);
	}
	edge_world_destroy(ew);
}

static void a_connection_of_the_proxy_itself_is_the_proxys(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("192.0.2.1"), trust_the_peer);
	uint8_t header[ROOM];
	int fd = dial_as(ew, HW_EDGE_PUBLIC, true);

	(void)state;
	say_bytes(fd, header, proxy2_header(header, PROXY2_LOCAL, PROXY2_UNSPEC, NULL, 0, 0));
	say_text(fd, request_with(""));
	assert_int_equal(hear_http(ew, fd, false), 200);
	close(fd);
	edge_world_destroy(ew);
}

static void a_proxy_behind_the_header_is_asked_further_if_it_is_trusted(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("203.0.113.9"), trust_the_peer);
	uint8_t header[ROOM];
	int fd = dial_as(ew, HW_EDGE_PUBLIC, true);

	(void)state;
	say_bytes(fd, header,
		proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4,
			"\x0a\x01\x01\x01\x7f\0\0\x01\0\1\0\1", 12, 0));
	say_text(fd, request_with("X-Forwarded-For: 203.0.113.9\r\n"));
	assert_int_equal(hear_http(ew, fd, false), 200);
	close(fd);
	edge_world_destroy(ew);
}

static int64_t refused(const struct edge_world *ew)
{
	return atomic_load(&ew->world.counters.proxy_refused->value);
}

static void without_a_header_or_trust_the_connection_is_closed_without_an_answer(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("192.0.2.1"), trust_the_peer);
	uint8_t header[ROOM];
	int fd;

	(void)state;
	fd = dial_as(ew, HW_EDGE_PUBLIC, true);
	say_text(fd, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(hear(ew, fd, 0), 0);
	assert_int_equal(refused(ew), 1);
	close(fd);
	edge_world_destroy(ew);

	ew = edge_world_create(FROM("192.0.2.1"), trust_another);
	fd = dial_as(ew, HW_EDGE_PUBLIC, true);
	(void)!send(fd, header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 0),
		MSG_NOSIGNAL);
	assert_int_equal(hear(ew, fd, 0), 0);
	assert_int_equal(refused(ew), 1);
	close(fd);
	edge_world_destroy(ew);
}

static void a_listener_without_the_protocol_takes_no_header(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("203.0.113.9"), trust_the_peer);
	uint8_t header[ROOM];
	int fd = dial(ew, HW_EDGE_PUBLIC);

	(void)state;
	say_bytes(fd, header, proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 0));
	assert_int_equal(hear_http(ew, fd, false), 400);
	close(fd);
	edge_world_destroy(ew);
}

static void the_header_and_the_first_head_share_one_deadline(void **state)
{
	struct edge_world *ew = edge_world_create(FROM("203.0.113.9"), trust_the_peer);
	uint8_t header[ROOM];
	size_t len = proxy2_header(header, PROXY2_PROXY, PROXY2_TCP4, PROXY2_V4, 12, 0);
	int dribbling = dial_as(ew, HW_EDGE_PUBLIC, true), late;

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		say_bytes(dribbling, header + i, 1);
		world_pass(ew, HEAD_MS / 10 - 1);
	}
	assert_int_equal(hw_edge_count(&ew->edge), 1);
	world_pass(ew, 10);
	assert_int_equal(hear(ew, dribbling, 0), 0);
	assert_int_equal(refused(ew), 1);
	close(dribbling);

	late = dial_as(ew, HW_EDGE_PUBLIC, true);
	world_pass(ew, HEAD_MS - 2);
	say_bytes(late, header, len);
	say_text(late, "POST /publish HTTP/1.1\r\n");
	world_pass(ew, 1);
	world_pass(ew, 1);
	assert_int_equal(hear_http(ew, late, false), 408);
	close(late);
	edge_world_destroy(ew);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_trusted_peer_may_say_who_a_request_is_of),
		cmocka_unit_test(the_client_is_the_first_from_the_right_that_is_not_trusted),
		cmocka_unit_test(a_malformed_entry_ends_what_can_be_known),
		cmocka_unit_test(requests_of_one_connection_are_told_apart),
		cmocka_unit_test(the_header_says_whose_the_connection_is_at_every_split),
		cmocka_unit_test(a_connection_of_the_proxy_itself_is_the_proxys),
		cmocka_unit_test(a_proxy_behind_the_header_is_asked_further_if_it_is_trusted),
		cmocka_unit_test(
			without_a_header_or_trust_the_connection_is_closed_without_an_answer),
		cmocka_unit_test(a_listener_without_the_protocol_takes_no_header),
		cmocka_unit_test(the_header_and_the_first_head_share_one_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
