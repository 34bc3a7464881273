#!/bin/bash
# SPDX-License-Identifier: MIT
#
# How quiet the ranks are. A runtime of rank 0 and two workers:
#   idle    CPU time of all its processes over a minute in which nothing is to be done, as a share of one core
#   start   from mn_start() in the driver to the first statement of the job, after 250 ms of idleness each; and beside
#           it, what the machine needs at that time to wake a process that waits at a pipe (a start is three such steps)
#   load    CPU time of ranks, spawners and driver while every core was given to a task that never calls, and while a
#           map of items of 10 ms runs on all cores, as a share of one core
# mpirun's own processes are counted apart. Times are user and system time, in ticks of the kernel (10 ms as a rule).
#
#   quiet.sh [--json FILE] [--idle SECONDS] [--starts N] [--load SECONDS] [-n RANKS]
#
# Environment: top_builddir, a build of the library (default: the folder of this source tree), CC.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$here/.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
json='' idle=60 starts=50 load=5 ranks=3

while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || set -- --help ''
    case $1 in
    --json) json=$2 ;;
    --idle) idle=$2 ;;
    --starts) starts=$2 ;;
    --load) load=$2 ;;
    -n) ranks=$2 ;;
    *)
        echo "usage: quiet.sh [--json FILE] [--idle SECONDS] [--starts N] [--load SECONDS] [-n RANKS]" >&2
        exit 2
        ;;
    esac
    shift 2
done

folder=$(mktemp -d /tmp/mn-quiet-XXXXXX) || exit 1
mpirun=
trap '[ -z "$mpirun" ] || kill "$mpirun" 2>/dev/null; rm -rf "$folder"' EXIT

# Built as a user's program, against the library of the build.
"${CC:-cc}" -O2 -D_GNU_SOURCE -I"$top_srcdir/runtime/include" -c "$here/quiet.c" -o "$folder/quiet.o" &&
    "$top_builddir/libtool" --silent --tag=CC --mode=link "${CC:-cc}" -static -o "$folder/quiet" "$folder/quiet.o" \
        "$top_builddir/libmultinode.la" || exit 1

# usage: "PID COMM TICKS" of each process of the run, on lines: user and system time, of ended threads too.
usage()
{
    local environment process
    grep -lzx -- "MULTINODE_QUIET=$$" /proc/[0-9]*/environ 2>/dev/null | while read -r environment; do
        process=${environment%/environ}
        echo "${process#/proc/} $(tr ' ' _ <"$process/comm") $(sed 's/.*) //' "$process/stat" | awk '{ print $12 + $13 }')"
    done 2>/dev/null | awk 'NF == 3' # without those that have ended meanwhile
}

# await WORD: until the program has said it.
await()
{
    until grep -qx "$1" "$folder/out" 2>/dev/null; do
        if ! kill -0 "$mpirun" 2>/dev/null; then
            cat "$folder/out" "$folder/err" >&2
            exit 1
        fi
        sleep 0.05
    done
    usage >"$folder/$1"
    date +%s.%N >"$folder/$1.time"
}

MULTINODE_STORE=$folder/quiet.h5 MULTINODE_QUIET=$$ mpirun -n "$ranks" --oversubscribe "$folder/quiet" "$idle" "$starts" "$load" "$(nproc)" \
    >"$folder/out" 2>"$folder/err" </dev/null &
mpirun=$!
for word in IDLE STARTS LOAD MAP END; do
    await $word
done
wait "$mpirun" || exit 1
mpirun=

# between FROM TO: CPU seconds by kind of process ("rank 0.01"), and how long it was ("seconds 60").
between()
{
    awk -v hertz="$(getconf CLK_TCK)" -v begin="$(cat "$folder/$1.time")" -v end="$(cat "$folder/$2.time")" '
        FNR == NR { before[$1] = $3; next }
        { kind = $2 == "quiet" ? "rank" : $2 == "mn-spawner" ? "spawner" : $2 == "mn-executor" ? "executor" : \
                 $2 == "mn-driver" ? "driver" : "mpirun"
          spent[kind] += ($3 - before[$1]) / hertz }
        END { for (kind in spent) print kind, spent[kind]; print "seconds", end - begin }' "$folder/$1" "$folder/$2"
}

# median WORD COLUMN: of the starts, in milliseconds.
median()
{
    awk -v word="$1" -v column="$2" '$1 == word { print $column / 1e6 }' "$folder/out" | sort -g |
        awk '{ row[NR] = $1 } END { print NR % 2 ? row[(NR + 1) / 2] : (row[NR / 2] + row[NR / 2 + 1]) / 2 }'
}

largest()
{
    awk -v word="$1" '$1 == word && $2 / 1e6 > most { most = $2 / 1e6 } END { print most + 0 }' "$folder/out"
}

between IDLE STARTS >"$folder/idle"
between LOAD MAP >"$folder/load"
between MAP END >"$folder/map"

# share FILE KIND...: percent of one core.
share()
{
    local file=$1
    shift
    awk -v kinds=" $* " '$1 == "seconds" { seconds = $2; next } index(kinds, " " $1 " ") { sum += $2 }
        END { printf "%.3f", 100 * sum / seconds }' "$folder/$file"
}

idle_all=$(share idle rank spawner executor driver)
warm=$(median warm 2)
printf '%-52s %12s %12s\n' "quiet ranks ($ranks ranks, $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg))" measured limit
printf '%-52s %10s %% %10s %%\n' "idle: all of the runtime, of one core" "$idle_all" 1
for kind in rank spawner executor driver mpirun; do
    printf '%-52s %10s %%\n' "    $kind" "$(share idle $kind)"
done
printf '%-52s %9s ms %9s ms\n' "start, process warm: median of $starts" "$warm" 5
printf '%-52s %9s ms\n' "    largest" "$(largest warm)" "    mn_start() itself" "$(median warm 3)" \
    "    waking a process at a pipe: median" "$(median wake 2)" "    largest" "$(largest wake)" \
    "start, process fresh: median of $starts" "$(median fresh 2)" "    largest" "$(largest fresh)"
printf '%-52s %10s %%\n' "load, all cores given: ranks, spawners, driver" "$(share load rank spawner driver)" \
    "map of 10 ms items: ranks, spawners, driver" "$(share map rank spawner driver)" \
    "map of 10 ms items: mpirun" "$(share map mpirun)"

if [ -n "$json" ]; then
    cat >"$json" <<END
{"bench": "quiet", "ranks": $ranks, "cores": $(nproc), "idle_seconds": $idle, "starts": $starts,
 "idle_percent": $idle_all, "idle_percent_ranks": $(share idle rank), "idle_percent_spawners": $(share idle spawner),
 "idle_percent_executors": $(share idle executor), "idle_percent_driver": $(share idle driver),
 "idle_percent_mpirun": $(share idle mpirun),
 "start_ms_median": $warm, "start_ms_largest": $(largest warm), "start_call_ms_median": $(median warm 3),
 "wake_ms_median": $(median wake 2), "start_fresh_ms_median": $(median fresh 2),
 "load_percent": $(share load rank spawner driver), "map_percent": $(share map rank spawner driver)}
END
fi
awk -v idle="$idle_all" -v start="$warm" 'BEGIN { exit !(idle < 1 && start < 5) }'
