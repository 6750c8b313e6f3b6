/* Inside core/hook: whether the bytes of a shared object are all there, before anything maps them.
 * A file that lacks its end may open well and end the process later, when a page that is missing is
 * touched. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/** 0 when @image is an ELF shared object of this machine's word size and all that its loadable
 * segments take from the file is there; -EINVAL with @err. (elf(5), PT_LOAD) */
HW_MUST_CHECK int hw_plugin_image_check(struct hw_str image, struct hw_err *err);
