#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

struct body {
	size_t len;
	char *bytes; /* FETCH_MAX_BYTES */
};

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct body *body = arg;

	if (size * n > FETCH_MAX_BYTES - body->len)
		return 0;
	memcpy(body->bytes + body->len, p, size * n);
	body->len += size * n;
	return size * n;
}

static int set_options(CURL *e, const char *url, struct body *body, char *why)
{
	const char *ca_file = getenv("SSL_CERT_FILE"); /* as OpenSSL's own programs take it */

	if (curl_easy_setopt(e, CURLOPT_URL, url) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
		/* a resolver that hangs would hold up the thread beyond the timeout */
		curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, FETCH_TIMEOUT_MS) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_USERAGENT, "hookwire-jwt") != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_WRITEDATA, body) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_ERRORBUFFER, why) != CURLE_OK)
		return -1;
	return ca_file && ca_file[0] && curl_easy_setopt(e, CURLOPT_CAINFO, ca_file) != CURLE_OK
		       ? -1
		       : 0;
}

static int perform(CURL *e, const char *url, struct body *body, char error[FETCH_ERROR_SIZE])
{
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code;
	long status = 0;

	if (set_options(e, url, body, why) < 0) {
		snprintf(error, FETCH_ERROR_SIZE, "out of memory");
		return -1;
	}
	code = curl_easy_perform(e);
	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_WRITE_ERROR)
		snprintf(error, FETCH_ERROR_SIZE, "the document has more than %u bytes",
			FETCH_MAX_BYTES);
	else if (code != CURLE_OK)
		snprintf(
			error, FETCH_ERROR_SIZE, "%.200s", why[0] ? why : curl_easy_strerror(code));
	else if (status != 200)
		snprintf(error, FETCH_ERROR_SIZE, "it was answered %ld", status);
	return code == CURLE_OK && status == 200 ? 0 : -1;
}

int fetch_document(const char *url, char **doc, size_t *len, char error[FETCH_ERROR_SIZE])
{
	struct body body = {0, malloc(FETCH_MAX_BYTES)};
	CURL *e = curl_easy_init();
	int rc = -1;

	if (e && body.bytes)
		rc = perform(e, url, &body, error);
	else
		snprintf(error, FETCH_ERROR_SIZE, "out of memory");
	curl_easy_cleanup(e);
	if (rc < 0) {
		free(body.bytes);
		return -1;
	}
	*doc = body.bytes;
	*len = body.len;
	return 0;
}

int fetch_is_url(const char *text)
{
	char *scheme = NULL, *host = NULL;
	CURLU *url = curl_url();
	int is = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
		 curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		 curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] &&
		 (strcasecmp(scheme, "https") == 0 || strcasecmp(scheme, "http") == 0);

	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	return is;
}
