# SPDX-License-Identifier: MIT
"""The work of the map benchmarks with other software, from Python: items of 64 bytes, answered by Python's own hash of bytes,
which has 8 bytes and takes some 20 ns as well. Prints the seconds of each run, the first one apart.

    python3 peer_python.py mpi4py|multiprocessing|executor|dask ITEMS CHUNK RUNS

CHUNK items travel together. mpi4py: run by mpirun -n 3 python3 -m mpi4py.futures.
"""
import struct
import sys
import time


def work(items):
    return [hash(item) for item in items]


def work_one(item):
    return hash(item)


def with_mpi4py(measure):
    from mpi4py.futures import MPIPoolExecutor
    with MPIPoolExecutor() as pool:
        measure(lambda items, chunk: list(pool.map(work_one, items, chunksize=chunk)))


def with_multiprocessing(measure):
    import multiprocessing
    with multiprocessing.Pool(2) as pool:
        measure(lambda items, chunk: pool.map(work_one, items, chunksize=chunk))


def with_executor(measure):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        measure(lambda items, chunk: list(pool.map(work_one, items, chunksize=chunk)))


def with_dask(measure):
    from distributed import Client, LocalCluster

    def run(items, chunk):
        chunks = [items[i:i + chunk] for i in range(0, len(items), chunk)]
        done = client.gather(client.map(work, chunks, pure=False))
        return [result for part in done for result in part]

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        measure(run)


def main():
    peers = {"mpi4py": with_mpi4py, "multiprocessing": with_multiprocessing, "executor": with_executor, "dask": with_dask}
    peer, count, chunk, runs = sys.argv[1], *map(int, sys.argv[2:])

    def measure(run):
        for i in range(-1, runs):
            # New items: a bytes object remembers its hash.
            items = [struct.pack("<8Q", i & 255, k, *range(6)) for k in range(count)]
            begin = time.perf_counter()
            results = run(items, chunk)
            seconds = time.perf_counter() - begin
            if len(results) != count or results[-1] != hash(items[-1]):
                sys.exit("a wrong result")
            print("first" if i < 0 else "run", "%.9f" % seconds, flush=True)

    peers[peer](measure)


if __name__ == "__main__":
    main()
