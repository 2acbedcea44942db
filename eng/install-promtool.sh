#!/usr/bin/env bash
# Brings promtool (Debian's prometheus package) into a folder; no Prometheus is installed or started.
#
#   eng/install-promtool.sh DIR
#
#   DIR/bin/promtool         what to run; prometheus itself beside it
#   DIR/root/                the unpacked packages; packages.txt in it has names, versions and SHA-256
#
# Run again, it does nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/system.sh"
. "$here/lib/own-folder.sh"
. "$here/lib/debian.sh"

suite=trixie

own_folder "$@"

if [ -f "$dir/root/packages.txt" ] && "$dir/bin/promtool" --version >/dev/null 2>&1; then
    echo "promtool $(debian_field "$dir/root" prometheus 2) is in $dir"
    exit 0
fi

echo "promtool: downloading prometheus from Debian $suite ..."
debian_open "$suite"
debian_download prometheus
debian_unpack
debian_relocate "$(debian_final "$DEBIAN_LIB")" "$DEBIAN_NEW"/usr/bin/{prometheus,promtool}
debian_commit
mkdir -p "$dir/bin"
ln -sf ../root/usr/bin/prometheus ../root/usr/bin/promtool "$dir/bin/"
"$dir/bin/promtool" --version >/dev/null 2>&1 ||
    die "installed, but $dir/bin/promtool does not run here" "Its own words: $("$dir/bin/promtool" --version 2>&1 | tail -n 1)"
echo "promtool $(debian_field "$dir/root" prometheus 2) is in $dir"
