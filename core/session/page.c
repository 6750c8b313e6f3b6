#include "session/page.h"

static struct hw_page *page_of(struct hw_reading *r)
{
	return HW_CONTAINER_OF(r, struct hw_page, reading);
}

/* ---- what is read
 * -----------------------------------------------------------------------------------------------------------
 */

static struct hw_str topic(struct hw_reading *r, size_t i)
{
	const struct hw_page *p = page_of(r);

	return i < p->n_topics ? p->topics[i] : HW_STR_NULL;
}

static uint64_t after(struct hw_reading *r, size_t i)
{
	const struct hw_page *p = page_of(r);

	return p->oldest ? 0 : p->afters ? p->afters[i] : p->after;
}

static bool wants(struct hw_reading *r, const struct hw_run *run)
{
	const struct hw_page *p = page_of(r);

	for (size_t i = 0; i < p->n_topics; i++)
		if ((!p->afters || p->afters[i] <= run->after) &&
			hw_reading_is_of(run, p->topics[i]))
			return true;
	return false;
}

static void add(struct hw_page *p, struct hw_str text)
{
	if (p->n++)
		hw_buf_putc(p->out, ',');
	hw_buf_str(p->out, text);
	p->full = p->n >= p->limit || p->out->len - p->begin >= p->max_bytes || p->out->failed;
}

/* false: full. The cursor is behind the last that was added. */
static bool add_run(struct hw_page *p, const struct hw_run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		if (p->full)
			return false;
		add(p, hw_run_event(run, i, NULL));
		p->reading.cursor = hw_run_number(run, i);
	}
	return true;
}

static bool give(struct hw_reading *r, const struct hw_run *run)
{
	struct hw_page *p = page_of(r);
	const struct hw_seen *seen;
	size_t i;

	if (!p->hub->classes.filtering)
		return add_run(p, run) && !p->full;
	seen = hw_hub_see(p->hub, &p->sub, run);
	if (!seen)
		return false; /* no more room for hooks in this turn */
	for (i = 0; i < seen->n_pieces; i++)
		if (!add_run(p, &seen->pieces[i]))
			return false;
	r->cursor = seen->upto;
	return seen->whole && !p->full;
}

static void lost(struct hw_reading *r)
{
	struct hw_page *p = page_of(r);

	for (size_t i = 0; i < p->n_topics && !p->oldest && !p->afters; i++)
		if (hw_reading_gone(r, p->topics[i]) > p->after)
			p->gap = true;
}

/* ---- turns
 * ----------------------------------------------------------------------------------------------------------------
 */

/* true: done. */
static bool go_on(struct hw_page *p)
{
	struct hw_worker *w = p->hub->worker;
	enum hw_reading_state state = hw_reading_go(&p->reading, p->upto);

	if (state == HW_READING_LEVEL || p->full) {
		p->cursor = p->reading.cursor;
		hw_page_stop(p);
		return true;
	}
	if (state == HW_READING_MORE)
		hw_timer_arm(w->timers, &p->next_turn, hw_worker_now_ms(w));
	return false;
}

static void ready(struct hw_reading *r)
{
	struct hw_page *p = page_of(r);

	if (go_on(p))
		p->done(p);
}

static void on_next_turn(struct hw_timer *timer)
{
	ready(&HW_CONTAINER_OF(timer, struct hw_page, next_turn)->reading);
}

static const struct hw_reading_ops reading_ops = {
	.topic = topic, .after = after, .wants = wants, .give = give, .lost = lost, .ready = ready};

/* ---- life
 * -----------------------------------------------------------------------------------------------------------------
 */

bool hw_page_is_ours(struct hw_hub *hub, struct hw_cursor cursor)
{
	struct hw_journal *journal = hub->tenant->journal;

	return cursor.epoch == hw_journal_epoch(journal) && cursor.seq <= hw_journal_last(journal);
}

/* Of what memory has dropped a store may have it still. */
bool hw_page_last(struct hw_hub *hub, struct hw_str topic, uint64_t *after)
{
	uint64_t newest = hw_journal_newest(hub->tenant->journal, topic);

	if (!newest && hub->tenant->store)
		newest = hw_journal_gone(hub->tenant->journal, topic);
	if (!newest)
		return false;
	*after = newest - 1;
	return true;
}

static const struct hw_identity *identity(const struct hw_subscriber *s)
{
	return HW_CONTAINER_OF(s, struct hw_page, sub)->identity;
}

/* It is asked what it may see, and subscribes to nothing. */
static const struct hw_subscriber_ops subscriber_ops = {.identity = identity};

bool hw_page_start(struct hw_page *p)
{
	struct hw_journal *journal = p->hub->tenant->journal;

	p->n = 0;
	p->gap = p->full = false;
	p->begin = p->out->len;
	p->upto = hw_journal_number(journal, hw_journal_head(journal));
	p->sub = (struct hw_subscriber){.ops = &subscriber_ops};
	hw_reading_init(&p->reading, &reading_ops);
	hw_timer_init(&p->next_turn, on_next_turn);
	p->reading.hub = p->hub;
	p->reading.cursor = p->oldest ? 0 : p->after;
	return go_on(p);
}

void hw_page_stop(struct hw_page *p)
{
	if (!p->reading.ops)
		return;
	hw_reading_stop(&p->reading);
	hw_timer_cancel(&p->next_turn);
	hw_classes_leave(p->hub, &p->sub);
	p->reading.ops = NULL;
}
