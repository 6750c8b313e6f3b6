#include "hub/revocation_log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
	READ_EVENTS = 1000,
	READ_BYTES = 1 << 20,
	BATCH_EVENTS = 512,
	LIST_EVENTS = 2,    /* its beginning and its end */
	OVER_EVENTS = 1000, /* kept for nothing beside as many as are in force */
	KEEP_BYTES_MAX = INT32_MAX,
	MS_A_S = 1000,
	NS_A_MS = 1000000,
};

static const struct hw_slice topic = HW_SLICE(HW_REVOCATIONS_TOPIC);

void hw_revocation_log_init(struct hw_revocation_log *log, struct hw_revocations *list,
	struct hw_store *store, const struct hw_clock *clock)
{
	*log = (struct hw_revocation_log){
		.list = list, .store = store, .clock = clock, .is_read = !store};
	hw_buf_init(&log->text);
	sem_init(&log->answered, 0, 0);
	atomic_init(&log->has_answer, false);
}

void hw_revocation_log_fini(struct hw_revocation_log *log)
{
	hw_buf_fini(&log->text);
	free(log->events);
	sem_destroy(&log->answered);
}

/* Any thread; afterwards the control thread may ask again. */
static void answered(struct hw_revocation_log *log, int answer)
{
	log->answer = answer;
	atomic_store_explicit(&log->has_answer, true, memory_order_release);
	sem_post(&log->answered);
}

static void keep(struct hw_revocation_log *log)
{
	struct hw_journal_class class = {
		.pattern = HW_SLICE(""), .count = log->kept, .bytes = KEEP_BYTES_MAX};

	hw_store_retain(log->store, HW_STR(HW_REVOCATIONS_TENANT), &class, 1);
}

/* ---- reading ---- */

static int apply(struct hw_revocation_log *log, const struct hw_journal_event *row)
{
	struct hw_revocation_record record;
	int r = hw_revocation_record_read((struct hw_str){row->event.p, row->event.len}, &record);

	if (r)
		return r;
	switch (record.kind) {
	case HW_RECORD_REVOKED:
		r = hw_revocations_restore(log->list, &record.revocation);
		break;
	case HW_RECORD_UNREVOKED:
		hw_revocations_remove(log->list, record.revocation.number, 0);
		break;
	case HW_RECORD_LIST:
		log->in_list = true;
		break;
	case HW_RECORD_LIST_END:
		log->whole |= log->in_list;
		break;
	}
	hw_revocations_skip(log->list, record.revocation.number);
	hw_revocation_record_fini(&record);
	return r;
}

static int take_rows(struct hw_revocation_log *log, const struct hw_journal_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		int r = apply(log, &rows->events[i]);

		if (r)
			return r;
		log->read_upto = rows->events[i].number;
		log->kept++;
	}
	if (rows->more && !rows->n)
		return -EIO;
	log->more = rows->more;
	if (rows->gone && rows->gone[0] > log->gone)
		log->gone = rows->gone[0];
	return 0;
}

static void on_rows(struct hw_store_read *read, int r, const struct hw_journal_rows *rows)
{
	struct hw_revocation_log *log = HW_CONTAINER_OF(read, struct hw_revocation_log, read);

	answered(log, r ? r : take_rows(log, rows));
}

static int begin_read(struct hw_revocation_log *log)
{
	log->read = (struct hw_store_read){
		.query = {.tenant = HW_SLICE(HW_REVOCATIONS_TENANT),
			.topics = &topic,
			.n_topics = 1,
			.after = log->read_upto,
			.upto = log->last,
			.limit = READ_EVENTS,
			.max_bytes = READ_BYTES},
		.answered = on_rows,
	};
	log->ask = HW_ASK_READ;
	hw_store_read(log->store, &log->read);
	return HW_LOG_UNDER_WAY;
}

/* What may be gone is what was before a list that is there. */
static int end_read(struct hw_revocation_log *log)
{
	size_t n;

	if (log->gone && !log->whole)
		return -ENODATA;
	(void)hw_revocations_trim(log->list, hw_clock_wall_ms(log->clock) / MS_A_S);
	n = hw_revocations_count(log->list); /* also what has ended and may hold again */
	log->list_now = log->kept > n + (log->whole ? LIST_EVENTS : 0);
	hw_revocations_stored(log->list, UINT64_MAX);
	if (log->kept)
		keep(log);
	log->is_read = true;
	return 0;
}

static int start_reading(struct hw_revocation_log *log)
{
	uint64_t epoch;
	int r = hw_store_tenant(log->store, HW_STR(HW_REVOCATIONS_TENANT), &epoch, &log->last);

	if (r)
		return r;
	return log->last ? begin_read(log) : end_read(log);
}

/* ---- writing ---- */

static void on_committed(struct hw_store_append *append, int r, uint64_t first_number)
{
	(void)first_number;
	answered(HW_CONTAINER_OF(append, struct hw_revocation_log, append), r);
}

static int begin_batch(struct hw_revocation_log *log)
{
	hw_buf_clear(&log->text);
	log->append = (struct hw_store_append){
		.tenant = HW_STR(HW_REVOCATIONS_TENANT), .answered = on_committed};
	if (!log->events)
		log->events = calloc(BATCH_EVENTS, sizeof(*log->events));
	return log->events ? 0 : -ENOMEM;
}

/* The texts stand one behind the other: where each begins is known once all are there. */
static void put(struct hw_revocation_log *log, enum hw_revocation_record_kind kind,
	const struct hw_revocation *what)
{
	size_t at = log->text.len;

	hw_revocation_record_write(&log->text, kind, what);
	log->events[log->append.n++] =
		(struct hw_journal_event){.at_ms = hw_clock_wall_ms(log->clock),
			.topic = topic,
			.event.len = log->text.len - at};
}

static int submit(struct hw_revocation_log *log, enum hw_revocation_ask ask)
{
	const char *p = log->text.data;

	if (log->text.failed)
		return -ENOMEM;
	if (log->append.n == 0)
		return 0; /* it has ended meanwhile */
	for (size_t i = 0; i < log->append.n; p += log->events[i++].event.len)
		log->events[i].event.p = p;
	log->append.events = log->events;
	log->ask = ask;
	/* first that they are to be kept, then they themselves */
	log->kept += log->append.n;
	log->n_newer += log->append.n;
	keep(log);
	hw_store_append(log->store, &log->append);
	return HW_LOG_UNDER_WAY;
}

/* ---- what is not stored ---- */

static bool put_unstored(void *arg, const struct hw_revocation *what)
{
	struct hw_revocation_log *log = arg;

	if (log->append.n == BATCH_EVENTS)
		return false;
	put(log, HW_RECORD_REVOKED, what);
	log->version = what->version;
	return true;
}

static int save(struct hw_revocation_log *log)
{
	int r = begin_batch(log);

	if (!r)
		r = hw_revocations_each_unstored(log->list, put_unstored, log);
	return r ? r : submit(log, HW_ASK_SAVE);
}

/* ---- what is taken back: stored first, so that what was said to be revoked is ---- */

bool hw_revocation_log_unrevoke(struct hw_revocation_log *log, uint64_t number)
{
	uint64_t version;

	if (!log->store)
		return hw_revocations_remove(log->list, number, 0);
	log->unrevoke = hw_revocations_find(log->list, number, &version) ? number : 0;
	return log->unrevoke;
}

bool hw_revocation_log_takes_back(const struct hw_revocation_log *log, uint64_t number)
{
	return log->ask == HW_ASK_UNREVOKE && log->number == number;
}

static int unrevoke(struct hw_revocation_log *log)
{
	struct hw_revocation what = {.number = log->unrevoke};
	int r;

	log->unrevoke = 0;
	log->number = what.number;
	if (!hw_revocations_find(log->list, what.number, &log->version))
		return 0; /* it has ended meanwhile */
	r = begin_batch(log);
	if (r)
		return r;
	put(log, HW_RECORD_UNREVOKED, &what);
	return submit(log, HW_ASK_UNREVOKE);
}

/* ---- the list, said again ---- */

static bool put_listed(void *arg, const struct hw_revocation *what)
{
	struct hw_revocation_log *log = arg;

	if (log->append.n == BATCH_EVENTS - 1) /* one is the end's */
		return false;
	put(log, HW_RECORD_REVOKED, what);
	log->listed = what->number;
	return true;
}

static int list_some(struct hw_revocation_log *log)
{
	struct hw_revocation last = {.number = hw_revocations_last(log->list)};
	int r = begin_batch(log);

	if (r)
		return r;
	if (!log->listing) {
		log->listing = true;
		log->listed = 0;
		log->n_newer = 0;
		put(log, HW_RECORD_LIST, &last);
	}
	r = hw_revocations_each(log->list, log->listed, put_listed, log);
	if (r)
		return r;
	log->list_ends = log->append.n < BATCH_EVENTS - 1;
	if (log->list_ends)
		put(log, HW_RECORD_LIST_END, &last);
	return submit(log, HW_ASK_LIST);
}

static int list(struct hw_revocation_log *log)
{
	int r = list_some(log);

	if (r < 0)
		log->listing = false; /* as where it fails later: from its beginning */
	return r;
}

static void end_list(struct hw_revocation_log *log)
{
	log->listing = log->list_now = false;
	log->whole = true;
	log->kept = log->n_newer;
	keep(log);
}

/* ---- one after the other ---- */

static int settle(struct hw_revocation_log *log)
{
	enum hw_revocation_ask ask = log->ask;
	int r = log->answer;

	log->ask = HW_ASK_NOTHING;
	atomic_store(&log->has_answer, false);
	while (sem_trywait(&log->answered) == 0)
		;
	if (r) {
		log->listing = false; /* from its beginning, another time */
		return r;
	}
	if (ask == HW_ASK_READ)
		return log->more ? begin_read(log) : end_read(log);
	if (ask == HW_ASK_SAVE)
		hw_revocations_stored(log->list, log->version);
	if (ask == HW_ASK_UNREVOKE)
		hw_revocations_remove(log->list, log->number, log->version);
	if (ask == HW_ASK_LIST && log->list_ends)
		end_list(log);
	else if (log->kept > 2 * hw_revocations_count(log->list) + OVER_EVENTS)
		log->list_now = true;
	return 0;
}

int hw_revocation_log_step(struct hw_revocation_log *log)
{
	if (log->ask != HW_ASK_NOTHING) {
		int r = hw_revocation_log_wait(log, 0) ? settle(log) : HW_LOG_UNDER_WAY;

		if (r)
			return r;
	}
	if (!log->is_read)
		return start_reading(log);
	if (!log->store)
		return 0;
	if (hw_revocations_unstored(log->list))
		return save(log);
	if (log->unrevoke)
		return unrevoke(log);
	/* what a store never takes away would only grow by it */
	return log->list_now && hw_store_retains(log->store) ? list(log) : 0;
}

bool hw_revocation_log_wait(struct hw_revocation_log *log, unsigned ms)
{
	struct timespec until;

	if (log->ask == HW_ASK_NOTHING ||
		atomic_load_explicit(&log->has_answer, memory_order_acquire))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / MS_A_S;
	until.tv_nsec += (long)(ms % MS_A_S) * NS_A_MS;
	if (until.tv_nsec >= MS_A_S * (long)NS_A_MS) {
		until.tv_sec++;
		until.tv_nsec -= MS_A_S * (long)NS_A_MS;
	}
	while (sem_clockwait(&log->answered, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
		;
	return atomic_load_explicit(&log->has_answer, memory_order_acquire);
}

bool hw_revocation_log_is_read(const struct hw_revocation_log *log)
{
	return log->is_read;
}

bool hw_revocation_log_is_done(const struct hw_revocation_log *log)
{
	return !log->store || (!hw_revocations_unstored(log->list) && !log->unrevoke &&
				      log->ask != HW_ASK_UNREVOKE);
}

size_t hw_revocation_log_closed(struct hw_revocation_log *log)
{
	if (!log->store)
		return 0;
	log->store = NULL;
	if (log->ask == HW_ASK_SAVE && log->answer == 0)
		hw_revocations_stored(log->list, log->version);
	log->ask = HW_ASK_NOTHING;
	return hw_revocations_unstored(log->list);
}
