/* An HTTP server for unit tests, with a thread for each connection; stop it when the client has
 * closed them. What it answers is in the path: /echo says what it got, /status/404, /bytes/1000,
 * /stall reads and never answers, /json, /close. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server {
	int listener;
	unsigned port;
	pthread_t thread;
	atomic_uint n_connections, n_requests;
	struct http_server_connection {
		struct http_server *server;
		int fd;
		pthread_t thread;
	} connections[128];
};

static inline void http_server_answer(
	int fd, const char *status, const char *headers, const char *body)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
		strlen(body), headers);

	if (send(fd, head, (size_t)n, MSG_NOSIGNAL) == n)
		(void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
}

/* One request into @text; false when the connection is over. */
static inline bool http_server_read(int fd, char *text, size_t size)
{
	size_t n = 0, wanted = 0;

	for (;;) {
		ssize_t got = recv(fd, text + n, size - 1 - n, 0);
		char *end, *length;

		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strcasestr(text, "\r\ncontent-length:");
		if (end && length && length < end)
			wanted = strtoul(length + 17, NULL, 10);
		if (end && n >= (size_t)(end + 4 - text) + wanted)
			return true;
	}
}

static inline void http_server_serve(struct http_server *s, int fd)
{
	char text[65536];
	unsigned n;

	while (http_server_read(fd, text, sizeof(text))) {
		const char *path = strchr(text, ' ');

		atomic_fetch_add(&s->n_requests, 1);
		if (!path++)
			return;
		if (sscanf(path, "/status/%u", &n) == 1) {
			char status[32];

			snprintf(status, sizeof(status), "%u Some", n);
			http_server_answer(fd, status, "", "no");
		} else if (sscanf(path, "/bytes/%u", &n) == 1) {
			char *body = calloc(1, n + 1);

			memset(body, 'x', n);
			http_server_answer(fd, "200 OK", "", body);
			free(body);
		} else if (strncmp(path, "/json", 5) == 0) {
			http_server_answer(fd, "200 OK",
				"Content-Type: application/json\r\nX-Two: a\r\nx-two:  b \r\n",
				"{\"role\":\"admin\",\"n\":[1,2]}");
		} else if (strncmp(path, "/stall", 6) == 0) {
			(void)!recv(fd, text, 1, 0); /* until the other end is gone */
			return;
		} else if (strncmp(path, "/close", 6) == 0) {
			return;
		} else {
			http_server_answer(fd, "200 OK", "Content-Type: text/plain\r\n", text);
		}
	}
}

static inline void *http_server_connection(void *arg)
{
	struct http_server_connection *c = arg;

	http_server_serve(c->server, c->fd);
	close(c->fd);
	return NULL;
}

static inline void *http_server_run(void *arg)
{
	struct http_server *s = arg;

	for (;;) {
		struct http_server_connection *c = &s->connections[atomic_load(&s->n_connections)];

		c->server = s;
		c->fd = accept(s->listener, NULL, NULL);
		if (c->fd < 0)
			return NULL;
		if (pthread_create(&c->thread, NULL, http_server_connection, c) != 0)
			return NULL;
		atomic_fetch_add(&s->n_connections, 1);
	}
}

static inline void http_server_start(struct http_server *s)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	atomic_init(&s->n_connections, 0);
	atomic_init(&s->n_requests, 0);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listener, 64), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, http_server_run, s), 0);
}

static inline void http_server_stop(struct http_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	for (unsigned i = 0; i < atomic_load(&s->n_connections); i++)
		pthread_join(s->connections[i].thread, NULL);
}
