# SPDX-License-Identifier: MIT
#
# What the integration tests share. Sourced by bash; nothing here waits without a limit.
#
# Environment: top_builddir, top_srcdir, MULTINODE (the command), PROGRAMS and EXAMPLES (folders), as `make check` sets
# them; by default what is found from this file's folder. SHAPES: only these shapes ("alone 3 run3"), where a script
# has any of them. MULTINODE_TEST_SLOW: how many times slower than usual programs run (1); every wait here is stretched by it.
# UNDER: a command that each program and the command itself run under (tests/memcheck).
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$here/../.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir}
MULTINODE=${MULTINODE:-$top_builddir/multinode}
PROGRAMS=${PROGRAMS:-$top_builddir/tests/integration}
EXAMPLES=${EXAMPLES:-$top_builddir/examples}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
LIMIT=${LIMIT:-120}   # seconds for one run
slow=${MULTINODE_TEST_SLOW:-1} # a whole number
[ "$slow" -eq 1 ] || export MULTINODE_HEARTBEAT=$((10 * slow)) # who is slow is not silent

failures=0
folder=$(mktemp -d /tmp/mn-test-XXXXXX) || exit 99
export CHECK_FOLDER=$folder
mkdir "$folder/tmp" && export TMPDIR=$folder/tmp # what a killed run leaves goes with the folder
trap 'rm -rf "$folder"' EXIT

# A folder like that of the programs, in which each is a script that runs the one it is named after under UNDER.
put_under()
{
    local program script
    (cd "$1" && find . -type f -perm -u+x ! -name '*.test' ! -path '*/.libs/*') | while read -r program; do
        script=$2/$program
        mkdir -p "$(dirname "$script")" || exit 99
        # shellcheck disable=SC2016 # for the script
        printf '#!/bin/sh\nexec %s %s "$@"\n' "$UNDER" "$1/$program" >"$script" && chmod +x "$script" || exit 99
    done
}

if [ -n "${UNDER:-}" ]; then
    put_under "$PROGRAMS" "$folder/under/programs" && PROGRAMS=$folder/under/programs
    put_under "$EXAMPLES" "$folder/under/examples" && EXAMPLES=$folder/under/examples
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$UNDER" "$MULTINODE" >"$folder/under/multinode"
    chmod +x "$folder/under/multinode" && MULTINODE=$folder/under/multinode
fi

skip()
{
    echo "skipped: $*"
    exit 77
}

# fail WHY: counts it and goes on.
fail()
{
    echo "not ok $*"
    failures=$((failures + 1))
}

finish()
{
    if [ "$failures" -eq 0 ]; then
        exit 0
    fi
    echo "$failures failed"
    exit 1
}

have()
{
    command -v "$1" >/dev/null 2>&1
}

have mpirun || skip "there is no mpirun"

# python_with MODULE: the first python3 that has it.
python_with()
{
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && echo "$python" && return 0
    done
    return 1
}

# Whether each rank can be given a host name of its own, which makes it a node of its own for the runtime.
can_name_hosts()
{
    unshare --uts true 2>/dev/null
}

# within SECONDS COMMAND...: ends it when these are over.
within()
{
    local seconds=$(($1 * slow))
    shift
    timeout -k $((5 * slow)) "$seconds" "$@"
}

# shaped SHAPE PROGRAM ARGS: alone, N (ranks under mpirun), hostsN (the same, each on a node of its own), run (multinode
# run), runN.
shaped()
{
    local shape=$1
    shift
    case $shape in
    alone) within "$LIMIT" "$@" ;;
    hosts[0-9]*)
        # shellcheck disable=SC2016 # the rank's number is known there only
        within "$LIMIT" mpirun -n "${shape#hosts}" --oversubscribe unshare --uts \
            sh -c 'echo "node$OMPI_COMM_WORLD_RANK" >/proc/sys/kernel/hostname && exec "$@"' sh "$@"
        ;;
    run) within "$LIMIT" "$MULTINODE" run "$@" ;;
    run[0-9]*) within "$LIMIT" "$MULTINODE" run -n "${shape#run}" "$@" ;;
    *) within "$LIMIT" mpirun -n "$shape" --oversubscribe "$@" ;;
    esac
}

# check SHAPE PROGRAM ARGS: runs it; every line "not ok" and every status but 0 counts.
check()
{
    local shape=$1 out="$folder/out" status
    shift
    shaped "$shape" "$@" >"$out" 2>"$folder/err" </dev/null
    status=$?
    if [ $status -ne 0 ] || grep -q '^not ok' "$out" || ! grep -q '^# 0 failed' "$out"; then
        fail "$(basename "$1") ${*:2} ($shape): exit status $status"
        grep -E '^(not ok|#      )' "$out" | sed 's/^/    /'
        tail -n 5 "$out" | sed 's/^/    | /'
        tail -n 20 "$folder/err" | sed 's/^/    stderr: /'
    else
        echo "ok $(basename "$1") ${*:2} ($shape): $(grep -c '^ok' "$out") cases"
    fi
}

# shapes ALL...: those to run, one a line: the ones that are in SHAPES too, and the last if none is.
shapes()
{
    local shape some=
    for shape in "$@"; do
        [[ $shape != hosts* ]] || can_name_hosts || continue
        [[ " ${SHAPES:-$*} " != *" $shape "* ]] || some+="$shape "
    done
    printf '%s\n' ${some:-$shape}
}

# await SECONDS COMMAND...: until it succeeds.
await()
{
    local until=$(($(date +%s) + $1 * slow))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# marked MARK: pids of processes with MULTINODE_TEST_MARK=MARK in their environment, the current shell's not.
marked()
{
    grep -lzx -- "MULTINODE_TEST_MARK=$1" /proc/[0-9]*/environ 2>/dev/null | sed 's,/proc/,,; s,/environ,,'
}

# none_marked MARK: whether all are gone (zombies have no environment).
none_marked()
{
    [ -z "$(marked "$1")" ]
}

# kill_all MARK: all of them, those first that would see the others go; and what their guard would have removed.
kill_all()
{
    local processes shared
    shared=$(marked "$1" | sed 's,.*,/proc/&/cmdline,' | xargs -r cat 2>/dev/null | tr '\0' '\n' | grep -o '^/dev/shm/multinode-[A-Za-z0-9]*' | sort -u)
    while processes=$(marked "$1") && [ -n "$processes" ]; do
        # shellcheck disable=SC2046,SC2086 # pids
        kill -9 $(printf '%s\n' $processes | sort -rn) 2>/dev/null
    done
    # shellcheck disable=SC2086 # names without spaces
    rm -rf $shared
}

# show_marked MARK: what they are, and what each of their threads waits for.
show_marked()
{
    local pid task
    for pid in $(marked "$1"); do
        echo "    $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
        for task in /proc/"$pid"/task/*; do
            echo "        $(cut -d' ' -f2,3 "$task/stat" 2>/dev/null) in $(cat "$task/wchan" 2>/dev/null)"
        done
    done
}

# nothing_left MARK WHAT: waits a moment, then what is left is a failure, and is killed.
nothing_left()
{
    await "${3:-15}" none_marked "$1" && return 0
    fail "$2: processes are left behind:"
    show_marked "$1"
    kill_all "$1"
    return 1
}

# begin COMMAND...: in the background, marked, with the signals' default actions; back when it has said READY.
begin()
{
    mark="$$-$RANDOM-$RANDOM"
    rm -f "$folder/out" "$folder/err" # else the READY of the run before could be taken for this one's
    MULTINODE_TEST_MARK=$mark env --default-signal=INT,QUIT "$@" >"$folder/out" 2>"$folder/err" </dev/null &
    pid=$!
    await 60 is_ready_or_ended
    if ! is_ready; then
        fail "$*: is not ready: $(cat "$folder/out" "$folder/err")"
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        nothing_left "$mark" "$*"
        return 1
    fi
}

is_ready()
{
    grep -qs '^READY' "$folder/out"
}

has_ended()
{
    ! kill -0 "$pid" 2>/dev/null
}

is_ready_or_ended()
{
    is_ready || has_ended
}

# ended STATUS SECONDS WHAT: it ends by itself, with this status (any but 0: "x"), and leaves nothing.
ended()
{
    local status
    if ! await "$2" has_ended; then
        fail "$3: still there after $2 s: $(cat "$folder/out" "$folder/err")"
        kill -KILL "$pid"
    fi
    wait "$pid" 2>/dev/null
    status=$?
    if case $1 in x) [ $status -eq 0 ] ;; *) [ $status -ne "$1" ] ;; esac; then
        fail "$3: exit status $status instead of $1: $(cat "$folder/out" "$folder/err")"
    else
        echo "ok $3: exit status $status"
    fi
    nothing_left "$mark" "$3"
}
