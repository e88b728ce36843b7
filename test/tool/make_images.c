// SPDX-License-Identifier: GPL-2.0-only
/* Sets of images of the unit tests' fixture, for tests of criu-kvm: make_images FOLDER makes a folder for each. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static const char *folder;

/* As CRIU has it: magic, size, and of inventory_entry img_version 2 and the plugins. */
static void write_inventory(int dir)
{
	static const uint8_t inventory[] = "\x16\x31\x31\x58" "\x15\0\0\0" "\x08\x02" "\x62\x11" "\x62\x0f" "kvm_vgic_plugin";
	int fd = openat(dir, "inventory.img", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, inventory, sizeof(inventory) - 1) != sizeof(inventory) - 1 || close(fd))
		err(1, "inventory.img");
}

static void write_set(const char *name, struct vm_state **vms, size_t n)
{
	const struct image_files files = { .list = (struct kvm_file[]){ { .id = 0x777, .flags = O_RDWR } }, .nr = 1 };
	char path[4096];
	int dir;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (mkdir(path, 0700))
		err(1, "%s", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fixture_write_with(dir, &fixture_dump, vms, n, &files))
		errx(1, "%s: not written", path);
	write_inventory(dir);
	close(dir);
}

static void write_vm(const char *name, struct vm_state *vm)
{
	write_set(name, &vm, 1);
}

static uint64_t *word(const struct vgic_reg *table, size_t nr_regs, const struct vgic_values *values, const char *name)
{
	return vgic_values_of(table, nr_regs, values, name)->v;
}

/* What test_tool.py's Diff expects, and nothing else. */
static void change(struct vm_state *vm)
{
	struct vgic_v3_state *gic = vm->vgic;
	uint64_t pc = 0x40001000;

	for (size_t i = 0; i < vm->vcpus[1].nr_regs; i++)
		if (vm->vcpus[1].regs[i].id == ARM64_CORE_PC)
			memcpy(vm->vcpus[1].regs[i].value, &pc, sizeof(pc));
	*word(vgic_v3_dist_regs, vgic_v3_nr_dist_regs, gic->dist, "GICD_ISPENDR") ^= 1 << (40 - VGIC_NR_PRIVATE);
	*word(vgic_v3_redist_regs, vgic_v3_nr_redist_regs, gic->redist[2], "GICR_ISENABLER0") ^= 1 << 27;
	vm->itses[0].tables.ites[0] += 1 << 16; /* its pINTID */
	vm->nr_irqfds--;
	vm->slots[0].log.runs[0]++; /* as many pages, but others */
	vm->slots[0].log.runs[2]--;
	vm->vcpus[2].run[vm->page_size]++;
	vm->slots[2].hva += vm->page_size;
}

/* A path that a terminal, a graph or JSON could take for something else: escapes, C1 controls, quotes. */
static void write_hostile(struct vm_state *vm)
{
	free(vm->backings[0].path);
	vm->backings[0].path = strdup("/a\xc2\x9b" "31m\x9b" "2J\x85\"];\\x1b}\xe2\x80\xae" "b");
	write_vm("hostile", vm);
}

static void write_v3(void)
{
	struct vm_state *vm = fixture_vm(5, 96);

	write_vm("v3", vm);
	change(vm);
	write_vm("v3-later", vm);
	write_hostile(vm);
	vm_state_free(vm);
}

/* As in a guest most of whose LPIs were never used: a graph of 16384 is none to be drawn. */
static void blank_most(struct vgic_v5_ist *ist)
{
	memset(&ist->iste[40], 0, (ist->nr - 40) * sizeof(*ist->iste));
}

static void write_others(void)
{
	struct vm_state *two[] = { fixture_vm_id(1, 1, 64), fixture_vm_id(2, 3, 128) };
	struct vm_state *v2 = fixture_vm_v2(3, 96), *v5 = fixture_vm_v5(4, 64, 14);

	blank_most(&v5->vgic_v5->lpi);
	write_set("two", two, 2);
	write_vm("v2", v2);
	write_vm("v5", v5);
	write_set("none", NULL, 0);
	vm_state_free(two[0]);
	vm_state_free(two[1]);
	vm_state_free(v2);
	vm_state_free(v5);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: make_images FOLDER");
	folder = argv[1];
	write_v3();
	write_others();
	return 0;
}
