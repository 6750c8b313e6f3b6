#include "net/trust.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/ssl.h>

struct store {
	struct hw_trust trust;
	X509_STORE *x509;
};

static void use(struct hw_trust *trust, void *ssl_ctx)
{
	SSL_CTX_set1_cert_store(ssl_ctx, HW_CONTAINER_OF(trust, struct store, trust)->x509);
}

int hw_trust_create(const char *ca_file, struct hw_trust **out)
{
	struct store *store = calloc(1, sizeof(*store));
	struct hw_trust *trust = store ? &store->trust : NULL;

	if (!store)
		return -ENOMEM;
	trust->use = use;
	store->x509 = X509_STORE_new();
	if (!store->x509 || X509_STORE_load_file(store->x509, ca_file) != 1) {
		int rc = store->x509 ? -ENOENT : -ENOMEM;

		hw_trust_destroy(&trust);
		return rc;
	}
	/* as curl sets up its own: a listed authority ends the chain, also one in the middle */
	X509_STORE_set_flags(store->x509, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	*out = trust;
	return 0;
}

void hw_trust_destroy(struct hw_trust **trust)
{
	struct store *store;

	if (!*trust)
		return;
	store = HW_CONTAINER_OF(*trust, struct store, trust);
	*trust = NULL;
	X509_STORE_free(store->x509);
	free(store);
}
