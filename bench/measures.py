# SPDX-License-Identifier: MIT
"""The groups that run programs of our own, and hand-written ones beside them. Each yields rows."""
import json
import os
import subprocess
import time

import processes
from programs import fail
from rows import Row

ROUNDS = 3  # how often two programs take turns

# --- maps ------------------------------------------------------------------------------------------------------------

ITEMS = {"hash": 1000000, "few": 100000, "ten": 20000, "cluster": 10000}

# Name, load, our memory and whether the function takes items or blocks, the other's way and ranks, at least this ratio of
# items a second (None: no limit).
MAPS = [
    ("hash of 20 ns, ordinary memory", "hash", "ordinary blocks", "static", 2, 1.0),
    ("hash of 20 ns, mn_alloc()", "hash", "alloc blocks", "static", 2, 1.5),
    ("hash of 20 ns, mn_alloc(), item by item", "hash", "alloc items", "static", 2, None),
    ("10 us items", "ten", "ordinary items", "static", 2, 0.97),
    ("1% of the items 100 times longer, together", "cluster", "ordinary items", "static", 2, 1.4),
    ("the same beside self-scheduling by hand", "cluster", "ordinary items", "dynamic", 3, 0.97),
]
WAYS = {
    "static": "two executors, beside MPI_Scatterv and MPI_Gatherv by hand on %d ranks",
    "dynamic": "two executors, beside guided self-scheduling by hand in MPI on %d ranks",
}


def map_rates(bench, load, memory, runs, *block):
    """Items a second, of `runs` maps in one run of the program."""
    times = bench.figures(bench.ours(3, "map_ours", load, *memory.split(), runs, *block))["run"]
    return [ITEMS[load] / seconds for seconds in times]


def maps(bench, wanted):
    for name, load, memory, way, ranks, least in MAPS:
        if not wanted(name):
            continue
        ours, beside = [], []
        runs = bench.some(max(10, bench.runs // ROUNDS), 2)
        other = bench.mpirun(ranks, bench.path("bench/map_mpi"), load, way, str(runs))
        for _ in range(ROUNDS):
            beside += [ITEMS[load] / seconds for seconds in bench.figures(other)["run"]]
            ours += map_rates(bench, load, memory, runs)
        compares = "%d items of 64 B to 8 B, %s" % (ITEMS[load], WAYS[way] % ranks)
        yield Row(name, compares, "items/s", ours, beside, ("at least", least) if least else None)


# --- calls -----------------------------------------------------------------------------------------------------------


def calls(bench, _):
    for ranks in (1, 3):
        found = bench.figures(bench.ours(ranks, "calls", bench.runs, bench.some(5000, 500)))
        where = "%d rank%s" % (ranks, "s" if ranks > 1 else "")
        what = "mn_call() in a loop in the driver, 64 B to 8 B, warm, beside a futex round trip between two processes"
        yield Row("a warm call, %s" % where, what + " that the kernel places", "s", found["call"], found["futex"],
                  ("at most", 3))
        yield Row("a warm call, %s, cores apart" % where, what + " each on a core of its own, as an executor is", "s",
                  found["call"], found["futex_apart"], ("at most", 3))
        firsts_ = found["first"]
        while len(firsts_) < 5:
            firsts_ += bench.figures(bench.ours(ranks, "calls", 1, 10))["first"]
        yield Row("the first call, %s" % where, "mn_call() when no process of the function is there yet", "s", firsts_)


# --- jobs ------------------------------------------------------------------------------------------------------------

JOBS = "jobs that yield the number they are given: start, run, read all results; two executors, with a store; "


def job_rates(bench, ranks, count, runs, durability="memory"):
    found = [bench.figures(bench.ours(ranks, "jobs", count, durability=durability)) for _ in range(runs)]
    return {part: [count / run[part][0] for run in found] for part in ("start", "read", "whole")}


def jobs(bench, wanted):
    small, large = bench.some(100000, 2000), bench.some(1000000, 20000)
    name = "jobs in a batch of %d"
    few = 5  # each run has as many jobs as can be wished
    if not wanted(name % small) and not wanted(name % large):
        return
    rates = job_rates(bench, 1, small, few)
    yield Row(name % small, JOBS + "one rank", "jobs/s", rates["whole"], None, ("at least", 50000))
    if wanted(name % large):
        many = job_rates(bench, 1, large, few)
        yield Row(name % large, JOBS + "one rank; beside the batch of %d" % small, "jobs/s", many["whole"], rates["whole"],
                  ("at least", 0.9))
    for part, what in (("start", "the call that starts them"), ("read", "their results, as they end")):
        yield Row("    %s" % part, "the batch of %d: only %s" % (small, what), "jobs/s", rates[part])
    for durability, limit in (("fsync", ("at least", 0.8)), ("flush", None)):
        durable = job_rates(bench, 1, small, few, durability)["whole"]
        yield Row("%s, --durability %s" % (name % small, durability), JOBS + "beside --durability memory", "jobs/s", durable,
                  rates["whole"], limit)
    yield Row(name % small + ", three ranks", JOBS + "rank 0 and two workers", "jobs/s",
              job_rates(bench, 3, small, few)["whole"])


# --- the store -------------------------------------------------------------------------------------------------------


def durable(bench, _):
    found = bench.figures([bench.path("bench/journal"), bench.some("7", "2")])
    for group in (1, 10, 100, 1000):
        yield Row("journal, groups of %d" % group, "records of 200 B, an fdatasync() a group, beside a bare loop of pwrite() and "
                  "fdatasync() with the same bytes", "1/s", found["journal-%d" % group], found["bare-%d" % group],
                  ("at least", 0.5))
    found = bench.figures([bench.path("bench/values"), bench.some("9", "3")])
    for mib in (2, 8, 64):
        for what in ("write", "read"):
            yield Row("a value of %d MiB: %s" % (mib, what), "to its file, synced with its folder, or from it, beside the same bytes with "
                      "bare calls", "B/s", found["%s-%d" % (what, mib)], found["bare-%s-%d" % (what, mib)])
    found = bench.figures(bench.ours(1, "durable", "start", bench.some(9, 2), bench.some(1000, 100), durability="fsync"))
    yield Row("a start that is on disk", "median of mn_start() one at a time, beside that of a bare append of 200 B and "
              "fdatasync()", "s", found["start"], found["append"], ("at most", 2))
    found = bench.figures(bench.ours(1, "durable", "yield", bench.some(9, 2), bench.some(100000, 10000), durability="fsync"))
    yield Row("a job that yields 8 B every 10 us", "time for its work, beside the same job without yields", "s",
              found["yields"], found["silent"], ("at most", 1.1))
    jobs_ = bench.some(1000000, 20000)
    found = bench.figures([bench.path("bench/fold"), bench.some("5", "1"), str(jobs_)])
    small = "%d jobs with 8 B of input and 8 B of result" % jobs_
    yield Row("all jobs from the journal into the HDF5 file", small, "s", found["fold"])
    for what, where in (("file", "the HDF5 file"), ("journal", "the journal")):
        yield Row("recovery from %s" % where, small, "s", found["recover-%s-seconds" % what], None, ("under", 5))
        yield Row("    its rate, from the disk", "beside read() of the same bytes; of neither was anything in memory", "B/s",
                  found["recover-" + what], found["read-" + what], ("at least", 0.3))
        yield Row("    its rate, from memory", "the same when the system still has the file in memory", "B/s",
                  found["warm-recover-" + what], found["warm-read-" + what])
        yield Row("size of a small job in %s" % where, small, "B", found["%s-bytes" % what])
    command = bench.ours(1, "jobs", jobs_, durability="fsync")
    written = bench.written(command)
    yield Row("written to the disk in a run of %d jobs" % jobs_, "journal, replacements of the HDF5 file and all; beside the HDF5 file at "
              "the end", "B", [written], [bench.store_bytes()], ("under", 6))


# --- stages ----------------------------------------------------------------------------------------------------------


def stages(bench, _):
    """One job after the other, and where its time goes; and of a batch, what each process uses for a job."""
    path = os.path.join(bench.scratch.name, "moments")
    for ranks in (1, 3):
        runs = [bench.figures(bench.ours(ranks, "stages", path, bench.some(1000, 100))) for _ in range(5)]
        where = "%d rank%s" % (ranks, "s" if ranks > 1 else "")
        names = [name for name in runs[0] if name not in ("whole", "start_call")]
        yield Row("one job at a time, %s" % where, "mn_start() and mn_wait(), mean of the middle 80%; the parts add up to it",
                  "s", [run["whole"][0] for run in runs])
        for name in names:
            yield Row("    " + name.replace("_", " "), "part of that", "s", [run[name][0] for run in runs])
        yield Row("    (mn_start() alone)", "no part: it returns while the job is under way", "s",
                  [run["start_call"][0] for run in runs])
    count = bench.some(100000, 2000)
    used = []
    for _ in range(5):
        with processes.Watched(bench, bench.ours(1, "jobs", count, 1)) as run:
            run.await_word("begin")
            begin = processes.used(run.mark)
            run.await_word("end")
            used.append({"seconds": run.seconds("begin", "end"),
                         **processes.between(begin, processes.used(run.mark))})
            run.finish()
    for kind in ("driver", "rank 0", "workers", "executors", "spawners"):
        yield Row("processor time of a job: %s" % kind, "in a batch of %d on one rank: user and system time" % count, "s",
                  [run.get(kind, 0) / count for run in used])
    cores = len(os.sched_getaffinity(0))
    yield Row("    all", "the same, of all processes; beside it what the machine had: %d cores for the whole time" % cores, "s",
              [sum(time for kind, time in run.items() if kind not in ("seconds", "mpirun")) / count for run in used],
              [run["seconds"] * cores / count for run in used])


# --- cancel ----------------------------------------------------------------------------------------------------------


def cancels(bench, _):
    command = bench.ours(3, "cancel", bench.some(50, 5))
    found = bench.figures(command)
    for name in ("flag", "call", "gone"):
        found[name] = found[name][1:]  # without the first, which is not warm
    yield Row("cancel to a job that looks", "mn_cancel() in the driver to mn_cancelled() in the job, looked at each 20 us", "s",
              found["flag"], None, ("under", 2e-3))
    yield Row("cancel to a job that waits", "mn_cancel() in the driver to the return of mn_call() in the job", "s",
              found["call"], None, ("under", 2e-3))
    yield Row("end of the grace to the last process gone",
              "a job that does not listen, with children (one in its own session, one of a double fork), grace 0.1 s", "s",
              found["gone"], None, ("under", 50e-3))


# --- the first result ------------------------------------------------------------------------------------------------


def until_line(bench, command, word):
    """Seconds from the command line to a line that begins so, and to the end."""
    begin = time.monotonic()
    with subprocess.Popen(command, env=bench.environment, cwd=bench.scratch.name, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        line = process.stdout.readline()
        seen = time.monotonic() - begin
        _, errors = process.communicate()
        if process.returncode != 0 or (word and not line.startswith(word)):
            fail(command, process.returncode, errors)
        return seen, time.monotonic() - begin


def firsts(bench, _):
    for ranks in (1, 3):
        first, ours, bare = [], [], []
        empty = ["mpirun", "-n", str(ranks), "--oversubscribe", bench.path("bench/empty")]
        for _ in range(bench.runs + 1):
            bare.append(until_line(bench, empty, None)[1])
            seen, over = until_line(bench, bench.ours(ranks, "first"), "result")
            first.append(seen)
            ours.append(over)
        where = "%d rank%s" % (ranks, "s" if ranks > 1 else "")
        beside = "beside mpirun, from its command line to its end, of MPI_Init() and MPI_Finalize()"
        yield Row("first result, %s" % where, "multinode run of a job, from the command line to its result, " + beside, "s",
                  first[1:], bare[1:], ("under", 1.3))
        yield Row("    whole run", "the same to the end of the command, " + beside, "s", ours[1:], bare[1:])


# --- the core --------------------------------------------------------------------------------------------------------


def core(bench, _):
    path = os.path.join(bench.scratch.name, "core.json")
    few = bench.some([], ["--nodes", "1000", "--placements", "20000"])
    bench.figures([bench.path("bench/core_scale"), "--json", path, *few])
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    base = found["rows"][0]["rates"]
    for row in found["rows"]:
        same = row["pending"] == found["rows"][0]["pending"]
        name = "decisions with %d pending" % row["pending"]
        what = "starts, placements, ends and removals of the core alone, %d nodes" % found["nodes"]
        yield Row(name, what + ("" if same else "; beside %d pending" % found["rows"][0]["pending"]), "decisions/s",
                  row["rates"], None if same else base, None if same else ("at least", 0.77))
    yield Row("the same, 1000000 pending", "a limit", "decisions/s", found["rows"][-1]["rates"], None, ("at least", 500000))
    yield Row("cores in use, a long queue",
              "part of all cores' time that tasks have: 20 shapes from a tenth of a core to a whole node, %d pending; work over capacity is 1"
              % found["rows"][-1]["pending"], "", found["rows"][-1]["cores_in_use"], None, ("at least", 0.97))
    yield Row("memory of a pending job", "of rank 0, with 64 B of input", "B", [found["rows"][-1]["bytes_per_pending_job"]], None,
              ("at most", 400))


# --- cores -----------------------------------------------------------------------------------------------------------


def call_times(bench, bound):
    """Warm calls in one run; not bound: hwloc is told that the machine is another, and binds nothing."""
    command = bench.ours(1, "calls", 3, bench.some(5000, 500))
    return bench.figures(command if bound else ["env", "HWLOC_THISSYSTEM=0", *command])["call"]


def cores(bench, _):
    found = bench.figures([bench.path("bench/bind"), str(bench.some(15, 5))])
    yield Row("binding a warm executor to other cores", "a process that waits; beside it the bare system call", "s", found["bind"], None,
              ("under", 50e-6))
    bound, free = [], []
    for _ in range(bench.some(ROUNDS, 1)):
        free += call_times(bench, False)
        bound += call_times(bench, True)
    yield Row("start of a bound warm task", "mn_call() in a loop, one rank, beside the same with nothing bound", "s", bound, free,
              ("at most", 1.2))
    for method, how in ((["env", "MULTINODE_CONFINE=watch"], "looked at from time to time"),
                        ([], "counted by a control group, where one can be had")):
        found = bench.figures([*method, *bench.ours(1, "limit", bench.some(15, 2))])
        yield Row("more memory than asked for" + (", watched" if method else ""), "from having as much as was asked for to the end of mn_wait(); " + how,
                  "s", found["over"], None, ("under", 0.1))
    if len(os.sched_getaffinity(0)) < 2:
        yield Row("two tasks at a time", "", skipped="it needs two cores")
        return
    found = bench.figures(bench.ours(1, "cores", bench.some(11, 3)))
    yield Row("two tasks of one core at a time", "time for the same work, beside each alone on these cores", "s", found["together"],
              found["alone"], ("at most", 1.03))
    yield Row("a task of one core beside ten of a tenth", "none of these rests; beside it the same next to one of a whole core", "s",
              found["crowded"], found["second"], ("at most", 1.03))
