// SPDX-License-Identifier: GPL-2.0-only
/* Bytes that are mostly zeros: byte_run of image.proto. */
#include <endian.h>
#include <stdlib.h>

#include "image/entry.h"
#include "log.h"
#include "zeros.h"

/* So many zeros are left out; fewer are shorter than the head of a run. */
#define RUN_GAP 8u
_Static_assert(RUN_GAP == sizeof(uint64_t), "up_to_last() looks at one");

static size_t zeros(const uint8_t *bytes, size_t size)
{
	size_t n = 0;

	while (size - n >= ZEROS_LINE && line_is_zeros(bytes + n))
		n += ZEROS_LINE;
	while (n < size && !bytes[n])
		n++;
	return n;
}

/* How many bytes at @bytes there are up to the last of the next RUN_GAP that is not zero; 0: all of them are zeros. */
static size_t up_to_last(const uint8_t *bytes)
{
	uint64_t gap;

	memcpy(&gap, bytes, sizeof(gap));
	gap = le64toh(gap);
	return gap ? (71 - __builtin_clzll(gap)) / 8 : 0;
}

/* The run that begins at @at or later: its bytes, 0 at the end. */
static size_t next_run(const uint8_t *bytes, size_t size, size_t *at)
{
	size_t end, more;

	if (*at == size)
		return 0; /* a table of no bytes has no place in memory either */
	*at += zeros(bytes + *at, size - *at);
	end = *at;
	while (size - end >= RUN_GAP && (more = up_to_last(bytes + end)))
		end += more;
	for (size_t i = end; i < size && i < end + RUN_GAP; i++)
		if (bytes[i])
			end = i + 1;
	return end - *at;
}

static size_t count_runs(const uint8_t *bytes, size_t size)
{
	size_t n = 0, len;

	for (size_t at = 0; (len = next_run(bytes, size, &at)); at += len)
		n++;
	return n;
}

size_t byte_runs_pack(struct frame_out *out, KvmVgic__ByteRun ***runs, uint8_t *bytes, size_t size)
{
	size_t n = count_runs(bytes, size), at = 0;

	if (!ENTRY_LIST(out, n, *runs))
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = next_run(bytes, size, &at);

		kvm_vgic__byte_run__init((*runs)[i]);
		(*runs)[i]->first = at;
		(*runs)[i]->data = (ProtobufCBinaryData){ .data = bytes + at, .len = len };
		at += len;
	}
	return n;
}

int byte_runs_end(const struct frame_in *in, const char *what, KvmVgic__ByteRun *const *runs, size_t n,
		  uint32_t max, uint32_t *end)
{
	*end = 0;
	for (size_t i = 0; i < n; i++) {
		const KvmVgic__ByteRun *run = runs[i];

		if (run->first < *end || run->first > max || run->data.len > max - run->first) {
			pr_err("%s: entry %u: bytes %u to %zu of %s: not in order, or more than %u\n",
			       in->file, in->entry, run->first, run->first + run->data.len, what, max);
			return -EINVAL;
		}
		*end = run->first + run->data.len;
	}
	return 0;
}

void byte_runs_unpack(KvmVgic__ByteRun *const *runs, size_t n, uint8_t *bytes)
{
	for (size_t i = 0; i < n; i++)
		if (runs[i]->data.len)
			memcpy(bytes + runs[i]->first, runs[i]->data.data, runs[i]->data.len);
}
