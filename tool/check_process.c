// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm check PID: a process, and those below it, while they run. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "probe/discover.h"
#include "probe/kernel.h"
#include "probe/proc.h"

/* It runs: what is read at one moment may not fit what was read at the one before. */
#define TRIES 5

/* discover() as at a dump: its result, and its errors in *@errors, for free(). */
static int look(struct discovered *all, char **errors)
{
	int ret = 0;

	for (int i = 0; i < TRIES; i++) {
		tool_log_keep();
		ret = discover(check_options.pid, all);
		*errors = tool_log_take();
		if (!ret || i == TRIES - 1)
			break;
		discovered_free(all);
		free(*errors);
		usleep(20000);
	}
	return ret;
}

static char *describe(const struct discovered *all)
{
	char *text;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		tool_no_memory();
	for (size_t i = 0; i < all->nr_vms; i++) {
		const struct vm_state *vm = all->vms[i].vm;

		fprintf(to, "%sVM of pid %d: %zu vCPUs, %s, %zu ITSes, %zu memslots, %zu irqfds", i ? "; " : "",
			all->vms[i].pid, vm->nr_vcpus, vm_gic_name(vm), vm->nr_itses, vm->nr_slots, vm->nr_irqfds);
	}
	if (fclose(to))
		tool_no_memory();
	return text;
}

static void there_is_none(struct finding *f)
{
	answer(f, ANSWER_NO, "name one that runs", "pid %d: there is none", check_options.pid);
}

/* Of an architecture on which there is no more to see. */
static void check_elsewhere(struct finding *f)
{
	char *errors;
	int ret;

	tool_log_keep();
	ret = discover_uses_kvm(check_options.pid);
	errors = tool_log_take();
	if (ret == -ESRCH)
		there_is_none(f);
	else if (ret < 0)
		answer(f, ANSWER_UNKNOWN, NULL, "%s", *errors ? errors : strerror(-ret));
	else if (ret)
		answer(f, ANSWER_NO, NULL, "pid %d: a VM that is not an arm64 one", check_options.pid);
	else
		answer(f, ANSWER_YES, NULL, "pid %d: it has no VM", check_options.pid);
	free(errors);
}

/* The plugin's error lines say what to do by themselves. */
void check_process(struct finding *f)
{
	struct discovered all;
	char *errors, *found;
	int ret;

	if (!kernel_is_arm64()) {
		check_elsewhere(f);
		return;
	}
	ret = look(&all, &errors);
	found = describe(&all);
	if (ret == -ESRCH)
		there_is_none(f);
	else if (ret)
		answer(f, ANSWER_NO, NULL, "%s", *errors ? errors : strerror(-ret));
	else if (!all.uses_kvm)
		answer(f, ANSWER_YES, NULL, "pid %d: it has no VM: criu needs no plugin for it", check_options.pid);
	else
		answer(f, ANSWER_YES, NULL, "%s", all.nr_vms ? found : "it has /dev/kvm open, and no VM");
	free(found);
	free(errors);
	discovered_free(&all);
}

/* How many io_uring fds @pid has, or -errno; a process that ends meanwhile has none. */
static int count_io_urings(pid_t pid)
{
	char path[64], link[64];
	struct dirent *entry;
	DIR *folder;
	int nr = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (nr >= 0 && (entry = readdir(folder))) {
		ssize_t len = *entry->d_name == '.' ? 0 : readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);

		/* Of another user's process the fds can be listed, but not read. */
		if (len < 0 && errno != ENOENT)
			nr = -errno;
		link[len < 0 ? 0 : len] = 0;
		nr += !strcmp(link, "anon_inode:[io_uring]");
	}
	closedir(folder);
	return nr;
}

void check_process_io_uring(struct finding *f)
{
	size_t nr_pids = 0;
	pid_t *pids = NULL;
	int ret;

	tool_log_keep();
	ret = proc_tree(check_options.pid, &pids, &nr_pids);
	free(tool_log_take());
	for (size_t i = 0; !ret && i < nr_pids; i++) {
		int nr = count_io_urings(pids[i]);

		if (nr > 0) {
			answer(f, ANSWER_NO,
			       "sysctl kernel.io_uring_disabled=2, and start it anew; QEMU also takes aio=threads",
			       "pid %d has %d io_urings, which criu cannot dump", pids[i], nr);
			free(pids);
			return;
		}
		ret = nr;
	}
	free(pids);
	if (ret)
		answer(f, ANSWER_UNKNOWN, NULL, "pid %d: %s", check_options.pid, strerror(-ret));
	else
		answer(f, ANSWER_YES, NULL, "none");
}
