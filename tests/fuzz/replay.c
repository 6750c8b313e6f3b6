/* Runs a fuzzer over its corpus without libFuzzer, so that every build tries the inputs that
 * once mattered. Each argument is a directory of inputs; none at all is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly the input's size, so that a sanitizer sees a read past its end. */
static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long size;
	int result = -1;

	if (!file)
		goto out;
	if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
		goto out;
	rewind(file);
	data = malloc((size_t)size ? (size_t)size : 1);
	if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
		goto out;
	LLVMFuzzerTestOneInput(data, (size_t)size);
	result = 0;
out:
	if (result)
		perror(path);
	free(data);
	if (file)
		fclose(file);
	return result;
}

static int replay_directory(const char *path, size_t *n_inputs)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[4096];
	int result = 0;

	if (!dir) {
		perror(path);
		return -1;
	}
	while (!result && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
			result = -1;
		else
			result = replay_file(name);
		*n_inputs += !result;
	}
	closedir(dir);
	return result;
}

int main(int argc, char **argv)
{
	size_t n_inputs = 0;

	for (int i = 1; i < argc; i++) {
		if (replay_directory(argv[i], &n_inputs))
			return 1;
	}
	printf("%zu inputs replayed\n", n_inputs);
	return n_inputs ? 0 : 1;
}
