# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# write_gpu_report FILE (sourced by ./run-tests --gpu --report FILE): what a GPU is asked for, in one Markdown file:
# the device tests, digests against the CPU, the GPU's limits, time and memory of a training step, the kernels' shares of
# those limits, and PyTorch beside it. Runs in a temporary folder. Not 0 where a test, a digest or a run fails.

REPORT_BATCH=128

# A key of bitcycle's JSON on stdin.
json_value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }

indented() { sed 's/^/    /'; }

# The rest of these functions use write_gpu_report's variables and set status=1 where something fails.

# report_run NAME COMMAND...: its JSON in NAME.json; what it says to stderr, in the report's errors.
report_run() {
  local name=$1
  shift
  say "$program: $name"
  "$@" >"$work/$name.json" 2>"$work/$name.err" && return 0
  status=1
  { printf '%s ended with an error:\n' "$name"; tail -n 10 "$work/$name.err"; } >>"$work/error"
  return 1
}

report_head() {
  printf '# bitcycle on %s\n\n' "$gpu"
  printf -- '- commit %s\n' "$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)$(git -C "$root" diff --quiet 2>/dev/null || echo ', changed')"
  printf -- '- command: ./run-tests --gpu --report FILE\n- date: %s\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
  printf -- '- driver: %s\n\n' "$(nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader 2>/dev/null || echo unknown)"
  "$program_path" info | indented
}

report_tests() {
  printf '\n## Tests\n\n'
  ctest --test-dir "$build_dir" -L '^gpu$' >"$work/tests" 2>&1 || status=1
  tail -n 25 "$work/tests" | indented
}

# digest_row RUN DEVICE NAME...: a run's digest as a row of the table; its digest stays in $digest.
digest_row() {
  local run=$1 device=$2 name=$3 start
  shift 3
  start=$(date +%s)
  report_run "$name" "$program_path" train "$@" --device "$device" --out "$work/$name" --json
  digest=$(json_value digest <"$work/$name.json")
  printf '| %s | %s | `%s` | %s |\n' "$run" "$device" "$digest" "$(($(date +%s) - start))"
}

# digests_agree RUN A B: both must be there.
digests_agree() {
  [ -n "$2" ] && [ "$2" = "$3" ] && return 0
  status=1
  printf '%s: the digests differ\n' "$1" >>"$work/error"
}

report_digests() {
  local digest cpu
  printf '\n## Digests\n\n| run | device | digest | seconds |\n|---|---|---|---|\n'
  digest_row quickstart cuda quickstart "$root/configs/quickstart.yaml"
  expected=$(sed -n 's/.*"config": "quickstart.yaml", "set": \[\], "digest": "\([0-9a-f]*\)".*/\1/p' "$root/configs/expected_digests.json")
  printf '| quickstart | expected | `%s` | |\n' "$expected"
  digests_agree quickstart "$digest" "$expected"
  digest_row "resnet74, CPT 3-8/8, 20 steps of $REPORT_BATCH" cpu resnet74-cpu "${resnet74[@]}" --set train.steps=20
  cpu=$digest
  digest_row "resnet74, CPT 3-8/8, 20 steps of $REPORT_BATCH" cuda resnet74-cuda "${resnet74[@]}" --set train.steps=20
  digests_agree "resnet74, 20 steps" "$digest" "$cpu"
  printf '\n'
}

# The runs whose JSON the tables are made of.
report_measurements() {
  local reading layout channels_last
  report_run limits "$build_dir/bench/bench_gpu_limits"
  for reading in shared requantised; do
    report_run "step-$reading" "$program_path" train "${resnet74[@]}" --set train.steps=500 \
      --set precision.error_weights="$reading" --device cuda --out "$work/run-$reading" --quiet --json
    report_run "profile-$reading" "$program_path" train "${resnet74[@]}" --set train.steps=500 \
      --set precision.error_weights="$reading" --device cuda --profile 20 --quiet --json
  done
  if ! python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; then
    peers="PyTorch was left out: python3 has none with CUDA on this machine. Install a PyTorch that is built with CUDA for
this python3, and run the same command again."
    return
  fi
  # Which layout PyTorch is faster with differs by variant and GPU.
  for layout in contiguous channels-last; do
    channels_last=()
    [ "$layout" = contiguous ] || channels_last=(--channels-last)
    report_run "peers-$layout" python3 "$root/bench/peers/fake_quant_step.py" --device cuda --depth 74 \
      --batch "$REPORT_BATCH" "${channels_last[@]}" || rm -f "$work/peers-$layout.json"
  done
}

report_tables() {
  if python3 -c '' >/dev/null 2>&1; then
    python3 "$root/scripts/gpu_report_tables.py" "$work" "$REPORT_BATCH" 2>>"$work/error" || status=1
  else
    local json
    printf '## Tables\n\nThe tables need python3, which this machine does not have: install it and run the same command again.\n'
    printf 'Until then, the JSON that they are made of:\n\n'
    for json in "$work"/limits.json "$work"/step-*.json "$work"/profile-*.json; do
      printf '    %s\n' "${json##*/}"
      indented <"$json"
    done
    printf '\n## Beside PyTorch\n\n'
  fi
  [ -z "$peers" ] || printf '%s\n' "$peers"
}

write_gpu_report() {
  local file=$1 program_path="$build_dir/cli/bitcycle" work gpu expected peers="" status=0
  work=$(mktemp -d) || return 1
  if ! gpu=$("$program_path" info --device cuda --json 2>"$work/error" | json_value kernels) || [ -z "$gpu" ]; then
    say "$program: $(cat "$work/error")"
    say "$program: no GPU ran anything: there is nothing to report"
    rm -rf "$work"
    return 1
  fi
  # resnet74 with the paper's batch and schedule on generated images, which have 10 classes.
  local resnet74=("$root/configs/experiments/cifar100/resnet74-cpt-3-8.yaml" --set data.name=synthetic
    --set model.classes=10 --set train.batch="$REPORT_BATCH" --set precision.forward.cycles=2
    --set train.evaluate_every=100000 --set train.checkpoint_every=100000)
  if ! report_head >"$file"; then
    rm -rf "$work"
    return 1
  fi
  report_tests >>"$file"
  report_digests >>"$file"
  report_measurements
  report_tables >>"$file"
  if [ "$status" -ne 0 ]; then
    { printf '\n## Errors\n\n'; indented <"$work/error"; } >>"$file"
  fi
  rm -rf "$work"
  say "$program: the report is in $file"
  return "$status"
}
