#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/conf_tree.h"

static int read_all(int fd, size_t max_bytes, struct hw_buf *out)
{
	size_t start = out->len;

	for (;;) {
		char *to = hw_buf_reserve(out, 4096);
		ssize_t n;

		if (!to)
			return -ENOMEM;
		n = read(fd, to, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->len += (size_t)n;
		if (out->len - start > max_bytes)
			return -EFBIG;
	}
}

int hw_conf_read_file(const char *path, size_t max_bytes, struct hw_buf *out)
{
	/* O_NONBLOCK: opening a FIFO that nobody writes would hang a reload */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else
		rc = read_all(fd, max_bytes, out);
	close(fd);
	return rc;
}

void hw_conf_path_join(struct hw_buf *out, const char *file, struct hw_str path)
{
	const char *slash = strrchr(file, '/');

	if (slash && (path.len == 0 || path.p[0] != '/'))
		hw_buf_add(out, file, (size_t)(slash + 1 - file));
	hw_buf_str(out, path);
}
