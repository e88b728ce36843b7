/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a criu that was killed in a dump has left of a VM: copies in the place of kvm_run, and pages that forbid
 * to run. Each such page says what it is to be again, behind struct kvm_run, where neither KVM nor a VMM has anything.
 */
#ifndef KVM_VGIC_STATE_LEFT_H
#define KVM_VGIC_STATE_LEFT_H

#include "state/kvm_run_page.h"

#define LEFT_MAGIC 0x3120646e61747361ull /* "astand 1" */

struct left_record {
	uint64_t magic;
	uint8_t head[KVM_RUN_HEAD]; /* of the page, before the dump */
	uint32_t nr_maps;
	struct vcpu_map maps[VCPU_MAX_MAPS];
};

/* Where it is in the page. */
static inline uint64_t left_record_at(uint32_t page_size)
{
	return page_size - sizeof(struct left_record);
}

/* What stands where a mapping of a vCPU is to be. */
enum left_place {
	LEFT_PAGE, /* the mapping itself; or one of another VM's vCPU of the same id */
	LEFT_COPY, /* anonymous memory of the same protection */
	LEFT_OTHER,
};

/* How that is known: by /proc. */
struct left_view {
	enum left_place (*look)(const struct left_view *view, const struct vcpu_state *vcpu, const struct vcpu_map *map);
};

/* -EBUSY, logged, where the first page of kvm_run, in vcpu->run, is marked and does not say what it is to be again. Else 0. */
int left_check(const struct vm_state *vm, const struct vcpu_state *vcpu);

/*
 * Looks at the page of each vCPU of @vm, of which idx, id, fd and run_size are set, and puts back those that a dump has left
 * standing: with their maps, and with what the VMM has seen since. They come to the front of @vm's, *@nr of them, 0 or more. 0; or a
 * negative errno, logged: -EBUSY, there is one that cannot be put back, and nothing was. After another it can be tried again.
 */
int left_put_back(struct vm_state *vm, struct remote *remote, const struct left_view *view, size_t *nr);

#endif
