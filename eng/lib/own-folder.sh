# shellcheck shell=bash
# The one folder that an installer may write to and delete in. Source it after system.sh.
#
# A folder is ours when we made it (or found it empty) and left our mark in it; any other is refused, so no mistyped
# argument can make an installer replace what is not its own. All deleting in eng/ goes through discard.
OWN_MARK=.made-by-llmgateway-eng

# own_folder "$@": takes an installer's only argument, makes that folder ours and puts its real path into $dir.
# Call it directly, never as $(own_folder ...): an exit in there would end only the subshell.
own_folder() {
    if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
        _show_head
        exit 0
    fi
    if [ $# -ne 1 ] || [ -z "$1" ] || [ "${1#-}" != "$1" ]; then
        _show_head >&2
        exit 2
    fi

    mkdir -p -- "$1" || die "could not make the folder $1" "Name one that you may write to."
    dir=$(cd -- "$1" && pwd -P) || die "could not enter the folder $1"
    case ${dir:?} in
        # The programs are patched to carry this path.
        *[!A-Za-z0-9/._+@-]*) die "the path $dir holds a space or another odd character" \
            "Use a folder whose path has only letters, digits and / . _ + @ -" ;;
    esac
    if [ ! -f "${dir:?}/$OWN_MARK" ]; then
        [ -z "$(ls -A -- "${dir:?}")" ] || die "$dir is not empty, and no installer of ours made it" "Name a folder of its own: .tools/NAME"
        touch "${dir:?}/$OWN_MARK"
    fi
    readonly dir
}

# discard NAME...: deletes entries of our own folder.
discard() {
    local name
    [ -f "${dir:?}/$OWN_MARK" ] || die "$dir is not ours to delete in"
    for name in "$@"; do
        case $name in
            '' | . | .. | */* | "$OWN_MARK") die "discard takes the names of entries, not '$name'" ;;
        esac
        rm -rf -- "${dir:?}/${name:?}"
    done
}

_show_head() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
