// SPDX-License-Identifier: GPL-2.0-only
/*
 * See put_back.h. Without it a killed criu would cost a VM each later dump, until somebody has run criu-kvm recover. Nothing
 * but the pages is taken from the earlier dump: all of the VM is then looked at anew.
 */
#include <stdlib.h>

#include "log.h"
#include "probe/standing.h"
#include "put_back.h"
#include "remote/visit.h"
#include "signals.h"
#include "state/kvm_run.h"

struct standing_vm {
	struct vm_state vm; /* its vCPUs alone, with nothing of their pages */
	struct standing_places places;
	size_t nr; /* vCPUs that were put back */
};

static int copy_vcpus(struct standing_vm *s, const struct vm_state *found)
{
	s->vm.vcpus = calloc(found->nr_vcpus, sizeof(*s->vm.vcpus));
	if (!s->vm.vcpus)
		return -ENOMEM;
	s->vm.nr_vcpus = found->nr_vcpus;
	for (size_t i = 0; i < found->nr_vcpus; i++)
		s->vm.vcpus[i] = (struct vcpu_state){
			.idx = found->vcpus[i].idx,
			.id = found->vcpus[i].id,
			.fd = found->vcpus[i].fd,
			.run_size = 2 * found->page_size,
		};
	return 0;
}

static void free_vcpus(struct standing_vm *s)
{
	for (size_t i = 0; i < s->vm.nr_vcpus; i++)
		free(s->vm.vcpus[i].run);
	free(s->vm.vcpus);
}

static int put_vcpus_back(void *arg, struct remote *remote)
{
	struct standing_vm *s = arg;

	return left_put_back(&s->vm, remote, &s->places.view, &s->nr);
}

static int put_vm_back(pid_t pid, const struct vm_state *found, uint32_t id)
{
	const struct task_space space = { .scratch = TASK_SCRATCH_SMALL, .room = kvm_run_room(found) };
	struct standing_vm s = { .vm = { .id = id, .page_size = found->page_size } };
	int ret = standing_check(pid, found) ?: copy_vcpus(&s, found);

	ret = ret ?: standing_places_read(pid, &s.places);
	ret = ret ?: visit(pid, space, put_vcpus_back, &s);
	if (ret)
		pr_err("vm %u of pid %d: a criu that was killed has left it standing, and it could not be put back\n", id, pid);
	else
		pr_warn("vm %u of pid %d: kvm_run of %zu vCPUs is back in its place: a criu that was killed had left them "
			"standing: they run again, whatever becomes of this dump\n",
			id, pid, s.nr);
	standing_places_free(&s.places);
	free_vcpus(&s);
	return ret;
}

/* Whether a vCPU of @vm stands, by what the probe has seen of its page. */
static bool stands(const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i].marked)
			return true;
	return false;
}

int put_back_written(const struct vm_state *vm, struct remote *remote, const struct left_view *view)
{
	struct standing_vm s = { .vm = { .id = vm->id, .page_size = vm->page_size } };
	int ret = copy_vcpus(&s, vm) ?: left_put_back(&s.vm, remote, view, &s.nr);

	free_vcpus(&s);
	return ret;
}

int put_back_standing(const struct discovered *all)
{
	int found = 0;

	for (size_t v = 0; v < all->nr_vms; v++) {
		const struct discovered_vm *vm = &all->vms[v];
		int ret;

		if (!stands(vm->vm))
			continue;
		found = 1;
		signals_hold();
		ret = put_vm_back(vm->pid, vm->vm, v + 1);
		if (ret)
			return ret;
	}
	return found;
}
