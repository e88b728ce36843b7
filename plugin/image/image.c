// SPDX-License-Identifier: GPL-2.0-only
/* A dump's set of files. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "image/check.h"
#include "image/entry.h"
#include "remote/remote.h"

int image_new_dump_id(struct image_dump_id *dump)
{
	if (getrandom(dump->bytes, sizeof(dump->bytes), 0) != sizeof(dump->bytes)) {
		pr_err("no random bytes for a dump id: %s\n", strerror(errno));
		return -EIO;
	}
	return 0;
}

void *entry_room(struct frame_out *out, size_t n, size_t size)
{
	void *room = calloc(n + 1, size);

	if (!room) {
		if (!out->err)
			pr_err("%s: no memory for %zu times %zu bytes\n", out->file, n, size);
		out->err = -ENOMEM;
	}
	return room;
}

void *entry_list(struct frame_out *out, size_t n, size_t size)
{
	char **list = entry_room(out, n, sizeof(*list) + size), *messages = (char *)(list + n + 1);

	for (size_t i = 0; list && i < n; i++)
		list[i] = messages + i * size;
	return list;
}

int entry_alloc(const struct frame_in *in, void *array, size_t n, size_t size)
{
	void *block = NULL;

	if (n) {
		block = calloc(n, size);
		if (!block) {
			pr_err("%s: no memory for %zu times %zu bytes\n", in->file, n, size);
			return -ENOMEM;
		}
	}
	memcpy(array, &block, sizeof(block));
	return 0;
}

/* Writing */

static void vcpus_pack(struct frame_out *out, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vcpu_pack(out, &vm->vcpus[i], i ? &vm->vcpus[i - 1] : NULL);
}

static void all_vcpu_events_pack(struct frame_out *out, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_vcpus; i++)
		vcpu_events_pack(out, &vm->vcpus[i]);
}

static void threads_pack(struct frame_out *out, const struct vm_state *vm)
{
	for (size_t i = 0; i < vm->nr_threads; i++)
		thread_pack(out, &vm->threads[i]);
}

/* The files of a VM; first those that need nothing of what vCPUs hold. */
static const struct part {
	const char *pattern;
	const struct frame_kind *kind;
	void (*pack)(struct frame_out *out, const struct vm_state *vm);
	size_t seal; /* its place in struct image_seals */
} parts[] = {
	{ IMAGE_VGIC, &frame_vgic, vgic_pack, offsetof(struct image_seals, vgic) },
	{ IMAGE_ITS, &frame_its, its_pack, offsetof(struct image_seals, its) },
	{ IMAGE_THREAD, &frame_thread, threads_pack, offsetof(struct image_seals, thread) },
	{ IMAGE_VCPU, &frame_vcpu, vcpus_pack, offsetof(struct image_seals, vcpu) },
	{ IMAGE_VCPU_EVENTS, &frame_vcpu_events, all_vcpu_events_pack, offsetof(struct image_seals, vcpu_events) },
};
#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))
#define NR_EARLY 3

static void part_name(char file[FRAME_NAME_MAX], size_t i, const struct vm_state *vm)
{
	snprintf(file, FRAME_NAME_MAX, parts[i].pattern, vm->id);
}

static int write_parts(size_t from, size_t to, const struct image_target *target, const struct vm_state *vm)
{
	int ret = 0;

	for (size_t i = from; i < to && !ret; i++) {
		uint64_t *seal = (uint64_t *)((char *)target->seals + parts[i].seal);
		char file[FRAME_NAME_MAX];
		struct frame_out out;

		part_name(file, i, vm);
		frame_begin(&out, file, parts[i].kind, target->dump);
		parts[i].pack(&out, vm);
		ret = frame_write(&out, target->dirfd, seal);
	}
	return ret;
}

void image_drop_vm_parts(const struct image_target *target, const struct vm_state *vm)
{
	for (size_t i = 0; i < NR_PARTS; i++) {
		char file[FRAME_NAME_MAX];

		part_name(file, i, vm);
		frame_forget(file, target->dirfd);
	}
}

int image_write_early(struct vm_state *vm, struct remote *remote)
{
	int ret;

	if (!vm->images || remote->queue.nr)
		return 0; /* not all of it has been read: it is written with all else, for no round trip is made for it alone */
	ret = check_vgic(vm) ?: check_itses(vm);
	ret = ret ?: write_parts(0, NR_EARLY, vm->images, vm);
	vm->early_written = !ret;
	return ret;
}

int image_write_vm_parts(const struct image_target *target, const struct vm_state *vm)
{
	int ret = write_parts(vm->early_written ? NR_EARLY : 0, NR_PARTS, target, vm);

	for (size_t i = 0; i < NR_PARTS && !ret; i++) {
		char file[FRAME_NAME_MAX];

		part_name(file, i, vm);
		ret = frame_commit(file, target->dirfd);
	}
	return ret;
}

int image_write_index(int dirfd, const struct image_dump_id *dump, const struct vm_state *const *vms,
		      const struct image_seals *seals, size_t n, const struct image_files *files)
{
	struct frame_out out;

	frame_begin(&out, IMAGE_VM, &frame_vm, dump);
	for (size_t i = 0; i < n; i++)
		vm_pack(&out, vms[i], &seals[i]);
	for (size_t i = 0; files && i < files->nr; i++)
		kvm_file_pack(&out, &files->list[i]);
	return frame_finish(&out, dirfd, NULL);
}

/* Reading */

/* What kvm-vm.img says: filled as its entries are read. */
struct index {
	struct image_dump_id dump;
	struct vm_state *vms[IMAGE_MAX_VMS];
	struct image_seals seals[IMAGE_MAX_VMS];
	size_t n;
	struct image_files files;
};

static int read_index_vm(const struct frame_in *in, const KvmVgic__VmEntry *entry, struct index *index)
{
	int ret;

	if (index->n == IMAGE_MAX_VMS) {
		pr_err("%s: more than %u VMs\n", in->file, IMAGE_MAX_VMS);
		return -EINVAL;
	}
	ret = entry_alloc(in, &index->vms[index->n], 1, sizeof(*index->vms[0]));
	if (ret)
		return ret;
	index->n++;
	return vm_unpack(in, entry, index->vms[index->n - 1], &index->seals[index->n - 1]);
}

static int read_index_file(const struct frame_in *in, const KvmVgic__KvmFileEntry *entry,
			   struct image_files *files)
{
	struct kvm_file *more;

	if (files->nr == VM_MAX_FILES) {
		pr_err("%s: more than %u files of no VM\n", in->file, VM_MAX_FILES);
		return -EINVAL;
	}
	more = reallocarray(files->list, files->nr + 1, sizeof(*more));
	if (!more) {
		pr_err("%s: no memory for %zu files\n", in->file, files->nr + 1);
		return -ENOMEM;
	}
	files->list = more;
	kvm_file_unpack(entry, &more[files->nr++]);
	return 0;
}

static int read_index_entry(const struct frame_in *in, ProtobufCMessage *msg, struct index *index)
{
	if (msg->descriptor == frame_vm.other)
		return read_index_file(in, (KvmVgic__KvmFileEntry *)msg, &index->files);
	return read_index_vm(in, (KvmVgic__VmEntry *)msg, index);
}

static int read_index(int dirfd, struct index *index)
{
	ProtobufCMessage *msg;
	struct frame_in in;
	int ret;

	ret = frame_open(&in, dirfd, IMAGE_VM, &frame_vm);
	if (ret)
		return ret;
	index->dump = in.dump;
	while ((ret = frame_next(&in, &msg)) > 0) {
		ret = read_index_entry(&in, msg, index);
		frame_free(msg);
		if (ret)
			break;
	}
	if (!ret && !index->n && !index->files.nr) {
		pr_err("%s: no VM in it\n", in.file);
		ret = -EINVAL;
	}
	frame_close(&in);
	return ret;
}

/* Opens a file that kvm-vm.img asks for: it must be the one of the same dump. */
static int open_part(struct frame_in *in, int dirfd, const char *pattern, const struct frame_kind *kind,
		     const struct image_dump_id *dump, uint32_t id, uint64_t seal)
{
	char file[FRAME_NAME_MAX];
	int ret;

	snprintf(file, sizeof(file), pattern, id);
	ret = frame_open(in, dirfd, file, kind);
	if (ret)
		return ret == -ENOENT ? -EINVAL : ret;
	if (memcmp(&in->dump, dump, sizeof(*dump))) {
		pr_err("%s: of another dump than %s\n", in->file, IMAGE_VM);
		ret = -EINVAL;
	} else if (in->seal != seal) {
		pr_err("%s: not the one that was dumped: %s has another seal for it\n", in->file, IMAGE_VM);
		ret = -EINVAL;
	}
	if (ret)
		frame_close(in);
	return ret;
}

static int read_vcpu(const struct frame_in *in, const KvmVgic__VcpuEntry *entry, struct vm_state *vm)
{
	struct vcpu_state *vcpu;

	if (vm->nr_vcpus == VM_MAX_VCPUS) {
		pr_err("%s: more than %u vCPUs\n", in->file, VM_MAX_VCPUS);
		return -EINVAL;
	}
	vcpu = &vm->vcpus[vm->nr_vcpus++];
	return vcpu_unpack(in, entry, vcpu, vcpu == vm->vcpus ? NULL : vcpu - 1);
}

static int read_vcpus(struct frame_in *in, struct vm_state *vm)
{
	ProtobufCMessage *msg;
	int ret;

	ret = entry_alloc(in, &vm->vcpus, VM_MAX_VCPUS, sizeof(*vm->vcpus));
	if (ret)
		return ret;
	while ((ret = frame_next(in, &msg)) > 0) {
		ret = read_vcpu(in, (KvmVgic__VcpuEntry *)msg, vm);
		frame_free(msg);
		if (ret)
			break;
	}
	return ret;
}

static int read_vcpu_events(struct frame_in *in, struct vm_state *vm)
{
	ProtobufCMessage *msg;
	size_t n = 0;
	int ret;

	while ((ret = frame_next(in, &msg)) > 0) {
		if (n < vm->nr_vcpus)
			ret = vcpu_events_unpack(in, (KvmVgic__VcpuEventsEntry *)msg, &vm->vcpus[n]);
		n++;
		frame_free(msg);
		if (ret < 0)
			return ret;
	}
	if (!ret && n != vm->nr_vcpus) {
		pr_err("%s: %zu vCPUs, " IMAGE_VCPU " has %zu\n", in->file, n, vm->id, vm->nr_vcpus);
		ret = -EINVAL;
	}
	return ret;
}

static int read_vgic(struct frame_in *in, struct vm_state *vm)
{
	ProtobufCMessage *msg;
	int ret;

	while ((ret = frame_next(in, &msg)) > 0) {
		if (vm->vgic_v2 || vm->vgic || vm->vgic_v5) {
			pr_err("%s: more than one GIC\n", in->file);
			ret = -EINVAL;
		} else {
			ret = vgic_unpack(in, (KvmVgic__VgicEntry *)msg, vm);
		}
		frame_free(msg);
		if (ret)
			break;
	}
	return ret;
}

static int read_itses(struct frame_in *in, struct vm_state *vm)
{
	ProtobufCMessage *msg;
	int ret;

	while ((ret = frame_next(in, &msg)) > 0) {
		ret = its_unpack(in, (KvmVgic__ItsEntry *)msg, vm);
		frame_free(msg);
		if (ret)
			break;
	}
	return ret;
}

static int read_thread(const struct frame_in *in, const KvmVgic__ThreadEntry *entry, struct vm_state *vm)
{
	struct thread_state *more;

	if (vm->nr_threads == THREAD_MAX) {
		pr_err("%s: more than %u threads\n", in->file, THREAD_MAX);
		return -EINVAL;
	}
	more = reallocarray(vm->threads, vm->nr_threads + 1, sizeof(*more));
	if (!more) {
		pr_err("%s: no memory for %zu threads\n", in->file, vm->nr_threads + 1);
		return -ENOMEM;
	}
	vm->threads = more;
	more[vm->nr_threads] = (struct thread_state){ 0 };
	return thread_unpack(in, entry, &more[vm->nr_threads++]);
}

static int read_threads(struct frame_in *in, struct vm_state *vm)
{
	ProtobufCMessage *msg;
	int ret;

	while ((ret = frame_next(in, &msg)) > 0) {
		ret = read_thread(in, (KvmVgic__ThreadEntry *)msg, vm);
		frame_free(msg);
		if (ret)
			break;
	}
	return ret;
}

static int read_parts(int dirfd, const struct image_dump_id *dump, struct vm_state *vm,
		      const struct image_seals *seals)
{
	const struct {
		const char *pattern;
		const struct frame_kind *kind;
		uint64_t seal;
		int (*read)(struct frame_in *in, struct vm_state *vm);
	} order[] = {
		{ IMAGE_VCPU, &frame_vcpu, seals->vcpu, read_vcpus },
		{ IMAGE_VCPU_EVENTS, &frame_vcpu_events, seals->vcpu_events, read_vcpu_events },
		{ IMAGE_VGIC, &frame_vgic, seals->vgic, read_vgic },
		{ IMAGE_ITS, &frame_its, seals->its, read_itses },
		{ IMAGE_THREAD, &frame_thread, seals->thread, read_threads },
	};
	int ret = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !ret; i++) {
		struct frame_in in;

		ret = open_part(&in, dirfd, order[i].pattern, order[i].kind, dump, vm->id, order[i].seal);
		if (ret)
			break;
		ret = order[i].read(&in, vm);
		frame_close(&in);
	}
	return ret;
}

static int check(const struct vm_state *const *vms, size_t n, const struct image_files *files, bool complete)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++)
		ret = check_vm(vms[i], complete);
	return ret ? ret : check_shared(vms, n, files);
}

int image_check(const struct vm_state *const *vms, size_t n)
{
	const struct image_files none = { 0 };

	return check(vms, n, &none, false);
}

int image_read_all(int dirfd, struct vm_state ***vms, size_t *n, struct image_files *files)
{
	struct index index = { 0 };
	int ret;

	ret = read_index(dirfd, &index);
	for (size_t i = 0; i < index.n && !ret; i++)
		ret = read_parts(dirfd, &index.dump, index.vms[i], &index.seals[i]) ?:
		      check_nr_regs((const struct vm_state *const *)index.vms, i + 1);
	if (!ret)
		ret = check((const struct vm_state *const *)index.vms, index.n, &index.files, true);
	if (!ret) {
		*vms = malloc((index.n + 1) * sizeof(**vms));
		if (*vms) {
			memcpy(*vms, index.vms, index.n * sizeof(**vms));
			*n = index.n;
			*files = index.files;
			return 0;
		}
		pr_err("%s: no memory for %zu VMs\n", IMAGE_VM, index.n);
		ret = -ENOMEM;
	}
	for (size_t i = 0; i < index.n; i++)
		vm_state_free(index.vms[i]);
	free(index.files.list);
	return ret;
}

void image_free_all(struct vm_state **vms, size_t n, struct image_files *files)
{
	for (size_t i = 0; i < n; i++)
		vm_state_free(vms[i]);
	free(vms);
	free(files->list);
	*files = (struct image_files){ 0 };
}
