# SPDX-License-Identifier: GPL-2.0-only
"""A container of each runtime: started, checkpointed, restored, ended by that runtime's own commands."""

import glob
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
ZDTM = os.path.join(os.path.dirname(HERE), 'zdtm')
sys.path.append(ZDTM)

from zdtmvm import Failure  # noqa: E402

TIMEOUT = 300           # seconds; a runtime that takes longer hangs
CRIU_CONFIG = '/etc/criu/default.conf'
# kvm_fds compares files by kcmp(), which podman's default seccomp profile gives only with that.
CAPABILITIES = {'kvm_fds': ['--cap-add=SYS_PTRACE']}
NOFILE = 400000         # kvm_fds has a fd of 300000


class Result:
    """Exit status, stdout and stderr of a command. They go to files: what it leaves running could keep a pipe open."""

    def __init__(self, command):
        with tempfile.TemporaryFile('w+', errors='replace') as out, tempfile.TemporaryFile('w+', errors='replace') as err:
            try:
                self.status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=TIMEOUT,
                                             check=False).returncode
            except subprocess.TimeoutExpired:
                self.status = 'none: it hangs'
            out.seek(0)
            err.seek(0)
            self.output, self.errors = out.read().strip(), err.read().strip()


def run(*command, check=True):
    """What it says on stdout; unchecked, on stderr."""
    result = Result(command)
    if not check:
        return result.errors
    if result.status:
        raise Failure(f'{" ".join(command)}: exit status {result.status}: {result.errors}')
    return result.output


def choose_network_lock():
    """CRIU keeps peers of a network namespace off by iptables-restore, if it is not told otherwise; what libnftables
    does needs no further program. The runtimes have no option for that, but CRIU reads this file for each of them."""
    if not shutil.which('iptables-restore') and not os.path.exists(CRIU_CONFIG):
        os.makedirs(os.path.dirname(CRIU_CONFIG), exist_ok=True)
        with open(CRIU_CONFIG, 'w') as f:
            f.write('network-lock nftables\n')


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


def first_disk():
    """The number of a device that nobody hands to a container."""
    with open('/proc/partitions') as f:
        major, minor = f.read().splitlines()[2].split()[:2]
    return os.makedev(int(major), int(minor))


def make_rootfs(folder, test):
    """What the container sees: busybox, process 1, the test and its libraries."""
    for name in ('bin', 'dev', 'proc', 'sys', 'etc', 'tmp', 'run', 'lib', 'work', 'vm'):
        os.makedirs(os.path.join(folder, name))
    for source in ('/bin/busybox', os.path.join(HERE, 'start')):
        shutil.copy(source, os.path.join(folder, 'bin'))
    os.symlink('busybox', os.path.join(folder, 'bin/sh'))
    os.mknod(os.path.join(folder, 'tmp/disk'), 0o600 | stat.S_IFBLK, first_disk())
    shutil.copy(os.path.join(ZDTM, test), os.path.join(folder, 'vm'))
    for name in ('libc.so.6', 'ld-linux-aarch64.so.1'):
        shutil.copy(glob.glob(f'/lib/aarch64-linux-gnu/{name}')[0], os.path.join(folder, 'lib'))


class Container:
    """@base: a folder for all that is the container's. What it writes is in @base/work, its volume."""

    name = 'vm'

    def __init__(self, runtime, base, test):
        self.runtime = runtime
        self.base = base
        self.test = test
        self.volume = os.path.join(base, 'work')
        self.rootfs = os.path.join(base, 'rootfs')
        self.logs = os.path.join(base, 'log')       # CRIU's, of the last dump and restore

    def command(self, options):
        """What runs in it."""
        path = f'/work/{self.test}'
        return ['/bin/start', f'/vm/{self.test}', f'--pidfile={path}.pid', f'--outfile={path}.out', *options]

    def is_fenced(self):
        """Whether its cgroup keeps it from a device that it was not given, and from no other."""
        self.call('exec', self.name, '/bin/busybox', 'sh', '-c', ': </dev/kvm')
        said = self.call('exec', self.name, '/bin/busybox', 'head', '-c', '1', '/tmp/disk', check=False)
        return 'head: /tmp/disk: Operation not permitted' in said

    def prepare(self, options):
        empty(self.base)
        os.mkdir(self.volume)
        make_rootfs(self.rootfs, self.test)

    def leave(self):
        """Of what another host needs, all that is not in @base yet."""

    def arrive(self):
        """All that is needed beside @base."""


class Bundle(Container):
    """crun and runc know the same commands."""

    def __init__(self, runtime, base, test):
        super().__init__(runtime, base, test)
        self.images = os.path.join(base, 'images')

    def call(self, action, *words, check=True):
        return run(self.runtime, action, *words, check=check)

    def prepare(self, options):
        super().prepare(options)
        self.write_config(options)

    def write_config(self, options):
        """What `spec` makes, and what a VMM needs."""
        subprocess.run([self.runtime, 'spec'], cwd=self.base, check=True)
        path = os.path.join(self.base, 'config.json')
        with open(path) as f:
            config = json.load(f)
        process, linux = config['process'], config['linux']
        process['terminal'] = False
        process['args'] = self.command(options)
        process['cwd'] = '/work'
        process['rlimits'] = [{'type': 'RLIMIT_NOFILE', 'hard': NOFILE, 'soft': 1024}]
        config['mounts'].append({'destination': '/work', 'type': 'bind', 'source': self.volume,
                                 'options': ['bind', 'rw']})
        kvm = os.stat('/dev/kvm').st_rdev
        number = {'type': 'c', 'major': os.major(kvm), 'minor': os.minor(kvm)}
        linux['devices'] = [{'path': '/dev/kvm', 'fileMode': 0o666, 'uid': 0, 'gid': 0, **number}]
        linux['resources']['devices'].append({'allow': True, 'access': 'rw', **number})
        with open(path, 'w') as f:
            json.dump(config, f, indent=1)

    def start(self):
        """Its stdin, stdout and stderr are the container's: files of the host would not be restored."""
        log = os.path.join(self.base, 'run.log')
        command = [self.runtime, '--log', log, 'run', '--detach', '--bundle', self.base, self.name]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           timeout=TIMEOUT, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
            with open(log) as f:
                raise Failure(f'{e}: {f.read()}') from e

    def state(self):
        return json.loads(self.call('state', self.name))

    def pid(self):
        return self.state()['pid']

    def status(self):
        return self.state()['status']

    def folders(self):
        return ['--image-path', self.images, '--work-path', self.logs]

    def checkpoint(self, *more, check=True):
        empty(self.images)
        empty(self.logs)
        return self.call('checkpoint', *self.folders(), *more, self.name, check=check)

    def pre_checkpoint(self):
        return self.checkpoint('--pre-dump', check=False)

    def restore(self):
        self.call('restore', '--detach', '--bundle', self.base, *self.folders(), self.name)

    def end(self):
        self.call('kill', self.name, 'TERM')

    def wait(self):
        """They tell nobody a detached container's exit status."""

    def remove(self):
        self.call('delete', '--force', self.name, check=False)


class Podman(Container):
    """With export and import: between them the container is nowhere."""

    image = 'localhost/kvm-vgic'
    flags = ['--cgroup-manager=cgroupfs', '--events-backend=file', '--runtime=crun']

    def __init__(self, runtime, base, test):
        super().__init__(runtime, base, test)
        self.export = os.path.join(base, 'checkpoint.tar')

    def call(self, *words, check=True):
        return run('podman', *self.flags, *words, check=check)

    def prepare(self, options):
        super().prepare(options)
        self.options = options
        archive = os.path.join(self.base, 'rootfs.tar')
        run('tar', '-C', self.rootfs, '-cf', archive, '.')
        self.call('import', archive, self.image)
        os.remove(archive)

    def start(self):
        self.call('run', '--detach', '--name', self.name, '--network=none', '--device', '/dev/kvm',
                  '--volume', f'{self.volume}:/work', '--workdir', '/work', '--ulimit', f'nofile=1024:{NOFILE}',
                  *CAPABILITIES.get(self.test, []), self.image, *self.command(self.options))

    def inspect(self, what):
        return self.call('inspect', '--type', 'container', '--format', '{{' + what + '}}', self.name)

    def pid(self):
        return int(self.inspect('.State.Pid'))

    def status(self):
        return self.inspect('.State.Status')

    def keep_log(self, action):
        """They are in podman's own folder, and go with the container."""
        for path in glob.glob(f'/var/lib/containers/storage/*-containers/*/userdata/{action}.log'):
            shutil.copy(path, self.logs)

    def checkpoint(self):
        empty(self.logs)
        try:
            self.call('container', 'checkpoint', '--keep', '--export', self.export, self.name)
        finally:
            self.keep_log('dump')
        self.call('rm', self.name)

    def pre_checkpoint(self):
        return self.call('container', 'checkpoint', '--pre-checkpoint', self.name, check=False)

    def restore(self):
        try:
            self.call('container', 'restore', '--keep', '--import', self.export)
        finally:
            self.keep_log('restore')

    def end(self):
        self.call('kill', '--signal', 'TERM', self.name)

    def wait(self):
        return int(self.call('wait', self.name))

    def remove(self):
        self.call('rm', '--force', '--time', '0', self.name, check=False)

    def leave(self):
        self.call('save', '--output', os.path.join(self.base, 'image.tar'), self.image)

    def arrive(self):
        self.call('load', '--input', os.path.join(self.base, 'image.tar'))


def container(runtime, base, test):
    return (Podman if runtime == 'podman' else Bundle)(runtime, base, test)
