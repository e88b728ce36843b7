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

import lives
from common import Unharmed, criu, discard, finish, read, require
from zdtmvm import Failure, is_alive, wait_gone

MODULE = '/usr/lib/kvm-vgic/vgic_v5_kmod.ko'
NAME = 'vgic_v5_kmod'
CALLS = '/sys/kernel/debug/kvm-vgic-v5/calls'
PARAMETERS = f'/sys/module/{NAME}/parameters'

IDS = ['IDR0', 'IDR1', 'IDR2', 'IDR5', 'IDR6', 'IDR7', 'IST_CFGR', 'IST_BASER']
STATUS = ['IIDR', 'AIDR', 'SYNC_STATUSR', 'SPI_STATUSR', 'PE_STATUSR', 'IST_STATUSR']
CPU = ([f'ICC_PPI_PRIORITYR{i}_EL1' for i in range(16)] +
       [f'ICC_PPI_{x}{i}_EL1' for x in ('ENABLER', 'SACTIVER', 'SPENDR') for i in range(2)] +
       ['ICC_APR_EL1', 'ICC_PCR_EL1', 'ICC_CR0_EL1', 'ICC_ICSR_EL1'])

# Group and attribute of the call that fails, its name in the log, and what that says of each errno that is documented.
GROUP_NAMES = {
    'ADDR': ('0 6', 'KVM_VGIC_V5_ADDR_TYPE_IRS'),
    'NR_IRQS': ('3 0', 'KVM_DEV_ARM_VGIC_GRP_NR_IRQS'),
    'INIT': ('4 0', 'KVM_DEV_ARM_VGIC_CTRL_INIT'),
    'PPIS': ('4 5', 'KVM_DEV_ARM_VGIC_USERSPACE_PPIS'),
    'IDR2': ('10 8', 'IRS_IDR2'),
    'CR1': ('10 132', 'IRS_CR1'),
    'IST_CFGR': ('10 400', 'IRS_IST_CFGR'),
    'IST_BASER': ('10 384', 'IRS_IST_BASER'),
    'CPU': ('6 *', 'ICC_PPI_PRIORITYR0_EL1'),
    'IST': ('11 0', 'KVM_DEV_ARM_VGIC_GRP_IST'),
}
FAILING_DUMPS = {
    'ADDR': {'ENXIO': 'not set up', 'EFAULT': 'cannot be used'},
    'NR_IRQS': {'EFAULT': 'cannot be used'},
    'PPIS': {'ENXIO': 'not set up', 'EFAULT': 'cannot be used'},
    'CR1': {'EINVAL': 'this host', 'EFAULT': 'cannot be used', 'EBUSY': 'a vCPU runs', 'ENXIO': 'no such register'},
    'CPU': {'EINVAL': 'this host', 'EBUSY': 'a vCPU runs', 'ENOENT': 'no such register', 'ENXIO': 'no such register',
            'EFAULT': 'cannot be used'},
    'IST': {'ENXIO': 'no LPI IST', 'EBUSY': 'try again', 'EINVAL': 'IRS_IST_CFGR', 'EFAULT': 'IRS_IST_BASER',
            'ETIMEDOUT': 'in time', 'ENOENT': 'no SPI IST', 'ENOMEM': 'no memory'},
}
FAILING_RESTORES = {
    'ADDR': {'EFAULT': 'cannot be used', 'ENXIO': 'not set up', 'EEXIST': 'already', 'EINVAL': 'its address',
             'E2BIG': 'IPA size'},
    'NR_IRQS': {'EFAULT': 'cannot be used', 'EINVAL': 'number of SPIs', 'EBUSY': 'set up already'},
    'INIT': {'EBUSY': 'being created', 'ENODEV': 'no vCPU', 'EINVAL': 'nested', 'E2BIG': 'VPEs', 'ENOMEM': 'no memory',
             'ENOSPC': 'VM id', 'ETIMEDOUT': 'in time'},
    'IDR2': {'EINVAL': 'this host'},
    'IST_CFGR': {'EINVAL': 'this host'},
    'IST_BASER': {'EINVAL': 'this host', 'ENOMEM': 'no memory', 'ETIMEDOUT': 'in time'},
    'CR1': {'EINVAL': 'this host', 'EFAULT': 'cannot be used', 'EBUSY': 'has run', 'ENXIO': 'no such register'},
    'CPU': {'EINVAL': 'this host', 'EBUSY': 'has run', 'ENOENT': 'no such register', 'ENXIO': 'no such register',
            'EFAULT': 'cannot be used'},
    'IST': {'ENXIO': 'belong to', 'EBUSY': 'has run', 'EINVAL': 'IRS_IST_CFGR', 'EFAULT': 'IRS_IST_BASER',
            'ETIMEDOUT': 'in time', 'ENOENT': 'no SPI IST', 'ENOMEM': 'no memory'},
}
# Without each of these a restore is no restore: KVM refuses it, or the VM finds something.
STEPS = ['GICv5 addresses', 'IRS ID registers', 'GICv5 ISTs', 'IRS registers', 'GICv5 CPU interfaces']


def failing(operation, cases):
    """A rule for the model, and what the log must have."""
    for call, errnos in cases.items():
        where, name = GROUP_NAMES[call]
        for error, why in errnos.items():
            number = getattr(errno, error)
            # EINVAL of a descriptor is how the form is told: for ever, then.
            always = ' x' if call == 'IST' and error == 'EINVAL' else ''
            yield (f'{operation} {where} -{number}{always}', why,
                   re.compile(f'KVM_{operation}_DEVICE_ATTR {name} .*errno {number}\\)'))


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

    def walk(self, op, what, of, nr):
        """Of each PE or SPI, behind its selector; KVM of 7.4 lets none be written once a vCPU has run."""
        if self.abi == 'merged':
            return [f'SET IRS_REGS {what}: -16'] if op == 'GET' else []
        around = [f'SET IRS_REGS {what}: 0'] if op == 'GET' else []
        return around + [f'SET IRS_REGS {what}: 0', f'{op} IRS_REGS {of}: 0'] * nr + around

    def walks(self, op):
        return self.walk(op, 'PE_SELR', 'PE_CR0', self.vcpus) + self.walk(op, 'SPI_SELR', 'SPI_CFGR', self.spis)

    def documented_save(self):
        """IRS Save Sequence of arm-vgic-v5.rst; before it, what sizes the tables."""
        no_nr = 0 if self.abi == 'merged' else -6
        ists = ['GET IST: -22', 'GET IST: 0'] if self.abi == 'merged' else ['GET IST: 0']
        return (['GET ADDR 6: 0', 'GET CTRL USERSPACE_PPIS: 0', f'GET NR_IRQS: {no_nr}'] + self.ids('GET') + ists +
                self.ids('GET') + [f'GET IRS_REGS {x}: 0' for x in ['CR1', 'CR0', 'SPI_SELR', 'PE_SELR'] + STATUS] +
                self.walks('GET') + self.cpus('GET'))

    def documented_restore(self):
        """IRS Restore Sequence. With the new IRS compared, and the form told, before a register is written."""
        no_nr = 0 if self.abi == 'merged' else -6
        form = -22 if self.abi == 'merged' else 0
        return (['SET ADDR 6: 0', f'SET NR_IRQS: {no_nr}', 'SET CTRL INIT: 0', 'GET CTRL USERSPACE_PPIS: 0'] +
                self.ids('GET') + [f'GET IST: {form}'] + self.ids('SET') + ['SET IST: 0'] +
                ['SET IRS_REGS CR1: 0', 'SET IRS_REGS CR0: 0'] + self.walks('SET') +
                ['SET IRS_REGS SPI_SELR: 0', 'SET IRS_REGS PE_SELR: 0'] + self.cpus('SET'))


def shapes():
    return [Shape(*x) for x in itertools.product(('merged', 'v1'), (1, 2, 8), (32, 1024), (0, 16))]


def module_loaded():
    return os.path.isdir(PARAMETERS)


def load_model(shape):
    require(os.path.exists(MODULE), f'{MODULE} is not there: the model is for --kernel 7.2')
    if module_loaded():
        subprocess.run(['rmmod', NAME], check=True)
    subprocess.run(['insmod', MODULE, f'abi={shape.abi}', f'nr_spis={shape.spis}'], check=True)


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


class Lives(lives.Lives):

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
        for rule, why, said in failing('GET', FAILING_DUMPS):
            images = self.images()
            unharmed = Unharmed(self.vm)
            set_parameter('fail', rule)
            result = self.dump(images)
            set_parameter('fail', '')
            result.require(result.status != 0, f'with "{rule}" the dump succeeded')
            result.require(said.search(result.log) and why in result.log, f'"{rule}": "{why}" is not in the log')
            unharmed.check(images)
            shutil.rmtree(images)

    def errnos_of_a_restore(self):
        """Each runs no vCPU, and costs nothing: the same images are restored in the end."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        for rule, why, said in failing('SET', FAILING_RESTORES):
            set_parameter('fail', rule)
            result = criu('restore', images, '-d')
            set_parameter('fail', '')
            result.require(result.status != 0, f'with "{rule}" the restore succeeded')
            result.require(said.search(result.log) and why in result.log, f'"{rule}": "{why}" is not in the log')
            require(not is_alive(self.vm.pid), f'with "{rule}" a task is left')
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def left_out(self, step):
        """What becomes of a restore without @step."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        result = criu('restore', images, '-d', env={'KVM_VGIC_SKIP': step})
        if result.status:
            return 'the restore is refused'
        try:
            self.goes_on()
            finish(self.vm)
        except Failure:
            return 'the VM finds it'
        raise Failure(f'a restore without "{step}" is as good as one with it')

    def steps_left_out(self):
        for step in STEPS:
            found = self.left_out(step)
            print(f'  without "{step}": {found}', flush=True)
            discard(self.vm)
            self.vm = self.start(self.name)

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

    def more(self):
        self.errnos_of_a_dump()
        self.errnos_of_a_restore()
        self.another_host()
        self.steps_left_out()
        for shape in shapes():
            self.another_vm(shape)
            self.dump_and_restore()
            print(f'  {shape}: equal, {len(self.shape.documented_restore())} calls as documented', flush=True)
