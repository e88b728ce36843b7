# SPDX-License-Identifier: GPL-2.0-only
"""crit for images of kvm_vgic too: python3 -m criu_kvm.crit decode --pretty -i kvm-vm.img

pycriu's table of kinds of images is fixed; importing this module adds ours to it. What is encoded gets its seal
anew, so that an image that was changed is one that can be read; kvm-vm.img has the seals of the others.
"""
import ctypes
import ctypes.util
import io
import os
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pycriu.images import images, magic

# Name for crit, message, and the magic of docs/image-format.md.
KINDS = (
    ('KVM_VM', 'kvm_vgic.vm_image', 0x52120007),
    ('KVM_VCPU', 'kvm_vgic.vcpu_image', 0x52240016),
    ('KVM_VCPU_EVENTS', 'kvm_vgic.vcpu_events_image', 0x52380118),
    ('KVM_VGIC', 'kvm_vgic.vgic_image', 0x52030109),
    ('KVM_ITS', 'kvm_vgic.its_image', 0x52150043),
    ('KVM_THREAD', 'kvm_vgic.thread_image', 0x52250045),
)
DESCRIPTORS = os.path.join(os.path.dirname(__file__), 'images.desc')  # protoc's, of proto/*.proto


def load_pool(path):
    """A pool of our own: CRIU's messages are in the default one, under file names that could be ours."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, 'rb') as f:
        files.ParseFromString(f.read())
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, 'GetMessageClass'):  # protobuf 4.22
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def xxh64(data):
    name = ctypes.util.find_library('xxhash') or 'libxxhash.so.0'
    function = ctypes.CDLL(name).XXH64
    function.restype = ctypes.c_uint64
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
    return function(data, len(data), 0)


class SealedHandler(images.entry_handler):
    """Entries of which the last is the seal of all bytes before it."""

    def __init__(self, payload, kind_magic):
        super().__init__(payload)
        self.framing = struct.pack('<II', magic.by_name['IMG_COMMON'] & 0xffffffff, kind_magic)

    def dump(self, entries, f):
        body = io.BytesIO()
        super().dump([entry for entry in entries if 'seal' not in entry], body)
        super().dump([{'seal': xxh64(self.framing + body.getvalue())}], body)
        f.write(body.getvalue())


def register():
    pool = load_pool(DESCRIPTORS)
    for name, message, value in KINDS:
        magic.by_name[name] = value
        magic.by_val[value] = name
        images.handlers[name] = SealedHandler(message_class(pool, message), value)


register()


def main():
    import crit.__main__
    sys.argv[0] = 'criu_kvm.crit'
    crit.__main__.main()


if __name__ == '__main__':
    main()
