#!/usr/bin/env bash
# Brings nginx and HAProxy (Debian's packages) into a folder, for the comparison in load-tests/Peers; nothing is installed or started.
#
#   eng/install-peers.sh DIR
#
#   DIR/bin/nginx, haproxy   what to run
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

versions() { printf 'nginx %s, haproxy %s' "$(debian_field "$dir/root" nginx 2)" "$(debian_field "$dir/root" haproxy 2)"; }

if [ -f "$dir/root/packages.txt" ] && "$dir/bin/nginx" -v >/dev/null 2>&1 && "$dir/bin/haproxy" -v >/dev/null 2>&1; then
    echo "$(versions) are in $dir"
    exit 0
fi

echo "peers: downloading nginx and haproxy from Debian $suite ..."
debian_open "$suite"
debian_download nginx haproxy
debian_unpack
debian_relocate "$(debian_final "$DEBIAN_LIB")" "$DEBIAN_NEW"/usr/sbin/{nginx,haproxy}
debian_commit
mkdir -p "$dir/bin"
ln -sf ../root/usr/sbin/nginx ../root/usr/sbin/haproxy "$dir/bin/"
for program in nginx haproxy; do
    "$dir/bin/$program" -v >/dev/null 2>&1 ||
        die "installed, but $dir/bin/$program does not run here" "Its own words: $("$dir/bin/$program" -v 2>&1 | tail -n 1)"
done
echo "$(versions) are in $dir"
