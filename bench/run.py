# SPDX-License-Identifier: MIT
"""Measures what multinode costs and prints a table: ours beside a limit or a peer, on the same machine, in the same run.

    python3 run.py --build DIR [--group NAME]... [--runs N] [--quick] [--only TEXT] [--json FILE] [--markdown FILE]

A figure is the median of RUNS runs or more, with its range (10th to 90th percentile). What is compared takes turns, so that a
change of the machine's speed hits both sides. --quick takes few and small runs: it shows that all works, no more.
--markdown puts the tables into a page, docs/performance.md, between two marks.
"""
import argparse
import datetime
import json
import os
import platform
import sys

import execs
import measures
import peers
import quiet
import rows
from programs import Bench

GROUPS = {
    "map": (measures.maps, "maps beside hand-written MPI"),
    "calls": (measures.calls, "one call after the other, beside two bare processes"),
    "jobs": (measures.jobs, "jobs that do nothing, end to end"),
    "durable": (measures.durable, "what it costs that nothing is lost"),
    "stages": (measures.stages, "where the time of one such job goes"),
    "cancel": (measures.cancels, "cancellation"),
    "first": (measures.firsts, "from the command line to the first result"),
    "peers": (peers.peers, "other software, where it is installed"),
    "core": (measures.core, "the scheduler's core alone"),
    "cores": (measures.cores, "cores that are really given"),
    "exec": (execs.execs, "programs as jobs"),
    "quiet": (quiet.quiet, "a runtime with nothing to do, and one that must keep out of the way"),
}

MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")


def machine():
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    return {"system": "%s %s" % (platform.system(), platform.release().split("-")[0]), "processor": model, "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0], "time": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds")}


def write_page(path, about, quick, taken):
    """Puts the tables of the groups that were measured into the page; those of the others stay."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, begin, rest = text.partition(MARKS[0])
    old, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        sys.exit("%s has not the marks %s and %s" % (path, *MARKS))
    sections = {part.split(":", 1)[0]: "### " + part.strip() for part in old.split("### ")[1:]}
    line = "%(processor)s, %(cores)d cores, %(system)s; load at the beginning %(load).2f; %(time)s." % about
    for name, (_, title) in GROUPS.items():
        rows_ = [row for group, row in taken if group == name]
        if rows_:
            sections[name] = "### %s: %s\n\n%s\n\n%s" % (name, title, line + (" Few and small runs (--quick)." if quick else ""),
                                                    rows.markdown(rows_).rstrip("\n"))
    tables = "\n\n".join(sections[name] for name in GROUPS if name in sections)
    with open(path, "w", encoding="utf-8") as file:
        file.write("%s%s\n\n%s\n\n%s%s" % (before, begin, tables, end, after))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=".", help="the build folder")
    parser.add_argument("--group", action="append", choices=GROUPS, help="only this group; may be given again")
    parser.add_argument("--runs", type=int, default=0, help="runs for each figure, 5 at least [15]")
    parser.add_argument("--quick", action="store_true", help="few and small runs")
    parser.add_argument("--only", default="", help="only rows whose name has this text")
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--markdown", help="put the tables of these groups into this page")
    options = parser.parse_args()
    if options.runs and options.runs < 5:
        parser.error("--runs: 5 at least")

    bench = Bench(options.build, options.runs, options.quick)
    about, taken = machine(), []
    print("%(processor)s, %(cores)d cores, load %(load).2f, %(time)s" % about)
    if about["load"] > 0.5:
        print("This machine is not quiet: the figures may be far off.")
    print(rows.plain_line(rows.HEADER))
    for name in options.group or GROUPS:
        measure, title = GROUPS[name]
        print("-- %s: %s" % (name, title), flush=True)
        for row in measure(bench, lambda text: options.only in text):
            if options.only in row.name:
                print(rows.plain_line(row.cells()), flush=True)
                taken.append((name, row))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "quick": options.quick,
                       "rows": [{"group": name, **row.data()} for name, row in taken]}, file, indent=1)
            file.write("\n")
    if options.markdown:
        write_page(options.markdown, about, options.quick, taken)
    below = [row.name for _, row in taken if row.meets() is False]
    print("%d rows, %d with a limit, %d below it%s" % (
        len(taken), sum(row.meets() is not None for _, row in taken), len(below), ": " + "; ".join(below) if below else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
