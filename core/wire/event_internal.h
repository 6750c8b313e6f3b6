/* How an envelope is gathered member by member, for its two readers inside this folder: the event
 * alone and the publish command, whose members stand in the same object. */
#pragma once

#include "wire/event.h"
#include "wire/keys.h"

#define HW_EVENT_TWICE_MAX 8 /* repeated members that are told one by one */

enum hw_event_part {
	HW_EVENT_TOPIC,
	HW_EVENT_EVENT,
	HW_EVENT_DATA,
	HW_EVENT_TRACE_ID,
	HW_EVENT_VERSION,
	HW_EVENT_OTHER, /* no member of the envelope */
};

struct hw_event_scan {
	struct hw_event *ev;
	struct hw_json twice[HW_EVENT_TWICE_MAX];
	bool twice_in_data[HW_EVENT_TWICE_MAX];
	size_t n_twice; /* of these */
};

void hw_event_scan_init(struct hw_event_scan *s, struct hw_event *ev);
/** What an escaped key says if it fits in @store, else nothing a member is called. */
struct hw_str hw_event_key(struct hw_json key, char store[16]);
enum hw_event_part hw_event_part(struct hw_str key);
void hw_event_scan_twice(struct hw_event_scan *s, struct hw_json key, bool in_data);
/** Reads the value of one member of the envelope. 0, -EINVAL (the reader says what), -ENOMEM. */
HW_MUST_CHECK int hw_event_scan_part(
	struct hw_event_scan *s, struct hw_json_reader *r, enum hw_event_part part);
/** Once all is read: the rules. As hw_event_parse. */
HW_MUST_CHECK int hw_event_check(
	struct hw_event_scan *s, struct hw_event_report *report, struct hw_err *err);
/** topic alone, for commands that have no more of an event. As hw_event_parse without report. */
HW_MUST_CHECK int hw_event_check_topic(struct hw_event *ev, struct hw_err *err);
