#include "hook/coverage.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "hook/lua_internal.h"

/* Which lines have code: Lua tells it of functions that exist, and those of a function that never
 * ran do not. So it is read from the compiled chunk as lua_dump writes it (ldump.c of Lua 5.4;
 * what another version writes is refused by its first bytes). */

#define HEAD_BYTES 31 /* signature to the check numbers */
#define INSTRUCTION_BYTES 4
#define UPVALUE_BYTES 3
#define NUMBER_BYTES 8
#define OPCODE_MASK 0x7f
#define OPCODE_JUMP 56 /* lopcodes.h */
#define OPCODE_TAILCALL 69
#define ABSOLUTE (-0x80) /* in the line deltas: the next of the absolute ones counts */
#define MAX_NESTING 200  /* of functions: LUAI_MAXCCALLS */
static const uint8_t head[] = {0x1b, 'L', 'u', 'a', 0x54, 0};

struct dump {
	const uint8_t *p, *end;
	bool bad;
	struct hw_coverage *coverage;
};

static const uint8_t *take(struct dump *d, uint64_t n)
{
	const uint8_t *p = d->p;

	if (d->bad || n > (uint64_t)(d->end - d->p)) {
		d->bad = true;
		return NULL;
	}
	d->p += n;
	return p;
}

static uint8_t take_byte(struct dump *d)
{
	const uint8_t *p = take(d, 1);

	return p ? *p : 0;
}

/* Seven bits a byte, the highest first; the last one is marked. */
static uint64_t take_number(struct dump *d)
{
	uint64_t n = 0;
	uint8_t byte;

	do {
		byte = take_byte(d);
		n = n << 7 | (byte & 0x7f);
	} while (!(byte & 0x80) && !d->bad);
	return n;
}

static void skip_string(struct dump *d)
{
	uint64_t n = take_number(d);

	if (n > 0)
		take(d, n - 1);
}

static void skip_constants(struct dump *d)
{
	for (uint64_t n = take_number(d); n > 0 && !d->bad; n--) {
		switch (take_byte(d)) {
		case 0x00: /* nil */
		case 0x01: /* false */
		case 0x11: /* true */
			break;
		case 0x03: /* integer */
		case 0x13: /* float */
			take(d, NUMBER_BYTES);
			break;
		case 0x04: /* short and long strings */
		case 0x14:
			skip_string(d);
			break;
		default:
			d->bad = true;
		}
	}
}

static unsigned opcode(const uint8_t *code, uint64_t pc)
{
	uint32_t instruction;

	memcpy(&instruction, code + pc * INSTRUCTION_BYTES, sizeof(instruction));
	return instruction & OPCODE_MASK;
}

/* Some instructions are nobody's code, and a line that has nothing else would be one that never
 * runs: the return that Lua adds to the end of every function; the one behind a call whose result
 * is returned, which that call takes the place of; jumps, since what would jump to a jump jumps to
 * where that leads; and the first of the chunk itself. */
static bool is_code(const uint8_t *code, uint64_t n, uint64_t pc, bool is_vararg)
{
	if (pc + 1 == n || (pc == 0 && is_vararg) || opcode(code, pc) == OPCODE_JUMP)
		return false;
	return pc == 0 || opcode(code, pc - 1) != OPCODE_TAILCALL;
}

static void mark_lines(
	struct dump *d, const uint8_t *code, uint64_t n_code, uint64_t line, bool is_vararg)
{
	uint64_t n = take_number(d), n_absolute;
	const int8_t *deltas = (const int8_t *)take(d, n);
	struct hw_coverage *c = d->coverage;

	n_absolute = take_number(d);
	if (n != n_code)
		d->bad = true; /* it always has them: nothing is stripped */
	for (uint64_t pc = 0; !d->bad && pc < n; pc++) {
		if (deltas[pc] != ABSOLUTE) {
			line = (uint64_t)((int64_t)line + deltas[pc]);
		} else if (n_absolute > 0) {
			n_absolute--;
			take_number(d); /* the instruction's place */
			line = take_number(d);
		}
		if (is_code(code, n, pc, is_vararg) && line >= 1 && line <= c->n_lines)
			c->lines[line] = HW_COVERAGE_CODE;
	}
	for (; n_absolute > 0 && !d->bad; n_absolute--) {
		take_number(d);
		take_number(d);
	}
}

static void mark_function(struct dump *d, unsigned nesting)
{
	uint64_t line, n, n_code;
	const uint8_t *code;
	bool is_vararg;

	if (nesting > MAX_NESTING) {
		d->bad = true;
		return;
	}
	skip_string(d); /* the source */
	line = take_number(d);
	take_number(d); /* its last line */
	take_byte(d);   /* parameters */
	is_vararg = take_byte(d) != 0;
	take_byte(d); /* registers */
	n_code = take_number(d);
	code = take(d, n_code * INSTRUCTION_BYTES);
	skip_constants(d);
	n = take_number(d);
	take(d, n * UPVALUE_BYTES);
	for (n = take_number(d); n > 0 && !d->bad; n--)
		mark_function(d, nesting + 1);
	mark_lines(d, code, n_code, line, is_vararg);
	for (n = take_number(d); n > 0 && !d->bad; n--) { /* local variables */
		skip_string(d);
		take_number(d);
		take_number(d);
	}
	for (n = take_number(d); n > 0 && !d->bad; n--) /* names of upvalues */
		skip_string(d);
}

static int add_to_buf(lua_State *lua, const void *p, size_t len, void *arg)
{
	struct hw_buf *out = arg;

	(void)lua;
	hw_buf_add(out, p, len);
	return out->failed;
}

/* In a state of its own: nothing of the file runs. */
static int compile(struct hw_str source, struct hw_buf *out)
{
	lua_State *lua = luaL_newstate();
	int rc = -ENOMEM;

	if (!lua)
		return rc;
	if (source.len >= 3 && memcmp(source.p, "\xef\xbb\xbf", 3) == 0) {
		source.p += 3;
		source.len -= 3;
	}
	if (luaL_loadbufferx(lua, source.p, source.len, "=", "t") != LUA_OK)
		rc = -EINVAL;
	else if (lua_dump(lua, add_to_buf, out, 0) == 0)
		rc = 0;
	lua_close(lua);
	return rc;
}

static int find_code(struct hw_coverage *coverage, struct hw_str source)
{
	struct dump d = {.coverage = coverage};
	struct hw_buf out;
	int rc;

	hw_buf_init(&out);
	rc = compile(source, &out);
	if (rc == 0) {
		const uint8_t *start;

		d.p = (const uint8_t *)out.data;
		d.end = d.p + out.len;
		start = take(&d, HEAD_BYTES);
		take_byte(&d); /* upvalues of the chunk */
		if (!start || memcmp(start, head, sizeof(head)) != 0)
			d.bad = true;
		else
			mark_function(&d, 0);
		rc = d.bad ? -EINVAL : 0;
	}
	hw_buf_fini(&out);
	return rc;
}

int hw_coverage_create(const char *path, struct hw_str source, struct hw_coverage **out)
{
	struct hw_coverage *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	if (!c)
		return rc;
	c->n_lines = 1;
	for (size_t i = 0; i < source.len; i++)
		c->n_lines += source.p[i] == '\n';
	c->lines = calloc(c->n_lines + 1, 1);
	c->path = strdup(path);
	if (c->lines && c->path)
		rc = find_code(c, source);
	if (rc < 0)
		hw_coverage_destroy(&c);
	else
		*out = c;
	return rc;
}

void hw_coverage_destroy(struct hw_coverage **coverage)
{
	struct hw_coverage *c = *coverage;

	if (!c)
		return;
	*coverage = NULL;
	free(c->lines);
	free(c->path);
	free(c);
}

void hw_hook_env_cover(struct hw_hook_env *env, struct hw_coverage *coverage)
{
	env->coverage = coverage;
}

/* Modules of require have another source than the file that is looked at. */
static void on_line(lua_State *lua, lua_Debug *at)
{
	struct hw_lua_state *state = hw_lua_of(lua);
	struct hw_coverage *c = state->env->coverage;
	const struct hw_lua_entry *entry = state->running ? state->running->entry : NULL;

	if (!c || !entry || strcmp(entry->base.path, c->path) != 0 || !lua_getinfo(lua, "S", at))
		return;
	if (at->currentline < 1 || (size_t)at->currentline > c->n_lines ||
		strcmp(at->source, entry->chunk_name) != 0)
		return;
	if (c->lines[at->currentline] == HW_COVERAGE_CODE)
		c->lines[at->currentline] = HW_COVERAGE_RAN;
}

void hw_lua_cover(lua_State *lua)
{
	lua_sethook(lua, on_line, LUA_MASKLINE, 0); /* coroutines inherit it */
}
