# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2015
# make_gpu_bundle DIR (sourced by ./run-tests --gpu-bundle DIR, which has built everything): all that a machine with a
# GPU's driver and a C library needs to run the device tests, measure and train: programs and their shared libraries,
# configs, recorded cases, what the reference and a CPU give, PyTorch peers, and DIR/run (scripts/gpu-run.sh).

BUNDLE_MOST_MIB=50

# What comes with the C library and has to be the other machine's own.
is_of_the_c_library() {
  case "${1##*/}" in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libresolv.so.* | ld-linux*.so.* | linux-vdso.so.*) return 0 ;;
  esac
  return 1
}

# copy_program FILE: stripped, with the libraries that it needs.
copy_program() {
  local name=${1##*/} library
  strip -o "$bundle/bin/$name" "$1" || die "cannot copy $1"
  while read -r library; do
    is_of_the_c_library "$library" && continue
    [ -f "$bundle/lib/${library##*/}" ] || strip -o "$bundle/lib/${library##*/}" "$library" || die "cannot copy $library"
  done < <(ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }')
}

# A text in the format of Penn Treebank's files, of 2,000 words, some of them frequent: no data are needed for it.
make_text() {
  mkdir -p "$1" && awk -v folder="$1" 'BEGIN {
    seed = 1
    split("train valid test", parts, " ")
    for (p = 1; p <= 3; ++p) {
      file = folder "/ptb." parts[p] ".txt"
      if (p == 1) for (w = 0; w < 2000; ++w) printf " w%d%s", w, (w % 20 == 19 ? " <unk> \n" : "") > file
      for (line = 0; line < (p == 1 ? 2000 : 100); ++line) {
        for (i = 0; i < 12; ++i) {
          seed = (seed * 16807) % 2147483647
          printf " w%d", seed % (i % 2 == 0 ? 2000 : 40) > file
        }
        printf " \n" > file
      }
      close(file)
    }
  }' || die "cannot write a text into $1"
}

# expected STAGE NAME DIGEST ARGUMENT...: a row of expected.tsv; DIGEST '-' is computed here, on the CPU.
expected() {
  local stage=$1 name=$2 digest=$3 folder
  shift 3
  if [ "$digest" = - ]; then
    folder=$(mktemp -d) || die "cannot make a temporary folder"
    digest=$(cd -- "$bundle" && "$build_dir/cli/bitcycle" train "$@" --device cpu --out "$folder/run" --quiet --json 2>"$folder/err" |
      sed -n 's/^ *"digest": "\([0-9a-f]*\)".*/\1/p')
    [ -n "$digest" ] || die "the CPU gave no digest for $name: $(cat "$folder/err")"
    rm -rf "$folder"
  fi
  printf '%s\t%s\t%s\t%s\n' "$stage" "$name" "$digest" "$*" >>"$bundle/expected.tsv"
}

make_gpu_bundle() {
  local bundle file size resnet74 text
  [ -x "$build_dir/tests/test_gpu" ] || die "this build has no CUDA: the CUDA Toolkit 12.0 or newer (nvcc on the PATH) is needed for --gpu-bundle"
  [ ! -e "$1" ] || [ -f "$1/expected.tsv" ] || [ -z "$(ls -A -- "$1")" ] || die "'$1' holds other files and no bundle; name another folder"
  bundle=$1.new
  rm -rf "$bundle" && mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/golden" "$bundle/peers" || die "cannot make the folder $bundle"
  bundle=$(cd -- "$bundle" && pwd -P)
  say "$program: programs, libraries, cases"
  for file in cli/bitcycle tests/test_gpu bench/bench_gpu_limits; do copy_program "$build_dir/$file"; done
  cp -r "$root/configs" "$bundle/configs" && cp -r "$root"/tests/golden/{ops,steps,trajectories} "$bundle/golden/" &&
    cp "$root"/bench/peers/*.py "$bundle/peers/" && cp "$root/scripts/gpu_report_tables.py" "$bundle/" &&
    cp "$root/LICENSE" "$bundle/" && cp "$root/docs/gpu.md" "$bundle/README.md" &&
    cp "$root/scripts/gpu-run.sh" "$bundle/run" && chmod +x "$bundle/run" || die "cannot copy into $bundle"
  printf '%s%s\n' "$(git -C "$root" rev-parse HEAD 2>/dev/null || echo 'of no known commit')" \
    "$(git -C "$root" diff --quiet 2>/dev/null || echo ', changed')" >"$bundle/commit"

  make_text "$bundle/text"
  text="--set data.path=text --set train.steps=4 --set train.evaluate_every=100000 --set train.checkpoint_every=100000
 --set precision.forward.cycles=1 --set eval.streams=10"

  # The paper's batch and schedule on generated images, which have 10 classes.
  resnet74="configs/experiments/cifar100/resnet74-cpt-3-8.yaml --set data.name=synthetic --set model.classes=10
 --set train.batch=128 --set precision.forward.cycles=2 --set train.evaluate_every=100000 --set train.checkpoint_every=100000"
  cat >"$bundle/workloads.sh" <<END
# What the stages of 'run' work on.
BATCH=128 PROFILE_STEPS=20 PART_BYTES=$((54 * 1024 * 1024))
SPEED=($(tr '\n' ' ' <<<"$resnet74") --set train.steps=300)
SANITIZER_FILTER='*DeviceStep.EveryVariant*/odd_channels:*DeviceStep.EveryVariant*/stage_entry_stride2'
TRAIN_SET=cifar100
TRAIN_CONFIGS=(configs/experiments/cifar100/resnet38-cpt-3-8.yaml configs/experiments/cifar100/resnet38-static-8.yaml)
TRAIN_OPTIONS=()
LANGUAGE=('ptb_lstm|configs/ptb.yaml' 'transformer|configs/ptb-transformer.yaml'
  'attention|configs/ptb-transformer.yaml --set model.quantise=linears+attention')
LANGUAGE_OPTIONS=(--set data.path=text --set train.steps=200 --set train.evaluate_every=100000
  --set train.checkpoint_every=100000 --set eval.streams=10)
END
  say "$program: digests of the CPU"
  # shellcheck disable=SC2086  # lists of words
  {
    expected smoke 'quickstart, 8 steps' - configs/quickstart.yaml --set train.steps=8
    expected digests quickstart "$(sed -n 's/.*"config": "quickstart.yaml", "set": \[\], "digest": "\([0-9a-f]*\)".*/\1/p' \
      "$root/configs/expected_digests.json")" configs/quickstart.yaml
    expected digests 'resnet74, CPT 3-8/8, 20 steps, error pass shared' - $resnet74 --set train.steps=20
    expected digests 'resnet74, CPT 3-8/8, 20 steps, error pass requantised' - $resnet74 --set train.steps=20 \
      --set precision.error_weights=requantised
    expected language 'ptb_lstm 1 x 800, 4 steps' - configs/ptb.yaml $text
    expected language 'transformer_lm 4 x 256, linears, 4 steps' - configs/ptb-transformer.yaml $text
    expected language 'transformer_lm 4 x 256, linears and attention, 4 steps' - configs/ptb-transformer.yaml \
      --set model.quantise=linears+attention $text
  }
  say "$program: outcomes of the reference"
  BITCYCLE_OUTCOMES=$bundle/outcomes.tsv BITCYCLE_TEST_DEVICE=reference "$build_dir/tests/test_gpu" \
    --gtest_filter='*DeviceStep.*Reference*:*DeviceStep.EveryWidth*' --gtest_brief=1 >"$build_dir/outcomes.log" 2>&1 ||
    { show_log "$build_dir/outcomes.log"; die "the reference's outcomes could not be recorded"; }

  size=$(($(du -sk "$bundle" | cut -f 1) / 1024))
  [ "$size" -le "$BUNDLE_MOST_MIB" ] || die "the bundle has $size MiB, more than $BUNDLE_MOST_MIB; it is in $bundle"
  rm -rf "${1:?}" && mv "$bundle" "$1" || die "cannot rename $bundle to $1"
  say "$program: the bundle is in $1, $size MiB; there: $1/run --help, and $1/README.md"
}
