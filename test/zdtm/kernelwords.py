# SPDX-License-Identifier: GPL-2.0-only
"""What a restore says of the registers between Linux 6.12 and 7.2: docs/register-policy.md, word for word."""

LAST = 'vm 1: cannot go on on this host: nothing of it was created'
REFUSED = ('vm 1: 1 registers of the image refused: the guest was told of another CPU, firmware or kernel: restore it on a '
           'host that has what it was told of')

# The firmware registers are compared before the others.
UP = ['vm 1: registers that the image has not: KVM_REG_ARM_VENDOR_HYP_BMAP_2: written as 0, as the guest found them',
      'vm 1: registers that this kernel has not, and that the guest does not miss: TCR2_EL1, PIRE0_EL1, PIR_EL1: dropped']
DOWN = ['vm 1: registers that this kernel has not, and that the guest does not miss: KVM_REG_ARM_VENDOR_HYP_BMAP_2: dropped',
        'vm 1: registers that the image has not: TCR2_EL1, PIRE0_EL1, PIR_EL1: left as this kernel makes them']
PSCI = ['vm 1: register KVM_REG_ARM_PSCI_VERSION: 0x10003 is refused by this kernel: minor is 3 in the image, 1 on this '
        'host', REFUSED, LAST]
