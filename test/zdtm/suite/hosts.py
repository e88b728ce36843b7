# SPDX-License-Identifier: GPL-2.0-only
"""Which emulated host has what a test needs, and a boot of it."""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TESTBED = os.path.join(ROOT, 'testbed')
STATIC = os.path.join(ROOT, 'test/zdtm/static')
INHOST = '/usr/lib/kvm-vgic/zdtm/suite/inhost.py'
# What zdtm.py imports and executes, and what CRIU locks a namespace's network with.
PACKAGES = ['make', 'python3-yaml', 'python3-pycriu', 'iptables']
DEFAULT_CRIU = '4.1.1'
CRIUS = ['4.1.1', '4.2.1']


class Host:
    def __init__(self, name, tests=(), options=(), criu=DEFAULT_CRIU, model=False, chosen=True):
        self.name = name
        self.tests = list(tests)
        self.options = list(options)
        self.criu = criu
        self.model = model      # of a VGICv5, as a kernel module
        self.chosen = chosen    # here, for what its tests need: none is skipped


# Beside the default one. With CRIU 4.2.1 where 4.1.1 itself cannot: its restore hangs where the CPU has pointer
# authentication, and it dumps no network namespace of a kernel that has no UDP-Lite (7.1).
SPECIAL = [
    Host('GICv2', ['kvm_vgic_v2'], ['--gic', '2']),
    Host('no VHE', ['kvm_aarch32'], ['--cpu', 'cortex-a57']),
    Host('GICv5', ['kvm_vgic_v5'], ['--kernel', '7.2'], criu='4.2.1', model=True),
    Host('SVE', ['kvm_vmm_sve', 'kvm_sve', 'kvm_pauth'], ['--cpu', 'max,pauth-impdef=on'], criu='4.2.1'),
]


def all_tests():
    return sorted(x[:-5] for x in os.listdir(STATIC) if x.endswith('.desc'))


def default(criu=None):
    return Host('default', criu=criu or DEFAULT_CRIU)


def distribute(tests, criu=None):
    """[(host, its tests)]: each test to the host that has what it needs, all with @criu where that is given."""
    elsewhere = {x for host in SPECIAL for x in host.tests}
    shares = [(default(criu), [x for x in tests if x not in elsewhere])]
    for host in SPECIAL:
        some = Host(host.name, host.tests, host.options, criu or host.criu, host.model)
        shares.append((some, [x for x in tests if x in host.tests]))
    return [x for x in shares if x[1]]


def script(name, *args):
    return subprocess.run([os.path.join(TESTBED, name), *args], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def put_tree(share, criu, own):
    """CRIU's test tree with these tests of its own, into what the host will see."""
    shutil.copyfile(script('make-zdtm-tree', criu, *own), os.path.join(share, 'zdtm/tree.tar'))


def boot(host, share, seconds, no_build):
    command = [os.path.join(TESTBED, 'run'), *host.options, '--criu', host.criu, '--packages', ' '.join(PACKAGES),
               '--share', share, '--timeout', str(seconds), *(['--no-build'] if no_build else []), '--', 'python3', INHOST]
    return subprocess.run(command).returncode
