// SPDX-License-Identifier: GPL-2.0-only
/* CRIU's inventory: a restore asks the plugin only where it is named there. */
#include <endian.h>
#include <fcntl.h>
#include <unistd.h>

#include "criu_inventory.pb-c.h"
#include "inventory.h"

#define INVENTORY "inventory.img"
#define INVENTORY_MAGIC 0x58313116
#define INVENTORY_MAX 65536 /* bytes: CRIU's own is some hundred */

static bool names_us(const KvmVgic__CriuInventory *inventory)
{
	for (size_t i = 0; inventory->plugins && i < inventory->plugins->n_plugins; i++)
		if (!strcmp(inventory->plugins->plugins[i], "kvm_vgic_plugin"))
			return true;
	return false;
}

/* Its one entry; NULL where @data is none. */
static KvmVgic__CriuInventory *unpack(const uint8_t *data, size_t size)
{
	uint32_t head[2]; /* magic, size of the entry */

	if (size < sizeof(head))
		return NULL;
	memcpy(head, data, sizeof(head));
	if (le32toh(head[0]) != INVENTORY_MAGIC || le32toh(head[1]) > size - sizeof(head))
		return NULL;
	return kvm_vgic__criu_inventory__unpack(NULL, le32toh(head[1]), data + sizeof(head));
}

int inventory_check(int dirfd)
{
	int fd = openat(dirfd, INVENTORY, O_RDONLY | O_CLOEXEC);
	KvmVgic__CriuInventory *inventory;
	uint8_t data[INVENTORY_MAX];
	ssize_t size;
	bool named;

	if (fd < 0) {
		tool_error(INVENTORY ": %s: criu restores no images without it", strerror(errno));
		return -EINVAL;
	}
	size = read(fd, data, sizeof(data));
	close(fd);
	inventory = size < 0 ? NULL : unpack(data, size);
	if (!inventory) {
		tool_error(INVENTORY ": it is none of criu's");
		return -EINVAL;
	}
	named = names_us(inventory);
	kvm_vgic__criu_inventory__free_unpacked(inventory, NULL);
	if (named)
		return 0;
	tool_error(INVENTORY ": it does not name kvm_vgic_plugin: criu would leave the VMs out");
	return -EINVAL;
}
