#include "app/cli_config.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

int hw_cli_config(int argc, char **argv, const char *usage, const char **path)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*path = NULL;
	optind = 1;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c != 'c') {
			fprintf(stderr, "try: %s --help\n", argv[0]);
			return 2;
		}
		*path = optarg;
	}
	if (*path && optind == argc)
		return -1;
	fprintf(stderr, "%s: it needs -c FILE and nothing else; try: %s --help\n", argv[0],
		argv[0]);
	return 2;
}
