# SPDX-License-Identifier: MIT
"""Runs the programs that measure, and reads the lines "NAME VALUE" that they print."""
import collections
import os
import resource
import subprocess
import sys
import tempfile

PATIENCE = 3600  # seconds: none takes so long


class Bench:
    """What all groups are told: where the build is, and how much is to be measured."""

    def __init__(self, build, runs, quick):
        self.build, self.quick = os.path.abspath(build), quick
        self.runs = runs or (5 if quick else 15)
        self.source = os.path.dirname(os.path.abspath(__file__))
        # The store of a run is a file; it lies on the file system of the build, and goes with the folder.
        self.scratch = tempfile.TemporaryDirectory(prefix="scratch-", dir=self.path("bench"))
        self.environment = {
            **os.environ,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "STARPU_HOME": self.scratch.name,
            "STARPU_SILENT": "1",
            "PYTHONHASHSEED": "0",
        }

    def some(self, full, quick):
        return quick if self.quick else full

    def path(self, name):
        return os.path.join(self.build, name)

    def ours(self, ranks, program, *arguments, durability="memory"):
        """The command of one of our programs. What waits for the disk is a lane of its own, and asked for."""
        store = os.path.join(self.scratch.name, "store.h5")
        for name in os.listdir(self.scratch.name):
            if name.startswith("store"):
                os.unlink(os.path.join(self.scratch.name, name))
        return [self.path("multinode"), "run", "-n", str(ranks), "--store", store, "--durability", durability,
                self.path("bench/" + program), *map(str, arguments)]

    def mpirun(self, ranks, *command):
        fits = ranks <= len(os.sched_getaffinity(0))
        return ["mpirun", "-n", str(ranks), *(["--bind-to", "core"] if fits else ["--oversubscribe"]), *command]

    def output(self, command, given=""):
        """What it prints. `given`: its standard input."""
        done = subprocess.run(command, env=self.environment, cwd=self.scratch.name, input=given, capture_output=True,
                              text=True, check=False, timeout=PATIENCE)
        if done.returncode != 0:
            fail(command, done.returncode, done.stderr)
        return done.stdout

    def written(self, command):
        """The bytes that it and all its children have given the system for the disk."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
        self.output(command)
        return 512 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock - before)

    def store_bytes(self):
        """What the run before has left there."""
        return sum(entry.stat().st_size for entry in os.scandir(self.scratch.name) if entry.name.startswith("store"))

    def figures(self, command):
        """Lists of the numbers that it prints, by their names."""
        return numbers(self.output(command).splitlines())


def numbers(lines):
    found = collections.defaultdict(list)
    for line in lines:
        words = line.split()
        if len(words) == 2:
            try:
                found[words[0]].append(float(words[1]))
            except ValueError:
                continue
    return found


def fail(command, status, errors):
    sys.exit("%s: exit status %s\n%s" % (" ".join(command), status, errors))
