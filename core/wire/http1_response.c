#include "wire/http1_response.h"

#include <errno.h>

#include "wire/http1_internal.h"

const char *hw_http1_status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 207:
		return "Multi-Status";
	case 301:
		return "Moved Permanently";
	case 302:
		return "Found";
	case 304:
		return "Not Modified";
	case 308:
		return "Permanent Redirect";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 411:
		return "Length Required";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 415:
		return "Unsupported Media Type";
	case 417:
		return "Expectation Failed";
	case 421:
		return "Misdirected Request";
	case 422:
		return "Unprocessable Content";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
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
	if (until_close || !response->keep_alive)
		hw_buf_puts(out, "Connection: close\r\n");
	else if (response->minor == 0)
		hw_buf_puts(out, "Connection: keep-alive\r\n");
	hw_buf_add(out, "\r\n", 2);
	if (!response->head_only)
		hw_buf_str(out, response->body);
	if (out->failed) {
		out->len = before;
		return -ENOMEM;
	}
	return 0;
}
