/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vm_state may hold. Images come from anywhere: what passes here is
 * handed to the kernel, and used as sizes and indices, without another look.
 */
#ifndef KVM_VGIC_IMAGE_CHECK_H
#define KVM_VGIC_IMAGE_CHECK_H

#include "image/frame.h"
#include "log.h"

/* All of one VM; @complete: every object has a file by now. */
int check_vm(const struct vm_state *vm, bool complete);
int check_backings(const struct vm_state *vm);
int check_caps(const struct vm_state *vm);
int check_slots(const struct vm_state *vm);
int check_bindings(const struct vm_state *vm);
int check_vcpus(const struct vm_state *vm);
/* Of all @vms; while they are read, too: each takes memory some hundred times as much as a file. */
int check_nr_regs(const struct vm_state *const *vms, size_t n);
int check_vgic(const struct vm_state *vm);
int check_vgic_v2(const struct vm_state *vm);
int check_vgic_v5(const struct vm_state *vm);
/* What GICv2 and v3 have in common. */
int check_vgic_size(const struct vm_state *vm, uint32_t nr_irqs, size_t nr_cpus);
int check_vgic_table(const struct vm_state *vm, uint32_t nr_irqs, const char *whose,
		     const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values);
int check_vgic_active(const struct vm_state *vm, uint32_t nr_irqs, const struct vgic_active *list, size_t nr);
int check_itses(const struct vm_state *vm);
int check_threads(const struct vm_state *vm);
/* The threads in which pending exits of @vm are replayed: @first, of the same process, has all that there are. */
int check_runners(const struct vm_state *vm, const struct vm_state *first);
/* What several VMs share: numbers, and with the same owner its fds, threads and memory. @files are of none. */
int check_shared(const struct vm_state *const *vms, size_t n, const struct image_files *files);

#define refuse(fmt, ...)                                                                                     \
	({                                                                                                   \
		pr_err(fmt "\n", ##__VA_ARGS__);                                                             \
		-EINVAL;                                                                                     \
	})
#define refuse_vm(vm, fmt, ...) refuse(IMAGE_VM ": VM %u: " fmt, (vm)->id, ##__VA_ARGS__)
#define refuse_vcpu(vm, i, fmt, ...)                                                                         \
	refuse(IMAGE_VCPU ": vCPU %zu: " fmt, (vm)->id, (size_t)(i), ##__VA_ARGS__)
#define refuse_events(vm, i, fmt, ...)                                                                       \
	refuse(IMAGE_VCPU_EVENTS ": vCPU %zu: " fmt, (vm)->id, (size_t)(i), ##__VA_ARGS__)
#define refuse_thread(vm, thread, fmt, ...)                                                                  \
	refuse(IMAGE_THREAD ": thread %d: " fmt, (vm)->id, (thread)->vtid, ##__VA_ARGS__)
#define refuse_its(vm, its, fmt, ...)                                                                        \
	refuse(IMAGE_ITS ": ITS %zu: " fmt, (vm)->id, (size_t)((its) - (vm)->itses), ##__VA_ARGS__)
#define refuse_vgic(vm, fmt, ...) refuse(IMAGE_VGIC ": " fmt, (vm)->id, ##__VA_ARGS__)

/*
 * Numbers or ranges that nothing else of the same space may claim: addresses,
 * ids, fds. @vm and @n say whose it is.
 */
struct claim {
	uint64_t space, first, last;
	size_t vm, n;
};

struct claims {
	struct claim *list;
	size_t n;
};

int claims_alloc(struct claims *claims, size_t max);
void claims_free(struct claims *claims);
void claims_add(struct claims *claims, const struct claim *c);
/* The second of two claims that clash, the one before it in the list being the first; or NULL. */
const struct claim *claims_clash(struct claims *claims);

static inline bool aligned(uint64_t v, uint64_t to)
{
	return !(v & (to - 1));
}

/* [start, start + size) is not empty and ends at 2^64 at most. */
static inline bool is_range(uint64_t start, uint64_t size)
{
	return size && size - 1 <= UINT64_MAX - start;
}

static inline bool within_ipa(const struct vm_state *vm, uint64_t start, uint64_t size)
{
	uint64_t limit = 1ULL << vm->ipa_bits;

	return size && size <= limit && start <= limit - size;
}

#endif
