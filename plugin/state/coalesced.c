// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_REGISTER_COALESCED_MMIO: writes that are put into a ring instead of leaving KVM_RUN (api.rst 4.116).
 * The ring is the second page of each vCPU's mapping, and its bytes go with kvm_run.
 */
#include <errno.h>
#include <stdlib.h>

#include "remote/remote.h"
#include "state/vm.h"

int coalesced_apply(struct vm_state *vm, struct remote *remote)
{
	struct kvm_coalesced_mmio_zone *zones = calloc(vm->nr_zones + 1, sizeof(*zones));
	struct batch b = BATCH(remote, vm->id, "coalesced MMIO");
	int ret;

	if (!zones)
		return -ENOMEM;
	for (size_t i = 0; i < vm->nr_zones; i++) {
		zones[i].addr = vm->zones[i].addr;
		zones[i].size = vm->zones[i].size;
		zones[i].pio = vm->zones[i].pio;
		batch_ioctl(&b, vm->fd, KVM_REGISTER_COALESCED_MMIO, &zones[i], sizeof(zones[i]),
			    "KVM_REGISTER_COALESCED_MMIO")
			->detail = zones[i].addr;
	}
	ret = batch_run(&b);
	batch_fini(&b);
	free(zones);
	return ret;
}
