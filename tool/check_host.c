// SPDX-License-Identifier: GPL-2.0-only
/* criu-kvm check: the kernel, and what this process may do. */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "probe/kernel.h"
#include "uapi/kvm_arm64.h"

/* The error that @ask logs, for free(); NULL: it had none. */
static char *error_of(int (*ask)(void))
{
	char *text;
	int ret;

	tool_log_keep();
	ret = ask();
	text = tool_log_take();
	if (ret)
		return text;
	free(text);
	return NULL;
}

void check_architecture(struct finding *f)
{
	struct utsname uts = { 0 };

	uname(&uts);
	if (kernel_is_arm64())
		answer(f, ANSWER_YES, NULL, "%s", uts.machine);
	else
		answer(f, ANSWER_NO, "dump and restore on an arm64 host; show, verify, diff and plan serve here too", "%s",
		       uts.machine);
}

static int open_kvm(void)
{
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

void check_kvm(struct finding *f)
{
	int kvm = open_kvm(), version;

	if (kvm < 0) {
		answer(f, ANSWER_NO,
		       errno == EACCES ? "run as root, or in the group that may open it"
				       : "boot the kernel with KVM, at EL2: dmesg | grep kvm says why it is not there",
		       "/dev/kvm: %s", strerror(errno));
		return;
	}
	version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	close(kvm);
	if (version == KVM_API_VERSION)
		answer(f, ANSWER_YES, NULL, "API version %d", version);
	else
		answer(f, ANSWER_NO, "use a kernel with API version 12", "API version %d", version);
}

static const struct {
	uint32_t type;
	const char *name;
	bool is_gic;
} devices[] = {
	{ KVM_DEV_TYPE_ARM_VGIC_V2, "GICv2", true },
	{ KVM_DEV_TYPE_ARM_VGIC_V3, "GICv3", true },
	{ KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS", false },
	{ KVM_DEV_TYPE_ARM_VGIC_V5, "GICv5", true },
};

static bool offers(int vm, uint32_t type)
{
	struct kvm_create_device dev = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };

	return !ioctl(vm, KVM_CREATE_DEVICE, &dev);
}

void check_gic(struct finding *f)
{
	int kvm = open_kvm(), vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	char names[64] = "";
	bool has_gic = false;

	for (size_t i = 0; vm >= 0 && kernel_is_arm64() && i < sizeof(devices) / sizeof(devices[0]); i++)
		if (offers(vm, devices[i].type)) {
			has_gic |= devices[i].is_gic;
			strcat(names, *names ? ", " : "");
			strcat(names, devices[i].name);
		}
	if (!kernel_is_arm64() || vm < 0)
		answer(f, ANSWER_NO, "see above", "KVM offers none for arm64 guests");
	else if (!has_gic)
		answer(f, ANSWER_NO, "use a host whose GIC KVM can virtualise", "KVM offers none");
	else
		answer(f, ANSWER_YES, NULL, "KVM offers %s: VMs with another one are not restored here", names);
	if (vm >= 0)
		close(vm);
	if (kvm >= 0)
		close(kvm);
}

void check_kernel(struct finding *f)
{
	struct utsname uts = { 0 };
	char *error = error_of(kernel_check_series);

	uname(&uts);
	if (error)
		answer(f, ANSWER_NO, "use a kernel of one of these series for dumps; restores do not need it", "%s", error);
	else
		answer(f, ANSWER_YES, NULL, "Linux %s", uts.release);
	free(error);
}

void check_btf(struct finding *f)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		answer(f, ANSWER_YES, NULL, "/sys/kernel/btf/vmlinux");
	else
		answer(f, ANSWER_NO, "use a kernel with CONFIG_DEBUG_INFO_BTF, and sysfs on /sys",
		       "/sys/kernel/btf/vmlinux: %s", strerror(errno));
}

/* The first line of @path, or false. */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (got)
		line[strcspn(line, "\n")] = 0;
	return got;
}

void check_lockdown(struct finding *f)
{
	if (kernel_is_confidential())
		answer(f, ANSWER_NO, "boot without lockdown=confidentiality: BPF may not read the kernel there",
		       "for confidentiality");
	else
		answer(f, ANSWER_YES, NULL, "none for confidentiality, or securityfs is not mounted");
}

void check_bpf(struct finding *f)
{
	char *error;

	if (!kernel_is_arm64()) {
		answer(f, ANSWER_NO, "see above", "the iterator is for arm64 kernels");
		return;
	}
	error = error_of(kernel_probe_load);
	if (error)
		answer(f, ANSWER_NO, "see above, and criu-kvm check -v", "%s", error);
	else
		answer(f, ANSWER_YES, NULL, "the iterator is loaded by this kernel");
	free(error);
}

/* What the plugin needs beside what criu does. */
static const struct {
	unsigned int cap;
	const char *name;
} capabilities[] = {
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE" },	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	{ CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE" }, { CAP_PERFMON, "CAP_PERFMON" },
	{ CAP_BPF, "CAP_BPF" },
};

static uint64_t effective_capabilities(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	if (status)
		fclose(status);
	return caps;
}

void check_capabilities(struct finding *f)
{
	uint64_t has = effective_capabilities();
	char missing[256] = "";

	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if (!(has >> capabilities[i].cap & 1)) {
			strcat(missing, *missing ? ", " : "");
			strcat(missing, capabilities[i].name);
		}
	if (*missing)
		answer(f, ANSWER_NO, "run criu as root, with these capabilities", "without %s", missing);
	else
		answer(f, ANSWER_YES, NULL, "all that are needed");
}

void check_page_size(struct finding *f)
{
	answer(f, ANSWER_YES, NULL, "%ld bytes: VMs of hosts with another one are not restored here",
	       sysconf(_SC_PAGESIZE));
}

#define IO_URING_DISABLED "/proc/sys/kernel/io_uring_disabled"

/* CRIU carries no io_uring; QEMU takes it where it can. */
void check_io_uring(struct finding *f)
{
	char line[16];

	if (!read_line(IO_URING_DISABLED, line, sizeof(line)))
		answer(f, ANSWER_YES, NULL, "this kernel has none, or cannot switch it off");
	else if (!strcmp(line, "2"))
		answer(f, ANSWER_YES, NULL, "switched off");
	else
		answer(f, ANSWER_WARN,
		       "before VMMs are started that use it: sysctl kernel.io_uring_disabled=2; or QEMU with aio=threads",
		       "VMMs can use it, and criu cannot dump one that does");
}
