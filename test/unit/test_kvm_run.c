// SPDX-License-Identifier: GPL-2.0-only
/* The page a vCPU shares with its VMM: taken away for the dump and put back, and the exit that is replayed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "state/kvm_run.h"
#include "testlog.h"

#define PSTATE_LINE "KVM_SET_ONE_REG 0x6030000000100042 = "

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64 };

static const struct kvm_run *run_of(const struct fake_kvm *kvm, size_t i)
{
	return (const struct kvm_run *)kvm->vcpus[i].run;
}

/* Swap */

struct swap {
	struct fake_kvm *kvm, *twin; /* the twin is left alone */
	struct vm_state *vm;
};

static int set_up_swap(void **state)
{
	struct swap *swap = calloc(1, sizeof(*swap));

	swap->kvm = fake_running(shape);
	swap->twin = fake_running(shape);
	swap->vm = fake_dump(swap->kvm);
	fake_forget(swap->kvm);
	log_reset();
	*state = swap;
	return 0;
}

static int tear_down_swap(void **state)
{
	struct swap *swap = *state;

	vm_state_free(swap->vm);
	fake_free(swap->kvm);
	fake_free(swap->twin);
	free(swap);
	return 0;
}

static void assert_as_before(const struct swap *swap, const char *after)
{
	const char *diff = fake_diff(swap->twin, swap->kvm);

	if (diff)
		fail_msg("after %s the VM differs in: %s", after, diff);
}

/* In one session they stand where they were read. */
static void a_session_maps_pages_once(void **state)
{
	struct swap *swap = *state;

	assert_ptr_equal(swap->kvm->remote.pages_of, swap->vm);
	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	assert_int_equal(fake_count(swap->kvm, "vcpu ?: mmap fd * shared room *"), 0);
	fake_forget(swap->kvm);
	swap->kvm->remote.pages_of = NULL; /* the next session */
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_int_equal(fake_count(swap->kvm, "vcpu ?: mmap fd * shared room *"), swap->vm->nr_vcpus);
	assert_as_before(swap, "out and in");
}

/* Left with the copies, the VMM would run a guest whose exits it cannot see. */
static void no_vcpu_may_run_before_its_page_is_gone(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	/* Once to forbid, and once more, behind the copies, so that KVM finds no exit to complete. */
	assert_int_equal(fake_count(swap->kvm, "vcpu ?: write page +0"), 4);
	assert_true(fake_last(swap->kvm, "vcpu ?: write page +0") < fake_first(swap->kvm, "task: mremap*"));
	assert_int_equal(fake_count(swap->kvm, "task: write 8 places"), 1);
	assert_true(fake_first(swap->kvm, "task: write 8 places") > fake_last(swap->kvm, "task: mremap*"));
	for (size_t i = 0; i < swap->vm->nr_vcpus; i++) {
		assert_int_equal(run_of(swap->kvm, i)->immediate_exit, 1);
		assert_int_equal(run_of(swap->kvm, i)->exit_reason, KVM_EXIT_UNKNOWN);
	}
}

static void no_vcpu_may_run_before_all_pages_are_back(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	fake_forget(swap->kvm);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_int_equal(fake_count(swap->kvm, "*write*"), 2);
	assert_true(fake_first(swap->kvm, "task: write 8 places") < fake_first(swap->kvm, "vcpu ?: mmap * fixed *"));
	assert_true(fake_last(swap->kvm, "task: write 8 places") > fake_last(swap->kvm, "vcpu ?: mmap * fixed *"));
	assert_as_before(swap, "out and in");
}

/* What a criu that was killed leaves behind, with copies or with the real pages: nobody dumps that. */
static void a_page_that_was_left_is_known(void **state)
{
	struct swap *swap = *state;
	struct vm_state *vm;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	vm = fake_discovered(swap->kvm);
	assert_int_equal(vcpu_capture_lists(vm, &swap->kvm->remote), 0);
	assert_int_equal(vcpu_capture_regs(vm, &swap->kvm->remote), 0);
	assert_int_equal(kvm_run_capture(vm, &swap->kvm->remote), -EBUSY);
	assert_non_null(strstr(log_error(), "kvm_run is marked: a criu that was killed has left it so"));
	vm_state_free(vm);
}

/* And what a criu that was killed in a restore leaves behind. */
static void a_page_that_was_left_by_a_restore_is_known(void **state)
{
	struct fake_kvm *source = fake_running(shape), *copy;
	struct vm_state *vm = fake_dump(source), *found;

	copy = fake_created(source, vm);
	assert_int_equal(plan_run(plan_restore, plan_nr_restore - 2, vm, &copy->remote), 0);
	found = fake_discovered(copy);
	assert_int_equal(vcpu_capture_lists(found, &copy->remote), 0);
	assert_int_equal(vcpu_capture_regs(found, &copy->remote), 0);
	log_reset();
	assert_int_equal(kvm_run_capture(found, &copy->remote), -EBUSY);
	assert_non_null(strstr(log_error(), "kvm_run is marked: a criu that was killed has left it so"));
	vm_state_free(found);
	vm_state_free(vm);
	fake_free(source);
	fake_free(copy);
}

static void a_vmm_left_with_copies_gets_eintr_and_loses_nothing(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	for (size_t i = 0; i < swap->vm->nr_vcpus; i++)
		assert_int_equal(fake_run(swap->kvm, i), -EINTR);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_as_before(swap, "KVM_RUN on copies");
}

static void criu_dumps_what_the_vmm_saw(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	assert_int_equal(fake_nr_own_maps(swap->kvm), swap->twin->nr_maps);
	for (size_t m = 0; m < swap->twin->nr_maps; m++) {
		const struct fake_map *was = &swap->twin->maps[m];
		const struct fake_map *is = fake_map_at(swap->kvm, was->start, was->size);

		assert_non_null(is);
		assert_int_equal(is->vcpu, -1);
		assert_int_equal(is->size, was->size);
		assert_int_equal(is->prot, was->prot);
		for (uint64_t at = was->start; at < was->start + was->size; at++)
			assert_int_equal(*fake_map_byte(swap->kvm, is, at),
					 *fake_map_byte(swap->twin, was, at));
	}
}

static void a_dump_that_is_undone_leaves_no_trace(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_int_equal(log_errors(), 0);
	assert_int_equal(fake_count(swap->kvm, "vcpu ?: KVM_*"), 0);
	assert_as_before(swap, "out and in");
}

static size_t calls_of_swap_out(void)
{
	struct swap *swap;
	size_t n;

	set_up_swap((void **)&swap);
	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	n = swap->kvm->nr_calls;
	tear_down_swap((void **)&swap);
	return n;
}

static void a_swap_that_fails_half_way_is_undone(void **state)
{
	size_t calls = calls_of_swap_out();
	struct swap *swap;

	for (size_t i = 1; i <= calls; i++) {
		set_up_swap((void **)&swap);
		swap->kvm->fail_call = i;
		swap->kvm->fail_errno = EXDEV;
		assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), -EXDEV);
		assert_int_equal(log_errors(), 1);
		assert_memory_equal(log_error(), "vm 1: ", 6);
		swap->kvm->fail_call = 0;
		assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
		assert_as_before(swap, swap->kvm->lines[swap->kvm->failed_line]);
		tear_down_swap((void **)&swap);
	}
}

static size_t calls_of_swap_in(void)
{
	struct swap *swap;
	size_t n;

	set_up_swap((void **)&swap);
	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	fake_forget(swap->kvm);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	n = swap->kvm->nr_calls;
	tear_down_swap((void **)&swap);
	return n;
}

/* Not at once then, but all of it is put back. */
static void what_fails_once_in_the_swap_back_is_put_back_all_the_same(void **state)
{
	size_t calls = calls_of_swap_in();
	struct swap *swap;

	for (size_t i = 1; i <= calls; i++) {
		set_up_swap((void **)&swap);
		assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
		fake_forget(swap->kvm);
		swap->kvm->fail_call = i;
		swap->kvm->fail_errno = EXDEV;
		assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
		assert_int_equal(log_errors(), 0);
		assert_as_before(swap, swap->kvm->lines[swap->kvm->failed_line]);
		tear_down_swap((void **)&swap);
	}
}

static void assert_others_put_back(struct swap *swap, const char *fails)
{
	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	swap->kvm->fail_like = fails;
	swap->kvm->fail_times = 2; /* at once, and by itself */
	swap->kvm->fail_errno = EXDEV;
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), -EXDEV);
	for (size_t i = 1; i < swap->vm->nr_vcpus; i++)
		assert_memory_equal(run_of(swap->kvm, i), run_of(swap->twin, i), FAKE_PAGE);
	for (size_t m = 0; m < swap->twin->nr_maps; m++)
		if (swap->twin->maps[m].vcpu > 0)
			assert_int_equal(fake_map_at(swap->kvm, swap->twin->maps[m].start, 1)->vcpu,
					 swap->twin->maps[m].vcpu);
}

/* It itself does not run: the VMM would not see its exits. What says so is what recover and another try go by. */
static void a_mapping_that_cannot_be_put_back_does_not_stop_the_others(void **state)
{
	struct swap *swap = *state;

	assert_others_put_back(swap, "vcpu 0: mmap * fixed *");
	assert_int_equal(run_of(swap->kvm, 0)->immediate_exit, 1);
	assert_memory_equal(run_of(swap->kvm, 0)->padding1, "kvmvgi", 6);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_as_before(swap, "a second try");
}

static void a_page_that_cannot_be_put_back_does_not_stop_the_others(void **state)
{
	assert_others_put_back(*state, "*: write [8p]*");
}

/* What is mapped anew is locked then; the VMM's mappings were not. */
static void mlockall_leaves_no_trace(void **state)
{
	struct swap *swap = *state;

	swap->kvm->lock_future = true;
	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_as_before(swap, "out and in");
}

/* The limit was lowered since: the vCPUs go on, and the log says what they have lost. */
static void a_lock_that_cannot_be_put_back_costs_no_page(void **state)
{
	struct swap *swap = *state;

	assert_int_equal(kvm_run_swap_out(swap->vm, &swap->kvm->remote, NULL), 0);
	swap->kvm->fail_like = "task: mlock2*";
	swap->kvm->fail_times = 2; /* at once, and by itself */
	swap->kvm->fail_errno = ENOMEM;
	assert_int_equal(kvm_run_swap_in(swap->vm, &swap->kvm->remote), 0);
	assert_int_equal(log_errors(), 2);
	for (size_t i = 0; i < swap->vm->nr_vcpus; i++)
		assert_memory_equal(run_of(swap->kvm, i), run_of(swap->twin, i), FAKE_PAGE);
	for (size_t m = 0; m < swap->twin->nr_maps; m++)
		assert_int_equal(fake_map_at(swap->kvm, swap->twin->maps[m].start, 1)->vcpu,
				 swap->twin->maps[m].vcpu);
}

/* Replay */

struct replay {
	struct fake_kvm *source, *copy;
	struct vm_state *vm;
	size_t failed;
};

static struct replay dump_of(struct fake_kvm *source)
{
	struct replay r = { .source = source };

	r.vm = fake_dump(source);
	r.copy = fake_created(source, r.vm);
	log_reset();
	return r;
}

static int restore(struct replay *r)
{
	return fake_steps(plan_restore, plan_nr_restore, r->vm, r->copy, &r->failed);
}

static void assert_same(const struct replay *r)
{
	const char *diff = fake_diff(r->source, r->copy);

	if (diff)
		fail_msg("the copy differs in: %s", diff);
}

static void finish(struct replay *r)
{
	vm_state_free(r->vm);
	fake_free(r->source);
	fake_free(r->copy);
}

static void the_answer_of_the_vmm_reaches_the_guest(void **state)
{
	struct replay r = dump_of(fake_running(shape));
	struct fake_vcpu *vcpu = &r.copy->vcpus[0];
	uint64_t answer;

	memcpy(&answer, run_of(r.source, 0)->mmio.data, sizeof(answer));
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_run(r.copy, 0), 0);
	assert_true(fake_reg_u64(vcpu, FAKE_X0) == answer);
	assert_false(vcpu->mmio_needed);
	finish(&r);
}

/* vCPU 2 left with an MMIO exit too, but has been to KVM_RUN since: once more would be once too often. */
static void a_write_that_was_served_is_not_made_twice(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	assert_int_equal(run_of(r.source, 2)->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(r.vm->vcpus[2].pending, VCPU_PENDING_NONE);
	assert_int_equal(r.vm->vcpus[0].pending, VCPU_PENDING_READ);
	assert_int_equal(r.vm->vcpus[1].pending, VCPU_PENDING_WRITE);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_count(r.copy, "vcpu 2: KVM_RUN*"), 0);
	finish(&r);
}

/* KVM ties the perf events of its PMU to the thread whose KVM_RUN makes them: they count in no other. */
static void an_exit_is_replayed_by_the_thread_of_its_vcpu(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	assert_int_equal(restore(&r), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(r.copy->vcpus[i].vtid, FAKE_THREAD(i));
		assert_int_equal(r.copy->vcpus[i].vtid, r.source->vcpus[i].vtid);
	}
	assert_int_equal(fake_count(r.copy, "vcpu 0: KVM_RUN by thread 201"), 1);
	assert_int_equal(fake_count(r.copy, "vcpu 1: KVM_RUN by thread 202"), 1);
	assert_same(&r);
	finish(&r);
}

/* What its PMU counted stands still in the VM that was dumped, too. */
static void an_exit_of_a_vcpu_whose_thread_has_ended_is_replayed_by_the_first(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	source->vcpus[0].vtid = 0;
	r = dump_of(source);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(r.copy->vcpus[0].vtid, FAKE_FIRST_THREAD);
	assert_int_equal(r.copy->vcpus[1].vtid, FAKE_THREAD(1));
	assert_int_equal(log_errors(), 0);
	assert_true(log_has("vm 1: vcpu 0 (id 7): the thread that ran it is not known, or had ended: what its "
			    "PMU counts stands still\n"));
	assert_false(log_has("vcpu 1 (id 2): the thread"));
	assert_same(&r);
	finish(&r);
}

static void without_a_pmu_the_thread_does_not_matter(void **state)
{
	struct fake_kvm *source = fake_running((struct fake_shape){
		.nr_vcpus = 4, .nr_irqs = 64, .features = 1u << KVM_ARM_VCPU_PSCI_0_2 });
	struct replay r;

	source->vcpus[0].vtid = 0;
	r = dump_of(source);
	assert_int_equal(restore(&r), 0);
	assert_false(log_has("the thread that ran it"));
	assert_true(log_told("vm 1: vcpu 0 (id 7): the thread that ran it is not known, or had ended\n"));
	finish(&r);
}

static void a_thread_that_is_not_there_stops_the_restore(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	source->vcpus[1].vtid = FAKE_FIRST_THREAD - 1;
	r = dump_of(source);
	assert_int_equal(restore(&r), -ESRCH);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(),
			    "vm 1: replay of a pending exit: vcpu 1: thread 199 of the image is not there, or has died");
	assert_string_equal(plan_restore[r.failed].name, "pending exits");
	assert_int_equal(fake_count(r.copy, "vcpu 1: KVM_RUN*"), 0);
	finish(&r);
}

/* That of the replay is over, and the VMM's is as it was: its next report is of the access. */
static void a_debugger_that_steps_loses_no_step(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	source->vcpus[1].debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	r = dump_of(source);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_count(r.copy, "vcpu 1: KVM_RUN*"), 1);
	assert_true(r.copy->vcpus[1].mmio_needed);
	assert_int_equal(fake_last(r.copy, "vcpu 1: KVM_SET_GUEST_DEBUG = 0x3"),
			 fake_last(r.copy, "vcpu 1: KVM_SET_GUEST_DEBUG*"));
	assert_same(&r);
	finish(&r);
}

/* KVM completes an access only where both say so: exit_reason is in the page, and the VMM's to write. */
static void what_another_exit_left_is_not_taken_for_mmio(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	((struct kvm_run *)source->vcpus[0].run)->exit_reason = KVM_EXIT_INTR;
	r = dump_of(source);
	assert_int_equal(r.vm->vcpus[0].pending, VCPU_PENDING_NONE);
	finish(&r);
}

static void no_instruction(struct fake_vcpu *vcpu)
{
	vcpu->insn.len = 0;
}

/* The page as an MMIO exit left it, under another exit. */
static void other_exit(struct fake_vcpu *vcpu)
{
	struct kvm_run *run = (struct kvm_run *)vcpu->run;

	run->mmio.phys_addr = vcpu->insn.phys;
	run->mmio.len = vcpu->insn.len;
	run->mmio.is_write = vcpu->insn.is_write;
	memcpy(run->mmio.data, &vcpu->insn.data, sizeof(run->mmio.data));
	vcpu->insn.len = 0;
}

static void unmapped(struct fake_vcpu *vcpu)
{
	vcpu->insn.unmapped = true;
}

static void other_address(struct fake_vcpu *vcpu)
{
	vcpu->insn.phys += 4;
}

static void other_width(struct fake_vcpu *vcpu)
{
	vcpu->insn.len *= 2;
}

static void other_direction(struct fake_vcpu *vcpu)
{
	vcpu->insn.is_write = !vcpu->insn.is_write;
}

static void other_data(struct fake_vcpu *vcpu)
{
	vcpu->insn.data ^= 1;
}

static void an_exit_that_is_not_the_same_stops_the_restore(void **state)
{
	static const struct {
		size_t vcpu;
		void (*change)(struct fake_vcpu *vcpu);
	} other[] = { { 0, no_instruction },  { 1, no_instruction },  { 0, other_exit },
		      { 1, other_exit },      { 0, unmapped },	      { 0, other_address },
		      { 1, other_address },   { 0, other_width },     { 1, other_width },
		      { 0, other_direction }, { 1, other_direction }, { 1, other_data } };

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct replay r = dump_of(fake_running(shape));
		char said[64];

		other[i].change(&r.copy->vcpus[other[i].vcpu]);
		assert_int_equal(restore(&r), -EIO);
		assert_string_equal(plan_restore[r.failed].name, "pending exits");
		snprintf(said, sizeof(said), "vm 1: vcpu %zu: replay of a pending exit: ", other[i].vcpu);
		assert_int_equal(log_errors(), 1);
		assert_memory_equal(log_error(), said, strlen(said));
		for (size_t n = fake_last(r.copy, "vcpu ?: read page*") + 1; n < r.copy->nr_lines; n++)
			assert_true(fake_is_like(r.copy->lines[n], "vcpu ?: KVM_GET_ONE_REG*"));
		finish(&r);
	}
}

/* All steps of @r's restore that come before the replay. The record is empty then. */
static void restore_up_to_the_replay(struct replay *r)
{
	size_t n = 0;

	while (strcmp(plan_restore[n].name, "pending exits"))
		n++;
	assert_int_equal(fake_steps(plan_restore, n, r->vm, r->copy, &r->failed), 0);
	fake_forget(r->copy);
}

/* kvm_run has one union for all exits. */
static void what_a_replay_says_is_of_its_exit(void **state)
{
	static const struct {
		size_t vcpu;
		void (*change)(struct fake_vcpu *vcpu);
		const char *says;
	} other[] = {
		{ 0, other_exit,
		  "exit DEBUG, was MMIO, read of 1 bytes at 0x9000010: the instruction is no access that KVM "
		  "leaves to the VMM: since the exit the guest has changed its page tables or its code" },
		{ 1, other_address,
		  "exit MMIO, write of 2 bytes at 0x9000024, was MMIO, write of 2 bytes at 0x9000020" },
		{ 0, unmapped,
		  "exit DEBUG, was MMIO, read of 1 bytes at 0x9000010: the guest's access is aborted: since "
		  "the exit another vCPU has unmapped its page" },
	};

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct replay r = dump_of(fake_running(shape));
		char said[512];

		other[i].change(&r.copy->vcpus[other[i].vcpu]);
		assert_int_equal(restore(&r), -EIO);
		snprintf(said, sizeof(said),
			 "vm 1: vcpu %zu: replay of a pending exit: %s: this dump cannot be restored: use "
			 "another one",
			 other[i].vcpu, other[i].says);
		assert_string_equal(log_error(), said);
		finish(&r);
	}
}

/* @id as it was in the VM that was dumped. */
static void assert_reg(const struct replay *r, size_t vcpu, uint64_t id)
{
	assert_true(fake_reg_u64(&r->copy->vcpus[vcpu], id) == fake_reg_u64(&r->source->vcpus[vcpu], id));
}

/* With the write of vCPU 1 to a page that another vCPU has unmapped since, from @pstate. */
static struct replay dump_of_unmapped_write(uint64_t pstate)
{
	struct fake_kvm *source = fake_running(shape);

	source->vcpus[1].insn.unmapped = true;
	fake_set_reg_u64(&source->vcpus[1], ARM64_CORE_PSTATE, pstate);
	return dump_of(source);
}

/* BTYPE and SS: kvm_skip_instr() clears them. */
#define BTYPE_AND_SS 0x200c00u

/* KVM would complete it without another look at the guest's page tables. */
static void a_write_whose_page_was_unmapped_is_completed(void **state)
{
	static const uint64_t pstates[] = { 0x60000000, 0x60000005 };

	for (size_t i = 0; i < 2; i++) {
		struct replay r = dump_of_unmapped_write(pstates[i] | BTYPE_AND_SS);
		struct fake_vcpu *vcpu = &r.copy->vcpus[1];
		const char *diff;

		assert_int_equal(restore(&r), 0);
		assert_int_equal(log_errors(), 0);
		assert_true(log_told(
			"vm 1 vcpu 1 (id 2): pending write at 0x9000020 completed: the guest has unmapped "
			"its page since\n"));
		assert_false(vcpu->mmio_needed);
		assert_true(fake_reg_u64(vcpu, ARM64_CORE_PC) == vcpu->insn.pc + 4);
		assert_int_equal(fake_reg_u64(vcpu, ARM64_CORE_PSTATE), pstates[i]);
		assert_int_equal(run_of(r.copy, 1)->exit_reason, KVM_EXIT_MMIO);
		/* And nothing else differs from a VM in which KVM has done it. */
		fake_set_reg_u64(&r.source->vcpus[1], ARM64_CORE_PC, vcpu->insn.pc + 4);
		fake_set_reg_u64(&r.source->vcpus[1], ARM64_CORE_PSTATE, pstates[i]);
		r.source->vcpus[1].mmio_needed = false;
		diff = fake_diff(r.source, r.copy);
		if (diff)
			fail_msg("the copy differs in: %s", diff);
		finish(&r);
	}
}

/* An abort of the same instruction that the guest has handled has left its traces. */
static void an_earlier_abort_is_not_taken_for_one(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	fake_set_reg_u64(&source->vcpus[1], ARM64_CORE_ELR_EL1, source->vcpus[1].insn.pc);
	fake_set_reg_u64(&source->vcpus[1], ARM64_ESR_EL1, 0x92000047);
	r = dump_of(source);
	no_instruction(&r.copy->vcpus[1]);
	assert_int_equal(restore(&r), -EIO);
	assert_non_null(strstr(log_error(), "the instruction is no access that KVM leaves to the VMM"));
	finish(&r);
}

/* How long the instruction is depends on more, and IT blocks go on (kvm_skip_instr32()). */
static void a_write_of_32_bits_whose_page_was_unmapped_is_not_guessed(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	source->vcpus[1].insn.unmapped = true;
	fake_set_reg_u64(&source->vcpus[1], ARM64_CORE_PSTATE, 0x60000010);
	source->vcpus[1].serror = false;
	source->vcpus[1].serror_esr = 0;
	r = dump_of(source);
	assert_int_equal(restore(&r), -EIO);
	assert_non_null(strstr(log_error(), "the guest's access is aborted"));
	finish(&r);
}

static void a_completion_that_fails_is_named(void **state)
{
	static const char *const calls[] = { "vcpu 1: KVM_GET_ONE_REG 0x603000000013c290*",
					     "vcpu 1: KVM_SET_ONE_REG 0x603000000013c290*" }; /* ESR_EL1 */

	for (size_t i = 0; i < 2; i++) {
		struct replay r = dump_of_unmapped_write(0x60000005);

		restore_up_to_the_replay(&r);
		r.copy->fail_like = calls[i];
		r.copy->fail_times = 1;
		r.copy->fail_errno = ENOENT;
		assert_int_equal(kvm_run_replay(r.vm, &r.copy->remote), -ENOENT);
		assert_int_equal(log_errors(), 1);
		assert_non_null(strstr(log_error(), "of a pending exit: vcpu 1: KVM_"));
		assert_non_null(strstr(log_error(), "0x603000000013c290"));
		finish(&r);
	}
}

/* Linux 6.12: a single step of the host's does not turn them off. */
static void watchpoints_of_the_guest_wait_for_the_end_of_the_replay(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	for (size_t i = 0; i < 2; i++) {
		source->vcpus[i].insn.watched = true;
		fake_set_reg_u64(&source->vcpus[i], ARM64_MDSCR_EL1, 0xb000);
	}
	r = dump_of(source);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_count(r.copy, "vcpu ?: KVM_SET_ONE_REG 0x6030000000138012 = 0x1000"), 2);
	assert_reg(&r, 0, ARM64_MDSCR_EL1);
	assert_same(&r);
	finish(&r);
}

/* Of a store of one byte KVM says eight; the rest is of no meaning. */
static void bytes_beyond_the_width_of_a_write_do_not_matter(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	r.copy->vcpus[1].insn.data ^= 0xffull << 8 * r.copy->vcpus[1].insn.len;
	assert_int_equal(restore(&r), 0);
	finish(&r);
}

static void a_signal_to_the_vmm_does_not_stop_the_restore(void **state)
{
	static const int errs[] = { EINTR, EAGAIN };

	for (size_t i = 0; i < 2; i++) {
		struct replay r = dump_of(fake_running(shape));

		r.copy->fail_like = "vcpu 0: KVM_RUN*";
		r.copy->fail_times = 3;
		r.copy->fail_errno = errs[i];
		assert_int_equal(restore(&r), 0);
		assert_int_equal(log_errors(), 0);
		assert_int_equal(fake_count(r.copy, "vcpu 0: KVM_RUN*"), 4);
		assert_same(&r);
		finish(&r);
	}
}

static void signals_without_end_do(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	r.copy->fail_like = "vcpu 0: KVM_RUN*";
	r.copy->fail_times = 1000;
	r.copy->fail_errno = EINTR;
	assert_int_equal(restore(&r), -EINTR);
	assert_int_equal(log_errors(), 1);
	assert_non_null(strstr(log_error(), "vm 1: vcpu 0: replay of a pending exit: KVM_RUN: "));
	assert_in_range(fake_count(r.copy, "vcpu 0: KVM_RUN*"), 2, 64);
	finish(&r);
}

/* Each call of the replay in turn, which then goes on to what forbids to run and ends the stepping. */
static void a_replay_that_fails_leaves_nothing_that_runs(void **state)
{
	static const char *const calls[] = { "vcpu 0: KVM_SET_GUEST_DEBUG = 0x3", "vcpu 0: write page*",
					     "vcpu 0: KVM_RUN*" };

	for (size_t i = 0; i < 3; i++) {
		struct replay r = dump_of(fake_running(shape));
		struct fake_vcpu *vcpu = &r.copy->vcpus[0];

		restore_up_to_the_replay(&r);
		r.copy->fail_like = calls[i];
		r.copy->fail_times = 1;
		r.copy->fail_errno = EFAULT;
		assert_int_equal(kvm_run_replay(r.vm, &r.copy->remote), -EFAULT);
		assert_int_equal(log_errors(), 1);
		assert_int_equal(run_of(r.copy, 0)->immediate_exit, 1);
		assert_int_equal(vcpu->debug.control, 0);
		assert_true(fake_reg_u64(vcpu, ARM64_CORE_PSTATE) ==
			    *vcpu_reg_u64(&r.vm->vcpus[0], ARM64_CORE_PSTATE));
		assert_int_equal(fake_run(r.copy, 0), -EINTR);
		finish(&r);
	}
}

/* Another ioctl on that vCPU would wait for the same, and take the VMM's first thread with it. */
static void a_vcpu_that_does_not_come_back_is_waited_for_once(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	restore_up_to_the_replay(&r);
	r.copy->thread_dead = ETIMEDOUT;
	assert_int_equal(kvm_run_replay(r.vm, &r.copy->remote), -ETIMEDOUT);
	assert_int_equal(run_of(r.copy, 0)->immediate_exit, 1);
	assert_int_equal(fake_count(r.copy, "vcpu 0: KVM_SET_GUEST_DEBUG*"), 1);
	finish(&r);
}

/* criu is killed when the vCPU has just run: the last that it has written is what lets it. */
static void a_page_that_was_left_by_a_replay_is_known(void **state)
{
	struct replay r = dump_of(fake_running(shape));
	struct vm_state *found;

	restore_up_to_the_replay(&r);
	r.copy->fail_call = 6; /* after KVM_SET_GUEST_DEBUG, two registers, page, KVM_RUN */
	r.copy->fail_errno = ESRCH;
	assert_int_equal(kvm_run_replay(r.vm, &r.copy->remote), -ESRCH);
	assert_string_equal(r.copy->lines[r.copy->failed_line], "vcpu 0: write page +0");
	assert_int_equal(fake_last(r.copy, "vcpu 0: KVM_RUN*"), r.copy->failed_line - 1);
	assert_int_equal(run_of(r.copy, 0)->immediate_exit, 0);
	found = fake_discovered(r.copy);
	assert_int_equal(vcpu_capture_lists(found, &r.copy->remote), 0);
	assert_int_equal(vcpu_capture_regs(found, &r.copy->remote), 0);
	log_reset();
	assert_int_equal(kvm_run_capture(found, &r.copy->remote), -EBUSY);
	assert_true(log_has("vm 1: vcpu 0: kvm_run is marked: a criu that was killed has left it so: let it go on "
			    "by criu-kvm recover, or end the process"));
	vm_state_free(found);
	finish(&r);
}

static void interrupts_wait_for_the_end_of_the_replay(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	/* The model takes one where the mask lets it: that it could is what makes this a test. */
	assert_int_equal(r.source->vcpus[0].irq[3].queue, 0);
	assert_int_equal(fake_reg_u64(&r.source->vcpus[0], ARM64_CORE_PSTATE) & 0x80, 0);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_count(r.copy, "vcpu 0: " PSTATE_LINE "0x600003c5"), 1);
	assert_same(&r);
	finish(&r);
}

/* What is the D mask of AArch64 is the endianness of AArch32: changed, the store would be of other bytes. */
static void a_32_bit_program_stores_what_it_meant_to(void **state)
{
	struct fake_kvm *source = fake_running(shape);
	struct replay r;

	fake_set_reg_u64(&source->vcpus[1], ARM64_CORE_PSTATE, 0x60000010);
	source->vcpus[1].serror = false;
	source->vcpus[1].serror_esr = 0;
	r = dump_of(source);
	assert_int_equal(restore(&r), 0);
	assert_int_equal(fake_count(r.copy, "vcpu 1: " PSTATE_LINE "0x600001d0"), 1);
	assert_same(&r);
	finish(&r);
}

static void an_exit_of_a_vcpu_without_pstate_is_not_guessed(void **state)
{
	struct replay r = dump_of(fake_running(shape));

	for (size_t i = 0; i < r.vm->vcpus[0].nr_regs; i++)
		if (r.vm->vcpus[0].regs[i].id == ARM64_CORE_PSTATE)
			r.vm->vcpus[0].regs[i].id = ARM64_CORE_U64(8);
	fake_reg(&r.copy->vcpus[0], ARM64_CORE_PSTATE)->id = ARM64_CORE_U64(8);
	assert_int_equal(restore(&r), -EINVAL);
	assert_int_equal(fake_count(r.copy, "vcpu ?: KVM_RUN*"), 0);
	finish(&r);
}

#define SWAP(test) cmocka_unit_test_setup_teardown(test, set_up_swap, tear_down_swap)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SWAP(a_session_maps_pages_once),
		SWAP(no_vcpu_may_run_before_its_page_is_gone),
		SWAP(no_vcpu_may_run_before_all_pages_are_back),
		SWAP(a_page_that_was_left_is_known),
		cmocka_unit_test(a_page_that_was_left_by_a_restore_is_known),
		SWAP(a_vmm_left_with_copies_gets_eintr_and_loses_nothing),
		SWAP(criu_dumps_what_the_vmm_saw),
		SWAP(a_dump_that_is_undone_leaves_no_trace),
		cmocka_unit_test(a_swap_that_fails_half_way_is_undone),
		cmocka_unit_test(what_fails_once_in_the_swap_back_is_put_back_all_the_same),
		SWAP(a_mapping_that_cannot_be_put_back_does_not_stop_the_others),
		SWAP(a_page_that_cannot_be_put_back_does_not_stop_the_others),
		SWAP(mlockall_leaves_no_trace),
		SWAP(a_lock_that_cannot_be_put_back_costs_no_page),
		cmocka_unit_test(the_answer_of_the_vmm_reaches_the_guest),
		cmocka_unit_test(a_write_that_was_served_is_not_made_twice),
		cmocka_unit_test(an_exit_is_replayed_by_the_thread_of_its_vcpu),
		cmocka_unit_test(an_exit_of_a_vcpu_whose_thread_has_ended_is_replayed_by_the_first),
		cmocka_unit_test(without_a_pmu_the_thread_does_not_matter),
		cmocka_unit_test(a_thread_that_is_not_there_stops_the_restore),
		cmocka_unit_test(a_debugger_that_steps_loses_no_step),
		cmocka_unit_test(what_another_exit_left_is_not_taken_for_mmio),
		cmocka_unit_test(an_exit_that_is_not_the_same_stops_the_restore),
		cmocka_unit_test(what_a_replay_says_is_of_its_exit),
		cmocka_unit_test(a_write_whose_page_was_unmapped_is_completed),
		cmocka_unit_test(an_earlier_abort_is_not_taken_for_one),
		cmocka_unit_test(a_write_of_32_bits_whose_page_was_unmapped_is_not_guessed),
		cmocka_unit_test(a_completion_that_fails_is_named),
		cmocka_unit_test(watchpoints_of_the_guest_wait_for_the_end_of_the_replay),
		cmocka_unit_test(bytes_beyond_the_width_of_a_write_do_not_matter),
		cmocka_unit_test(a_signal_to_the_vmm_does_not_stop_the_restore),
		cmocka_unit_test(signals_without_end_do),
		cmocka_unit_test(a_replay_that_fails_leaves_nothing_that_runs),
		cmocka_unit_test(a_vcpu_that_does_not_come_back_is_waited_for_once),
		cmocka_unit_test(a_page_that_was_left_by_a_replay_is_known),
		cmocka_unit_test(interrupts_wait_for_the_end_of_the_replay),
		cmocka_unit_test(a_32_bit_program_stores_what_it_meant_to),
		cmocka_unit_test(an_exit_of_a_vcpu_without_pstate_is_not_guessed),
	};

	return cmocka_run_group_tests_name("kvm_run", tests, NULL, NULL);
}
