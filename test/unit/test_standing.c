// SPDX-License-Identifier: GPL-2.0-only
/*
 * A criu was killed in a dump, and its VM stands: the next dump puts it back, and finds a VM as any other. What was left
 * is seen by /proc and by the pages, both made up here of fake VMMs; test_left has each moment at which criu is killed.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "probe/standing.h"
#include "put_back.h"
#include "remote/give.h"
#include "remote/visit.h"
#include "signals.h"
#include "state/kvm_run.h"
#include "testlog.h"

#define PID 42 /* of the first VMM */
#define MAX_VMMS 2

static const struct fake_shape shape = { .nr_vcpus = 4, .nr_irqs = 64 };

/* What there is. */
static struct {
	struct fake_kvm *kvm[MAX_VMMS], *twin[MAX_VMMS]; /* twins are left alone */
	struct discovered_vm vms[MAX_VMMS];
	struct discovered all;
	const char *maps; /* of the first, instead of its own */
	const char *link; /* what an fd is that was taken, instead of a vCPU */
	int posing;	  /* a mapping of the first, of which /proc tells the id of its first vCPU; -1 */
	unsigned int visits, held;
	int take_errno, visit_errno;
} host;

static struct fake_kvm *kvm_of(pid_t pid)
{
	assert_in_range(pid, PID, PID + MAX_VMMS - 1);
	return host.kvm[pid - PID];
}

/* ---- the kernel ---- */

int __wrap_fd_take(pid_t pid, int fd);
int __wrap_fd_take(pid_t pid, int fd)
{
	struct fake_kvm *kvm = kvm_of(pid);
	int ours = memfd_create("kvm_run", MFD_CLOEXEC);

	if (host.take_errno) {
		close(ours);
		return -host.take_errno;
	}
	assert_int_equal(kvm->fds[fd].kind, FAKE_VCPU);
	assert_int_equal(write(ours, kvm->vcpus[kvm->fds[fd].index].run, FAKE_PAGE), FAKE_PAGE);
	return ours;
}

ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size)
{
	const char *link = host.link ?: "anon_inode:kvm-vcpu:1000000";

	assert_int_equal(strncmp(path, "/proc/self/fd/", strlen("/proc/self/fd/")), 0);
	memcpy(to, link, strlen(link) < size ? strlen(link) : size);
	return strlen(link) < size ? strlen(link) : size;
}

static void print_map(FILE *to, const struct fake_kvm *kvm, const struct fake_map *map)
{
	fprintf(to, "%" PRIx64 "-%" PRIx64 " %c%c%c", map->start, map->start + map->size, map->prot & PROT_READ ? 'r' : '-',
		map->prot & PROT_WRITE ? 'w' : '-', map->prot & PROT_EXEC ? 'x' : '-');
	if (map->vcpu < 0)
		fprintf(to, "p 00000000 00:00 0 \n");
	else
		fprintf(to, "s %08" PRIx64 " 00:0f 1057      anon_inode:kvm-vcpu:%u\n", map->offset, kvm->vcpus[map->vcpu].id);
}

static char *print_maps(const struct fake_kvm *kvm)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	if (host.maps)
		fputs(host.maps, file);
	for (size_t m = 0; !host.maps && m < kvm->nr_maps; m++)
		print_map(file, kvm, &kvm->maps[m]);
	fclose(file);
	return text;
}

int proc_scan(pid_t pid, struct proc_scan *scan)
{
	const struct fake_kvm *kvm = kvm_of(pid);
	const char *at;
	char *text;
	int ret;

	*scan = (struct proc_scan){ .maps = calloc(FAKE_MAPS, sizeof(*scan->maps)) };
	assert_non_null(scan->maps);
	for (size_t m = 0; m < kvm->nr_maps; m++)
		if (kvm->maps[m].vcpu >= 0)
			scan->maps[scan->nr_maps++] = (struct proc_map){
				.start = kvm->maps[m].start,
				.size = kvm->maps[m].size,
				.is_shared = 1,
				.vcpu_id = kvm->vcpus[(int)m == host.posing ? 0 : kvm->maps[m].vcpu].id,
			};
	at = text = print_maps(kvm);
	ret = proc_areas_add(&scan->view.areas, &at);
	free(text);
	return ret;
}

void proc_scan_free(struct proc_scan *scan)
{
	free(scan->maps);
	proc_areas_free(&scan->view.areas);
}

/* Without ptrace. */
int visit(pid_t pid, struct task_space space, int (*run)(void *arg, struct remote *remote), void *arg)
{
	host.visits++;
	assert_in_range(space.room, 1, FAKE_ROOM_SIZE);
	kvm_of(pid)->remote.pages_of = NULL;
	return host.visit_errno ? -host.visit_errno : run(arg, &kvm_of(pid)->remote);
}

void signals_hold(void)
{
	assert_int_equal(host.visits, host.held); /* before anything is done */
	host.held++;
}

/* ---- VMs ---- */

/* As the discovery finds it: where pages have copies it knows nothing of them. */
static void discover_anew(void)
{
	for (size_t v = 0; v < host.all.nr_vms; v++) {
		vm_state_free(host.vms[v].vm);
		host.vms[v].vm = fake_discovered(host.kvm[v]);
	}
}

static void add_vmm(void)
{
	size_t v = host.all.nr_vms++;

	for (int twin = 0; twin < 2; twin++) {
		struct fake_kvm *kvm = fake_running(shape);

		for (size_t i = 0; i < kvm->nr_vcpus; i++)
			memset(kvm->vcpus[i].run + left_record_at(FAKE_PAGE), 0, sizeof(struct left_record));
		fake_map_add(kvm, 0xffff90000000, FAKE_PAGE, PROT_READ | PROT_WRITE, 0, 0);
		*(twin ? &host.twin[v] : &host.kvm[v]) = kvm;
	}
	host.vms[v] = (struct discovered_vm){ .pid = PID + v };
}

static int two_vmms(void **state)
{
	memset(&host, 0, sizeof(host));
	host.posing = -1;
	host.all.vms = host.vms;
	add_vmm();
	add_vmm();
	discover_anew();
	log_reset();
	return 0;
}

static int clear(void **state)
{
	for (size_t v = 0; v < host.all.nr_vms; v++) {
		vm_state_free(host.vms[v].vm);
		fake_free(host.kvm[v]);
		fake_free(host.twin[v]);
	}
	return 0;
}

/* By its own way back the task loses what was mapped for a moment. */
static void lose_room(struct fake_kvm *kvm)
{
	struct remote_call call = { .nr = SYS_mmap,
				    .arg = { FAKE_ROOM, FAKE_ROOM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED } };

	kvm->remote.ops->exec(&kvm->remote, &call, 1);
}

/* criu is killed with the pages of @nr vCPUs swapped, from @first on; or at @moment, a line of the record. */
static void kill_criu_at(size_t v, size_t first, size_t nr, const char *moment)
{
	struct vm_state *vm = fake_dump(host.kvm[v]);
	struct vcpu_state *all = vm->vcpus;

	vm->vcpus += first;
	vm->nr_vcpus = nr;
	host.kvm[v]->remote.copies_of = NULL; /* of so many */
	host.kvm[v]->fail_like = moment;
	host.kvm[v]->fail_times = 1;
	host.kvm[v]->fail_errno = ESRCH;
	assert_int_equal(kvm_run_swap_out(vm, &host.kvm[v]->remote, NULL), moment ? -ESRCH : 0);
	host.kvm[v]->fail_like = NULL;
	lose_room(host.kvm[v]);
	vm->vcpus = all;
	vm->nr_vcpus = shape.nr_vcpus;
	vm_state_free(vm);
	fake_forget(host.kvm[v]);
	discover_anew();
	log_reset();
}

static void kill_criu(size_t v, size_t first, size_t nr)
{
	kill_criu_at(v, first, nr, NULL);
}

static void assert_as_before(size_t v)
{
	const char *diff = fake_diff(host.twin[v], host.kvm[v]);

	if (diff)
		fail_msg("VM %zu differs in: %s", v + 1, diff);
}

static void assert_left_alone(size_t v)
{
	assert_int_equal(fake_count(host.kvm[v], "*"), 0);
}

/* All that a dump then reads of pages and their places is what it reads of the twin. */
static void assert_dumped_as(size_t v)
{
	struct vm_state *vm = fake_dump(host.kvm[v]), *twin = fake_dump(host.twin[v]);

	for (size_t i = 0; i < shape.nr_vcpus; i++) {
		assert_int_equal(vm->vcpus[i].pending, twin->vcpus[i].pending);
		assert_memory_equal(vm->vcpus[i].run, twin->vcpus[i].run, twin->vcpus[i].run_size);
		assert_int_equal(vm->vcpus[i].nr_maps, twin->vcpus[i].nr_maps);
		assert_true(vm->vcpus[i].nr_maps > 0);
	}
	assert_int_equal(vm->vcpus[0].pending, VCPU_PENDING_READ);
	vm_state_free(vm);
	vm_state_free(twin);
}

static void a_vm_that_stands_is_put_back_and_dumped(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	assert_int_equal(host.vms[0].vm->vcpus[0].nr_maps, 0);
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_int_equal(log_errors(), 0);
	assert_as_before(0);
	assert_dumped_as(0);
	assert_int_equal(host.held, 1);
}

/* All at once, one after the other. */
static void each_vm_that_stands_is_put_back(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	kill_criu(1, 1, 2);
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_as_before(0);
	assert_as_before(1);
	assert_dumped_as(1);
}

static void of_several_vms_those_that_run_are_left_alone(void **state)
{
	kill_criu(1, 0, shape.nr_vcpus);
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_left_alone(0);
	assert_as_before(1);
	assert_int_equal(host.visits, 1);
}

/* In the middle of a swap, or of a recovery: others have their pages, or never lost them. */
static void of_several_vcpus_those_that_run_are_left_alone(void **state)
{
	kill_criu(0, 2, 1);
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_int_equal(fake_count(host.kvm[0], "vcpu [013]: write page*"), 0);
	assert_int_equal(fake_count(host.kvm[0], "vcpu [013]: mmap * fixed *"), 0);
	assert_as_before(0);
	assert_dumped_as(0);
}

/* Marked, and not swapped yet: each is told by its vCPU's id. */
static void pages_that_are_still_in_their_places_are_put_back(void **state)
{
	kill_criu_at(0, 0, shape.nr_vcpus, "task: mremap *");
	assert_true(host.vms[0].vm->vcpus[3].nr_maps > 0);
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_as_before(0);
	assert_dumped_as(0);
}

static void where_none_stands_nothing_is_done(void **state)
{
	assert_int_equal(put_back_standing(&host.all), 0);
	assert_left_alone(0);
	assert_left_alone(1);
	assert_int_equal(host.visits, 0);
	assert_int_equal(host.held, 0); /* a signal ends criu as without the plugin */
}

static struct left_record *record_in(size_t v, size_t vcpu)
{
	return (struct left_record *)(host.kvm[v]->vcpus[vcpu].run + left_record_at(FAKE_PAGE));
}

/* Without a record; no session is opened for it, and those that a dump has left beside it stay too. */
static void what_a_restore_has_left_is_refused(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	record_in(0, 3)->magic = 0;
	assert_int_equal(put_back_standing(&host.all), -EBUSY);
	assert_int_equal(host.visits, 0);
	assert_left_alone(0);
	assert_true(log_has("left by a restore that did not come to its end: end the process, and restore again"));
	assert_string_equal(log_error(), "vm 1 of pid 42: a criu that was killed has left it standing, and it could not be put back");
}

static void a_record_of_what_is_not_there_is_refused(void **state)
{
	kill_criu(1, 0, shape.nr_vcpus);
	record_in(1, 2)->maps[0].start = 0x123000;
	assert_int_equal(put_back_standing(&host.all), -EBUSY);
	assert_int_equal(fake_count(host.kvm[1], "*write*"), 0);
	assert_int_equal(fake_count(host.kvm[1], "*mmap * fixed *"), 0);
	assert_true(log_has("neither its page nor a copy of it is where the dump found it mapped: end the process"));
	assert_string_equal(log_error(), "vm 2 of pid 43: a criu that was killed has left it standing, and it could not be put back");
}

/* What the VMM has mapped there since: ids are those of each VM. */
static void the_page_of_another_vms_vcpu_of_the_same_id_is_left_alone(void **state)
{
	struct fake_map *map;

	kill_criu_at(0, 0, shape.nr_vcpus, "task: mremap *");
	map = fake_map_at(host.kvm[0], record_in(0, 0)->maps[0].start, FAKE_PAGE);
	assert_non_null(map);
	host.posing = map - host.kvm[0]->maps;
	map->vcpu = 1;
	assert_int_equal(put_back_standing(&host.all), -EBUSY);
	assert_int_equal(fake_count(host.kvm[0], "*write*"), 0);
	assert_int_equal(fake_count(host.kvm[0], "*mmap * fixed *"), 0);
	assert_true(log_has("neither its page nor a copy of it is where the dump found it mapped: end the process"));
}

static void a_vcpu_whose_page_cannot_be_mapped_is_not_said_to_go_on(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	host.kvm[0]->fail_like = "vcpu 1: mmap fd * fixed *";
	host.kvm[0]->fail_times = 1;
	host.kvm[0]->fail_errno = ENOMEM;
	assert_int_equal(put_back_standing(&host.all), -ENOMEM);
	assert_false(log_has("goes on, but its mapping of kvm_run has lost flags"));
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_as_before(0);
}

/* It stands as before: the next dump, or criu-kvm recover, can have it. */
static void a_process_that_cannot_be_entered_fails_the_dump(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	host.visit_errno = ENOMEM;
	assert_int_equal(put_back_standing(&host.all), -ENOMEM);
	assert_left_alone(0);
	host.visit_errno = 0;
	assert_int_equal(put_back_standing(&host.all), 1);
	assert_as_before(0);
}

static void a_page_that_cannot_be_seen_fails_the_dump(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	host.take_errno = EPERM;
	assert_int_equal(put_back_standing(&host.all), -EPERM);
	assert_true(log_has("pid 42: fd 10: kvm_run cannot be looked at: Operation not permitted (errno 1)"));
	assert_int_equal(host.visits, 0);
}

/* criu-kvm recover looks at processes that run: what is there now may be a file of FUSE's, whose server never answers. */
static void what_is_no_vcpu_any_more_is_not_mapped(void **state)
{
	kill_criu(0, 0, shape.nr_vcpus);
	host.link = "/mnt/never-answers";
	assert_int_equal(put_back_standing(&host.all), -EBADF);
	assert_true(log_has("pid 42: fd 10: kvm_run cannot be looked at: Bad file descriptor (errno 9)"));
	assert_int_equal(host.visits, 0);
}

/* Where vCPU @i of @kvm has its page mapped first, by what the twin has. */
static struct kvm_run *seen(size_t v, int i)
{
	for (size_t m = 0; m < host.twin[v]->nr_maps; m++) {
		uint64_t start = host.twin[v]->maps[m].start;

		if (host.twin[v]->maps[m].vcpu == i && !host.twin[v]->maps[m].offset)
			return (void *)fake_map_byte(host.kvm[v], fake_map_at(host.kvm[v], start, 1), start);
	}
	fail();
	return NULL;
}

/* A thread that CRIU has let go on answers the exit of vCPU 0, and has vCPU 1 come back; then this dump is undone. */
static void what_was_written_since_the_swap_is_kept(void **state)
{
	struct vm_state *vm = fake_dump(host.kvm[0]);
	struct standing_places places;

	assert_int_equal(kvm_run_swap_out(vm, &host.kvm[0]->remote, NULL), 0);
	seen(0, 0)->mmio.data[3] = 0x5a;
	seen(0, 1)->immediate_exit = 1;
	((struct kvm_run *)host.twin[0]->vcpus[0].run)->mmio.data[3] = 0x5a;
	((struct kvm_run *)host.twin[0]->vcpus[1].run)->immediate_exit = 1;
	assert_int_equal(standing_places_read(PID, &places), 0);
	assert_int_equal(put_back_written(vm, &host.kvm[0]->remote, &places.view), 0);
	standing_places_free(&places);
	vm_state_free(vm);
	assert_int_equal(log_errors(), 0);
	assert_as_before(0);
	assert_dumped_as(0);
}

/* ---- where copies are ---- */

static enum left_place place_of(const char *maps, uint32_t prot)
{
	const struct vcpu_state vcpu = { .id = 1 };
	const struct vcpu_map map = { .start = 0x10000, .size = 0x2000, .prot = prot };
	struct standing_places places;
	enum left_place place;

	host.maps = maps;
	assert_int_equal(standing_places_read(PID, &places), 0);
	place = places.view.look(&places.view, &vcpu, &map);
	standing_places_free(&places);
	return place;
}

static void a_copy_is_private_and_anonymous(void **state)
{
	static const struct {
		const char *maps;
		enum left_place place;
	} cases[] = {
		{ "10000-12000 rw-p 00000000 00:00 0 \n", LEFT_COPY },
		{ "f000-13000 rw-p 00000000 00:00 0 \n", LEFT_COPY }, /* become one with its neighbours */
		{ "f000-11000 rw-p 00000000 00:00 0 \n11000-12000 rw-p 00000000 00:00 0                  [heap]\n", LEFT_COPY },
		{ "", LEFT_OTHER },
		{ "10000-11000 rw-p 00000000 00:00 0 \n", LEFT_OTHER },
		{ "10000-11000 rw-p 00000000 00:00 0 \n12000-13000 rw-p 00000000 00:00 0 \n", LEFT_OTHER },
		{ "11000-12000 rw-p 00000000 00:00 0 \n", LEFT_OTHER },
		{ "10000-12000 r--p 00000000 00:00 0 \n", LEFT_OTHER },
		{ "10000-11000 rw-p 00000000 00:00 0 \n11000-12000 rwxp 00000000 00:00 0 \n", LEFT_OTHER },
		{ "10000-12000 rw-s 00000000 00:01 0 \n", LEFT_OTHER },
		{ "10000-12000 rw-p 00000000 fd:00 1234                       /usr/bin/vmm\n", LEFT_OTHER },
		{ "10000-12000 rw-p 00000000 00:00 0                          [vvar]\n", LEFT_OTHER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (place_of(cases[i].maps, PROT_READ | PROT_WRITE) != cases[i].place)
			fail_msg("case %zu: %s", i, cases[i].maps);
	assert_int_equal(place_of("10000-12000 r--p 00000000 00:00 0 \n", PROT_READ), LEFT_COPY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_vm_that_stands_is_put_back_and_dumped, two_vmms, clear),
		cmocka_unit_test_setup_teardown(each_vm_that_stands_is_put_back, two_vmms, clear),
		cmocka_unit_test_setup_teardown(of_several_vms_those_that_run_are_left_alone, two_vmms, clear),
		cmocka_unit_test_setup_teardown(of_several_vcpus_those_that_run_are_left_alone, two_vmms, clear),
		cmocka_unit_test_setup_teardown(pages_that_are_still_in_their_places_are_put_back, two_vmms, clear),
		cmocka_unit_test_setup_teardown(where_none_stands_nothing_is_done, two_vmms, clear),
		cmocka_unit_test_setup_teardown(what_a_restore_has_left_is_refused, two_vmms, clear),
		cmocka_unit_test_setup_teardown(a_record_of_what_is_not_there_is_refused, two_vmms, clear),
		cmocka_unit_test_setup_teardown(the_page_of_another_vms_vcpu_of_the_same_id_is_left_alone, two_vmms, clear),
		cmocka_unit_test_setup_teardown(a_vcpu_whose_page_cannot_be_mapped_is_not_said_to_go_on, two_vmms, clear),
		cmocka_unit_test_setup_teardown(a_process_that_cannot_be_entered_fails_the_dump, two_vmms, clear),
		cmocka_unit_test_setup_teardown(a_page_that_cannot_be_seen_fails_the_dump, two_vmms, clear),
		cmocka_unit_test_setup_teardown(what_is_no_vcpu_any_more_is_not_mapped, two_vmms, clear),
		cmocka_unit_test_setup_teardown(what_was_written_since_the_swap_is_kept, two_vmms, clear),
		cmocka_unit_test_setup_teardown(a_copy_is_private_and_anonymous, two_vmms, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
