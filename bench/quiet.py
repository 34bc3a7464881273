# SPDX-License-Identifier: MIT
"""How quiet the ranks are: a runtime of rank 0 and two workers runs quiet.c, which says where it is.

What is used is user and system time of all its processes as a share of one core, in slices of the time that each part takes:
while nothing is to be done, while a task that never calls has every core, and while a map of 10 ms items has them.
"""
import os
import time

import processes
from rows import Row

SLICES = 5
OURS = ("rank 0", "workers", "spawners", "executors", "driver")
BUSY = ("rank 0", "workers", "spawners", "driver")  # the executors have the cores then


def slices(mark, seconds):
    """What was used in each slice, by kind of process, in percent of a core."""
    found = []
    before, begin = processes.used(mark), time.monotonic()
    for i in range(SLICES):
        time.sleep(max(0, seconds / SLICES * (i + 1) - 0.2 / SLICES - (time.monotonic() - begin)))
        after, end = processes.used(mark), time.monotonic()
        spent = processes.between(before, after)
        lasted = end - begin - sum(one["seconds"] for one in found)
        found.append({"seconds": lasted, **{kind: 100 * used / lasted for kind, used in spent.items()}})
        before = after
    return found


def share(found, kinds):
    return [sum(one.get(kind, 0) for kind in kinds) for one in found]


def quiet(bench, _):
    idle, starts, load = bench.some((60, 50, 10), (5, 5, 2))
    command = bench.ours(3, "quiet", idle, starts, load, len(os.sched_getaffinity(0)))
    with processes.Watched(bench, command) as run:
        used = {}
        for word, seconds in (("IDLE", idle), ("LOAD", load), ("MAP", load)):
            run.await_word(word)
            used[word] = slices(run.mark, seconds)
        run.await_word("END")
        found = run.finish()
    for name, numbers in found.items():
        found[name] = [number * 1e-9 for number in numbers]

    during = "three ranks, %d s in which nothing is to be done: user and system time, of one core" % idle
    yield Row("idle: the whole runtime", during, "%", share(used["IDLE"], OURS), None, ("under", 1))
    for kind in OURS + ("mpirun",):
        yield Row("    " + kind, "part of that" if kind != "mpirun" else "mpirun's own, not counted", "%",
                  share(used["IDLE"], [kind]))
    yield Row("start of a job, process warm", "mn_start() to the job's first statement, each after 0.25 s of idleness", "s",
              found["warm"], None, ("under", 5e-3))
    yield Row("    waking a process at a pipe", "what the machine needs at that time for one of the three steps of a start",
              "s", found["wake"])
    yield Row("start of a job, process new", "the same with .fresh = true", "s", found["fresh"])
    yield Row("all cores given to tasks", "ranks, spawners and driver while every core has a task that never calls", "%",
              share(used["LOAD"], BUSY))
    yield Row("a map of 10 ms items on all cores", "the same while it runs", "%", share(used["MAP"], BUSY))
