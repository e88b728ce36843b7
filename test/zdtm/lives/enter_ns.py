# SPDX-License-Identifier: GPL-2.0-only
"""enter_ns.py FOLDER COMMAND...: runs it in a mount namespace; its children are in a new pid namespace.

Of the folder, root is the namespace's root and dev its /dev; /tmp is the host's, for what a test writes.
By system calls where the commands of util-linux are not on every host, or want a /proc.
"""

import ctypes
import os
import platform
import subprocess
import sys

NR_PIVOT_ROOT = {'x86_64': 155}.get(platform.machine(), 41)
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result:
        sys.exit(f'{what}: {os.strerror(ctypes.get_errno())}')


def change_root(root):
    """The old root is put over the new one, and taken away from there: pivot_root(2)."""
    os.chdir(root)
    check(libc.syscall(ctypes.c_long(NR_PIVOT_ROOT), b'.', b'.'), 'pivot_root')
    check(libc.umount2(b'.', MNT_DETACH), 'umount2')


def main():
    folder, *command = sys.argv[1:]
    here = os.getcwd()
    root = os.path.join(folder, 'root')
    os.unshare(os.CLONE_NEWNS)
    subprocess.run(['mount', '--make-rprivate', '/'], check=True)
    subprocess.run(['mount', '--bind', os.path.join(folder, 'dev'), root + '/dev'], check=True)
    subprocess.run(['mount', '--bind', '/tmp', root + '/tmp'], check=True)
    change_root(root)
    os.chdir(here)
    os.unshare(os.CLONE_NEWPID)
    os.execv(command[0], command)


if __name__ == '__main__':
    main()
