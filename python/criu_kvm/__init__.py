# SPDX-License-Identifier: GPL-2.0-only
"""Images of kvm_vgic, CRIU's plugin for KVM virtual machines on arm64."""
