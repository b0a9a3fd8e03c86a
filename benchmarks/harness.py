"""Paired timings of skalgos against its peers, as rows of tables.

A script ``bench_<family>.py`` names its peers in ``PEERS`` and its tables in
``GROUPS``, and adds rows to a :class:`Bench` in ``main(argv)``, which returns them.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from contextlib import nullcontext
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

import skalgos

LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba")
# What --quick keeps: workloads of at most so many samples.
QUICK_SAMPLES = 2000


class Group(NamedTuple):
    """A table: its title, a note on what is compared, and the names of both sides."""

    title: str
    note: str
    ours: str = "skalgos"
    peer: str = "peer"
    unit: str = "s"


def environment(peers):
    """Return the machine and the versions that timings depend on.

    Parameters
    ----------
    peers : sequence of str
        Distributions that are timed besides the dependencies of this package.

    Returns
    -------
    environment : dict
        With the keys cpu, cores, system, python and versions.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"skalgos": skalgos.__version__}
        | {name: version(name) for name in (*LIBRARIES, *peers)},
    }


def _cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def describe(environment):
    """Return the machine and the versions in one line."""
    versions = [f"{name} {number}" for name, number in environment["versions"].items()]
    return (
        f"{environment['cpu']}, {environment['cores']} cores, {environment['system']}, "
        f"Python {environment['python']}, {', '.join(versions)}"
    )


# ---- measuring -----------------------------------------------------------------------
def timed(function, argument, *, wall=False, calls=1):
    """Call a function and return the seconds per call, and the last result.

    Parameters
    ----------
    function : callable
    argument : object
    wall : bool, default=False
        Whether to measure wall time instead of the calling thread's CPU time.
    calls : int, default=1
        How many calls one measurement is made of, for those of microseconds.

    Returns
    -------
    seconds : float
    result : object

    Raises
    ------
    RuntimeError
        If a measurement of the calling thread misses work in other threads.
    """
    clock = time.perf_counter if wall else time.thread_time
    gc.collect()
    process_start, start = time.process_time(), clock()
    for _ in range(calls):
        result = function(argument)
    seconds = clock() - start
    whole = time.process_time() - process_start
    if not wall and whole > 1.1 * seconds + 0.05:
        raise RuntimeError(
            f"{whole:.3g} s of CPU in the process but {seconds:.3g} s in the calling "
            "thread: measure this row with wall=True."
        )
    return seconds / calls, result


def paired(ours, peer, inputs, *, wall=False, calls=1):
    """Time two functions alternately on the same inputs.

    Parameters
    ----------
    ours, peer : callable
        Take one input.
    inputs : sequence
        One for each repetition; the first is also that of the first call.
    wall, calls :
        As in :func:`timed`.

    Returns
    -------
    first : list of float
        Seconds of the very first call, for both sides: it compiles, or loads what was
        compiled, where that has not happened in this process.
    seconds : list of list of float
        Of every repetition, for both sides.
    results : list of list
        Of every repetition, for both sides.
    """
    sides = (ours, peer)
    with nullcontext() if wall else threadpool_limits(1):
        first = [timed(side, inputs[0], wall=wall)[0] for side in sides]
        seconds, results = ([], []), ([], [])
        for value in inputs:
            for i, side in enumerate(sides):
                elapsed, result = timed(side, value, wall=wall, calls=calls)
                seconds[i].append(elapsed)
                results[i].append(result)
    return first, seconds, results


def peak_memory(function, argument):
    """Return the largest extra memory in MB that Python and numpy hold in a call."""
    gc.collect()
    tracemalloc.start()
    try:
        function(argument)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def child_cpu(setup, code, env=None):
    """Return the CPU seconds that ``code`` takes in a fresh interpreter.

    Parameters
    ----------
    setup : str
        What runs before and is not counted.
    code : str
    env : dict, default=None
        Environment variables to add to those of this process.

    Returns
    -------
    seconds : float
        In user and system mode, over all threads of the child.
    """
    clock = "__import__('time').process_time()"
    timed = f"{setup}\nstart = {clock}\n{code}\nprint({clock} - start)"
    variables = os.environ | (env or {})
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    child = subprocess.run(
        [sys.executable, "-c", timed],
        check=True,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(child.stdout.splitlines()[-1])


# ---- rows ----------------------------------------------------------------------------
class Bench:
    """The rows of one script, with its command line.

    Parameters
    ----------
    argv : sequence of str
        ``--quick``, ``--only PATTERN`` and ``--json FILE``.
    groups : dict of str to Group
        The tables by short name, in the order in which they are shown.
    peers : sequence of str
        The distributions compared with.

    Attributes
    ----------
    rows : list of dict
        What :meth:`add` was given.
    quick : bool
        Whether small workloads only are run.
    """

    def __init__(self, argv, groups, peers):
        parser = argparse.ArgumentParser()
        parser.add_argument(
            "--quick",
            action="store_true",
            help=f"run workloads of at most {QUICK_SAMPLES} samples",
        )
        parser.add_argument(
            "--only",
            metavar="PATTERN",
            default="*",
            help="run rows whose 'group/workload' contains this, * and ? as in a shell",
        )
        parser.add_argument(
            "--json", metavar="FILE", type=Path, help="write the rows to this file"
        )
        options = parser.parse_args(argv)
        self.quick, self._only, self._json = options.quick, options.only, options.json
        self._groups = groups
        self._environment = environment(peers)
        self.rows = []
        print(describe(self._environment), flush=True)

    def wants(self, group, workload, n_samples=0):
        """Return whether the command line selects a row."""
        if self.quick and n_samples > QUICK_SAMPLES:
            return False
        return fnmatch(f"{group}/{workload}", f"*{self._only}*")

    def compare(
        self,
        group,
        workload,
        ours,
        peer,
        inputs,
        *,
        quality,
        tolerance=0.0,
        same=None,
        wall=False,
        calls=1,
        memory=False,
        target=None,
        limit=None,
        headline=False,
    ):
        """Time two functions in pairs, check that they do as well, and add the row.

        Parameters
        ----------
        group, workload : str
        ours, peer, inputs, wall, calls :
            As in :func:`paired`.
        quality : callable
            The loss of a result, lower is better. The mean over the inputs must not
            exceed that of the peer by more than ``tolerance`` times it.
        tolerance : float, default=0.0
        same : callable, default=None
            What of a result must be equal on both sides, for every input.
        memory : bool, default=False
            Whether to measure the memory of both sides, in calls of their own.
        target, limit, headline :
            As in :meth:`add`.
        """
        first, seconds, results = paired(ours, peer, inputs, wall=wall, calls=calls)
        losses = [statistics.fmean(map(quality, side)) for side in results]
        passed = losses[0] <= losses[1] * (1 + tolerance)
        if same is not None:
            passed &= all(same(a) == same(b) for a, b in zip(*results, strict=True))
        used = [None, None]
        if memory:
            used = [peak_memory(side, inputs[0]) for side in (ours, peer)]
        self.add(
            group,
            workload,
            *map(statistics.median, seconds),
            target=target,
            limit=limit,
            headline=headline,
            first_ours=first[0],
            first_peer=first[1],
            memory_ours=used[0],
            memory_peer=used[1],
            quality_ours=losses[0],
            quality_peer=losses[1],
            passed=bool(passed),
        )

    def add(
        self,
        group,
        workload,
        ours,
        peer=None,
        *,
        target=None,
        limit=None,
        headline=False,
        passed=True,
        **more,
    ):
        """Add a row.

        Parameters
        ----------
        group, workload : str
        ours : float
            Seconds.
        peer : float, default=None
            Seconds, where there is something to compare with.
        target : float, default=None
            The ratio of peer to ours that is aimed at.
        limit : float, default=None
            The largest time of ours that is aimed at.
        headline : bool, default=False
            Whether the row belongs into the short table of the README.
        passed : bool, default=True
            Whether the quality is that of the peer.
        **more : float or None
            ``first_ours``, ``first_peer``, ``memory_ours``, ``memory_peer``,
            ``quality_ours``, ``quality_peer``.
        """
        ratio = None if peer is None else peer / ours
        met = (target is None or ratio >= target) and (limit is None or ours <= limit)
        row = {
            "group": group,
            "workload": workload,
            "ours": ours,
            "peer": peer,
            "ratio": ratio,
            "target": target,
            "limit": limit,
            "met": met,
            "headline": headline,
            "passed": passed,
        } | more
        self.rows.append(row)
        _, cells = table(self._groups[group], [row])
        print(f"{group}: {' | '.join(cells[0])}", file=sys.stderr, flush=True)

    def finish(self):
        """Print the tables, write the JSON file if one is named, return the rows."""
        for group, rows in grouped(self._groups, self.rows):
            print(f"\n{group.title}\n{group.note}\n")
            print(aligned(*table(group, rows)), flush=True)
        if self._json is not None:
            record = {
                "environment": self._environment,
                "quick": self.quick,
                "rows": self.rows,
            }
            self._json.write_text(json.dumps(record, indent=1) + "\n")
        return self.rows


def script(main):
    """Run ``main`` as a script, which fails if the quality of a row does."""
    rows = main(sys.argv[1:])
    for row in rows:
        if not row["passed"]:
            print(f"quality check failed: {row['group']}/{row['workload']}")
    sys.exit(not all(row["passed"] for row in rows))


# ---- tables --------------------------------------------------------------------------
def grouped(groups, rows):
    """Yield each group that has rows, and those rows."""
    for name, group in groups.items():
        members = [row for row in rows if row["group"] == name]
        if members:
            yield group, members


def number(value):
    """Format a number with three significant digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(group, rows, *, targets=True):
    """Return the heading and the cells of a table, without the columns nobody fills.

    Parameters
    ----------
    group : Group
    rows : list of dict
    targets : bool, default=True
        Whether to show what was aimed at.

    Returns
    -------
    heading : list of str
    cells : list of list of str
    """
    scale = {"s": 1, "µs": 1e6}[group.unit]

    def target(row):
        if row["target"] is not None:
            text = number(row["target"])
        elif row["limit"] is not None:
            text = f"<= {number(row['limit'] * scale)} {group.unit}"
        else:
            return None
        return text if row["met"] else f"{text} (missed)"

    def one(key, write, factor=1):
        return lambda row: row.get(key) and write(row[key] * factor)

    def both(key):
        def cell(row):
            pair = row.get(f"{key}_ours"), row.get(f"{key}_peer")
            return None if None in pair else " / ".join(map(number, pair))

        return cell

    columns = [
        ("workload", lambda row: row["workload"]),
        (f"{group.ours} ({group.unit})", one("ours", number, scale)),
        (f"{group.peer} ({group.unit})", one("peer", number, scale)),
        ("ratio", one("ratio", number)),
        ("target", target if targets else lambda row: None),
        ("first calls (s)", both("first")),
        ("memory (MB)", both("memory")),
        (f"loss, {group.ours}", one("quality_ours", "{:.7g}".format)),
        (f"loss, {group.peer}", one("quality_peer", "{:.7g}".format)),
    ]
    filled = []
    for name, cell in columns:
        column = [cell(row) for row in rows]
        if any(text is not None for text in column):
            filled.append((name, column))
    heading = [name for name, _ in filled]
    cells = zip(*(column for _, column in filled), strict=True)
    return heading, [[text or "-" for text in row] for row in cells]


def aligned(heading, cells):
    """Return a table as text, the first column to the left and the others right."""
    widths = [max(map(len, column)) for column in zip(heading, *cells, strict=True)]
    lines = []
    for line in (heading, ["-" * width for width in widths], *cells):
        name, *others = (text.rjust(w) for text, w in zip(line, widths, strict=True))
        lines.append(" | ".join([name.strip().ljust(widths[0]), *others]))
    return "\n".join(lines)
