#include "net_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/listener.h"

static void loopback(struct sockaddr_storage *addr, socklen_t *len, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)addr;

	memset(addr, 0, sizeof(*addr));
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*len = sizeof(*in);
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
	return ntohs(((const struct sockaddr_in *)addr)->sin_port);
}

/* The lowest descriptor that is free: the same again if nothing was left open. */
static int next_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* ---- binding
 * ---------------------------------------------------------------------------------------- */

static void all_sockets_get_the_port_that_the_kernel_chose(void **state)
{
	struct sockaddr_storage addr, found;
	socklen_t len, found_len;
	int fds[4];

	(void)state;
	loopback(&addr, &len, 0);
	assert_int_equal(hw_listen(&addr, &len, fds, 4, NULL), 0);
	assert_int_not_equal(port_of(&addr), 0);
	for (size_t i = 0; i < 4; i++) {
		int listening = 0;
		socklen_t size = sizeof(listening);

		found_len = sizeof(found);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&found, &found_len), 0);
		assert_int_equal(port_of(&found), port_of(&addr));
		assert_int_equal(
			getsockopt(fds[i], SOL_SOCKET, SO_ACCEPTCONN, &listening, &size), 0);
		assert_true(listening);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	close_all(fds, 4);
}

static void a_second_broker_fails_and_says_why(void **state)
{
	struct sockaddr_storage addr, again;
	socklen_t len, again_len;
	struct hw_err err = {0};
	int fds[2], other[2], free_fd;
	char expected[32];

	(void)state;
	loopback(&addr, &len, 0);
	assert_int_equal(hw_listen(&addr, &len, fds, 2, NULL), 0);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", port_of(&addr));
	free_fd = next_fd();
	loopback(&again, &again_len, port_of(&addr));
	assert_int_equal(hw_listen(&again, &again_len, other, 2, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, expected));
	assert_non_null(strstr(err.text, "another process"));
	assert_int_equal(next_fd(), free_fd);
	/* neither does "any address" take it */
	((struct sockaddr_in *)&again)->sin_addr.s_addr = htonl(INADDR_ANY);
	assert_int_equal(hw_listen(&again, &again_len, other, 2, &err), -EADDRINUSE);
	assert_int_equal(next_fd(), free_fd);
	close_all(fds, 2);
	/* but the next one does, at once */
	loopback(&again, &again_len, port_of(&addr));
	assert_int_equal(hw_listen(&again, &again_len, other, 2, NULL), 0);
	close_all(other, 2);
}

static void an_address_that_is_not_ours_fails(void **state)
{
	struct sockaddr_storage addr;
	socklen_t len;
	struct hw_err err = {0};
	int fd;

	(void)state;
	loopback(&addr, &len, 0);
	((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
	assert_int_equal(hw_listen(&addr, &len, &fd, 1, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "192.0.2.1:0"));
}

/* ---- unix sockets
 * ----------------------------------------------------------------------------------- */

static char dir[] = "/tmp/hw-listener-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const char *unix_address(struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)addr;

	memset(addr, 0, sizeof(*addr));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s/s", dir);
	*len = sizeof(*un);
	return un->sun_path;
}

static void a_socket_file_of_the_dead_is_replaced_one_of_the_living_is_not(void **state)
{
	struct sockaddr_storage addr;
	struct hw_err err = {0};
	struct stat first, now;
	socklen_t len;
	const char *path = unix_address(&addr, &len);
	int fd, other, free_fd;

	(void)state;
	assert_int_equal(hw_listen(&addr, &len, &fd, 1, NULL), 0);
	assert_int_equal(stat(path, &first), 0);
	free_fd = next_fd();
	assert_int_equal(hw_listen(&addr, &len, &other, 1, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(next_fd(), free_fd);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(first.st_ino, now.st_ino);
	close(fd);
	assert_int_equal(hw_listen(&addr, &len, &fd, 1, NULL), 0);
	close(fd);
	unlink(path);
}

/* Connecting to a plain file is refused just as connecting to a stale socket is. */
static void a_file_that_is_no_socket_is_never_removed(void **state)
{
	struct sockaddr_storage addr;
	struct hw_err err = {0};
	socklen_t len;
	const char *path = unix_address(&addr, &len);
	int fd, file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char target[64];

	(void)state;
	assert_int_equal(write(file, "precious", 8), 8);
	close(file);
	assert_int_equal(hw_listen(&addr, &len, &fd, 1, &err), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(hw_listen(&addr, &len, &fd, 1, &err), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	unlink(target);
}

/* ---- accepting
 * --------------------------------------------------------------------------------------- */

#define REFUSAL "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n"

struct door {
	struct net_world net;
	struct hw_listener *listener;
	struct sockaddr_storage addr;
	socklen_t len;
	int fds[8];
	size_t n;
	char address[64];
	bool destroy;
};

static void on_accepted(void *owner, int fd, const char *address)
{
	struct door *d = owner;

	assert_true(d->n < HW_COUNT(d->fds));
	d->fds[d->n++] = fd;
	snprintf(d->address, sizeof(d->address), "%s", address);
	if (d->destroy)
		hw_listener_destroy(&d->listener);
}

static const struct hw_listener_ops door_ops = {on_accepted};

static void door_open(struct door *d)
{
	int fd;

	net_world_init(&d->net);
	assert_int_equal(hw_listen(&d->addr, &d->len, &fd, 1, NULL), 0);
	d->listener = hw_listener_create(d->net.loop, fd, &door_ops, d, NULL, REFUSAL);
	assert_non_null(d->listener);
}

static void door_close(struct door *d)
{
	close_all(d->fds, d->n);
	hw_listener_destroy(&d->listener);
	hw_loop_destroy(&d->net.loop);
}

static int knock(const struct door *d)
{
	int fd = socket(d->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&d->addr, d->len), 0);
	return fd;
}

static void check_accepted(struct door *d, const char *address)
{
	int client, on = 0;
	socklen_t size = sizeof(on);

	door_open(d);
	client = knock(d);
	net_world_spin(&d->net, 3);
	assert_int_equal(d->n, 1);
	assert_string_equal(d->address, address);
	assert_true(fcntl(d->fds[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(d->fds[0], F_GETFD) & FD_CLOEXEC);
	if (d->addr.ss_family != AF_UNIX) {
		assert_int_equal(getsockopt(d->fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
		assert_true(on);
	}
	close(client);
	door_close(d);
}

static void a_connection_comes_with_its_address(void **state)
{
	struct door d = {0};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&d.addr;
	int probe;

	(void)state;
	loopback(&d.addr, &d.len, 0);
	check_accepted(&d, "127.0.0.1");
	d = (struct door){0};
	(void)unix_address(&d.addr, &d.len);
	check_accepted(&d, "unix");
	unlink(((struct sockaddr_un *)&d.addr)->sun_path);
	d = (struct door){.len = sizeof(*in6)};
	*in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* a machine without IPv6 has no such address */
	if (probe >= 0 && bind(probe, (struct sockaddr *)in6, sizeof(*in6)) == 0) {
		close(probe);
		check_accepted(&d, "[::1]");
	} else if (probe >= 0) {
		close(probe);
	}
}

static void a_listener_may_be_destroyed_by_what_it_accepted(void **state)
{
	struct door d = {.destroy = true};
	int clients[3];

	(void)state;
	loopback(&d.addr, &d.len, 0);
	door_open(&d);
	for (size_t i = 0; i < 3; i++)
		clients[i] = knock(&d);
	net_world_spin(&d.net, 3);
	assert_null(d.listener);
	assert_int_equal(d.n, 1);
	close_all(clients, 3);
	door_close(&d);
}

/* ---- the limit of descriptors
 * ------------------------------------------------------------------------- */

static void set_limit(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static size_t fill(int *fds, size_t most)
{
	size_t n = 0;

	while (n < most && (fds[n] = dup(0)) >= 0)
		n++;
	assert_true(n < most);
	return n;
}

static void expect_refusal(struct door *d, int client)
{
	char got[256];
	ssize_t n;

	net_world_spin(&d->net, 3);
	n = recv(client, got, sizeof(got), MSG_DONTWAIT);
	assert_int_equal(n, sizeof(REFUSAL) - 1);
	assert_memory_equal(got, REFUSAL, (size_t)n);
	assert_int_equal(recv(client, got, sizeof(got), MSG_DONTWAIT), 0);
}

static void a_port_that_was_chosen_in_vain_is_not_told(void **state)
{
	struct sockaddr_storage addr;
	struct rlimit before;
	socklen_t len;
	int fds[2], free_fd;

	(void)state;
	loopback(&addr, &len, 0);
	free_fd = next_fd();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	set_limit((rlim_t)free_fd + 1); /* room for the first of the two */
	assert_int_equal(hw_listen(&addr, &len, fds, 2, NULL), -EMFILE);
	assert_int_equal(port_of(&addr), 0);
	assert_int_equal(next_fd(), free_fd);
	set_limit(before.rlim_cur);
}

static void at_the_limit_a_connection_is_answered_and_later_ones_get_in(void **state)
{
	struct rlimit before;
	struct door d = {0};
	int clients[3], filling[200];
	size_t n;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	loopback(&d.addr, &d.len, 0);
	door_open(&d);
	for (size_t i = 0; i < 2; i++)
		clients[i] = knock(&d);
	assert_int_equal(write(clients[0], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	set_limit(128);
	n = fill(filling, HW_COUNT(filling));
	expect_refusal(&d, clients[0]);
	expect_refusal(&d, clients[1]); /* who waited behind it, at once */
	/* a pause, then the next: no busy loop */
	close(filling[--n]);
	clients[2] = knock(&d);
	filling[n++] = dup(0);
	net_world_spin(&d.net, 3);
	assert_int_equal(recv(clients[2], &(char){0}, 1, MSG_DONTWAIT), -1);
	net_world_pass(&d.net, 100);
	expect_refusal(&d, clients[2]);
	close_all(filling, n);
	close(clients[0]);
	set_limit(before.rlim_cur);
	clients[0] = knock(&d);
	net_world_pass(&d.net, 100);
	net_world_spin(&d.net, 2);
	assert_int_equal(d.n, 1);
	close_all(clients, 3);
	door_close(&d);
}

/* What a refusal sets free may be taken before it is back: the reserve is made up for later. */
static void a_reserve_that_was_lost_comes_back(void **state)
{
	struct rlimit before;
	struct door d = {0};
	int clients[3], filling[200];
	size_t n;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	loopback(&d.addr, &d.len, 0);
	door_open(&d);
	for (size_t i = 0; i < 3; i++)
		clients[i] = knock(&d);
	set_limit(3); /* even what the reserve had is over it now */
	net_world_spin(&d.net, 3);
	assert_int_equal(d.n, 0);
	set_limit(128);
	net_world_pass(&d.net, 100);
	net_world_spin(&d.net, 2);
	assert_int_equal(d.n, 3);
	n = fill(filling, HW_COUNT(filling) - 1);
	close(filling[--n]);
	close(clients[0]);
	clients[0] = knock(&d);
	filling[n++] = dup(0);
	expect_refusal(&d, clients[0]);
	close_all(filling, n);
	set_limit(before.rlim_cur);
	close_all(clients, 3);
	door_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sockets_get_the_port_that_the_kernel_chose),
		cmocka_unit_test(a_second_broker_fails_and_says_why),
		cmocka_unit_test(an_address_that_is_not_ours_fails),
		cmocka_unit_test(a_socket_file_of_the_dead_is_replaced_one_of_the_living_is_not),
		cmocka_unit_test(a_file_that_is_no_socket_is_never_removed),
		cmocka_unit_test(a_connection_comes_with_its_address),
		cmocka_unit_test(a_listener_may_be_destroyed_by_what_it_accepted),
		cmocka_unit_test(a_port_that_was_chosen_in_vain_is_not_told),
		cmocka_unit_test(at_the_limit_a_connection_is_answered_and_later_ones_get_in),
		cmocka_unit_test(a_reserve_that_was_lost_comes_back),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
