/* Reads the settings of an entry into the form that decides. */
#pragma once

#include "rules.h"

/** 0, or -1 with @problem filled. */
int acl_read(const struct hw_host *host, struct hw_slice config, struct acl *out,
	struct hw_problem *problem);
