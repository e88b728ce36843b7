/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entries: one pack and one unpack per kind of file. Unpacking checks what
 * is needed to fit a message into the state; what the state may hold is for check.h.
 */
#ifndef KVM_VGIC_IMAGE_ENTRY_H
#define KVM_VGIC_IMAGE_ENTRY_H

#include "image/frame.h"
#include "image.pb-c.h"
#include "its.pb-c.h"
#include "thread.pb-c.h"
#include "vcpu.pb-c.h"
#include "vcpu_events.pb-c.h"
#include "vgic.pb-c.h"
#include "vm.pb-c.h"

void vm_pack(struct frame_out *out, const struct vm_state *vm, const struct image_seals *seals);
int vm_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm,
	      struct image_seals *seals);

/* Parts of it. What pack allocates is for vm_pack() to free; false: there is no memory. */
bool memslots_pack(struct frame_out *out, KvmVgic__VmEntry *entry, const struct vm_state *vm);
void memslots_free_packed(KvmVgic__VmEntry *entry);
int memslots_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm);
void caps_pack(KvmVgic__VmEntry *entry, const struct vm_state *vm);
bool smccc_filter_pack(struct frame_out *out, KvmVgic__VmEntry *entry, KvmVgic__SmcccFilterEntry *filter,
		       const struct vm_state *vm);
int caps_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm);
/* Into @entry, whose lists bindings_free() frees; false: there was no memory, which @out remembers. */
bool bindings_pack(struct frame_out *out, KvmVgic__VmEntry *entry, const struct vm_state *vm);
void bindings_free(KvmVgic__VmEntry *entry);
int bindings_unpack(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct vm_state *vm);
void kvm_file_pack(struct frame_out *out, const struct kvm_file *file);
void kvm_file_unpack(const KvmVgic__KvmFileEntry *entry, struct kvm_file *file);

/* @before: the vCPU of the entry before, or NULL. */
void vcpu_pack(struct frame_out *out, const struct vcpu_state *vcpu, const struct vcpu_state *before);
int vcpu_unpack(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vcpu_state *vcpu,
		const struct vcpu_state *before);

void vcpu_events_pack(struct frame_out *out, const struct vcpu_state *vcpu);
/* Into the vCPU of the entry's place in the file. */
int vcpu_events_unpack(const struct frame_in *in, const KvmVgic__VcpuEventsEntry *entry,
		       struct vcpu_state *vcpu);

/* The GIC of @vm, whichever it is. */
void vgic_pack(struct frame_out *out, const struct vm_state *vm);
int vgic_unpack(const struct frame_in *in, const KvmVgic__VgicEntry *entry, struct vm_state *vm);
void vgic_v2_pack(struct frame_out *out, const struct vgic_v2_state *gic);
int vgic_v2_unpack(const struct frame_in *in, const KvmVgic__VgicV2Entry *entry, struct vgic_v2_state *gic);
void vgic_v5_pack(struct frame_out *out, const struct vgic_v5_state *gic);
int vgic_v5_unpack(const struct frame_in *in, const KvmVgic__VgicV5Entry *entry, struct vgic_v5_state *gic);

/* @vm's ITSes and the LPIs, in several entries. */
void its_pack(struct frame_out *out, const struct vm_state *vm);
/* Adds one of them to @vm. */
int its_unpack(const struct frame_in *in, const KvmVgic__ItsEntry *entry, struct vm_state *vm);

/* SPIs active elsewhere. */
void vgic_pack_active(KvmVgic__VgicActiveEntry **list, const struct vgic_active *active, size_t nr);
int vgic_unpack_active(const struct frame_in *in, KvmVgic__VgicActiveEntry **list, size_t n,
		       struct vgic_active **active, size_t *nr);

/*
 * The registers of a table, of each of @nr vCPUs, or of the one thing that has them. Gives the number of messages in
 * *@list, which is for free(), NULL when there is no memory.
 */
size_t vgic_pack_values(struct frame_out *out, KvmVgic__VgicRegValues ***list, const struct vgic_reg *table,
			size_t nr_regs, struct vgic_values *const *of, size_t nr);
/* Of one thing, by @n messages; @whose is for messages. */
int vgic_unpack_values(const struct frame_in *in, const char *whose, const struct vgic_reg *table, size_t nr_regs,
		       KvmVgic__VgicRegValues **list, size_t n, struct vgic_values **values);
/* Of @nr vCPUs, into an array that it allocates; vgic_unpack_nr_cpus() has bounded @nr. */
int vgic_unpack_vcpu_values(const struct frame_in *in, const struct vgic_reg *table, size_t nr_regs,
			    KvmVgic__VgicRegValues **list, size_t n, struct vgic_values ***of, size_t nr);
int vgic_unpack_nr_cpus(const struct frame_in *in, size_t n, size_t max, size_t *nr);

/* Runs of @size @bytes, which they point into; their number. @runs is for free(), NULL when there is no memory. */
size_t byte_runs_pack(struct frame_out *out, KvmVgic__ByteRun ***runs, uint8_t *bytes, size_t size);
/* Where the last one ends; -EINVAL where they are not in order, or not within @max bytes of @what. */
int byte_runs_end(const struct frame_in *in, const char *what, KvmVgic__ByteRun *const *runs, size_t n,
		  uint32_t max, uint32_t *end);
/* Into @bytes, zeros until now, which are as many as byte_runs_end() says. */
void byte_runs_unpack(KvmVgic__ByteRun *const *runs, size_t n, uint8_t *bytes);

void thread_pack(struct frame_out *out, const struct thread_state *thread);
int thread_unpack(const struct frame_in *in, const KvmVgic__ThreadEntry *entry, struct thread_state *thread);

/*
 * Room for a repeated field: @n messages of @size bytes, reached through an array
 * of pointers as protobuf-c wants it. One block, for free(). NULL when there is
 * no memory, which @out remembers.
 */
void *entry_list(struct frame_out *out, size_t n, size_t size);
#define ENTRY_LIST(out, n, list) ((list) = entry_list(out, n, sizeof(**(list))))

/* @n zeroed things of @size bytes for a message, none included. NULL when there is no memory, as above. */
void *entry_room(struct frame_out *out, size_t n, size_t size);

/* calloc() of a state's array, of which none is no error; logged. */
int entry_alloc(const struct frame_in *in, void *array, size_t n, size_t size);

#endif
