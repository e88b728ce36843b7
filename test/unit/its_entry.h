/* SPDX-License-Identifier: GPL-2.0-only */
/* Entries of an ITS's tables, of their fields. */
#ifndef TEST_ITS_ENTRY_H
#define TEST_ITS_ENTRY_H

#define VALID (1ULL << 63)
#define CTE(rdbase, icid) (VALID | (rdbase) * 1ULL << 16 | (icid))
#define L1E(addr) (VALID | (addr))
#define DTE(next, itt_addr, size) (VALID | (next) * 1ULL << 49 | (itt_addr) * 1ULL >> 8 << 5 | (size))
#define ITE(next, pintid, icid) ((next) * 1ULL << 48 | (pintid) * 1ULL << 16 | (icid))

#endif
