// SPDX-License-Identifier: GPL-2.0-only
/* Loading and running the iterator. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kvm_iter.skel.h"
#include "log.h"
#include "probe/kernel.h"

/*
 * Bits of kvm->arch.flags are macros, which BTF does not hold: CO-RE cannot notice
 * that one has moved. So they are known per kernel series, and discover.c's
 * table holds for these.
 */
static const struct series {
	const char *release;
	bool saves_orphans;	  /* ITS interrupts without a collection */
	unsigned int step_pending; /* in sflags: DBG_SS_ACTIVE_PENDING, now HOST_SS_ACTIVE_PENDING */
} known_series[] = {
	{ "6.12.", false, 1 << 5 },
	{ "7.2.", true, 1 << 3 },
};

static struct kvm_iter *skel;
static int load_result = 1; /* not tried yet */

static int to_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0; /* hundreds of lines, for authors of libbpf */
	vsnprintf(line, sizeof(line), format, args);
	print_on_level(LOG_DEBUG, LOG_PREFIX "%s", line);
	return 0;
}

static const struct series *running_series(struct utsname *uts)
{
	if (uname(uts))
		return NULL;
	for (size_t i = 0; i < sizeof(known_series) / sizeof(known_series[0]); i++)
		if (!strncmp(uts->release, known_series[i].release, strlen(known_series[i].release)))
			return &known_series[i];
	return NULL;
}

bool kernel_saves_orphans(void)
{
	struct utsname uts;
	const struct series *series = running_series(&uts);

	return series && series->saves_orphans;
}

bool kernel_step_is_pending(unsigned int sflags)
{
	struct utsname uts;
	const struct series *series = running_series(&uts);

	return series && sflags & series->step_pending;
}

static int check_series(void)
{
	struct utsname uts = { 0 };

	if (running_series(&uts))
		return 0;
	pr_err("kernel %s: its KVM structures are not known to this plugin, only those of Linux 6.12 and "
	       "7.2\n",
	       uts.release);
	return -ENOTSUP;
}

static int load(void)
{
	int ret = check_series();

	if (ret)
		return ret;
	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		ret = -errno;
		pr_err("/sys/kernel/btf/vmlinux: %s: a kernel with CONFIG_DEBUG_INFO_BTF is needed\n",
		       strerror(-ret));
		return ret;
	}
	libbpf_set_print(to_log);
	skel = kvm_iter__open_and_load();
	if (!skel) {
		ret = -errno;
		pr_err("cannot load the BPF iterator: %s (errno %d): CAP_BPF and CAP_PERFMON are needed, and "
		       "a kernel "
		       "with the structures this plugin knows (details with -v4)\n",
		       strerror(-ret), -ret);
		return ret ?: -EINVAL;
	}
	return 0;
}

int kernel_probe_load(void)
{
	if (load_result > 0)
		load_result = load();
	return load_result;
}

void kernel_probe_unload(void)
{
	kvm_iter__destroy(skel);
	skel = NULL;
	load_result = 1;
}

/* Appends all that can be read from @fd to an array of records. */
static int read_all(int fd, struct kvm_rec **recs, size_t *nr)
{
	size_t used = *nr * sizeof(**recs), room = used;
	char *buf = (char *)*recs;

	for (;;) {
		ssize_t got;

		if (room - used < 4096) {
			char *more = realloc(buf, room += 64 << 10);

			if (!more)
				return -ENOMEM;
			buf = more;
			*recs = (struct kvm_rec *)buf;
		}
		got = read(fd, buf + used, room - used);
		if (got < 0 && errno == EAGAIN)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		used += got;
	}
	*nr = used / sizeof(**recs);
	return 0;
}

/* Appends what @prog tells of @pid. */
static int probe_by(const struct bpf_program *prog, pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	union bpf_iter_link_info info = { .task.pid = pid };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *link = bpf_program__attach_iter(prog, &opts);
	int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	int ret = fd < 0 ? -errno : read_all(fd, recs, nr);

	if (ret)
		pr_err("pid %d: the BPF iterator: %s (errno %d)%s\n", pid, strerror(-ret), -ret,
		       ret == -E2BIG ? ": more memslots than it can tell" : "");
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return ret;
}

int kernel_probe(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	int ret = kernel_probe_load();

	*recs = NULL;
	*nr = 0;
	if (ret)
		return ret;
	skel->bss->nr_seen = 0;
	ret = probe_by(skel->progs.kvm_files, pid, recs, nr);
	return ret ?: probe_by(skel->progs.kvm_maps, pid, recs, nr);
}
