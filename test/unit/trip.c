// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "image/image.h"
#include "testlog.h"
#include "trip.h"

void trip_finish(struct trip *trip)
{
	vm_state_free(trip->vm);
	fake_free(trip->source);
	fake_free(trip->copy);
	memset(trip, 0, sizeof(*trip));
}

struct trip trip_dump(struct fake_kvm *source)
{
	struct trip trip = { .source = source };

	log_reset();
	trip.vm = fake_dump(source);
	trip.copy = fake_created(source, trip.vm);
	return trip;
}

/* CRIU's files, one for each object, and threads, one for each vCPU. */
static void add_files(struct vm_state *vm)
{
	vm->nr_threads = 1 + vm->nr_vcpus;
	vm->threads = calloc(vm->nr_threads, sizeof(*vm->threads));
	vm->nr_files = 2 + vm->nr_vcpus + vm->nr_itses;
	vm->files = calloc(vm->nr_files, sizeof(*vm->files));
	assert_non_null(vm->threads);
	assert_non_null(vm->files);
	for (size_t i = 0; i < vm->nr_threads; i++)
		vm->threads[i].vtid = FAKE_FIRST_THREAD + i;
	for (uint32_t i = 0; i < vm->nr_files; i++) {
		vm->files[i] = (struct kvm_file){ .id = i + 1, .kind = i ? KVM_FILE_VGIC : KVM_FILE_VM };
		if (i >= 2 + vm->nr_vcpus)
			vm->files[i] = (struct kvm_file){ .id = i + 1, .kind = KVM_FILE_ITS, .index = i - 2 - vm->nr_vcpus };
		else if (i >= 2)
			vm->files[i] = (struct kvm_file){ .id = i + 1, .kind = KVM_FILE_VCPU, .index = i - 2 };
	}
}

struct vm_state *trip_through_images(struct vm_state *vm)
{
	int dir = fixture_dir();
	struct vm_state **vms, *back;
	struct image_files files;
	size_t n;

	strcpy(vm->boot_id, "0123cdef-89ab-4cde-8f01-23456789abcd");
	vm->vpid = 17;
	add_files(vm);
	log_reset();
	if (fixture_write(dir, &fixture_dump, &vm, 1) || image_read_all(dir, &vms, &n, &files))
		fail_msg("%s", log_error());
	assert_int_equal(n, 1);
	back = vms[0];
	free(vms);
	fixture_close(dir);
	return back;
}

int trip_restore(struct trip *trip)
{
	log_reset();
	return plan_run(plan_restore, plan_nr_restore, trip->vm, &trip->copy->remote);
}

void trip_assert_same(const struct trip *trip)
{
	const char *diff = fake_diff(trip->source, trip->copy);

	if (diff)
		fail_msg("the copy differs in: %s", diff);
}

void trip_assert_comes_back(struct fake_kvm *source)
{
	struct trip trip = trip_dump(source);

	assert_int_equal(trip_restore(&trip), 0);
	assert_int_equal(log_errors(), 0);
	trip_assert_same(&trip);
	trip_finish(&trip);
}
