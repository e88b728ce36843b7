/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two vCPUs with pointer authentication: what each has signed with its five keys authenticates later, and
 * does not with another key. The keys change now and then.
 */
#include "zdtmtst.h"
#include "guest.h"
#include "oddvm.h"

const char *test_doc = "Pointer authentication keys of a KVM guest\n";
const char *test_author = "The kvm-vgic authors";

#define NR_KEYS		5
#define GA		4	/* signs values, and authenticates none */
#define POINTER		0x0000412345678948ull
#define ROUNDS		16	/* with the same keys */

/* SCTLR_EL1: EnIA, EnIB, EnDA, EnDB */
#define ENABLE		(1u << 31 | 1u << 30 | 1u << 27 | 1u << 13)

#define FPAC_CLASS	0x1c	/* of ESR_EL1: an authentication that failed, with FEAT_FPAC */

struct pauth_guest {
	struct guest g;
	uint64_t keys[NR_KEYS][2];
	uint64_t modifier, signature[NR_KEYS];
	uint64_t wrong[GA]; /* what to change in a key so that authentication fails */
	volatile uint64_t rounds;
};

enum { SAY_SIGN = 1, SAY_AUTH, SAY_WRONG, SAY_KEY, SAY_NONE };
const char *const guest_says[] = {
	[SAY_SIGN] = "another signature: key, signature",
	[SAY_AUTH] = "a signed pointer does not authenticate: key, result",
	[SAY_WRONG] = "a signed pointer authenticates with another key: key, change",
	[SAY_KEY] = "a key register: key, value",
	[SAY_NONE] = "a pointer that is signed is what it was: key, value",
};

void guest_sign(uint64_t value, uint64_t modifier, uint64_t signature[NR_KEYS]);
void guest_authenticate(const uint64_t signature[NR_KEYS], uint64_t modifier, uint64_t result[GA]);

/* --- in the guest --- */

#define KEY_REGISTERS(op)			\
	op(0, S3_0_C2_C1_0, S3_0_C2_C1_1)	\
	op(1, S3_0_C2_C1_2, S3_0_C2_C1_3)	\
	op(2, S3_0_C2_C2_0, S3_0_C2_C2_1)	\
	op(3, S3_0_C2_C2_2, S3_0_C2_C2_3)	\
	op(4, S3_0_C2_C3_0, S3_0_C2_C3_1)

GUEST static void set_keys(const struct pauth_guest *p)
{
#define SET(n, lo, hi)				\
	write_sysreg(p->keys[n][0], lo);	\
	write_sysreg(p->keys[n][1], hi);
	KEY_REGISTERS(SET)
	isb();
}

GUEST static void check_keys(struct pauth_guest *p)
{
#define CHECK(n, lo, hi)						\
	if (read_sysreg(lo) != p->keys[n][0])				\
		guest_report(&p->g, SAY_KEY, n, read_sysreg(lo));	\
	if (read_sysreg(hi) != p->keys[n][1])				\
		guest_report(&p->g, SAY_KEY, n, read_sysreg(hi));
	KEY_REGISTERS(CHECK)
}

/* What FEAT_FPAC makes of a failed authentication; without, the pointer is spoilt. It is no pointer either way. */
GUEST static void no_pointer(struct guest *g, struct guest_frame *frame)
{
	if (frame->esr >> 26 != FPAC_CLASS)
		guest_unexpected(g, frame);
	frame->elr += 4;
}

/* With key @n changed, and put back. */
GUEST static bool fails_with(struct pauth_guest *p, unsigned int n, uint64_t change)
{
	uint64_t result[GA];

	p->keys[n][0] ^= change;
	set_keys(p);
	guest_authenticate(p->signature, p->modifier, result);
	p->keys[n][0] ^= change;
	set_keys(p);
	return result[n] != POINTER;
}

/* A signature has few bits: another key can make the same one, and always does then. */
GUEST static uint64_t find_wrong(struct pauth_guest *p, unsigned int n)
{
	uint64_t change = 1;

	while (!fails_with(p, n, change) && change < 64)
		change++;
	return change;
}

GUEST static void next_keys(struct pauth_guest *p)
{
	unsigned int n;

	for (n = 0; n < NR_KEYS; n++) {
		p->keys[n][0] = p->keys[n][0] * 0x9e3779b97f4a7c15 + 2 * n + 1;
		p->keys[n][1] = p->keys[n][1] * 0xbf58476d1ce4e5b9 + 2 * n + 1;
	}
	p->modifier += 0x10001;
	set_keys(p);
	guest_sign(POINTER, p->modifier, p->signature);
	for (n = 0; n < GA; n++) {
		if (p->signature[n] == POINTER)
			guest_report(&p->g, SAY_NONE, n, POINTER);
		p->wrong[n] = find_wrong(p, n);
	}
}

GUEST static void check(struct pauth_guest *p)
{
	uint64_t signature[NR_KEYS], result[GA];
	unsigned int n;

	check_keys(p);
	guest_sign(POINTER, p->modifier, signature);
	guest_authenticate(p->signature, p->modifier, result);
	for (n = 0; n < NR_KEYS; n++)
		if (signature[n] != p->signature[n])
			guest_report(&p->g, SAY_SIGN, n, signature[n]);
	for (n = 0; n < GA; n++) {
		if (result[n] != POINTER)
			guest_report(&p->g, SAY_AUTH, n, result[n]);
		if (!fails_with(p, n, p->wrong[n]))
			guest_report(&p->g, SAY_WRONG, n, p->wrong[n]);
	}
}

GUEST static void run(struct guest *g)
{
	struct pauth_guest *p = (struct pauth_guest *)g;
	unsigned int n;
	uint64_t spin;

	write_sysreg(read_sysreg(sctlr_el1) | ENABLE, sctlr_el1);
	isb();
	for (;;) {
		next_keys(p);
		for (n = 0; n < ROUNDS; n++) {
			check(p);
			for (spin = 0; spin < 100000; spin++)
				asm volatile("");
			guest_progress(g, ODD_STEP);
			p->rounds++;
		}
	}
}

/* --- in the VMM --- */

static struct odd_vm vm;

static int set_guest(unsigned int i)
{
	struct pauth_guest *p = guest_cpu(&vm, i);
	unsigned int n;

	for (n = 0; n < NR_KEYS; n++) {
		p->keys[n][0] = 0x1234567 + 2 * i + 16 * n;
		p->keys[n][1] = 0x89abcde + 2 * i + 16 * n;
	}
	p->modifier = 0x5eed + i;
	if (odd_init_vcpu(&vm, i) || guest_set(&vm, i, run))
		return -1;
	p->g.handler[GUEST_SYNC] = guest_address(no_pointer);
	return 0;
}

static int create_vm(void)
{
	vm.features = 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC;
	return guest_create_vcpus(&vm, ODD_NR_VCPUS, set_guest) || odd_start_all(&vm) ? -1 : 0;
}

/* Every vCPU has checked again, its keys from before the dump, and keys that were new. */
static bool checked_all(void)
{
	unsigned int i;

	for (i = 0; i < ODD_NR_VCPUS; i++) {
		const struct pauth_guest *p = guest_cpu(&vm, i);

		if (!guest_counts(&vm, &p->rounds, 2 * ROUNDS, "no progress: checks of the keys"))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);

	/* KVM has both kinds of keys, or none (kvm_has_full_ptr_auth()). */
	if (!guest_set_up(&vm, KVM_CAP_ARM_PTRAUTH_ADDRESS, "pointer authentication", create_vm))
		return 1;

	test_daemon();
	test_waitsig();

	return guest_verdict(&vm, checked_all());
}
