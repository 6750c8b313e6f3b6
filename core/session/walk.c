#include "session/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/revoke.h"
#include "session/session_internal.h"

enum {
	SLICE_LOOKS = 512, /* sessions looked at in one turn */
	SLICE_CLOSES = 16, /* and of these ended, which asks hooks and writes */
};

static void end(struct hw_session_walk *walk, int error)
{
	if (hw_list_empty(&walk->link))
		return;
	hw_list_remove(&walk->link);
	hw_timer_cancel(&walk->timer);
	if (error)
		walk->error = error;
	walk->done(walk);
}

/* ---- a row ---- */

static void put_time(struct hw_buf *out, int64_t wall_ms)
{
	char text[HW_ISO8601_LEN + 1];

	hw_clock_iso8601(wall_ms, text);
	hw_buf_json(out, hw_str_of(text));
}

static void put_topics(struct hw_buf *out, const struct hw_session *s)
{
	hw_buf_puts(out, ",\"topics\":[");
	for (uint32_t i = 0; i < s->sub.n_subs; i++) {
		if (i)
			hw_buf_putc(out, ',');
		hw_buf_json(out, hw_hub_topic_name(s->sub.subs[i].topic));
	}
	hw_buf_putc(out, ']');
}

static char *row_text(const struct hw_session_walk *walk, const struct hw_session *s)
{
	struct hw_worker *w = walk->worker;
	struct hw_buf out;

	hw_buf_init(&out);
	hw_buf_puts(&out, "{\"session\":");
	hw_buf_json(&out, hw_str_of(s->id));
	hw_buf_puts(&out, ",\"tenant\":");
	hw_buf_json(&out, s->identity->tenant_id);
	hw_buf_puts(&out, ",\"user\":");
	hw_buf_json(&out, s->identity->user_id);
	hw_buf_puts(&out, ",\"transport\":");
	hw_buf_json(&out, hw_str_of(s->transport));
	hw_buf_puts(&out, ",\"address\":");
	hw_buf_json(&out, hw_str_of(s->address));
	hw_buf_puts(&out, ",\"connected_at\":");
	put_time(&out, hw_worker_wall_ms(w) - (hw_worker_now_ms(w) - s->opened_ms));
	hw_buf_puts(&out, ",\"expires_at\":");
	if (s->identity->expires_at)
		hw_buf_printf(&out, "%lld", (long long)s->identity->expires_at);
	else
		hw_buf_puts(&out, "null");
	hw_buf_printf(&out,
		",\"worker\":%u,\"subscriptions\":%u,\"queued_bytes\":%zu,\"lagging\":%s", w->index,
		(unsigned)s->sub.n_subs, s->outlet->queued(s->arg),
		s->sub.behind ? "true" : "false");
	if (walk->session)
		put_topics(&out, s);
	hw_buf_putc(&out, '}');
	return hw_buf_steal(&out);
}

static void row_fini(struct hw_session_row *row)
{
	free(row->id);
	free(row->json);
}

/* Where the id goes among the rows, which are sorted. */
static size_t place_of(const struct hw_session_walk *walk, const char *id)
{
	size_t low = 0, high = walk->n_rows;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(walk->rows[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int list(struct hw_session_walk *walk, const struct hw_session *s)
{
	struct hw_session_row row;
	size_t at;

	if (walk->after && strcmp(s->id, walk->after) <= 0)
		return 0;
	at = place_of(walk, s->id);
	if (at == walk->limit)
		return 0;
	row = (struct hw_session_row){hw_str_dup(hw_str_of(s->id)), row_text(walk, s)};
	if (!row.id || !row.json) {
		row_fini(&row);
		return -ENOMEM;
	}
	if (walk->n_rows == walk->limit)
		row_fini(&walk->rows[--walk->n_rows]);
	memmove(walk->rows + at + 1, walk->rows + at, (walk->n_rows - at) * sizeof(row));
	walk->rows[at] = row;
	walk->n_rows++;
	return 0;
}

/* ---- the walk ---- */

static bool has_jti(const struct hw_session *s, struct hw_str jti)
{
	struct hw_token_read token;

	hw_token_read(&token, s->identity);
	return token.facts.jti.p && hw_str_eq(token.facts.jti, jti);
}

static bool fits(const struct hw_session_walk *walk, const struct hw_session *s)
{
	return s->live && !s->closed && (!walk->session || strcmp(walk->session, s->id) == 0) &&
	       (!walk->match.tenant.p || hw_str_eq(walk->match.tenant, s->identity->tenant_id)) &&
	       (!walk->match.user.p || hw_str_eq(walk->match.user, s->identity->user_id)) &&
	       (!walk->jti.p || has_jti(s, walk->jti));
}

static void on_timer(struct hw_timer *timer)
{
	struct hw_session_walk *walk = HW_CONTAINER_OF(timer, struct hw_session_walk, timer);
	struct hw_list *head = &walk->worker->sessions->all;
	unsigned n_closes = 0;

	for (unsigned i = 0; i < SLICE_LOOKS && n_closes < SLICE_CLOSES; i++) {
		struct hw_session *s;
		int r = 0;

		if (walk->next == head) {
			end(walk, walk->error);
			return;
		}
		s = HW_CONTAINER_OF(walk->next, struct hw_session, all);
		if (s->opened_ms > walk->began_ms) { /* and so are all behind it */
			end(walk, walk->error);
			return;
		}
		walk->next = s->all.next;
		if (!fits(walk, s))
			continue;
		walk->n_found++;
		if (walk->visit) {
			r = walk->visit(walk, s);
		} else if (walk->revoked) {
			n_closes++;
			session_close_code(s, HW_CODE_UNAUTHORIZED, HW_REVOKED_WORDS);
		} else if (!walk->close_code) {
			r = list(walk, s);
		} else {
			n_closes++;
			hw_session_close(s, walk->close_code, walk->reason);
		}
		if (r) {
			end(walk, r);
			return;
		}
	}
	hw_timer_arm(walk->worker->timers, &walk->timer, hw_worker_now_ms(walk->worker));
}

void hw_session_walk_start(struct hw_session_walk *walk)
{
	struct hw_sessions *sessions = walk->worker->sessions;

	walk->next = sessions->all.next;
	walk->began_ms = hw_worker_now_ms(walk->worker);
	hw_list_push(&sessions->walks, &walk->link);
	hw_timer_init(&walk->timer, on_timer);
	hw_timer_arm(walk->worker->timers, &walk->timer, walk->began_ms);
	if (walk->close_code || walk->revoked || walk->visit)
		return;
	walk->rows = calloc(walk->limit + 1, sizeof(*walk->rows));
	if (walk->rows)
		return;
	walk->error = -ENOMEM;
	walk->next = &sessions->all;
}

void hw_session_walk_cancel(struct hw_session_walk *walk)
{
	end(walk, -ECANCELED);
}

void hw_session_walk_fini(struct hw_session_walk *walk)
{
	for (size_t i = 0; i < walk->n_rows; i++)
		row_fini(&walk->rows[i]);
	free(walk->rows);
	walk->rows = NULL;
	walk->n_rows = 0;
}

void walks_leave(struct hw_session *s)
{
	hw_list_each (node, &s->worker->sessions->walks) {
		struct hw_session_walk *walk = HW_CONTAINER_OF(node, struct hw_session_walk, link);

		if (walk->next == &s->all)
			walk->next = s->all.next;
	}
}

void walks_fini(struct hw_worker *w)
{
	while (!hw_list_empty(&w->sessions->walks))
		end(HW_CONTAINER_OF(w->sessions->walks.next, struct hw_session_walk, link),
			-ECANCELED);
}
