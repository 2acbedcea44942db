#!/usr/bin/env bash
# Brings Node.js with npm (the official build of nodejs.org) into a folder, for machines whose own is missing or too old.
#
#   eng/install-node.sh DIR
#
#   DIR/bin/node, DIR/bin/npm   what to run
#   DIR/root/                   the unpacked release
#
# Run again, it does nothing. The newest release of one major version is taken and checked against the SHA-256 sums
# published beside it. NODE_MIRROR names another place than https://nodejs.org/dist. (Debian's package is no way here:
# its node has absolute paths of the system built in.)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/system.sh"

major=22

folder_argument "$@"

runs() { PATH=$dir/bin:$PATH "$dir/bin/npm" --version >/dev/null 2>&1; }

if runs; then
    echo "node $("$dir/bin/node" --version) is in $dir"
    exit 0
fi

case $(uname -m) in
    x86_64) platform=linux-x64 ;;
    aarch64) platform=linux-arm64 ;;
    *) die "nodejs.org has no build for $(uname -m)" "Install Node.js 20 or newer with npm and put it on PATH." ;;
esac
command -v curl >/dev/null || system_install curl ca-certificates
source=${NODE_MIRROR:-https://nodejs.org/dist}/latest-v$major.x

work=$dir/.work
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/node"
get() { curl -fsSL --retry 3 --connect-timeout 20 --max-time 300 -o "$work/$1" "$source/$1"; }

get SHASUMS256.txt || die "no Node.js $major could be had from $source" \
    "Check the network, name another mirror (NODE_MIRROR), or install Node.js 20 or newer with npm and put it on PATH."
archive=$(awk -v end="-$platform.tar.gz" 'index($2, end) { print $2 }' "$work/SHASUMS256.txt")
echo "node: downloading $archive ..."
get "$archive" || die "$source/$archive could not be downloaded" "Check the network and run again."
(cd "$work" && grep -F "  $archive" SHASUMS256.txt | sha256sum --check --status) ||
    die "$archive is not what its SHA-256 says" "Run again; if it stays so, name another mirror (NODE_MIRROR)."

tar -xzf "$work/$archive" -C "$work/node" --strip-components=1 --no-same-owner
touch "$work/node/$INSTALLED"
replace_root "$work/node" "$dir"
mkdir -p "$dir/bin"
ln -sf ../root/bin/node ../root/bin/npm "$dir/bin/"
runs || die "installed, but $dir/bin/node does not run here" "Its own words: $("$dir/bin/node" --version 2>&1 | tail -n 1)"
echo "node $("$dir/bin/node" --version) is in $dir"
