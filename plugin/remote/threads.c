// SPDX-License-Identifier: GPL-2.0-only
/* See threads.h. */
#include <asm/ptrace.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "probe/proc.h"
#include "remote/rseq.h"
#include "remote/threads.h"
#include "remote/trace.h"

#ifndef NT_ARM_SSVE
#define NT_ARM_SSVE 0x40b
#define NT_ARM_ZA 0x40c
#endif
#define NT_ARM_ZT_ 0x40d /* not in bookworm's elf.h */

#define STOP_TIMEOUT_MS 30000 /* it may be in a system call that no signal ends */
#define TLS_SIZE 16 /* bytes of NT_ARM_TLS: TPIDR_EL0, TPIDR2_EL0 */

static int failed(pid_t tid, const char *what, uint32_t note, int err)
{
	pr_err("thread %d: cannot %s register set %#x: %s (errno %d)\n", tid, what, note, strerror(-err), -err);
	return err;
}

static const struct thread_regset *find_set(const struct thread_state *thread, uint32_t note)
{
	for (size_t i = 0; i < thread->nr_sets; i++)
		if (thread->sets[i].note == note)
			return &thread->sets[i];
	return NULL;
}

/* Without data ZA is off, and written back so it stays off. */
static bool has_za(const struct thread_regset *za)
{
	return za && za->size > sizeof(struct user_sve_header);
}

/*
 * PTRACE_GETREGSET says of the vector sets how large they can be, their header how large they
 * are: ZA of a thread that has it off is a header alone, and with bytes behind it would be on.
 */
static size_t actual_size(uint32_t note, const uint8_t *room, size_t size)
{
	const struct user_sve_header *head = (const void *)room;
	bool is_vector = note == NT_ARM_SVE || note == NT_ARM_SSVE || note == NT_ARM_ZA;

	if (!is_vector || size < sizeof(*head) || head->size < sizeof(*head) || head->size > size)
		return size;
	return head->size;
}

/*
 * Whether what was read is state, and not the kernel's word that there is none: to
 * write that back would enter streaming mode, or turn ZA on.
 */
static bool is_live(const struct thread_state *thread, const struct thread_regset *set)
{
	const struct user_sve_header *head = (const void *)set->data;

	switch (set->note) {
	case NT_ARM_SSVE:
		return (head->flags & SVE_PT_REGS_MASK) == SVE_PT_REGS_SVE;
	case NT_ARM_ZA:
		return true; /* off, it is the vector length alone: see apply_length() */
	case NT_ARM_ZT_:
		return has_za(find_set(thread, NT_ARM_ZA));
	case NT_ARM_TLS:
		return set->size > TLS_SIZE / 2; /* TPIDR_EL0 alone is CRIU's; the second is TPIDR2_EL0 */
	}
	return true;
}

/* What is read of the threads of a process. */
struct capture {
	struct vm_state *vm;
	uint8_t *room;		      /* for one register set */
	bool absent[THREAD_MAX_SETS]; /* by the place in thread_notes: not asked again, for the kernel takes 64 KiB to answer */
};

static int capture_set(pid_t tid, struct thread_state *thread, uint32_t note, uint8_t *room, bool *absent)
{
	struct thread_regset *set = &thread->sets[thread->nr_sets];
	size_t size = THREAD_SET_MAX;
	int ret;

	memset(room, 0, TLS_SIZE); /* it is said to have TPIDR2_EL0 where it has none */
	ret = trace_get_regset(tid, note, room, &size);

	/* What this CPU or kernel has not: EINVAL; what the thread does not use: ENODATA. */
	*absent = ret == -EINVAL;
	if (ret == -EINVAL || ret == -ENODATA || ret == -ENODEV)
		return 0;
	if (ret)
		return failed(tid, "read", note, ret);
	size = actual_size(note, room, size);
	*set = (struct thread_regset){ .note = note, .size = size, .data = room };
	if (!is_live(thread, set))
		return 0;
	set->data = malloc(size);
	if (!set->data)
		return -ENOMEM;
	memcpy(set->data, room, size);
	thread->nr_sets++;
	return 0;
}

static int capture_sets(struct capture *c, pid_t tid, struct thread_state *thread)
{
	int ret = c->room ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < thread_nr_notes; i++)
		if (!c->absent[i] && thread_note_can_be(thread_notes[i]))
			ret = capture_set(tid, thread, thread_notes[i], c->room, &c->absent[i]);
	return ret;
}

static int take_thread(pid_t tid, pid_t vtid, void *arg)
{
	struct capture *c = arg;
	struct vm_state *vm = c->vm;
	struct thread_state *more, *thread;
	int ret = rseq_abort(tid);

	if (ret) {
		pr_err("thread %d: cannot abort its restartable sequence: %s (errno %d)\n", tid, strerror(-ret), -ret);
		return ret;
	}
	more = reallocarray(vm->threads, vm->nr_threads + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	vm->threads = more;
	thread = &more[vm->nr_threads++];
	*thread = (struct thread_state){ .vtid = vtid, .sets = calloc(thread_nr_notes, sizeof(*thread->sets)) };
	return thread->sets ? capture_sets(c, tid, thread) : -ENOMEM;
}

int threads_take(pid_t pid, struct vm_state *vm)
{
	struct capture c = { .vm = vm, .room = malloc(THREAD_SET_MAX) };
	int ret = c.room ? proc_each_vtid(pid, take_thread, &c) : -ENOMEM;

	free(c.room);
	if (!ret)
		return 0;
	pr_err("pid %d: cannot read the registers of its threads: %s (errno %d)\n", pid, strerror(-ret), -ret);
	/* Nothing was run in any of them: there is nothing to put back. */
	thread_free(vm->threads, vm->nr_threads);
	vm->threads = NULL;
	vm->nr_threads = 0;
	return ret;
}

/* ZA that is off, before all else: to set another streaming vector length drops SVE registers. */
static int apply_length(pid_t tid, const struct thread_state *thread)
{
	const struct thread_regset *za = find_set(thread, NT_ARM_ZA);
	int ret = za && !has_za(za) ? trace_set_regset(tid, NT_ARM_ZA, za->data, za->size) : 0;

	return ret ? failed(tid, "write", NT_ARM_ZA, ret) : 0;
}

static struct thread_state *thread_of(const struct vm_state *vm, pid_t vtid)
{
	for (size_t i = 0; i < vm->nr_threads; i++)
		if (vm->threads[i].vtid == vtid)
			return &vm->threads[i];
	return NULL;
}

/* Whoever stops a thread sees to its restartable sequence. What it had in registers before is of no use any more. */
static int stop_thread(struct capture *c, pid_t tid, struct thread_state *thread)
{
	int ret = trace_interrupt(tid, STOP_TIMEOUT_MS) ?: rseq_abort(tid);

	while (thread->nr_sets)
		free(thread->sets[--thread->nr_sets].data);
	return ret ?: capture_sets(c, tid, thread);
}

/* What they are called is asked of those alone that go on: others may be ending meanwhile, and that is no matter. */
static int stop_if_it_goes_on(pid_t pid, pid_t tid, void *arg)
{
	struct capture *c = arg;
	struct thread_state *thread = trace_goes_on(tid) ? thread_of(c->vm, proc_vpid(pid, tid)) : NULL;
	int ret;

	if (!thread)
		return 0;
	thread->went_on = true;
	ret = stop_thread(c, tid, thread);
	if (ret)
		pr_err("thread %d: CRIU has let it go on, and it cannot be stopped: %s (errno %d)\n", tid, strerror(-ret), -ret);
	return 0;
}

void threads_stop_again(pid_t pid, struct vm_state *vm)
{
	struct capture c = { .vm = vm, .room = malloc(THREAD_SET_MAX) };

	proc_each_thread(pid, stop_if_it_goes_on, &c);
	free(c.room);
}

bool threads_went_on(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_threads; i++)
		if (vm->threads[i].went_on)
			return true;
	return false;
}

/* No call loses what only prctl() sets, nor does the return from a signal: it is a new thread's alone. */
static bool is_to_be_set(const struct thread_regset *set, bool is_new)
{
	return is_new || (set->note != NT_ARM_TAGGED_ADDR_CTRL && set->note != NT_ARM_PAC_ENABLED_KEYS);
}

static int apply_sets(pid_t tid, const struct thread_state *thread, bool is_new)
{
	int ret = apply_length(tid, thread);

	for (size_t s = 0; s < thread->nr_sets && !ret; s++) {
		const struct thread_regset *set = &thread->sets[s];

		if ((set->note == NT_ARM_ZA && !has_za(set)) || !is_to_be_set(set, is_new))
			continue;
		ret = trace_set_regset(tid, set->note, set->data, set->size);
		if (ret)
			return failed(tid, "write", set->note, ret);
	}
	return ret;
}

struct application {
	const struct vm_state *vm;
	bool is_new;
};

static int apply_thread(pid_t tid, pid_t vtid, void *arg)
{
	const struct application *a = arg;
	const struct thread_state *thread = thread_of(a->vm, vtid);

	if (thread)
		return apply_sets(tid, thread, a->is_new);
	if (threads_went_on(a->vm))
		return 0; /* made since, by one that went on */
	pr_err("thread %d: not one of those that were dumped\n", tid);
	return -EINVAL;
}

static int apply(pid_t pid, const struct vm_state *vm, bool is_new)
{
	struct application a = { vm, is_new };
	int ret = proc_each_vtid(pid, apply_thread, &a);

	if (ret)
		pr_err("pid %d: cannot put back the registers of its threads: %s (errno %d)\n", pid, strerror(-ret),
		       -ret);
	return ret;
}

static bool any_is_to_be_put_back(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_threads; i++)
		for (size_t s = 0; s < vm->threads[i].nr_sets; s++)
			if (is_to_be_set(&vm->threads[i].sets[s], false))
				return true;
	return false;
}

int threads_put_back(pid_t pid, const struct vm_state *vm)
{
	return any_is_to_be_put_back(vm) ? apply(pid, vm, false) : 0;
}

int threads_apply(pid_t pid, const struct vm_state *vm)
{
	return apply(pid, vm, true);
}
