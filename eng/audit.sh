#!/usr/bin/env bash
# Fails when a package of the solution, or one that it brings along, has a published vulnerability.
#
#   eng/audit.sh DIR
#
#   DIR/                     a project with a known vulnerable package: the canary
#
# A source that can't be reached, or that knows of no vulnerability at all, is a loud warning and no failure: that is
# news about the network. The canary tells "nothing was found" from "nothing was looked up".
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/system.sh"
. "$here/lib/own-folder.sh"

own_folder "$@"
solution=$here/../LlmGateway.sln

not_audited() {
    warn "no vulnerability audit: $1" "What the packages are known for today has not been checked." "Cure: run ./test.sh where a package source that publishes advisories can be reached."
    exit 0
}

# list PROJECT FILE: what the sources know, as JSON.
list() { timeout 120 dotnet list "$1" package --vulnerable --include-transitive --format json >"$2" 2>"$dir/errors.txt"; }
finds() { grep -q '"vulnerabilities"' "$1"; }

# Its own Directory.*.props keep the solution's from it.
for name in Build Packages; do echo '<Project />' > "$dir/Directory.$name.props"; done
cat > "$dir/canary.csproj" <<'PROJECT'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <TargetFramework>net10.0</TargetFramework>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Newtonsoft.Json" Version="12.0.3" />
  </ItemGroup>
</Project>
PROJECT

list "$solution" "$dir/solution.json" || not_audited "the package sources did not answer"
if finds "$dir/solution.json"; then
    dotnet list "$solution" package --vulnerable --include-transitive >&2 || true
    die "packages with published vulnerabilities, see above" "Raise their versions in Directory.Packages.props (a transitive one is pinned by naming it there)."
fi

timeout 120 dotnet restore "$dir/canary.csproj" >"$dir/restore.txt" 2>&1 || not_audited "the canary package could not be had"
list "$dir/canary.csproj" "$dir/canary.json" || not_audited "the package sources did not answer"
finds "$dir/canary.json" || not_audited "the package sources know of no vulnerability, not even of a famous one"
echo "no package with a published vulnerability"
