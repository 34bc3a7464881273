# SPDX-License-Identifier: MIT
"""Programs as jobs: `true`, over and over, beside what only starts it and waits for it."""
import shutil
import time

from programs import fail
from rows import Row

CORES = 2
SHARE = 4  # jobs on a core at a time, in the row that has the limit: while one comes and goes another one runs
WHAT = "/bin/true as a job, one rank with a store, from the start of the first to the end of the last; "
BARE = "beside a bare loop of posix_spawn() and waitpid() on each core"


def rate_of(bench, command, count):
    """A program that starts one for each line of its standard input."""
    begin = time.monotonic()
    bench.output(command, "".join("%d\n" % i for i in range(count)))
    return count / (time.monotonic() - begin)


def ours(bench, count, share=SHARE):
    return count / bench.figures(bench.ours(1, "exec", count, share))["whole"][0]


def bare(bench, count):
    found = bench.figures([bench.path("bench/spawn"), str(count), str(CORES)])["whole"]
    return count / found[0] if found else fail(["bench/spawn"], 0, "it prints nothing")


PEERS = (
    ("xargs -P", "findutils", ["xargs", "-P%d" % CORES, "-n1", "/bin/true"], 10),
    ("GNU parallel -j", "parallel", ["parallel", "--will-cite", "-j%d" % CORES, "/bin/true"], 1),
)


def execs(bench, wanted):
    count, runs = bench.some(4000, 400), max(5, bench.runs // 2)
    for name, share, limit in (("exec true", SHARE, ("at least", 0.9)), ("exec true, a core each", 1, None)):
        if not wanted(name):
            continue
        pairs = [(ours(bench, count, share), bare(bench, count)) for _ in range(runs)]
        yield Row(name, WHAT + "%d on a core, " % share + BARE, "jobs/s", [pair[0] for pair in pairs],
                  [pair[1] for pair in pairs], limit)
    for peer, package, command, share in PEERS:
        row = "exec true, beside " + peer
        if not wanted(row):
            continue
        if not shutil.which(command[0]):
            yield Row(row, WHAT + "beside " + peer, skipped="%s is not installed" % package)
            continue
        few = max(20, count * share // 10)
        pairs = [(ours(bench, count), rate_of(bench, command, few)) for _ in range(5)]
        yield Row(row, WHAT + "beside %s%d" % (peer, CORES), "jobs/s", [pair[0] for pair in pairs], [pair[1] for pair in pairs])
