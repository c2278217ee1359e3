# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2015
# check_gpu_bundle DIR (sourced by ./run-tests --gpu-bundle DIR --empty-root): whether the bundle is complete. Its
# programs run where there is nothing but a C library of another release, and `run` in Debian 13's base system, with the
# CPU and the host layer in the GPU's place. Needs root, debootstrap and Debian's packages.

check_gpu_bundle() {
  local system=$build_dir/roots/trixie alone=$build_dir/roots/c-library bundle=$1 file failed=no
  [ "$(id -u)" = 0 ] || die "--empty-root makes and enters root folders, which only root may"
  command -v debootstrap >/dev/null 2>&1 || die "--empty-root needs debootstrap: apt-get install debootstrap"
  if [ ! -x "$system/bin/bash" ]; then
    say "$program: Debian 13's base system, by debootstrap"
    rm -rf "$system" && mkdir -p "$system"
    debootstrap --variant=minbase trixie "$system" >"$build_dir/debootstrap.log" 2>&1 ||
      { show_log "$build_dir/debootstrap.log"; rm -rf "$system"; die "debootstrap failed"; }
  fi
  rm -rf "$alone" && mkdir -p "$alone"/{lib64,lib/x86_64-linux-gnu,tmp,proc}
  for file in libc.so.6 libm.so.6 libdl.so.2 librt.so.1 libpthread.so.0; do
    cp -L "$system/usr/lib/x86_64-linux-gnu/$file" "$alone/lib/x86_64-linux-gnu/" || die "cannot copy $file"
  done
  cp -L "$system/usr/lib64/ld-linux-x86-64.so.2" "$alone/lib64/" || die "cannot copy the loader"
  for file in "$alone" "$system"; do
    rm -rf "$file/bundle" && cp -r "$bundle" "$file/bundle" && rm -rf "$file/bundle/results" || die "cannot copy the bundle"
    mount -t proc proc "$file/proc" || die "cannot mount $file/proc"
  done
  # shellcheck disable=SC2064
  trap "umount '$alone/proc' '$system/proc'" EXIT

  say "$program: programs with a C library alone"
  [ "$(chroot "$alone" /bundle/bin/bitcycle train /bundle/configs/quickstart.yaml --set train.steps=8 --out /tmp/run --quiet --json |
    sed -n 's/^ *"digest": "\([0-9a-f]*\)".*/\1/p')" = "$(awk -F '\t' '$1 == "smoke" { print $3 }' "$bundle/expected.tsv")" ] || failed=yes
  chroot "$alone" /bundle/bin/bitcycle verify /bundle/configs/quickstart.yaml --device cuda-on-host --against cpu --steps 1 \
    --set train.batch=4 --set train.steps=16 || failed=yes
  chroot "$alone" /bundle/bin/bench_gpu_limits 2>&1 | grep -q 'GPU' || failed=yes
  say "$program: run in Debian 13's base system"
  chroot "$system" bash /bundle/run --device cpu --limit tests=300 smoke tests limits peers sanitizer train || failed=yes
  [ "$failed" = no ] || die "the bundle is not complete (above)"
  say "$program: the bundle is complete"
}
