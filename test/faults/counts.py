#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What has become of the points of a sweep, counted; the counts of hosts that have shared one, added up."""

import argparse
import json
import sys

# What can become of an attempt. Those of BAD must not.
UNREACHED, SURVIVED, REFUSED, STANDS_STILL = 'not reached', 'survived', 'clean refusal', 'VM stands still'
PART_WAY = 'vCPU let go before criu was killed'       # docs/criu-killed.md
HARMED, RAN, UNCLEAN = 'VM harmed', 'vCPU ran after a failed restore', 'not clean'
BAD = [HARMED, RAN, UNCLEAN]
OUTCOMES = [SURVIVED, REFUSED, UNREACHED, STANDS_STILL, PART_WAY, *BAD]


def show(row):
    print(f'{row["action"]} of {row["vm"]}: points {row["points"]}, places {row["places"]}, tried {row["tried"]} of {row["chosen"]}, '
          f'survived {row[SURVIVED]}, clean refusals {row[REFUSED]}, not reached {row[UNREACHED]}, '
          f'VM left standing still {row[STANDS_STILL]}, {PART_WAY} {row[PART_WAY]}, VM harmed {row[HARMED]}, '
          f'vCPU ran after a failed restore {row[RAN]}, not clean {row[UNCLEAN]}, in {row["seconds"]} s', flush=True)


def wrong(row):
    """Why that is no sweep with a good end; or None."""
    if row['bad']:
        return '; '.join(f'{x["name"]}: {x["what"]}' for x in row['bad'])
    if row['tried'] != sum(row[x] for x in OUTCOMES):
        return f'{row["tried"]} were tried, and {sum(row[x] for x in OUTCOMES)} have an outcome'
    if row['tried'] != row['chosen'] and not row['limited']:
        return f'{row["tried"]} were tried of {row["chosen"]} that were chosen'
    # Of the last points some are passed by few runs only; a sweep that reaches nothing has shown nothing.
    if row['tried'] <= 4 * row[UNREACHED]:
        return f'{row[UNREACHED]} of {row["tried"]} were not reached'
    return None


def all_good(rows):
    """Says what is wrong."""
    reasons = [(row, wrong(row)) for row in rows]
    for row, reason in reasons:
        if reason:
            print(f'BAD: {row["action"]} of {row["vm"]}: {reason}', flush=True)
    return bool(rows) and not any(reason for _, reason in reasons)


def add(rows):
    """One action's, of all hosts. Each has listed the points of a VM of its own: they differ a little."""
    listed = {x for row in rows for x in row['listed']}
    tried = [x for row in rows for x in row['tried_points']]
    total = {'action': rows[0]['action'], 'vm': rows[0]['vm'], 'chosen': len(listed), 'tried': len(set(tried)),
             'points': max(row['points'] for row in rows), 'places': max(row['places'] for row in rows),
             'limited': any(row['limited'] for row in rows), 'bad': [x for row in rows for x in row['bad']],
             'seconds': max(row['seconds'] for row in rows), **{x: sum(row[x] for row in rows) for x in OUTCOMES}}
    if len(tried) != len(set(tried)):
        raise ValueError(f'{total["action"]}: {len(tried) - len(set(tried))} points were tried by two hosts')
    return total


def read(path):
    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('files', nargs='+', metavar='FILE', help='--json of each host')
    args = parser.parse_args(argv)
    hosts = [read(path) for path in args.files]
    missing = [n for n, host in enumerate(hosts, 1) if not host]
    if missing:
        print(f'BAD: no counts of host {", ".join(map(str, missing))}')
    parts = [host['rows'] for host in hosts if host]
    if len({tuple(row['action'] for row in rows) for rows in parts}) > 1:
        print('BAD: the hosts have not tried the same actions')
        return 1
    rows = [add(same) for same in zip(*parts)]
    print(f'the whole sweep, by {len(hosts)} hosts')
    for row in rows:
        show(row)
    for row in rows:
        for x in row['bad']:
            print(f'  {row["action"]}: {x["what"]}: {x["name"]}: {x["how"]}')
    if args.json and parts:
        with open(args.json, 'w') as f:
            json.dump({'seed': hosts[0]['seed'] if hosts[0] else None, 'rows': rows}, f, indent=1)
    return 0 if all_good(rows) and not missing else 1


if __name__ == '__main__':
    sys.exit(main())
