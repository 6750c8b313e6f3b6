#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/net_internal.h"

enum {
	BACKLOG = 4096,
	PAUSE_MS = 100,
	LOG_EVERY_MS = 1000,
	REFUSED_AT_ONCE = 64,
	/* Of what a client has yet to be sent, the kernel takes so much. Else it takes 4 MB and
	 * more of a client that does not read: memory that no bound of ours sees, and events that
	 * are old when they come. What is on its way does not count, so a long line is filled. */
	UNSENT_BYTES = 131072,
};

/* ---- binding
 * -------------------------------------------------------------------------------------------------------
 */

static void describe(const struct sockaddr_storage *addr, char out[128])
{
	char host[INET6_ADDRSTRLEN];

	if (addr->ss_family == AF_UNIX) {
		snprintf(out, 128, "unix:%s", ((const struct sockaddr_un *)addr)->sun_path);
	} else if (addr->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, 128, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, 128, "%s:%u", host, ntohs(in->sin_port));
	}
}

static int bind_one(const struct sockaddr_storage *addr, socklen_t addr_len, bool shared)
{
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, unsent = UNSENT_BYTES;

	if (fd < 0)
		return -errno;
	if (addr->ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		/* whoever is accepted inherits it */
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
		if (shared)
			setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		if (addr->ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (bind(fd, (const struct sockaddr *)addr, addr_len)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/* A socket file that nobody accepts on is what a crash left behind. */
static void remove_stale_socket(const struct sockaddr_storage *addr, socklen_t addr_len)
{
	const char *path = ((const struct sockaddr_un *)addr)->sun_path;
	struct stat st;
	int fd;

	/* connecting to a plain file is refused too: that is somebody's file */
	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)addr, addr_len) && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

int hw_listen(
	struct sockaddr_storage *addr, socklen_t *addr_len, int *fds, size_t n, struct hw_err *err)
{
	struct sockaddr_storage bound = *addr;
	socklen_t bound_len = *addr_len;
	char name[128];
	size_t made = 0;
	int fd, error;

	describe(addr, name);
	if (addr->ss_family == AF_UNIX)
		remove_stale_socket(addr, *addr_len);
	fd = bind_one(addr, *addr_len, false);
	if (fd < 0) {
		error = fd;
		goto fail;
	}
	if (addr->ss_family == AF_UNIX) {
		fds[made++] = fd;
	} else {
		/* Both sockets may reuse the address: only listening tells that another process
		 * listens there. */
		error = listen(fd, 1) ? -errno : 0;
		getsockname(fd, (struct sockaddr *)&bound, &bound_len);
		close(fd);
		if (error)
			goto fail;
		for (; made < n; made++) {
			fds[made] = bind_one(&bound, bound_len, true);
			if (fds[made] < 0) {
				error = fds[made];
				goto fail;
			}
		}
	}
	for (size_t i = 0; i < made; i++)
		if (listen(fds[i], BACKLOG)) {
			error = -errno;
			goto fail;
		}
	*addr = bound;
	*addr_len = bound_len;
	return 0;
fail:
	while (made > 0)
		close(fds[--made]);
	return hw_err_set(err, error, "cannot listen on %s: %s%s", name, strerror(-error),
		error == -EADDRINUSE ? "; another process has it, maybe another hookwire" : "");
}

/* ---- accepting
 * ------------------------------------------------------------------------------------------------------
 */

struct hw_listener {
	struct hw_loop *loop;
	struct evconnlistener *conns;
	const struct hw_listener_ops *ops;
	void *owner;
	struct hw_log *log;
	const char *refusal;
	struct hw_timer pause;
	int reserve_fd; /* given up to answer at the limit of descriptors */
	int64_t logged_ms;
};

static void name_peer(const struct sockaddr *addr, char out[64])
{
	char host[INET6_ADDRSTRLEN];

	if (addr->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, out,
			64);
	} else if (addr->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr,
			host, sizeof(host));
		snprintf(out, 64, "[%s]", host);
	} else {
		strcpy(out, "unix");
	}
}

static void on_accept(
	struct evconnlistener *conns, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	struct hw_listener *l = arg;
	char address[64];
	int on = 1;

	(void)conns;
	(void)len;
	hw_loop_refresh(l->loop);
	name_peer(addr, address);
	if (addr->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	l->ops->accepted(l->owner, fd, address);
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* false: nobody waits, or there is not even room for that one. */
static bool refuse_one(struct hw_listener *l)
{
	char sink[4096];
	int fd = accept4(evconnlistener_get_fd(l->conns), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	/* what has come already is read, so that closing does not reset the answer away */
	(void)!recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
	if (l->refusal)
		(void)!send(fd, l->refusal, strlen(l->refusal), MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	close(fd);
	return true;
}

/* Several before the pause: who comes behind many others is answered in time. */
static void refuse_some(struct hw_listener *l)
{
	if (l->reserve_fd < 0)
		return;
	close(l->reserve_fd);
	for (int i = 0; i < REFUSED_AT_ONCE && refuse_one(l); i++)
		;
	l->reserve_fd = open_reserve();
}

static void on_accept_error(struct evconnlistener *conns, void *arg)
{
	struct hw_listener *l = arg;
	int error = errno;

	hw_loop_refresh(l->loop);
	if (error == EMFILE || error == ENFILE)
		refuse_some(l);
	if (l->loop->now_ms - l->logged_ms >= LOG_EVERY_MS) {
		l->logged_ms = l->loop->now_ms;
		hw_log(l->log, HW_LOG_ERROR, "net", "cannot accept a connection",
			HW_F_Z("error", strerror(error)));
	}
	/* the listener stays readable: without a pause this would be a busy loop */
	evconnlistener_disable(conns);
	hw_timer_arm(l->loop->timers, &l->pause, l->loop->now_ms + PAUSE_MS);
}

static void on_pause_over(struct hw_timer *timer)
{
	struct hw_listener *l = HW_CONTAINER_OF(timer, struct hw_listener, pause);

	/* another thread may have taken what the last refusal set free */
	if (l->reserve_fd < 0)
		l->reserve_fd = open_reserve();
	evconnlistener_enable(l->conns);
}

struct hw_listener *hw_listener_create(struct hw_loop *loop, int fd,
	const struct hw_listener_ops *ops, void *owner, struct hw_log *log, const char *refusal)
{
	struct hw_listener *l = calloc(1, sizeof(*l));

	if (!l)
		goto fail;
	l->loop = loop;
	l->ops = ops;
	l->owner = owner;
	l->log = log;
	l->refusal = refusal;
	l->logged_ms = loop->now_ms - LOG_EVERY_MS;
	hw_timer_init(&l->pause, on_pause_over);
	l->reserve_fd = open_reserve();
	l->conns = evconnlistener_new(
		loop->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!l->conns)
		goto fail;
	evconnlistener_set_error_cb(l->conns, on_accept_error);
	return l;
fail:
	if (l && l->reserve_fd >= 0)
		close(l->reserve_fd);
	free(l);
	close(fd);
	return NULL;
}

void hw_listener_destroy(struct hw_listener **listener)
{
	struct hw_listener *l = *listener;

	if (!l)
		return;
	hw_timer_cancel(&l->pause);
	evconnlistener_free(l->conns);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	free(l);
	*listener = NULL;
}
