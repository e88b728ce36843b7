# SPDX-License-Identifier: GPL-2.0-only
"""Of CRIU's own static tests those that are run with the plugin and without: what a plugin could disturb.

A choice: of what has fds, mappings, threads, registers, signals, and trees of processes, most that zdtm.py runs in the
host's own namespaces and that a plain libc builds. Not among them: what is of flavor ns and uns alone (session00, shm,
sem, msgque, zombie_leader), what CRIU itself must refuse (ptrace_sig, sigtrap, vfork00, timens_*), what is x86's (rseq00,
fpu0*), what needs a library (aio00) or pages that come later (uffd-events); and network, cgroups and mounts.
"""

FDS = """eventfs00 epoll epoll01 signalfd00 timerfd poll fd fd01 fd_offset fdt_shared file_cloexec file_fown
file_shared file_append file_attr pipe00 pipe01 pipe02 fifo fifo_ro fifo_wronly sockets00 sockets01 sockets02
sockets_spair socket_queues socket_dgram_data unbound_sock scm00 scm01 scm03 scm05 pidfd_self inotify00 pty00
pidfd_kill pidfd_dead pidfd_child pidfd_of_thread file_locks00 file_locks01 file_locks02 file_locks03 file_locks05
tty00 tty02""".split()

MEMORY = """memfd00 memfd01 memfd02 memfd03 shmemfd maps00 maps01 maps02 maps04 maps05 maps06 maps_file_prot mprotect00
cow00 cow01 thp_disable write_read00 write_read10 unlink_fstat00 unlink_mmap00""".split()

THREADS = """pthread00 pthread01 pthread_timers futex futex-rl membarrier vdso00 sigaltstack sigpending posix_timers
timers timers01 seccomp_filter seccomp_filter_threads seccomp_no_new_privs rlimits00 sched_prio00 sched_policy00
clone_fs caps00 xids00 groups oom_score_adj dumpable01 sigtrap01 seccomp_strict seccomp_filter_tsync
seccomp_filter_inheritance pthread02 vdso01""".split()

PROCESSES = """env00 cmdlinenv00 umask00 busyloop00 sleeping00 pid00 wait00 zombie00 zombie01 pstree stopped
stopped01 stopped02 stopped12 pdeath_sig child_subreaper selfexe00 cwd00 cwd01 chroot stopped03 jobctl00
helper_zombie_child""".split()

OWN = FDS + MEMORY + THREADS + PROCESSES

# Of them a few of each kind, for a short run.
FEW = ['eventfs00', 'maps00', 'pthread01', 'sigpending', 'pstree']
