# SPDX-License-Identifier: GPL-2.0-only
"""The test with QEMU can fail: one VM is dumped, and restored from the same images once for each fault.

KVM_VGIC_SKIP (plugin/fault.h) leaves a step out of the restore; or a write to the disk is taken back meanwhile. A row is
good when the test finds it; the controls have no fault, come first and last, and must pass.
"""

import os
import re
import shutil
import time

from guestlog import SILENCE
from qemuvm import new_vm
from zdtmvm import Failure

SILENT = 60             # seconds without a word from the guest, after which it hangs: the controls take a fraction of that
# Not here: what a guest of QEMU's goes on without (docs/vmms.md).
ROWS = ['nothing (control)', 'memslots', 'vCPU registers', 'GIC distributor', 'GIC redistributors', 'LPIs enabled',
        'GIC CPU interfaces', 'ITS registers', 'ITS tables', 'ITS control', 'GSI routing', 'guest counters', 'irqfds',
        'a write to the disk', 'nothing (control), again']


def keep(vm, folder):
    """What a restore wants to find as it was: sockets are not among it."""
    for name in ('disk', 'console.log', 'qemu.out'):
        shutil.copy2(os.path.join(vm.dir, name), os.path.join(folder, name))


def bring_back(vm, folder):
    """The files as they were: a restore compares their size."""
    for name in ('disk', 'console.log', 'qemu.out'):
        shutil.copy2(os.path.join(folder, name), os.path.join(vm.dir, name))


def take_back_a_write(vm, earlier):
    """The blocks that differ get what was in them some time before the dump: one alone could be written before it is read."""
    path = os.path.join(vm.dir, 'disk')
    with open(path, 'rb') as f:
        now = f.read()
    if now == earlier:
        raise Failure('the guest has written nothing')
    with open(path, 'wb') as f:
        f.write(earlier)


def find(vm, what, earlier):
    """What the test says, or None."""
    control = what.startswith('nothing')
    env = None if control or what == 'a write to the disk' else {'KVM_VGIC_SKIP': what}
    vm.log.silence = SILENCE if control else SILENT
    if what == 'a write to the disk':
        take_back_a_write(vm, earlier)
    try:
        vm.restore(env=env)
        vm.check_works()
        vm.power_down()
    except (Failure, OSError) as e:
        return str(e) or type(e).__name__
    return None


def in_short(said):
    """One line: of a restore that fails its first error."""
    errors = re.findall(r'Error \(\S+\): (.*)', said)
    return said.splitlines()[0] + (f': {errors[0]}' if errors else '')


def left_out(vm, what):
    with open(os.path.join(vm.images, 'restore.log'), errors='replace') as f:
        return re.search(f'left out: {re.escape(what)}\n', f.read())


def run_row(vm, what, kept, earlier):
    bring_back(vm, kept)
    start = time.monotonic()
    said = find(vm, what, earlier)
    vm.kill()
    control = what.startswith('nothing')
    if not control and what != 'a write to the disk' and not left_out(vm, what):
        said = 'UNUSABLE: the plugin left nothing out'
        good = False
    else:
        good = control != bool(said)
    if not good or 'not in' in (said or ''):
        print('\n'.join(f'       {line}' for line in vm.log.lines()[-4:]))
    print(f'{"ok" if good else "NOT OK":6} {what:26} {time.monotonic() - start:4.0f} s  {in_short(said) if said else "works"}', flush=True)
    return good


def run(args):
    vm = new_vm(args.vcpus, args.memory)
    kept = vm.dir + '.kept'
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    vm.start().log.wait_started(args.vcpus)
    vm.check_works()
    with open(os.path.join(vm.dir, 'disk'), 'rb') as f:
        earlier = f.read()
    vm.check_works()
    vm.dump()
    keep(vm, kept)
    names = [x for x in ROWS if not args.only or x.startswith('nothing') or x in args.only]
    good = [run_row(vm, name, kept, earlier) for name in names]
    shutil.rmtree(kept)
    shutil.rmtree(vm.dir)
    print(f'self-check: {sum(good)} of {len(good)} as they are to be')
    return all(good)
