# SPDX-License-Identifier: MIT
"""What the processes of a run use while it runs: user and system time of the threads that are alive."""
import os
import subprocess
import time

from programs import PATIENCE, fail, numbers

HERTZ = os.sysconf("SC_CLK_TCK")  # ticks, 10 ms as a rule: where the kernel does not tell nanoseconds


class Watched:
    """A program that says on lines of its own where it is. Its processes have a mark in their environment."""

    def __init__(self, bench, command):
        self.command, self.lines, self.times = command, [], {}
        self.mark = "MULTINODE_BENCH_MARK=%d-%d" % (os.getpid(), time.monotonic_ns())
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(command, env={**bench.environment, name: value}, cwd=bench.scratch.name,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate()

    def await_word(self, word):
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if self.lines[-1] == word:
                self.times[word] = time.monotonic()
                return
        fail(self.command, self.process.wait(PATIENCE), self.process.stderr.read())

    def seconds(self, begin, end):
        return self.times[end] - self.times[begin]

    def finish(self):
        """All the numbers that it has printed."""
        rest, errors = self.process.communicate(timeout=PATIENCE)
        if self.process.returncode != 0:
            fail(self.command, self.process.returncode, errors)
        return numbers(self.lines + rest.splitlines())


def read(path):
    with open(path, "rb") as file:
        return file.read()


def kind_of(name, environment):
    kinds = {"mn-spawner": "spawners", "mn-executor": "executors", "mn-driver": "driver", "mpirun": "mpirun",
             "orted": "mpirun", "multinode": "mpirun"}
    if name in kinds:
        return kinds[name]
    return "rank 0" if b"OMPI_COMM_WORLD_RANK=0" in environment else "workers"


def seconds_of(pid, fields):
    total = 0
    try:
        for thread in os.listdir("/proc/%s/task" % pid):
            total += int(read("/proc/%s/task/%s/schedstat" % (pid, thread)).split()[0])
        return total * 1e-9
    except FileNotFoundError:
        return (int(fields[11]) + int(fields[12])) / HERTZ


def used(mark):
    """Seconds that each process with this mark has used, by its number, with what it is."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = read("/proc/%s/environ" % entry).split(b"\0")
            if mark.encode() not in environment:
                continue
            name, _, fields = read("/proc/%s/stat" % entry).decode().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended meanwhile
        found[int(entry)] = (kind_of(name, environment), seconds_of(entry, fields.split()))
    return found


def between(before, after):
    """Seconds used between two looks, by kind of process."""
    spent = {}
    for pid, (kind, seconds) in after.items():
        spent[kind] = spent.get(kind, 0) + seconds - before.get(pid, (kind, 0))[1]
    return spent
