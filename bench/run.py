# SPDX-License-Identifier: MIT
"""Runs the map benchmarks and prints a table: ours beside what is written by hand, in turn, on the same machine.

    python3 run.py --build DIR [--runs N] [--json FILE] [--only TEXT]

Each program prints the seconds of each of its runs. Rows are measured in alternation, ROUNDS times, so that a change of the
machine's speed hits both sides; the figure is the median over all runs, the range the 10th to the 90th percentile.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

ROUNDS = 3
ITEMS = {"hash": 1000000, "ten": 20000, "cluster": 10000}
MPI_ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

# What is compared: name, load, our memory and whether the function takes blocks, the other's way and ranks, at least this
# ratio of items a second (None: only shown).
ROWS = [
    ("hash of 20 ns, ordinary memory", "hash", "ordinary blocks", "static", 2, 1.0),
    ("hash of 20 ns, mn_alloc()", "hash", "alloc blocks", "static", 2, 1.5),
    ("hash of 20 ns, mn_alloc(), item by item", "hash", "alloc items", "static", 2, None),
    ("10 us items", "ten", "ordinary items", "static", 2, 0.97),
    ("1% of the items 100 times longer, together", "cluster", "ordinary items", "static", 2, 1.4),
    ("the same beside self-scheduling by hand", "cluster", "ordinary items", "dynamic", 3, 0.97),
]


def seconds(command):
    done = subprocess.run(command, env={**os.environ, **MPI_ENVIRONMENT}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("run ")]


def summary(times, items):
    rates = sorted(items / t for t in times)
    return {
        "items_per_second": statistics.median(rates),
        "low": rates[len(rates) // 10],
        "high": rates[len(rates) - 1 - len(rates) // 10],
        "runs": len(rates),
    }


def measure(row, build, runs):
    name, load, memory, way, ranks, least = row
    ours = [os.path.join(build, "multinode"), "run", "-n", "3", os.path.join(build, "bench/map_ours"), load, *memory.split(), str(runs)]
    bind = ["--bind-to", "core"] if ranks <= (os.cpu_count() or 1) else ["--oversubscribe"]
    other = ["mpirun", "-n", str(ranks), *bind, os.path.join(build, "bench/map_mpi"), load, way, str(runs)]
    times = {"ours": [], "other": []}
    for _ in range(ROUNDS):
        times["other"] += seconds(other)
        times["ours"] += seconds(ours)
    result = {side: summary(times[side], ITEMS[load]) for side in times}
    result.update(name=name, least=least, other_is="MPI, %s, %d ranks" % (way, ranks))
    result["ratio"] = result["ours"]["items_per_second"] / result["other"]["items_per_second"]
    return result


def show(result):
    cells = ["%9.3f (%.3f to %.3f)" % tuple(result[side][key] / 1e6 for key in ("items_per_second", "low", "high"))
             for side in ("ours", "other")]
    least = result["least"]
    verdict = "" if least is None else "%s %.2f" % ("meets" if result["ratio"] >= least else "below", least)
    print("%-44s %-28s %-28s %6.2f  %-10s  %s" % (result["name"], *cells, result["ratio"], verdict, result["other_is"]),
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=".", help="the build folder")
    parser.add_argument("--runs", type=int, default=5, help="runs of each program a round [5]")
    parser.add_argument("--json", help="write the figures there")
    parser.add_argument("--only", default="", help="rows whose name has this text")
    options = parser.parse_args()
    print("Millions of items a second: median (10%% to 90%%) of %d runs" % (ROUNDS * options.runs))
    print("%-44s %-28s %-28s %6s" % ("", "ours", "beside it", "ratio"))
    results = []
    for row in ROWS:
        if options.only in row[0]:
            results.append(measure(row, options.build, options.runs))
            show(results[-1])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": platform.platform(), "cores": os.cpu_count(), "maps": results}, file, indent=2)


if __name__ == "__main__":
    main()
