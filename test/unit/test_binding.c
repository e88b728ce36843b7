// SPDX-License-Identifier: GPL-2.0-only
/* What the plugin makes of the records about irqfds, ioeventfds, routes and zones, and who may have the
 * eventfds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/binding.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define VMM 100
#define HELPER 101
#define STRANGER 102
#define SHARER 103 /* has the VMM's table of fds */
#define VMM_FILES 0xf100
#define HELPER_FILES 0xf200
#define IRQ 0xe1000 /* eventfds */
#define RESAMPLE 0xe2000
#define NOTIFY 0xe3000
#define WORK 0xb1000

#define MAX_RECS 16

static struct kvm_rec bound[MAX_RECS], fds[MAX_RECS], tasks[MAX_RECS], works[MAX_RECS];
static struct holder holders[] = {
	{ .pid = VMM, .vpid = 10, .dumped = true, .found = true },
	{ .pid = HELPER, .vpid = 11, .dumped = true, .found = true },
	{ .pid = STRANGER },
	{ .pid = SHARER, .vpid = 12, .dumped = true, .found = true },
};
static struct bindings b;

static void add_bound(struct kvm_rec rec)
{
	bound[b.bound.nr++] = rec;
}

static void add_fd(unsigned int pid, uint64_t files, unsigned int fd, uint64_t eventfd)
{
	fds[b.fds.nr++] = (struct kvm_rec){
		.type = KVM_REC_EVENTFD,
		.fd = fd,
		.eventfd = { .eventfd = eventfd, .files = files, .refs = 1, .users = 2, .pid = pid, .tasks = 1 }
	};
}

static void add_task(uint64_t files)
{
	tasks[b.tasks.nr++] = (struct kvm_rec){ .type = KVM_REC_TASK, .task.files = files };
}

static struct kvm_rec *fd_of(unsigned int pid, uint64_t eventfd)
{
	for (size_t i = 0; i < b.fds.nr; i++)
		if (fds[i].eventfd.pid == pid && fds[i].eventfd.eventfd == eventfd)
			return &fds[i];
	abort();
}

/* Each fd more is a reference more. */
static void set_refs(uint64_t eventfd, uint64_t refs)
{
	for (size_t i = 0; i < b.fds.nr; i++)
		if (fds[i].eventfd.eventfd == eventfd)
			fds[i].eventfd.refs = refs;
}

static void set_users(uint64_t eventfd, unsigned int users)
{
	for (size_t i = 0; i < b.fds.nr; i++)
		if (fds[i].eventfd.eventfd == eventfd)
			fds[i].eventfd.users = users;
}

/* @nr tasks have the table @files. */
static void set_tasks(uint64_t files, unsigned int nr)
{
	for (size_t i = 0; i < b.fds.nr; i++)
		if (fds[i].eventfd.files == files)
			fds[i].eventfd.tasks = nr;
}

/* An irqfd with resampling and an ioeventfd, all of the VMM's own eventfds, in no order. */
static int set_up(void **state)
{
	holders[1].found = true;
	b = (struct bindings){ .pid = VMM,
			       .bound.recs = bound,
			       .fds.recs = fds,
			       .tasks.recs = tasks,
			       .works.recs = works,
			       .holders = holders,
			       .nr_holders = COUNT(holders) };
	add_bound((struct kvm_rec){
		.type = KVM_REC_IRQFD,
		.irqfd = { .eventfd = IRQ, .resamplefd = RESAMPLE, .work = WORK, .gsi = 7 } });
	add_bound((struct kvm_rec){
		.type = KVM_REC_IOEVENTFD,
		.ioeventfd = { .eventfd = NOTIFY, .addr = 0x9000100, .datamatch = 5, .length = 4 } });
	add_fd(VMM, VMM_FILES, 32, NOTIFY);
	add_fd(VMM, VMM_FILES, 31, RESAMPLE);
	add_fd(VMM, VMM_FILES, 30, IRQ);
	add_task(VMM_FILES);
	add_task(HELPER_FILES);
	return 0;
}

static struct vm_state *fill(int expected)
{
	struct vm_state *vm = calloc(1, sizeof(*vm));

	log_reset();
	qsort(fds, b.fds.nr, sizeof(*fds), binding_compare_fds);
	assert_int_equal(binding_list_uses(&b), 0);
	vm->routing.own = true;
	assert_int_equal(binding_fill(&b, vm), expected);
	free(b.uses);
	return vm;
}

static bool at_rest(void)
{
	bool ret;

	qsort(fds, b.fds.nr, sizeof(*fds), binding_compare_fds);
	assert_int_equal(binding_list_uses(&b), 0);
	ret = binding_at_rest(&b);
	free(b.uses);
	return ret;
}

static void assert_refused(const char *why)
{
	vm_state_free(fill(-ENOTSUP));
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), why))
		fail_msg("'%s' is not in: %s", why, log_error());
	assert_non_null(strstr(log_error(), "pid 100: "));
}

static void assert_ref(const struct eventfd_ref *ref, int vpid, int fd)
{
	assert_int_equal(ref->vpid, vpid);
	assert_int_equal(ref->fd, fd);
}

static void eventfds_of_the_vmm_are_told_by_its_fds(void **state)
{
	struct vm_state *vm = fill(0);

	assert_true(at_rest());
	assert_int_equal(vm->nr_irqfds, 1);
	assert_int_equal(vm->irqfds[0].gsi, 7);
	assert_true(vm->irqfds[0].resample);
	assert_ref(&vm->irqfds[0].eventfd, 10, 30);
	assert_ref(&vm->irqfds[0].resamplefd, 10, 31);
	assert_int_equal(vm->nr_ioeventfds, 1);
	assert_int_equal(vm->ioeventfds[0].addr, 0x9000100);
	assert_int_equal(vm->ioeventfds[0].len, 4);
	assert_int_equal(vm->ioeventfds[0].datamatch, 5);
	assert_int_equal(vm->ioeventfds[0].flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
	assert_ref(&vm->ioeventfds[0].eventfd, 10, 32);
	vm_state_free(vm);
}

static void an_eventfd_that_is_shared_is_the_vmms(void **state)
{
	struct vm_state *vm;

	add_fd(HELPER, HELPER_FILES, 3, IRQ);
	set_refs(IRQ, 2);
	vm = fill(0);
	assert_true(at_rest());
	assert_ref(&vm->irqfds[0].eventfd, 10, 30);
	vm_state_free(vm);
}

static void an_eventfd_of_another_process_is_found_there(void **state)
{
	struct vm_state *vm;

	*fd_of(VMM, NOTIFY) = (struct kvm_rec){ 0 };
	add_fd(HELPER, HELPER_FILES, 3, NOTIFY);
	vm = fill(0);
	assert_ref(&vm->ioeventfds[0].eventfd, 11, 3);
	vm_state_free(vm);
}

static void two_tasks_with_one_table_hold_an_eventfd_once(void **state)
{
	add_fd(SHARER, VMM_FILES, 30, IRQ);
	add_task(VMM_FILES);
	set_tasks(VMM_FILES, 2);
	assert_true(at_rest());
	set_refs(IRQ, 2);
	assert_false(at_rest());
}

static void a_length_of_0_is_bound_once(void **state)
{
	struct vm_state *vm;

	bound[1].ioeventfd.length = 0;
	bound[1].ioeventfd.wildcard = 1;
	add_bound(bound[1]);
	bound[2].ioeventfd.fast = 1;
	set_users(NOTIFY, 3);
	vm = fill(0);
	assert_true(at_rest());
	assert_int_equal(vm->nr_ioeventfds, 1);
	assert_int_equal(vm->ioeventfds[0].flags, 0);
	assert_int_equal(vm->ioeventfds[0].datamatch, 0);
	vm_state_free(vm);
}

static void ports_and_channels_are_told_by_flags(void **state)
{
	struct vm_state *vm;

	bound[1].ioeventfd.pio = 1;
	add_bound(bound[1]);
	bound[2].ioeventfd.pio = 0;
	bound[2].ioeventfd.ccw = 1;
	set_users(NOTIFY, 3);
	vm = fill(0);
	assert_int_equal(vm->ioeventfds[0].flags, KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO);
	assert_int_equal(vm->ioeventfds[1].flags,
			 KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY);
	vm_state_free(vm);
}

/* Of the GSIs of one pin KVM tells the end of the interrupt to the one that came last. */
static void the_gsi_that_has_a_pin_comes_last(void **state)
{
	struct vm_state *vm;

	for (unsigned int gsi = 0; gsi < 3; gsi++)
		add_bound((struct kvm_rec){
			.type = KVM_REC_ROUTE,
			.route = {
				.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .pin = 4, .acked = gsi == 1 } });
	vm = fill(0);
	assert_int_equal(vm->routing.nr, 3);
	assert_int_equal(vm->routing.routes[0].gsi, 0);
	assert_int_equal(vm->routing.routes[1].gsi, 2);
	assert_int_equal(vm->routing.routes[2].gsi, 1);
	vm_state_free(vm);
}

static void an_eventfd_that_nobody_has_is_refused(void **state)
{
	*fd_of(VMM, RESAMPLE) = (struct kvm_rec){ 0 };
	assert_refused("resamplefd of an irqfd, GSI 0x7: no process has its eventfd");
}

static void an_eventfd_that_a_stranger_has_too_is_refused(void **state)
{
	add_fd(STRANGER, 0xf300, 9, NOTIFY);
	set_refs(NOTIFY, 2);
	assert_refused("ioeventfd, address 0x9000100: pid 102 has its eventfd too (fd 9), and is not dumped");
}

static void an_eventfd_in_a_socket_or_in_the_kernel_is_refused(void **state)
{
	set_refs(IRQ, 2);
	assert_false(at_rest());
	assert_refused("irqfd, GSI 0x7: its eventfd is on its way through a socket, or in use by the kernel");
}

static void a_table_of_fds_that_an_unseen_task_has_is_refused(void **state)
{
	add_fd(HELPER, HELPER_FILES, 3, IRQ);
	set_refs(IRQ, 2);
	set_tasks(HELPER_FILES, 2);
	assert_false(at_rest());
	assert_refused("irqfd, GSI 0x7: a process that criu cannot see shares the fds of pid 101 (CLONE_FILES)");
	add_task(VMM_FILES);
	assert_false(at_rest());
	add_task(HELPER_FILES);
	assert_true(at_rest());
	vm_state_free(fill(0));
}

static void an_eventfd_that_is_bound_elsewhere_is_refused(void **state)
{
	set_users(NOTIFY, 3);
	assert_false(at_rest());
	assert_refused("ioeventfd, address 0x9000100: its eventfd is bound by others too");
}

static void a_semaphore_is_refused(void **state)
{
	fd_of(VMM, IRQ)->eventfd.flags = 1;
	assert_refused("irqfd, GSI 0x7: its eventfd is a semaphore");
}

static void an_interrupt_that_is_queued_is_waited_for(void **state)
{
	bound[0].irqfd.pending = 1;
	assert_false(at_rest());
	assert_refused("irqfd, GSI 0x7: an interrupt that KVM has not injected yet");
}

static void an_interrupt_that_is_being_injected_is_waited_for(void **state)
{
	works[b.works.nr++] = (struct kvm_rec){ .type = KVM_REC_WORK, .work.work = WORK + 8 };
	assert_true(at_rest());
	works[b.works.nr++] = (struct kvm_rec){ .type = KVM_REC_WORK, .work.work = WORK };
	assert_false(at_rest());
	assert_refused("irqfd, GSI 0x7: an interrupt that KVM has not injected yet");
}

static void a_holder_that_a_restore_would_not_find_is_refused(void **state)
{
	*fd_of(VMM, NOTIFY) = (struct kvm_rec){ 0 };
	add_fd(HELPER, HELPER_FILES, 3, NOTIFY);
	holders[1].found = false;
	assert_refused(
		"ioeventfd, address 0x9000100: a restore could not tell which process has its eventfd");
}

/* The ioeventfd is 4 bytes at 0x9000100. */
static void an_ioeventfd_in_a_coalesced_zone_is_refused_where_the_order_matters(void **state)
{
	static const struct {
		uint64_t addr;
		unsigned int size, pio;
		bool refused;
	} zones[] = {
		{ 0x90000f0, 0x40, 0, true },  { 0x90000fc, 8, 0, true },   { 0x9000100, 4, 0, true },
		{ 0x9000100, 8, 0, false },    { 0x9000100, 2, 0, false },  { 0x90000fc, 6, 0, false },
		{ 0x90000f0, 0x40, 1, false }, { 0x90000fc, 4, 0, false },  { 0x9000104, 4, 0, false },
		{ 0x9000102, 8, 0, false },    { 0x90000fe, ~0u, 0, true },
	};
	const size_t nr = b.bound.nr;

	for (size_t i = 0; i < COUNT(zones); i++) {
		b.bound.nr = nr;
		add_bound((struct kvm_rec){ .type = KVM_REC_ZONE,
					    .zone = { zones[i].addr, zones[i].size, zones[i].pio } });
		vm_state_free(fill(zones[i].refused ? -ENOTSUP : 0));
		assert_int_equal(log_errors(), zones[i].refused);
		if (zones[i].refused)
			assert_true(log_has("ioeventfd, address 0x9000100: it is in a zone of coalesced MMIO"));
	}
}

static void one_of_any_length_is_refused_at_the_start_of_a_zone_too(void **state)
{
	bound[1].ioeventfd.length = 0;
	bound[1].ioeventfd.wildcard = 1;
	add_bound((struct kvm_rec){ .type = KVM_REC_ZONE, .zone = { 0x9000100, 8, 0 } });
	vm_state_free(fill(-ENOTSUP));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(eventfds_of_the_vmm_are_told_by_its_fds),
		TEST(an_eventfd_that_is_shared_is_the_vmms),
		TEST(an_eventfd_of_another_process_is_found_there),
		TEST(two_tasks_with_one_table_hold_an_eventfd_once),
		TEST(a_length_of_0_is_bound_once),
		TEST(ports_and_channels_are_told_by_flags),
		TEST(the_gsi_that_has_a_pin_comes_last),
		TEST(an_eventfd_that_nobody_has_is_refused),
		TEST(an_eventfd_that_a_stranger_has_too_is_refused),
		TEST(an_eventfd_in_a_socket_or_in_the_kernel_is_refused),
		TEST(a_table_of_fds_that_an_unseen_task_has_is_refused),
		TEST(an_eventfd_that_is_bound_elsewhere_is_refused),
		TEST(a_semaphore_is_refused),
		TEST(an_interrupt_that_is_queued_is_waited_for),
		TEST(an_interrupt_that_is_being_injected_is_waited_for),
		TEST(a_holder_that_a_restore_would_not_find_is_refused),
		TEST(an_ioeventfd_in_a_coalesced_zone_is_refused_where_the_order_matters),
		TEST(one_of_any_length_is_refused_at_the_start_of_a_zone_too),
	};

	return cmocka_run_group_tests_name("what a VM has bound", tests, NULL, NULL);
}
