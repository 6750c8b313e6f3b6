#include "hook/plugin_library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/hex.h"
#include "crypto/random.h"
#include "hook/plugin_image.h"
#include "hook/plugin_open.h"
#include "hook/plugin_trial.h"

#define HASH_DIGITS (2 * HW_SHA256_LEN)

static int write_all(int fd, struct hw_str bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes.p += n;
		bytes.len -= (size_t)n;
	}
	return 0;
}

/* Whether the file holds exactly the image: a copy of an earlier run may have been cut by a full
 * disk or a crash. */
static bool holds(const char *path, struct hw_str image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	size_t at = 0;
	bool same;

	if (fd < 0)
		return false;
	same = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == image.len;
	while (same && at < image.len) {
		char chunk[65536];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		same = n > 0 && (size_t)n <= image.len - at &&
		       memcmp(chunk, image.p + at, (size_t)n) == 0;
		at += same ? (size_t)n : 0;
	}
	close(fd);
	return same;
}

/* Under a name of its own first: whoever opens the final name finds all of it. */
static int make_copy(const char *path, struct hw_str image, struct hw_err *err)
{
	char temporary[4096];
	uint64_t nonce;
	int fd, rc;

	if (holds(path, image))
		return 0;
	hw_random(&nonce, sizeof(nonce));
	snprintf(temporary, sizeof(temporary), "%s.%016llx", path, (unsigned long long)nonce);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0500);
	if (fd < 0) {
		rc = -errno;
		return hw_err_set(
			err, rc, "cannot make the private copy %s: %s", temporary, strerror(-rc));
	}
	rc = write_all(fd, image);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	if (rc < 0) {
		unlink(temporary);
		return hw_err_set(
			err, rc, "cannot make the private copy %s: %s", path, strerror(-rc));
	}
	return 0;
}

static int open_copy(
	struct hw_hook_env *env, const char *path, struct hw_plugin *table, struct hw_err *err)
{
	int rc = env->self_exe ? hw_plugin_trial(env->self_exe, path, err) : 0;

	if (rc == 0)
		rc = hw_plugin_open(path, table, err);
	if (rc < 0)
		unlink(path); /* of no use to anybody; a plugin that is open keeps its file */
	return rc;
}

int hw_plugin_library_get(struct hw_hook_env *env, struct hw_str image,
	const uint8_t hash[HW_SHA256_LEN], const struct hw_plugin_library **out, struct hw_err *err)
{
	char digits[HASH_DIGITS + 1], path[4000];
	struct hw_plugin_library *library;
	int n, rc;

	for (library = env->libraries; library; library = library->next) {
		if (memcmp(library->hash, hash, HW_SHA256_LEN) == 0) {
			*out = library;
			return 0;
		}
	}
	if (!env->plugin_cache)
		return hw_err_set(err, -EINVAL, "there is no folder for private copies of plugins");
	hw_hex(hash, HW_SHA256_LEN, digits);
	n = snprintf(path, sizeof(path), "%s/%s.so", env->plugin_cache, digits);
	if (n < 0 || (size_t)n >= sizeof(path))
		return hw_err_set(err, -ENAMETOOLONG, "the name of the plugin cache is too long");
	rc = hw_plugin_image_check(image, err);
	if (rc < 0)
		return rc;
	library = calloc(1, sizeof(*library));
	if (!library)
		return hw_err_set(err, -ENOMEM, "out of memory");
	rc = make_copy(path, image, err);
	if (rc == 0)
		rc = open_copy(env, path, &library->table, err);
	if (rc < 0) {
		free(library);
		return rc;
	}
	memcpy(library->hash, hash, HW_SHA256_LEN);
	library->next = env->libraries;
	env->libraries = library;
	*out = library;
	return 0;
}

void hw_plugin_libraries_forget(struct hw_hook_env *env)
{
	while (env->libraries) {
		struct hw_plugin_library *next = env->libraries->next;

		free(env->libraries);
		env->libraries = next;
	}
}
