/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of KVM's VGICv5 device: what its attributes save and restore, and in which order.
 *
 * It is a model, and no interrupt controller: it holds registers and interrupt state tables,
 * and says what Linux 7.4 (Documentation/virt/kvm/devices/arm-vgic-v5.rst, arch/arm64/kvm/vgic) would say, errno
 * by errno, in the order in which that looks. No interrupt is ever delivered.
 *
 * One file for two environments: vgic_v5_kmod.c puts it behind the real ioctls of a real kernel,
 * the unit tests put it behind a fake VMM. What it needs of either is struct model_env.
 */
#ifndef KVM_VGIC_TEST_VGIC_V5_MODEL_H
#define KVM_VGIC_TEST_VGIC_V5_MODEL_H

#ifdef __KERNEL__
#include <linux/kvm_host.h>
#include <linux/types.h>
#else
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#endif

#define MODEL_VCPUS 512
#define MODEL_CPU_REGS 26
#define MODEL_LINE 112 /* bytes of a record */

/* What a test does to it that a guest, or its devices, would: set only, value a u64. */
#define MODEL_GRP_TEST 0x7e57
#define MODEL_TEST_GUEST_REG 0ull	 /* attr[31:0]: offset of an IRS register that the guest writes */
#define MODEL_TEST_SPI (1ull << 32)	 /* attr[31:0]: an SPI; value: its 32-bit ISTE */
#define MODEL_TEST_LPI (2ull << 32)	 /* attr[31:0]: an LPI, likewise */
#define MODEL_TEST_CPU_REG (3ull << 32)	 /* attr[31:16]: vCPU by number, [15:0]: register; as the guest writes it */

enum model_abi {
	MODEL_MERGED, /* Linux 7.4: GRP_IST takes a descriptor of two buffers */
	MODEL_V1,     /* the series of April 2026: GRP_IST takes the SPIs' buffer, LPIs are in guest memory */
};

/* What the host's IRS has: two hosts may differ. */
struct model_host {
	enum model_abi abi;
	u32 id_bits, min_lpi_id_bits, priority_bits, pa_range;
	u32 nr_spis; /* of MODEL_V1, which has no NR_IRQS: 0 to 1024 */
	u32 ipa_bits;
};

struct model_env {
	/* User memory and guest memory: 0 or -EFAULT. */
	int (*copy_in)(void *ctx, void *to, u64 from, size_t size);
	int (*copy_out)(void *ctx, u64 to, const void *from, size_t size);
	int (*guest_read)(void *ctx, u64 gpa, void *to, size_t size);
	int (*guest_write)(void *ctx, u64 gpa, const void *from, size_t size);

	u32 (*nr_vcpus)(void *ctx);
	u32 (*vcpu_id)(void *ctx, u32 i);
	u64 (*vcpu_mpidr)(void *ctx, u32 i); /* Aff3.Aff2.Aff1.Aff0 in bits 31:0 */
	bool (*lock_vcpus)(void *ctx);	     /* false: one of them runs */
	void (*unlock_vcpus)(void *ctx);
	bool (*has_run)(void *ctx); /* any of them, ever */

	void *(*alloc)(size_t size); /* zeroed, or NULL */
	void (*free)(void *p);
	/*
	 * A call and its answer; and what a test wants it to fail with first: 0 or a negative errno. @op is SET, GET, or
	 * QUIESCE: of KVM_DEV_ARM_VGIC_GRP_IST, where @attr is 0 before the tables are copied, 1 after the SPIs', 2 after both.
	 */
	void (*record)(void *ctx, const char *line);
	int (*fails)(void *ctx, const char *op, u32 group, u64 attr);
};

struct model_cpu {
	u64 reg[MODEL_CPU_REGS];
	bool ran;
};

struct model {
	const struct model_env *env;
	void *ctx;
	struct model_host host;

	bool initialised, nr_irqs_set;
	u64 irs_base;
	u32 nr_spis;
	u32 idr0, idr1, idr2, cr0, cr1, spi_selr, pe_selr, ist_cfgr;
	u64 ist_baser;
	u32 *spi, *lpi; /* ISTs; lpi is NULL where the host has made none */
	bool *is_level; /* of each SPI, as IRS_SPI_CFGR has it */
	u32 nr_lpis;
	bool restore_pending; /* IST_BASER was made VALID: the first run waits for GRP_IST */
	bool restoring;	      /* user space has written an ID register */
	bool baser_restored, ist_restored;
	struct model_cpu *cpus;
};

void model_init(struct model *m, const struct model_host *host, const struct model_env *env, void *ctx);
void model_fini(struct model *m);

/* The three operations of a device. As KVM's: 0 or a negative errno. */
int model_set_attr(struct model *m, const struct kvm_device_attr *attr);
int model_get_attr(struct model *m, const struct kvm_device_attr *attr);
int model_has_attr(struct model *m, const struct kvm_device_attr *attr);

/* What @attr is called in records: "IRS_REGS CR0". */
void model_name(const struct model *m, const struct kvm_device_attr *attr, char *name, size_t size);

/*
 * The first KVM_RUN of vCPU @i: 0, -EBUSY, -EINVAL or -ENXIO. From then on a vCPU has the PPIs that KVM gives to guests
 * and no other.
 */
int model_first_run(struct model *m, u32 i);

#endif
