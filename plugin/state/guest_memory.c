// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory by guest physical address. */
#include <errno.h>

#include "remote/remote.h"
#include "state/guest_memory.h"
#include "state/vm.h"
#include "zeros.h"

static bool is_in(const struct memslot *slot, uint64_t gpa)
{
	return gpa >= slot->gpa && gpa - slot->gpa < slot->size;
}

static const struct memslot *find_slot(struct guest_memory *mem, uint64_t gpa)
{
	if (mem->slot && is_in(mem->slot, gpa))
		return mem->slot;
	for (size_t i = 0; i < mem->vm->nr_slots; i++)
		if (is_in(&mem->vm->slots[i], gpa))
			return mem->slot = &mem->vm->slots[i];
	return NULL;
}

bool guest_has(struct guest_memory *mem, uint64_t gpa)
{
	return find_slot(mem, gpa);
}

static const uint8_t *find_ahead(const struct guest_memory *mem, uint64_t page)
{
	for (size_t i = 0; mem->ahead && i < mem->ahead->nr; i++)
		if (mem->ahead->pages[i] == page)
			return mem->ahead->buf[i];
	return NULL;
}

static bool read_all(struct guest_memory *mem, const struct iovec *here, const struct iovec *there, size_t nr)
{
	const struct remote_ops *ops = mem->remote->ops;

	return ops->read_all && !ops->read_all(mem->remote, here, there, nr);
}

void guest_read_ahead(struct guest_memory *mem, const uint64_t *pages, size_t nr)
{
	struct guest_ahead *ahead = mem->ahead;
	struct iovec here[GUEST_AHEAD], there[GUEST_AHEAD];
	uint64_t end = 0;
	size_t n = 0;

	mem->bytes = NULL; /* it may be in @ahead */
	ahead->nr = 0;
	for (size_t i = 0; i < nr; i++) {
		const struct memslot *slot = find_slot(mem, pages[i]);
		uint64_t hva = slot ? slot->hva + (pages[i] - slot->gpa) : 0;

		if (!slot)
			continue;
		if (!n || hva != end) {
			here[n] = (struct iovec){ ahead->buf[ahead->nr], 0 };
			there[n++] = (struct iovec){ (void *)hva, 0 };
		}
		here[n - 1].iov_len = there[n - 1].iov_len += GUEST_PAGE;
		end = hva + GUEST_PAGE;
		ahead->pages[ahead->nr++] = pages[i];
	}
	if (!n || !read_all(mem, here, there, n))
		ahead->nr = 0;
}

static int load_page(struct guest_memory *mem, uint64_t page)
{
	const struct memslot *slot;
	const uint8_t *bytes;
	int ret;

	if (mem->bytes && mem->page == page)
		return 0;
	mem->bytes = NULL;
	slot = find_slot(mem, page);
	if (!slot)
		return -EFAULT;
	if (mem->nr_pages == GUEST_MAX_PAGES)
		return -E2BIG;
	mem->nr_pages++;
	bytes = find_ahead(mem, page);
	ret = bytes ? 0 : mem->remote->ops->read(mem->remote, slot->hva + (page - slot->gpa), mem->buf, GUEST_PAGE);
	if (ret)
		return ret == -EIO ? -EFAULT : ret; /* what is not mapped there is EIO to /proc/PID/mem */
	mem->page = page;
	mem->bytes = bytes ?: mem->buf;
	return 0;
}

/* Bytes from @gpa to the end of its page, @size at most. */
static size_t part_in_page(uint64_t gpa, size_t size)
{
	size_t rest = GUEST_PAGE - gpa % GUEST_PAGE;

	return size < rest ? size : rest;
}

int guest_read(struct guest_memory *mem, uint64_t gpa, void *buf, size_t size)
{
	uint8_t *to = buf;

	while (size) {
		size_t part = part_in_page(gpa, size);
		int ret = load_page(mem, gpa & ~(uint64_t)(GUEST_PAGE - 1));

		if (ret)
			return ret;
		memcpy(to, &mem->bytes[gpa % GUEST_PAGE], part);
		to += part;
		gpa += part;
		size -= part;
	}
	return 0;
}

/* Where @size bytes are, that are in one memslot; and they count as read. */
static int find_at_once(struct guest_memory *mem, uint64_t gpa, size_t size, uint64_t *hva)
{
	const struct memslot *slot = find_slot(mem, gpa);
	uint64_t pages = (gpa % GUEST_PAGE + size + GUEST_PAGE - 1) / GUEST_PAGE;

	if (!slot || size > slot->size - (gpa - slot->gpa))
		return -EFAULT;
	if (pages > GUEST_MAX_PAGES - mem->nr_pages)
		return -E2BIG;
	mem->nr_pages += pages;
	*hva = slot->hva + (gpa - slot->gpa);
	return 0;
}

int guest_read_at_once(struct guest_memory *mem, uint64_t gpa, void *buf, size_t size)
{
	uint64_t hva;
	int ret = find_at_once(mem, gpa, size, &hva) ?: mem->remote->ops->read(mem->remote, hva, buf, size);

	return ret == -EIO ? -EFAULT : ret;
}

bool guest_read_all(struct guest_memory *mem, const struct iovec *here, struct iovec *there, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		uint64_t hva = 0; /* it is set where it is found, which gcc -fanalyzer does not follow */

		if (find_at_once(mem, (uint64_t)there[i].iov_base, there[i].iov_len, &hva))
			return false;
		there[i].iov_base = (void *)hva;
	}
	return read_all(mem, here, there, nr);
}

uint64_t guest_count_zeroes(const struct guest_memory *mem, uint64_t gpa, uint64_t nr)
{
	const uint64_t *at;
	uint64_t left = (GUEST_PAGE - gpa % GUEST_PAGE) / sizeof(*at), n = 0;

	if (!mem->bytes || mem->page != gpa - gpa % GUEST_PAGE || gpa % sizeof(*at))
		return 0;
	at = (const uint64_t *)&mem->bytes[gpa % GUEST_PAGE];
	if (left > nr)
		left = nr;
	while (left - n >= ZEROS_LINE / sizeof(*at) && line_is_zeros(&at[n]))
		n += ZEROS_LINE / sizeof(*at);
	while (n < left && !at[n])
		n++;
	return n;
}

int guest_write(struct guest_memory *mem, uint64_t gpa, const void *buf, size_t size)
{
	const uint8_t *from = buf;

	mem->bytes = NULL;
	if (mem->ahead)
		mem->ahead->nr = 0;
	while (size) {
		const struct memslot *slot = find_slot(mem, gpa);
		size_t part = part_in_page(gpa, size);

		if (!slot ||
		    mem->remote->ops->write(mem->remote, slot->hva + (gpa - slot->gpa), from, part))
			return -EFAULT;
		from += part;
		gpa += part;
		size -= part;
	}
	return 0;
}
