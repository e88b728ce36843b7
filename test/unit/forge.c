// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "forge.h"

static const struct {
	const char *name;
	const struct frame_kind *kind;
} files[] = {
	[FORGE_VM] = { "kvm-vm.img", &frame_vm },
	[FORGE_VCPU] = { "kvm-vcpu-1.img", &frame_vcpu },
	[FORGE_VCPU_EVENTS] = { "kvm-vcpu-events-1.img", &frame_vcpu_events },
	[FORGE_VGIC] = { "kvm-vgic-1.img", &frame_vgic },
	[FORGE_ITS] = { "kvm-its-1.img", &frame_its },
	[FORGE_THREAD] = { "kvm-thread-1.img", &frame_thread },
};

static void must(int ret)
{
	if (ret)
		abort();
}

static void write_index(struct forge *forge)
{
	must(image_write_index(forge->dir, &fixture_dump, (const struct vm_state *const *)&forge->vm,
			       &forge->seals, 1, NULL));
}

void forge_reset(struct forge *forge)
{
	must(fixture_write_parts(forge->dir, &fixture_dump, forge->vm, &forge->seals));
	write_index(forge);
}

void forge_init_of(struct forge *forge, struct vm_state *vm)
{
	forge->vm = vm;
	forge->dir = fixture_dir();
	forge_reset(forge);
}

void forge_init(struct forge *forge, size_t nr_vcpus, uint32_t nr_irqs)
{
	forge_init_of(forge, fixture_vm(nr_vcpus, nr_irqs));
}

void forge_fini(struct forge *forge)
{
	vm_state_free(forge->vm);
	fixture_close(forge->dir);
}

const char *forge_name(enum forge_file file)
{
	return files[file].name;
}

const struct frame_kind *forge_kind(enum forge_file file)
{
	return files[file].kind;
}

void forge_begin(struct frame_out *out, enum forge_file file)
{
	frame_begin(out, files[file].name, files[file].kind, &fixture_dump);
}

void forge_bytes(struct frame_out *out, const void *bytes, size_t size)
{
	if (out->cap < out->len + size) {
		out->cap = out->len + size;
		out->buf = realloc(out->buf, out->cap);
		if (!out->buf)
			abort();
	}
	if (size)
		memcpy(out->buf + out->len, bytes, size);
	out->len += size;
}

void forge_put(struct forge *forge, enum forge_file file, struct frame_out *out)
{
	struct image_seals *seals = &forge->seals;
	uint64_t *const seal[] = {
		[FORGE_VCPU] = &seals->vcpu,
		[FORGE_VCPU_EVENTS] = &seals->vcpu_events,
		[FORGE_VGIC] = &seals->vgic,
		[FORGE_ITS] = &seals->its,
		[FORGE_THREAD] = &seals->thread,
	};

	must(frame_finish(out, forge->dir, file == FORGE_VM ? NULL : seal[file]));
}

void forge_finish(struct forge *forge, enum forge_file file, struct frame_out *out)
{
	forge_put(forge, file, out);
	if (file != FORGE_VM)
		write_index(forge);
}
