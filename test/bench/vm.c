// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM of the benchmark: a VM whose guest waits, with as many vCPUs, SPIs and LPIs as it is told to have.
 *
 * On command it makes the ioctls of a dump, and those of a restore, by itself: the lower bound of what the
 * plugin can take. Which ones they are it learns from the plugin's own plan, run on itself (record.h).
 * Commands and answers are at a fixed address: CRIU would have to carry whatever else they went through.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "plan.h"
#include "record.h"
#include "remote/direct.h"
#include "state/vm.h"
#include "uapi/kvm_arm64.h"

#define MAX_VCPUS 32u
#define MAX_LPIS 8192u

/* bench.py knows it. */
#define MAIL_ADDR 0x5b0000000000
#define MAIL_MAGIC 0x686e65622d6d766bull /* "kvm-bench" without its last letter, backwards */

enum command { COMMAND_DUMP = 1, COMMAND_RESTORE };

struct mail {
	uint64_t magic; /* written last: the VM is there */
	uint64_t asked, command;
	uint64_t answered; /* is set to asked when the rest is there */
	int64_t ns;	   /* that the ioctls took, or a negative errno */
	uint64_t nr;	   /* ioctls */
};

/* Guest physical addresses. */
#define DIST_BASE 0x08000000ull
#define ITS_BASE 0x08080000ull
#define REDIST_BASE 0x080a0000ull
#define RAM_BASE 0x40000000ull
#define RAM_SIZE 0x800000u

/* Offsets in the RAM. */
#define CONFIG 0x010000u
#define PENDING(i) (0x020000u + 0x10000u * (i))
#define QUEUE 0x400000u
#define QUEUE_SIZE 0x10000u
#define COLLECTIONS 0x410000u
#define DEVICES 0x420000u
#define DEVICES_SIZE 0x80000u
#define ITT(i) (0x500000u + 0x1000u * (i))

#define EVENTS 32u /* of a device, as many vectors as one with some queues has */
#define ID_BITS 16u
#define PRIORITY 0xa0a0a0a0u

struct vcpu {
	pthread_t thread;
	int fd;
	struct kvm_run *run;
	volatile bool parked;
};

static struct {
	unsigned int vcpus, spis, lpis;
	int kvm, fd, gic, its;
	uint8_t *ram;
	struct vcpu vcpu[MAX_VCPUS];
	volatile bool park; /* vCPUs are to stay out of KVM_RUN */
	pthread_mutex_t lock;
	pthread_cond_t go_on;
} vm = {
	.vcpus = 8,
	.spis = 960,
	.lpis = 2048,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.go_on = PTHREAD_COND_INITIALIZER,
};

void print_on_level(unsigned int level, const char *format, ...)
{
	va_list args;

	if (level > LOG_WARN)
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static int must(int ret, const char *what)
{
	if (ret < 0)
		die(what);
	return ret;
}

/* ---- the VM ---- */

static void set_attr(int fd, uint32_t group, uint64_t attr, uint64_t value, const char *what)
{
	struct kvm_device_attr a = { .group = group, .attr = attr, .addr = (uintptr_t)&value };

	must(ioctl(fd, KVM_SET_DEVICE_ATTR, &a), what);
}

static int create_device(uint32_t type, const char *what)
{
	struct kvm_create_device dev = { .type = type };

	must(ioctl(vm.fd, KVM_CREATE_DEVICE, &dev), what);
	return dev.fd;
}

static void set_reg(int fd, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)&value };

	must(ioctl(fd, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

static uint64_t mpidr(unsigned int i)
{
	struct kvm_one_reg reg = { .id = ARM64_MPIDR_EL1 };
	uint64_t value;

	reg.addr = (uintptr_t)&value;
	must(ioctl(vm.vcpu[i].fd, KVM_GET_ONE_REG, &reg), "MPIDR_EL1");
	return value;
}

static void create_memory(void)
{
	static const uint32_t guest[] = { 0xd503207f, 0x17ffffff }; /* 1: wfi; b 1b */
	struct kvm_userspace_memory_region region = { .guest_phys_addr = RAM_BASE, .memory_size = RAM_SIZE };

	vm.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm.ram == MAP_FAILED)
		die("guest memory");
	memcpy(vm.ram, guest, sizeof(guest));
	region.userspace_addr = (uintptr_t)vm.ram;
	must(ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void create_vcpu(unsigned int i)
{
	size_t size = must(ioctl(vm.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct arm64_vcpu_init init;
	int fd = must(ioctl(vm.fd, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");

	must(ioctl(vm.fd, ARM64_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
	init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2;
	must(ioctl(fd, ARM64_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
	set_reg(fd, ARM64_CORE_PC, RAM_BASE);
	vm.vcpu[i].fd = fd;
	vm.vcpu[i].run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (vm.vcpu[i].run == MAP_FAILED)
		die("kvm_run");
}

static void set_dist(uint32_t offset, uint64_t value)
{
	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset, value, "GICD");
}

static void set_redist(unsigned int i, uint32_t offset, uint64_t value)
{
	uint64_t aff = mpidr(i) & 0xffffff;

	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, aff << 32 | offset, value & 0xffffffff, "GICR");
}

/* As Linux sets them up: group 1, one priority, from vCPU to vCPU; every 64th is pending. */
static void set_spis(void)
{
	set_dist(0x0000, 0x12);
	for (unsigned int i = 32; i < 32 + vm.spis; i += 32) {
		set_dist(0x0080 + i / 8, 0xffffffff);
		set_dist(0x0100 + i / 8, 0xffffffff);
		set_dist(0x0c00 + i / 4, 0xaaaaaaaa);
		set_dist(0x0200 + i / 8, i / 32 & 1);
	}
	for (unsigned int i = 32; i < 32 + vm.spis; i += 4)
		set_dist(0x0400 + i, PRIORITY);
	for (unsigned int i = 32; i < 32 + vm.spis; i++)
		set_dist(0x6000 + 8 * i, mpidr(i % vm.vcpus) & 0xff00ffffff);
}

static void create_gic(void)
{
	vm.gic = create_device(KVM_DEV_TYPE_ARM_VGIC_V3, "GICv3");
	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 32 + vm.spis, "number of interrupts");
	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, DIST_BASE, "GICD's address");
	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, REDIST_BASE, "GICR's address");
	set_attr(vm.gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0, "GIC's INIT");
	set_spis();
	for (unsigned int i = 0; i < vm.vcpus; i++) {
		set_redist(i, 0x10080, 0xffffffff);
		for (unsigned int n = 0; n < 32; n += 4)
			set_redist(i, 0x10400 + n, PRIORITY);
	}
}

/* ---- its ITS ---- */

static void set_its(uint32_t reg, uint64_t value)
{
	set_attr(vm.its, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, reg, value, "GITS");
}

/* Commands of the GIC architecture; they are executed when GITS_CWRITER is written. */
static void command(uint64_t dw0, uint64_t dw1, uint64_t dw2)
{
	static uint32_t at;

	memcpy(vm.ram + QUEUE + at, (uint64_t[]){ dw0, dw1, dw2, 0 }, 32);
	at = (at + 32) % QUEUE_SIZE;
	set_its(0x88, at);
}

static void map_lpis(void)
{
	const uint64_t valid = 1ull << 63;

	for (unsigned int i = 0; i < vm.vcpus; i++)
		command(0x09, 0, valid | (uint64_t)i << 16 | i); /* MAPC */
	for (uint64_t i = 0; i < vm.lpis; i++) {
		uint64_t device = i / EVENTS;

		if (!(i % EVENTS))
			command(device << 32 | 0x08, 4, valid | (RAM_BASE + ITT(device))); /* MAPD, 5 bits */
		command(device << 32 | 0x0a, (8192 + i) << 32 | i % EVENTS, i % vm.vcpus); /* MAPTI */
	}
}

/* Every 16th: the guest's CPU interfaces signal none. */
static void make_lpis_pending(void)
{
	for (unsigned int i = 0; i < vm.lpis; i += 16) {
		struct kvm_msi msi = { .address_lo = ITS_BASE + 0x10040, .data = i % EVENTS, .flags = KVM_MSI_VALID_DEVID,
				       .devid = i / EVENTS };

		must(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi), "KVM_SIGNAL_MSI");
	}
}

static void create_its(void)
{
	const uint64_t valid = 1ull << 63;

	vm.its = create_device(KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS");
	set_attr(vm.its, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ITS_BASE, "ITS's address");
	set_attr(vm.its, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0, "ITS's INIT");
	memset(vm.ram + CONFIG, 0xa1, vm.lpis);
	for (unsigned int i = 0; i < vm.vcpus; i++) {
		set_redist(i, 0x70, (RAM_BASE + CONFIG) | (ID_BITS - 1));
		set_redist(i, 0x78, RAM_BASE + PENDING(i));
		set_redist(i, 0x00, 1);
	}
	set_its(0x80, valid | (RAM_BASE + QUEUE) | (QUEUE_SIZE / 4096 - 1));
	set_its(0x100, valid | (RAM_BASE + DEVICES) | (DEVICES_SIZE / 0x10000 - 1));
	set_its(0x108, valid | (RAM_BASE + COLLECTIONS));
	set_its(0x00, 1);
	map_lpis();
	make_lpis_pending();
}

static void create_vm(void)
{
	vm.kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	vm.fd = must(ioctl(vm.kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	create_memory();
	for (unsigned int i = 0; i < vm.vcpus; i++)
		create_vcpu(i);
	create_gic();
	create_its();
}

/* ---- its vCPUs ---- */

/* Without a look at the clock now and then: that would take time of what is measured. */
static void stay_parked(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vm.lock);
	vcpu->parked = true;
	while (vm.park)
		pthread_cond_wait(&vm.go_on, &vm.lock);
	vcpu->parked = false;
	pthread_mutex_unlock(&vm.lock);
}

static void *run_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;) {
		if (vm.park)
			stay_parked(vcpu);
		if (ioctl(vcpu->fd, KVM_RUN, 0) && errno != EINTR)
			die("KVM_RUN");
	}
	return NULL;
}

static void kick(int sig)
{
}

static void start_vcpus(void)
{
	struct sigaction action = { .sa_handler = kick };

	must(sigaction(SIGUSR1, &action, NULL), "sigaction");
	for (unsigned int i = 0; i < vm.vcpus; i++)
		if (pthread_create(&vm.vcpu[i].thread, NULL, run_vcpu, &vm.vcpu[i]))
			die("pthread_create");
}

static void park_vcpus(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	vm.park = true;
	for (unsigned int i = 0; i < vm.vcpus; i++)
		while (!vm.vcpu[i].parked) {
			pthread_kill(vm.vcpu[i].thread, SIGUSR1);
			nanosleep(&pause, NULL);
		}
}

static void unpark_vcpus(void)
{
	pthread_mutex_lock(&vm.lock);
	vm.park = false;
	pthread_cond_broadcast(&vm.go_on);
	pthread_mutex_unlock(&vm.lock);
}

/* ---- what the plugin would do ---- */

/* What its probe would find. */
static struct vm_state *discover(void)
{
	struct vm_state *state = calloc(1, sizeof(*state));

	state->id = 1;
	state->vpid = getpid();
	state->page_size = sysconf(_SC_PAGESIZE);
	state->ipa_bits = 40;
	state->features = 1u << KVM_ARM_VCPU_PSCI_0_2;
	state->fd = vm.fd;
	state->slots = calloc(1, sizeof(*state->slots));
	state->nr_slots = 1;
	state->slots[0] = (struct memslot){ .gpa = RAM_BASE, .size = RAM_SIZE, .hva = (uintptr_t)vm.ram };
	state->vcpus = calloc(vm.vcpus, sizeof(*state->vcpus));
	state->nr_vcpus = vm.vcpus;
	for (unsigned int i = 0; i < vm.vcpus; i++)
		state->vcpus[i] = (struct vcpu_state){ .idx = i, .id = i, .fd = vm.vcpu[i].fd, .pvtime = VCPU_NO_PVTIME };
	state->vgic = calloc(1, sizeof(*state->vgic));
	state->vgic->fd = vm.gic;
	state->itses = calloc(1, sizeof(*state->itses));
	state->itses[0].fd = vm.its;
	state->nr_itses = 1;
	return state;
}

static int capture(struct record *r, struct vm_state *state)
{
	int ret = record_begin(r, vm_room(state));

	return ret ?: plan_run(plan_dump, plan_nr_dump, state, &r->remote);
}

static void end_record(struct record *r, const struct vm_state *state)
{
	munmap((void *)(uintptr_t)r->remote.room, vm_room(state));
	record_end(r);
}

static int64_t dump(uint64_t *nr)
{
	struct vm_state *state = discover();
	struct record r;
	int64_t ret = capture(&r, state) ?: record_play(&r);

	*nr = r.nr;
	end_record(&r, state);
	vm_state_free(state);
	return ret;
}

static void close_vm(const struct vm_state *state)
{
	close(state->itses[0].fd);
	for (size_t i = 0; i < state->nr_vcpus; i++)
		close(state->vcpus[i].fd);
	close(state->vgic->fd);
	close(state->fd);
}

/* A VM like ours, in the same memory, without state. */
static int create_other(struct vm_state *state)
{
	struct remote here = DIRECT_REMOTE;

	return vm_create(state, &here, false);
}

/* KVM has cleared what it has read there. */
static void set_pending_tables(const struct vm_state *state)
{
	for (unsigned int i = 0; i < vm.vcpus; i++)
		memcpy(vm.ram + PENDING(i) + 1024, state->lpi->pending[i].bytes, state->lpi->pending[i].size);
}

/* One VM to learn from which ioctls these are, and one to make them on. */
static int64_t restore_from(struct vm_state *state, uint64_t *nr)
{
	int64_t ret = create_other(state);
	int first = state->fd;
	struct record r;

	if (ret)
		return ret;
	ret = record_begin(&r, vm_room(state)) ?:
	      plan_run_part(plan_restore, plan_nr_restore, plan_build, state, &r.remote);
	close_vm(state);
	set_pending_tables(state);
	ret = ret ?: create_other(state);
	if (!ret) {
		ret = state->fd == first ? record_play(&r) : -EBADF;
		close_vm(state);
		set_pending_tables(state);
	}
	*nr = r.nr;
	end_record(&r, state);
	return ret;
}

static int64_t restore(uint64_t *nr)
{
	struct vm_state *state = discover();
	struct record r;
	int64_t ret = capture(&r, state);

	end_record(&r, state);
	ret = ret ?: restore_from(state, nr);
	vm_state_free(state);
	return ret;
}

/* ---- commands ---- */

static void serve(struct mail *mail)
{
	uint64_t nr = 0;

	park_vcpus();
	mail->ns = mail->command == COMMAND_DUMP ? dump(&nr) : mail->command == COMMAND_RESTORE ? restore(&nr) : -EINVAL;
	unpark_vcpus();
	mail->nr = nr;
	__atomic_store_n(&mail->answered, mail->asked, __ATOMIC_RELEASE);
}

static void serve_all(void)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct mail *mail = mmap((void *)MAIL_ADDR, sizeof(*mail), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (mail == MAP_FAILED)
		die("mmap");
	mail->magic = MAIL_MAGIC;
	for (;;) {
		nanosleep(&pause, NULL);
		if (__atomic_load_n(&mail->asked, __ATOMIC_ACQUIRE) != mail->answered)
			serve(mail);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vcpus", required_argument, NULL, 'v' },
		{ "spis", required_argument, NULL, 's' },
		{ "lpis", required_argument, NULL, 'l' },
		{ 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned int n = letter == '?' ? 0 : strtoul(optarg, NULL, 10);

		if (letter == '?')
			exit(2);
		*(letter == 'v' ? &vm.vcpus : letter == 's' ? &vm.spis : &vm.lpis) = n;
	}
	if (!vm.vcpus || vm.vcpus > MAX_VCPUS || !vm.spis || vm.spis % 32 || vm.spis > 960 || vm.lpis > MAX_LPIS) {
		fprintf(stderr, "1 to %u vCPUs, 32 to 960 SPIs, %u LPIs at most\n", MAX_VCPUS, MAX_LPIS);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	create_vm();
	start_vcpus();
	serve_all();
}
