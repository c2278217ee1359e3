#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016  # programs of awk
# check.sh WHAT: how the project's files have to look. Exit code 77: the tool that looks is not there.
#   format    C++ and CUDA sources are as clang-format 14 writes them
#   includes  folders include only what docs/architecture.md allows
#   shell     shellcheck finds nothing in scripts
#   lines     lines of documents have at most 120 characters, tables and commands apart
#   licence   every source has its SPDX line
#   tables    tables of measurements are what their raw records make
#   marks     nothing is left unfinished
set -u
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit 1
status=0
complain() { printf '%s\n' "$*"; status=1; }
# Files of the project: as git has them, or, without git, all but what builds and runs leave.
files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -co --exclude-standard -- "$@"
  else
    local pattern
    for pattern in "$@"; do find . -path './build*' -prune -o -name "$pattern" -type f -print; done
  fi
}

case "${1:-}" in
  format)
    command -v clang-format >/dev/null || { echo "clang-format is not there"; exit 77; }
    clang-format --version | grep -q 'version 14\.' || { echo "another clang-format than 14 writes other files"; exit 77; }
    wrong=$(files '*.h' '*.cpp' '*.inl' '*.cu' | tr '\n' '\0' | xargs -0 -n 40 -P "$(nproc)" clang-format --dry-run 2>&1 |
      sed -n 's/^\([^:]*\):[0-9]*:.*warning: code should be clang-formatted.*/\1/p' | sort | uniq -c)
    [ -z "$wrong" ] || complain "clang-format -i would change (count, file):"$'\n'"$wrong"
    ;;
  includes)
    # folder: what its sources may include of the project
    while read -r folder allowed; do
      wrong=$(files "$folder/*.h" "$folder/*.cpp" "$folder/*.inl" "$folder/*.cu" |
        xargs grep -nE '^#include "' /dev/null | grep -vE "#include \"($allowed)/" | grep -vE '#include "[a-z_]+\.(inl|h)"')
      [ -z "$wrong" ] || complain "$folder may include $allowed only:"$'\n'"$wrong"
    done <<'END'
sim sim
sim/number sim/number
sim/quantisers sim/quantisers|sim/number
cuda cuda|sim
cost_models cost_models|sim
nn nn|cost_models|sim
report report|nn|cost_models|sim
cli cli|report|nn|cost_models|cuda|sim
END
    wrong=$(files 'sim/*' 'nn/*' 'cuda/*' 'cost_models/*' 'cli/*' 'report/*' | xargs grep -nl 'tbb/' /dev/null | grep -vE '^(sim/cpu|cuda/host)/')
    [ -z "$wrong" ] || complain "oneTBB is for sim/cpu and cuda/host only:"$'\n'"$wrong"
    wrong=$(files '*.h' '*.cpp' | grep -v '^cli/' | xargs grep -l 'cxxopts' /dev/null)
    [ -z "$wrong" ] || complain "cxxopts is for cli only:"$'\n'"$wrong"
    ;;
  shell)
    command -v shellcheck >/dev/null || { echo "shellcheck is not there"; exit 77; }
    files '*.sh' bitcycle run-tests .ci/run | sort -u | xargs shellcheck -x || status=1
    ;;
  lines)
    wrong=$(files '*.md' | xargs awk 'FNR == 1 { code = 0 }
      /^```/ { code = !code }
      length($0) > 120 && $0 !~ /^\|/ && !code && $0 !~ /^    / { print FILENAME ":" FNR ": " length($0) " characters" }')
    [ -z "$wrong" ] || complain "$wrong"
    wrong=$(files '*.h' '*.cpp' '*.inl' '*.cu' '*.sh' '*.py' | xargs awk 'length($0) > 160 { print FILENAME ":" FNR ": " length($0) " characters" }')
    [ -z "$wrong" ] || complain "$wrong"
    ;;
  licence)
    wrong=$(files '*.h' '*.cpp' '*.inl' '*.cu' '*.sh' '*.py' '*.js' '*.css' 'CMakeLists.txt' '*/CMakeLists.txt' '*.cmake' bitcycle run-tests |
      sort -u | while read -r file; do head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"; done)
    [ -z "$wrong" ] || complain "no SPDX line in:"$'\n'"$wrong"
    ;;
  tables)
    command -v python3 >/dev/null || { echo "python3 is not there"; exit 77; }
    wrong=$(python3 bench/results/tables.py --check) || complain "$wrong"
    ;;
  marks)
    wrong=$(files 'sim/*' 'nn/*' 'cuda/*' 'cost_models/*' 'cli/*' 'report/*' |
      xargs grep -nIiE 'TODO|FIXME|not (yet )?implemented|placeholder' /dev/null)
    [ -z "$wrong" ] || complain "left unfinished:"$'\n'"$wrong"
    ;;
  *) echo "check.sh: format, includes, shell, lines, licence, tables or marks" >&2; exit 2 ;;
esac
exit "$status"
