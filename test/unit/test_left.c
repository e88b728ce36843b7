// SPDX-License-Identifier: GPL-2.0-only
/* What a criu leaves that is killed while kvm_run is swapped, at each moment of it, and that it is put back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "state/kvm_run.h"
#include "state/left.h"
#include "testlog.h"

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64 };

/* What other threads of the VMM do at once when criu has been killed. */
enum {
	ANSWER = 1, /* the read that vCPU 0 has left for */
	RUN = 2,    /* each vCPU calls KVM_RUN */
	LATE = 4,   /* and leaves the guest when the task has done with what was run in it */
	CLEAR = 8,  /* immediate_exit, for which KVM_RUN of vCPU 1 has returned: not while a batch is being made (docs/criu-killed.md) */
};
#define ANSWERED 0x5a
static const unsigned int acts[] = { ANSWER, RUN, ANSWER | RUN, ANSWER | RUN | LATE, CLEAR, CLEAR | RUN };

/*
 * A remote whose owner is killed, after so many moments: before each access, before each batch, and before each call of one. A batch that
 * was begun the task makes to its end; or it ends there, as where a seccomp filter holds again that does not know the call.
 */
struct dying {
	struct remote remote;
	struct life *life;
	size_t moments, used;
	bool is_cut;
	bool is_dead, in_batch;
};

/* kvm is dumped or restored; what its VMM does meanwhile is judged by what the same comes to in the other, which is left alone. */
struct life {
	struct fake_kvm *kvm, *twin;
	struct vm_state *vm;
	struct dying dying;
	unsigned int act;
	bool entered[FAKE_VCPUS]; /* the guest, by RUN */
};

static void others_act(struct life *life);

static bool dies(struct dying *dying)
{
	if (!dying->is_dead)
		dying->is_dead = dying->used++ == dying->moments;
	return dying->is_dead;
}

static struct dying *to_dying(struct remote *remote)
{
	return (struct dying *)remote;
}

static struct remote *fake_of(struct remote *remote)
{
	return &to_dying(remote)->life->kvm->remote;
}

static int dying_exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	struct dying *dying = to_dying(remote);
	int ret = 0;

	if (dies(dying))
		return -ESRCH;
	for (size_t i = 0; i < nr && !ret; i++) {
		if (!dying->in_batch && dies(dying)) {
			dying->in_batch = true;
			if (dying->is_cut)
				return -ESRCH;
			others_act(dying->life);
		}
		ret = fake_of(remote)->ops->exec(fake_of(remote), &calls[i], 1);
		if (remote_call_failed(&calls[i]))
			break;
	}
	return dying->is_dead ? -ESRCH : ret;
}

static int dying_read(struct remote *remote, uint64_t addr, void *buf, size_t size)
{
	return batch_flush(remote) ?: dies(to_dying(remote)) ? -ESRCH : fake_of(remote)->ops->read(fake_of(remote), addr, buf, size);
}

static int dying_write(struct remote *remote, uint64_t addr, const void *buf, size_t size)
{
	return batch_flush(remote) ?: dies(to_dying(remote)) ? -ESRCH : fake_of(remote)->ops->write(fake_of(remote), addr, buf, size);
}

static int dying_write_all(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr)
{
	int ret = 0;

	for (size_t i = 0; i < nr && !ret; i++)
		ret = dying_write(remote, (uintptr_t)there[i].iov_base, here[i].iov_base, here[i].iov_len);
	return ret;
}

static const struct remote_ops dying_ops = {
	.exec = dying_exec, .read = dying_read, .write = dying_write, .write_all = dying_write_all,
};

/* With a second mapping of vCPU 0's page, and nothing where records are: of that some moments leave nothing. */
static struct fake_kvm *running(void)
{
	struct fake_kvm *kvm = fake_running(shape);

	for (size_t i = 0; i < kvm->nr_vcpus; i++)
		memset(kvm->vcpus[i].run + left_record_at(FAKE_PAGE), 0, sizeof(struct left_record));
	fake_map_add(kvm, 0xffff90000000, FAKE_PAGE, PROT_READ | PROT_WRITE, 0, 0);
	return kvm;
}

/* criu's session in @life's VM, in which it is killed. */
static void begin_session(struct life *life, size_t moments)
{
	life->dying = (struct dying){ .remote = { .ops = &dying_ops, .room = life->kvm->remote.room,
						  .vpid = life->kvm->remote.vpid, .can_wait = true,
						  .pages_of = life->kvm->remote.pages_of,
						  .copies_of = life->kvm->remote.copies_of },
				      .life = life,
				      .moments = moments };
}

static struct life *begin(size_t moments)
{
	struct life *life = calloc(1, sizeof(*life));

	assert_non_null(life);
	life->kvm = running();
	life->twin = running();
	life->vm = fake_dump(life->kvm);
	begin_session(life, moments);
	log_reset();
	return life;
}

static void end(struct life *life)
{
	batch_drop(&life->dying.remote);
	vm_state_free(life->vm);
	fake_free(life->kvm);
	fake_free(life->twin);
	free(life);
}

/* By its own way back, and by the end of a session, the task loses what was mapped for a moment. */
static void lose_room(struct fake_kvm *kvm)
{
	kvm->remote.pages_of = kvm->remote.copies_of = NULL;
	kvm->remote.ops->exec(&kvm->remote,
			      &(struct remote_call){
				      .nr = SYS_mmap,
				      .arg = { FAKE_ROOM, FAKE_ROOM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED } },
			      1);
}

/* Where the VMM sees @vcpu's page, in one of its mappings. */
static uint8_t *seen(struct fake_kvm *kvm, const struct fake_kvm *twin, int vcpu, bool last)
{
	const struct fake_map *of = NULL;

	for (size_t m = 0; m < twin->nr_maps; m++)
		if (twin->maps[m].vcpu == vcpu && !twin->maps[m].offset && (!of || last))
			of = &twin->maps[m];
	assert_non_null(of);
	return fake_map_byte(kvm, fake_map_at(kvm, of->start, 1), of->start);
}

static struct kvm_run *page_of(struct fake_kvm *kvm, size_t vcpu)
{
	return (struct kvm_run *)kvm->vcpus[vcpu].run;
}

/* By the exit that it finds. */
static void answer(struct fake_kvm *kvm, const struct fake_kvm *twin)
{
	struct kvm_run *run = (struct kvm_run *)seen(kvm, twin, 0, true);

	assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
	run->mmio.data[3] = ANSWERED;
}

/* Both VMMs answer the read that vCPU 0 has left for; no vCPU of the one that was dumped can go on. */
static void both_answer(struct life *life)
{
	answer(life->kvm, life->twin);
	answer(life->twin, life->twin);
}

static bool is_cleared(const struct life *life)
{
	return life->act & CLEAR && (!life->dying.in_batch || life->dying.is_cut);
}

static void clear(struct fake_kvm *kvm, const struct fake_kvm *twin)
{
	((struct kvm_run *)seen(kvm, twin, 1, true))->immediate_exit = 0;
}

static void others_act(struct life *life)
{
	if (life->act & ANSWER)
		answer(life->kvm, life->twin);
	if (is_cleared(life))
		clear(life->kvm, life->twin);
	for (size_t i = 0; i < life->kvm->nr_vcpus && life->act & RUN; i++) {
		life->entered[i] = !page_of(life->kvm, i)->immediate_exit;
		if (!life->entered[i] || !(life->act & LATE))
			fake_run(life->kvm, i);
	}
}

/* KVM has looked at immediate_exit when the guest was entered. */
static void run_entered(struct fake_kvm *kvm, size_t vcpu, bool entered)
{
	struct kvm_run *page = page_of(kvm, vcpu);
	const uint8_t now = page->immediate_exit;

	page->immediate_exit = !entered;
	fake_run(kvm, vcpu);
	page->immediate_exit = now;
}

static void others_act_late(struct life *life)
{
	for (size_t i = 0; i < life->kvm->nr_vcpus && life->act & LATE; i++)
		if (life->entered[i])
			run_entered(life->kvm, i, true);
}

/* Each vCPU is to go on with what it left for: what of that KVM had not done when it was called in that moment it does now. */
static void others_act_again(const struct life *life, struct fake_kvm *kvm)
{
	for (size_t i = 0; i < kvm->nr_vcpus && life->act & RUN; i++)
		run_entered(kvm, i, false);
}

/* What the VMM and its vCPUs have done, in a VM that nobody dumps. */
static void act_alone(const struct life *life, struct fake_kvm *kvm, bool answered)
{
	if (answered)
		answer(kvm, kvm);
	if (is_cleared(life))
		clear(kvm, kvm);
	for (size_t i = 0; i < kvm->nr_vcpus && life->act & RUN; i++)
		run_entered(kvm, i, life->entered[i]);
	others_act_again(life, kvm);
}

static enum left_place look(const struct left_view *view, const struct vcpu_state *vcpu, const struct vcpu_map *map)
{
	const struct {
		struct left_view view;
		struct fake_kvm *kvm;
	} *fake = (const void *)view;
	const struct fake_map *found = fake_map_at(fake->kvm, map->start, map->size);

	if (!found || found->prot != (int)map->prot)
		return LEFT_OTHER;
	return found->vcpu < 0 ? LEFT_COPY : found->vcpu == (int)vcpu->idx ? LEFT_PAGE : LEFT_OTHER;
}

static struct vm_state *vcpus_of(const struct fake_kvm *kvm)
{
	struct vm_state *vm = fake_discovered(kvm);

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		vm->vcpus[i].nr_maps = 0; /* nobody knows them */
		vm->vcpus[i].run_size = 2 * vm->page_size;
	}
	return vm;
}

/* 0, with *@nr put back, or a negative errno. */
static int recover_by(struct fake_kvm *kvm, struct remote *remote, size_t *nr)
{
	struct {
		struct left_view view;
		struct fake_kvm *kvm;
	} view = { { look }, kvm };
	struct vm_state *vm = vcpus_of(kvm);
	int ret = left_put_back(vm, remote, &view.view, nr);

	vm_state_free(vm);
	return ret;
}

static int recover(struct fake_kvm *kvm, size_t *nr)
{
	return recover_by(kvm, &kvm->remote, nr);
}

static void assert_same(const struct life *life, const char *when, size_t moment)
{
	const char *diff = fake_diff(life->twin, life->kvm);

	if (diff)
		fail_msg("criu killed %s, at moment %zu, act %u: the VM differs in: %s", when, moment, life->act, diff);
}

static bool is_held(const struct fake_kvm *kvm, size_t vcpu)
{
	return !memcmp(((const struct kvm_run *)kvm->vcpus[vcpu].run)->padding1, "kvmvgi", 6);
}

/* Of the first page, which has exits. */
static bool sees_copy(const struct life *life, int vcpu)
{
	for (size_t m = 0; m < life->twin->nr_maps; m++) {
		const struct fake_map *of = &life->twin->maps[m];

		if (of->vcpu == vcpu && !of->offset && fake_map_at(life->kvm, of->start, 1)->vcpu != vcpu)
			return true;
	}
	return false;
}

/* Left with a copy, the VMM would not see the exits of a vCPU that runs. */
static void assert_pages_are_seen(const struct life *life, const char *when, size_t moment)
{
	for (size_t i = 0; i < life->kvm->nr_vcpus; i++)
		if ((life->entered[i] || !page_of(life->kvm, i)->immediate_exit) && sees_copy(life, i))
			fail_msg("criu killed %s, at moment %zu, act %u: vCPU %zu runs, and the VMM sees a copy", when, moment, life->act, i);
}

/* Where a copy is being exchanged with the page: docs/criu-killed.md. */
static bool may_lose_answer(const struct life *life, bool swaps_in, bool by_steps)
{
	return (life->dying.in_batch || by_steps) && (swaps_in || sees_copy(life, 0));
}

/*
 * The VM is what it would be had the VMM not answered in this moment, or had its answer come to the guest; but that the page says
 * the one or the other.
 */
static bool is_but_for_answer(const struct life *life)
{
	const uint8_t said = page_of(life->kvm, 0)->mmio.data[3];
	bool is_so = false;

	for (int answered = 0; answered < 2 && !is_so; answered++) {
		struct fake_kvm *twin = running();
		uint8_t *data = &page_of(twin, 0)->mmio.data[3];
		const bool is_known = said == *data || said == ANSWERED;

		act_alone(life, twin, answered);
		*data = said;
		is_so = is_known && !fake_diff(twin, life->kvm);
		fake_free(twin);
	}
	return is_so;
}

struct moments {
	int (*run)(struct vm_state *vm, struct remote *remote);
	bool swapped, by_steps;
	const char *when;
	size_t nr, standing, running, without_answer; /* what was met */
};

static void swap_before(struct life *life)
{
	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	lose_room(life->kvm);
	life->dying.remote.pages_of = NULL;
}

/* false: it has no such moment. */
static bool kill_at(struct moments *m, size_t moment, bool is_cut, unsigned int act)
{
	struct life *life = begin(moment);
	size_t held = 0, nr;
	bool dead, may_lose;

	life->act = act;
	life->dying.is_cut = is_cut;
	if (m->swapped)
		swap_before(life);
	m->run(life->vm, &life->dying.remote);
	dead = life->dying.is_dead;
	lose_room(life->kvm);
	if (!life->dying.in_batch || is_cut)
		others_act(life);
	others_act_late(life);
	assert_pages_are_seen(life, m->when, moment);
	may_lose = may_lose_answer(life, m->swapped, m->by_steps);
	act_alone(life, life->twin, act & ANSWER);
	for (size_t i = 0; i < life->kvm->nr_vcpus; i++)
		held += is_held(life->kvm, i);
	log_reset();
	assert_int_equal(recover(life->kvm, &nr), 0);
	assert_int_equal(nr, held);
	assert_int_equal(log_errors(), 0);
	others_act_again(life, life->kvm);
	m->nr++;
	m->standing += held > 0;
	m->running += held < life->kvm->nr_vcpus;
	if (may_lose && fake_diff(life->twin, life->kvm) && is_but_for_answer(life))
		m->without_answer++;
	else
		assert_same(life, m->when, moment);
	assert_int_equal(recover(life->kvm, &nr), 0);
	assert_int_equal(nr, 0);
	end(life);
	return dead;
}

/* criu is killed at each moment; other threads act; the VM is put back. */
static void kill_at_each_moment(struct moments *m)
{
	for (size_t a = 0; a < sizeof(acts) / sizeof(acts[0]); a++)
		for (int is_cut = 0; is_cut < 2; is_cut++)
			for (size_t moment = 0; kill_at(m, moment, is_cut, acts[a]);)
				moment++;
	/* The loop has seen what it is for. */
	assert_true(m->nr > 8 * 5 * shape.nr_vcpus);
	assert_true(m->standing > m->nr / 4 && m->running > 0);
	assert_true(m->without_answer > 0 && m->without_answer < m->nr / 2);
}

static int swap_out(struct vm_state *vm, struct remote *remote)
{
	return kvm_run_swap_out(vm, remote, NULL);
}

static void a_vm_left_in_the_swap_goes_on(void **state)
{
	struct moments m = { .run = swap_out, .swapped = false, .when = "while it swapped out" };

	kill_at_each_moment(&m);
}

static void a_vm_left_in_the_swap_back_goes_on(void **state)
{
	struct moments m = { .run = kvm_run_swap_in, .swapped = true, .when = "while it swapped in" };

	kill_at_each_moment(&m);
}

/* As where something fails when all of it is put back at once. */
static int swap_in_by_steps(struct vm_state *vm, struct remote *remote)
{
	struct fake_kvm *kvm = to_dying(remote)->life->kvm;
	int ret;

	kvm->fail_like = "vcpu 2: write page*";
	kvm->fail_times = 1;
	kvm->fail_errno = EXDEV;
	ret = kvm_run_swap_in(vm, remote);
	kvm->fail_times = 0;
	return ret;
}

static void a_vm_left_in_the_swap_back_by_steps_goes_on(void **state)
{
	struct moments m = { .run = swap_in_by_steps, .swapped = true, .by_steps = true, .when = "while it swapped in by steps" };

	kill_at_each_moment(&m);
}

/* The command itself is killed: the next one finishes it. */
static void what_was_put_back_in_part_is_finished(void **state)
{
	size_t moment = 0, used = 0;

	for (; moment <= used; moment++) {
		struct life *life = begin(-1);
		size_t nr;

		assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
		both_answer(life);
		life->dying.moments = moment;
		recover_by(life->kvm, &life->dying.remote, &nr);
		used = life->dying.used;
		lose_room(life->kvm);
		assert_int_equal(recover(life->kvm, &nr), 0);
		assert_same(life, "while it put back", moment);
		end(life);
	}
	assert_true(moment > 4 * shape.nr_vcpus); /* the loop has seen what it is for: each page is mapped, read and written, twice */
}

/* Each of two mappings of a page has become a copy of its own. */
static void what_was_written_by_either_mapping_is_kept(void **state)
{
	struct life *life = begin(-1);
	size_t nr;

	assert_true(life->vm->vcpus[0].nr_maps > 1);
	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	seen(life->kvm, life->twin, 0, false)[0x40] = 1;
	seen(life->kvm, life->twin, 0, true)[0x41] = 2;
	seen(life->twin, life->twin, 0, false)[0x40] = 1;
	seen(life->twin, life->twin, 0, true)[0x41] = 2;
	assert_int_equal(recover(life->kvm, &nr), 0);
	assert_same(life, "with all swapped", 0);
	end(life);
}

/* What it had behind struct kvm_run, where the record stood, and immediate_exit, which the VMM has set since. */
static void what_is_behind_kvm_run_is_in_the_copy(void **state)
{
	struct life *life = begin(-1);
	const size_t at = FAKE_PAGE - 4;
	size_t nr;

	life->kvm->vcpus[1].run[at] = life->twin->vcpus[1].run[at] = 0x77;
	vm_state_free(life->vm);
	life->vm = fake_dump(life->kvm);
	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	((struct kvm_run *)seen(life->kvm, life->twin, 1, true))->immediate_exit = 1;
	((struct kvm_run *)seen(life->twin, life->twin, 1, true))->immediate_exit = 1;
	assert_int_equal(recover(life->kvm, &nr), 0);
	assert_same(life, "with all swapped", 0);
	assert_int_equal(life->kvm->vcpus[1].run[at], 0x77);
	end(life);
}

static void assert_refused(struct life *life, const char *says)
{
	size_t nr;

	log_reset();
	fake_forget(life->kvm);
	assert_int_equal(recover(life->kvm, &nr), -EBUSY);
	assert_int_equal(log_errors(), 1);
	if (!strstr(log_error(), says))
		fail_msg("%s", log_error());
	assert_int_equal(fake_count(life->kvm, "*write*"), 0);
	assert_int_equal(fake_count(life->kvm, "*mmap * fixed *"), 0);
}

static struct left_record *record_in(struct fake_kvm *kvm, size_t vcpu)
{
	return (struct left_record *)(kvm->vcpus[vcpu].run + left_record_at(FAKE_PAGE));
}

/* The record is in the VMM's own memory. */
static void a_record_that_lies_is_refused(void **state)
{
	static const struct left_record lies[] = {
		{ .magic = LEFT_MAGIC + 1 },
		{ .magic = LEFT_MAGIC, .nr_maps = VCPU_MAX_MAPS + 1 },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000, .size = 3 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000, .size = FAKE_PAGE, .offset = 2 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1001, .size = FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = -(uint64_t)FAKE_PAGE, .size = 2 * FAKE_PAGE } } },
		{ .magic = LEFT_MAGIC, .nr_maps = 1, .maps = { { .start = 0x1000 } } },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct life *life = begin(-1);

		assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
		*record_in(life->kvm, 2) = lies[i];
		assert_refused(life, "left by a restore that did not come to its end");
		end(life);
	}
}

static void what_stands_elsewhere_is_refused(void **state)
{
	struct life *life = begin(-1);

	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	record_in(life->kvm, 2)->maps[0].start = 0x123000;
	assert_refused(life, "neither its page nor a copy of it is where the dump found it mapped");
	end(life);
}

/* As CRIU has restored the copies: with what was in the pages. */
static void fill_copies(struct fake_kvm *kvm, struct fake_kvm *source)
{
	for (size_t m = 0; m < source->nr_maps; m++) {
		const struct fake_map *of = &source->maps[m];

		for (uint64_t at = of->start; of->vcpu >= 0 && at < of->start + of->size; at++)
			*fake_map_byte(kvm, fake_map_at(kvm, at, 1), at) = *fake_map_byte(source, of, at);
	}
}

/* @last steps of the restore are left to the session in which criu is killed. */
static struct life *begin_restore(size_t last, size_t moments)
{
	struct life *life = calloc(1, sizeof(*life));

	assert_non_null(life);
	life->twin = fake_running(shape);
	life->vm = fake_dump(life->twin);
	lose_room(life->twin);
	life->kvm = fake_created(life->twin, life->vm);
	fill_copies(life->kvm, life->twin);
	assert_int_equal(plan_run(plan_restore, plan_nr_restore - last, life->vm, &life->kvm->remote), 0);
	begin_session(life, moments);
	return life;
}

static void what_a_restore_left_is_refused(void **state)
{
	struct life *life = begin_restore(2, -1);

	assert_refused(life, "left by a restore that did not come to its end");
	end(life);
}

/* false: there is no such moment. *@whole: it runs on. */
static bool kill_restore_at(size_t moment, unsigned int act, bool *whole)
{
	const struct plan_part last = { .first = plan_nr_restore - 3, .nr = 3 };
	struct life *life = begin_restore(3, moment);
	size_t held = 0;
	bool dead;

	life->act = act;
	plan_run_part(plan_restore, plan_nr_restore, last, life->vm, &life->dying.remote);
	dead = life->dying.is_dead;
	lose_room(life->kvm);
	if (!life->dying.in_batch)
		others_act(life);
	others_act_late(life);
	assert_pages_are_seen(life, "in a restore", moment);
	for (size_t i = 0; i < life->kvm->nr_vcpus; i++)
		held += is_held(life->kvm, i);
	assert_true(held == 0 || held == life->kvm->nr_vcpus);
	others_act_again(life, life->kvm);
	act_alone(life, life->twin, act & ANSWER);
	if (!held)
		assert_same(life, "in a restore", moment);
	*whole = !held;
	end(life);
	return dead;
}

/* From the pages of vCPUs on: all of it, or none of it. */
static void a_vm_left_at_the_end_of_its_restore_runs_whole_or_not_at_all(void **state)
{
	size_t n[2] = { 0 };

	for (size_t a = 0; a < sizeof(acts) / sizeof(acts[0]); a++) {
		bool whole = false;

		for (size_t moment = 0; kill_restore_at(moment, acts[a], &whole); moment++)
			n[whole]++;
		assert_true(whole);
	}
	assert_true(n[false] > 4 * shape.nr_vcpus && n[true] > 4 * shape.nr_vcpus);
}

/* What is asked before anything is done in the process. */
static void whose_page_it_is_is_known_from_the_page_alone(void **state)
{
	struct life *life = begin(-1);
	struct vcpu_state vcpu = { .id = 2, .fd = 7, .run = life->kvm->vcpus[2].run };

	assert_int_equal(left_check(life->vm, &vcpu), 0);
	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	fake_forget(life->kvm);
	log_reset();
	assert_int_equal(left_check(life->vm, &vcpu), 0);
	record_in(life->kvm, 2)->magic = 0;
	assert_int_equal(left_check(life->vm, &vcpu), -EBUSY);
	assert_int_equal(log_errors(), 1);
	assert_string_equal(log_error(), "vcpu 2 (fd 7): left by a restore that did not come to its end: end the process, and restore again");
	assert_int_equal(fake_count(life->kvm, "*"), 0);
	end(life);
}

/* One vCPU's page alone, somewhere among the others. */
static void those_that_run_are_left_alone(void **state)
{
	struct life *life = begin(-1);
	struct vcpu_state *vcpus = life->vm->vcpus;
	size_t nr;

	life->vm->vcpus = &vcpus[2];
	life->vm->nr_vcpus = 1;
	life->kvm->remote.copies_of = NULL; /* of so many */
	assert_int_equal(kvm_run_swap_out(life->vm, &life->kvm->remote, NULL), 0);
	life->vm->vcpus = vcpus;
	life->vm->nr_vcpus = 4;
	fake_forget(life->kvm);
	assert_int_equal(recover(life->kvm, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(fake_count(life->kvm, "vcpu [013]: write page*"), 0);
	assert_same(life, "with one swapped", 0);
	end(life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_left_in_the_swap_goes_on),
		cmocka_unit_test(a_vm_left_in_the_swap_back_goes_on),
		cmocka_unit_test(a_vm_left_in_the_swap_back_by_steps_goes_on),
		cmocka_unit_test(what_was_put_back_in_part_is_finished),
		cmocka_unit_test(what_was_written_by_either_mapping_is_kept),
		cmocka_unit_test(what_is_behind_kvm_run_is_in_the_copy),
		cmocka_unit_test(a_record_that_lies_is_refused),
		cmocka_unit_test(what_stands_elsewhere_is_refused),
		cmocka_unit_test(what_a_restore_left_is_refused),
		cmocka_unit_test(a_vm_left_at_the_end_of_its_restore_runs_whole_or_not_at_all),
		cmocka_unit_test(whose_page_it_is_is_known_from_the_page_alone),
		cmocka_unit_test(those_that_run_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
