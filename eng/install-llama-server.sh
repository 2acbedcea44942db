#!/usr/bin/env bash
# Brings a real llama-server (Debian's llama.cpp-tools) into a folder, beside the system and without touching it.
#
#   eng/install-llama-server.sh DIR
#
#   DIR/bin/llama-server     what to run; llama-cli, llama-bench, llama-quantize ... beside it
#   DIR/root/                the unpacked packages (about 80 MB); packages.txt in it has names, versions and SHA-256
#
# Run again, it does nothing. The version is pinned; Debian's forky is a rolling suite, so when it has left the
# pinned one behind, the current one is taken and a warning says so.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/system.sh"
. "$here/lib/own-folder.sh"
. "$here/lib/debian.sh"

suite=forky
version='1:0.7.0+dfsg-2'
declare -A checksums=([amd64]=3007c170f116891974bd37d5ba802f094c7d020412f2100cc71582fc8530895c)

own_folder "$@"
server=$dir/bin/llama-server

# A missing CPU backend shows only when a model is loaded, and then before its file is looked at.
runs() {
    "$server" --version >/dev/null 2>&1 || return 1
    ! "$server" -m "$dir/no-such-model.gguf" --port 0 2>&1 | grep -q 'no backends are loaded'
}

not_the_pinned() {
    warn "this llama-server is not the pinned one." \
        "pinned:    $version" "installed: $1" \
        "Debian $suite has moved on. What the tests say about llama-server is now said about another version." \
        "Cure: read its changes, run the tests, then pin it (version and SHA-256) in eng/install-llama-server.sh."
}

if [ -f "$dir/root/packages.txt" ] && runs; then
    installed=$(debian_field "$dir/root" llama.cpp-tools 2)
    [ "$installed" = "$version" ] || not_the_pinned "$installed"
    echo "llama-server $installed is in $dir"
    exit 0
fi

echo "llama-server: downloading llama.cpp-tools $version from Debian $suite ..."
debian_open "$suite"
if debian_has llama.cpp-tools "$version"; then
    debian_download "llama.cpp-tools=$version"
else
    debian_download llama.cpp-tools
fi
debian_unpack

installed=$(debian_field "$DEBIAN_NEW" llama.cpp-tools 2)
sum=$(debian_field "$DEBIAN_NEW" llama.cpp-tools 3)
pinned_sum=${checksums[$(dpkg --print-architecture)]:-}
if [ "$installed" != "$version" ]; then
    not_the_pinned "$installed"
elif [ -z "$pinned_sum" ]; then
    echo "llama-server: no SHA-256 is pinned for this architecture; the archive's signature has been checked" >&2
elif [ "$sum" != "$pinned_sum" ]; then
    die "llama.cpp-tools $version has another SHA-256 than the pinned one: the package was changed" \
        "pinned:     $pinned_sum" "downloaded: $sum" "Do not use it; check the mirror, or name another one: DEBIAN_MIRROR=http://HOST/debian"
fi

# The packages' own libraries have a RUNPATH that would hide the programs' RPATH, so they get it as well.
rpath=$(debian_final "$DEBIAN_LIB"):$(debian_final "$DEBIAN_LIB")/llama
find "$DEBIAN_LIB" -maxdepth 2 -type f \( -name 'libllama*.so*' -o -name 'libmtmd.so*' -o -name 'libggml*.so*' \) -print0 |
    while IFS= read -r -d '' library; do debian_patch_library "$library" "$rpath"; done
debian_relocate "$rpath" "$DEBIAN_NEW"/usr/bin/llama-*

# ggml looks for its CPU backends in a folder of the system's, then beside the program: link them there.
found=
for backend in "$DEBIAN_LIB"/ggml/backends*/libggml-*.so; do
    [ -e "$backend" ] || continue
    ln -s "../../${backend#"$DEBIAN_NEW/"}" "$DEBIAN_NEW/usr/bin/${backend##*/}"
    found=1
done
[ -n "$found" ] || die "no ggml backend among the packages" "Debian has changed their layout: compare with the files of libggml0."

debian_commit
mkdir -p "$dir/bin"
for program in "$dir/root/usr/bin"/llama-*; do ln -sf "../root/usr/bin/${program##*/}" "$dir/bin/"; done
runs || die "installed, but $server does not run here" "Its own words: $("$server" --version 2>&1 | tail -n 1)"
echo "llama-server $installed is in $dir"
