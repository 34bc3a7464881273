#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure and what it needs from configure.ac and Makefile.am. For a checkout; an archive has them.
set -e
cd "$(dirname "$0")"
for tool in autoreconf automake libtoolize pkg-config; do
    command -v "$tool" >/dev/null || {
        echo "autogen.sh: $tool is missing (Debian: apt-get install autoconf automake libtool pkg-config)" >&2
        exit 1
    }
done
mkdir -p build-aux
exec autoreconf --install --warnings=all "$@"
