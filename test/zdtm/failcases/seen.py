# SPDX-License-Identifier: GPL-2.0-only
"""Each refusal that is in the plugin's source was seen in a log, or a unit test shows it."""

import os
import re

from common import read

# Sources whose messages are refusals; of each other one, those messages that say so.
PROBES = [f'probe/{x}.c' for x in ('backing', 'binding', 'caps', 'discover', 'eventfd', 'in_flight', 'kernel', 'vcpu', 'vgic_v2')]
REFUSAL = 'not supported by this version'

# What no case brings about, and the test that does: of test/unit, or of test/zdtm.
NOT_SEEN = {
    'a GICv5 whose device fd was closed': 'test_discover:a_gicv5_without_fd_is_refused',
    'an ITS beside a GICv2': 'test_discover:an_its_beside_a_gicv2_is_refused',
    'give the VM a GICv3, or no ITS': 'test_discover:an_its_beside_a_gicv2_is_refused',
    'a protected VM': 'test_discover:a_protected_vm_is_refused',
    'its state is closed to the host': 'test_discover:a_protected_vm_is_refused',
    'a KVM fd': 'test_discover:an_unknown_fd_is_refused',
    'have the VMM close it': 'test_discover:an_unknown_fd_is_refused',
    'another GIC': 'test_discover:an_unknown_gic_is_refused',
    'a VM that is not an arm64 one': 'test_discover:another_architecture_is_refused',
    'dump on an arm64 host': 'test_discover:another_architecture_is_refused',
    'a capability that this plugin does not know': 'test_discover:an_unknown_flag_is_refused',
    'a vCPU feature that this plugin does not know': 'test_discover:an_unknown_feature_is_refused',
    'a vCPU id above 7 with a GICv2': 'test_probe:a_vcpu_that_a_gicv2_cannot_have_is_refused',
    'a memslot with flags this plugin does not know': 'test_discover:an_unknown_memslot_is_refused',
    'tell its authors': 'test_discover:an_unknown_flag_is_refused',
    'an interrupt that KVM has not injected yet': 'test_eventfd:one_that_never_comes_is_refused',
    'a restore could not tell which process has its eventfd: pids of the tree are not unique':
        'test_binding:a_holder_that_a_restore_would_not_find_is_refused',
    'a mapping of a vCPU whose fd was closed': 'test_tree:a_mapping_alone',
    'more than 64 VMs in a tree of processes': 'test_tree:the_most_vms',
    'dump parts of it': 'test_tree:the_most_vms',
    'more than 4096 fds of /dev/kvm in a tree of processes': 'test_tree:more_of_dev_kvm_than_images_have_room_for',
    'no room between its file descriptors for those of a restore': 'test_discover:no_room_for_fds_is_refused',
    'use fewer of them, or lower numbers': 'test_discover:no_room_for_fds_is_refused',
    'more than 268435456 pages with dirty logs in a tree of processes': 'test_discover:too_many_pages_with_dirty_logs_is_refused',
    'have the VMM end logs (KVM_MEM_LOG_DIRTY_PAGES)': 'test_discover:too_many_pages_with_dirty_logs_is_refused',
    'it is in a zone of coalesced MMIO, and the order in which the two were registered is not to be seen':
        'test_binding:an_ioeventfd_in_a_coalesced_zone_is_refused_where_the_order_matters',
    'have the VMM end the one or the other':
        'test_binding:an_ioeventfd_in_a_coalesced_zone_is_refused_where_the_order_matters',
    'more interrupts than can be looked at': 'test_discover:an_its_with_too_many_interrupts_is_refused',
    'more than %u irqfds, %u ioeventfds or %u coalesced MMIO zones': 'test_eventfd:too_many_are_refused',
    'memslots over more than %u mappings of files': 'test_capture:the_most_mappings_of_files',
    'its mappings and the names of their files are more than 64 MiB of text': 'test_proc:what_takes_too_long_to_read_is_refused',
    'guest memory in a file that has lost this name and has another': 'kvm_shared_file',
    'pid %d: the BPF iterator did not see its VM again': 'test_probe:lines_of_another_vm_are_none',
    'tells of %zu irqfds, %zu ioeventfds and %zu zones of coalesced MMIO: it did not see all':
        'test_eventfd:what_is_told_is_what_the_vm_has',
    'a GICv5 that %s': 'test_vgic_v5:one_that_is_not_set_up_is_refused_by_name',
}

STRING = r'"(?:[^"\\]|\\.)*"'
# Errors, which are none of what a VM has; names of files and of fds; formats of scanf.
NOT_A_REFUSAL = re.compile(r'errno %d|^cannot |no memory for|^/proc|^/sys/|^\[confidentiality\]$|^anon_inode|^/\[|^[\d.]+$|^re$|^%[\w*]*$|^ %|^-%$')


def macros_of(text):
    return dict(re.findall(rf'^#define (\w+)[ \t]+((?:{STRING}[ \t]*)+)$', text, re.M))


def literals_of(text, macros):
    """The strings of a source, without those of preprocessor lines, comments, and what is said at another level, with an errno
    (failed()), or to the compiler."""
    text = re.sub(r'/\*.*?\*/|^#.*?(?<!\\)$', '', text, flags=re.S | re.M)
    for name, value in macros.items():
        text = re.sub(rf'\b{name}\b', lambda _, v=value: v, text)
    text = re.sub(r'"\s*PRI([dux])64\b', r'll\1"', text)
    text = re.sub(r'"\s*"', '', text)
    text = re.sub(rf'\b(?:pr_info|pr_warn|failed|_Static_assert)\((?:[^"]|{STRING})*?\);', '', text)
    return [x[1:-1].replace('\\"', '"').replace('\\n', '') for x in re.findall(STRING, text)]


def refusals_of(plugin):
    """What the plugin in the folder @plugin can say when it refuses a dump."""
    macros = macros_of(read(os.path.join(plugin, 'probe/discover.h')))
    found = set()
    for folder, _, files in os.walk(plugin):
        for name in files:
            path = os.path.join(folder, name)
            text = read(path) if name.endswith('.c') else ''
            probe = os.path.relpath(path, plugin) in PROBES
            found |= {x for x in literals_of(text, {**macros, **macros_of(text)})
                      if not NOT_A_REFUSAL.search(x) and (probe or REFUSAL in x)}
    return found


def pattern(literal):
    """Of what printf() makes of it."""
    parts = re.split(r'(%[#-]?\d*(?:ll|z)?[sdux])', literal)
    return ''.join('.*' if i % 2 else re.escape(part) for i, part in enumerate(parts))


def is_excused(literal):
    return any(x in literal if '%' in literal else x == literal for x in NOT_SEEN)


def missing(plugin, seen):
    """What is in no line of @seen, and in no unit test."""
    return [x for x in sorted(refusals_of(plugin)) if not re.search(pattern(x), seen) and not is_excused(x)]
