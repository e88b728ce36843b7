// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accepted.h"
#include "fixture.h"

static void check_accepted(struct vm_state **vms, size_t n, const struct image_files *given)
{
	int dir = fixture_dir();
	struct image_files files;
	struct vm_state **back;
	size_t nr_back;

	if (fixture_write_with(dir, &fixture_dump, vms, n, given) || image_read_all(dir, &back, &nr_back, &files) || n != nr_back)
		abort();
	for (size_t i = 0; i < n; i++)
		if (fixture_diff(vms[i], back[i]))
			abort();
	if (files.nr != given->nr || (files.nr && memcmp(files.list, given->list, files.nr * sizeof(*files.list))))
		abort();
	image_free_all(back, nr_back, &files);
	fixture_close(dir);
}

int read_and_check(int dir)
{
	struct image_files files;
	struct vm_state **vms;
	size_t n;

	if (image_read_all(dir, &vms, &n, &files))
		return 0;
	check_accepted(vms, n, &files);
	image_free_all(vms, n, &files);
	return 1;
}

int run_file(const char *path)
{
	static uint8_t input[1 << 20];
	FILE *file = fopen(path, "r");
	size_t size;

	if (!file) {
		perror(path);
		return 1;
	}
	size = fread(input, 1, sizeof(input), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(input, size);
}

int write_file(const char *dir, const char *name, const uint8_t *input, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	if (!file || fwrite(input, 1, size, file) != size || fclose(file)) {
		perror(path);
		return 1;
	}
	return 0;
}
