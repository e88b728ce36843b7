// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm verify: what a restore asks before it begins. */
#include <fcntl.h>
#include <unistd.h>

#include "inventory.h"
#include "state/backing.h"
#include "tool.h"
#include "verify.h"

static const char usage[] =
	"usage: criu-kvm verify [OPTION] DIR\n\n"
	"Whether a restore would take the images in DIR: all checks that criu restore makes of them.\n\n"
	"  --host         and whether this host can carry their VMs, with the files of guest memory that\n"
	"                 are not in the images: needs /dev/kvm\n"
	"  --root ROOT    with --host: the folder in which the paths of these files begin\n"
	"  -v, --verbose\n"
	"  -h, --help\n\n"
	"Exit status: 0 yes; 1 no, with the reasons on stderr; 2 usage; 3 DIR could not be read.\n";

static const struct option options[] = {
	{ "host", no_argument, NULL, 'H' },	{ "root", required_argument, NULL, 'r' },
	{ "verbose", no_argument, NULL, 'v' },	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static bool with_host;
static const char *root;

static void take(int letter, const char *arg)
{
	if (letter == 'H')
		with_host = true;
	else
		root = arg;
}

/* The plugin leaves it to the VM's own process where criu has no /dev/kvm; here that is no answer. */
static int has_kvm(void)
{
#ifndef __aarch64__
	tool_error("this host is not an arm64 one: restore the VMs on an arm64 host");
	return -EINVAL;
#endif
	if (!access("/dev/kvm", R_OK | W_OK))
		return 0;
	tool_error("/dev/kvm: %s: this host has no KVM that this user can use", strerror(errno));
	return -EINVAL;
}

static int check_files(struct tool_images *images)
{
	int fd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD, ret = 0;

	if (root && fd < 0) {
		tool_error("%s: %s", root, strerror(errno));
		return -EINVAL;
	}
	for (size_t i = 0; !ret && i < images->n; i++)
		ret = backing_check(images->vms[i], fd);
	if (root)
		close(fd);
	return ret;
}

/* Both, so that all that is wrong is told at once. */
static int check_here(struct tool_images *images)
{
	int files = check_files(images), host = has_kvm() ?: verify_host(images->vms, images->n);

	return files ?: host;
}

static int check_inventory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = inventory_check(fd);

	close(fd);
	return ret;
}

/* What is not there, or is refused, is an answer. */
static int status_of(int ret)
{
	return !ret ? TOOL_YES : ret == -EINVAL || ret == -ENOENT ? TOOL_NO : TOOL_TROUBLE;
}

int cmd_verify(int argc, char **argv)
{
	const struct tool_options o = {
		.usage = usage, .options = options, .take = take, .nr_args = 1, .max_args = 1
	};
	struct tool_images images;
	int status, ret, here;

	if (tool_parse(argc, argv, &o, &status))
		return status;
	if (root && !with_host) {
		tool_error("verify: --root is for --host, see criu-kvm verify --help");
		return TOOL_USAGE;
	}
	ret = tool_read(argv[optind], &images);
	if (ret)
		return status_of(ret);
	ret = check_inventory(argv[optind]);
	here = with_host ? check_here(&images) : 0;
	if (!ret && !here)
		printf("%zu VMs: %s\n", images.n, with_host ? "whole, and this host can carry them" : "whole");
	tool_free(&images);
	return here ? TOOL_NO : status_of(ret);
}
