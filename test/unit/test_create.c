// SPDX-License-Identifier: GPL-2.0-only
/* The objects of a VM, made in another process: in which order, and where their fds are then. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "fixture.h"
#include "remote/remote.h"
#include "testlog.h"

#define FDS 2048
#define PARK 1000

/* A process that makes what it is told to: for each fd what it is. */
static struct {
	struct remote remote;
	char fds[FDS][24];
	char made[2048]; /* all of it, in order */
	const char *fails;
	int err;
} task;

static int64_t open_fd(int from, const char *what)
{
	int fd = from;

	if (task.fails && !strcmp(what, task.fails))
		return -task.err;
	while (task.fds[fd][0])
		fd++;
	snprintf(task.fds[fd], sizeof(task.fds[fd]), "%s", what);
	return fd;
}

static int64_t make(int64_t from, const char *what)
{
	strcat(task.made, what);
	strcat(task.made, ";");
	return open_fd(from, what);
}

static int64_t do_ioctl(int fd, unsigned long req, uint64_t arg, void *data)
{
	struct kvm_create_device *dev = data;
	char what[24];
	int64_t got;

	if (req == KVM_CREATE_VM) {
		assert_string_equal(task.fds[fd], "/dev/kvm");
		snprintf(what, sizeof(what), "vm %d", (int)arg);
		return make(3, what);
	}
	assert_int_equal(strncmp(task.fds[fd], "vm ", 3), 0);
	if (req == KVM_ENABLE_CAP) {
		snprintf(what, sizeof(what), "cap %u;", ((struct kvm_enable_cap *)data)->cap);
		strcat(task.made, what);
		return 0;
	}
	if (req == KVM_CREATE_VCPU)
		snprintf(what, sizeof(what), "vcpu %d", (int)arg);
	else if (req == KVM_CREATE_DEVICE)
		snprintf(what, sizeof(what), "device %u", dev->type);
	else
		return -ENOTTY;
	got = make(3, what);
	if (got < 0 || req == KVM_CREATE_VCPU)
		return got;
	dev->fd = got;
	return 0;
}

static int64_t do_call(const struct remote_call *call)
{
	int fd = call->arg[0];

	switch (call->nr) {
	case SYS_openat:
		return open_fd(3, call->data);
	case SYS_ioctl:
		return do_ioctl(fd, call->arg[1], call->arg[2], call->data);
	case SYS_fcntl:
		assert_int_equal(call->arg[1], F_DUPFD_CLOEXEC);
		return open_fd(call->arg[2], task.fds[fd]);
	case SYS_close:
		assert_true(task.fds[fd][0]);
		task.fds[fd][0] = 0;
		return 0;
	}
	return -ENOSYS;
}

static int exec(struct remote *remote, struct remote_call *calls, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		calls[i].result = do_call(&calls[i]);
		calls[i].done = true;
		if (calls[i].result < 0)
			break;
	}
	return 0;
}

static const struct remote_ops ops = { .exec = exec };

/* KVM_CAP_ARM_WRITABLE_IMP_ID_REGS, which KVM takes before there are vCPUs; two of these, whose ids are 4 and 2, and three ITSes. */
static struct vm_state *set_up(void)
{
	memset(&task, 0, sizeof(task));
	task.remote.ops = &ops;
	log_reset();
	return fixture_vm(2, 64);
}

static size_t nr_open(void)
{
	size_t nr = 0;

	for (size_t i = 0; i < FDS; i++)
		nr += task.fds[i][0] != 0;
	return nr;
}

static void assert_made(const struct vm_state *vm)
{
	char all[256];

	snprintf(all, sizeof(all), "vm %u;cap 239;device 7;vcpu 4;vcpu 2;device 8;device 8;device 8;", vm->ipa_bits);
	assert_string_equal(task.made, all);
	assert_int_equal(nr_open(), vm_nr_parked(vm));
	assert_int_equal(strncmp(task.fds[vm->fd], "vm", 2), 0);
	assert_string_equal(task.fds[vm->vgic->fd], "device 7");
	assert_string_equal(task.fds[vm->vcpus[0].fd], "vcpu 4");
	assert_string_equal(task.fds[vm->vcpus[1].fd], "vcpu 2");
	for (size_t i = 0; i < vm->nr_itses; i++)
		assert_string_equal(task.fds[vm->itses[i].fd], "device 8");
	assert_int_equal(log_errors(), 0);
}

/* By a process itself, which is to have other files at low numbers yet. */
static void what_is_parked_is_where_it_is_looked_for(void **state)
{
	struct vm_state *vm = set_up(), *seen = fixture_vm(2, 64);

	assert_int_equal(vm_create(vm, &task.remote, true), 0);
	assert_made(vm);
	vm_use_parked(seen);
	assert_int_equal(seen->fd, vm->fd);
	assert_int_equal(seen->vgic->fd, vm->vgic->fd);
	assert_int_equal(seen->vcpus[1].fd, vm->vcpus[1].fd);
	assert_int_equal(seen->itses[2].fd, vm->itses[2].fd);
	assert_int_equal(vm->fd, PARK);
	vm_state_free(seen);
	vm_state_free(vm);
}

/* In a process that has all its files, and none is to be in the way. */
static void what_is_not_parked_is_where_there_is_room(void **state)
{
	struct vm_state *vm = set_up();

	open_fd(4, "its own");
	assert_int_equal(vm_create(vm, &task.remote, false), 0);
	task.fds[4][0] = 0;
	assert_made(vm);
	assert_true(vm->fd < PARK && vm->itses[2].fd < PARK);
	vm_state_free(vm);
}

/* The numbers in between two fds are as good, and one that is taken is not. */
static void a_number_that_is_taken_is_an_error(void **state)
{
	struct vm_state *vm = set_up();

	open_fd(PARK + 3, "its own");
	assert_int_equal(vm_create(vm, &task.remote, true), -EBUSY);
	assert_string_equal(log_error(), "vm 1: fd 1003 is not free for the time of the restore");
	vm_state_free(vm);
}

static void what_cannot_be_made_is_named(void **state)
{
	static const struct {
		const char *what;
		int err;
		const char *says;
	} rows[] = {
		{ "/dev/kvm", EACCES, "vm 1: give the restored process access to /dev/kvm, in its own mount namespace" },
		{ "vcpu 2", EEXIST, "vm 1: creation: KVM_CREATE_VCPU: File exists (errno 17)" },
		{ "device 7", ENODEV, "vm 1: this host's KVM has no GICv3 for guests: restore on one that has" },
		{ "device 8", ENOMEM, "vm 1: creation: KVM_CREATE_DEVICE, ITS: Cannot allocate memory (errno 12)" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vm_state *vm = set_up();

		task.fails = rows[i].what;
		task.err = rows[i].err;
		assert_int_equal(vm_create(vm, &task.remote, true), -rows[i].err);
		assert_true(log_has(rows[i].says));
		vm_state_free(vm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_parked_is_where_it_is_looked_for),
		cmocka_unit_test(what_is_not_parked_is_where_there_is_room),
		cmocka_unit_test(a_number_that_is_taken_is_an_error),
		cmocka_unit_test(what_cannot_be_made_is_named),
	};

	return cmocka_run_group_tests_name("objects of a VM", tests, NULL, NULL);
}
