# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# Set-up shared by ./bitcycle and ./run-tests (sourced, never run): installs the Debian packages that are
# missing, configures and builds. Every message goes to stderr, so that `--json` output stays clean. Promises
# that a failed step says what failed, shows the end of its log and where the log is, and stops with exit 1.

# The packages, each with what it is for. This is the one list; README and .ci/run refer to it.
PROGRAM_PACKAGES=(
  cmake               # configures the build
  ninja-build         # builds
  g++                 # the compiler, C++20
  libtbb-dev          # oneTBB: threads
  libeigen3-dev       # Eigen: dense linear algebra
  libyaml-cpp-dev     # experiments are YAML
  nlohmann-json3-dev  # results are JSON
  libcxxopts-dev      # command line
  libxxhash-dev       # digests
  libjpeg62-turbo-dev # libjpeg-turbo: photographs of image folders
)
TEST_PACKAGES=(
  libgtest-dev        # GoogleTest
  libgmock-dev        # GoogleMock
  libboost-context-dev # fibres: threads of CUDA kernels, run on the CPU
  chromium            # reports are opened in a real browser
  libbenchmark-dev    # Google Benchmark: the benchmarks are built with the tests
  python3             # the tables of the GPU's report
)
FUZZ_PACKAGES=(
  clang               # libFuzzer comes with clang
  libclang-rt-14-dev  # its run-time libraries
)
CLANG_PACKAGES=(
  clang               # the other compiler
)
TIDY_PACKAGES=(
  clang-tidy          # static analysis
)
AARCH64_PACKAGES=(
  g++-aarch64-linux-gnu # cross-compiles for 64-bit ARM
  qemu-user           # runs what it compiled
)

say() { printf '%s\n' "$*" >&2; }
die() { say "$program: error: $*"; exit 1; }

# The end of a log, indented, and where the rest is.
show_log() {
  say "  the last lines of $1:"
  tail -n 25 "$1" | sed 's/^/  | /' >&2
}

# Tools that were installed by other means than the packages' count as there.
tool_is_there() {
  case "$1" in
    cmake) command -v cmake ;;
    ninja-build) command -v ninja || command -v make ;;
    g++) command -v c++ || command -v g++ ;;
    clang) command -v clang++ ;;
    clang-tidy) command -v clang-tidy ;;
    g++-aarch64-linux-gnu) command -v aarch64-linux-gnu-g++ ;;
    qemu-user) command -v qemu-aarch64 ;;
    python3) command -v python3 ;;
    *) return 1 ;;
  esac >/dev/null 2>&1
}

# Prints those of its arguments that are not installed.
missing_packages() {
  local package installed
  installed=" $(dpkg-query -W -f='${db:Status-Abbrev}${binary:Package}\n' "$@" 2>/dev/null |
    sed -n 's/^ii *//p' | sed 's/:.*//' | tr '\n' ' ')"
  for package in "$@"; do
    case "$installed" in *" $package "*) continue ;; esac
    tool_is_there "$package" || printf '%s ' "$package"
  done
}

# Installs those of its arguments that are missing; says what and why; asks for nothing.
install_missing() {
  local missing log as_root
  if ! command -v dpkg-query >/dev/null 2>&1; then
    command -v cmake >/dev/null 2>&1 || die "this is not a Debian system and cmake is not there;" \
      "install the equivalents of these Debian packages: $*"
    return 0
  fi
  missing=$(missing_packages "$@")
  missing=${missing% }
  [ -n "$missing" ] || return 0

  if [ "${BITCYCLE_INSTALL:-yes}" = no ] || ! command -v apt-get >/dev/null 2>&1; then
    as_root=none
  elif [ "$(id -u)" = 0 ]; then
    as_root=
  elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo
  else
    as_root=none
  fi
  if [ "$as_root" = none ]; then
    say "$program: these Debian packages are missing, and I may not install them here: $missing"
    say "  as root:  apt-get update && apt-get install -y --no-install-recommends $missing"
    exit 1
  fi

  log=$build_dir/install.log
  say "$program: installing Debian packages needed to build: $missing"
  say "  (about a minute; log: $log)"
  run_apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -q "$@" </dev/null >>"$log" 2>&1
  }
  : >"$log"
  # An installation that was cut off earlier is finished first; nothing happens where there is none.
  $as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a </dev/null >>"$log" 2>&1 || run_apt -y -f install || true
  # Package lists may be absent (fresh container) or stale (a version that is gone).
  local updated=no
  if ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1; then
    run_apt update || true
    updated=yes
  fi
  # shellcheck disable=SC2086  # a list of words
  if ! run_apt install -y --no-install-recommends $missing; then
    [ "$updated" = yes ] || run_apt update || true
    # shellcheck disable=SC2086
    if ! run_apt install -y --no-install-recommends $missing; then
      show_log "$log"
      die "apt-get could not install: $missing"
    fi
  fi
}

# One call at a time sets up and builds; the others wait for it.
take_lock() {
  mkdir -p "$build_dir" 2>/dev/null || die "cannot make the build folder $build_dir; set BITCYCLE_BUILD_DIR to a" \
    "folder that you may write"
  exec 9>"$build_dir/.lock" || die "cannot write in the build folder $build_dir; set BITCYCLE_BUILD_DIR to a folder" \
    "that you may write"
  flock -n 9 || { say "$program: waiting for another build in $build_dir"; flock 9; }
}
release_lock() { exec 9>&-; }

# configure [CMake options]: Release, Ninja where it is there, ccache where it is there, no network.
configure() {
  local cache=$build_dir/CMakeCache.txt log=$build_dir/configure.log
  local options=(-S "$root" -B "$build_dir" -DCMAKE_BUILD_TYPE=Release "$@")
  # A folder that was moved or copied is configured anew.
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
    rm -rf "$cache" "$build_dir/CMakeFiles"
  fi
  if [ ! -f "$cache" ]; then
    if command -v ninja >/dev/null 2>&1; then options+=(-G Ninja); else options+=(-G "Unix Makefiles"); fi
    if command -v ccache >/dev/null 2>&1; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  fi
  if ! cmake "${options[@]}" >"$log" 2>&1 9>&-; then
    show_log "$log"
    # A half-written cache would keep the failure alive after its cause is gone.
    rm -f "$cache"
    die "CMake could not configure the build"
  fi
}

# build TARGET...: quiet, with one progress line on a terminal. Where sources do not go together in a unit
# (cmake/Units.cmake) it says so and compiles them one by one.
build() {
  run_build "$@" && return
  if grep -qs '^BITCYCLE_UNITS:BOOL=ON' "$build_dir/CMakeCache.txt"; then
    say "$program: building again, each source by itself: several at once failed (log: $build_dir/units.log)"
    mv -f -- "$build_dir/build.log" "$build_dir/units.log"
    configure -DBITCYCLE_UNITS=OFF
    run_build "$@" && return
  fi
  grep -m 1 -A 12 -E 'error:|FAILED:' "$build_dir/build.log" | sed 's/^/  | /' >&2 || true
  show_log "$build_dir/build.log"
  die "the build failed; the whole log is $build_dir/build.log"
}

run_build() {
  local log=$build_dir/build.log line start=$SECONDS shown=no
  local jobs=${BITCYCLE_BUILD_JOBS:-$(nproc 2>/dev/null || echo 2)}
  : >"$log"
  cmake --build "$build_dir" --parallel "$jobs" --target "$@" 2>&1 9>&- | while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    case "$line" in
      '['*'] '*)
        if [ -t 2 ]; then
          printf '\r\033[K%s' "$program: building ${line%%]*}]" >&2
        elif [ "$shown" = no ]; then
          say "$program: building (log: $log)"
        fi
        shown=yes
        ;;
    esac
  done
  local status=${PIPESTATUS[0]}
  [ ! -t 2 ] || printf '\r\033[K' >&2
  [ "$status" = 0 ] || return "$status"
  [ $((SECONDS - start)) -lt 5 ] || say "$program: built in $((SECONDS - start)) s"
}
