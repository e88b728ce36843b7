// SPDX-License-Identifier: GPL-2.0-only
/* What a batch brings is what its calls have written, whatever somebody else has written beside it. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "remote/batch_code.h"
#include "remote/slots.h"
#include "state/kvm_run.h"
#include "state/kvm_run_page.h"
#include "state/left.h"

#define SMALLEST (sizeof(struct batch_slot) + 8 + 24 + 8) /* room for each of the calls alone */
#define SCRATCH 0xffff80000000ull
#define NR 7 /* structs */
#define RUN 3
#define ALL (NR + 2 * (RUN - 1)) /* calls: two of the structs are runs */

static uint64_t value, other, inner;
static char text[24];
static uint64_t read_values[RUN];
static int64_t results[RUN];
static struct {
	uint64_t number;
	uint32_t value[4];
} written[RUN];
static struct remote_call calls[NR];
static _Alignas(16) uint8_t mirror[4096];

/* In the order of @calls: a plain argument, none, two levels, one that may fail; attributes, registers; a call of neither. */
static int set_up(void **state)
{
	value = other = inner = 0;
	memset(mirror, 0, sizeof(mirror));
	memset(text, 'x', sizeof(text));
	memset(read_values, 0xee, sizeof(read_values));
	memset(results, 0x55, sizeof(results));
	for (uint32_t i = 0; i < RUN; i++) {
		written[i].number = 0x700 + i * i;
		memset(written[i].value, 0x10 + i, sizeof(written[i].value));
	}
	memcpy(calls,
	       (struct remote_call[NR]){
		       { .nr = 1, .data_arg = 2, .data = &value, .size = sizeof(value), .writes_back = true },
		       { .nr = 2, .arg = { 5, 6 } },
		       { .nr = 3, .data_arg = 1, .data = text, .size = sizeof(text), .inner = &inner, .inner_size = sizeof(inner),
			 .inner_at = 8, .writes_back = true, .also_arg = 4, .also_at = 16 },
		       { .nr = 4, .data_arg = 2, .data = &other, .size = sizeof(other), .writes_back = true, .may_fail = 2 },
		       { .nr = SYS_ioctl, .arg = { 9, 5, 0, 7, 0x40, 0 }, .arg_2_is_rest = true, .data_arg = 5, .data = read_values,
			 .size = 4, .writes_back = true, .more = RUN - 1, .stride = 8, .number_stride = 0x10, .results = results },
		       { .nr = SYS_ioctl, .arg = { 9, 6, 0, 0x700, 0, 0 }, .arg_2_is_rest = true, .data_arg = 4,
			 .data = written[0].value, .size = 16, .more = RUN - 1, .stride = sizeof(written[0]),
			 .numbers = &written[0].number },
		       { .nr = SYS_ioctl, .arg = { 9, 7, 0, 1, 2, 0 }, .arg_2_is_rest = true, .data_arg = 5 },
	       },
	       sizeof(calls));
	return 0;
}

/* Where an address of the task's is in the mirror. */
static void *there(uint64_t addr)
{
	assert_in_range(addr, SCRATCH, SCRATCH + sizeof(mirror) - 1);
	return mirror + (addr - SCRATCH);
}

/* A call as it is made: of an ioctl() of a run @nr is the request, and @rest what its argument points to. */
struct made {
	uint64_t nr, arg[6];
	const uint64_t *rest;
};

/* As the kernel does. */
static int64_t make(const struct made *call)
{
	uint64_t at;

	if (call->rest)
		assert_int_equal(call->arg[0], 9);
	switch (call->nr) {
	case 1:
	case 4:
		memcpy(there(call->arg[2]), &(uint64_t){ 0x11 * call->nr }, 8);
		break;
	case 2:
		assert_int_equal(call->arg[1], 6);
		break;
	case 3:
		assert_int_equal(call->arg[4], call->arg[1] + 16);
		memcpy(&at, (char *)there(call->arg[1]) + 8, sizeof(at));
		memcpy(there(at), &(uint64_t){ 0x33 }, 8);
		break;
	case 5:
		assert_int_equal(call->rest[0], 7);
		memcpy(there(call->rest[2]), &(uint32_t){ call->rest[1] + 1 }, 4);
		return 0;
	case 6:
		for (uint32_t r = 0; r < RUN; r++)
			if (written[r].number == call->rest[0])
				assert_memory_equal(there(call->rest[1]), written[r].value, 16);
		memset(there(call->rest[1]), 0xff, 16);
		return 0;
	case 7:
		assert_int_equal(call->rest[0], 1);
		assert_int_equal(call->rest[1], 2);
	}
	return call->nr;
}

/* As batch_code.S does, which knows nothing but what is laid out, and how many calls that is. Returns those it has made. */
static size_t run_slot(const uint8_t *slot, size_t left, int64_t *result)
{
	const struct batch_slot *one = (const void *)slot;
	struct batch_run run;
	struct made call = { .nr = one->nr };
	uint64_t *moving;

	memcpy(&run, slot, sizeof(run));
	if (!run.request) {
		memcpy(call.arg, one->arg, sizeof(call.arg));
		*result = make(&call);
		return 1;
	}
	assert_in_range(run.number_at, offsetof(struct batch_run, arg), offsetof(struct batch_run, arg) + 8);
	moving = (uint64_t *)((uint8_t *)&run + run.number_at);
	call = (struct made){ .nr = run.request, .arg = { run.fd }, .rest = run.arg };
	for (uint32_t i = 0; i < run.nr && i < left; i++) {
		result[i] = make(&call);
		if (run.numbers && i + 1 < run.nr)
			memcpy(&moving[0], there(run.numbers + 8 * (i + 1)), 8);
		else
			moving[0] += run.number_step;
		moving[1] += run.value_step;
	}
	return run.nr < left ? run.nr : left;
}

static void answer(const struct slots *slots)
{
	const uint8_t *at = mirror + slots->answers;
	int64_t *result = (int64_t *)mirror;
	size_t n;

	for (size_t left = slots->nr; left; left -= n, result += n, at += sizeof(struct batch_slot)) {
		assert_true(at < mirror + slots->slots);
		n = run_slot(at, left, result);
	}
	assert_ptr_equal(at, mirror + slots->slots);
}

static void assert_answered(void)
{
	for (size_t i = 0; i < NR; i++) {
		assert_true(calls[i].done);
		assert_int_equal(remote_call_left(&calls[i]), 0);
		assert_int_equal(calls[i].result, i == 4 || i == 5 ? 0 : i + 1);
	}
	assert_int_equal(value, 0x11);
	assert_int_equal(inner, 0x33);
	assert_int_equal(other, 0x44);
	for (uint32_t i = 0; i < RUN; i++) {
		assert_int_equal(results[i], 0);
		assert_int_equal(read_values[i], 0xeeeeeeee00000000 | (0x41 + 0x10 * i));
		for (uint32_t w = 0; w < 4; w++)
			assert_int_equal(written[i].value[w], 0x01010101 * (0x10 + i));
	}
	for (uint32_t i = 0; i < sizeof(text); i++)
		assert_int_equal(text[i], 'x');
}

static struct slots lay_out(size_t room)
{
	struct slots slots = slots_fit(calls, NR, room);

	slots_lay_out(mirror, SCRATCH, calls, &slots);
	return slots;
}

static const struct batch_slot *slot_of(const struct slots *slots, size_t i)
{
	return (const struct batch_slot *)(mirror + slots->answers) + i;
}

static void each_call_has_its_answer(void **state)
{
	struct slots slots = lay_out(sizeof(mirror));

	assert_int_equal(slots.nr, ALL);
	assert_int_equal(slots.results, ALL * 8);
	assert_int_equal(slots.answers, slots.results + 3 * 8 + RUN * 8);
	assert_int_equal(slots.slots, slots.answers + NR * sizeof(struct batch_slot));
	assert_int_equal(slots.used, slots.slots + 24 + RUN * (16 + 8));
	assert_int_equal(slots_fit(calls, NR, slots.used).nr, ALL);
	assert_int_equal(slots_fit(calls, NR, slots.used - 1).nr, ALL - 1);
	assert_int_equal(slot_of(&slots, 3)->may_fail, 2);
	assert_int_equal(slot_of(&slots, 1)->may_fail, 0);
	answer(&slots);
	slots_collect(mirror, calls, &slots, ALL);
	assert_answered();
}

static void what_was_not_executed_has_none(void **state)
{
	struct slots slots = lay_out(sizeof(mirror));

	answer(&slots);
	slots_collect(mirror, calls, &slots, 1);
	assert_true(calls[0].done);
	assert_false(calls[1].done);
	assert_int_equal(value, 0x11);
	assert_int_equal(other, 0);
}

/* One that writes a part has failed: the task itself sees how much it is. */
static void what_a_write_is_to_write_is_laid_out(void **state)
{
	struct slots slots;

	calls[1] = (struct remote_call){ .nr = SYS_process_vm_writev, .inner_size = 24 };
	slots = lay_out(sizeof(mirror));
	assert_int_equal(slot_of(&slots, 0)->whole, 0);
	assert_int_equal(slot_of(&slots, 1)->whole, 24);
	assert_int_equal(slot_of(&slots, 2)->whole, 0); /* though it has as much */
	assert_int_equal(slot_of(&slots, 3)->may_fail, 2);
	assert_int_equal(slot_of(&slots, 3)->whole, 0);
}

/* The second of three fails: it is the one that is told, and the third is not made. */
static void a_run_ends_with_the_call_that_fails(void **state)
{
	struct slots slots = lay_out(sizeof(mirror));

	answer(&slots);
	((int64_t *)mirror)[5] = -22;
	slots_collect(mirror, calls, &slots, 6);
	assert_true(calls[4].done);
	assert_true(remote_call_failed(&calls[4]));
	assert_int_equal(calls[4].result, -22);
	assert_int_equal(calls[4].made, 2);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], -22);
	assert_int_equal(results[2], 0x5555555555555555);
	assert_int_equal(read_values[0] & 0xffffffff, 0x41);
	assert_int_equal(read_values[2] & 0xffffffff, 0xeeeeeeee);
	assert_false(calls[5].done);
}

/* As long as one call fits. */
static void what_does_not_fit_comes_next(void **state)
{
	for (size_t room = SMALLEST; room < 1024; room += 8) {
		size_t made = 0;

		set_up(NULL);
		while (made < ALL) {
			size_t first = 0;
			struct slots slots;

			while (!remote_call_left(&calls[first]))
				first++;
			slots = slots_fit(&calls[first], NR - first, room);
			assert_in_range(slots.nr, 1, ALL - made);
			assert_true(slots.used <= room);
			memset(mirror, 0xaa, sizeof(mirror));
			slots_lay_out(mirror, SCRATCH, &calls[first], &slots);
			answer(&slots);
			assert_int_equal(mirror[slots.used], 0xaa);
			slots_collect(mirror, &calls[first], &slots, slots.nr);
			made += slots.nr;
		}
		assert_answered();
	}
}

/* Who shares the memory writes addresses to the slots: criu's own memory is not to be read by them. Of slots nothing is read back. */
static void an_address_that_was_changed_is_not_followed(void **state)
{
	struct slots slots = lay_out(sizeof(mirror));

	answer(&slots);
	memset(mirror + slots.answers, 0x7f, sizeof(mirror) - slots.answers);
	slots_collect(mirror, calls, &slots, ALL);
	assert_answered();
}

/* A session with so much memory for calls, all of which succeed. */
struct laying {
	struct remote remote;
	size_t nr_vcpus, scratch, batches, pages; /* pages: whose heads were written, one behind the other */
	bool is_whole; /* the last batch was laid out at once */
	bool is_last; /* nothing comes behind it */
};

/* What is written to pages of vCPUs: each one's record, and then its head. */
static void look_at_write(struct laying *l, const struct remote_call *call)
{
	const struct remote_write *write = call->data;
	size_t size = 0;

	for (size_t i = 0; i + 1 < call->arg[4]; i += 2, l->pages++) {
		const size_t idx = l->pages % l->nr_vcpus;
		struct left_record record;

		assert_int_equal((uintptr_t)write->to[i].iov_base, idx * 2 * 65536 + left_record_at(65536));
		assert_int_equal((uintptr_t)write->to[i + 1].iov_base, idx * 2 * 65536);
		memcpy(&record, (const char *)call->inner + size, sizeof(record));
		assert_true(record.magic != LEFT_MAGIC || record.maps[0].start == idx);
		size += write->to[i].iov_len + write->to[i + 1].iov_len;
	}
	if (call->arg[4] < 2)
		return;
	assert_int_equal(size, call->inner_size);
}

static int lay_out_whole(struct remote *remote, struct remote_call *list, size_t nr)
{
	struct laying *l = (struct laying *)remote;

	assert_false(l->is_last);
	l->is_last = remote->is_last;
	l->batches++;
	l->is_whole = slots_fit(list, nr, l->scratch).nr == nr;
	for (size_t i = 0; i < nr; i++) {
		if (list[i].nr == SYS_process_vm_writev)
			look_at_write(l, &list[i]);
		remote_call_made(&list[i], &(int64_t){ list[i].nr == SYS_process_vm_writev ? list[i].inner_size : 0 }, 1);
	}
	return 0;
}

static int write_ranges(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	assert_in_range(nr, 1, IOV_MAX);
	return 0;
}

/* Of the largest pages of vCPUs, mapped as often as they can be, with all that a mapping can have. */
static struct vm_state large_vm(size_t nr_vcpus, uint8_t *run)
{
	struct vm_state vm = { .nr_vcpus = nr_vcpus, .page_size = 65536, .vgic = calloc(1, sizeof(*vm.vgic)) };

	vm.vcpus = calloc(nr_vcpus, sizeof(*vm.vcpus));
	assert_true(vm.vcpus && vm.vgic);
	for (size_t i = 0; i < nr_vcpus; i++) {
		vm.vcpus[i] = (struct vcpu_state){ .idx = i, .run = run, .run_size = 2 * vm.page_size, .nr_maps = VCPU_MAX_MAPS };
		for (size_t m = 0; m < VCPU_MAX_MAPS; m++)
			vm.vcpus[i].maps[m] = (struct vcpu_map){ .size = vm.vcpus[i].run_size, .prot = PROT_READ | PROT_WRITE,
								 .flags = VCPU_MAP_KNOWN_FLAGS, .start = i };
	}
	return vm;
}

/* Should criu be killed, the VMM makes to its end what was laid out: no more. */
static void vcpus_are_taken_away_and_let_go_at_once(void **state)
{
	static const struct remote_ops ops = { .exec = lay_out_whole, .write_all = write_ranges };
	static const size_t nr_vcpus[] = { 1, 2, 8, 32, 33, VM_MAX_VCPUS };
	uint8_t *run = calloc(2, 65536);

	assert_non_null(run);
	memset(run, 1, 2 * 65536);
	for (size_t i = 0; i < sizeof(nr_vcpus) / sizeof(nr_vcpus[0]); i++) {
		struct vm_state vm = large_vm(nr_vcpus[i], run);
		struct laying l = { .remote = { .ops = &ops, .can_wait = true, .pages_of = &vm }, .nr_vcpus = vm.nr_vcpus,
				    .scratch = vm_scratch(&vm) };

		assert_int_equal(kvm_run_swap_out(&vm, &l.remote, NULL), 0);
		assert_int_equal(l.batches, 2);
		assert_int_equal(l.pages, vm.nr_vcpus);
		assert_true(l.is_whole && l.is_last);
		l = (struct laying){ .remote = { .ops = &ops }, .nr_vcpus = vm.nr_vcpus, .scratch = vm_undo_scratch(&vm) };
		assert_int_equal(kvm_run_swap_in(&vm, &l.remote), 0);
		assert_int_equal(l.pages, 2 * vm.nr_vcpus);
		assert_int_equal(l.batches, 1);
		assert_true(l.is_whole && l.is_last);
		l = (struct laying){ .remote = { .ops = &ops, .can_wait = true }, .scratch = vm_scratch(&vm) };
		assert_int_equal(kvm_run_allow(&vm, &l.remote), 0);
		assert_int_equal(vm_close_parked(&vm, &l.remote), 0);
		assert_int_equal(l.batches, 0);
		assert_int_equal(batch_end(&l.remote), 0);
		assert_int_equal(l.batches, 1);
		assert_true(l.is_whole && l.is_last);
		free(vm.vcpus);
		free(vm.vgic);
	}
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_call_has_its_answer, set_up),
		cmocka_unit_test_setup(what_was_not_executed_has_none, set_up),
		cmocka_unit_test_setup(what_a_write_is_to_write_is_laid_out, set_up),
		cmocka_unit_test_setup(a_run_ends_with_the_call_that_fails, set_up),
		cmocka_unit_test_setup(what_does_not_fit_comes_next, set_up),
		cmocka_unit_test_setup(an_address_that_was_changed_is_not_followed, set_up),
		cmocka_unit_test(vcpus_are_taken_away_and_let_go_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
