// SPDX-License-Identifier: GPL-2.0-only
/*
 * struct kvm_run (Documentation/virt/kvm/api.rst, section 5).
 *
 * KVM_EXIT_MMIO is the one exit that arm64 completes at the next KVM_RUN: the PC still
 * points at the instruction, and the answer is in the page. That the kernel is
 * waiting for it is in vcpu->mmio_needed and in no getter. Lost, the VMM's answer
 * is dropped or the access is made twice. So the restored vCPU executes the
 * instruction once more, with interrupts masked and stepped by guest debug so that
 * it cannot go further, and leaves with the same exit; the saved page is then put
 * over the one that this made. A debugger of the VMM's loses no step by it: its control is
 * given back later, and the step is over when the access is completed.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fault.h"
#include "log.h"
#include "remote/remote.h"
#include "state/kvm_run.h"
#include "state/kvm_run_page.h"
#include "state/left.h"
#include "state/pending_write.h"

/* Masks interrupts and SErrors. In AArch32 (bit 4) the place of D is the endianness of data. */
#define PSTATE_MASKED(pstate) ((pstate) | ((pstate)&0x10 ? 0x1c0 : 0x3c0))
/* The guest's own breakpoints and watchpoints: MDSCR_EL1.KDE and MDE. */
#define MDSCR_ENABLED 0xa000ull
/* A signal to the VMM makes KVM_RUN return EINTR before the guest ran: tried again, within reason. */
#define REPLAY_TRIES 16

static struct kvm_run *run_of(const struct vcpu_state *vcpu)
{
	return (struct kvm_run *)vcpu->run;
}

/* What a vCPU has of the room: bytes. */
static size_t room_size(const struct vm_state *vm)
{
	size_t size = 2 * vm->page_size;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].run_size > size)
			size = vm->vcpus[i].run_size;
	return size;
}

/* Of the pages: each has its place by its number, also where @vm is some of its vCPUs alone. */
static size_t pages_size(const struct vm_state *vm)
{
	size_t nr = 0;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].idx >= nr)
			nr = vm->vcpus[i].idx + 1;
	return nr * room_size(vm);
}

/* Of the copies of all mappings. */
static size_t copies_size(const struct vm_state *vm)
{
	size_t size = 0;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++)
			size += vm->vcpus[i].maps[m].size;
	return size;
}

/* Pages, and behind them copies. */
size_t kvm_run_room(const struct vm_state *vm)
{
	return pages_size(vm) + copies_size(vm);
}

/* @vcpu's part of the room: what is mapped there does not outlive criu. */
static uint64_t room_of(const struct vm_state *vm, const struct remote *remote, const struct vcpu_state *vcpu)
{
	return remote->room + vcpu->idx * room_size(vm);
}

/* Maps @vcpu's page in the room: the result is its address there. */
static void add_map(struct batch *b, const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	b->remote->pages_of = NULL; /* what stands there is replaced */
	b->vcpu = vcpu->idx;
	batch_syscall(b, "mmap", SYS_mmap, room_of(vm, b->remote, vcpu), vcpu->run_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, vcpu->fd, 0);
}

/* The room stays ours: another thread may map what it likes where nothing is, once criu has been killed. */
static void add_unmap(struct batch *b, const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	b->vcpu = vcpu->idx;
	batch_syscall(b, "mmap", SYS_mmap, room_of(vm, b->remote, vcpu), vcpu->run_size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

int kvm_run_access_failed(const struct vm_state *vm, const struct vcpu_state *vcpu, const char *what, int err)
{
	pr_err("vm %u: vcpu %u: kvm_run page: %s: %s (errno %d)\n", vm->id, vcpu->idx, what, strerror(-err),
	       -err);
	return err;
}

/* Runs the one call in @b, which it ends: its result, or a negative errno, logged. */
static int64_t run_one(struct batch *b)
{
	int64_t ret = batch_run(b) ?: b->calls[0].result;

	batch_fini(b);
	return ret;
}

/* With @vcpu's page mapped for as long as it takes: @use(vm, remote, vcpu, address of the page). */
static int with_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, kvm_run_use *use)
{
	struct batch map = BATCH(remote, vm->id, "kvm_run page"), unmap = BATCH(remote, vm->id, "room of a kvm_run page");
	int64_t page, end;
	int ret;

	if (remote->pages_of == vm)
		return use(vm, remote, vcpu, room_of(vm, remote, vcpu));
	add_map(&map, vm, vcpu);
	page = run_one(&map);
	if (page < 0)
		return page;
	ret = use(vm, remote, vcpu, page);
	add_unmap(&unmap, vm, vcpu);
	end = run_one(&unmap);
	return ret ?: end < 0 ? (int)end : 0;
}

/* What of @b is behind a call that has failed, and behind each more; each is logged. */
static void run_rest(const struct batch *b)
{
	struct batch rest = *b;
	int err;

	do {
		size_t n = 0;

		while (n < rest.nr && rest.calls[n].done)
			n++;
		if (!n || n == rest.nr) /* the remote side itself has failed, or there is no more */
			return;
		rest.calls += n;
		rest.nr -= n;
		err = batch_run(&rest);
	} while (err);
}

/* Runs @b, and with @go_on what is behind a call that fails too. 0 or the first error; each is logged. */
static int run_all(struct batch *b, bool go_on)
{
	int ret = b->nr || b->no_memory ? batch_run(b) : 0;

	if (ret && go_on)
		run_rest(b);
	return ret;
}

/* Maps the pages of all vCPUs where they are not. */
static void add_pages(struct batch *b, const struct vm_state *vm)
{
	if (b->remote->pages_of == vm)
		return;
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		add_map(b, vm, &vm->vcpus[i]);
}

/*
 * Maps the pages of all vCPUs: their addresses, or what is none, for the caller to free; NULL without memory. *@ret: what
 * it has come to. They stay in the room until the session ends, and are mapped there once.
 */
static int64_t *map_pages(struct vm_state *vm, struct remote *remote, bool go_on, int *ret)
{
	int64_t *pages = calloc(vm->nr_vcpus + 1, sizeof(*pages));
	struct batch b = BATCH(remote, vm->id, "kvm_run page");

	*ret = -ENOMEM;
	if (!pages)
		return NULL;
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		pages[i] = room_of(vm, remote, &vm->vcpus[i]);
	add_pages(&b, vm);
	*ret = run_all(&b, go_on);
	for (size_t i = 0; i < b.nr; i++)
		pages[i] = b.calls[i].done ? b.calls[i].result : -EIO;
	if (!*ret)
		remote->pages_of = vm;
	batch_fini(&b);
	return pages;
}

/*
 * @use on all @pages, with nothing but its own between the first and the last: should
 * criu be killed there, the VM is not left half one thing and half the other. With @go_on
 * all of them, whatever fails.
 */
static int use_pages(struct vm_state *vm, struct remote *remote, bool go_on, const int64_t *pages, kvm_run_use *use)
{
	int ret = 0, err;

	for (size_t i = 0; pages && i < vm->nr_vcpus && (go_on || !ret); i++) {
		err = pages[i] > 0 ? use(vm, remote, &vm->vcpus[i], pages[i]) : 0;
		ret = ret ?: err;
	}
	return ret;
}

int kvm_run_for_all_pages(struct vm_state *vm, struct remote *remote, bool go_on, kvm_run_use *use)
{
	int ret, err;
	int64_t *pages = map_pages(vm, remote, go_on, &ret);

	err = go_on || !ret ? use_pages(vm, remote, go_on, pages, use) : 0;
	free(pages);
	return ret ?: err;
}

static const char *direction(const struct kvm_run *run)
{
	return run->mmio.is_write ? "write" : "read";
}

static const char *exit_name(const struct kvm_run *run)
{
	static char number[16];

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		return "MMIO";
	case KVM_EXIT_DEBUG:
		return "DEBUG";
	case KVM_EXIT_INTR:
		return "INTR";
	case KVM_EXIT_SYSTEM_EVENT:
		return "SYSTEM_EVENT";
	}
	snprintf(number, sizeof(number), "%u", run->exit_reason);
	return number;
}

/*
 * In bytes of the page that neither arm64 nor a VMM uses: this page forbids to run because of us, or is within
 * a replay.
 */
static const uint8_t mark[] = { 'k', 'v', 'm', 'v', 'g', 'i' };
_Static_assert(sizeof(((struct kvm_run *)0)->padding1) == sizeof(mark), "padding1");
_Static_assert(offsetof(struct kvm_run, exit_reason) + sizeof(uint32_t) == KVM_RUN_HEAD, "head");

bool kvm_run_has_mark(const void *head)
{
	return !memcmp((const uint8_t *)head + offsetof(struct kvm_run, padding1), mark, sizeof(mark));
}

bool kvm_run_is_marked(const struct vcpu_state *vcpu)
{
	return kvm_run_has_mark(vcpu->run);
}

/* Looks at @vcpu's page, which has been read. */
static int look_at_page(struct vm_state *vm, struct vcpu_state *vcpu)
{
	static const char *const pending[] = {
		[VCPU_PENDING_NONE] = "none",
		[VCPU_PENDING_READ] = "read",
		[VCPU_PENDING_WRITE] = "write",
	};
	const uint64_t *pc = vcpu_reg_u64(vcpu, ARM64_CORE_PC);

	if (kvm_run_is_marked(vcpu)) {
		pr_err("vm %u: vcpu %u: kvm_run is marked: a criu that was killed has left it so: let it "
		       "go on by criu-kvm recover, or end the process\n",
		       vm->id, vcpu->idx);
		return -EBUSY;
	}
	if (run_of(vcpu)->exit_reason == KVM_EXIT_MMIO && vcpu->mmio_needed)
		vcpu->pending = run_of(vcpu)->mmio.is_write ? VCPU_PENDING_WRITE : VCPU_PENDING_READ;
	pr_debug("vm %u vcpu %u (id %u): exit %s, pending %s, pc %#" PRIx64 "\n", vm->id, vcpu->idx, vcpu->id,
		 exit_name(run_of(vcpu)), pending[vcpu->pending], pc ? *pc : 0);
	return 0;
}

/* Memory of the task's, each range a vCPU's, and where it is read to or written from. */
struct ranges {
	struct iovec *here, *there;
	const struct vcpu_state **whose;
	size_t nr;
};

/* Room for @nr of them, which free() of r->here frees. */
static int ranges_alloc(struct ranges *r, size_t nr)
{
	*r = (struct ranges){ .here = calloc(nr + 1, 2 * sizeof(*r->here) + sizeof(*r->whose)) };
	if (!r->here)
		return -ENOMEM;
	r->there = r->here + nr + 1;
	r->whose = (const struct vcpu_state **)(r->there + nr + 1);
	return 0;
}

static void ranges_add(struct ranges *r, const struct vcpu_state *vcpu, uint64_t there, const void *here, size_t size)
{
	r->here[r->nr] = (struct iovec){ (void *)here, size };
	r->there[r->nr] = (struct iovec){ (void *)there, size };
	r->whose[r->nr++] = vcpu;
}

/* Those from @i on up to @end, one by one. 0 or a negative errno, logged. */
static int access_each(const struct vm_state *vm, struct remote *remote, const struct ranges *r, size_t i, size_t end, bool writes)
{
	int ret = 0;

	for (; i < end && !ret; i++) {
		const uint64_t addr = (uint64_t)r->there[i].iov_base;

		ret = writes ? remote->ops->write(remote, addr, r->here[i].iov_base, r->here[i].iov_len) :
			       remote->ops->read(remote, addr, r->here[i].iov_base, r->here[i].iov_len);
		if (ret)
			kvm_run_access_failed(vm, r->whose[i], writes ? "write" : "read", ret);
	}
	return ret;
}

/* All of them, in their order, by as few accesses as it takes. What one of these did not do is done again, and says what is wrong. */
static int access_ranges(const struct vm_state *vm, struct remote *remote, const struct ranges *r, bool writes)
{
	int (*const all)(struct remote *remote, const struct iovec *here, const struct iovec *there, size_t nr) =
		writes ? remote->ops->write_all : remote->ops->read_all;
	int ret = 0;

	for (size_t i = 0, n; i < r->nr && !ret; i += n) {
		n = r->nr - i < IOV_MAX ? r->nr - i : IOV_MAX;
		if (!all || all(remote, r->here + i, r->there + i, n))
			ret = access_each(vm, remote, r, i, i + n, writes);
	}
	return ret;
}

/* Memory for copies of all mappings, where nobody sees them. */
static void add_room_for_copies(struct batch *b, const struct vm_state *vm)
{
	uint64_t copies = b->remote->room + pages_size(vm), size = copies_size(vm);

	if (b->remote->copies_of == vm || !size)
		return;
	b->vcpu = -1;
	batch_syscall(b, "mmap", SYS_mmap, copies, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	/* MREMAP_DONTUNMAP unlocks all of its source and keeps it on the account of locked memory: under mlockall(MCL_FUTURE). */
	batch_syscall(b, "munlock", SYS_munlock, copies, size, 0, 0, 0, 0);
	/* Whether it has that call, or may make it, is seen before anything is taken away: of nothing. */
	batch_syscall(b, "process_vm_writev", SYS_process_vm_writev, b->remote->vpid, 0, 0, 0, 0, 0);
}

/* The pages of all vCPUs are mapped, and memory for copies: what the swap needs as well. */
static int map_for_capture(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run page");
	int ret;

	add_pages(&b, vm);
	add_room_for_copies(&b, vm);
	ret = batch_run(&b) ?: batch_flush(remote);
	batch_fini(&b);
	if (!ret)
		remote->pages_of = remote->copies_of = vm;
	return ret;
}

static int read_pages(struct vm_state *vm, struct remote *remote)
{
	struct ranges r;
	int ret = ranges_alloc(&r, vm->nr_vcpus);

	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++) {
		struct vcpu_state *vcpu = &vm->vcpus[i];

		vcpu->run = malloc(vcpu->run_size);
		if (vcpu->run)
			ranges_add(&r, vcpu, room_of(vm, remote, vcpu), vcpu->run, vcpu->run_size);
		else
			ret = -ENOMEM;
	}
	ret = ret ?: access_ranges(vm, remote, &r, false);
	free(r.here);
	return ret;
}

int kvm_run_capture(struct vm_state *vm, struct remote *remote)
{
	int ret;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vm->vcpus[i].run_size = 2 * vm->page_size;
	ret = map_for_capture(vm, remote) ?: read_pages(vm, remote);
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++)
		ret = look_at_page(vm, &vm->vcpus[i]);
	return ret;
}

/*
 * The swap. criu may be killed at any moment of it, and all tasks run on then: in each
 * of its states no vCPU runs while the VMM sees a copy, and what the VMM sees is whole.
 *
 *	1. Copies are made, where nobody sees them.
 *	2. The real pages forbid to run, and say that it was us, and what they are to be (left.h); by the same access, behind it.
 *	3. A copy takes the place of each mapping.
 *	4. The real pages hold no exit to complete: KVM would take the answer from them.
 *
 * and back: 4, 3, 2. Each for all vCPUs before the next.
 *
 * What forbids to run criu itself writes, with all tasks standing: KVM looks at it when a vCPU is entered, and one that was
 * entered would leave its exit where the VMM does not see it. What is exchanged is one batch, by which the task writes to the pages
 * itself, and so is the way back: once begun they come to their end without criu too. Each is laid out at once
 * (vm_scratch(), kvm_run_scratch()).
 */

static void forbid(struct kvm_run *run)
{
	run->immediate_exit = 1;
	memcpy(run->padding1, mark, sizeof(mark));
}

static struct left_record record_of(const struct vcpu_state *vcpu)
{
	struct left_record record = { .magic = LEFT_MAGIC, .nr_maps = vcpu->nr_maps };

	memcpy(record.head, vcpu->run, sizeof(record.head));
	memcpy(record.maps, vcpu->maps, vcpu->nr_maps * sizeof(record.maps[0]));
	return record;
}

/* @vcpu's page with mark and record, in one write: there is not one without the other. */
static void put_forbidden_page(const struct vm_state *vm, const struct vcpu_state *vcpu, uint8_t *all)
{
	const struct left_record record = record_of(vcpu);

	memcpy(all, vcpu->run, vm->page_size);
	forbid((struct kvm_run *)all);
	memcpy(all + left_record_at(vm->page_size), &record, sizeof(record));
}

static int forbid_run(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	uint8_t *all = malloc(vm->page_size);
	int ret;

	if (!all)
		return -ENOMEM;
	put_forbidden_page(vm, vcpu, all);
	ret = remote->ops->write(remote, page, all, vm->page_size);
	free(all);
	return ret ? kvm_run_access_failed(vm, vcpu, "write", ret) : 0;
}

/* Likewise, and without the record: both at once here too. */
int kvm_run_release(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	int ret = remote->ops->write(remote, page, vcpu->run, vm->page_size);

	return ret ? kvm_run_access_failed(vm, vcpu, "write", ret) : 0;
}

/* What of a vCPU's page the swap changes, in the order in which it is written: there is no mark without a record. */
struct page_bytes {
	uint8_t record[sizeof(struct left_record)], head[KVM_RUN_HEAD];
};

/* The page forbids to run, and says so; its exit is to be completed. */
static void put_forbidden(const struct vm_state *vm, const struct vcpu_state *vcpu, struct page_bytes *bytes)
{
	const struct left_record record = record_of(vcpu);
	struct kvm_run head = *run_of(vcpu);

	forbid(&head);
	memcpy(bytes->record, &record, sizeof(record));
	memcpy(bytes->head, &head, sizeof(bytes->head));
}

/* Likewise, and its exit is hidden from KVM. */
static void put_forbidden_without_exit(const struct vm_state *vm, const struct vcpu_state *vcpu, struct page_bytes *bytes)
{
	const uint32_t none = KVM_EXIT_UNKNOWN;

	put_forbidden(vm, vcpu, bytes);
	memcpy(bytes->head + offsetof(struct kvm_run, exit_reason), &none, sizeof(none));
}

/* The page is what it was. */
static void put_released(const struct vm_state *vm, const struct vcpu_state *vcpu, struct page_bytes *bytes)
{
	memcpy(bytes->record, vcpu->run + left_record_at(vm->page_size), sizeof(bytes->record));
	memcpy(bytes->head, vcpu->run, sizeof(bytes->head));
}

#define PAGES_AT_ONCE (REMOTE_PLACES / 2)

/* A part of the swap, that the task itself writes to the pages of some vCPUs. */
struct page_write {
	struct remote_write write;
	struct page_bytes bytes[PAGES_AT_ONCE];
};

static size_t nr_page_writes(const struct vm_state *vm)
{
	return (vm->nr_vcpus + PAGES_AT_ONCE - 1) / PAGES_AT_ONCE;
}

/* To the pages of all vCPUs what @put says. */
static void add_page_writes(struct batch *b, const struct vm_state *vm, struct page_write *w,
			    void (*put)(const struct vm_state *vm, const struct vcpu_state *vcpu, struct page_bytes *bytes))
{
	b->vcpu = -1;
	for (size_t i = 0, n; i < vm->nr_vcpus; i += n, w++) {
		struct iovec *to = w->write.to;

		for (n = 0; n < PAGES_AT_ONCE && i + n < vm->nr_vcpus; n++) {
			uint64_t page = room_of(vm, b->remote, &vm->vcpus[i + n]);

			put(vm, &vm->vcpus[i + n], &w->bytes[n]);
			*to++ = (struct iovec){ (void *)(page + left_record_at(vm->page_size)), sizeof(w->bytes[n].record) };
			*to++ = (struct iovec){ (void *)page, sizeof(w->bytes[n].head) };
		}
		batch_write(b, &w->write, 2 * n, w->bytes, n * sizeof(w->bytes[0]))->detail = vm->vcpus[i].idx;
	}
}

/* For each mapping of each vCPU, with the place in the room where its copy is made. */
static void for_copies(struct batch *b, const struct vm_state *vm,
		       void (*add)(struct batch *b, const struct vcpu_map *map, uint64_t copy))
{
	uint64_t copy = b->remote->room + pages_size(vm);

	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b->vcpu = vm->vcpus[i].idx;
		for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++) {
			add(b, &vm->vcpus[i].maps[m], copy);
			copy += vm->vcpus[i].maps[m].size;
		}
	}
}

static bool is_empty(const uint8_t *page, size_t size)
{
	return !page[0] && !memcmp(page, page + 1, size - 1);
}

/* The bytes of the page, whatever its protection. Memory that is new is empty already. */
static void add_copy(struct ranges *r, const struct vm_state *vm, const struct vcpu_state *vcpu, const struct vcpu_map *map, uint64_t copy)
{
	for (uint64_t at = 0; at < map->size; at += vm->page_size) {
		const uint8_t *page = vcpu->run + map->offset + at;

		if (!is_empty(page, vm->page_size))
			ranges_add(r, vcpu, copy + at, page, vm->page_size);
	}
}

static void add_copies(struct ranges *r, const struct vm_state *vm, const struct remote *remote)
{
	uint64_t copy = remote->room + pages_size(vm);

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++) {
			add_copy(r, vm, &vm->vcpus[i], &vm->vcpus[i].maps[m], copy);
			copy += vm->vcpus[i].maps[m].size;
		}
}

/* As the mapping that it replaces. */
static void protect_copy(struct batch *b, const struct vcpu_map *map, uint64_t copy)
{
	if (map->prot != (PROT_READ | PROT_WRITE))
		batch_syscall(b, "mprotect", SYS_mprotect, copy, map->size, map->prot, 0, 0, 0);
}

/* Takes the copy to the place of @map. MREMAP_DONTUNMAP (Linux 5.7), so that the room has no hole. */
static void move_copy(struct batch *b, const struct vcpu_map *map, uint64_t copy)
{
	batch_syscall(b, "mremap", SYS_mremap, copy, map->size, map->size,
		      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, map->start, 0);
}

/* The first two states: what forbids to run comes behind the copies. */
static int fill_and_forbid(struct vm_state *vm, struct remote *remote)
{
	uint8_t *pages = calloc(vm->nr_vcpus + 1, vm->page_size);
	struct ranges r;
	int ret = ranges_alloc(&r, copies_size(vm) / vm->page_size + vm->nr_vcpus);

	ret = pages ? ret : -ENOMEM;
	if (!ret)
		add_copies(&r, vm, remote);
	for (size_t i = 0; i < vm->nr_vcpus && !ret; i++) {
		uint8_t *page = pages + i * vm->page_size;

		put_forbidden_page(vm, &vm->vcpus[i], page);
		ranges_add(&r, &vm->vcpus[i], room_of(vm, remote, &vm->vcpus[i]), page, vm->page_size);
	}
	ret = ret ?: access_ranges(vm, remote, &r, true);
	free(r.here);
	free(pages);
	return ret;
}

/* Before what is exchanged, which is laid out at once. Most have what all have. */
static int protect_copies(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "copy of kvm_run");
	int ret;

	for_copies(&b, vm, protect_copy);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* Copies become one mapping that is divided. Its neighbours in the room are none to merge with. */
static int exchange(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "copy of kvm_run");
	struct page_write *w = batch_buffers(&b, nr_page_writes(vm), sizeof(*w));
	int ret;

	b.is_last = true;
	for_copies(&b, vm, move_copy);
	if (w)
		add_page_writes(&b, vm, w, put_forbidden_without_exit);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

int kvm_run_swap_out(struct vm_state *vm, struct remote *remote, const struct beside *meanwhile)
{
	int ret = map_for_capture(vm, remote) ?: fill_and_forbid(vm, remote) ?: protect_copies(vm, remote);

	if (ret)
		return ret;
	remote->beside = meanwhile ? *meanwhile : (struct beside){ 0 };
	ret = exchange(vm, remote);
	remote->copies_of = NULL; /* they have gone */
	if (!ret)
		beside_run(&remote->beside); /* where exec() runs nothing meanwhile */
	remote->beside = (struct beside){ 0 };
	return ret;
}

/* Each vCPU's mapping in each of its places, of the task or of the copy that CRIU restored. */
static void add_maps(struct batch *b, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		const struct vcpu_state *vcpu = &vm->vcpus[i];

		b->vcpu = vcpu->idx;
		for (size_t m = 0; m < vcpu->nr_maps; m++)
			batch_syscall(b, "mmap", SYS_mmap, vcpu->maps[m].start, vcpu->maps[m].size,
				      vcpu->maps[m].prot,
				      MAP_SHARED | MAP_FIXED |
					      (vcpu->maps[m].flags & VCPU_MAP_NORESERVE ? MAP_NORESERVE : 0),
				      vcpu->fd, vcpu->maps[m].offset)
				->detail = vcpu->maps[m].start;
	}
}

static const struct {
	uint32_t flag;
	int advice;
} map_advice[] = {
	{ VCPU_MAP_DONTFORK, MADV_DONTFORK },	  { VCPU_MAP_DONTDUMP, MADV_DONTDUMP },
	{ VCPU_MAP_SEQUENTIAL, MADV_SEQUENTIAL }, { VCPU_MAP_RANDOM, MADV_RANDOM },
	{ VCPU_MAP_HUGEPAGE, MADV_HUGEPAGE },	  { VCPU_MAP_NOHUGEPAGE, MADV_NOHUGEPAGE },
};

static void add_map_flags(struct batch *b, const struct vcpu_map *map)
{
	for (size_t i = 0; i < sizeof(map_advice) / sizeof(map_advice[0]); i++)
		if (map->flags & map_advice[i].flag)
			batch_syscall(b, "madvise", SYS_madvise, map->start, map->size, map_advice[i].advice,
				      0, 0, 0)
				->detail = map->start;
	/* mlockall(MCL_FUTURE) locks the new mapping, though the old one may have been unlocked. */
	if (map->flags & VCPU_MAP_LOCKED)
		batch_syscall(b, "mlock2", SYS_mlock2, map->start, map->size,
			      map->flags & VCPU_MAP_ONFAULT ? MLOCK_ONFAULT : 0, 0, 0, 0)
			->detail = map->start;
	else
		batch_syscall(b, "munlock", SYS_munlock, map->start, map->size, 0, 0, 0, 0)->detail =
			map->start;
}

static void add_flags(struct batch *b, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++) {
		b->vcpu = vm->vcpus[i].idx;
		for (size_t m = 0; m < vm->vcpus[i].nr_maps; m++)
			add_map_flags(b, &vm->vcpus[i].maps[m]);
	}
}

/* Whether one of the calls of @b from @first on has failed, of those before @end; with @vcpu, of its own. */
static bool has_failed(const struct batch *b, size_t first, size_t end, const struct vcpu_state *vcpu)
{
	for (size_t i = first; i < end; i++)
		if ((!vcpu || b->calls[i].vcpu == (int32_t)vcpu->idx) && (!b->calls[i].done || b->calls[i].result < 0))
			return true;
	return b->no_memory;
}

/* As kvm_run_map(). Of @pages, where there are, those stay of which the VMM sees all mappings. */
static int map_all(struct vm_state *vm, struct remote *remote, bool go_on,
		   void (*lost)(const struct vm_state *vm, const struct vcpu_state *vcpu), int64_t *pages)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run mapping");
	size_t nr;
	int ret;

	add_maps(&b, vm);
	nr = b.nr;
	add_flags(&b, vm);
	ret = run_all(&b, go_on);
	if (ret && lost && !has_failed(&b, 0, nr, NULL)) {
		/* Behind one flag that is lost are those of others. */
		if (!go_on)
			run_rest(&b);
		ret = 0;
	}
	for (size_t i = 0; pages && i < vm->nr_vcpus; i++)
		if (has_failed(&b, 0, nr, &vm->vcpus[i]))
			pages[i] = -EIO;
	/* None was asked for where the first page that could not be mapped was the end of it. */
	for (size_t i = 0; lost && (go_on || !ret) && i < vm->nr_vcpus; i++)
		if (has_failed(&b, nr, b.nr, &vm->vcpus[i]))
			lost(vm, &vm->vcpus[i]);
	batch_fini(&b);
	return ret;
}

int kvm_run_map(struct vm_state *vm, struct remote *remote, bool go_on,
		void (*lost)(const struct vm_state *vm, const struct vcpu_state *vcpu))
{
	return map_all(vm, remote, go_on, lost, NULL);
}

/* One that fails, as mlock2() does when the limit was lowered, costs no vCPU its page. */
static void say_lost(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	pr_err("vm %u: vcpu %u: goes on, but its mapping of kvm_run has lost flags\n", vm->id, vcpu->idx);
}

/* Where nothing fails, which is not logged. */
static int swap_in_at_once(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run mapping");
	struct page_write *w = batch_buffers(&b, 2 * nr_page_writes(vm), sizeof(*w));
	int ret = -ENOMEM;

	b.is_last = true;
	if (w) {
		add_pages(&b, vm);
		add_page_writes(&b, vm, w, put_forbidden);
		add_maps(&b, vm);
		add_flags(&b, vm);
		add_page_writes(&b, vm, w + nr_page_writes(vm), put_released);
		ret = batch_try(&b);
	}
	batch_fini(&b);
	return ret;
}

/* Two writes and a mapping; a mapping and its flags. */
#define SCRATCH_VCPU 1440
#define SCRATCH_MAP 576

size_t kvm_run_scratch(const struct vm_state *vm)
{
	size_t size = 0;

	for (size_t i = 0; i < vm->nr_vcpus; i++)
		size += SCRATCH_VCPU + vm->vcpus[i].nr_maps * SCRATCH_MAP;
	return size;
}

/*
 * All of it, whatever fails: each vCPU put back is one that runs. One whose mapping could not be stays forbidden, and marked for
 * another try: with the copy the VMM would not see its exits.
 */
static int swap_in_by_steps(struct vm_state *vm, struct remote *remote)
{
	int ret, err;
	int64_t *pages = map_pages(vm, remote, true, &ret);

	err = use_pages(vm, remote, true, pages, forbid_run);
	ret = ret ?: err;
	err = map_all(vm, remote, true, say_lost, pages);
	ret = ret ?: err;
	err = use_pages(vm, remote, true, pages, kvm_run_release);
	free(pages);
	return ret ?: err;
}

int kvm_run_swap_in(struct vm_state *vm, struct remote *remote)
{
	return swap_in_at_once(vm, remote) ? swap_in_by_steps(vm, remote) : 0;
}

/* Guest debug with @control on @vcpu, and these values in its registers. */
static int set_debug(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint32_t control,
		     uint64_t pstate, uint64_t mdscr)
{
	struct arm64_guest_debug debug = { .control = control };
	struct batch b = BATCH(remote, vm->id, "replay of a pending exit");
	int ret;

	b.vcpu = vcpu->idx;
	batch_ioctl(&b, vcpu->fd, ARM64_SET_GUEST_DEBUG, &debug, sizeof(debug), "KVM_SET_GUEST_DEBUG");
	batch_set_reg(&b, vcpu->fd, ARM64_CORE_PSTATE, &pstate);
	batch_set_reg(&b, vcpu->fd, ARM64_MDSCR_EL1, &mdscr);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/*
 * In the thread that ran the vCPU before: KVM ties the PMU's perf events to the one whose KVM_RUN makes
 * them, and they count there alone.
 */
static int run_once(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	struct batch b = BATCH(remote, vm->id, "replay of a pending exit");
	int ret = -EINTR;

	b.vcpu = vcpu->idx;
	b.vtid = fault_leaves_out("threads of vCPUs") ? 0 : vcpu->vtid;
	for (int i = 0; i < REPLAY_TRIES && (ret == -EINTR || ret == -EAGAIN); i++) {
		batch_reset(&b);
		batch_ioctl_value(&b, vcpu->fd, KVM_RUN, 0, "KVM_RUN");
		ret = batch_try(&b);
	}
	if (ret && b.nr && b.calls[0].done) /* else the remote side has failed, and has been named */
		pr_err("vm %u: vcpu %u: replay of a pending exit: KVM_RUN: %s (errno %d)\n", vm->id,
		       vcpu->idx, strerror(-ret), -ret);
	batch_fini(&b);
	return ret;
}

static bool same_exit(const struct kvm_run *saved, const struct kvm_run *now)
{
	if (now->exit_reason != KVM_EXIT_MMIO || now->mmio.phys_addr != saved->mmio.phys_addr ||
	    now->mmio.len != saved->mmio.len || now->mmio.is_write != saved->mmio.is_write)
		return false;
	return !saved->mmio.is_write || !memcmp(now->mmio.data, saved->mmio.data, saved->mmio.len);
}

/*
 * The head of a new vCPU's page: until the VM is whole it forbids to run, but for the replay. The mark is
 * there meanwhile too: a dump after a criu that was killed is to find it.
 */
static int write_fresh(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page,
		       bool forbidden)
{
	struct kvm_run head = { .immediate_exit = forbidden };
	int ret;

	memcpy(head.padding1, mark, sizeof(mark));
	ret = remote->ops->write(remote, page, &head, offsetof(struct kvm_run, exit_reason));
	return ret ? kvm_run_access_failed(vm, vcpu, "write", ret) : 0;
}

/*
 * criu may be killed in a restore too: the tasks run on then, and the VMM sees the copy that
 * CRIU has restored. No vCPU may run before the VM is whole and its pages are back.
 */
int kvm_run_forbid(struct vm_state *vm, struct remote *remote)
{
	static const uint8_t head[] = { 0, 1, 'k', 'v', 'm', 'v', 'g', 'i' }; /* as write_fresh() has it */
	struct batch b = BATCH(remote, vm->id, "kvm_run page");
	struct remote_write *w = batch_buffers(&b, vm->nr_vcpus, sizeof(*w));
	int ret;

	_Static_assert(sizeof(head) == offsetof(struct kvm_run, exit_reason), "head");
	add_pages(&b, vm);
	for (size_t i = 0; w && i < vm->nr_vcpus; i++) {
		b.vcpu = vm->vcpus[i].idx;
		w[i].to[0] = (struct iovec){ (void *)room_of(vm, remote, &vm->vcpus[i]), sizeof(head) };
		batch_write(&b, &w[i], 1, head, sizeof(head));
	}
	ret = batch_later(&b);
	batch_fini(&b);
	if (!ret)
		remote->pages_of = vm;
	return ret;
}

/*
 * The instruction at the PC. Whatever becomes of it, the vCPU cannot run afterwards, and nobody steps it. On
 * Linux 6.12 breakpoints and watchpoints of the guest's own stay on under a single step, and one would come
 * first. The step leaves its own bits in MDSCR_EL1 when a vCPU does not come back to complete it.
 */
static int step_once(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page,
		     uint64_t pstate, uint64_t mdscr)
{
	int ret, err;

	ret = set_debug(vm, remote, vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
			PSTATE_MASKED(pstate), mdscr & ~MDSCR_ENABLED);
	if (ret == -ETIMEDOUT) /* the VMM answers no more: its page is as it was */
		return ret;
	if (!ret)
		ret = write_fresh(vm, remote, vcpu, page, false);
	if (!ret)
		ret = run_once(vm, remote, vcpu);
	err = write_fresh(vm, remote, vcpu, page, true);
	ret = ret ?: err;
	if (ret == -ETIMEDOUT) /* the vCPU is still in KVM_RUN: each ioctl on it would wait as long */
		return ret;
	err = set_debug(vm, remote, vcpu, 0, pstate, mdscr);
	return ret ?: err;
}

static void print_mmio(char *text, size_t size, const struct kvm_run *run)
{
	snprintf(text, size, "%s of %u bytes at %#llx", direction(run), run->mmio.len,
		 (unsigned long long)run->mmio.phys_addr);
}

/* Only what the union of kvm_run holds for that exit. */
static void say_other_exit(const struct vm_state *vm, const struct vcpu_state *vcpu,
			   const struct kvm_run *now, bool aborted)
{
	char was[64], is[64] = "";
	const char *why = "";

	print_mmio(was, sizeof(was), run_of(vcpu));
	if (now->exit_reason == KVM_EXIT_MMIO)
		print_mmio(is, sizeof(is), now);
	if (aborted)
		why = ": the guest's access is aborted: since the exit another vCPU has unmapped its page";
	else if (now->exit_reason == KVM_EXIT_DEBUG)
		why = ": the instruction is no access that KVM leaves to the VMM: since the exit the guest "
		      "has changed its page tables or its code";
	pr_err("vm %u: vcpu %u: replay of a pending exit: exit %s%s%s, was MMIO, %s%s: this dump cannot be "
	       "restored: use another one\n",
	       vm->id, vcpu->idx, exit_name(now), *is ? ", " : "", is, was, why);
}

/* What another exit than @vcpu's comes to. */
static int end_other(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu,
		     const struct kvm_run *now)
{
	bool aborted = false;
	int ret = now->exit_reason == KVM_EXIT_DEBUG ? pending_is_aborted(vm, remote, vcpu, &aborted) : 0;

	if (ret)
		return ret;
	if (aborted && pending_write_is_simple(vcpu))
		return pending_write_complete(vm, remote, vcpu);
	say_other_exit(vm, vcpu, now, aborted);
	return -EIO;
}

static int replay_page(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu, uint64_t page)
{
	const uint64_t *pstate = vcpu_reg_u64(vcpu, ARM64_CORE_PSTATE);
	const uint64_t *mdscr = vcpu_reg_u64(vcpu, ARM64_MDSCR_EL1);
	const struct kvm_run *saved = run_of(vcpu);
	struct kvm_run now;
	int ret;

	if (!pstate || !mdscr)
		return -EINVAL;
	ret = step_once(vm, remote, vcpu, page, *pstate, *mdscr);
	if (ret)
		return ret;
	ret = remote->ops->read(remote, page, &now, sizeof(now));
	if (ret)
		return kvm_run_access_failed(vm, vcpu, "read", ret);
	if (!same_exit(saved, &now))
		return end_other(vm, remote, vcpu, &now);
	pr_info("vm %u vcpu %u (id %u): pending %s at %#llx replayed in thread %d\n", vm->id, vcpu->idx,
		vcpu->id, direction(saved), (unsigned long long)saved->mmio.phys_addr,
		vcpu->vtid ?: vm->vpid);
	return 0;
}

/* Only a PMU is tied to the thread. */
static void say_no_thread(const struct vm_state *vm, const struct vcpu_state *vcpu)
{
	if (vm->features >> KVM_ARM_VCPU_PMU_V3 & 1)
		pr_warn("vm %u: vcpu %u (id %u): the thread that ran it is not known, or had ended: what its "
			"PMU counts stands still\n",
			vm->id, vcpu->idx, vcpu->id);
	else
		pr_info("vm %u: vcpu %u (id %u): the thread that ran it is not known, or had ended\n", vm->id,
			vcpu->idx, vcpu->id);
}

static int replay(struct vm_state *vm, struct remote *remote, struct vcpu_state *vcpu)
{
	if (vcpu->pending == VCPU_PENDING_NONE)
		return 0;
	if (!vcpu->vtid)
		say_no_thread(vm, vcpu);
	return with_page(vm, remote, vcpu, replay_page);
}

int kvm_run_replay(struct vm_state *vm, struct remote *remote)
{
	bool without = false; /* for a test: the first that there is */
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_vcpus; i++) {
		if (vm->vcpus[i].pending != VCPU_PENDING_NONE && !without && fault_leaves_out("one replay"))
			without = true;
		else
			ret = replay(vm, remote, &vm->vcpus[i]);
	}
	return ret;
}

/* With what forbids to run: the VMM does not see the page before it is mapped. */
static void add_contents(struct batch *b, const struct vm_state *vm)
{
	struct content {
		struct remote_write write;
		uint8_t bytes[];
	} *w;
	const size_t size = sizeof(*w) + room_size(vm);
	char *all = batch_buffers(b, vm->nr_vcpus, size);

	for (size_t i = 0; all && i < vm->nr_vcpus; i++) {
		const struct vcpu_state *vcpu = &vm->vcpus[i];

		w = (struct content *)(all + i * size);
		memcpy(w->bytes, vcpu->run, vcpu->run_size);
		forbid((struct kvm_run *)w->bytes);
		b->vcpu = vcpu->idx;
		w->write.to[0] = (struct iovec){ (void *)room_of(vm, b->remote, vcpu), vcpu->run_size };
		batch_write(b, &w->write, 1, w->bytes, vcpu->run_size);
	}
}

/*
 * To its end before a vCPU may run: should criu be killed in it, what a thread writes to a copy that is taken away meanwhile, an
 * answer to the pending exit, is lost.
 */
int kvm_run_apply(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run mapping");
	int ret;

	add_pages(&b, vm);
	if (!fault_leaves_out("kvm_run bytes"))
		add_contents(&b, vm);
	add_maps(&b, vm);
	add_flags(&b, vm);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* The pages up to exit_reason. With the next step, in one batch: should criu be killed in it, all come to it. */
int kvm_run_allow(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "kvm_run page");
	struct remote_write *w = batch_buffers(&b, vm->nr_vcpus, sizeof(*w));
	int ret;

	add_pages(&b, vm);
	for (size_t i = 0; w && i < vm->nr_vcpus; i++) {
		b.vcpu = vm->vcpus[i].idx;
		w[i].to[0] = (struct iovec){ (void *)room_of(vm, remote, &vm->vcpus[i]), KVM_RUN_HEAD };
		batch_write(&b, &w[i], 1, vm->vcpus[i].run, KVM_RUN_HEAD);
	}
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}
