# SPDX-License-Identifier: GPL-2.0-only
"""GICv5, against the model (test/model) as a kernel module: both forms of the interface, VMs of several shapes.

What the model has recorded of a dump and of a restore must be the documented sequence, call by call. No hardware
is in this test, and no KVM that has the interface: see docs/gicv5.md.
"""

import errno
import itertools
import os
import re
import shutil
import subprocess
import time

import lives
from common import Unharmed, criu, finish, read, require
from zdtmvm import Failure, is_alive, wait_gone

MODULE = '/usr/lib/kvm-vgic/vgic_v5_kmod.ko'
NAME = 'vgic_v5_kmod'
CALLS = '/sys/kernel/debug/kvm-vgic-v5/calls'
PARAMETERS = f'/sys/module/{NAME}/parameters'

ID_STEP = 3     # between vCPU ids
SAMPLE = 4      # of shapes and of errnos, with --short
IDS = ['IDR0', 'IDR1', 'IDR2', 'IDR5', 'IDR6', 'IDR7', 'IST_CFGR', 'IST_BASER']
STATUS = ['IIDR', 'AIDR', 'SYNC_STATUSR', 'SPI_STATUSR', 'PE_STATUSR', 'IST_STATUSR']
CPU = ([f'ICC_PPI_PRIORITYR{i}_EL1' for i in range(16)] +
       [f'ICC_PPI_{x}{i}_EL1' for x in ('ENABLER', 'SACTIVER', 'SPENDR') for i in range(2)] +
       ['ICC_APR_EL1', 'ICC_PCR_EL1', 'ICC_CR0_EL1', 'ICC_ICSR_EL1'])

# Calls that are made to fail: group and attribute, and the name in the log.
ATTRS = {
    'ADDR': ('0 6', 'KVM_VGIC_V5_ADDR_TYPE_IRS'),
    'NR_IRQS': ('3 0', 'KVM_DEV_ARM_VGIC_GRP_NR_IRQS'),
    'INIT': ('4 0', 'KVM_DEV_ARM_VGIC_CTRL_INIT'),
    'PPIS': ('4 5', 'KVM_DEV_ARM_VGIC_USERSPACE_PPIS'),
    'IDR2': ('10 8', 'IRS_IDR2'),
    'CR1': ('10 132', 'IRS_CR1'),
    'IST_CFGR': ('10 400', 'IRS_IST_CFGR'),
    'IST_BASER': ('10 384', 'IRS_IST_BASER'),
    'SPI_SELR': ('10 264', 'IRS_SPI_SELR'),
    'SPI_CFGR': ('10 276', 'IRS_SPI_CFGR'),
    'PE_SELR': ('10 320', 'IRS_PE_SELR'),
    'PE_CR0': ('10 328', 'IRS_PE_CR0'),
    'CPU': ('6 *', 'ICC_PPI_PRIORITYR0_EL1'),
    'IST': ('11 0', 'KVM_DEV_ARM_VGIC_GRP_IST'),
}
MEMORY = "the task's memory for it cannot be used"
REGISTER = {'EINVAL': "the value is none that this host's KVM takes", 'EFAULT': MEMORY,
            'EBUSY': 'a vCPU runs or has run, or the GIC is not initialised',
            'ENXIO': 'KVM has no such register, or the IRS has no address'}
CPU_REGISTER = dict(REGISTER, ENOENT='KVM has no such register')
LPI_IST = 'the LPI IST is not in guest memory (IRS_IST_BASER), or ' + MEMORY
# What the log says of each errno that is documented.
FAILING_DUMPS = {
    'ADDR': {'ENXIO': 'it was not set up as this needs, or KVM has no such attribute', 'EFAULT': MEMORY},
    'NR_IRQS': {'EFAULT': MEMORY},
    'PPIS': {'ENXIO': 'it was not set up as this needs, or KVM has no such attribute', 'EFAULT': MEMORY},
    'CR1': REGISTER,
    'CPU': CPU_REGISTER,
    'IST': {'ENXIO': 'IRS_IST_BASER is valid and KVM has no LPI IST', 'EBUSY': 'a vCPU runs, or the IRS went on changing',
            'EFAULT': LPI_IST, 'ETIMEDOUT': 'the IRS did not write its tables out in time',
            'ENOENT': 'KVM has no SPI IST', 'ENOMEM': 'the kernel has no memory for it'},
}
IST_EINVAL = 'IRS_IST_CFGR describes no LPI IST that KVM has'
# Where selectors can be written: of the series of April 2026.
FAILING_WALKS = {'SPI_CFGR': REGISTER, 'PE_CR0': REGISTER}
FAILING_SELECTORS = {what: {e: REGISTER[e] for e in ('EINVAL', 'EFAULT', 'ENXIO')} for what in ('SPI_SELR', 'PE_SELR')}
FAILING_RESTORES = {
    'ADDR': {'EFAULT': MEMORY, 'ENXIO': 'it was not set up as this needs', 'EEXIST': 'it has an address already',
             'EINVAL': 'its address or its number of SPIs is none', 'E2BIG': "IRS_CONFIG_FRAME is beyond the VM's IPA size"},
    'NR_IRQS': {'EFAULT': MEMORY, 'EINVAL': 'its address or its number of SPIs is none', 'EBUSY': 'it is set up already'},
    'INIT': {'EBUSY': 'or a vCPU is being created', 'ENODEV': 'there is no vCPU', 'EINVAL': 'or a vCPU is a nested one',
             'E2BIG': 'there are more vCPUs than this host has VPEs for', 'ENOMEM': 'the kernel has no memory for it',
             'ENOSPC': 'this host has no VM id left', 'ETIMEDOUT': 'the IRS did not answer in time'},
    'IDR2': {'EINVAL': REGISTER['EINVAL']},
    'IST_CFGR': {'EINVAL': REGISTER['EINVAL']},
    'IST_BASER': {'EINVAL': REGISTER['EINVAL'], 'ENOMEM': 'the kernel has no memory for the LPI IST',
                  'ETIMEDOUT': 'the IRS did not take the LPI IST in time'},
    'CR1': REGISTER,
    'SPI_SELR': REGISTER,
    'CPU': CPU_REGISTER,
    'IST': {'ENXIO': 'KVM has not what the tables belong to', 'EBUSY': 'a vCPU runs or has run, or the LPI IST is there already',
            'EINVAL': "IRS_IST_CFGR describes no LPI IST that this host's KVM takes", 'EFAULT': LPI_IST,
            'ETIMEDOUT': 'the IRS did not take the tables in time', 'ENOENT': "this host's KVM has no SPI IST",
            'ENOMEM': 'the kernel has no memory for the LPI IST, or for what is pending'},
}


class Case:
    """A rule for the model, and what the log must say: operation, name and errno in a line, the reason in another."""

    def __init__(self, operation, call, error, why, rule=None):
        where, name = ATTRS[call]
        number = getattr(errno, error)
        self.rule = rule or f'{operation} {where} -{number}'
        self.why = why
        self.said = re.compile(f'KVM_{operation}_DEVICE_ATTR {name} .*errno {number}\\)')

    def check(self, result):
        result.require(result.status != 0, f'with "{self.rule}" criu succeeded')
        errors = '\n'.join(result.errors)
        result.require(self.said.search(errors) and re.search(r'^vm \d+: [^:]*: .*' + re.escape(self.why), errors, re.M),
                       f'"{self.rule}": {self.said.pattern} and "{self.why}" are not in the log')


def cases(operation, calls):
    return [Case(operation, call, error, why) for call, errnos in calls.items() for error, why in errnos.items()]


def after_the_probe(case):
    """The first GRP_IST tells the form, by EINVAL: it is the second one that fails."""
    case.rule = f'GET 11 0 -{errno.EINVAL};' + case.rule
    return case


def dumps_that_fail(shape):
    merged = shape.abi == 'merged'
    for case in cases('GET', FAILING_DUMPS):
        yield after_the_probe(case) if merged and 'GRP_IST' in case.said.pattern else case
    if not merged:
        yield from cases('GET', FAILING_WALKS)
        yield from cases('SET', FAILING_SELECTORS)
        return
    yield Case('GET', 'IST', 'EINVAL', IST_EINVAL, rule=f'GET 11 0 -{errno.EINVAL} x')
    for moment in range(3):
        for error in ('ETIMEDOUT', 'EBUSY'):
            yield Case('GET', 'IST', error, FAILING_DUMPS['IST'][error],
                       rule=f'QUIESCE 11 {moment} -{getattr(errno, error)}')


def restores_that_fail(shape):
    for case in cases('SET', FAILING_RESTORES):
        # Where there is no number of SPIs to set, ENXIO is how that is told.
        if shape.abi == 'merged' or 'NR_IRQS' not in case.said.pattern:
            yield case


class Shape:
    def __init__(self, abi, vcpus, spis, lpi_bits):
        self.abi = abi
        self.vcpus = vcpus
        self.spis = spis
        self.lpi_bits = lpi_bits
        self.options = [f'--abi={abi}', f'--vcpus={vcpus}', f'--spis={spis}', f'--lpi_bits={lpi_bits}']

    def __str__(self):
        return f'{self.abi}, {self.vcpus} vCPUs, {self.spis} SPIs, LPI ids of {self.lpi_bits} bits'

    def cpus(self, op):
        return [f'{op} CPU_SYSREGS {i} {name}: 0' for i in range(self.vcpus) for name in CPU]

    def ids(self, op):
        return [f'{op} IRS_REGS {x}: 0' for x in IDS]

    def selected(self, op, what):
        """What the test has selected."""
        return f'{op} IRS_REGS {what} {self.spis // 2 if what == "SPI_SELR" else ID_STEP * (self.vcpus - 1)}: 0'

    def walk(self, op, what, of, which):
        """Of each PE or SPI, behind its selector; KVM of 7.4 lets none be written once a vCPU has run."""
        if self.abi == 'merged':
            return [f'SET IRS_REGS {what}: -16'] if op == 'GET' else []
        around = [self.selected('SET', what)] if op == 'GET' else []
        return around + [call for i in which for call in (f'SET IRS_REGS {what} {i}: 0', f'{op} IRS_REGS {of}: 0')] + around

    def walks(self, op):
        return (self.walk(op, 'PE_SELR', 'PE_CR0', range(0, ID_STEP * self.vcpus, ID_STEP)) +
                self.walk(op, 'SPI_SELR', 'SPI_CFGR', range(self.spis)))

    def documented_save(self):
        """IRS Save Sequence of arm-vgic-v5.rst; before it, what sizes the tables."""
        no_nr = 0 if self.abi == 'merged' else -6
        ists = ['GET IST: -22', 'GET IST: 0'] if self.abi == 'merged' else ['GET IST: 0']
        return (['GET ADDR 6: 0', 'GET CTRL USERSPACE_PPIS: 0', f'GET NR_IRQS: {no_nr}'] + self.ids('GET') + ists +
                self.ids('GET') + self.irs() + self.walks('GET') + self.cpus('GET'))

    def irs(self, selected=True):
        """What is read beside the ID registers; a new IRS has nothing selected."""
        selectors = ([self.selected('GET', x) for x in ('SPI_SELR', 'PE_SELR')] if selected else
                     ['GET IRS_REGS SPI_SELR 16777215: 0', 'GET IRS_REGS PE_SELR 65535: 0'])
        return ['GET IRS_REGS CR1: 0', 'GET IRS_REGS CR0: 0'] + selectors + [f'GET IRS_REGS {x}: 0' for x in STATUS]

    def documented_restore(self):
        """IRS Restore Sequence. With the new IRS compared, and the form told, before a register is written."""
        no_nr = 0 if self.abi == 'merged' else -6
        form = -22 if self.abi == 'merged' else 0
        ists = ['SET IST: 0']
        registers = (['SET IRS_REGS CR1: 0', 'SET IRS_REGS CR0: 0'] + self.walks('SET') +
                     [self.selected('SET', 'SPI_SELR'), self.selected('SET', 'PE_SELR')])
        return (['SET ADDR 6: 0', f'SET NR_IRQS: {no_nr}', 'SET CTRL INIT: 0', 'GET CTRL USERSPACE_PPIS: 0'] +
                self.ids('GET') + self.irs(selected=False) + [f'GET IST: {form}'] + self.ids('SET') +
                (registers + ists if self.abi == 'merged' else ists + registers) + self.cpus('SET'))


def shapes():
    return [Shape(*x) for x in itertools.product(('merged', 'v1'), (1, 2, 8), (32, 1024), (0, 16))]


def module_loaded():
    return os.path.isdir(PARAMETERS)


def load_model(shape, *more):
    require(os.path.exists(MODULE), f'{MODULE} is not there: the model is for --kernel 7.2')
    if module_loaded():
        subprocess.run(['rmmod', NAME], check=True)
    subprocess.run(['insmod', MODULE, f'abi={shape.abi}', f'nr_spis={shape.spis}', *more], check=True)


def set_parameter(name, value):
    with open(os.path.join(PARAMETERS, name), 'w') as f:
        f.write(value + '\n')      # nothing at all would be no write


def take_calls():
    """What the model has recorded since the last time, without the number of the device."""
    lines = [re.sub(r'^\d+ ', '', x) for x in read(CALLS).splitlines()]
    with open(CALLS, 'w') as f:
        f.write('\n')
    return lines


def compare_calls(what, shape, documented, found):
    for i, (want, have) in enumerate(itertools.zip_longest(documented, found)):
        if want != have:
            raise Failure(f'{what} of {shape}: call {i + 1} is "{have}", documented is "{want}"')


def ends(pid, seconds=10):
    """Whether the task that criu has killed does so: it does not wait for it."""
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


class Lives(lives.Lives):

    needed = ['GICv5 addresses', 'IRS ID registers', 'GICv5 ISTs', 'IRS registers', 'GICv5 CPU interfaces']

    def __init__(self, name, args):
        self.name = name
        self.shape = Shape('merged', 2, 32, 16)
        load_model(self.shape)
        self.options = self.shape.options
        super().__init__(name, args)

    def another_vm(self, shape):
        finish(self.vm)
        shutil.rmtree(self.vm.dir, ignore_errors=True)
        wait_gone(self.vm.pid)
        load_model(shape)
        self.shape = shape
        self.options = shape.options
        self.vm = self.start(self.name)

    def dump_and_restore(self):
        take_calls()
        images = self.images()
        self.dump_ok(images)
        compare_calls('the dump', self.shape, self.shape.documented_save(), take_calls())
        wait_gone(self.vm.pid)
        self.restore_ok(images)
        compare_calls('the restore', self.shape, self.shape.documented_restore(), take_calls())
        self.goes_on()
        shutil.rmtree(images)

    def errnos_of_a_dump(self):
        """Each leaves the VM running as it was."""
        for case in self.sample(dumps_that_fail(self.shape), SAMPLE):
            images = self.images()
            unharmed = Unharmed(self.vm)
            set_parameter('fail', case.rule)
            result = self.dump(images)
            set_parameter('fail', '')
            case.check(result)
            unharmed.check(images)
            shutil.rmtree(images)

    def errnos_of_a_restore(self):
        """Each runs no vCPU, and costs nothing: the same images are restored in the end."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        for case in self.sample(restores_that_fail(self.shape), SAMPLE):
            set_parameter('fail', case.rule)
            result = criu('restore', images, '-d')
            set_parameter('fail', '')
            case.check(result)
            require(ends(self.vm.pid), f'with "{case.rule}" a task is left')
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def another_host(self):
        """An IRS that the new host's cannot be: named before a register is written."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        take_calls()
        set_parameter('id_bits', '14')
        result = criu('restore', images, '-d')
        set_parameter('id_bits', '16')
        said = 'IRS_IDR2.ID_BITS is 16 in the image, at most 14 on this host'
        result.require(result.status != 0 and said in result.log, f'"{said}" is not in the log')
        calls = take_calls()
        require(not any(x.startswith('SET IRS_REGS') for x in calls), f'registers were written: {calls}')
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def userfaultfd(self):
        """KVM may write the LPI IST to memory whose pages are a frozen handler's to give."""
        finish(self.vm)
        self.options = [*self.shape.options, '--uffd=1']
        self.vm = self.start(self.name)
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images)
        said = 'a userfaultfd: KVM would wait for its handler'
        result.require(result.status != 0 and said in result.log, f'"{said}" is not in the log')
        unharmed.check(images)

    def more(self):
        self.errnos_of_a_dump()
        self.errnos_of_a_restore()
        self.another_host()
        super().more()
        self.another_vm(Shape('v1', 2, 32, 16))
        for live in [self.errnos_of_a_dump, self.errnos_of_a_restore, *self.lives(), self.userfaultfd]:
            live()
        for shape in self.sample(shapes(), SAMPLE):
            self.another_vm(shape)
            self.dump_and_restore()
            print(f'  {shape}: equal, {len(self.shape.documented_restore())} calls as documented', flush=True)
