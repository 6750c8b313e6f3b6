#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "crypto/digest.h"
#include "crypto/hex.h"
#include "edge/edge_internal.h"
#include "session/publish.h"
#include "wire/cloudevent.h"
#include "wire/command.h"
#include "wire/traceparent.h"

#define MAX_ITEMS 1000
#define TURN_MS 2 /* of items: then others get their turn */

/* What became of an item of an array. */
struct result {
	enum hw_code code;
	char *message; /* NULL: the code's own */
	int64_t retry_after_ms;
	uint64_t topic; /* of what may come again: its topic_key */
	bool duplicate;
	char event_id[HW_CURSOR_MAX + 1];
};

/* An item that is on its way to the store, while those after it are published. */
struct later {
	struct hw_list link; /* job->later */
	struct hw_keep_wait wait;
	struct publish_job *job;
	struct hw_hub *hub;
	size_t index;
};

/* A POST /publish: its items are published one after the other.
 *   next item ──> deciding (a hook) ──> its result ──> next item, maybe in the next turn … answered
 *                         └──> on its way to the store: the next item, and its result later */
struct publish_job {
	struct exchange *ex;
	bool array;
	struct hw_commands commands;
	struct hw_command command;
	struct hw_cloudevents clouds; /* of CloudEvents; then commands reads one of them: */
	struct hw_cloudevent cloud;
	struct hw_buf item;
	struct hw_publish publish; /* the present item's; of a single one, the answer is in it */
	struct result *results;    /* of an array */
	size_t n_results, cap_results;
	struct hw_list later;
	struct hw_buf key; /* of the item, plain */
	bool deciding, all_read, no_memory;
	bool held; /* an item may come again */
	struct hw_timer next_turn;
};

static void later_free(struct later *later)
{
	hw_keep_forget(&later->wait);
	hw_list_remove(&later->link);
	free(later);
}

void publish_job_free(struct publish_job **publish_job)
{
	struct publish_job *job = *publish_job;

	if (!job)
		return;
	*publish_job = NULL;
	if (job->deciding)
		hw_publish_cancel(&job->publish);
	while (!hw_list_empty(&job->later))
		later_free(HW_CONTAINER_OF(job->later.next, struct later, link));
	hw_timer_cancel(&job->next_turn);
	for (size_t i = 0; i < job->n_results; i++)
		free(job->results[i].message);
	free(job->results);
	hw_buf_fini(&job->key);
	hw_buf_fini(&job->item);
	free(job);
}

/* ---- the head
 * ------------------------------------------------------------------------------------------------------------------
 */

static void read_type(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str type = request_type(request);

	if (hw_str_eq_nocase(type, HW_STR("application/cloudevents+json")))
		ex->cloud = CLOUD_ONE;
	else if (hw_str_eq_nocase(type, HW_STR("application/cloudevents-batch+json")))
		ex->cloud = CLOUD_BATCH;
	else if (!hw_str_eq_nocase(type, HW_STR("application/json")))
		exchange_refuse(ex, 415, HW_CODE_BAD_REQUEST,
			"the body must be application/json, application/cloudevents+json or "
			"application/cloudevents-batch+json");
}

void publish_read_head(struct exchange *ex, const struct hw_http1_request *request)
{
	struct hw_str value;
	size_t n;

	if (ex->route->handle != publish_handle)
		return;
	read_type(ex, request);
	value = hw_traceparent_trace_id(hw_http1_header(request, "traceparent", &n));
	if (n == 1 && value.p)
		ex->trace_id = exchange_keep(ex, value);
	value = hw_http1_header(request, "Idempotency-Key", &n);
	if (n > 1 || (n == 1 && (value.len == 0 || value.len > HW_COMMAND_KEY_MAX)))
		exchange_refuse(ex, 0, HW_CODE_BAD_REQUEST,
			"Idempotency-Key must be one key of 1 to 256 bytes");
	else if (n == 1)
		ex->key = exchange_keep(ex, value);
}

/* ---- results
 * ---------------------------------------------------------------------------------------------------------------------
 */

static void write_ok(struct hw_buf *out, const char *event_id, bool duplicate)
{
	hw_buf_puts(out, "{\"ok\":true");
	if (event_id[0])
		hw_buf_printf(out, ",\"id\":\"%s\"", event_id);
	hw_buf_puts(out, duplicate ? ",\"duplicate\":true}" : "}");
}

static void write_result(struct hw_buf *out, const struct result *result)
{
	if (result->code == HW_CODE_NONE) {
		write_ok(out, result->event_id, result->duplicate);
		return;
	}
	hw_buf_puts(out, "{\"ok\":false,");
	hw_code_members(out, result->code, hw_str_of(result->message ? result->message : ""),
		result->retry_after_ms);
	hw_buf_putc(out, '}');
}

/* The place for the present item's result; NULL: no memory. */
static struct result *result_new(struct publish_job *job)
{
	if (job->n_results == job->cap_results) {
		size_t cap = job->cap_results ? job->cap_results * 2 : 8;
		struct result *p = reallocarray(job->results, cap, sizeof(*p));

		if (!p) {
			job->no_memory = true;
			return NULL;
		}
		job->results = p;
		job->cap_results = cap;
	}
	job->results[job->n_results] = (struct result){.retry_after_ms = HW_CONTROL_NO_RETRY};
	return &job->results[job->n_results++];
}

static void set_result(struct result *result, enum hw_code code, const char *message)
{
	result->code = code;
	if (code != HW_CODE_NONE && message[0])
		result->message = strdup(message); /* without: the code speaks for itself */
}

/* Tells topics apart, those of several tenants too. */
static uint64_t topic_key(const struct publish_job *job, const struct hw_hub *hub)
{
	struct hw_str topic = job->command.event.topic;
	const struct hw_hash_key *key = &job->ex->login.worker->tenants->hash_key;

	return hw_hash(key, topic.p, topic.len) ^ (uintptr_t)hub;
}

static void add_result(struct publish_job *job)
{
	const struct hw_publish *publish = &job->publish;
	struct result *result;

	if (!job->array || publish->handed_over)
		return; /* the struct itself is the result; it comes later */
	result = result_new(job);
	if (!result)
		return;
	set_result(result, publish->code, publish->message);
	result->retry_after_ms = publish->retry_after_ms;
	result->duplicate = publish->duplicate;
	memcpy(result->event_id, publish->event_id, sizeof(result->event_id));
	if (hw_code_info(publish->code)->retryable) {
		result->topic = topic_key(job, publish->hub);
		job->held = true;
	}
}

/* What hw_publish is never asked about it cannot count. */
static void count_refused(const struct exchange *ex)
{
	hw_metric_add(http_edge(ex)->worker->counters->refused, 1);
}

static void add_failure(struct publish_job *job, enum hw_code code, const char *message)
{
	count_refused(job->ex);
	job->publish = (struct hw_publish){.code = code, .retry_after_ms = HW_CONTROL_NO_RETRY};
	snprintf(job->publish.message, sizeof(job->publish.message), "%.255s", message);
	add_result(job);
}

static void answer_one(struct publish_job *job)
{
	struct exchange *ex = job->ex;
	struct hw_publish *publish = &job->publish;
	struct hw_buf *body;

	if (publish->code != HW_CODE_NONE) {
		exchange_refuse(ex, publish->http_status, publish->code, publish->message);
		ex->retry_after_ms = publish->retry_after_ms;
		answer_refusal(ex);
		return;
	}
	body = answer_body(ex);
	write_ok(body, publish->event_id, publish->duplicate);
	answer_json(ex, 200, hw_buf_view(body));
}

static void answer_all(struct publish_job *job)
{
	struct hw_buf *body = answer_body(job->ex);
	size_t n_failed = 0;

	if (job->no_memory) {
		/* published all the same: without the answer nobody can tell, so the connection
		 * ends */
		exchange_refuse(job->ex, 0, HW_CODE_INTERNAL, "out of memory");
		job->ex->keep_alive = false;
		answer_refusal(job->ex);
		return;
	}
	hw_buf_puts(body, "{\"results\":[");
	for (size_t i = 0; i < job->n_results; i++) {
		if (i)
			hw_buf_putc(body, ',');
		n_failed += job->results[i].code != HW_CODE_NONE;
		write_result(body, &job->results[i]);
	}
	hw_buf_puts(body, "]}");
	answer_json(job->ex, n_failed ? 207 : 200, hw_buf_view(body));
}

/* ---- items
 * -------------------------------------------------------------------------------------------------------------------------
 */

/* Source and id name an event: two of the same are one (CloudEvents 1.0, "id"). They may be of any
 * length, and a key may not. */
static int key_of_cloud(struct publish_job *job, struct hw_str *out)
{
	const struct hw_json parts[] = {job->cloud.source, job->cloud.id};
	char digits[2 * HW_SHA256_LEN + 1];
	uint8_t digest[HW_SHA256_LEN];
	struct hw_sha256 sha;

	hw_sha256_init(&sha);
	for (size_t i = 0; i < HW_COUNT(parts); i++) {
		struct hw_str text;

		if (hw_json_text(parts[i], &job->key, &text))
			return -ENOMEM; /* that it is a string was seen before */
		hw_sha256_add_field(&sha, text.p, text.len);
	}
	hw_sha256_finish(&sha, digest);
	hw_hex(digest, sizeof(digest), digits);
	hw_buf_clear(&job->key);
	hw_buf_puts(&job->key, "cloudevent ");
	hw_buf_puts(&job->key, digits);
	*out = hw_buf_view(&job->key);
	return job->key.failed ? -ENOMEM : 0;
}

/* The item's own key; else the header's, told apart by the item's place in an array. 0 or -ENOMEM,
 * -EINVAL: too long. */
static int find_key(struct publish_job *job, struct hw_str *out)
{
	struct hw_str header = exchange_str(job->ex, job->ex->key);
	bool own = job->command.key.kind == HW_JSON_STRING;

	*out = HW_STR_NULL;
	if (job->ex->cloud && (job->array || !header.p))
		return key_of_cloud(job, out);
	if (own && (job->array || !header.p))
		return hw_json_text(job->command.key, &job->key, out) ? -ENOMEM : 0;
	if (!header.p)
		return 0;
	if (!job->array) {
		*out = header;
		return 0;
	}
	hw_buf_clear(&job->key);
	hw_buf_str(&job->key, header);
	hw_buf_putc(&job->key, '/');
	hw_buf_u64(&job->key, job->n_results);
	*out = hw_buf_view(&job->key);
	return job->key.failed ? -ENOMEM : 0;
}

/* The tenant that the event names, if the hooks let this identity publish there; else its own. As
 * hw_hub_get. */
static int find_hub(struct publish_job *job, struct hw_hub **out)
{
	struct hw_login *login = &job->ex->login;
	struct hw_json named = job->command.event.tenant_id;
	char text[HW_TENANT_ID_MAX];
	struct hw_str tenant = {text, 0};

	*out = login->hub;
	if (named.kind != HW_JSON_STRING || hw_json_copy(named, text, sizeof(text), &tenant.len) ||
		hw_str_eq(tenant, login->identity->tenant_id) ||
		!hw_identity_may_publish_to(login->identity, tenant))
		return 0;
	return hw_hub_get(login->worker, tenant, out);
}

static void answer(struct publish_job *job)
{
	if (job->array)
		answer_all(job);
	else
		answer_one(job);
}

static void on_decided(struct hw_publish *publish);

static void on_stored(struct hw_keep_wait *wait, int r, uint64_t number)
{
	struct later *later = HW_CONTAINER_OF(wait, struct later, wait);
	struct publish_job *job = later->job;
	struct result *result = &job->results[later->index];
	const char *message;
	enum hw_code code = hw_publish_outcome(later->hub, r, number, result->event_id, &message);

	set_result(result, code, message);
	if (code != HW_CODE_NONE)
		count_refused(job->ex);
	later_free(later);
	if (!job->all_read || !hw_list_empty(&job->later))
		return;
	answer(job);
	http_resume(job->ex);
}

static bool hand_over(struct hw_publish *publish)
{
	struct publish_job *job = publish->arg;
	struct later *later = malloc(sizeof(*later));

	if (!later || !result_new(job)) {
		free(later);
		return false;
	}
	*later = (struct later){.wait = {.done = on_stored},
		.job = job,
		.hub = publish->hub,
		.index = job->n_results - 1};
	hw_keep_move(&publish->wait, &later->wait);
	hw_list_push(&job->later, &later->link);
	return true;
}

/* An earlier item of this topic that could not be taken now will come again, and is not to be
 * overtaken: then this one is refused with it. */
static bool wait_behind(struct publish_job *job, const struct hw_hub *hub)
{
	uint64_t topic = job->held ? topic_key(job, hub) : 0;

	for (size_t i = 0; job->held && i < job->n_results; i++) {
		const struct result *first = &job->results[i];
		int64_t retry_after_ms = first->retry_after_ms;

		if (first->topic != topic)
			continue;
		add_failure(job, first->code,
			"an event of this topic that stands before it could not be taken now");
		if (!job->no_memory)
			job->results[job->n_results - 1].retry_after_ms = retry_after_ms;
		return true;
	}
	return false;
}

/* true: it has its result. */
static bool publish_item(struct publish_job *job)
{
	struct exchange *ex = job->ex;
	struct hw_hub *hub;
	struct hw_str key;
	int r;

	if (find_key(job, &key)) {
		add_failure(job, HW_CODE_UNAVAILABLE, "out of memory");
		return true;
	}
	r = find_hub(job, &hub);
	if (r) {
		add_failure(job, r == -ENOENT ? HW_CODE_FORBIDDEN_TOPIC : HW_CODE_UNAVAILABLE,
			r == -ENOENT ? "this tenant is not served here"
				     : "the tenant's policy cannot run now");
		return true;
	}
	if (wait_behind(job, hub))
		return true;
	job->publish = (struct hw_publish){
		.hub = hub,
		.identity = ex->login.identity,
		.command = &job->command,
		.text = hw_buf_view(&ex->body),
		.key = key,
		.trace_id = exchange_str(ex, ex->trace_id),
		.session = HW_STR(""),
		.address = hw_str_of(http_address(ex)),
		.http = true,
		.decided = on_decided,
		.hand_over = job->array ? hand_over : NULL,
		.arg = job,
	};
	job->deciding = true;
	if (!hw_publish_start(&job->publish))
		return false;
	job->deciding = false;
	add_result(job);
	hw_publish_fini(&job->publish);
	return true;
}

/* All items are read: true when all have their results and the answer is sent. */
static bool end(struct publish_job *job)
{
	job->all_read = true;
	if (!hw_list_empty(&job->later))
		return false;
	answer(job);
	return true;
}

/* As hw_command_next. */
static int next_item(struct publish_job *job, struct hw_err *err)
{
	int r;

	if (!job->ex->cloud)
		return hw_command_next(&job->commands, &job->command, err);
	r = hw_cloudevents_next(&job->clouds, &job->cloud, &job->item, err);
	if (!r)
		r = hw_commands_open(
			&job->commands, hw_buf_view(&job->item), HW_COMMAND_BODY, 1, err);
	return r ? r : hw_command_next(&job->commands, &job->command, err);
}

/* Items until one is pending or the turn has had its share (false), or as end. */
static bool run(struct publish_job *job)
{
	struct hw_worker *w = job->ex->login.worker;
	int64_t until_ms = hw_worker_now_ms(w) + TURN_MS;
	struct hw_err err;

	do {
		int r = next_item(job, &err);

		if (r == HW_COMMAND_END)
			return end(job);
		if (!r) {
			if (!publish_item(job))
				return false;
			continue;
		}
		add_failure(job, r == -ENOMEM ? HW_CODE_UNAVAILABLE : HW_CODE_BAD_REQUEST,
			r == -ENOMEM ? "out of memory" : err.text);
		if (r < 0)
			return end(job);
	} while (hw_worker_now_ms(w) < until_ms);
	hw_timer_arm(w->timers, &job->next_turn, hw_worker_now_ms(w));
	return false;
}

static void on_next_turn(struct hw_timer *timer)
{
	struct publish_job *job = HW_CONTAINER_OF(timer, struct publish_job, next_turn);

	if (run(job))
		http_resume(job->ex);
}

static void on_decided(struct hw_publish *publish)
{
	struct publish_job *job = publish->arg;

	job->deciding = false;
	add_result(job);
	hw_publish_fini(publish);
	if (run(job))
		http_resume(job->ex);
}

static int open_body(struct publish_job *job, struct hw_err *err)
{
	struct hw_str body = hw_buf_view(&job->ex->body);
	int r;

	if (job->ex->cloud) {
		job->array = job->ex->cloud == CLOUD_BATCH;
		return hw_cloudevents_open(&job->clouds, body, job->array, MAX_ITEMS, err);
	}
	r = hw_commands_open(&job->commands, body, HW_COMMAND_BODY, MAX_ITEMS, err);
	job->array = job->commands.array;
	return r;
}

void publish_handle(struct exchange *ex)
{
	struct publish_job *job = calloc(1, sizeof(*job));
	struct hw_err err;
	int r;

	ex->publish = job;
	if (!job) {
		exchange_refuse(ex, 0, HW_CODE_UNAVAILABLE, "out of memory");
		answer_refusal(ex);
		return;
	}
	job->ex = ex;
	hw_timer_init(&job->next_turn, on_next_turn);
	hw_list_init(&job->later);
	hw_buf_init(&job->key);
	hw_buf_init(&job->item);
	r = open_body(job, &err);
	if (r) {
		count_refused(ex);
		exchange_refuse(ex, 0,
			r == -E2BIG    ? HW_CODE_TOO_LARGE
			: r == -ENOMEM ? HW_CODE_UNAVAILABLE
				       : HW_CODE_BAD_REQUEST,
			err.text);
		answer_refusal(ex);
		return;
	}
	ex->waiting = !run(job);
}
