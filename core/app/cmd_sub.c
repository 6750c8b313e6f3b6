#include "app/cmd_sub.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/base64.h"
#include "base/buf.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "wire/json.h"
#include "wire/ws.h"
#include "wire/ws_handshake.h"

enum { MESSAGE_BYTES = 16 << 20, HEAD_BYTES = 16384, PING_MS = 25000 };

static const char usage[] =
	"usage: hookwire sub [OPTIONS] TOPIC...\n"
	"\n"
	"Subscribes to topics and prints every event as one line of JSON, until it is interrupted or the\n"
	"broker closes. Refusals and the reason of a close go to standard error.\n"
	"\n"
	"  -u, --url URL          default: ws://127.0.0.1:8080/ws\n"
	"  -t, --token TOKEN      the token; other users of this machine can see it: better\n"
	"      --token-file FILE  the first line of FILE, or the environment variable HOOKWIRE_TOKEN\n"
	"  -n, --count N          end after N events\n"
	"      --control          print control messages to standard error\n"
	"  -h, --help             this text\n"
	"\n"
	"TOPIC is resource:id, or resource:* where the policy allows it.\n"
	"\n"
	"    hookwire sub --token-file token gift-list:family-123\n"
	"\n"
	"Exit status: 0 after N events, 1 when refused or disconnected, 2 if the command line is wrong.\n";

struct options {
	const char *url;
	char token[8192];
	uint64_t count;
	bool control;
	char **topics;
	int n_topics;
};

struct client {
	const struct options *options;
	int fd;
	struct hw_ws_reader reader;
	struct hw_buf message, send;
	uint64_t n_events;
	bool done;
	int exit_code;
};

/* ---- connecting ------------------------------------------------------------------------------------------------------- */

struct address {
	char host[256];
	char port[8];
	const char *target;
};

static int parse_url(const char *url, struct address *out)
{
	struct hw_str rest = hw_str_of(url), authority, host;
	size_t path;

	if (hw_str_starts(rest, HW_STR("wss://"))) {
		fputs("hookwire sub: wss:// is not in this version\n", stderr);
		return -EINVAL;
	}
	if (!hw_str_starts(rest, HW_STR("ws://"))) {
		fprintf(stderr, "hookwire sub: \"%s\" is no address: it must begin with ws://\n", url);
		return -EINVAL;
	}
	rest.p += 5;
	path = strcspn(rest.p, "/?");
	authority = (struct hw_str){rest.p, path};
	out->target = rest.p[path] == '/' ? rest.p + path : "/ws";
	if (authority.len && authority.p[0] == '[') { /* an IPv6 literal */
		authority.p++;
		authority.len--;
		host = hw_str_cut(&authority, ']');
		if (authority.p && authority.len && authority.p[0] == ':')
			authority = (struct hw_str){authority.p + 1, authority.len - 1};
	} else {
		host = hw_str_cut(&authority, ':');
	}
	snprintf(out->host, sizeof(out->host), "%.*s", HW_STR_ARG(host));
	snprintf(out->port, sizeof(out->port), "%.*s", (int)(authority.len ? authority.len : 2),
		authority.len ? authority.p : "80");
	return 0;
}

static int connect_to(const struct address *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	int fd = -1, on = 1, r = getaddrinfo(address->host, address->port, &hints, &list);

	if (r) {
		fprintf(stderr, "hookwire sub: %s: %s\n", address->host, gai_strerror(r));
		return -1;
	}
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		fprintf(stderr, "hookwire sub: cannot connect to %s port %s: %s\n", address->host, address->port,
			strerror(errno));
	else
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int send_all(int fd, struct hw_str bytes)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes.p += n;
		bytes.len -= (size_t)n;
	}
	return 0;
}

/* Reads byte by byte: nothing behind the head is taken. */
static int read_head(int fd, struct hw_buf *head)
{
	char c;

	while (head->len < HEAD_BYTES && recv(fd, &c, 1, 0) == 1) {
		hw_buf_putc(head, c);
		if (head->len >= 4 && !memcmp(head->data + head->len - 4, "\r\n\r\n", 4))
			return head->failed ? -ENOMEM : 0;
	}
	return -ECONNRESET;
}

static void make_accept(struct hw_str key, struct hw_buf *out)
{
	struct hw_buf text;
	uint8_t digest[HW_SHA1_LEN];

	hw_buf_init(&text);
	hw_buf_str(&text, key);
	hw_buf_puts(&text, HW_WS_GUID);
	hw_sha1(text.data, text.len, digest);
	hw_base64_encode(out, digest, sizeof(digest));
	hw_buf_fini(&text);
}

static int upgrade(struct client *c, const struct address *address)
{
	struct hw_buf host, key, accept, authorization, head;
	struct hw_http1_header header = {.name = HW_STR("Authorization")};
	struct hw_ws_client request = {.target = hw_str_of(address->target), .protocols = HW_STR("hookwire.v1"),
		.headers = &header, .n_headers = 1};
	struct hw_ws_answer answer = {0};
	struct hw_err err = {"the connection was lost"};
	uint8_t nonce[16];
	int r;

	hw_buf_init(&host);
	hw_buf_init(&key);
	hw_buf_init(&accept);
	hw_buf_init(&authorization);
	hw_buf_init(&head);
	hw_random(nonce, sizeof(nonce));
	hw_buf_printf(&host, strchr(address->host, ':') ? "[%s]:%s" : "%s:%s", address->host, address->port);
	hw_base64_encode(&key, nonce, sizeof(nonce));
	hw_buf_printf(&authorization, "Bearer %s", c->options->token);
	header.value = hw_buf_view(&authorization);
	request.host = hw_buf_view(&host);
	request.key = hw_buf_view(&key);
	make_accept(request.key, &accept);
	r = hw_ws_handshake_request(&c->send, &request, &err);
	if (!r)
		r = send_all(c->fd, hw_buf_view(&c->send));
	if (!r)
		r = read_head(c->fd, &head);
	if (!r)
		r = hw_ws_handshake_check_response(hw_buf_view(&head), &request, hw_buf_view(&accept), &answer, &err);
	if (r)
		fprintf(stderr, "hookwire sub: %s\n", err.text);
	hw_buf_fini(&host);
	hw_buf_fini(&key);
	hw_buf_fini(&accept);
	hw_buf_fini(&authorization);
	hw_buf_fini(&head);
	return r;
}

/* ---- speaking --------------------------------------------------------------------------------------------------------------- */

static int send_frame(struct client *c, enum hw_ws_opcode opcode, struct hw_str payload)
{
	uint8_t header[HW_WS_HEADER_BYTES], mask[4];

	hw_random(mask, sizeof(mask));
	hw_buf_clear(&c->send);
	hw_buf_add(&c->send, header, hw_ws_header(header, true, opcode, payload.len, mask));
	hw_buf_str(&c->send, payload);
	if (c->send.failed)
		return -ENOMEM;
	hw_ws_mask((uint8_t *)c->send.data + c->send.len - payload.len, payload.len, mask, 0);
	return send_all(c->fd, hw_buf_view(&c->send));
}

static int subscribe(struct client *c)
{
	struct hw_buf text;
	int r;

	hw_buf_init(&text);
	hw_buf_puts(&text, "{\"type\":\"subscribe\",\"topics\":[");
	for (int i = 0; i < c->options->n_topics; i++) {
		hw_buf_puts(&text, i ? "," : "");
		hw_buf_json(&text, hw_str_of(c->options->topics[i]));
	}
	hw_buf_puts(&text, "]}");
	r = text.failed ? -ENOMEM : send_frame(c, HW_WS_OP_TEXT, hw_buf_view(&text));
	hw_buf_fini(&text);
	return r;
}

/* ---- hearing ------------------------------------------------------------------------------------------------------------------- */

/* Control messages have a type; events have none. */
static bool is_control(struct hw_str text)
{
	return hw_str_starts(text, HW_STR("{\"type\":"));
}

static void on_message(struct client *c)
{
	struct hw_str text = hw_buf_view(&c->message);

	if (is_control(text)) {
		if (c->options->control || hw_str_starts(text, HW_STR("{\"type\":\"error\"")) ||
			hw_str_starts(text, HW_STR("{\"type\":\"unsubscribed\"")))
			fprintf(stderr, "%.*s\n", HW_STR_ARG(text));
		return;
	}
	fwrite(text.p, 1, text.len, stdout);
	putchar('\n');
	fflush(stdout);
	if (++c->n_events == c->options->count) {
		c->done = true;
		c->exit_code = 0;
	}
}

static int on_frame(struct client *c, int outcome, const struct hw_ws_event *ev)
{
	switch (outcome) {
	case HW_WS_DATA:
		if (ev->first)
			hw_buf_clear(&c->message);
		hw_buf_str(&c->message, ev->data);
		if (ev->last && !c->message.failed)
			on_message(c);
		return c->message.failed ? -ENOMEM : 0;
	case HW_WS_PING:
		return send_frame(c, HW_WS_OP_PONG, ev->data);
	case HW_WS_CLOSE:
		fprintf(stderr, "hookwire sub: closed by the broker: %u %.*s\n", ev->code, HW_STR_ARG(ev->data));
		c->done = true;
		return 0;
	case HW_WS_ERROR:
		fprintf(stderr, "hookwire sub: the broker broke the protocol: %s\n", ev->reason);
		return -EPROTO;
	default:
		return 0;
	}
}

static int receive(struct client *c)
{
	static const size_t size = 65536;
	uint8_t *bytes = malloc(size);
	ssize_t n = bytes ? recv(c->fd, bytes, size, 0) : -1;
	size_t at = 0;
	int r = 0;

	if (n <= 0) {
		fputs("hookwire sub: the connection was lost\n", stderr);
		r = -ECONNRESET;
	}
	while (!r && !c->done && at < (size_t)n) {
		struct hw_ws_event ev;
		size_t used;
		int outcome = hw_ws_read(&c->reader, bytes + at, (size_t)n - at, &used, &ev);

		at += used;
		if (outcome < 0)
			r = outcome;
		else if (outcome != HW_WS_MORE)
			r = on_frame(c, outcome, &ev);
	}
	free(bytes);
	return r;
}

static int run(const struct options *options)
{
	struct client c = {.options = options, .exit_code = 1};
	struct address address;
	int r;

	if (parse_url(options->url, &address))
		return 2;
	c.fd = connect_to(&address);
	if (c.fd < 0)
		return 1;
	hw_buf_init(&c.message);
	hw_buf_init(&c.send);
	hw_ws_reader_init(&c.reader, HW_WS_CLIENT, MESSAGE_BYTES);
	r = upgrade(&c, &address);
	if (!r)
		r = subscribe(&c);
	while (!r && !c.done) {
		struct pollfd poll_fd = {.fd = c.fd, .events = POLLIN};

		r = poll(&poll_fd, 1, PING_MS) == 0 ? send_frame(&c, HW_WS_OP_TEXT, HW_STR("{\"type\":\"ping\"}"))
						    : receive(&c);
	}
	if (c.done) {
		uint8_t frame[HW_WS_CLOSE_BYTES], mask[4];

		hw_random(mask, sizeof(mask));
		(void)send_all(c.fd, (struct hw_str){(char *)frame,
			hw_ws_close(frame, HW_WS_CODE_NORMAL, HW_STR(""), mask)});
	}
	close(c.fd);
	hw_ws_reader_fini(&c.reader);
	hw_buf_fini(&c.message);
	hw_buf_fini(&c.send);
	return c.exit_code;
}

/* ---- the command line -------------------------------------------------------------------------------------------------------------- */

static bool read_token(const char *path, struct options *o)
{
	FILE *f = fopen(path, "r");

	if (!f || !fgets(o->token, sizeof(o->token), f)) {
		fprintf(stderr, "hookwire sub: cannot read a token from %s\n", path);
		if (f)
			fclose(f);
		return false;
	}
	fclose(f);
	o->token[strcspn(o->token, "\r\n")] = '\0';
	return true;
}

int hw_cmd_sub(int argc, char **argv)
{
	static const struct option names[] = {
		{"url", required_argument, NULL, 'u'}, {"token", required_argument, NULL, 't'},
		{"token-file", required_argument, NULL, 'f'}, {"count", required_argument, NULL, 'n'},
		{"control", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
	};
	struct options o = {.url = "ws://127.0.0.1:8080/ws"};
	const char *token = getenv("HOOKWIRE_TOKEN"), *file = NULL;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "u:t:n:h", names, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		} else if (c == 'u') {
			o.url = optarg;
		} else if (c == 't') {
			token = optarg;
		} else if (c == 'f') {
			file = optarg;
		} else if (c == 'c') {
			o.control = true;
		} else if (c != 'n' || hw_str_to_u64(hw_str_of(optarg), &o.count) || !o.count) {
			fputs("try: hookwire sub --help\n", stderr);
			return 2;
		}
	}
	o.topics = argv + optind;
	o.n_topics = argc - optind;
	if (file && !read_token(file, &o))
		return 2;
	if (!file && (!token || snprintf(o.token, sizeof(o.token), "%s", token) >= (int)sizeof(o.token))) {
		fputs("hookwire sub: a token is needed: --token-file FILE, or HOOKWIRE_TOKEN in the environment\n", stderr);
		return 2;
	}
	if (o.n_topics == 0) {
		fputs("hookwire sub: which topics? for example: hookwire sub gift-list:family-123\n", stderr);
		return 2;
	}
	return run(&o);
}
