#include "crypto/trust.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

struct hw_trust {
	X509_STORE *store;
};

int hw_trust_create(const char *ca_file, struct hw_trust **out)
{
	struct hw_trust *trust = calloc(1, sizeof(*trust));
	int rc = -ENOMEM;

	if (!trust)
		return -ENOMEM;
	trust->store = X509_STORE_new();
	if (!trust->store)
		goto fail;
	rc = -ENOENT;
	if (X509_STORE_load_file(trust->store, ca_file) != 1)
		goto fail;
	/* as curl sets up its own: a listed authority ends the chain, also one in the middle */
	X509_STORE_set_flags(trust->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	*out = trust;
	return 0;
fail:
	ERR_clear_error();
	hw_trust_destroy(&trust);
	return rc;
}

void hw_trust_destroy(struct hw_trust **trust)
{
	if (!*trust)
		return;
	X509_STORE_free((*trust)->store);
	free(*trust);
	*trust = NULL;
}

void hw_trust_use(struct hw_trust *trust, void *ssl_ctx)
{
	SSL_CTX_set1_cert_store(ssl_ctx, trust->store);
}
