# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# ./bitcycle and ./run-tests themselves, in a copy of the project with a stand-in for CMake.

# A project whose "build" takes no time; each call of CMake is noted in calls.txt.
make_project() {
  mkdir -p "my project/scripts" "my project/cli" "my project/sim" tools
  cp "$SOURCE/bitcycle" "$SOURCE/run-tests" "my project/"
  cp "$SOURCE/scripts/setup.sh" "my project/scripts/"
  touch "my project/CMakeLists.txt" "my project/cli/main.cpp" "my project/sim/workload.h"
  cat >tools/cmake <<END
#!/bin/bash
echo "\$*" >>"$PWD/calls.txt"
case "\$1" in
  --build)
    [ ! -e "$PWD/slow" ] || sleep 1
    [ ! -e "$PWD/broken" ] || { echo "main.cpp:1: error: something is wrong"; exit 1; }
    echo "[1/1] Building"
    mkdir -p "\$2/cli"
    printf '#!/bin/sh\nprintf "<%%s>" "\$@"\n' >"\$2/cli/bitcycle"
    chmod +x "\$2/cli/bitcycle"
    ;;
  *) [ ! -e "$PWD/unconfigurable" ] || { echo "CMake Error: no package X"; exit 1; } ;;
esac
END
  # Says that every package is installed.
  cat >tools/dpkg-query <<'END'
#!/bin/bash
shift 2
for package in "$@"; do printf 'ii %s\n' "$package"; done
END
  chmod +x tools/*
  export PATH=$PWD/tools:$PATH
  unset BITCYCLE_BUILD_DIR BITCYCLE_INSTALL
}
builds() { grep -c -- --build calls.txt; }

test_builds_once_then_only_runs() {
  make_project
  run 0 "my project/bitcycle" train "a b" --json
  equal "$out" "<train><a b><--json>" "arguments"
  run 0 "my project/bitcycle" info
  equal "$out" "<info>" "arguments"
  equal "$(builds)" 1 builds
  equal "$err" "" "stderr of a later call"
}

test_runs_from_any_folder_and_through_a_link() {
  make_project
  ln -s "$PWD/my project/bitcycle" tools/bc
  mkdir elsewhere
  (cd elsewhere && "../my project/bitcycle" one && cd / && bc two) >stdout.txt 2>stderr.txt
  equal "$(cat stdout.txt)" "<one><two>" "arguments"
  equal "$(builds)" 1 builds
  (cd "my project" && bash bitcycle three) >stdout.txt
  equal "$(cat stdout.txt)" "<three>" "arguments"
}

test_a_newer_or_deleted_source_is_built_again() {
  make_project
  run 0 "my project/bitcycle" one
  sleep 0.02
  touch "my project/sim/workload.h"
  run 0 "my project/bitcycle" one
  equal "$(builds)" 2 builds
  sleep 0.02
  rm "my project/sim/workload.h"
  run 0 "my project/bitcycle" one
  equal "$(builds)" 3 builds
  run 0 "my project/bitcycle" one
  equal "$(builds)" 3 builds
}

test_a_failed_build_shows_its_log_and_is_tried_again() {
  make_project
  touch broken
  run 1 "my project/bitcycle" train
  contains "$err" "something is wrong"
  contains "$err" "bitcycle: error: the build failed"
  contains "$err" "build/build.log"
  equal "$out" "" stdout
  rm broken
  run 0 "my project/bitcycle" train
  equal "$out" "<train>" "arguments"
}

test_sources_that_do_not_go_together_are_built_one_by_one() {
  make_project
  # Units are on until CMake is told otherwise, and cannot be built.
  cat >tools/cmake.units <<END
#!/bin/bash
cache="my project/build/CMakeCache.txt"
case "\$*" in
  --build*)
    if grep -q UNITS:BOOL=ON "$PWD/\$cache"; then
      echo "\$*" >>"$PWD/calls.txt"
      echo "unit.cxx:1: error: redefinition of 'f'"
      exit 1
    fi
    exec "$PWD/tools/cmake.plain" "\$@"
    ;;
  *UNITS=OFF*) echo "BITCYCLE_UNITS:BOOL=OFF" >"$PWD/\$cache" ;;
  *) echo "BITCYCLE_UNITS:BOOL=ON" >"$PWD/\$cache" ;;
esac
END
  mv tools/cmake tools/cmake.plain
  mv tools/cmake.units tools/cmake
  chmod +x tools/cmake
  run 0 "my project/bitcycle" info
  equal "$out" "<info>" "arguments"
  contains "$err" "building again, each source by itself: several at once failed (log: $PWD/my project/build/units.log)"
  contains "$(cat "my project/build/units.log")" "redefinition of 'f'"
  equal "$(builds)" 2 builds
  # What fails either way is an error, with the log of the second build.
  touch broken "my project/sim/workload.h"
  sleep 0.01
  touch "my project/sim/workload.h"
  run 1 "my project/bitcycle" info
  contains "$err" "something is wrong"
}

test_a_failed_configuration_shows_its_log() {
  make_project
  touch unconfigurable
  run 1 "my project/bitcycle" train
  contains "$err" "no package X"
  contains "$err" "build/configure.log"
}

test_concurrent_calls_build_once() {
  make_project
  touch slow
  local i
  for i in 1 2 3; do "my project/bitcycle" "$i" >"out$i.txt" 2>/dev/null & done
  wait
  equal "$(cat out1.txt out2.txt out3.txt)" "<1><2><3>" "arguments"
  equal "$(builds)" 1 builds
}

test_missing_packages_are_listed_where_they_may_not_be_installed() {
  make_project
  cat >tools/dpkg-query <<'END'
#!/bin/bash
shift 2
for package in "$@"; do [ "$package" = libtbb-dev ] || printf 'ii %s:amd64\n' "$package"; done
exit 1
END
  BITCYCLE_INSTALL=no run 1 "my project/bitcycle" train
  contains "$err" "packages are missing"
  contains "$err" "apt-get install -y --no-install-recommends libtbb-dev"
  lacks "$err" "yaml"
  [ ! -e calls.txt ] || failed "CMake was called"
}

test_missing_packages_are_installed_without_questions() {
  make_project
  cat >tools/dpkg-query <<'END'
#!/bin/bash
shift 2
for package in "$@"; do [ "$package" = libtbb-dev ] || printf 'ii %s\n' "$package"; done
END
  printf '#!/bin/bash\necho "$DEBIAN_FRONTEND $*" >>"%s/apt.txt"\n' "$PWD" >tools/apt-get
  printf '#!/bin/bash\n' >tools/dpkg
  # Root, or a user with sudo: either way apt-get is called.
  printf '#!/bin/bash\n[ "$1" != -n ] || shift\nexec "$@"\n' >tools/sudo
  chmod +x tools/*
  run 0 "my project/bitcycle" train
  contains "$err" "installing Debian packages needed to build: libtbb-dev"
  contains "$(cat apt.txt)" "noninteractive"
  contains "$(cat apt.txt)" "install -y --no-install-recommends libtbb-dev"
  equal "$out" "<train>" "arguments"
}

test_an_installation_that_fails_shows_its_log() {
  make_project
  printf '#!/bin/bash\nexit 1\n' >tools/dpkg-query
  printf '#!/bin/bash\necho "E: Unable to locate package"\nexit 100\n' >tools/apt-get
  printf '#!/bin/bash\n' >tools/dpkg
  printf '#!/bin/bash\n[ "$1" != -n ] || shift\nexec "$@"\n' >tools/sudo
  chmod +x tools/*
  run 1 "my project/bitcycle" train
  contains "$err" "Unable to locate package"
  contains "$err" "apt-get could not install"
}

test_run_tests_checks_its_options() {
  make_project
  run 2 "my project/run-tests" --nope
  contains "$err" "unknown option '--nope'"
  run 2 "my project/run-tests" --fuzz soon
  contains "$err" "seconds"
  run 0 "my project/run-tests" --help
  contains "$out" "--asan"
  [ ! -e calls.txt ] || failed "CMake was called"
}

test_run_tests_refuses_options_that_contradict_each_other() {
  make_project
  run 2 "my project/run-tests" --clang --aarch64
  contains "$err" "does not go with --clang"
  run 2 "my project/run-tests" --aarch64 --asan
  contains "$err" "--clang and --aarch64 go with no other build"
  run 2 "my project/run-tests" --nightly --tsan
  contains "$err" "--nightly goes with"
  run 2 "my project/run-tests" --clang-tidy no-such-revision
  contains "$err" "no revision 'no-such-revision'"
  [ ! -e calls.txt ] || failed "CMake was called"
}

test_nightly_goes_on_after_a_failure_and_ends_with_a_table() {
  make_project
  cp "$SOURCE"/scripts/*.sh "my project/scripts/"
  cat >tools/ctest <<'END'
#!/bin/sh
case "$*" in *build-asan*) echo "50% tests passed, 1 tests failed out of 2"; exit 8 ;; esac
echo "100% tests passed, 0 tests failed out of 2"
END
  chmod +x tools/ctest
  # Nothing may be downloaded for aarch64: two of five fail.
  BITCYCLE_INSTALL=no run 1 "my project/run-tests" --nightly --fuzz 1
  local rows row
  rows=$(sed -n '/the nightly sets/,$p' <<<"$err")
  for row in 'asan .*FAILED .*1 tests failed out of 2' 'tsan .*passed .*0 tests failed out of 2' 'fuzz .*passed' \
    'clang .*passed' 'aarch64 .*FAILED .*arm64 libraries'; do
    grep -qE "^  $row" <<<"$rows" || failed "no row '$row'"
  done
  contains "$rows" "2 of 5 sets failed"
  contains "$(cat calls.txt)" "-DCMAKE_CXX_COMPILER=clang++ -DBITCYCLE_CUDA=OFF"
}

test_clang_tidy_looks_at_what_has_changed() {
  command -v git >/dev/null || return 0
  mkdir -p project/tests/style project/sim build tools
  cp "$SOURCE/tests/style/tidy.sh" project/tests/style/
  printf '#!/bin/sh\nfor file in "$@"; do :; done\ngrep -H found "$file" || exit 0\nexit 1\n' >tools/clang-tidy
  chmod +x tools/clang-tidy
  export PATH=$PWD/tools:$PATH GIT_CONFIG_GLOBAL=/dev/null
  echo 'int a; // found in a' >project/sim/a.cpp
  echo '#include "sim/b.h"' >project/sim/b.cpp
  echo '#include "sim/b.h"' >project/sim/c.cpp
  echo 'int b;' >project/sim/b.h
  local file look=(bash project/tests/style/tidy.sh "$PWD/build")
  local git=(git -C project -c user.name=a -c user.email=a@b.c)
  for file in a b c; do echo "  \"file\": \"$PWD/project/sim/$file.cpp\""; done >build/compile_commands.json
  git -C project init -q && "${git[@]}" add . && "${git[@]}" commit -qm one && "${git[@]}" commit -qm two --allow-empty
  run 77 "${look[@]}" --since HEAD~1
  contains "$out" "no source has changed"
  echo 'int b; // another' >project/sim/b.h
  run 0 "${look[@]}" --since HEAD
  contains "$out" "has looked at 1 sources and found nothing"
  echo '// found in b' >>project/sim/b.cpp
  run 1 "${look[@]}" --since HEAD --at-most 1
  contains "$out" "found in b"
  lacks "$out" "found in a"
  # Without a revision: all.
  run 1 "${look[@]}"
  contains "$out" "found in a"
  contains "$out" "found in b"
}

test_few_file_descriptors_are_an_error_and_nothing_is_written_elsewhere() {
  make_project
  # With three the shell can read the script and make no pipe.
  local command
  for command in bitcycle run-tests; do
    # What the test runner left open counts, too.
    run 1 bash -c 'for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done; ulimit -n 4; exec bash "$@"' - "my project/$command" train
    contains "$err" "$command: error: "
    [ ! -e calls.txt ] || failed "CMake was called"
  done
}

test_a_filter_copied_from_a_table_selects_what_it_says() {
  make_project
  # shellcheck disable=SC2016
  printf '#!/bin/sh\necho "$@"\n' >tools/ctest
  chmod +x tools/ctest
  run 0 "my project/run-tests" --filter 'Exact\|Training'
  contains "$out" "-R Exact|Training"
}

test_an_old_cuda_toolkit_is_refused_by_name() {
  command -v cmake >/dev/null || return 0
  run 1 cmake -DCOMPILER=/opt/old/nvcc -DVERSION=11.8 -DMODE=ON -P "$SOURCE/cmake/CudaToolkit.cmake"
  contains "$err" "the CUDA Toolkit at /opt/old/nvcc is 11.8; 12.0 or newer is needed"
  contains "$err" "-DBITCYCLE_CUDA=OFF"
  run 0 cmake -DCOMPILER=/opt/old/nvcc -DVERSION=11.8 -DMODE=AUTO -P "$SOURCE/cmake/CudaToolkit.cmake"
  contains "$out$err" "Without CUDA: the CUDA Toolkit at /opt/old/nvcc is 11.8"
  contains "$out$err" "taken: OFF"
  run 0 cmake -DCOMPILER=/opt/nvcc -DVERSION=12.0 -DMODE=ON -P "$SOURCE/cmake/CudaToolkit.cmake"
  contains "$out$err" "taken: ON"
}
