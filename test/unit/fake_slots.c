// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of a fake VM's own fd: capabilities, the SMCCC filter, memslots with their dirty logs. As
 * Linux 6.12 and 7.2 have them, errno by errno.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"

#define WORD 64 /* pages of a u64 of a log */

void fake_vm_describe(unsigned long req, const void *arg, char *line)
{
	const struct kvm_userspace_memory_region *region = arg;
	const struct arm64_counter_offset *offset = arg;
	const struct kvm_clear_dirty_log *clear = arg;
	const struct kvm_device_attr *attr = arg;
	const struct kvm_enable_cap *cap = arg;
	const struct kvm_dirty_log *log = arg;

	if (req == KVM_SET_USER_MEMORY_REGION)
		snprintf(line, FAKE_LINE, "vm: KVM_SET_USER_MEMORY_REGION %u at %#llx", region->slot,
			 (unsigned long long)region->guest_phys_addr);
	else if (req == ARM64_PREFERRED_TARGET)
		snprintf(line, FAKE_LINE, "vm: KVM_ARM_PREFERRED_TARGET");
	else if (req == KVM_ENABLE_CAP)
		snprintf(line, FAKE_LINE, "vm: KVM_ENABLE_CAP %u = %#llx", cap->cap,
			 (unsigned long long)cap->args[0]);
	else if (req == ARM64_SET_COUNTER_OFFSET)
		snprintf(line, FAKE_LINE, "vm: KVM_ARM_SET_COUNTER_OFFSET = %#" PRIx64,
			 offset->counter_offset);
	else if (req == KVM_IRQ_LINE)
		snprintf(line, FAKE_LINE, "vm: KVM_IRQ_LINE %#x = %u", ((const struct kvm_irq_level *)arg)->irq,
			 ((const struct kvm_irq_level *)arg)->level);
	else if (req == KVM_GET_DIRTY_LOG)
		snprintf(line, FAKE_LINE, "vm: KVM_GET_DIRTY_LOG %u", log->slot);
	else if (req == KVM_CLEAR_DIRTY_LOG)
		snprintf(line, FAKE_LINE, "vm: KVM_CLEAR_DIRTY_LOG %u, %u pages from %llu", clear->slot,
			 clear->num_pages, (unsigned long long)clear->first_page);
	else if (req == KVM_SET_DEVICE_ATTR && attr->group == KVM_ARM_VM_SMCCC_CTRL)
		snprintf(line, FAKE_LINE, "vm: SMCCC FILTER %#x",
			 ((const struct arm64_smccc_filter *)(uintptr_t)attr->addr)->base);
	else
		fake_binding_describe(req, arg, line);
}

/* Capabilities */

static bool has_vcpus(const struct fake_kvm *kvm)
{
	for (int i = 0; i < FAKE_FDS; i++)
		if (kvm->fds[i].kind == FAKE_VCPU)
			return true;
	return false;
}

static int enable_manual(struct fake_kvm *kvm, uint64_t value)
{
	if (value & ~3ull || (value & 2 && !(value & 1)))
		return -EINVAL;
	kvm->manual_dirty_log = value;
	kvm->caps = value ? kvm->caps | VM_CAP_MANUAL_DIRTY_LOG : kvm->caps & ~VM_CAP_MANUAL_DIRTY_LOG;
	return 0;
}

static int enable_split(struct fake_kvm *kvm, uint64_t value)
{
	if (kvm->nr_slots || (value && value != 4096 && value != 2 << 20 && value != 1 << 30))
		return -EINVAL;
	kvm->split_chunk = value;
	kvm->caps |= value ? VM_CAP_EAGER_SPLIT : 0;
	return 0;
}

static int enable_cap(struct fake_kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual(kvm, cap->args[0]);
	case KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE:
		return enable_split(kvm, cap->args[0]);
	case KVM_CAP_HALT_POLL:
		if (cap->args[0] > UINT32_MAX)
			return -EINVAL;
		kvm->halt_poll_ns = cap->args[0];
		kvm->caps |= VM_CAP_HALT_POLL;
		return 0;
	case KVM_CAP_ARM_WRITABLE_IMP_ID_REGS:
		if (has_vcpus(kvm))
			return -EINVAL;
		kvm->caps |= VM_CAP_WRITABLE_IMP_ID_REGS;
		return 0;
	case KVM_CAP_ARM_NISV_TO_USER:
		kvm->caps |= VM_CAP_NISV_TO_USER;
		return 0;
	case KVM_CAP_ARM_SYSTEM_SUSPEND:
		kvm->caps |= VM_CAP_SYSTEM_SUSPEND;
		return 0;
	case KVM_CAP_ARM_SEA_TO_USER:
		kvm->caps |= VM_CAP_SEA_TO_USER;
		return 0;
	}
	return -EINVAL;
}

/* One offset for both counters. */
static int set_counter_offset(struct fake_kvm *kvm, const struct arm64_counter_offset *offset)
{
	if (offset->reserved)
		return -EINVAL;
	kvm->counter_offset = true;
	kvm->vtimer = kvm->ptimer = kvm->host - offset->counter_offset;
	kvm->ptimer_offset = offset->counter_offset;
	return 0;
}

static int set_smccc_filter(struct fake_kvm *kvm, const struct kvm_device_attr *attr)
{
	const struct arm64_smccc_filter *filter = (const void *)(uintptr_t)attr->addr;
	uint32_t last = filter->base + filter->nr_functions - 1;

	if (attr->group != KVM_ARM_VM_SMCCC_CTRL || attr->attr != KVM_ARM_VM_SMCCC_FILTER)
		return -ENXIO;
	if (!filter->nr_functions || last < filter->base || filter->action > KVM_SMCCC_FILTER_FWD_TO_USER)
		return -EINVAL;
	if (kvm->ran)
		return -EBUSY;
	if (smccc_is_reserved(filter->base, last))
		return -EEXIST;
	for (size_t i = 0; i < kvm->nr_smccc; i++)
		if (filter->base <= kvm->smccc[i].last && last >= kvm->smccc[i].first)
			return -EEXIST;
	if (kvm->nr_smccc == FAKE_SMCCC_RANGES)
		return -ENOMEM;
	kvm->smccc[kvm->nr_smccc++] = (struct smccc_range){ filter->base, last, filter->action };
	kvm->caps |= VM_CAP_SMCCC_FILTER;
	return 0;
}

/* Memslots */

size_t fake_log_words(const struct memslot *slot)
{
	return (slot->size / FAKE_PAGE + WORD - 1) / WORD;
}

/* A log that is all clean; the caller has set the slot's size. */
void fake_log_begin(struct fake_kvm *kvm, size_t slot)
{
	kvm->dirty[slot] = calloc(fake_log_words(&kvm->slots[slot]) + 1, sizeof(uint64_t));
	if (!kvm->dirty[slot])
		abort();
}

bool fake_log_has(const struct fake_kvm *kvm, size_t slot, uint64_t page)
{
	return kvm->dirty[slot][page / WORD] >> page % WORD & 1;
}

void fake_log_mark(struct fake_kvm *kvm, size_t slot, uint64_t page)
{
	kvm->dirty[slot][page / WORD] |= 1ull << page % WORD;
}

void fake_drop_log(struct fake_kvm *kvm, size_t slot)
{
	kvm->slots[slot].flags = 0;
	free(kvm->dirty[slot]);
	kvm->dirty[slot] = NULL;
}

static int set_region(struct fake_kvm *kvm, const struct kvm_userspace_memory_region *region)
{
	struct memslot *slot = &kvm->slots[kvm->nr_slots];

	if (kvm->nr_slots == FAKE_SLOTS || region->flags & ~(KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES))
		return -EINVAL;
	*slot = (struct memslot){ .slot = region->slot,
				  .flags = region->flags,
				  .gpa = region->guest_phys_addr,
				  .size = region->memory_size,
				  .hva = region->userspace_addr };
	if (region->flags & KVM_MEM_LOG_DIRTY_PAGES)
		fake_log_begin(kvm, kvm->nr_slots);
	for (uint64_t page = 0;
	     kvm->dirty[kvm->nr_slots] && kvm->manual_dirty_log & KVM_DIRTY_LOG_INITIALLY_SET &&
	     page < slot->size / FAKE_PAGE;
	     page++)
		fake_log_mark(kvm, kvm->nr_slots, page);
	kvm->nr_slots++;
	return 0;
}

/* The number in kvm->slots of the one of @id that is logged, or -ENOENT. */
static int find_logged(const struct fake_kvm *kvm, uint32_t id)
{
	for (size_t i = 0; i < kvm->nr_slots; i++)
		if (kvm->slots[i].slot == id && kvm->dirty[i])
			return i;
	return -ENOENT;
}

/* Into memory of the task, at most what is mapped there. */
static int get_dirty_log(struct fake_kvm *kvm, const struct kvm_dirty_log *log)
{
	int slot = find_logged(kvm, log->slot);
	uint64_t addr = log->padding2;
	struct fake_map *map;
	size_t size;

	if (slot < 0)
		return slot;
	size = fake_log_words(&kvm->slots[slot]) * sizeof(uint64_t);
	map = fake_map_at(kvm, addr, size);
	if (!map || map->vcpu >= 0)
		return -EFAULT;
	memcpy(fake_map_byte(kvm, map, addr), kvm->dirty[slot], size);
	if (!kvm->manual_dirty_log)
		memset(kvm->dirty[slot], 0, size);
	return 0;
}

static int clear_dirty_log(struct fake_kvm *kvm, const struct kvm_clear_dirty_log *clear)
{
	int slot = find_logged(kvm, clear->slot);
	const uint64_t *bits = clear->dirty_bitmap;
	uint64_t pages;

	if (clear->first_page % WORD)
		return -EINVAL;
	if (slot < 0)
		return slot;
	pages = kvm->slots[slot].size / FAKE_PAGE;
	if (clear->first_page > pages || clear->num_pages > pages - clear->first_page ||
	    (clear->num_pages < pages - clear->first_page && clear->num_pages % WORD))
		return -EINVAL;
	for (uint64_t i = 0; i < (clear->num_pages + WORD - 1) / WORD; i++)
		kvm->dirty[slot][clear->first_page / WORD + i] &= ~bits[i];
	return 0;
}

int64_t fake_vm_ioctl(struct fake_kvm *kvm, unsigned long req, void *arg)
{
	switch (req) {
	case ARM64_PREFERRED_TARGET:
		*(struct arm64_vcpu_init *)arg = (struct arm64_vcpu_init){ .target = 5 };
		return 0;
	case KVM_ENABLE_CAP:
		return enable_cap(kvm, arg);
	case ARM64_SET_COUNTER_OFFSET:
		return set_counter_offset(kvm, arg);
	case KVM_SET_DEVICE_ATTR:
		return set_smccc_filter(kvm, arg);
	case KVM_SET_USER_MEMORY_REGION:
		return set_region(kvm, arg);
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(kvm, arg);
	case KVM_CLEAR_DIRTY_LOG:
		return clear_dirty_log(kvm, arg);
	case KVM_IRQ_LINE:
		return kvm->v2 ? fake_v2_irq_line(kvm, arg) : -ENXIO;
	}
	return fake_binding_ioctl(kvm, req, arg);
}
