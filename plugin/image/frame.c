// SPDX-License-Identifier: GPL-2.0-only
/*
 * {common magic, magic of the kind} {u32 size, message}*, all little-endian, as
 * CRIU frames its images. The first entry is a header, the last a seal.
 *
 * The seal is found by its place, the last 13 bytes, and compared before
 * anything is parsed: damage is told from a forgery, and only the latter has to
 * be caught by the parser and the checks behind it.
 */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fault.h"
#include "image/frame.h"
#include "image.pb-c.h"
#include "its.pb-c.h"
#include "log.h"
#include "thread.pb-c.h"
#include "vcpu.pb-c.h"
#include "vcpu_events.pb-c.h"
#include "vgic.pb-c.h"
#include "vm.pb-c.h"

#define IMG_COMMON_MAGIC 0x54564319 /* criu/include/magic.h */
#define FRAME_MAGICS_SIZE 8
#define FRAME_SEAL_MSG_SIZE 9 /* tag, fixed64 */
#define VARINT_MAX 10
#define FRAME_SEAL_TAG (15 << 3 | PROTOBUF_C_WIRE_TYPE_64BIT)

/* As CRIU's, the magics are the coordinates of towns: these are all near Arm's. */
const struct frame_kind frame_vm = {
	.magic = 0x52120007, /* Cambridge */
	.major = 4,
	.payload = &kvm_vgic__vm_entry__descriptor,
	.other = &kvm_vgic__kvm_file_entry__descriptor,
};

const struct frame_kind frame_vcpu = {
	.magic = 0x52240016, /* Ely */
	.major = 4,
	.payload = &kvm_vgic__vcpu_entry__descriptor,
};

const struct frame_kind frame_vcpu_events = {
	.magic = 0x52380118, /* Norwich */
	.major = 1,
	.payload = &kvm_vgic__vcpu_events_entry__descriptor,
};

const struct frame_kind frame_vgic = {
	.magic = 0x52030109, /* Ipswich */
	.major = 2,
	.payload = &kvm_vgic__vgic_entry__descriptor,
};

const struct frame_kind frame_its = {
	.magic = 0x52150043, /* Bury St Edmunds */
	.major = 2,
	.payload = &kvm_vgic__its_entry__descriptor,
};

const struct frame_kind frame_thread = {
	.magic = 0x52250045, /* Thetford */
	.major = 1,
	.payload = &kvm_vgic__thread_entry__descriptor,
};

static void put32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

/* Writing */

static uint8_t *grow(struct frame_out *out, size_t n)
{
	size_t need = out->len + n, cap = out->cap ? out->cap : 4096;
	uint8_t *buf;

	if (out->err)
		return NULL;
	if (need > FRAME_FILE_MAX) {
		pr_err("%s: would be larger than %u bytes\n", out->file, FRAME_FILE_MAX);
		out->err = -EFBIG;
		return NULL;
	}
	while (cap < need)
		cap *= 2;
	if (cap != out->cap) {
		buf = realloc(out->buf, cap);
		if (!buf) {
			pr_err("%s: no memory for %zu bytes\n", out->file, cap);
			out->err = -ENOMEM;
			return NULL;
		}
		out->buf = buf;
		out->cap = cap;
	}
	buf = out->buf + out->len;
	out->len = need;
	return buf;
}

static size_t put_varint(uint8_t *at, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		at[n++] = v | 0x80;
	at[n++] = v;
	return n;
}

/* An entry of @msg, behind the @head_size bytes of @head. */
static void add_message(struct frame_out *out, const uint8_t *head, size_t head_size, const ProtobufCMessage *msg,
			size_t msg_size)
{
	size_t size = head_size + msg_size;
	uint8_t *at;

	if (size > FRAME_ENTRY_MAX) {
		pr_err("%s: an entry would be larger than %u bytes\n", out->file, FRAME_ENTRY_MAX);
		out->err = -EFBIG;
	}
	at = grow(out, 4 + size);
	if (!at)
		return;
	put32(at, size);
	if (head_size)
		memcpy(at + 4, head, head_size);
	protobuf_c_message_pack(msg, at + 4 + head_size);
}

static void add_entry(struct frame_out *out, const KvmVgic__ImageEntry *entry)
{
	add_message(out, NULL, 0, &entry->base, protobuf_c_message_get_packed_size(&entry->base));
}

void frame_begin(struct frame_out *out, const char *file, const struct frame_kind *kind,
		 const struct image_dump_id *dump)
{
	KvmVgic__ImageHeader header = KVM_VGIC__IMAGE_HEADER__INIT;
	KvmVgic__ImageEntry entry = KVM_VGIC__IMAGE_ENTRY__INIT;
	uint8_t *at;

	*out = (struct frame_out){ .kind = kind };
	snprintf(out->file, sizeof(out->file), "%s", file);
	at = grow(out, FRAME_MAGICS_SIZE);
	if (!at)
		return;
	put32(at, IMG_COMMON_MAGIC);
	put32(at + 4, kind->magic);

	header.major = kind->major;
	header.minor = kind->minor;
	header.dump_id.data = (uint8_t *)dump->bytes;
	header.dump_id.len = sizeof(dump->bytes);
	entry.header = &header;
	add_entry(out, &entry);
}

/* Fields of image_entry. */
enum { PAYLOAD = 2, OTHER = 30 };

/* As an image_entry would be packed that has the packed @payload: but that is packed where it is to be. */
void frame_add(struct frame_out *out, const ProtobufCMessage *payload)
{
	uint32_t field = payload->descriptor == out->kind->other ? OTHER : PAYLOAD;
	uint8_t head[2 * VARINT_MAX];
	size_t size, n;

	if (out->err)
		return;
	size = protobuf_c_message_get_packed_size(payload);
	n = put_varint(head, field << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
	n += put_varint(head + n, size);
	add_message(out, head, n, payload, size);
}

static int write_all(int fd, const struct frame_out *out)
{
	int ret = fault_point(FAULT_IMAGE, "write", out->file);
	const uint8_t *buf = out->buf;
	size_t len = out->len;

	while (!ret && len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf += n;
		len -= n;
	}
	return ret;
}

/* In the place of what one that was cut short has left; or of a FIFO, at which an open would wait with the VM standing still. */
static int create(int dirfd, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int fd = openat(dirfd, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && !unlinkat(dirfd, name, 0))
		fd = openat(dirfd, name, flags, 0600);
	return fd;
}

#define TMP_NAME_MAX (FRAME_NAME_MAX + 4)

static void tmp_name(char tmp[TMP_NAME_MAX], const char *file)
{
	snprintf(tmp, TMP_NAME_MAX, "%s.tmp", file);
}

static int store(const struct frame_out *out, int dirfd)
{
	char tmp[TMP_NAME_MAX];
	int fd, ret;

	tmp_name(tmp, out->file);
	ret = fault_point(FAULT_IMAGE, "create", out->file);
	fd = ret ?: create(dirfd, tmp);
	if (fd < 0) {
		ret = ret ?: -errno;
		pr_err("%s: cannot create %s: %s\n", out->file, tmp, strerror(-ret));
		return ret;
	}
	ret = write_all(fd, out);
	if (close(fd) && !ret)
		ret = -errno;
	if (ret) {
		pr_err("%s: cannot write: %s\n", out->file, strerror(-ret));
		unlinkat(dirfd, tmp, 0);
	}
	return ret;
}

int frame_write(struct frame_out *out, int dirfd, uint64_t *seal)
{
	KvmVgic__ImageEntry entry = KVM_VGIC__IMAGE_ENTRY__INIT;
	int ret;

	entry.has_seal = true;
	entry.seal = out->err ? 0 : XXH64(out->buf, out->len, 0);
	add_entry(out, &entry);
	ret = out->err;
	if (!ret)
		ret = store(out, dirfd);
	if (!ret && seal)
		*seal = entry.seal;
	frame_drop(out);
	return ret;
}

void frame_forget(const char *image, int dirfd)
{
	char tmp[TMP_NAME_MAX];

	tmp_name(tmp, image);
	unlinkat(dirfd, tmp, 0);
}

int frame_commit(const char *image, int dirfd)
{
	char tmp[TMP_NAME_MAX];
	int ret = fault_point(FAULT_IMAGE, "rename", image);

	tmp_name(tmp, image);
	if (!ret && renameat(dirfd, tmp, dirfd, image))
		ret = -errno;
	if (!ret)
		return 0;
	pr_err("%s: cannot write: %s\n", image, strerror(-ret));
	frame_forget(image, dirfd);
	return ret;
}

int frame_finish(struct frame_out *out, int dirfd, uint64_t *seal)
{
	char file[FRAME_NAME_MAX];

	memcpy(file, out->file, sizeof(file));
	return frame_write(out, dirfd, seal) ?: frame_commit(file, dirfd);
}

void frame_drop(struct frame_out *out)
{
	free(out->buf);
	*out = (struct frame_out){ 0 };
}

/* Reading */

static int read_whole(struct frame_in *in, int fd, size_t size)
{
	int ret = fault_point(FAULT_IMAGE, "read", in->file);
	size_t got = 0;

	in->buf = malloc(size);
	if (!in->buf)
		return -ENOMEM;
	while (!ret && got < size) {
		ssize_t n = read(fd, in->buf + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		got += n;
	}
	return ret;
}

/* O_NONBLOCK: a FIFO of that name is refused, not waited for. */
static int load(struct frame_in *in, int dirfd)
{
	struct stat st;
	int fd, ret;

	ret = fault_point(FAULT_IMAGE, "open", in->file);
	fd = ret ?: openat(dirfd, in->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		ret = ret ?: -errno;
		pr_err("%s: cannot open: %s\n", in->file, strerror(-ret));
		return ret;
	}
	ret = -EINVAL;
	if (fstat(fd, &st)) {
		ret = -errno;
		pr_err("%s: cannot stat: %s\n", in->file, strerror(-ret));
	} else if (!S_ISREG(st.st_mode)) {
		pr_err("%s: not a regular file\n", in->file);
	} else if (st.st_size < FRAME_MAGICS_SIZE + FRAME_SEAL_SIZE) {
		pr_err("%s: truncated: %jd bytes\n", in->file, (intmax_t)st.st_size);
	} else if (st.st_size > FRAME_FILE_MAX) {
		pr_err("%s: %jd bytes, at most %u expected\n", in->file, (intmax_t)st.st_size,
		       FRAME_FILE_MAX);
	} else {
		ret = read_whole(in, fd, st.st_size);
		if (ret)
			pr_err("%s: cannot read: %s\n", in->file, strerror(-ret));
		in->end = st.st_size - FRAME_SEAL_SIZE;
	}
	close(fd);
	return ret;
}

static int check_magics(const struct frame_in *in)
{
	uint32_t common = get32(in->buf), magic = get32(in->buf + 4);

	if (common != IMG_COMMON_MAGIC || magic != in->kind->magic) {
		pr_err("%s: magics 0x%08x 0x%08x, 0x%08x 0x%08x expected\n", in->file, common, magic,
		       IMG_COMMON_MAGIC, in->kind->magic);
		return -EINVAL;
	}
	return 0;
}

static int check_seal(struct frame_in *in)
{
	const uint8_t *entry = in->buf + in->end;
	uint64_t sum;

	if (get32(entry) != FRAME_SEAL_MSG_SIZE || entry[4] != FRAME_SEAL_TAG) {
		pr_err("%s: truncated or damaged: no seal at the end\n", in->file);
		return -EINVAL;
	}
	in->seal = get64(entry + 5);
	sum = XXH64(in->buf, in->end, 0);
	if (in->seal != sum) {
		pr_err("%s: damaged: seal %016" PRIx64 ", the bytes before it have %016" PRIx64 "\n",
		       in->file, in->seal, sum);
		return -EINVAL;
	}
	return 0;
}

/*
 * A message in memory is some 16 times its packed form at most, protobuf-c's own
 * bookkeeping while it parses included; a forged one that would take more fails to decode.
 */
struct budget {
	ProtobufCAllocator allocator;
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	free(pointer);
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len)
{
	struct budget budget = {
		.allocator = { .alloc = budget_alloc, .free = budget_free },
		.left = 65536 + 32 * len,
	};

	budget.allocator.allocator_data = &budget;
	return protobuf_c_message_unpack(type, &budget.allocator, len, data);
}

void frame_free(ProtobufCMessage *msg)
{
	if (msg)
		protobuf_c_message_free_unpacked(msg, NULL);
}

static KvmVgic__ImageEntry *next_entry(struct frame_in *in)
{
	ProtobufCMessage *msg;
	uint32_t size;

	in->entry++;
	if (in->end - in->pos < 4) {
		pr_err("%s: entry %u: %zu bytes left, no size\n", in->file, in->entry, in->end - in->pos);
		return NULL;
	}
	size = get32(in->buf + in->pos);
	in->pos += 4;
	if (size > FRAME_ENTRY_MAX || size > in->end - in->pos) {
		pr_err("%s: entry %u: size %u, %zu bytes left\n", in->file, in->entry, size,
		       in->end - in->pos);
		return NULL;
	}
	msg = unpack(&kvm_vgic__image_entry__descriptor, in->buf + in->pos, size);
	if (!msg)
		pr_err("%s: entry %u: does not decode\n", in->file, in->entry);
	in->pos += size;
	return (KvmVgic__ImageEntry *)msg;
}

static int check_header(struct frame_in *in, const KvmVgic__ImageEntry *entry)
{
	const KvmVgic__ImageHeader *header = entry->header;

	if (!header || entry->has_payload || entry->has_other || entry->has_seal) {
		pr_err("%s: entry 1: not a header\n", in->file);
		return -EINVAL;
	}
	if (header->major != in->kind->major) {
		pr_err("%s: format version %u.%u, only %u.x is known to this plugin\n", in->file,
		       header->major, header->minor, in->kind->major);
		return -EINVAL;
	}
	if (header->dump_id.len != sizeof(in->dump.bytes)) {
		pr_err("%s: header: dump_id: %zu bytes expected, %zu found\n", in->file,
		       sizeof(in->dump.bytes), header->dump_id.len);
		return -EINVAL;
	}
	in->minor = header->minor;
	memcpy(in->dump.bytes, header->dump_id.data, sizeof(in->dump.bytes));
	return 0;
}

static int read_header(struct frame_in *in)
{
	KvmVgic__ImageEntry *entry;
	int ret;

	in->pos = FRAME_MAGICS_SIZE;
	entry = next_entry(in);
	if (!entry)
		return -EINVAL;
	ret = check_header(in, entry);
	frame_free(&entry->base);
	return ret;
}

int frame_open(struct frame_in *in, int dirfd, const char *file, const struct frame_kind *kind)
{
	int ret;

	*in = (struct frame_in){ .kind = kind };
	snprintf(in->file, sizeof(in->file), "%s", file);
	ret = load(in, dirfd);
	if (!ret)
		ret = check_magics(in);
	if (!ret)
		ret = check_seal(in);
	if (!ret)
		ret = read_header(in);
	if (ret)
		frame_close(in);
	return ret;
}

static int unpack_payload(struct frame_in *in, const KvmVgic__ImageEntry *entry, ProtobufCMessage **msg)
{
	bool other = in->kind->other && entry->has_other;
	const ProtobufCMessageDescriptor *type = other ? in->kind->other : in->kind->payload;
	const ProtobufCBinaryData *packed = other ? &entry->other : &entry->payload;

	if (entry->header || entry->has_seal) {
		pr_err("%s: entry %u: a second %s\n", in->file, in->entry, entry->header ? "header" : "seal");
		return -EINVAL;
	}
	if (other && entry->has_payload) {
		pr_err("%s: entry %u: two payloads\n", in->file, in->entry);
		return -EINVAL;
	}
	if (!other && !entry->has_payload) {
		/* Of a kind that a newer minor version has added. */
		if (in->minor > in->kind->minor)
			return 0;
		pr_err("%s: entry %u: empty\n", in->file, in->entry);
		return -EINVAL;
	}
	*msg = unpack(type, packed->data, packed->len);
	if (!*msg) {
		pr_err("%s: entry %u: does not decode as %s\n", in->file, in->entry, type->name);
		return -EINVAL;
	}
	return 1;
}

int frame_next(struct frame_in *in, ProtobufCMessage **msg)
{
	int ret = 0;

	while (!ret && in->pos != in->end) {
		KvmVgic__ImageEntry *entry = next_entry(in);

		if (!entry)
			return -EINVAL;
		ret = unpack_payload(in, entry, msg);
		frame_free(&entry->base);
	}
	return ret;
}

void frame_close(struct frame_in *in)
{
	free(in->buf);
	in->buf = NULL;
}
