# shellcheck shell=bash
# What every script here needs from the machine. Source it; it runs nothing by itself.

# die MESSAGE...: one line per argument on standard error, then exit 1. The last line names the cure.
die() {
    printf '%s\n' "${0##*/}: $1" >&2
    shift
    [ $# -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 1
}

# warn LINE...: a block nobody scrolls past.
warn() {
    {
        printf '\n********************************************************************************\n'
        printf '*** WARNING: %s\n' "$1"
        shift
        [ $# -eq 0 ] || printf '***          %s\n' "$@"
        printf '********************************************************************************\n\n'
    } >&2
}

# as_root COMMAND...: directly as root, else by sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo" "Run once as root: $*"
    fi
}

# system_install PACKAGE...: by the system's package manager, lists refreshed first and once per run.
system_install() {
    command -v apt-get >/dev/null || die "no apt-get to install $* with" "Install by hand: $*"
    if [ -z "${_lists_are_fresh:-}" ]; then
        as_root apt-get -q update >/dev/null || die "the system's package lists could not be refreshed" "Try: apt-get update"
        _lists_are_fresh=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null ||
        die "could not install $*" "Try: apt-get update && apt-get install $*"
}
