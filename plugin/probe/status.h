/* SPDX-License-Identifier: GPL-2.0-only */
/* /proc/PID/status (Documentation/filesystems/proc.rst), or that of a thread. */
#ifndef KVM_VGIC_PROBE_STATUS_H
#define KVM_VGIC_PROBE_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_status {
	pid_t vpid;	     /* its number in its innermost pid namespace; 0: it has none any more */
	pid_t tracer;	     /* 0: nobody */
	bool has_seccomp;    /* also where that cannot be told */
	uint64_t space, data; /* VmSize, VmData: bytes */
};

/* Of thread @tid of @pid, or with 0 of @pid. 0 or a negative errno, logged, but for -ESRCH: it has ended. */
int proc_status(pid_t pid, pid_t tid, struct proc_status *status);

#endif
