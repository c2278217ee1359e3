# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The part of ./run-tests --aarch64 that is its own (sourced): Debian's arm64 libraries in a folder, and quickstart under
# qemu-aarch64. The system's package database does not learn of a second architecture: apt works on lists of its own in
# the build folder, and packages are unpacked there. That needs no root, no equal versions on both architectures, and
# goes away with the folder.

# Libraries that the program and its tests are linked with, of the lists in setup.sh. Boost is for the layer that runs
# CUDA kernels, Google Benchmark for benchmarks; neither is built here.
aarch64_libraries() {
  printf '%s\n' "${PROGRAM_PACKAGES[@]}" "${TEST_PACKAGES[@]}" |
    grep -E '^(lib|nlohmann).*-dev$' | grep -vxE 'libboost-context-dev|libbenchmark-dev'
}

# make_sysroot: $sysroot holds the libraries, with all that they need; made again where the list or Debian's release is
# another one.
make_sysroot() {
  local apt=$build_dir/apt log=$build_dir/sysroot.log package libraries wanted
  sysroot=$build_dir/sysroot
  mapfile -t libraries < <(aarch64_libraries)
  wanted="${libraries[*]} of Debian $(cat /etc/debian_version 2>/dev/null)"
  [ "$(cat "$sysroot/.complete" 2>/dev/null)" != "$wanted" ] || return 0
  [ "${BITCYCLE_INSTALL:-yes}" != no ] || die "the arm64 libraries are not there, and BITCYCLE_INSTALL=no forbids to download them"
  command -v apt-get >/dev/null 2>&1 || die "this is not a Debian system: there are no arm64 packages to download"
  say "$program: downloading Debian's arm64 packages into $sysroot: ${libraries[*]}"
  rm -rf "$sysroot" "$apt"
  mkdir -p "$sysroot" "$apt"/{state/lists/partial,cache/archives/partial,log} || die "cannot make folders in $build_dir"
  : >"$apt/state/status"
  cat >"$apt/apt.conf" <<END_OF_CONFIGURATION
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Log "$apt/log";
END_OF_CONFIGURATION
  if ! { APT_CONFIG=$apt/apt.conf apt-get -q update &&
    APT_CONFIG=$apt/apt.conf apt-get -q -y --download-only install "${libraries[@]}"; } </dev/null >"$log" 2>&1; then
    show_log "$log"
    die "apt-get could not download Debian's arm64 packages"
  fi
  for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$sysroot" || die "cannot unpack $package"
  done
  rm -rf "$apt"
  printf '%s\n' "$wanted" >"$sysroot/.complete"
}

# The digest of quickstart's first steps, as configs/expected_digests.json has it, is that of 64-bit ARM, too. On few
# images: qemu takes some forty times as long as the machine.
aarch64_quickstart() {
  local sets='"train.steps=8", "train.batch=16", "data.test_images=64", "precision.forward.cycles=1"'
  local expected folder digest item
  local -a options=()
  expected=$(sed -n "s/.*\"quickstart.yaml\", \"set\": \[$sets\], \"digest\": \"\([0-9a-f]*\)\".*/\1/p" \
    "$root/configs/expected_digests.json")
  [ -n "$expected" ] || die "configs/expected_digests.json has no digest of quickstart with $sets"
  for item in ${sets//[\",]/}; do options+=(--set "$item"); done
  folder=$(mktemp -d) || die "cannot make a temporary folder"
  say "$program: quickstart under qemu-aarch64: ${options[*]}"
  digest=$(cd -- "$root" && qemu-aarch64 -L "$sysroot" "$build_dir/cli/bitcycle" train configs/quickstart.yaml \
    "${options[@]}" --out "$folder/run" --quiet --json 2>"$folder/err" |
    sed -n 's/^ *"digest": "\([0-9a-f]*\)".*/\1/p')
  [ -n "$digest" ] || { show_log "$folder/err"; rm -rf "$folder"; die "quickstart gave no digest on aarch64"; }
  rm -rf "$folder"
  [ "$digest" = "$expected" ] || die "quickstart's digest on aarch64 is $digest, expected $expected"
  say "$program: quickstart on aarch64: $digest, as recorded"
}
