# shellcheck shell=bash
# Debian packages with all their libraries, libc included, in one folder: beside the system, without touching it.
#
# Nothing of the system's is changed (sources, lists, cache, package database) and root is not needed, so a program
# of one Debian suite runs on any Debian or Ubuntu machine. Source after own-folder.sh, whose $dir it fills, and call:
#
#   debian_open SUITE             an apt of our own below $dir, and its package lists
#   debian_download PACKAGE...    the packages and everything they depend on; fails when one can't be had
#   debian_unpack                 into $DEBIAN_NEW; writes $DEBIAN_NEW/packages.txt: name, version, SHA-256
#   debian_relocate PROGRAM...    (relative to the root) gives programs the unpacked ld.so and libraries
#   debian_commit                 $dir/root becomes what was unpacked
#
# Programs are patched (patchelf) rather than started by "ld.so PROGRAM", where /proc/self/exe would be ld.so:
# llama-server's router and the browser both start copies of themselves through it. The folder can't be moved then.

debian_open() {
    DEBIAN_SUITE=$1
    DEBIAN_NEW=${dir:?}/root.new _debian_work=${dir:?}/.work
    local tool keyring archive
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null || die "$tool is not there: this installer is for Debian and Ubuntu" \
            "Elsewhere install the program yourself and name it by its variable (see ./test.sh --help)."
    done

    discard .work root.new
    trap 'discard .work root.new' EXIT
    mkdir -p "$_debian_work/lists/partial" "$_debian_work/cache/archives/partial" "$DEBIAN_NEW"
    : > "$_debian_work/status" # an empty package database: apt resolves the whole closure
    keyring=$(_debian_keyring) || exit 1
    archive=$(_debian_archive) || exit 1
    echo "deb [signed-by=$keyring] $archive $DEBIAN_SUITE main" > "$_debian_work/sources.list"
    _debian_apt apt-get -o APT::Update::Error-Mode=any update >"$_debian_work/update.log" 2>&1 || {
        cat "$_debian_work/update.log" >&2
        die "the package lists of Debian $DEBIAN_SUITE could not be had from $archive" \
            "Check the network, or name another mirror: DEBIAN_MIRROR=http://HOST/debian"
    }
}

debian_has() { # PACKAGE VERSION
    _debian_apt apt-cache madison "$1" | awk '{ print $3 }' | grep -Fxq -- "$2"
}

debian_download() {
    _debian_apt apt-get -y --download-only install "$@" patchelf >"$_debian_work/download.log" 2>&1 || {
        cat "$_debian_work/download.log" >&2
        die "could not download $* from Debian $DEBIAN_SUITE" "The lines above are apt's own; check the network and the free disk space, then run again."
    }
}

debian_unpack() {
    local deb
    for deb in "$_debian_work"/cache/archives/*.deb; do
        dpkg-deb -x "$deb" "$DEBIAN_NEW"
        printf '%s %s %s\n' "$(dpkg-deb -f "$deb" Package)" "$(dpkg-deb -f "$deb" Version)" "$(sha256sum < "$deb" | cut -d' ' -f1)"
    done > "$_debian_work/packages.txt"
    mv "$_debian_work/packages.txt" "$DEBIAN_NEW/packages.txt"

    _debian_loader=$(find "$DEBIAN_NEW/usr/lib" -name 'ld-linux*.so.*' | head -n 1)
    [ -n "$_debian_loader" ] || die "no ld.so among the packages"
    DEBIAN_LIB=$(dirname "$(find "$DEBIAN_NEW/usr/lib" -name libc.so.6 | head -n 1)")
}

# The path that something below $DEBIAN_NEW will have after debian_commit.
debian_final() { printf '%s\n' "${dir:?}/root${1#"$DEBIAN_NEW"}"; }

# RPATH, not RUNPATH: it is handed on to the libraries that a library needs, and wins over LD_LIBRARY_PATH.
debian_patch_library() { # FILE LIBRARY-PATH
    _debian_patchelf --force-rpath --set-rpath "$2" "$1"
}

debian_relocate() { # LIBRARY-PATH PROGRAM...
    local rpath=$1 program
    shift
    for program in "$@"; do
        _debian_patchelf --set-interpreter "$(debian_final "$_debian_loader")" --force-rpath --set-rpath "$rpath" "$program"
    done
}

debian_commit() {
    discard root
    mv "$DEBIAN_NEW" "${dir:?}/root"
    discard .work
}

# VERSION and SHA-256 of an installed or unpacked package: debian_field ROOT PACKAGE 2|3
debian_field() { awk -v package="$2" -v field="$3" '$1 == package { print $field }' "$1/packages.txt"; }

_debian_patchelf() {
    "${_debian_loader:?}" --library-path "$DEBIAN_LIB" "$DEBIAN_NEW/usr/bin/patchelf" "$@"
}

_debian_apt() {
    local tool=$1
    shift
    "$tool" -q \
        -o Dir::Etc::SourceList="$_debian_work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$_debian_work" -o Dir::State::Lists="$_debian_work/lists" -o Dir::State::status="$_debian_work/status" \
        -o Dir::Cache="$_debian_work/cache" -o Dir::Log="$_debian_work" \
        -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Sandbox::User=root -o Debug::NoLocking=true "$@"
}

# The mirror this machine already uses, if it is a Debian one; else the one that debootstrap (Ubuntu has it) takes for Debian.
_debian_archive() {
    local archive=${DEBIAN_MIRROR:-} bootstrap=/usr/sbin/debootstrap
    if [ -z "$archive" ] && [ -r /etc/apt/sources.list.d/debian.sources ]; then
        archive=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources | head -n 1)
    fi
    if [ -z "$archive" ]; then
        [ -r "$bootstrap" ] || system_install debootstrap >&2
        archive=$(sed -n 's/^DEF_MIRROR="\(.*\)"$/\1/p' "$bootstrap" | head -n 1)
    fi
    [ -n "$archive" ] || die "no Debian mirror is known here" "Name one: DEBIAN_MIRROR=http://HOST/debian"
    printf '%s\n' "$archive"
}

_debian_keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ ! -r "$file" ] || { printf '%s\n' "$file"; return; }
    done
    system_install debian-archive-keyring # an Ubuntu machine; Debian always has it
    printf '%s\n' /usr/share/keyrings/debian-archive-keyring.gpg
}
