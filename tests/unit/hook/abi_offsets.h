/* What test_abi.c compares of two versions of the plugin interface. */
#pragma once

#include <stddef.h>

struct abi_offset {
	const char *name;
	size_t at, size;
};

/* as the header of today has it, and that of 1.0 */
extern const struct abi_offset abi_now[], abi_1_0[];
