// SPDX-License-Identifier: GPL-2.0-only
/* CRIU's inventory: a restore asks the plugin only where it is named there. */
#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
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

/* What is in @fd: 0 or a negative errno, told on stderr. */
static int load(int fd, uint8_t data[INVENTORY_MAX], size_t *size)
{
	struct stat st;
	ssize_t got = -1;

	if (!fstat(fd, &st)) {
		if (!S_ISREG(st.st_mode)) {
			tool_error(INVENTORY ": not a regular file");
			return -EINVAL;
		}
		got = read(fd, data, INVENTORY_MAX);
	}
	if (got < 0) {
		tool_error(INVENTORY ": %s", strerror(errno));
		return -EIO;
	}
	*size = got;
	return 0;
}

static int check(const uint8_t *data, size_t size)
{
	KvmVgic__CriuInventory *inventory = unpack(data, size);
	bool named = inventory && names_us(inventory);

	if (!inventory)
		tool_error(INVENTORY ": it is none of criu's");
	else if (!named)
		tool_error(INVENTORY ": it does not name kvm_vgic_plugin: criu would leave the VMs out");
	kvm_vgic__criu_inventory__free_unpacked(inventory, NULL);
	return named ? 0 : -EINVAL;
}

/* O_NONBLOCK: a FIFO of that name is refused, not waited for. */
int inventory_check(int dirfd)
{
	int fd = openat(dirfd, INVENTORY, O_RDONLY | O_NONBLOCK | O_CLOEXEC), ret;
	uint8_t data[INVENTORY_MAX];
	size_t size;

	if (fd < 0 && errno == ENOENT) {
		tool_error(INVENTORY ": %s: criu restores no images without it", strerror(errno));
		return -EINVAL;
	}
	if (fd < 0) {
		tool_error(INVENTORY ": %s", strerror(errno));
		return -EIO;
	}
	ret = load(fd, data, &size) ?: check(data, size);
	close(fd);
	return ret;
}
