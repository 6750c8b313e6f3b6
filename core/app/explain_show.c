#include "app/explain_show.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static const json_t *at(const json_t *object, const char *name)
{
	return json_object_get(object, name);
}

/* A fixed word of the broker's own. */
static const char *word(const json_t *object, const char *name)
{
	const char *text = json_string_value(at(object, name));

	return text ? text : "?";
}

static long long number(const json_t *object, const char *name)
{
	return (long long)json_integer_value(at(object, name));
}

static void show(const char *before, const json_t *value, const char *after)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

	printf("%s%s%s", before, text ? text : "?", after);
	free(text);
}

static bool is_set(const json_t *value)
{
	return value && !json_is_null(value);
}

static void show_if(const char *before, const json_t *value)
{
	if (is_set(value))
		show(before, value, "");
}

/* ---- the event ---- */

static void show_event(const json_t *x)
{
	const json_t *event = at(x, "event"), *stored = at(x, "stored"), *hook;
	size_t i;

	if (!is_set(event)) {
		puts("no event: it is in no journal, and was refused if it is named below");
		return;
	}
	printf("event %s of tenant ", word(event, "id"));
	show("", at(event, "tenant"), "");
	if (!json_is_true(at(stored, "in_journal"))) {
		puts(json_is_true(at(stored, "plugin"))
				? ": gone from memory; the journal's plugin may have it, and is "
				  "not asked"
				: ": gone from the journal, retention has passed it; what it was "
				  "is not kept");
		return;
	}
	show(": ", at(event, "event"), "");
	printf(" on %s", word(event, "topic"));
	show_if(", entity ", at(event, "entity_id"));
	putchar('\n');
	show("  published by ", at(event, "published_by"), "");
	show_if(", trace ", at(event, "trace"));
	printf("\n  stored at %s as number %lld, class \"%s\"; still in the journal\n",
		word(stored, "at"), number(stored, "seq"), word(stored, "class"));
	json_array_foreach(at(at(x, "transform"), "registered"), i, hook)
	{
		printf(i ? ", " : "  may have been changed before that by ");
		show("", at(hook, "hook"), json_is_true(at(hook, "global")) ? " (global)" : "");
	}
	if (i)
		puts(" (transform; what they did is not kept)");
}

static void show_search(const json_t *x)
{
	const json_t *search = at(x, "search"), *other;
	size_t i;

	if (!search)
		return;
	if (!json_is_true(at(search, "complete")))
		printf("the search ended for want of time after %lld events; name the tenant, or "
		       "ask with the id\n",
			number(search, "looked_at"));
	json_array_foreach(at(search, "also"), i, other)
	{
		printf("the same trace: event %s of tenant ", word(other, "id"));
		show("", at(other, "tenant"), "\n");
	}
}

/* ---- the user ---- */

static const char *why(const char *outcome)
{
	static const struct {
		const char *name, *text;
	} known[] = {
		{"sent", "sent: the kernel has taken it"},
		{"queued", "queued: bytes still wait for its socket, and this may be of them"},
		{"conflated", "perhaps: the session was behind there, and was sent this or, in its "
			      "place, a later event of the same entity"},
		{"not_yet", "not yet: it is being read from the journal; ask again"},
		{"lagging", "not yet: the session is behind and reads on from the journal"},
		{"held", "not yet: it gets nothing until it is authorized again"},
		{"filtered", "never: a hook withholds it"},
		{"hook_failed", "never: a hook failed, and nothing is delivered then"},
		{"subscribed_later", "never: it subscribed after the event"},
		{"not_subscribed", "never: it follows no such topic"},
		{"not_connected", "never, or not to a session that is still there: the user is "
				  "not connected"},
		{"gone", "not known: the event is gone, so its topic is, too"},
		{"not_published", "never: the event was not published, or is gone"},
	};

	for (size_t i = 0; i < HW_COUNT(known); i++)
		if (!strcmp(known[i].name, outcome))
			return known[i].text;
	return outcome;
}

static const char *cached(const json_t *verdict)
{
	return json_is_true(at(verdict, "cached")) ? "cached" : "asked now";
}

static void show_authorize(const char *before, const json_t *today)
{
	printf("%s%s", before, word(today, "verdict"));
	if (json_is_string(at(today, "code")))
		printf(" (%s)", word(today, "code"));
	if (json_string_length(at(today, "hook")))
		show(" by ", at(today, "hook"), "");
	else if (strcmp(word(today, "verdict"), "allow") != 0)
		printf(", no hook had an opinion");
	printf(" [%s]\n", cached(today));
}

static void show_asked(const json_t *asked)
{
	bool before = !strcmp(word(asked, "of"), "previous");

	printf("      %s ", word(asked, "stage"));
	show("", at(asked, "hook"), "");
	if (before)
		printf(" of data.previous");
	show(" reads ", at(asked, "reads"), ": ");
	printf("%s", word(asked, "answer"));
	if (json_is_true(at(asked, "changed")))
		printf(", changed it");
	show_if(": ", at(asked, "why"));
	putchar('\n');
}

static void show_seen(const json_t *seen)
{
	const json_t *asked;
	size_t i;

	if (!is_set(seen))
		return;
	printf("    sees it: %s, gets %s", word(seen, "verdict"), word(seen, "gets"));
	if (json_string_length(at(seen, "hook")))
		show(", decided by ", at(seen, "hook"), "");
	printf(" [%s]\n", cached(seen));
	json_array_foreach(at(seen, "asked"), i, asked) show_asked(asked);
	if (i == 0)
		puts("      no hook filters or redacts");
	else if (json_is_true(at(seen, "cached")))
		puts("      (the lines above were asked now)");
}

static void show_session(const json_t *s)
{
	const json_t *sub;
	size_t i;

	printf("  session %s, %s, worker %lld, since %s\n    %s\n", word(s, "session"),
		word(s, "transport"), number(s, "worker"), word(s, "connected_at"),
		why(word(s, "outcome")));
	if (!strcmp(word(s, "outcome_is"), "recomputed"))
		puts("    (as the policy answers today; what it answered then is kept no more, or "
		     "no hook filtered)");
	if (!strcmp(word(s, "outcome"), "lagging"))
		printf("    it has read up to %s; %s\n", word(s, "cursor"),
			json_is_true(at(s, "socket_full")) ? "its socket takes no more: a slow "
							     "client"
							   : "it is being caught up");
	if (number(s, "queued_bytes"))
		printf("    %lld bytes wait for its socket\n", number(s, "queued_bytes"));
	json_array_foreach(at(s, "subscriptions"), i, sub)
	{
		printf("    subscribed to %s since %s, %s the event\n", word(sub, "topic"),
			word(sub, "since"),
			json_is_true(at(sub, "before_event")) ? "before" : "after");
		printf("      admitted: allow by the policy of then, %s [cached]\n",
			word(at(sub, "admitted"), "policy"));
		show_authorize("      authorize today: ", at(sub, "authorize"));
	}
	if (is_set(at(s, "if_subscribed")))
		show_authorize("    if it subscribed now, authorize: ", at(s, "if_subscribed"));
	show_seen(at(s, "seen"));
}

static void show_user(const json_t *x)
{
	const json_t *session;
	size_t i;

	if (!is_set(at(x, "user")) || !is_set(at(x, "outcome")))
		return;
	show("user ", at(x, "user"), ": ");
	puts(why(word(x, "outcome")));
	json_array_foreach(at(x, "sessions"), i, session) show_session(session);
	if (number(x, "sessions_more"))
		printf("  and %lld more sessions\n", number(x, "sessions_more"));
}

/* ---- refusals ---- */

static const char *what(const char *kind)
{
	static const struct {
		const char *name, *text;
	} known[] = {
		{"publish", "an event was refused"},
		{"dropped", "an event was dropped by transform"},
		{"subscribe", "a subscription was refused"},
		{"revoked", "a subscription was taken away"},
		{"session", "a session was not admitted, or ended"},
	};

	for (size_t i = 0; i < HW_COUNT(known); i++)
		if (!strcmp(known[i].name, kind))
			return known[i].text;
	return kind;
}

static void show_refusals(const json_t *x)
{
	const json_t *r;
	size_t i;

	json_array_foreach(at(x, "refusals"), i, r)
	{
		if (i == 0)
			puts("refused lately:");
		printf("  %s %s", word(r, "at"), what(word(r, "what")));
		show_if(", topic ", at(r, "topic"));
		show(", tenant ", at(r, "tenant"), "");
		show_if(", user ", at(r, "user"));
		if (json_is_string(at(r, "code")))
			printf(", code %s", word(r, "code"));
		show_if(", by ", at(r, "hook"));
		show_if(": ", at(r, "why"));
		if (number(r, "times") > 1)
			printf(", %lld times", number(r, "times"));
		putchar('\n');
	}
	if (number(x, "refusals_more"))
		printf("  and %lld older ones\n", number(x, "refusals_more"));
	if (number(x, "refusals_forgotten"))
		printf("  (only the last 256 of a worker are kept: %lld older ones, of "
		       "anybody's, are forgotten)\n",
			number(x, "refusals_forgotten"));
}

void hw_explain_show(const json_t *x)
{
	show_event(x);
	show_search(x);
	show_user(x);
	show_refusals(x);
	printf("policy: generation %lld; what is marked [asked now] is its answer of today\n",
		number(x, "generation"));
}
