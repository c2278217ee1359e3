#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh BUILD [--since REVISION] [--at-most N] [--seconds N] [--jobs N]: clang-tidy (.clang-tidy) on the sources of the
# build in BUILD. With a revision of git only on what has changed since, committed or not, largest changes first; a
# header stands for the source of its name, or one that includes it. A source that takes longer than --seconds is named
# and left. Exit code 1: it found something; 77: it cannot look, or there is nothing to look at.
set -u
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit 1
build=$1 since="" most=0 seconds=3600 jobs=$(nproc)
shift
while [ $# -ge 2 ]; do
  case "$1" in
    --since) since=$2 ;;
    --at-most) most=$2 ;;
    --seconds) seconds=$2 ;;
    --jobs) jobs=$2 ;;
  esac
  shift 2
done
folders=(sim cuda nn cost_models report cli)

command -v clang-tidy >/dev/null || { echo "clang-tidy is not there"; exit 77; }
# A build of units knows no single sources: one that compiles them is configured beside it.
if grep -qs '^BITCYCLE_UNITS:BOOL=ON' "$build/CMakeCache.txt"; then
  cmake -S . -B "$build/tidy" -DBITCYCLE_UNITS=OFF -DBITCYCLE_TESTS=OFF -DBITCYCLE_BENCH=OFF -DBITCYCLE_CUDA=OFF \
    -DCMAKE_CXX_COMPILER="$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")" >/dev/null || exit 1
  build=$build/tidy
fi
[ -f "$build/compile_commands.json" ] || { echo "$build has no compile_commands.json"; exit 77; }
# Sources that this build compiles, as paths in the project.
compiled=$(sed -n "s|^ *\"file\": \"$PWD/\(.*\.cpp\)\".*|\1|p" "$build/compile_commands.json" | grep -E "^($(IFS='|'; echo "${folders[*]}"))/" | sort -u)

# The source that shows what clang-tidy finds in a file.
source_of() {
  case "$1" in
    *.cpp) echo "$1" ;;
    *) if grep -qxF "${1%.*}.cpp" <<<"$compiled"; then
        echo "${1%.*}.cpp"
      else
        xargs grep -lF "#include \"$1\"" /dev/null <<<"$compiled" | head -n 1
      fi ;;
  esac
}

if [ -z "$since" ]; then
  chosen=$compiled
else
  git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "git does not know this folder: what has changed is unknown"; exit 77; }
  git rev-parse --quiet --verify "$since^{commit}" >/dev/null || { echo "git knows no revision '$since'"; exit 77; }
  chosen=$(git diff --numstat --no-renames --diff-filter=d "$since" -- "${folders[@]}" |
    awk -F '\t' '$3 ~ /\.(cpp|h|inl)$/ { print $1 + $2 "\t" $3 }' | sort -k1,1nr | cut -f 2 |
    while read -r file; do source_of "$file"; done | awk 'NF && !seen[$0]++' | grep -xF "$compiled")
  [ -n "$chosen" ] || { echo "no source has changed since $since"; exit 77; }
fi
count=$(wc -l <<<"$chosen")
if [ "$most" -gt 0 ] && [ "$count" -gt "$most" ]; then
  chosen=$(head -n "$most" <<<"$chosen")
  echo "the $most largest changes of $count since $since; ./run-tests --clang-tidy $since looks at all"
fi

look_at() {
  local found status
  found=$(timeout "$3" clang-tidy -quiet -p "$1" --warnings-as-errors='*' --extra-arg=-Wno-unknown-warning-option "$2" 2>&1)
  status=$?
  [ "$status" != 0 ] || return 0
  [ "$status" != 124 ] || { echo "$2: not finished in $3 s, left out"; return 0; }
  grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter' <<<"$found"
  return 1
}
export -f look_at
# shellcheck disable=SC2016  # expanded by the shell that xargs starts
tr '\n' '\0' <<<"$chosen" | xargs -0 -P "$jobs" -I {} bash -c 'look_at "$1" "$3" "$2"' _ "$build" "$seconds" {} || exit 1
echo "clang-tidy has looked at $(wc -l <<<"$chosen") sources and found nothing"
