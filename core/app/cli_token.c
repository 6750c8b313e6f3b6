#include "app/cli_token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_file(const char *path, char *out, size_t size, size_t *len, struct hw_err *err)
{
	FILE *file = fopen(path, "rbe");
	int failed;

	if (!file)
		return hw_err_set(err, -errno, "--token-file %s: %s", path, strerror(errno));
	*len = fread(out, 1, size, file);
	failed = ferror(file);
	fclose(file);
	if (failed)
		return hw_err_set(err, -EIO, "--token-file %s: it cannot be read", path);
	return 0;
}

static struct hw_str trim(struct hw_str s)
{
	static const char blank[] = " \t\r\n";

	while (s.len > 0 && s.p[0] && strchr(blank, s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && s.p[s.len - 1] && strchr(blank, s.p[s.len - 1]))
		s.len--;
	return s;
}

static int take(struct hw_str token, const char *from, struct hw_buf *out, struct hw_err *err)
{
	token = trim(token);
	if (token.len == 0)
		return hw_err_set(err, -EINVAL, "%s holds no token: it is empty", from);
	if (token.len > HW_CLI_TOKEN_MAX)
		return hw_err_set(err, -EINVAL, "%s holds no token: it is longer than %d bytes",
			from, HW_CLI_TOKEN_MAX);
	for (size_t i = 0; i < token.len; i++) {
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return hw_err_set(err, -EINVAL,
				"%s holds no token: white space or other characters are inside it",
				from);
	}
	hw_buf_str(out, token);
	return out->failed ? hw_err_set(err, -ENOMEM, "out of memory") : 0;
}

int hw_cli_token_read(const char *token, const char *file, struct hw_buf *out, struct hw_err *err)
{
	const char *env = getenv(HW_CLI_TOKEN_ENV);
	char text[HW_CLI_TOKEN_MAX + 64]; /* a little white space may surround it */
	size_t len = 0;
	int rc;

	if (token && file)
		return hw_err_set(err, -EINVAL, "--token or --token-file, not both");
	if (token)
		return take(hw_str_of(token), "--token", out, err);
	if (file) {
		rc = read_file(file, text, sizeof(text), &len, err);
		if (rc == 0)
			rc = take((struct hw_str){text, len}, file, out, err);
		explicit_bzero(text, sizeof(text));
		return rc;
	}
	if (env && env[0])
		return take(hw_str_of(env), "the environment variable " HW_CLI_TOKEN_ENV, out, err);
	return hw_err_set(err, -ENOENT,
		"no token: give --token-file FILE or --token TOKEN, or set " HW_CLI_TOKEN_ENV
		" (hookwire token makes one)");
}

void hw_cli_token_hide(char *argument)
{
	if (argument)
		memset(argument, '*', strlen(argument));
}

void hw_cli_token_forget(struct hw_buf *token)
{
	if (token->data)
		explicit_bzero(token->data, token->cap);
	hw_buf_fini(token);
}

int hw_cli_say(const char *command, int exit_code, const char *format, ...)
{
	struct hw_buf text;
	struct hw_str rest;
	va_list args;

	hw_buf_init(&text);
	va_start(args, format);
	hw_buf_vprintf(&text, format, args);
	va_end(args);
	rest = hw_buf_view(&text);
	fprintf(stderr, "hookwire %s: ", command);
	while (rest.len > 0) {
		char shown[HW_JSON_CHAR_MAX];
		size_t len = 1, taken = 1;

		if (rest.p[0] >= ' ' && rest.p[0] <= '~')
			shown[0] = rest.p[0];
		else
			taken = hw_json_char(rest, shown, &len);
		fwrite(shown, 1, len, stderr);
		rest.p += taken;
		rest.len -= taken;
	}
	fputc('\n', stderr);
	hw_buf_fini(&text);
	return exit_code;
}

int hw_cli_end(const char *command, int code, int failed)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	return hw_cli_say(command, failed, "standard output: %s", strerror(errno));
}
