"""Run every benchmark, and write the tables of the documentation from the results."""

import argparse
import importlib
import json
import re
from pathlib import Path

from harness import describe, environment, grouped, number, table

import skalgos

HERE = Path(__file__).parent
RST = HERE.parent / "doc" / "performance_tables.rst"
README = HERE.parent / "README.md"
MARKERS = ("<!-- ratios -->", "<!-- /ratios -->")


def families():
    """Return the modules ``bench_<family>`` by family."""
    names = sorted(path.stem for path in HERE.glob("bench_*.py"))
    return {
        name.removeprefix("bench_"): importlib.import_module(name) for name in names
    }


def rst(results, quick):
    """Return the tables as reStructuredText.

    Parameters
    ----------
    results : dict
        By family: its ``environment`` and its ``rows``.
    quick : bool
        Whether the results are of small workloads only.

    Returns
    -------
    text : str
    """
    lines = [
        ".. Written by benchmarks/run.py: run it again instead of editing this.",
        "",
    ]
    if quick:
        lines += ["These are small workloads only, from ``run.py --quick``.", ""]
    shown = None
    for family, module in families().items():
        if family not in results:
            continue
        measured_on = describe(results[family]["environment"])
        if measured_on != shown:
            lines += [f"Measured on {measured_on}.", ""]
            shown = measured_on
        for group, rows in grouped(module.GROUPS, results[family]["rows"]):
            heading, cells = table(group, rows, targets=False)
            lines += [_escaped(group.note), "", f".. list-table:: {group.title}"]
            lines += ["   :header-rows: 1", ""]
            for row in (heading, *cells):
                lines += [
                    f"   {'*' if i == 0 else ' '} - {_escaped(text)}"
                    for i, text in enumerate(row)
                ]
            lines.append("")
    return "\n".join(lines)


def _escaped(text):
    # A cell that is a single hyphen would start a list.
    return "\\-" if text == "-" else re.sub(r"([*`|_\\])", r"\\\1", text)


def ratios(results):
    """Return the headline rows as a Markdown table, empty if there are none."""
    lines = []
    for family, module in families().items():
        if family not in results:
            continue
        versions = results[family]["environment"]["versions"]
        for group, rows in grouped(module.GROUPS, results[family]["rows"]):
            peer = f"{group.peer} {versions.get(group.peer, '')}".strip()
            lines += [
                f"| {group.title}: {row['workload']} | {number(row['ours'])} s | "
                f"{number(row['peer'])} s ({peer}) | {number(row['ratio'])} |"
                for row in rows
                if row["headline"]
            ]
    if lines:
        lines[:0] = ["| workload | skalgos | peer | ratio |", "|---|--:|--:|--:|"]
    return "\n".join(lines)


def write_tables(record):
    """Write the tables of the documentation and, if it asks for one, of the README."""
    RST.write_text(rst(record["families"], record["quick"]), encoding="utf-8")
    short = ratios(record["families"])
    if not short or not README.exists():
        return
    text = README.read_text(encoding="utf-8")
    head, opened, rest = text.partition(MARKERS[0])
    _, closed, tail = rest.partition(MARKERS[1])
    if opened and closed:
        text = f"{head}{opened}\n{short}\n{closed}{tail}"
        README.write_text(text, encoding="utf-8")


def main(argv=None):
    """Run the benchmarks of the families named, of all if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", nargs="*", help="run these only, keep the others")
    parser.add_argument("--quick", action="store_true", help="small workloads only")
    parser.add_argument(
        "--from-json", action="store_true", help="write the tables without running"
    )
    options = parser.parse_args(argv)
    modules = families()
    if unknown := set(options.family) - set(modules):
        parser.error(f"no such family: {', '.join(sorted(unknown))}")

    suffix = "-quick" if options.quick else ""
    path = HERE / "results" / f"{skalgos.__version__}{suffix}.json"
    record = {"quick": options.quick, "families": {}}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
    elif options.from_json:
        parser.error(f"there are no results in {path.name}")
    failed = []
    if not options.from_json:
        for family in options.family or modules:
            module = modules[family]
            rows = module.main(["--quick"] if options.quick else [])
            record["families"][family] = {
                "environment": environment(module.PEERS),
                "rows": rows,
            }
            failed += [row["workload"] for row in rows if not row["passed"]]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_tables(record)
    if failed:
        raise SystemExit(f"quality checks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
