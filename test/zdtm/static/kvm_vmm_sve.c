/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VMM that computes with SVE, and with SME where the kernel has it: vectors, predicates and FFR, ZA, and
 * vector lengths, which are a thread's own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <time.h>

#include "zdtmtst.h"
#include "hold.h"
#include "oddvm.h"

const char *test_doc = "SVE and SME registers and vector lengths of a VMM's threads\n";
const char *test_author = "The kvm-vgic authors";

#ifndef HWCAP2_SME
#define HWCAP2_SME (1 << 23)
#endif
#define SHORT_VL 16

static int vl = 256;
TEST_OPTION(vl, int, "bytes of a long vector (256)", 0);

struct worker {
	const char *name;
	unsigned int vl; /* bytes; the kernel takes the next one that the CPU has */
	bool streaming;
	struct hold_sve in, out;
};

static struct odd_vm vm;
static volatile bool stop;

static void fill(struct worker *w, unsigned int round)
{
	size_t i;

	for (i = 0; i < sizeof(w->in.z); i++)
		w->in.z[i] = i * 7 + round + w->vl;
	for (i = 0; i < sizeof(w->in.p); i++)
		w->in.p[i] = i * 5 + round;
	/* Only the first elements: FFR is so by definition. */
	memset(w->in.ffr, 0, sizeof(w->in.ffr));
	w->in.ffr[0] = 0x1f;
	for (i = 0; i < sizeof(w->in.za); i++)
		w->in.za[i] = i * 3 + i / 256 + round;
	memset(&w->out, 0, sizeof(w->out));
}

static void compare(const struct worker *w, const char *what, const uint8_t *in, const uint8_t *out, size_t size,
		    size_t each)
{
	char text[80];
	size_t i;

	for (i = 0; i < size; i++)
		if (in[i] != out[i]) {
			snprintf(text, sizeof(text), "%s: %s%zu, byte", w->name, what, i / each);
			odd_found(&vm, text, i % each);
			return;
		}
}

static void one_round(struct worker *w, unsigned int round)
{
	unsigned int len = w->streaming ? hold_svl() : (unsigned int)prctl(PR_SVE_GET_VL) & PR_SVE_VL_LEN_MASK;
	uint64_t deadline;

	if (len != w->vl)
		odd_found(&vm, "another vector length", len);
	fill(w, round);
	deadline = hold_counter() + hold_frequency() / 20;
	if (w->streaming)
		hold_sme(&w->in, &w->out, deadline);
	else
		hold_sve(&w->in, &w->out, deadline);
	compare(w, "z", w->in.z, w->out.z, 32 * len, len);
	compare(w, "p", w->in.p, w->out.p, 16 * len / 8, len / 8);
	if (w->streaming)
		compare(w, "row of ZA ", w->in.za, w->out.za, len * len, len);
	else
		compare(w, "FFR", w->in.ffr, w->out.ffr, len / 8, len / 8);
}

static void set_vl(struct worker *w)
{
	int len = w->streaming ? (int)hold_svl() : prctl(PR_SVE_SET_VL, w->vl);

	if (len < 0)
		odd_found(&vm, "PR_SVE_SET_VL", errno);
	w->vl = len & PR_SVE_VL_LEN_MASK;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int round;

	set_vl(w);
	for (round = 0; !stop; round++)
		one_round(w, round);
	return NULL;
}

#ifndef PR_SME_SET_VL
#define PR_SME_SET_VL 63
#define PR_SME_GET_VL 64
#endif

/* SVCR: whether the thread is in streaming mode, and has ZA on. */
static uint64_t svcr(void)
{
	uint64_t value;

	asm volatile("mrs %0, S3_3_C4_C2_2" : "=r"(value));
	return value;
}

/* A streaming vector length of its own, and no SME in use: neither is on afterwards. */
static void *do_not_stream(void *arg)
{
	int len = prctl(PR_SME_SET_VL, SHORT_VL);

	while (!stop) {
		struct timespec nap = { .tv_nsec = 1000000 };

		nanosleep(&nap, NULL);
		if (svcr())
			odd_found(&vm, "SME was turned on: SVCR", svcr());
		if (prctl(PR_SME_GET_VL) != len)
			odd_found(&vm, "another streaming vector length", prctl(PR_SME_GET_VL));
	}
	return NULL;
}

/* zdtm's own wait would leave the first thread in a call, where vectors are dead. */
static void *wait_for_end(void *arg)
{
	test_waitsig();
	stop = true;
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[] = {
		{ .name = "first thread" },
		{ .name = "thread with long vectors" },
		{ .name = "thread with short vectors", .vl = SHORT_VL },
		{ .name = "streaming thread", .streaming = true },
	};
	unsigned int nr = ARRAY_SIZE(workers), i;
	pthread_t threads[ARRAY_SIZE(workers)], end, quiet;
	bool has_sme;

	test_init(argc, argv);

	if (!(getauxval(AT_HWCAP) & HWCAP_SVE)) {
		skip("this host has no SVE");
		return 1;
	}
	has_sme = getauxval(AT_HWCAP2) & HWCAP2_SME;
	if (!has_sme)
		nr--;
	test_msg("SME: %s\n", nr == ARRAY_SIZE(workers) ? "yes" : "not on this host");
	workers[0].vl = workers[1].vl = vl;
	if (odd_setup(&vm)) {
		pr_perror("set-up of the VM: %s", vm.stats ? vm.stats->error : "");
		return 1;
	}
	for (i = 1; i < nr; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			return 1;

	if (has_sme && pthread_create(&quiet, NULL, do_not_stream, NULL))
		return 1;

	test_daemon();
	if (pthread_create(&end, NULL, wait_for_end, NULL))
		return 1;
	work(&workers[0]);

	for (i = 1; i < nr; i++)
		pthread_join(threads[i], NULL);
	pthread_join(end, NULL);
	if (has_sme)
		pthread_join(quiet, NULL);
	return odd_verdict(&vm);
}
