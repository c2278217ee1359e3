# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# write_gpu_report FILE (sourced by ./run-tests --gpu --report FILE): what a GPU is asked for, in one Markdown file:
# the device tests, digests against the CPU, time of a training step, and the kernels' shares. Runs in a temporary folder.

# A key of bitcycle's JSON on stdin.
json_value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" | head -n 1; }

write_gpu_report() {
  local file=$1 program_path="$build_dir/cli/bitcycle" work gpu digest expected status=0 out
  work=$(mktemp -d) || return 1
  if ! gpu=$("$program_path" info --device cuda --json 2>"$work/error" | json_value kernels) || [ -z "$gpu" ]; then
    say "$program: $(cat "$work/error")"
    say "$program: no GPU ran anything: there is nothing to report"
    rm -rf "$work"
    return 1
  fi
  {
    printf '# bitcycle on %s\n\n' "$gpu"
    printf -- '- commit %s\n' "$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)$(git -C "$root" diff --quiet 2>/dev/null || echo ', changed')"
    printf -- '- command: ./run-tests --gpu --report FILE\n- date: %s\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
    printf -- '- driver: %s\n\n' "$(nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader 2>/dev/null || echo unknown)"
    "$program_path" info | sed 's/^/    /'
    printf '\n## Tests\n\n'
    ctest --test-dir "$build_dir" -L '^gpu$' 2>&1 | tail -n 25 | sed 's/^/    /'
  } >"$file" || return 1
  ctest --test-dir "$build_dir" -L '^gpu$' >/dev/null 2>&1 || status=1

  say "$program: quickstart on the GPU"
  { printf '\n## Digests\n\n| run | device | digest | seconds |\n|---|---|---|---|\n'; } >>"$file"
  local start
  start=$(date +%s)
  out=$("$program_path" train "$root/configs/quickstart.yaml" --device cuda --out "$work/quickstart" --json 2>>"$work/error") || status=1
  digest=$(printf '%s\n' "$out" | json_value digest)
  printf '| quickstart | cuda | `%s` | %s |\n' "$digest" "$(($(date +%s) - start))" >>"$file"
  expected=$(sed -n 's/.*"config": "quickstart.yaml", "set": \[\], "digest": "\([0-9a-f]*\)".*/\1/p' "$root/configs/expected_digests.json")
  printf '| quickstart | expected | `%s` | |\n' "$expected" >>"$file"
  [ "$digest" = "$expected" ] || status=1

  # resnet74 with the paper's batch and schedule on generated images; the CPU does 20 steps of it to be compared with.
  local common=("$root/configs/experiments/cifar100/resnet74-cpt-3-8.yaml" --set data.name=synthetic
    --set model.classes=10 --set precision.forward.cycles=2 --set train.evaluate_every=100000)
  say "$program: resnet74 on the CPU and the GPU, 20 steps"
  local device
  for device in cpu cuda; do
    start=$(date +%s)
    out=$("$program_path" train "${common[@]}" --set train.steps=20 --device "$device" --out "$work/r74-$device" --json 2>>"$work/error") || status=1
    printf '| resnet74, CPT 3-8/8, 20 steps of 128 | %s | `%s` | %s |\n' "$device" \
      "$(printf '%s\n' "$out" | json_value digest)" "$(($(date +%s) - start))" >>"$file"
  done

  say "$program: resnet74 on the GPU, 500 steps"
  {
    printf '\n## Time\n\nresnet74, CPT 3-8/8, batch 128, 500 steps, with evaluation and saving:\n\n'
    "$program_path" train "${common[@]}" --set train.steps=500 --device cuda --out "$work/r74" 2>>"$work/error" | sed 's/^/    /'
    printf '\n## Kernels of 20 steps, each waited for\n\n'
    "$program_path" train "${common[@]}" --set train.steps=500 --device cuda --profile 20 2>>"$work/error" | sed 's/^/    /'
  } >>"$file" || status=1
  if [ "$status" -ne 0 ]; then
    { printf '\n## Errors\n\n'; sed 's/^/    /' "$work/error"; } >>"$file"
  fi
  rm -rf "$work"
  say "$program: the report is in $file"
  return "$status"
}
