// SPDX-License-Identifier: GPL-2.0-only
/* How the plugin looks at what a VM has bound: by windows, until nothing moves, and who has it out of sight. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/discover.h"
#include "probe/eventfd.h"
#include "probe/kernel.h"
#include "probe/proc.h"
#include "testlog.h"

#define VMM 100
#define VM_FD 5
#define IRQ 0xe1000 /* an eventfd */
#define FILES 0xf1000 /* the VMM's table of fds */
#define THREADS 3

static struct {
	size_t nr_irqfds, nr_zones, nr_ioeventfds;
	unsigned int has; /* the VM, as its record says, beside what it has */
	unsigned int misses; /* bits of what the VM's record does not say that it has */
	unsigned int moves; /* looks at which an interrupt is on its way still */
	unsigned int looks;
	unsigned int walks; /* through all fds of the host */
	unsigned int workers; /* walks through what executes works */
	unsigned int held;  /* those in which somebody has the eventfd for a moment */
	unsigned int shared; /* those in which somebody has the VMM's table */
} host;

static struct kvm_rec rec_of(size_t i)
{
	struct kvm_rec rec = { .fd = VM_FD };

	if (i < host.nr_irqfds) {
		rec.type = KVM_REC_IRQFD;
		rec.irqfd.eventfd = IRQ;
		rec.irqfd.gsi = i;
		rec.irqfd.pending = host.looks <= host.moves;
	} else if (i >= host.nr_irqfds + host.nr_zones) {
		rec.type = KVM_REC_IOEVENTFD;
		rec.ioeventfd.eventfd = IRQ;
		rec.ioeventfd.length = 4;
	} else {
		rec.type = KVM_REC_ZONE;
		rec.zone.addr = 0x1000 * (i - host.nr_irqfds);
		rec.zone.size = 8;
	}
	return rec;
}

int kernel_probe_bindings(pid_t pid, const struct kvm_rec *vm, unsigned int first, struct kvm_rec **recs, size_t *nr)
{
	assert_int_equal(pid, VMM);
	assert_int_equal(vm->fd, VM_FD);
	host.looks += !first;
	*recs = calloc(KVM_BINDINGS_PER_PASS, sizeof(**recs));
	for (*nr = 0; *nr < KVM_BINDINGS_PER_PASS && first + *nr < host.nr_irqfds + host.nr_zones + host.nr_ioeventfds; ++*nr)
		(*recs)[*nr] = rec_of(first + *nr);
	return 0;
}

int kernel_probe_eventfds(struct kvm_rec **recs, size_t *nr)
{
	host.walks++;
	*recs = calloc(1, sizeof(**recs));
	**recs = (struct kvm_rec){
		.type = KVM_REC_EVENTFD,
		.fd = 30,
		.eventfd = { .eventfd = IRQ,
			     .files = FILES,
			     .tasks = THREADS + (host.walks <= host.shared),
			     .refs = 1 + (host.walks <= host.held),
			     .users = 1 + host.nr_irqfds + host.nr_ioeventfds,
			     .pid = VMM }
	};
	*nr = 1;
	return 0;
}

int kernel_probe_tasks(pid_t pid, struct kvm_rec **recs, size_t *nr)
{
	assert_int_equal(pid, VMM);
	*recs = calloc(THREADS, sizeof(**recs));
	for (*nr = 0; *nr < THREADS; ++*nr)
		(*recs)[*nr] = (struct kvm_rec){ .type = KVM_REC_TASK, .task.files = FILES };
	return 0;
}

int kernel_probe_works(struct kvm_rec **recs, size_t *nr)
{
	host.workers++;
	*recs = NULL;
	*nr = 0;
	return 0;
}

bool proc_is_traced(pid_t pid)
{
	return true;
}

pid_t proc_vpid(pid_t pid, pid_t tid)
{
	return 1;
}

pid_t proc_find_traced(pid_t vpid)
{
	return VMM;
}

static struct eventfd_table eventfds;

static int set_up(void **state)
{
	memset(&host, 0, sizeof(host));
	log_reset();
	return 0;
}

static struct vm_state *look(int expected)
{
	const unsigned int has = (host.nr_irqfds ? 1u << KVM_HAS_IRQFD : 0) | (host.nr_ioeventfds ? 1u << KVM_HAS_IOEVENTFD : 0) |
				 (host.nr_zones ? 1u << KVM_HAS_COALESCED_MMIO : 0);
	const struct kvm_rec vm_rec = { .fd = VM_FD, .vm.has = (has | host.has) & ~host.misses };
	struct vm_state *vm = calloc(1, sizeof(*vm));

	assert_int_equal(probe_bindings(VMM, &vm_rec, &eventfds, vm), expected);
	assert_int_equal(log_errors(), expected != 0);
	return vm;
}

static void assert_refused(const char *says)
{
	vm_state_free(look(-ENOTSUP));
	if (!strstr(log_error(), says) || !strstr(log_error(), REFUSAL ": "))
		fail_msg("'%s' is not in: %s", says, log_error());
}

static void nothing_is_looked_for_where_nothing_is(void **state)
{
	vm_state_free(look(0));
	assert_int_equal(host.looks, 0);
}

static void more_than_a_pass_can_tell(void **state)
{
	struct vm_state *vm;

	host.nr_irqfds = 3;
	host.nr_zones = 2 * KVM_BINDINGS_PER_PASS;
	vm = look(0);
	assert_int_equal(vm->nr_irqfds, 3);
	assert_int_equal(vm->irqfds[2].gsi, 2);
	assert_int_equal(vm->irqfds[2].eventfd.fd, 30);
	assert_int_equal(vm->nr_zones, 2 * KVM_BINDINGS_PER_PASS);
	for (size_t i = 0; i < vm->nr_zones; i++)
		assert_int_equal(vm->zones[i].addr, 0x1000 * i);
	assert_int_equal(host.looks, 1);
	vm_state_free(vm);
}

static void an_interrupt_on_its_way_is_waited_for(void **state)
{
	host.nr_irqfds = 1;
	host.moves = 3;
	vm_state_free(look(0));
	assert_int_equal(host.looks, 4);
	assert_int_equal(host.workers, 4);
}

/* Only irqfds have works. */
static void workers_are_looked_at_for_irqfds_alone(void **state)
{
	host.nr_zones = 1;
	vm_state_free(look(0));
	assert_int_equal(host.looks, 1);
	assert_int_equal(host.workers, 0);
}

/* Tasks stand: all VMs of a dump are told by one walk, but for what moves. */
static void all_fds_of_the_host_are_looked_at_once(void **state)
{
	host.nr_irqfds = 2;
	for (unsigned int vms = 0; vms < 4; vms++)
		vm_state_free(look(0));
	assert_int_equal(host.walks, 1);
	eventfd_table_free(&eventfds);
	host.walks = 0;
	host.held = 3;
	vm_state_free(look(0));
	assert_int_equal(host.walks, 4);
}

static void one_that_never_comes_is_refused(void **state)
{
	host.nr_irqfds = 1;
	host.moves = ~0u;
	assert_refused("pid 100: irqfd, GSI 0: an interrupt that KVM has not injected yet");
}

static void too_many_are_refused(void **state)
{
	host.nr_zones = VM_MAX_ZONES;
	vm_state_free(look(0));
	host.nr_zones++;
	assert_refused("pid 100: more than 16384 irqfds, 16384 ioeventfds or 2048 coalesced MMIO zones");
}

/* A pid namespace hides the process, and no reference. */
static void who_has_an_eventfd_out_of_sight_is_counted(void **state)
{
	host.nr_irqfds = 1;
	host.held = ~0u;
	assert_refused("pid 100: irqfd, GSI 0: its eventfd is on its way through a socket, or in use by the kernel "
		       "(vhost, io_uring), or by a process that criu cannot see");
}

static void who_shares_the_fds_out_of_sight_is_counted(void **state)
{
	host.nr_irqfds = 1;
	host.shared = ~0u;
	assert_refused("pid 100: irqfd, GSI 0: a process that criu cannot see shares the fds of pid 100");
}

static void a_table_that_is_shared_for_a_moment_is_waited_for(void **state)
{
	host.nr_irqfds = 1;
	host.shared = 3;
	vm_state_free(look(0));
	assert_int_equal(host.looks, 4);
}

static void assert_not_all_seen(void)
{
	vm_state_free(look(-EIO));
	assert_true(log_has("it did not see all"));
	log_reset();
}

/* What a VM would be without after its restore, or is told of one that has none. */
static void what_is_told_is_what_the_vm_has(void **state)
{
	static const enum kvm_has kinds[] = { KVM_HAS_IRQFD, KVM_HAS_IOEVENTFD, KVM_HAS_COALESCED_MMIO };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		set_up(state);
		host.nr_irqfds = host.nr_ioeventfds = host.nr_zones = 1;
		vm_state_free(look(0));
		host.misses = 1u << kinds[i];
		assert_not_all_seen();
		eventfd_table_free(&eventfds);
	}
	set_up(state);
	host.nr_irqfds = 1;
	host.has = 1u << KVM_HAS_IOEVENTFD;
	assert_not_all_seen();
	host.has = 1u << KVM_HAS_COALESCED_MMIO;
	assert_not_all_seen();
}

static void an_irqfd_may_have_ended_since(void **state)
{
	struct vm_state *vm;

	host.nr_zones = 1;
	host.has = 1u << KVM_HAS_IRQFD;
	vm = look(0);
	assert_int_equal(vm->nr_irqfds, 0);
	vm_state_free(vm);
}

/* Where a VMM has set an empty table. */
static void routes_alone_may_be_none(void **state)
{
	host.has = 1u << KVM_HAS_ROUTING;
	vm_state_free(look(0));
}

static int tear_down(void **state)
{
	eventfd_table_free(&eventfds);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_looked_for_where_nothing_is),
		TEST(more_than_a_pass_can_tell),
		TEST(an_interrupt_on_its_way_is_waited_for),
		TEST(workers_are_looked_at_for_irqfds_alone),
		TEST(all_fds_of_the_host_are_looked_at_once),
		TEST(one_that_never_comes_is_refused),
		TEST(too_many_are_refused),
		TEST(who_has_an_eventfd_out_of_sight_is_counted),
		TEST(who_shares_the_fds_out_of_sight_is_counted),
		TEST(a_table_that_is_shared_for_a_moment_is_waited_for),
		TEST(what_is_told_is_what_the_vm_has),
		TEST(an_irqfd_may_have_ended_since),
		TEST(routes_alone_may_be_none),
	};

	return cmocka_run_group_tests_name("a look at what is bound", tests, NULL, NULL);
}
