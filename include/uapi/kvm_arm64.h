/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arm64 part of KVM's userspace ABI, under the kernel's own names, on every
 * build machine: sequences and image checks are tested on x86_64 too, where
 * <asm/kvm.h> is another architecture's. An arm64 build compares every value here
 * with the system's header.
 *
 * Sources: arch/arm64/include/uapi/asm/kvm.h and
 * Documentation/virt/kvm/devices/arm-vgic-v3.rst of Linux 6.12.
 */
#ifndef KVM_VGIC_UAPI_KVM_ARM64_H
#define KVM_VGIC_UAPI_KVM_ARM64_H

#include <linux/kvm.h>
#include <stdint.h>

/* The three types whose x86 namesakes differ in size, and so in ioctl number. */
struct arm64_vcpu_init {
	uint32_t target;
	uint32_t features[7];
};

struct arm64_vcpu_events {
	struct {
		uint8_t serror_pending;
		uint8_t serror_has_esr;
		uint8_t ext_dabt_pending;
		uint8_t pad[5];
		uint64_t serror_esr;
	} exception;
	uint32_t reserved[12];
};

struct arm64_guest_debug {
	uint32_t control;
	uint32_t pad;
	uint64_t dbg_bcr[16], dbg_bvr[16], dbg_wcr[16], dbg_wvr[16];
};

/* struct kvm_pmu_event_filter, of <asm/kvm.h> on arm64 alone. */
struct arm64_pmu_event_filter {
	uint16_t base_event, nevents;
	uint8_t action;
	uint8_t pad[3];
};

/* struct kvm_arm_counter_offset, of Linux 6.4. */
struct arm64_counter_offset {
	uint64_t counter_offset, reserved;
};

/* struct kvm_smccc_filter, likewise. */
struct arm64_smccc_filter {
	uint32_t base, nr_functions;
	uint8_t action;
	uint8_t pad[15];
};

#ifndef KVM_ARM_VM_SMCCC_CTRL
#define KVM_ARM_VM_SMCCC_CTRL 0
#define KVM_ARM_VM_SMCCC_FILTER 0
enum { KVM_SMCCC_FILTER_HANDLE, KVM_SMCCC_FILTER_DENY, KVM_SMCCC_FILTER_FWD_TO_USER };
#else
_Static_assert(sizeof(struct arm64_smccc_filter) == sizeof(struct kvm_smccc_filter), "SMCCC_FILTER");
#endif

#ifndef KVM_CAP_COUNTER_OFFSET /* likewise */
#define KVM_CAP_COUNTER_OFFSET 227
#endif

#ifndef KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE /* likewise */
#define KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE 228
#define KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES 229
#endif
#ifndef KVM_CAP_ARM_WRITABLE_IMP_ID_REGS /* of Linux 6.15 */
#define KVM_CAP_ARM_WRITABLE_IMP_ID_REGS 239
#endif
#ifndef KVM_CAP_ARM_SEA_TO_USER /* of Linux 6.19 */
#define KVM_CAP_ARM_SEA_TO_USER 245
#endif
#ifndef KVM_MEM_GUEST_MEMFD /* of Linux 6.8 */
#define KVM_MEM_GUEST_MEMFD (1UL << 2)
#endif

#define ARM64_VCPU_INIT _IOW(KVMIO, 0xae, struct arm64_vcpu_init)
#define ARM64_PREFERRED_TARGET _IOR(KVMIO, 0xaf, struct arm64_vcpu_init)
#define ARM64_GET_VCPU_EVENTS _IOR(KVMIO, 0x9f, struct arm64_vcpu_events)
#define ARM64_SET_VCPU_EVENTS _IOW(KVMIO, 0xa0, struct arm64_vcpu_events)
#define ARM64_SET_GUEST_DEBUG _IOW(KVMIO, 0x9b, struct arm64_guest_debug)
#define ARM64_SET_COUNTER_OFFSET _IOW(KVMIO, 0xb5, struct arm64_counter_offset)

/* name, value */
#define KVM_ARM64_CONSTANTS(X)                      \
	X(KVM_REG_ARM_COPROC_MASK, 0x000000000FFF0000) \
	X(KVM_REG_ARM_CORE, 0x0010 << 16)              \
	X(KVM_REG_ARM_DEMUX, 0x0011 << 16)             \
	X(KVM_REG_ARM64_SYSREG, 0x0013 << 16)          \
	X(KVM_REG_ARM_FW, 0x0014 << 16)                \
	X(KVM_REG_ARM64_SVE, 0x0015 << 16)             \
	X(KVM_REG_ARM_FW_FEAT_BMAP, 0x0016 << 16)      \
	X(KVM_ARM_VCPU_POWER_OFF, 0)                   \
	X(KVM_ARM_VCPU_EL1_32BIT, 1)                   \
	X(KVM_ARM_VCPU_PSCI_0_2, 2)                    \
	X(KVM_ARM_VCPU_PMU_V3, 3)                      \
	X(KVM_ARM_VCPU_SVE, 4)                         \
	X(KVM_ARM_VCPU_PTRAUTH_ADDRESS, 5)             \
	X(KVM_ARM_VCPU_PTRAUTH_GENERIC, 6)             \
	X(KVM_ARM_VCPU_HAS_EL2, 7)                     \
	X(KVM_VGIC_V2_ADDR_TYPE_DIST, 0)               \
	X(KVM_VGIC_V2_ADDR_TYPE_CPU, 1)                \
	X(KVM_DEV_ARM_VGIC_CPUID_SHIFT, 32)            \
	X(KVM_DEV_ARM_VGIC_GRP_CPU_REGS, 2)            \
	X(KVM_ARM_IRQ_TYPE_SHIFT, 24)                  \
	X(KVM_ARM_IRQ_VCPU_SHIFT, 16)                  \
	X(KVM_ARM_IRQ_TYPE_SPI, 1)                     \
	X(KVM_ARM_IRQ_TYPE_PPI, 2)                     \
	X(KVM_VGIC_V3_ADDR_TYPE_DIST, 2)               \
	X(KVM_VGIC_V3_ADDR_TYPE_REDIST, 3)             \
	X(KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, 5)      \
	X(KVM_DEV_ARM_VGIC_GRP_ADDR, 0)                \
	X(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 1)           \
	X(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 3)             \
	X(KVM_DEV_ARM_VGIC_GRP_CTRL, 4)                \
	X(KVM_DEV_ARM_VGIC_CTRL_INIT, 0)               \
	X(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 5)         \
	X(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 6)         \
	X(KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 7)          \
	X(KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 3)     \
	X(KVM_VGIC_ITS_ADDR_TYPE, 4)                   \
	X(KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 8)            \
	X(KVM_DEV_ARM_ITS_SAVE_TABLES, 1)              \
	X(KVM_DEV_ARM_ITS_RESTORE_TABLES, 2)           \
	X(KVM_ARM_VCPU_PMU_V3_CTRL, 0)                 \
	X(KVM_ARM_VCPU_PMU_V3_IRQ, 0)                  \
	X(KVM_ARM_VCPU_PMU_V3_INIT, 1)                 \
	X(KVM_ARM_VCPU_PMU_V3_FILTER, 2)               \
	X(KVM_ARM_VCPU_PVTIME_CTRL, 2)                 \
	X(KVM_ARM_VCPU_PVTIME_IPA, 0)                  \
	X(KVM_ARM_VCPU_TIMER_CTRL, 1)                  \
	X(KVM_ARM_VCPU_TIMER_IRQ_VTIMER, 0)            \
	X(KVM_ARM_VCPU_TIMER_IRQ_PTIMER, 1)

#ifdef __aarch64__
#define X(name, value) _Static_assert(name == (value), #name);
KVM_ARM64_CONSTANTS(X)
_Static_assert(sizeof(struct arm64_vcpu_init) == sizeof(struct kvm_vcpu_init), "KVM_ARM_VCPU_INIT");
_Static_assert(sizeof(struct arm64_vcpu_events) == sizeof(struct kvm_vcpu_events), "KVM_SET_VCPU_EVENTS");
_Static_assert(sizeof(struct arm64_guest_debug) == sizeof(struct kvm_guest_debug), "KVM_SET_GUEST_DEBUG");
_Static_assert(sizeof(struct arm64_pmu_event_filter) == sizeof(struct kvm_pmu_event_filter), "PMU_V3_FILTER");
#else
#define X(name, value) name = value,
enum { KVM_ARM64_CONSTANTS(X) };

#define KVM_VM_TYPE_ARM_IPA_SIZE_MASK 0xffULL
#define ARM64_SYS_REG(op0, op1, crn, crm, op2)                                                        \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | (uint64_t)(op0) << 14 |            \
	 (uint64_t)(op1) << 11 | (uint64_t)(crn) << 7 | (uint64_t)(crm) << 3 | (uint64_t)(op2))
#define KVM_REG_ARM_TIMER_CTL ARM64_SYS_REG(3, 3, 14, 3, 1)
/* The documented swap: what KVM calls CNT has the encoding of CNTV_CVAL_EL0, and the reverse. */
#define KVM_REG_ARM_TIMER_CVAL ARM64_SYS_REG(3, 3, 14, 0, 2)
#define KVM_REG_ARM_TIMER_CNT ARM64_SYS_REG(3, 3, 14, 3, 2)
#define KVM_REG_ARM_PTIMER_CTL ARM64_SYS_REG(3, 3, 14, 2, 1)
#define KVM_REG_ARM_PTIMER_CVAL ARM64_SYS_REG(3, 3, 14, 2, 2)
#define KVM_REG_ARM_PTIMER_CNT ARM64_SYS_REG(3, 3, 14, 0, 1)
#endif
#undef X

/*
 * Of Linux 7.4 (arch/arm64/include/uapi/asm/kvm.h, devices/arm-vgic-v5.rst), in no header of a released
 * distribution yet; the device type is in 7.2's.
 */
#define KVM_DEV_TYPE_ARM_VGIC_V5 16
#define KVM_VGIC_V5_ADDR_TYPE_IRS 6
#define KVM_DEV_ARM_VGIC_USERSPACE_PPIS 5
#define KVM_DEV_ARM_VGIC_GRP_IRS_REGS 10
#define KVM_DEV_ARM_VGIC_GRP_IST 11

/* struct kvm_vgic_v5_ist: addresses in the task, sizes in bytes. */
struct arm64_vgic_v5_ist {
	uint64_t spi_ist_addr, spi_ist_size;
	uint64_t lpi_ist_addr, lpi_ist_size;
};

/* Size in bytes of a register as KVM_GET_ONE_REG moves it (api.rst 4.68): 1 to 256. */
static inline uint32_t kvm_reg_size(uint64_t id)
{
	return 1u << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* The core registers the plugin itself reads and changes; ids are offsets in struct kvm_regs / 4. */
#define ARM64_CORE_U64(index) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | (index))
#define ARM64_CORE_PC ARM64_CORE_U64(64)
#define ARM64_CORE_PSTATE ARM64_CORE_U64(66)
#define ARM64_CORE_ELR_EL1 ARM64_CORE_U64(70)
#define ARM64_CORE_SPSR_EL1 ARM64_CORE_U64(72)
#define ARM64_MPIDR_EL1 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define ARM64_MDSCR_EL1 ARM64_SYS_REG(2, 0, 0, 2, 2)
#define ARM64_SCTLR2_EL1 ARM64_SYS_REG(3, 0, 1, 0, 3)
#define ARM64_AFSR0_EL1 ARM64_SYS_REG(3, 0, 5, 1, 0)
#define ARM64_AFSR1_EL1 ARM64_SYS_REG(3, 0, 5, 1, 1)
#define ARM64_ESR_EL1 ARM64_SYS_REG(3, 0, 5, 2, 0)
#define ARM64_FAR_EL1 ARM64_SYS_REG(3, 0, 6, 0, 0)
#define ARM64_VBAR_EL1 ARM64_SYS_REG(3, 0, 12, 0, 0)
#define ARM64_PMCR_EL0 ARM64_SYS_REG(3, 3, 9, 12, 0)
#define ARM64_ID_AA64DFR0_EL1 ARM64_SYS_REG(3, 0, 0, 5, 0)
#define ARM64_SVE_Z0 (KVM_REG_ARM64 | KVM_REG_SIZE_U2048 | KVM_REG_ARM64_SVE)
/* The vector lengths of a vCPU, a bit for each multiple of 128 bits. */
#define ARM64_SVE_VLS (KVM_REG_ARM64 | KVM_REG_SIZE_U512 | KVM_REG_ARM64_SVE | 0xffff)

#endif
