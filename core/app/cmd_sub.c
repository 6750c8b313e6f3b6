#include "app/cmd_sub.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/signalfd.h>

#include "app/cli_follow.h"
#include "app/cli_token.h"
#include "app/cli_url.h"
#include "app/cli_ws.h"
#include "base/clock.h"
#include "crypto/random.h"
#include "wire/topic.h"

#define DEFAULT_URL "ws://127.0.0.1:8080/ws"

enum {
	PING_MS = 25000,
	SILENCE_MS = 60000, /* nothing heard for so long, pongs neither: the connection is dead */
	RETRY_TOPICS_MS = 2000,
	RESUME = -1, /* of a connection: it ended, try again */
};

static const char usage[] =
	"usage: hookwire sub [options] TOPIC...\n"
	"\n"
	"Subscribes to topics and prints each event as one line of JSON, as it comes. When the\n"
	"connection ends it connects again, with growing pauses, and goes on behind the last\n"
	"event it saw. A broker of this version replays nothing: what was published meanwhile,\n"
	"or behind --cursor, is told as a gap. Ctrl-C ends it.\n"
	"\n"
	"  TOPIC                 RESOURCE:ID, as gift-list:123, or RESOURCE:* for every id\n"
	"\n"
	"  -u, --url URL         the broker; default " DEFAULT_URL "\n"
	"  --token-file FILE     the token is in this file\n"
	"  -t, --token TOKEN     the token itself; other users of the machine may see it for a "
	"moment;\n"
	"                        without either: the environment variable HOOKWIRE_TOKEN\n"
	"  --cursor CURSOR       begin behind this event (the \"id\" of an event); default: from "
	"now on\n"
	"  -n, --count N         end after N events\n"
	"  --control             show the broker's control messages on standard error\n"
	"  --no-reconnect        end when the connection does\n"
	"  -h, --help            this text\n"
	"\n"
	"Events go to standard output; refused topics, errors and gaps (events that are lost for\n"
	"good: read your data again) go to standard error.\n"
	"\n"
	"Examples:\n"
	"    export HOOKWIRE_TOKEN=$(hookwire token --user alice --tenant acme)\n"
	"    hookwire sub gift-list:123\n"
	"    hookwire sub --count 1 'gift-list:*' | jq .data.payload\n"
	"    hookwire sub --url ws://broker.example/ws --cursor k3f9a-10412 gift-list:123 order:7\n"
	"\n"
	"Exit status: 0 interrupted, or N events were printed; 1 refused by the broker, or\n"
	"(with --no-reconnect) the connection ended; 2 the command line is wrong.\n";

enum option_id { TOKEN_FILE = 256, CURSOR, CONTROL, NO_RECONNECT };

struct sub {
	struct hw_cli_url url;
	struct hw_str cursor;
	char *token_argument;
	const char *token_file;
	uint64_t count; /* 0: no end */
	bool control, reconnect;
	struct hw_buf token;
	struct hw_follow follow;
	struct hw_cli_ws ws;
	struct hw_buf text; /* of what is sent or printed */
	uint64_t n_printed;
	unsigned n_attempts; /* that failed, one behind the other */
	int64_t ping_at_ms;
	int64_t ask_at_ms; /* wanted topics are asked for again */
};

static int64_t now_ms(void)
{
	return hw_clock_mono_ms(&hw_clock_system);
}

static uint32_t any_number(void)
{
	uint32_t n;

	hw_random(&n, sizeof(n));
	return n;
}

/* ---- the command line ---- */

static int read_url(const char *text, struct hw_cli_url *out)
{
	struct hw_err err = {""};

	if (hw_cli_url_parse(hw_str_of(text), "ws", "/ws", out, &err) < 0)
		return hw_cli_say("sub", 2, "--url: %s", err.text);
	if (out->tls)
		return hw_cli_say("sub", 2,
			"--url: wss:// is not in this version; use ws://, over a tunnel if the way "
			"is not safe");
	return 0;
}

static int read_option(int id, char *value, struct sub *s)
{
	switch (id) {
	case 'u':
		return read_url(value, &s->url);
	case 't':
		s->token_argument = value;
		return 0;
	case TOKEN_FILE:
		s->token_file = value;
		return 0;
	case CURSOR:
		s->cursor = hw_str_of(value);
		if (s->cursor.len == 0 || s->cursor.len > HW_FOLLOW_CURSOR_MAX)
			return hw_cli_say("sub", 2, "--cursor: it is the \"id\" of an event");
		return 0;
	case 'n':
		if (hw_str_to_u64(hw_str_of(value), &s->count) < 0 || s->count == 0)
			return hw_cli_say(
				"sub", 2, "--count %s: must be a whole number from 1 on", value);
		return 0;
	case CONTROL:
		s->control = true;
		return 0;
	case NO_RECONNECT:
		s->reconnect = false;
		return 0;
	default:
		fputs("try: hookwire sub --help\n", stderr);
		return 2;
	}
}

static int read_topics(int n, char **names, struct sub *s)
{
	struct hw_str *topics;
	int rc = 0;

	if (n == 0)
		return hw_cli_say("sub", 2,
			"which topics? hookwire sub gift-list:123; see hookwire sub --help");
	topics = calloc((size_t)n, sizeof(*topics));
	for (int i = 0; topics && i < n && rc == 0; i++) {
		topics[i] = hw_str_of(names[i]);
		if (!hw_topic_pattern_valid(topics[i]))
			rc = hw_cli_say("sub", 2,
				"%s: no topic; one is RESOURCE:ID, as gift-list:123, of a-z 0-9 "
				"and -, or RESOURCE:*",
				names[i]);
	}
	if (rc == 0 && (!topics || hw_follow_init(&s->follow, topics, (size_t)n, s->cursor) < 0))
		rc = hw_cli_say("sub", 1, "out of memory");
	free(topics);
	return rc;
}

static int read_token(struct sub *s)
{
	struct hw_err err = {""};
	int rc = hw_cli_token_read(s->token_argument, s->token_file, &s->token, &err);

	hw_cli_token_hide(s->token_argument);
	if (rc < 0)
		return hw_cli_say("sub", rc == -EINVAL || (rc == -ENOENT && !s->token_file) ? 2 : 1,
			"%s", err.text);
	return 0;
}

/* -1: help was asked for */
static int read_options(int argc, char **argv, struct sub *s)
{
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},
		{"token", required_argument, NULL, 't'},
		{"token-file", required_argument, NULL, TOKEN_FILE},
		{"cursor", required_argument, NULL, CURSOR},
		{"count", required_argument, NULL, 'n'},
		{"control", no_argument, NULL, CONTROL},
		{"no-reconnect", no_argument, NULL, NO_RECONNECT},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int id, rc;

	optind = 1;
	while ((id = getopt_long(argc, argv, "u:t:n:h", options, NULL)) != -1) {
		if (id == 'h')
			return -1;
		rc = read_option(id, optarg, s);
		if (rc != 0)
			return rc;
	}
	rc = read_topics(argc - optind, argv + optind, s);
	return rc ? rc : read_token(s);
}

/* ---- one connection ---- */

/* Each line by itself. */
static void say_lines(struct hw_str lines)
{
	while (lines.len > 0) {
		struct hw_str line = hw_str_cut(&lines, '\n');

		hw_cli_say("sub", 0, "%.*s", HW_STR_ARG(line));
	}
}

/* 0 or RESUME; STOPPED is seen by the next wait */
static int send_text(struct sub *s, struct hw_str text)
{
	struct hw_err err = {""};
	int rc = hw_cli_ws_send(&s->ws, text, &err);

	if (rc != HW_CLI_WS_LOST)
		return 0;
	hw_cli_say("sub", 0, "%s", err.text);
	return RESUME;
}

static int ask(struct sub *s)
{
	s->ask_at_ms = now_ms() + RETRY_TOPICS_MS;
	hw_buf_clear(&s->text);
	hw_follow_subscribe(&s->follow, &s->text);
	if (s->text.failed)
		return hw_cli_say("sub", 1, "out of memory");
	return s->text.len > 0 ? send_text(s, hw_buf_view(&s->text)) : 0;
}

static int print_event(struct sub *s, bool *done)
{
	hw_buf_clear(&s->text);
	hw_follow_line(&s->text, hw_buf_view(&s->ws.message));
	hw_buf_putc(&s->text, '\n');
	if (s->text.failed)
		return hw_cli_say("sub", 1, "out of memory");
	if (fwrite(s->text.data, 1, s->text.len, stdout) != s->text.len || fflush(stdout) != 0)
		return hw_cli_say("sub", 1, "standard output: %s", strerror(errno));
	*done = s->count > 0 && ++s->n_printed >= s->count;
	return 0;
}

static int handle_message(struct sub *s, bool *done)
{
	struct hw_str text = hw_buf_view(&s->ws.message);
	int rc;

	hw_buf_clear(&s->text);
	rc = hw_follow_read(&s->follow, text, &s->text);
	if (rc < 0)
		return hw_cli_say("sub", 1, "out of memory");
	if (rc == HW_FOLLOW_EVENT)
		return print_event(s, done);
	if (rc == HW_FOLLOW_ODD)
		return hw_cli_say("sub", 0, "the broker sent what is no JSON object");
	say_lines(hw_buf_view(&s->text));
	if (s->control)
		hw_cli_say("sub", 0, "control: %.*s", HW_STR_ARG(text));
	if (hw_follow_count(&s->follow, HW_FOLLOW_LIVE) > 0)
		s->n_attempts = 0;
	if (hw_follow_count(&s->follow, HW_FOLLOW_REFUSED) == s->follow.n_topics)
		return hw_cli_say("sub", 1, "no topic is left");
	return 0;
}

static int handle_close(struct sub *s, struct hw_err *err)
{
	if (hw_cli_close_is_final(s->ws.close_code))
		return hw_cli_say("sub", 1, "the broker closed the connection: %s", err->text);
	hw_cli_say("sub", 0, "the broker closed the connection: %s", err->text);
	return RESUME;
}

static int64_t next_deadline(const struct sub *s)
{
	int64_t at_ms = s->ping_at_ms;

	if (hw_follow_count(&s->follow, HW_FOLLOW_WANTED) > 0 && s->ask_at_ms < at_ms)
		at_ms = s->ask_at_ms;
	return at_ms;
}

static int on_time(struct sub *s)
{
	int64_t now = now_ms();

	if (now - s->ws.heard_ms >= SILENCE_MS) {
		hw_cli_say("sub", 0, "the broker is silent");
		return RESUME;
	}
	if (now >= s->ping_at_ms) {
		s->ping_at_ms = now + PING_MS;
		return send_text(s, HW_STR("{\"type\":\"ping\"}"));
	}
	return now >= s->ask_at_ms ? ask(s) : 0;
}

/* An exit code (then @done), or RESUME. */
static int converse(struct sub *s, bool *done)
{
	struct hw_err err = {""};
	int rc = ask(s);

	s->ping_at_ms = now_ms() + PING_MS;
	while (rc == 0 && !*done) {
		/* a stream of messages never lets the deadline pass in waiting */
		if (now_ms() >= next_deadline(s)) {
			rc = on_time(s);
			if (rc)
				break;
		}
		switch (hw_cli_ws_next(&s->ws, next_deadline(s), &err)) {
		case HW_CLI_WS_MESSAGE:
			rc = handle_message(s, done);
			break;
		case HW_CLI_WS_CLOSED:
			rc = handle_close(s, &err);
			break;
		case HW_CLI_WS_LOST:
			hw_cli_say("sub", 0, "%s", err.text);
			rc = RESUME;
			break;
		case HW_CLI_WS_STOPPED:
			*done = true;
			break;
		default: /* the deadline */
			break;
		}
	}
	hw_cli_ws_close(&s->ws, HW_WS_CODE_NORMAL);
	hw_follow_lost(&s->follow);
	return rc;
}

static int attempt(struct sub *s, bool *done)
{
	struct hw_err err = {""};

	s->follow.retry_after_ms = s->follow.retry_jitter_ms = 0;
	switch (hw_cli_ws_connect(&s->ws, &s->url, hw_buf_view(&s->token), &err)) {
	case 0:
		return converse(s, done);
	case HW_CLI_WS_STOPPED:
		*done = true;
		return 0;
	case HW_CLI_WS_REFUSED:
		s->follow.retry_after_ms = s->ws.retry_after_ms;
		hw_cli_say("sub", 0, "%s refuses: %s", s->url.authority, err.text);
		return s->ws.http_status == 0 || hw_cli_status_is_final(s->ws.http_status) ? 1
											   : RESUME;
	default:
		hw_cli_say("sub", 0, "%s: %s", s->url.authority, err.text);
		return RESUME;
	}
}

/* The broker's advice is followed, but not beyond the longest pause of our own. */
static uint64_t pause_ms(struct sub *s)
{
	uint64_t ms = hw_cli_backoff_ms(s->n_attempts++, any_number());
	uint64_t advice = s->follow.retry_after_ms, jitter = s->follow.retry_jitter_ms;

	if (advice > HW_CLI_BACKOFF_MAX_MS)
		advice = HW_CLI_BACKOFF_MAX_MS;
	if (jitter > HW_CLI_BACKOFF_MAX_MS)
		jitter = HW_CLI_BACKOFF_MAX_MS;
	if (advice + jitter > 0)
		advice += any_number() % (jitter + 1);
	return advice > ms ? advice : ms;
}

static int run(struct sub *s)
{
	bool done = false;
	uint64_t ms;
	int rc;

	for (;;) {
		rc = attempt(s, &done);
		if (rc != RESUME)
			return rc;
		if (!s->reconnect)
			return 1;
		ms = pause_ms(s);
		hw_cli_say("sub", 0, "connecting again in %.1f s", (double)ms / 1000);
		if (hw_cli_ws_pause(&s->ws, now_ms() + (int64_t)ms) == HW_CLI_WS_STOPPED)
			return 0;
	}
}

/* SIGINT and SIGTERM become a descriptor that every wait looks at. */
static int with_signals(struct sub *s)
{
	sigset_t stop, before;
	int rc;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	s->ws.stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->ws.stop_fd < 0)
		return hw_cli_say("sub", 1, "signals: %s", strerror(errno));
	sigprocmask(SIG_BLOCK, &stop, &before);
	rc = run(s);
	if (hw_cli_ws_pause(&s->ws, 0) == HW_CLI_WS_STOPPED) {
		struct signalfd_siginfo info;

		(void)!read(s->ws.stop_fd, &info, sizeof(info)); /* it has done its work */
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(s->ws.stop_fd);
	return rc;
}

int hw_cmd_sub(int argc, char **argv)
{
	struct sub *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return hw_cli_say("sub", 1, "out of memory");
	s->reconnect = true;
	hw_buf_init(&s->token);
	hw_buf_init(&s->text);
	hw_cli_ws_init(&s->ws, -1);
	rc = read_url(DEFAULT_URL, &s->url);
	if (rc == 0)
		rc = read_options(argc, argv, s);
	if (rc < 0) {
		fputs(usage, stdout);
		rc = 0;
	} else if (rc == 0) {
		rc = with_signals(s);
	}
	hw_cli_ws_fini(&s->ws);
	hw_follow_fini(&s->follow);
	hw_buf_fini(&s->text);
	hw_cli_token_forget(&s->token);
	free(s);
	return rc;
}
