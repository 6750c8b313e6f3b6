/* The access list in the form that decides: flat tables that are made once, when an entry is
 * loaded, and never change, so that all workers share them. A decision allocates nothing. */
#pragma once

#include <stdbool.h>

#include <hookwire/plugin.h>

#define ACL_MAX_CLAIMS 32 /* different claims that all rules together may name */
#define ACL_MAX_PIECES 8  /* of one pattern's id */

enum acl_piece_kind {
	ACL_LITERAL,
	ACL_USER_ID,
	ACL_TENANT_ID,
	ACL_CLAIM, /* at most one in a pattern */
	ACL_REST,  /* "*": whatever follows, the last piece */
};

struct acl_piece {
	enum acl_piece_kind kind;
	unsigned claim;
	struct hw_slice text;
};

/* "resource:id". Sorted: those of any resource first, then by resource; the rules in order. */
struct acl_pattern {
	unsigned rule;
	bool any_resource;
	bool any_id; /* the id is "*" alone: the only kind that a wildcard can match */
	struct hw_slice resource;
	size_t n_pieces;
	struct acl_piece pieces[ACL_MAX_PIECES];
};

/* A value that a claim must have, or hold in its array. kind is a letter as of json_next. */
struct acl_value {
	char kind;
	struct hw_slice text;
};

/* One of values[first..end] */
struct acl_condition {
	unsigned claim;
	size_t first, end;
};

struct acl_rule {
	bool allow;
	unsigned operations; /* bits 1u << HW_OP_… */
	bool everybody;      /* else one of users[first_user..end_user], sorted */
	size_t first_user, end_user;
	size_t first_condition, end_condition; /* all of them */
};

struct acl {
	bool otherwise_deny;
	struct acl_rule *rules;
	struct acl_pattern *patterns;
	struct hw_slice *users;
	struct acl_condition *conditions;
	struct acl_value *values;
	char *claims[ACL_MAX_CLAIMS];
	size_t n_rules, n_patterns, n_users, n_conditions, n_values, n_claims;
	size_t n_any; /* patterns[0..n_any] are of any resource */
	char *text;   /* what the slices point into */
};

/** Sorts what is searched; once, after all has been filled in. */
void acl_compile(struct acl *acl);
void acl_fini(struct acl *acl);
/** The order of users. */
int acl_compare(struct hw_slice a, struct hw_slice b);

/** The answer of the first rule that matches. HW_DEFER: none did. HW_DENY also when a claim that a
 * rule asks for cannot be read. Any thread. */
enum hw_verdict acl_decide(const struct acl *acl, const struct hw_host *host,
	const struct hw_who *who, const struct hw_question *question);
