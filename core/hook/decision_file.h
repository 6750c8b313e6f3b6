/* The file that decisions are written to: lines wait in a bounded buffer, a thread of its own
 * writes them, and whoever adds one never waits for a disk. What finds no room, or cannot be
 * written, is dropped and counted; the file holds whole lines. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"

struct hw_decision_file;

/** Starts no thread yet. @log, @logged and @unwritten (lines that the disk did not take) live
 * longer. NULL: out of memory. */
struct hw_decision_file *hw_decision_file_create(
	struct hw_log *log, struct hw_metric *logged, struct hw_metric *unwritten);
/** Control thread. @path is where lines go from now on, NULL: nowhere; at most @max_bytes wait in
 * memory, and as many again are on their way to the disk. The first call starts the thread, also
 * for nowhere: it has its caller's share of the CPU, and a control thread that has begun to reload
 * gives way to others. 0 or negative errno: all is as before. */
HW_MUST_CHECK int hw_decision_file_configure(
	struct hw_decision_file *file, const char *path, size_t max_bytes);
/** Control thread: what is added from now on goes to a file that is opened anew by its name. */
void hw_decision_file_reopen(struct hw_decision_file *file);
/** Any thread; @line ends in a newline. 0; -ENOBUFS: too much waits; -ENOMEM. */
HW_MUST_CHECK int hw_decision_file_add(struct hw_decision_file *file, struct hw_str line);
/** Writes what waits and ends the thread. Nobody adds any more. false: the disk holds it up for so
 * long that it is left behind, and uses @log and the metrics still. */
bool hw_decision_file_destroy(struct hw_decision_file **file);
