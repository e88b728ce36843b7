// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memslots and their dirty logs.
 *
 * KVM_GET_DIRTY_LOG clears what it tells, unless KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is enabled (api.rst 4.8):
 * so it is for the time of the dump. There is no setter. But the log of a memslot that is created with
 * KVM_DIRTY_LOG_INITIALLY_SET is all dirty, and KVM_CLEAR_DIRTY_LOG, which asks for no capability, clears
 * pages by name (api.rst 4.117): the clean ones are cleared.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "log.h"
#include "remote/remote.h"
#include "state/kvm_run.h"
#include "state/memslot.h"
#include "state/vm.h"

#define WORD 64 /* pages of a u64 of a log */

static bool is_logged(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

static uint64_t nr_pages(const struct vm_state *vm, const struct memslot *slot)
{
	return slot->size / vm->page_size;
}

size_t dirty_log_bits_size(uint64_t pages)
{
	return (pages + WORD - 1) / WORD * sizeof(uint64_t);
}

static bool any_is_logged(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_slots; i++)
		if (is_logged(&vm->slots[i]))
			return true;
	return false;
}

void memslots_free(struct memslot *slots, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(slots[i].log.runs);
	free(slots);
}

static void enable_manual(struct batch *b, const struct vm_state *vm, struct kvm_enable_cap *cap,
			  uint64_t value)
{
	*cap = (struct kvm_enable_cap){ .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { value } };
	batch_ioctl(b, vm->fd, KVM_ENABLE_CAP, cap, sizeof(*cap),
		    "KVM_ENABLE_CAP, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2")
		->detail = value;
}

/* ---- a log as runs ---- */

/* The first page from @page on that is @dirty, or @end. */
static uint64_t next_page(const uint64_t *bits, uint64_t page, uint64_t end, bool dirty)
{
	while (page < end) {
		uint64_t word = (dirty ? bits[page / WORD] : ~bits[page / WORD]) >> page % WORD;

		if (word) {
			page += __builtin_ctzll(word);
			return page < end ? page : end;
		}
		page = (page / WORD + 1) * WORD;
	}
	return end;
}

/* Their number; @runs is NULL to count them. */
static size_t find_runs(const uint64_t *bits, uint64_t end, uint64_t *runs)
{
	uint64_t page = 0, next;
	bool dirty = false;
	size_t nr = 0;

	for (; page < end; page = next, dirty = !dirty) {
		next = next_page(bits, page, end, !dirty);
		if (next == end && !dirty)
			break;
		if (runs)
			runs[nr] = next - page;
		nr++;
	}
	return nr;
}

int dirty_log_from_bits(struct dirty_log *log, const uint64_t *bits, uint64_t nr_pages)
{
	log->nr = find_runs(bits, nr_pages, NULL);
	log->runs = calloc(log->nr + 1, sizeof(*log->runs));
	if (!log->runs)
		return -ENOMEM;
	find_runs(bits, nr_pages, log->runs);
	return 0;
}

void dirty_log_to_bits(const struct dirty_log *log, uint64_t *bits)
{
	uint64_t page = 0;

	for (size_t i = 0; i < log->nr; i++)
		for (uint64_t end = page + log->runs[i]; page < end; page++)
			bits[page / WORD] |= (uint64_t)(i % 2) << page % WORD;
}

/* ---- dump ---- */

/* Its calls, and the two around them, are run at once: the VMM keeps its capability should criu be killed. */
#define PART 1024

bool memslots_are_at_hand(const struct vm_state *vm, struct remote *remote)
{
	const struct remote_ops *ops = remote->ops;

	for (size_t i = 0; ops->is_at_hand && i < vm->nr_slots; i++)
		if (!ops->is_at_hand(remote, vm->slots[i].hva, vm->slots[i].size))
			return false;
	return ops->is_at_hand;
}

size_t memslots_room(const struct vm_state *vm)
{
	size_t size = 0;

	for (size_t i = 0; i < vm->nr_slots; i++)
		if (is_logged(&vm->slots[i]))
			size += dirty_log_bits_size(nr_pages(vm, &vm->slots[i]));
	return (size + vm->page_size - 1) / vm->page_size * vm->page_size;
}

/* Makes memory of that part of the room, or with PROT_NONE room again. */
static int map_room(struct vm_state *vm, struct remote *remote, uint64_t addr, int prot)
{
	struct batch b = BATCH(remote, vm->id, "dirty logs");
	int ret;

	batch_syscall(&b, "mmap", SYS_mmap, addr, memslots_room(vm), prot,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

/* Reads the logs of memslots from @first on into the room at *@addr: how far it has come, in *@next. */
static int get_part(struct vm_state *vm, struct remote *remote, size_t first, size_t *next, uint64_t *addr)
{
	struct batch b = BATCH(remote, vm->id, "dirty logs");
	struct kvm_enable_cap set, put_back;
	struct kvm_dirty_log logs[PART];
	size_t nr = 0, i;
	int ret;

	if (!vm->manual_dirty_log)
		enable_manual(&b, vm, &set, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	for (i = first; i < vm->nr_slots && nr < PART; i++) {
		if (!is_logged(&vm->slots[i]))
			continue;
		logs[nr] = (struct kvm_dirty_log){ .slot = vm->slots[i].slot, .padding2 = *addr };
		batch_ioctl(&b, vm->fd, KVM_GET_DIRTY_LOG, &logs[nr], sizeof(logs[nr]), "KVM_GET_DIRTY_LOG")
			->detail = vm->slots[i].gpa;
		*addr += dirty_log_bits_size(nr_pages(vm, &vm->slots[i]));
		nr++;
	}
	if (!vm->manual_dirty_log)
		enable_manual(&b, vm, &put_back, 0);
	ret = batch_run(&b);
	if (ret && !vm->manual_dirty_log && b.nr && b.calls[0].done && !b.calls[0].result) {
		batch_reset(&b);
		enable_manual(&b, vm, &put_back, 0);
		batch_run(&b);
	}
	batch_fini(&b);
	*next = i;
	return ret;
}

static int read_log(struct vm_state *vm, struct remote *remote, struct memslot *slot, uint64_t addr)
{
	size_t size = dirty_log_bits_size(nr_pages(vm, slot));
	uint64_t *bits = malloc(size + 1);
	int ret = bits ? remote->ops->read(remote, addr, bits, size) : -ENOMEM;

	if (!ret)
		ret = dirty_log_from_bits(&slot->log, bits, nr_pages(vm, slot));
	if (ret)
		pr_err("vm %u: dirty logs: read of memslot %u: %s (errno %d)\n", vm->id, slot->slot,
		       strerror(-ret), -ret);
	free(bits);
	return ret;
}

static int read_logs(struct vm_state *vm, struct remote *remote, uint64_t addr)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < vm->nr_slots; i++) {
		if (!is_logged(&vm->slots[i]))
			continue;
		ret = read_log(vm, remote, &vm->slots[i], addr);
		addr += dirty_log_bits_size(nr_pages(vm, &vm->slots[i]));
	}
	return ret;
}

int memslots_capture_logs(struct vm_state *vm, struct remote *remote)
{
	const uint64_t room = remote->room + kvm_run_room(vm) + vgic_v5_room(vm);
	uint64_t addr = room;
	int ret, err;

	/* Of a VM without an fd nobody can ask for them any more. */
	if (!any_is_logged(vm) || vm->fd < 0)
		return 0;
	ret = map_room(vm, remote, room, PROT_READ | PROT_WRITE);
	if (ret)
		return ret;
	for (size_t i = 0; !ret && i < vm->nr_slots;)
		ret = get_part(vm, remote, i, &i, &addr);
	if (!ret)
		ret = read_logs(vm, remote, room);
	err = map_room(vm, remote, room, PROT_NONE);
	return ret ?: err;
}

/* ---- restore ---- */

/* The VMM has its own value of the capability again before anything else is done. */
int memslots_apply(struct vm_state *vm, struct remote *remote)
{
	struct batch b = BATCH(remote, vm->id, "memslots");
	struct {
		struct kvm_enable_cap set, put_back;
		struct kvm_userspace_memory_region regions[];
	} *with = batch_buffers(&b, 1, sizeof(*with) + vm->nr_slots * sizeof(with->regions[0]));
	int ret;

	if (!with)
		return batch_later(&b);
	if (any_is_logged(vm))
		enable_manual(&b, vm, &with->set,
			      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	for (size_t i = 0; i < vm->nr_slots; i++) {
		const struct memslot *slot = &vm->slots[i];

		with->regions[i] = (struct kvm_userspace_memory_region){
			.slot = slot->slot,
			.flags = slot->flags,
			.guest_phys_addr = slot->gpa,
			.memory_size = slot->size,
			.userspace_addr = slot->hva,
		};
		batch_ioctl(&b, vm->fd, KVM_SET_USER_MEMORY_REGION, &with->regions[i], sizeof(with->regions[i]),
			    "KVM_SET_USER_MEMORY_REGION")
			->detail = slot->gpa;
	}
	if (any_is_logged(vm))
		enable_manual(&b, vm, &with->put_back, vm->manual_dirty_log);
	ret = batch_later(&b);
	batch_fini(&b);
	return ret;
}

/* Pages whose log is cleared by one call. */
#define PIECE (1u << 18)

/* Sets the bits of pages [@first, @end) of those in @bits, which begin with page @base. */
static void set_bits(uint64_t *bits, uint64_t base, uint64_t first, uint64_t end)
{
	first = first > base ? first - base : 0;
	end = end - base < PIECE ? end - base : PIECE;
	for (uint64_t page = first; page < end;) {
		uint64_t n = WORD - page % WORD;

		if (n > end - page)
			n = end - page;
		bits[page / WORD] |= (n == WORD ? ~0ull : (1ull << n) - 1) << page % WORD;
		page += n;
	}
}

/* A place in a log. */
struct cursor {
	const struct dirty_log *log;
	size_t run;
	uint64_t first; /* page of that run */
};

/* The clean pages of the piece at @base, of @end pages in all: whether there are any. */
static bool clean_pages(struct cursor *at, uint64_t base, uint64_t end, uint64_t bits[PIECE / WORD])
{
	uint64_t stop = end - base < PIECE ? end : base + PIECE;
	bool any = false;

	memset(bits, 0, PIECE / 8);
	while (at->first < stop) {
		bool clean = !(at->run % 2);
		uint64_t last = at->run < at->log->nr ? at->first + at->log->runs[at->run] : end;

		if (clean && last > base && last > at->first) {
			set_bits(bits, base, at->first, last < stop ? last : stop);
			any = true;
		}
		if (last > stop)
			break;
		at->first = last;
		at->run++;
	}
	return any;
}

static int clear_piece(struct vm_state *vm, struct remote *remote, const struct memslot *slot, uint64_t first,
		       uint64_t bits[PIECE / WORD])
{
	struct batch b = BATCH(remote, vm->id, "dirty logs");
	uint64_t left = nr_pages(vm, slot) - first;
	struct kvm_clear_dirty_log clear = {
		.slot = slot->slot,
		.num_pages = left < PIECE ? left : PIECE,
		.first_page = first,
	};
	struct remote_call *call =
		batch_ioctl(&b, vm->fd, KVM_CLEAR_DIRTY_LOG, &clear, sizeof(clear), "KVM_CLEAR_DIRTY_LOG");
	int ret;

	call->detail = slot->gpa;
	call->inner = bits;
	call->inner_size = dirty_log_bits_size(clear.num_pages);
	call->inner_at = offsetof(struct kvm_clear_dirty_log, dirty_bitmap);
	call->writes_back = false;
	ret = batch_run(&b);
	batch_fini(&b);
	return ret;
}

static int clear_slot(struct vm_state *vm, struct remote *remote, const struct memslot *slot,
		      uint64_t bits[PIECE / WORD])
{
	struct cursor at = { .log = &slot->log };
	uint64_t end = nr_pages(vm, slot);
	int ret = 0;

	for (uint64_t page = 0; !ret && page < end; page += PIECE)
		if (clean_pages(&at, page, end, bits))
			ret = clear_piece(vm, remote, slot, page, bits);
	return ret;
}

/* Right after the memslots: what KVM itself writes to guest memory from then on is dirty, and stays so. */
int memslots_apply_logs(struct vm_state *vm, struct remote *remote)
{
	uint64_t *bits = malloc(PIECE / 8);
	int ret = bits ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < vm->nr_slots; i++)
		if (is_logged(&vm->slots[i]))
			ret = clear_slot(vm, remote, &vm->slots[i], bits);
	free(bits);
	return ret;
}
