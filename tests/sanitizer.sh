# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Read by `make check` before each test: how sanitizers behave in a program whose tests crash on purpose.
#
# Signals stay the program's own (a task that segfaults must be seen to end of SIGSEGV, not of the sanitizer's exit),
# and a report ends the process with a status that no test expects; run_test sees to it that none is overlooked.
if [ "$SANITIZER" != no ]; then
    supp=$top_srcdir/tests/suppressions
    signals=handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0
    ASAN_OPTIONS=$signals:use_sigaltstack=0:detect_stack_use_after_return=0:exitcode=86${ASAN_OPTIONS:+:$ASAN_OPTIONS}
    # Before gcc 13 the leak check takes what malloc() wrote before a loaded library's thread-local storage for a header
    # of glibc 2.19, and crashes at the address that it reads there: https://github.com/google/sanitizers/issues/1322.
    ASAN_OPTIONS=$ASAN_OPTIONS:intercept_tls_get_addr=0
    LSAN_OPTIONS=suppressions=$supp/lsan.supp:print_suppressions=0:exitcode=86${LSAN_OPTIONS:+:$LSAN_OPTIONS}
    UBSAN_OPTIONS=$signals:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
    TSAN_OPTIONS=$signals:suppressions=$supp/tsan.supp:exitcode=86${TSAN_OPTIONS:+:$TSAN_OPTIONS}
    # How much slower programs are, which all waits and time-outs of the tests are stretched by.
    case ,$SANITIZER, in
    *,thread,*) MULTINODE_TEST_SLOW=${MULTINODE_TEST_SLOW:-8} ;;
    *) MULTINODE_TEST_SLOW=${MULTINODE_TEST_SLOW:-3} ;;
    esac
    # To tell what is a library's: it stays loaded, and stacks are unwound right also where it has no frame pointers.
    case ,$SANITIZER, in
    *,address,* | *,leak,* | *,thread,*)
        ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0:fast_unwind_on_malloc=0
        LD_PRELOAD=$top_builddir/tests/keep_modules.so
        export LD_PRELOAD
        ;;
    esac
    export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS MULTINODE_TEST_SLOW
fi
