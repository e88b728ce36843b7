// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two vCPUs that write numbers to a zone of coalesced MMIO, each its own sequence. The VMM reads the ring now
 * and then: no number may be missing, or come twice, whenever the VM is dumped.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "guest.h"

const char *test_doc = "A coalesced MMIO zone of a small KVM VM, and its ring\n";
const char *test_author = "The kvm-vgic authors";

#define NR_VCPUS 2
#define ZONE(cpu) (ODD_DEV_BASE + 0x4000 + 0x1000 * (uint64_t)(cpu))
#define ZONE_SIZE 0x40

const char *const guest_says[] = { NULL };

/* --- the guest --- */

/* A number goes to one address of the zone after the other; 4 and 8 bytes of it. */
GUEST static void entry(struct guest *g)
{
	uint64_t n;

	for (n = 1;; n++) {
		if (n & 1)
			mmio_write64(ZONE(g->id) + n * 8 % ZONE_SIZE, n);
		else
			mmio_write32(ZONE(g->id) + n * 8 % ZONE_SIZE, n);
		guest_progress(g, ODD_STEP / 16);
	}
}

/* --- the VMM --- */

static struct odd_vm vm;
static struct kvm_coalesced_mmio_ring *rings;
static uint32_t ring_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last[NR_VCPUS];
static volatile uint64_t coalesced[NR_VCPUS], full[NR_VCPUS];

static void take(uint64_t addr, uint32_t len, const uint8_t *data)
{
	unsigned int cpu = (addr - ZONE(0)) / 0x1000;
	uint64_t value = 0;

	if (cpu >= NR_VCPUS || len > sizeof(value)) {
		odd_found(&vm, "an entry of the ring that nobody has written: address", addr);
		return;
	}
	memcpy(&value, data, len);
	if (value != last[cpu] + 1 || addr != ZONE(cpu) + value * 8 % ZONE_SIZE || len != (value & 1 ? 8 : 4))
		odd_found(&vm, "lost or doubled: a write to the zone. There is", value);
	last[cpu] = value;
}

static void read_ring(void)
{
	while (*(volatile uint32_t *)&rings->first != *(volatile uint32_t *)&rings->last) {
		const struct kvm_coalesced_mmio *entry = &rings->coalesced_mmio[rings->first];

		__sync_synchronize();
		take(entry->phys_addr, entry->len, entry->data);
		if (entry->phys_addr >= ZONE(0) && entry->phys_addr < ZONE(NR_VCPUS))
			coalesced[(entry->phys_addr - ZONE(0)) / 0x1000]++;
		__sync_synchronize();
		rings->first = (rings->first + 1) % ring_size;
	}
}

/* What finds the ring full leaves KVM_RUN, after what is in it. */
static bool exit_of_ring(struct odd_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	bool zone = run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write &&
		    run->mmio.phys_addr - ZONE(vcpu->id) < ZONE_SIZE;

	if (!zone && vm.stats->writes[vcpu->id] % 16)
		return guest_exit(vcpu); /* so much that the ring fills */
	pthread_mutex_lock(&lock);
	read_ring();
	if (zone) {
		take(run->mmio.phys_addr, run->mmio.len, run->mmio.data);
		full[vcpu->id]++;
	}
	pthread_mutex_unlock(&lock);
	return zone || guest_exit(vcpu);
}

static int set_ring(void)
{
	long page = sysconf(_SC_PAGESIZE);
	int at = ioctl(vm.kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
	unsigned int i;

	if (at <= 0)
		return -1;
	rings = (void *)((char *)vm.vcpu[0].run + at * page);
	ring_size = (page - sizeof(*rings)) / sizeof(rings->coalesced_mmio[0]);
	for (i = 0; i < NR_VCPUS; i++) {
		struct kvm_coalesced_mmio_zone zone = { .addr = ZONE(i), .size = ZONE_SIZE };

		if (ioctl(vm.vm_fd, KVM_REGISTER_COALESCED_MMIO, &zone))
			return -1;
	}
	return 0;
}

static int set_up(void)
{
	unsigned int i;

	if (odd_create(&vm) || odd_add_memory(&vm, 0) || odd_create_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3))
		return -1;
	for (i = 0; i < NR_VCPUS; i++)
		if (odd_create_vcpu(&vm, i) || odd_init_vcpu(&vm, i) || guest_set(&vm, i, entry))
			return -1;
	vm.exit = exit_of_ring;
	return set_ring() || odd_place_gic(&vm, KVM_DEV_TYPE_ARM_VGIC_V3) || odd_init_gic(&vm) ||
			       odd_start_all(&vm)
		       ? -1
		       : 0;
}

/* More of it, by way of the ring, of each vCPU. */
static bool ring_goes_on(void)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	uint64_t was_full = full[0] + full[1];
	unsigned int i, ticks;

	for (i = 0; i < NR_VCPUS; i++) {
		uint64_t before = coalesced[i];

		for (ticks = 0; ticks < 3000 && coalesced[i] < before + 64 && !vm.stats->error[0]; ticks++)
			nanosleep(&tick, NULL);
		if (coalesced[i] < before + 64)
			odd_found(&vm, "writes do not go to the ring any more: of vCPU", i);
		test_msg("vcpu %u: %llu writes by the ring, %llu when it was full\n", i,
			 (unsigned long long)coalesced[i], (unsigned long long)full[i]);
	}
	for (ticks = 0; ticks < 3000 && full[0] + full[1] == was_full && !vm.stats->error[0]; ticks++)
		nanosleep(&tick, NULL);
	if (full[0] + full[1] == was_full)
		odd_found(&vm, "the ring was never full: writes that left KVM_RUN", was_full);
	return !vm.stats->error[0];
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	if (set_up()) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}

	test_daemon();
	test_waitsig();

	errno = 0;
	if (!ring_goes_on()) {
		fail("%s", vm.stats->error);
		return 1;
	}
	return odd_verdict(&vm);
}
