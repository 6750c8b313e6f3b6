#include "session/peek.h"

#include <stdio.h>

#include "hub/follow.h"
#include "wire/topic.h"

enum { PEEK_BYTES = 1u << 20 }; /* then the cursor says where to go on */

static void end_at(struct hw_peek *p, uint64_t number)
{
	p->upto = (struct hw_cursor){
		.epoch = hw_journal_epoch(p->hub->tenant->journal), .seq = number};
}

static void take_page(struct hw_peek *p)
{
	p->gap = p->page.gap;
	end_at(p, p->page.cursor);
}

static void on_page(struct hw_page *page)
{
	struct hw_peek *p = HW_CONTAINER_OF(page, struct hw_peek, page);

	take_page(p);
	p->done(p);
}

/* true: done. */
static bool show(struct hw_peek *p)
{
	struct hw_journal *journal = p->hub->tenant->journal;

	if (p->has_cursor && !hw_page_is_ours(p->hub, p->cursor)) {
		p->gap = p->foreign = true;
		end_at(p, hw_journal_number(journal, hw_journal_head(journal)));
		return true;
	}
	p->page = (struct hw_page){.hub = p->hub,
		.identity = p->identity,
		.topics = &p->topic,
		.n_topics = 1,
		.oldest = !p->has_cursor,
		.after = p->cursor.seq,
		.limit = p->limit,
		.max_bytes = PEEK_BYTES,
		.out = p->out,
		.done = on_page};
	if (!hw_page_start(&p->page))
		return false;
	take_page(p);
	return true;
}

static void show_presence(struct hw_peek *p)
{
	if (hw_presence_keeps(&p->hub->worker->generation->settings.presence, p->topic)) {
		p->number = hw_follow_list(p->hub, p->topic, p->out);
		return;
	}
	p->code = HW_CODE_BAD_REQUEST;
	p->retry_after_ms = HW_CONTROL_NO_RETRY;
	snprintf(p->message, sizeof(p->message), "presence is not kept for this topic");
}

static bool after_ask(struct hw_peek *p, enum hw_verdict verdict)
{
	hw_pins_drop(&p->pins);
	if (verdict == HW_ALLOW && !p->presence)
		return show(p);
	if (verdict == HW_ALLOW) {
		show_presence(p);
		return true;
	}
	p->code = hw_ask_code(&p->ask, HW_CODE_FORBIDDEN_TOPIC);
	p->retry_after_ms = hw_ask_retry_ms(&p->ask);
	snprintf(p->message, sizeof(p->message), "%s", p->ask.message);
	return true;
}

static void on_decided(struct hw_ask *ask)
{
	struct hw_peek *p = HW_CONTAINER_OF(ask, struct hw_peek, ask);

	if (after_ask(p, ask->verdict))
		p->done(p);
}

bool hw_peek_start(struct hw_peek *p)
{
	struct hw_str resource, id;
	enum hw_verdict verdict = HW_ERROR;

	p->code = HW_CODE_NONE;
	p->gap = p->foreign = false;
	hw_topic_split(p->topic, &resource, &id);
	p->question = (struct hw_question){
		.size = sizeof(p->question),
		.operation = p->presence                      ? HW_OP_PRESENCE
			     : hw_topic_is_wildcard(p->topic) ? HW_OP_WILDCARD
							      : HW_OP_SUBSCRIBE,
		.topic = hw_slice_of(p->topic),
		.resource = hw_slice_of(resource),
		.id = hw_slice_of(id),
	};
	hw_who_fill(&p->who, p->identity, p->session, p->address);
	hw_pins_take(&p->pins, p->hub);
	p->ask = (struct hw_ask){
		.stage = HW_STAGE_AUTHORIZE,
		.global = p->pins.global,
		.tenant = p->pins.tenant,
		.who = &p->who,
		.question = &p->question,
		.decided = on_decided,
		.verdict = HW_ERROR,
	};
	if (p->pins.tenant)
		verdict = hw_hooks_ask(&p->ask);
	return verdict == HW_PENDING ? false : after_ask(p, verdict);
}

void hw_peek_cancel(struct hw_peek *p)
{
	hw_hooks_cancel(&p->ask);
	hw_page_stop(&p->page);
	hw_pins_drop(&p->pins);
}
