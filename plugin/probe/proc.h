/* SPDX-License-Identifier: GPL-2.0-only */
/* What /proc tells of a process: its KVM file descriptors and its mappings of vCPUs. */
#ifndef KVM_VGIC_PROBE_PROC_H
#define KVM_VGIC_PROBE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/view.h"

#define PROC_ANON "anon_inode:" /* a link of an fd, or a name of a mapping, begins with it */
#define PROC_VCPU PROC_ANON "kvm-vcpu:"

enum proc_fd_kind {
	PROC_FD_SYSTEM, /* /dev/kvm */
	PROC_FD_VM,
	PROC_FD_VCPU,
	PROC_FD_VGIC_V2,
	PROC_FD_VGIC_V3,
	PROC_FD_VGIC_V5,
	PROC_FD_ITS,
	PROC_FD_STATS,
	PROC_FD_OTHER, /* another fd of KVM's, by its name */
};

struct proc_fd {
	int fd;
	enum proc_fd_kind kind;
	char name[48]; /* the link: "anon_inode:kvm-vcpu:3" */
};

struct proc_map {
	uint64_t start, size, offset; /* bytes */
	uint32_t prot;		      /* PROT_* */
	int is_shared;
	uint32_t vcpu_id;
	uint32_t flags;	 /* VCPU_MAP_*, from proc_scan_map_flags() on */
	char strange[4]; /* the first of its VmFlags that is none of these; "" */
};

struct proc_scan {
	struct proc_fd *fds;
	size_t nr_fds;
	struct proc_map *maps;
	size_t nr_maps;
	struct proc_map *map_now; /* whose lines of smaps are being read */
	int *open;		  /* the numbers of all fds, KVM's or not, in rising order */
	size_t nr_open;
	uint64_t fd_limit;	  /* RLIMIT_NOFILE: the number that no further fd has */
	struct proc_view view;
	bool by_numbers;	  /* so some or all were looked for */
	int userfaultfd; /* one of them, or -1 */
	char device[256]; /* the name of a device of VHOST or VFIO that it has open; "" */
	uint64_t area_now;  /* that smaps is at */
	uint64_t uffd_area; /* one that a userfaultfd is registered for, or 0 */
	bool has_text;	    /* an executable mapping: into the first CRIU puts code of its own */
	uint64_t barred_text; /* that one, where ptrace cannot write to it, or 0 */
};

/*
 * Fills *@scan, to be freed by proc_scan_free() whatever is returned. 0 or a negative
 * errno, logged, but for -ESRCH: @pid has ended.
 */
int proc_scan(pid_t pid, struct proc_scan *scan);
/*
 * Likewise in a dump, of a process that stands still, which takes less time: where scan->by_numbers is set, these are as many fds as it has, but
 * where a process that runs has its table of fds (CLONE_FILES) there may be others, that were open all the while. -ENOTSUP: its mappings are
 * more text than a dump reads (area.h).
 */
int proc_scan_by_numbers(pid_t pid, struct proc_scan *scan);
/* Then its fds once more, as proc_scan(): all that are open all the while. */
int proc_scan_fds(pid_t pid, struct proc_scan *scan);
/*
 * Completes scan->maps by their flags, and scan->uffd_area. Apart from the rest, for the kernel walks the page
 * tables of all of the process to tell them. As proc_scan().
 */
int proc_scan_map_flags(pid_t pid, struct proc_scan *scan);
/* The highest number of an open fd, or -1. */
int proc_max_fd(const struct proc_scan *scan);
void proc_scan_free(struct proc_scan *scan);

/*
 * The id of thread @tid of @pid in its innermost pid namespace, which it has again after a
 * restore. Or a negative errno, as above.
 */
pid_t proc_vpid(pid_t pid, pid_t tid);

/*
 * Calls @use with @arg for each thread of @pid, until it answers other than 0. What it answered, or a negative
 * errno, as above.
 */
int proc_each_thread(pid_t pid, int (*use)(pid_t pid, pid_t tid, void *arg), void *arg);
/* Likewise, with what proc_vpid() answers; which reads a file for each thread only where that is another number. */
int proc_each_vtid(pid_t pid, int (*use)(pid_t tid, pid_t vtid, void *arg), void *arg);

/* The other way: the thread of @pid whose id in its innermost pid namespace is @vtid. -ESRCH: there is none. */
pid_t proc_tid(pid_t pid, pid_t vtid);
/*
 * The process that this one traces and whose pid in its innermost namespace is @vpid. -ESRCH: there is none;
 * -ENOTUNIQ: there are several.
 */
pid_t proc_find_traced(pid_t vpid);

/* Who traces thread @tid of @pid: 0, nobody; or a negative errno, as above. */
pid_t proc_tracer(pid_t pid, pid_t tid);

/* Whether this process traces @pid: in a dump, and where a restore is done, whether it is of the tree. */
bool proc_is_traced(pid_t pid);

/*
 * Adds the children of all threads of @pid to the *@nr at *@pids, which are the caller's to free. 0 or a negative errno, as above.
 */
int proc_add_children(pid_t pid, pid_t **pids, size_t *nr);

/*
 * All processes of the tree that begins with @root, parents first, in *@pids, to be freed by the caller.
 * They are to be frozen. 0 or a negative errno, as above.
 */
int proc_tree(pid_t root, pid_t **pids, size_t *nr);

#endif
