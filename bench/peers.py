# SPDX-License-Identifier: MIT
"""Other software on the same items: 64 bytes in, 8 bytes out, a hash of 20 ns, two workers; one item at a time, and in the
chunks that were the best of some. What is not installed is skipped, and the row says so.

Python computes its own hash of the bytes, of the same cost. GNU parallel and xargs begin a process for each chunk: peer_hash.
"""
import os
import shutil
import subprocess
import time

import measures
from programs import fail
from rows import Row

# The one that the system's packages are for.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else "python3"


class Peer:
    """`single`: how many items one at a time, `items` and `chunks`: in chunks; what takes about a second."""

    def __init__(self, name, single, items, chunks, needs, run):
        self.name, self.single, self.items, self.chunks = name, single, items, chunks
        self.needs, self.run = needs, run


def by_python(name, *before):
    def run(bench, count, chunk, runs):
        command = [*before, os.path.join(bench.source, "peer_python.py"), name, str(count), str(chunk), str(runs)]
        return bench.figures(command)["run"]
    return run


def by_starpu(bench, count, chunk, runs):
    return bench.figures([bench.path("bench/peer_starpu"), str(count), str(chunk), str(runs)])["run"]


def by_processes(*command):
    """A program that begins processes, with the items as their arguments, read from its standard input."""
    def run(bench, count, chunk, runs):
        words = [word.replace("CHUNK", str(chunk)) for word in command] + [bench.path("bench/peer_hash")]
        items = "".join("%064d\n" % i for i in range(count))
        found = []
        for _ in range(runs + 1):
            begin = time.monotonic()
            done = bench.output(words, items)
            found.append(time.monotonic() - begin)
            if len(done.splitlines()) != count:
                fail(words, 0, "%d results of %d" % (len(done.splitlines()), count))
        return found[1:]
    return run


def no_module(name):
    found = subprocess.run([PYTHON, "-c", "import " + name], capture_output=True, check=False).returncode == 0
    return None if found else "python3-%s is not installed" % name


def no_program(name, package):
    return None if shutil.which(name) else "%s is not installed" % package


def no_starpu(bench):
    return None if os.access(bench.path("bench/peer_starpu"), os.X_OK) else "libstarpu-dev is not installed"


PEERS = [
    Peer("mpi4py.futures", 10000, 1000000, (1000, 10000, 50000), lambda _: no_module("mpi4py"),
         by_python("mpi4py", "mpirun", "-n", "3", "--oversubscribe", PYTHON, "-m", "mpi4py.futures")),
    Peer("multiprocessing.Pool", 30000, 1000000, (1000, 10000, 100000), lambda _: None, by_python("multiprocessing", PYTHON)),
    Peer("ProcessPoolExecutor", 10000, 1000000, (1000, 10000, 100000), lambda _: None, by_python("executor", PYTHON)),
    Peer("dask.distributed", 1000, 100000, (1000, 10000, 50000), lambda _: no_module("distributed"), by_python("dask", PYTHON)),
    Peer("StarPU", 50000, 1000000, (1000, 10000, 100000), no_starpu, by_starpu),
    Peer("GNU parallel", 100, 50000, (500, 1500), lambda _: no_program("parallel", "parallel"),
         by_processes("parallel", "--will-cite", "-j2", "-N", "CHUNK")),
    Peer("xargs", 500, 50000, (500, 1500), lambda _: no_program("xargs", "findutils"),
         by_processes("xargs", "-P2", "-n", "CHUNK")),
]


def measure_peer(bench, peer, count, chunks):
    """Items a second with the best of these chunks, and that chunk."""
    best = chunks[0]
    if len(chunks) > 1:
        times = {chunk: min(peer.run(bench, count, chunk, 1)) for chunk in chunks}
        best = min(times, key=times.get)
    return [count / seconds for seconds in peer.run(bench, count, best, 5)], best


def peers(bench, wanted):
    single = "one item at a time, beside %s"
    chunked = "best chunks, beside %s"
    for peer in PEERS:
        for name in (single % peer.name, chunked % peer.name):
            if not wanted(name):
                continue
            skipped = peer.needs(bench)
            if skipped:
                yield Row(name, "the same items", skipped=skipped)
                continue
            one = name == single % peer.name
            count = peer.single if one else peer.items
            if bench.quick:
                count = count // 10 or 1
            rates, chunk = measure_peer(bench, peer, count, (1,) if one else peer.chunks)
            ours = measures.map_rates(bench, "few" if one else "hash", "ordinary items", 5, *((1,) if one else ()))
            what = "64 B to 8 B, hash of 20 ns, two workers; %s, %d items, chunks of %d" % (peer.name, count, chunk)
            yield Row(name, what, "items/s", ours, rates)
