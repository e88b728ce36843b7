#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the emulated host: lays out CRIU's test tree with our tests in it, and runs zdtm.py as test/zdtm/run --zdtm wants it.

/share/zdtm/plan.json says what to run; a line for each test goes to /share/zdtm/results as soon as it is known, what
zdtm.py has said to /share/zdtm/logs, and of tests that fail the images to /share/zdtm/images.
"""

import ast
import glob
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

import modes
import output

HERE = os.path.dirname(os.path.realpath(__file__))
TESTS = os.path.dirname(HERE)
SHARE = '/share/zdtm'
TREE = '/criu'          # whoever a test runs as reaches it
WORK = TREE + '/test'
STATIC = WORK + '/zdtm/static'
PLUGIN = 'kvm_vgic_plugin.so'
MODEL = '/usr/lib/kvm-vgic/vgic_v5_kmod.ko'
SECONDS = 240           # for one test in one mode
FOR_NOW = re.compile(r'kvm_vgic: .*: try again')
TRIES = 4               # of a test whose dump the plugin refuses for the moment
NOFILE = (1024, 1 << 19)    # as systemd gives it to every process


def lay_out():
    """The tree as it would be in CRIU's, built."""
    subprocess.run(['tar', '-xf', SHARE + '/tree.tar', '-C', '/'], check=True)
    for desc in glob.glob(TESTS + '/*.desc'):
        name = desc[:-5]
        for path in (name, desc, name + '.checkskip', *glob.glob(name + '.hook')):
            shutil.copy(path, STATIC, follow_symlinks=False)
    shutil.copy(TESTS + '/kvm.checkskip', STATIC)
    shutil.copy(HERE + '/GNUmakefile', STATIC)


def check_criu(plan):
    """zdtm.py and CRIU are of one version."""
    told = subprocess.run(['criu', '--version'], check=True, stdout=subprocess.PIPE, text=True).stdout
    if f'Version: {plan["criu"]}\n' not in told:
        sys.exit(f'CRIU {plan["criu"]} was asked for, and this is: {told}')


def set_up_host(plan):
    # What the packages' maintainer scripts would have done: CRIU locks a namespace's network by these.
    for name in ('iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore'):
        if os.path.exists('/usr/sbin/xtables-nft-multi') and not os.path.lexists('/usr/sbin/' + name):
            os.symlink('xtables-nft-multi', '/usr/sbin/' + name)
    os.makedirs('/sys/fs/cgroup/user.slice', exist_ok=True)     # by this zdtm.py knows cgroup v2
    os.chmod('/dev/kvm', 0o666)     # as with libvirt a VMM needs not be root
    with open('/proc/sys/vm/nr_hugepages', 'w', encoding='ascii') as f:
        f.write('16')               # kvm_memslots has slots over such pages
    resource.setrlimit(resource.RLIMIT_NOFILE, NOFILE)
    if plan['model']:
        subprocess.run(['insmod', MODEL, 'abi=merged', 'nr_spis=32'], check=True)


def have_plugin(wanted):
    path = f'{WORK}/plugins/{PLUGIN}'
    if wanted and not os.path.lexists(path):
        os.symlink('/usr/lib/criu/' + PLUGIN, path)
    elif not wanted and os.path.lexists(path):
        os.unlink(path)


def environment():
    return dict(os.environ, PYTHONUNBUFFERED='1', TMPDIR='/tmp',
                CRIU_LIBS_DIR=WORK + '/plugins',        # zdtm.py does so itself, but with --rpc and --criu-config
                ZDTM_MNT_EXT_DEV='/dev/kvm')            # a device more in the namespaces' /dev


def batches(mode, tests, jobs):
    """What one zdtm.py is to run. Where it runs one test at a time it lets that and itself write where they like."""
    return [tests] if jobs > 1 and mode.parallel else [[x] for x in tests]


def show_progress(run, line):
    start = output.START.fullmatch(line.rstrip())
    if start and start[2] != '1':
        print(f'{run["name"]}: {start[1]} of {start[2]}: {os.path.basename(start[3])}', flush=True)


def zdtm(run, mode, tests, plan):
    """zdtm.py's exit status, and its lines with the times when they came."""
    command = ['./zdtm.py', 'run', '--criu-bin', '/usr/sbin/criu', '--crit-bin', '/usr/bin/crit', '--keep-going',
               '-k', 'always' if run['own'] or mode.shows or mode.hides else 'failed', *mode.args]
    if len(tests) > 1:
        command += ['-p', str(plan['jobs'])]
    if plan['model']:
        command.append('--ignore-taint')        # a module that is not Debian's
    for test in tests:
        command += ['-t', test]
    lines = []
    with subprocess.Popen(command, cwd=WORK, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True) as process:
        timer = threading.Timer(SECONDS * (1 + len(tests)), os.killpg, (process.pid, 9))
        timer.start()
        for line in process.stdout:
            lines.append((time.monotonic(), line))
            show_progress(run, line)
        status = process.wait()
        timer.cancel()
    return status, lines


def desc_of(test):
    """As zdtm.py reads it; with our own keys: 'skip': {modes: why zdtm.py cannot, or is not to, run it so}, and of a test
    whose dump is refused 'refused': by which words."""
    path = f'{WORK}/{test}.desc'
    if not os.path.exists(path) or not os.path.getsize(path):
        return {}
    with open(path) as f:
        return ast.literal_eval(f.read().strip())


def skip_reason(test, mode):
    return next((why for some, why in desc_of(test).get('skip', {}).items() if mode in some.split() or some == '*'), None)


def save(run, lines):
    """zdtm.py's words, and what CRIU has left of tests that failed."""
    os.makedirs(SHARE + '/logs', exist_ok=True)
    with open(f'{SHARE}/logs/{run["name"]}.log', 'a') as f:
        f.writelines(line for _, line in lines)


def save_images(run, test):
    for path in glob.glob(f'{WORK}/dump/{test}/*'):
        where = f'{SHARE}/images/{run["name"]}/{os.path.basename(test)}/{os.path.basename(path)}'
        # Not the memory: the logs, and what is small.
        shutil.copytree(path, where, dirs_exist_ok=True, ignore=shutil.ignore_patterns('pages-*.img', '*.socket'))


def criu_logs(test):
    for path in glob.glob(f'{WORK}/dump/{test}/*/*/*.log'):
        if os.path.basename(path) in ('dump.log', 'restore.log'):
            with open(path, errors='replace') as f:
                yield f.read()


def loaded_plugin(test):
    """Whether each CRIU that dumped or restored @test says that it has loaded the plugin; None: they disagree."""
    found = {'Plugin "kvm_vgic_plugin"' in x for x in criu_logs(test)}
    return found.pop() if len(found) == 1 else None


def made_a_difference(test, mode):
    logs = list(criu_logs(test))
    return bool(logs) and (not mode.shows or any(mode.shows in x for x in logs)) and \
        not (mode.hides and any(mode.hides in x for x in logs))


def tell(run, test, outcome):
    with open(SHARE + '/results', 'a') as f:
        f.write(json.dumps({'run': run['name'], 'test': os.path.basename(test), 'result': outcome.result,
                            'reason': outcome.reason, 'seconds': round(outcome.seconds, 1), 'tries': outcome.tries}) + '\n')
    print(f'{run["name"]}: {os.path.basename(test)}: {outcome.result}'
          + (f': {outcome.reason}' if outcome.reason else '') + f' ({outcome.seconds:.0f} s)', flush=True)


def is_tried_again(run, outcome, attempt):
    """What the plugin has refused for the moment is, as its error line says; and once what fails without the plugin:
    it would not be counted, and what fails with it not be seen."""
    if outcome.result != 'failed':
        return False
    return attempt == 1 if not run['plugin'] else any(FOR_NOW.search(x) for x in outcome.lines)


def run_batch(run, tests, plan):
    mode = modes.BY_NAME[run['mode']]
    descs = {x: desc_of(x) for x in tests}
    refused = {x: desc['refused'] for x, desc in descs.items() if 'refused' in desc}
    status, lines = zdtm(run, mode, tests, plan)
    save(run, lines)
    return output.read(lines, status, tests, mode, refused)


def run_tests(run, tests, plan):
    """{test: Outcome}"""
    outcomes = {}
    for attempt in range(1, TRIES + 1):
        for batch in batches(modes.BY_NAME[run['mode']], tests, plan['jobs']):
            outcomes.update(run_batch(run, batch, plan))
        for test in tests:
            outcomes[test].tries = attempt
        tests = [x for x in tests if is_tried_again(run, outcomes[x], attempt)]
        if not tests:
            break
        print(f'{run["name"]}: tried again: {" ".join(tests)}', flush=True)
    return outcomes


def check_plugin(run, test, outcome):
    """A run with the plugin, or without, was one."""
    if outcome.result == 'passed' and run['own'] and loaded_plugin(test) != run['plugin']:
        outcome.fail(f'CRIU\'s logs do not say that the plugin was {"" if run["plugin"] else "not "}loaded')


def check_difference(mode, outcomes):
    """What a mode has made no difference to was not run in it; a mode that has made none at all has failed."""
    if not (mode.shows or mode.hides):
        return
    passed = {x: outcome for x, outcome in outcomes.items() if outcome.result == 'passed'}
    idle = [outcome for x, outcome in passed.items() if not made_a_difference(x, mode)]
    why = f'CRIU\'s logs show nothing of it: {mode.shows or "no " + mode.hides}'
    for outcome in idle:
        outcome.result, outcome.reason = 'skipped', why
    if idle and len(idle) == len(passed):
        idle[0].fail(why)


def check_skips(run, plan, outcomes):
    """A host that was chosen for its tests has what they need."""
    for outcome in outcomes.values():
        if plan['chosen'] and not run['own'] and outcome.result == 'skipped' and outcome.reason != output.NO_TRACKING:
            outcome.fail('this host was chosen for it: ' + outcome.reason)


def do(run, plan):
    tests = ['zdtm/static/' + x for x in run['tests']]
    skips = {x: skip_reason(x, run['mode']) for x in tests}
    have_plugin(run['plugin'])
    wanted = [x for x in tests if not skips[x]]
    outcomes = {x: output.Outcome('skipped', skips[x]) for x in tests if skips[x]}
    if wanted:
        ran = run_tests(run, wanted, plan)
        check_skips(run, plan, ran)
        check_difference(modes.BY_NAME[run['mode']], ran)
        outcomes.update(ran)
    for test, outcome in outcomes.items():
        check_plugin(run, test, outcome)
        if outcome.result == 'failed':
            save_images(run, test)
        tell(run, test, outcome)
    shutil.rmtree(WORK + '/dump', ignore_errors=True)
    return all(x.result != 'failed' for x in outcomes.values())


def main():
    with open(SHARE + '/plan.json') as f:
        plan = json.load(f)
    check_criu(plan)
    lay_out()
    set_up_host(plan)
    good = [do(run, plan) for run in plan['runs']]
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
