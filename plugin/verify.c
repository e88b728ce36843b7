// SPDX-License-Identifier: GPL-2.0-only
/* See verify.h. */
#include "setting.h"
#include "state/host.h"
#include "verify.h"

int verify_images(int dirfd, struct vm_state ***vms, size_t *n, struct image_files *files)
{
	return setting_check() ?: image_read_all(dirfd, vms, n, files);
}

int verify_host(struct vm_state *const *vms, size_t n)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < n; i++)
		ret = host_check(vms[i]);
	return ret;
}
