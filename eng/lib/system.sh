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

# folder_argument "$@": puts the one argument of an installer, as absolute_folder prints it, into $dir; else shows the
# script's own head as help and ends the script. Called directly, never as $(...): an exit in there would end only the
# subshell, and the installer would go on with an empty folder name, which is the root of the file system.
folder_argument() {
    case ${1:-} in
        --help) _show_head; exit 0 ;;
        '' | -*) _show_head >&2; exit 2 ;;
    esac
    dir=$(absolute_folder "$1") || exit 1
    refuse_system_folder "$dir"
}

# refuse_system_folder DIR: installers replace what they find in their folder, so it must be one that is theirs alone.
refuse_system_folder() {
    case ${1:-} in
        /*/*) ;;
        *) die "'${1:-}' is not a folder to install into" "Name a folder of its own, at least two levels deep: .tools/NAME" ;;
    esac
    case $1 in
        "$HOME" | /usr/* | /etc/* | /var/* | /bin/* | /lib/* | /sbin/* | /boot/* | /dev/* | /proc/* | /sys/* | /run/*)
            die "$1 belongs to the system or is your home" "Name a folder of its own: .tools/NAME" ;;
    esac
}

# replace_root NEW DIR: DIR/root becomes NEW. What stands there is replaced only if an installer put it there.
INSTALLED=.installed-by-eng
replace_root() {
    refuse_system_folder "$2"
    [ ! -e "$2/root" ] || [ -e "$2/root/$INSTALLED" ] || die "$2/root is there and no installer of ours made it" "Name another folder, or move that one away."
    rm -rf "$2/root.old"
    [ ! -e "$2/root" ] || mv "$2/root" "$2/root.old"
    mv "$1" "$2/root"
    rm -rf "$2/root.old"
}

_show_head() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

# absolute_folder DIR: makes it and prints its real path; patched programs carry that path, so it must be a plain one.
absolute_folder() {
    mkdir -p "$1" || die "could not make the folder $1" "Name one that you may write to."
    local path
    path=$(cd "$1" && pwd -P)
    case $path in
        *[!A-Za-z0-9/._+@-]*) die "the path $path holds a space or another odd character" \
            "Use a folder whose path has only letters, digits and / . _ + @ -" ;;
    esac
    printf '%s\n' "$path"
}
