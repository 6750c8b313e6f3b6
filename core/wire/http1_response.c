#include "wire/http1_response.h"

#include <errno.h>

#include "wire/http1_internal.h"

static const struct {
	unsigned status;
	const char *text;
} phrases[] = {
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{207, "Multi-Status"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{304, "Not Modified"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{411, "Length Required"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

const char *hw_http1_status_text(unsigned status)
{
	for (size_t i = 0; i < HW_COUNT(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].text;
	}
	return "Unknown";
}

bool hw_http1_header_sendable(const struct hw_http1_header *header)
{
	return hw_http1_is_token(header->name) &&
	       hw_http1_find_control(header->value.p, header->value.len) == header->value.len;
}

static bool is_framing(struct hw_str name)
{
	return hw_str_eq_nocase(name, HW_STR("Content-Length")) ||
	       hw_str_eq_nocase(name, HW_STR("Transfer-Encoding")) ||
	       hw_str_eq_nocase(name, HW_STR("Connection"));
}

/* RFC 9112 9.3 for close and keep-alive; RFC 9110 7.8: whoever sends Upgrade lists it here too. */
static void add_connection(struct hw_buf *out, const struct hw_http1_response *response)
{
	const char *option = NULL;
	bool upgrade = false;

	if (response->framing == HW_HTTP1_UNTIL_CLOSE || !response->keep_alive)
		option = "close";
	else if (response->minor == 0)
		option = "keep-alive";
	for (size_t i = 0; i < response->n_headers; i++)
		upgrade |= hw_str_eq_nocase(response->headers[i].name, HW_STR("Upgrade"));
	if (!option && !upgrade)
		return;
	hw_buf_puts(out, "Connection: ");
	hw_buf_puts(out, option ? option : "");
	hw_buf_puts(out, option && upgrade ? ", " : "");
	hw_buf_puts(out, upgrade ? "upgrade\r\n" : "\r\n");
}

void hw_http1_header_add(struct hw_buf *out, struct hw_str name, struct hw_str value)
{
	hw_buf_str(out, name);
	hw_buf_add(out, ": ", 2);
	hw_buf_str(out, value);
	hw_buf_add(out, "\r\n", 2);
}

int hw_http1_response_write(struct hw_buf *out, const struct hw_http1_response *response)
{
	bool bodiless = response->status == 204 || response->status == 304;
	bool until_close = response->framing == HW_HTTP1_UNTIL_CLOSE;
	size_t before = out->len;

	if (response->status < 200 || response->status > 599)
		return -EINVAL;
	if (bodiless && (response->body.len > 0 || until_close))
		return -EINVAL;
	for (size_t i = 0; i < response->n_headers; i++) {
		if (!hw_http1_header_sendable(&response->headers[i]) ||
			is_framing(response->headers[i].name))
			return -EINVAL;
	}
	hw_buf_add(out, "HTTP/1.1 ", 9);
	hw_buf_u64(out, response->status);
	hw_buf_putc(out, ' ');
	hw_buf_puts(out, hw_http1_status_text(response->status));
	hw_buf_add(out, "\r\n", 2);
	for (size_t i = 0; i < response->n_headers; i++)
		hw_http1_header_add(out, response->headers[i].name, response->headers[i].value);
	if (!bodiless && !until_close) {
		hw_buf_puts(out, "Content-Length: ");
		hw_buf_u64(out, response->body.len);
		hw_buf_add(out, "\r\n", 2);
	}
	add_connection(out, response);
	hw_buf_add(out, "\r\n", 2);
	if (!response->head_only)
		hw_buf_str(out, response->body);
	if (out->failed) {
		out->len = before;
		return -ENOMEM;
	}
	return 0;
}
