#!/usr/bin/env bash
# Brings a headless Chromium (Debian's chromium-headless-shell) into a folder, beside the system and without touching it.
#
#   eng/install-chromium.sh DIR
#
#   DIR/bin/chromium         what to run; it speaks the DevTools protocol (--remote-debugging-port, --remote-debugging-pipe)
#   DIR/root/                the unpacked packages; packages.txt in it has names, versions and SHA-256
#
# Run again, it does nothing. The version is not pinned: a browser that is behind on fixes is worse than a moving one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/system.sh"
. "$here/lib/own-folder.sh"
. "$here/lib/debian.sh"

suite=trixie

own_folder "$@"
browser=$dir/bin/chromium

runs() { # a page that needs a renderer, the network stack and a font
    timeout 60 "$browser" --no-sandbox --dump-dom 'data:text/html,<p id=x></p><script>x.innerText=6*7</script>' 2>/dev/null | grep -q '>42<'
}

if [ -f "$dir/root/packages.txt" ] && "$browser" --version >/dev/null 2>&1; then
    echo "chromium $(debian_field "$dir/root" chromium-headless-shell 2) is in $dir"
    exit 0
fi

echo "chromium: downloading chromium-headless-shell from Debian $suite (about 150 MB) ..."
debian_open "$suite"
debian_download chromium-headless-shell fonts-dejavu-core fontconfig-config
debian_unpack

# Some of its libraries have a RUNPATH of their own (libpulse), which would hide the programs' RPATH from the libraries
# they need: LD_LIBRARY_PATH is not hidden. It reaches the crash handler too, so that one gets the same ld.so.
lib=$(debian_final "$DEBIAN_LIB")
libraries=$lib:$lib/pulseaudio
debian_relocate "$libraries" "$DEBIAN_NEW"/usr/lib/chromium/{chromium-headless-shell,chrome_crashpad_handler}
debian_commit

# Its fonts come from the folder as well: a machine without any shows pages without text.
cat > "$dir/fonts.conf" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>$dir/root/usr/share/fonts</dir><cachedir>$dir/font-cache</cachedir></fontconfig>
FONTS
mkdir -p "$dir/bin"
cat > "$browser" <<RUN
#!/bin/sh
FONTCONFIG_FILE=$dir/fonts.conf LD_LIBRARY_PATH=$libraries exec $dir/root/usr/lib/chromium/chromium-headless-shell "\$@"
RUN
chmod +x "$browser"
runs || die "installed, but $browser does not show a page here" "Its own words: $("$browser" --no-sandbox --dump-dom about:blank 2>&1 | tail -n 1)"
echo "chromium $(debian_field "$dir/root" chromium-headless-shell 2) is in $dir"
