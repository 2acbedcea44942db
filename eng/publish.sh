#!/usr/bin/env bash
# Publishes LlmGateway as one file for each system that is named, or for all: needs nothing installed where it runs.
#   eng/publish.sh [linux-x64|linux-arm64|osx-arm64|win-x64]…
# The result is artifacts/publish/RID/: llm-gateway, its default configuration, and the simulator for the demo.
#   READY_TO_RUN=false   leave compiling to the start: quicker to publish, twice as long to start
#   COMPRESS=true        smaller files that start more slowly
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runtimes=("$@")
[ ${#runtimes[@]} -gt 0 ] || runtimes=(linux-x64 linux-arm64 osx-arm64 win-x64)

publish() {
  local project=$1 runtime=$2 out=$3
  # One composite with the runtime would start 0.4 s sooner and hold 23 MB more for as long as it runs: docs/performance.md.
  # Built in a place of its own, and the lock files left alone: what is for another system must not overwrite what is for this one.
  # The analyzers have had their say in the build.
  dotnet publish "src/$project" --configuration Release --runtime "$runtime" --self-contained --artifacts-path artifacts/build \
    -p:PublishSingleFile=true -p:PublishReadyToRun="${READY_TO_RUN:-true}" -p:PublishReadyToRunComposite=false -p:RunAnalyzers=false -p:DebugType=none \
    -p:PublishDocumentationFiles=false -p:PublishReferencesDocumentationFiles=false \
    -p:EnableCompressionInSingleFile="${COMPRESS:-false}" -p:RestorePackagesWithLockFile=false -p:RestoreLockedMode=false -p:NuGetLockFilePath=none.lock.json \
    --output "$out" --verbosity quiet --nologo
}

for runtime in "${runtimes[@]}"; do
  out="artifacts/publish/$runtime"
  mkdir -p "$out"
  find "$out" -mindepth 1 -delete
  publish Gateway "$runtime" "$out"
  publish Simulator "$runtime" "$out/simulator"
  printf '%-12s %s\n' "$runtime" "$(du -sh "$out" | cut -f1)"
done
