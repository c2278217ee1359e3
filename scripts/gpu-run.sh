#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2317,SC2015  # stages are called by their names
# run: what there is to find out on a GPU, from a bundle that needs nothing but a driver and a C library (made by
# ./run-tests --gpu-bundle DIR, where this file is DIR/run). Every stage has a time limit; its output is kept as it
# comes; a stage that fails does not stop the next one; a table comes last. docs/gpu.md is the plan for a quarter of an
# hour, and says what every outcome means.
set -u
bundle=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
all_stages=(smoke digests language tests limits speed peers sanitizer train ptb)
declare -A limit=([smoke]=20 [digests]=60 [tests]=80 [limits]=20 [speed]=120 [peers]=150 [sanitizer]=120 [train]=420
  [language]=120 [ptb]=300)

usage() {
  cat <<END
Usage: run [OPTION]... [STAGE]...        the stages, in their order; default: all
       run put PART [FOLDER]             keeps a part of a data set; unpacks and checks it with the last one
       run parts SET FOLDER OUT          makes such parts, where the data are: SET is cifar10, cifar100 or ptb
       run kernel NAME                   one kernel against the reference: "convolution error", "sgd", ...

Stages and their limits in seconds:
  smoke      ${limit[smoke]}    the device, its shared memory, one training step and its digest
  digests    ${limit[digests]}    whole trainings against the digests that a CPU gave
  language   ${limit[language]}   language models: digests, and milliseconds a step
  tests      ${limit[tests]}    every operation, on all shapes and widths, against the reference's recorded results
  limits     ${limit[limits]}    what the GPU can do at best: bandwidth, tensor cores, launches
  speed      ${limit[speed]}   a step of resnet74: time, kernels one by one, memory; with and without a graph
  peers      ${limit[peers]}   PyTorch beside it: float32, TF32, mixed precision, fake quantisation
  sanitizer  ${limit[sanitizer]}   compute-sanitizer's memcheck and racecheck on two small shapes
  train      ${limit[train]}   the paper's run of resnet38 on CIFAR-100, CPT 3-8 and static 8 bits
  ptb        ${limit[ptb]}   an LSTM and a Transformer on Penn Treebank, six epochs each

Options:
  --out FOLDER      where results go; default: results beside this file
  --data FOLDER     where 'put' keeps data sets; default: \${TMPDIR:-/tmp}/bitcycle-data
  --device NAME     cuda; or cuda-on-host, cpu to try the stages where there is no GPU
  --limit STAGE=S   another limit; may be repeated
  --report FILE     also writes what came out as one Markdown file, to keep or to send
  --help            this text
Exit code: 0 where no stage failed.
END
}

say() { printf '%s\n' "$*"; }
wrong() { printf 'run: error: %s; --help lists what there is\n' "$*" >&2; exit 2; }

# ----- what stages use

bitcycle=$bundle/bin/bitcycle
# A key of a JSON object on stdin.
json_value() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
# The finding that the table shows, the last one counts.
found() { printf '=> %s\n' "$*"; }
# A stage that has nothing to do here.
skip() { found "skipped: $*"; exit 77; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# Rows of expected.tsv of a stage: name, digest, arguments of 'bitcycle train'. Compares each; explains a difference.
compare_digests() {
  local stage name digest arguments wrong=0 count=0 actual start folder
  local -a words
  while IFS=$'\t' read -r stage name digest arguments; do
    [ "$stage" = "$1" ] || continue
    count=$((count + 1))
    start=$(now)
    folder=$out/runs/$stage-$count
    rm -rf "$folder"
    read -r -a words <<<"$arguments"
    if ! (cd -- "$bundle" && "$bitcycle" train "${words[@]}" --device "$device" --out "$folder" --quiet --json) \
      >"$out/$stage-$count.json" 2>"$out/$stage-$count.err"; then
      cat "$out/$stage-$count.err"
      say "$name: FAILED after $(since "$start") s"
      wrong=$((wrong + 1))
      continue
    fi
    actual=$(json_value digest <"$out/$stage-$count.json")
    if [ "$actual" = "$digest" ]; then
      say "$name: equal, $digest, $(since "$start") s"
      continue
    fi
    wrong=$((wrong + 1))
    say "$name: DIFFERENT: $actual, expected $digest, $(since "$start") s"
    say "  the same with one kernel at a time, and without a graph:"
    for option in --cuda-serial "--cuda-graph off"; do
      # shellcheck disable=SC2086  # two words
      actual=$(cd -- "$bundle" && "$bitcycle" train "${words[@]}" --device "$device" $option --out "$folder-again" --restart --quiet --json \
        2>&1 | json_value digest)
      say "  $option: ${actual:-failed}$([ "$actual" = "$digest" ] && echo ', as expected: the graph or its branches are wrong')"
    done
    say "  the first tensor that differs from the CPU's:"
    (cd -- "$bundle" && "$bitcycle" verify "${words[@]}" --device "$device" --against cpu --steps 2 2>&1) | sed 's/^/  /'
  done <"$bundle/expected.tsv"
  [ "$count" -gt 0 ] || { found "no digest is recorded for this stage"; return 1; }
  found "$((count - wrong)) of $count digests equal"
  [ "$wrong" -eq 0 ]
}

# measured NAME ARGUMENT...: a run's JSON in NAME.json, and its time of a step.
measured() {
  local name=$1
  shift
  if ! (cd -- "$bundle" && "$bitcycle" train "$@" --device "$device" --quiet --json) >"$out/$name.json" 2>"$out/$name.err"; then
    say "$name: FAILED"
    cat "$out/$name.err"
    return 1
  fi
  awk -v name="$name" -v batch="$BATCH" '
    /"images_per_second":/ { gsub(/[^0-9.e+]/, "", $2); rate = $2 }
    /"tokens_per_second":/ { gsub(/[^0-9.e+]/, "", $2); tokens = $2 }
    /"steps":/ { gsub(/[^0-9]/, "", $2); if (steps == 0) steps = $2 }
    /"seconds":/ { gsub(/[^0-9.e+]/, "", $2); seconds = $2 }
    /"device_memory_bytes":/ { gsub(/[^0-9]/, "", $2); memory = $2 }
    END { if (tokens > 0) printf "%s: %.0f words/s, %.3f s for %d steps, %.0f MB\n", name, tokens, seconds, steps, memory / 1e6
          else printf "%s: %.3f ms a step, %.0f images/s, %.0f MB\n", name, (rate > 0 ? 1000 * batch / rate : 0), rate, memory / 1e6 }' \
    "$out/$name.json"
}

# launches NAME: kernels and bytes of a step, of a profile.
launches() {
  awk -v name="$1" '
    /"calls":/ { gsub(/.*"calls": /, ""); calls += $1 + 0 }
    /"bytes":/ { gsub(/.*"bytes": /, ""); bytes += $1 + 0 }
    /"steps":/ { gsub(/.*"steps": /, ""); if (steps == 0) steps = $1 + 0 }
    END { if (steps > 0) printf "%s: %.0f launches and %.0f MB a step\n", name, calls / steps, bytes / steps / 1e6 }' "$out/$1.json"
}

# ----- stages: each in a process of its own; what it prints is its log

stage_smoke() {
  command -v nvidia-smi >/dev/null 2>&1 &&
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
  "$bitcycle" info --device "$device" || { found "the device cannot be used"; return 1; }
  compare_digests smoke
}

stage_digests() { compare_digests digests; }

stage_language() {
  local status=0 one
  compare_digests language || status=1
  local -a words
  for one in "${LANGUAGE[@]}"; do
    read -r -a words <<<"${one#*|}"
    measured "step-${one%%|*}" "${words[@]}" "${LANGUAGE_OPTIONS[@]}" --out "$out/runs/step-${one%%|*}" --restart || status=1
    measured "profile-${one%%|*}" "${words[@]}" "${LANGUAGE_OPTIONS[@]}" --profile "$PROFILE_STEPS" || status=1
    launches "profile-${one%%|*}"
  done
  found "$(grep -h '^step-' "$log" | sed 's/ a step.*//' | tr '\n' ';')"
  return "$status"
}

stage_ptb() {
  local status=0 one start
  [ -f "$data/ptb.ok" ] || skip "no data: 'run put PART' of ptb first"
  local -a words
  for one in "${LANGUAGE[@]}"; do
    start=$(now)
    read -r -a words <<<"${one#*|}"
    (cd -- "$bundle" && "$bitcycle" train "${words[@]}" --set data.path="$data/ptb" --device "$device" \
      --out "$out/runs/ptb-${one%%|*}") || status=1
    say "${one%%|*}: $(since "$start") s"
  done
  found "$(grep -hE '^  (test perplexity|digest)' "$log" | sed 's/  */ /g' | tr '\n' ';')"
  return "$status"
}

stage_tests() {
  local shards=8 i status=0 passed=0 failed=0 skipped=0
  local -a jobs=()
  [ "$(nproc)" -ge 8 ] || shards=$(nproc)
  export BITCYCLE_OUTCOMES=$bundle/outcomes.tsv BITCYCLE_SOURCE=$bundle BITCYCLE_GOLDEN=$bundle/golden
  [ "$device" = cuda ] || export BITCYCLE_TEST_DEVICE=$device
  for ((i = 0; i < shards; i++)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i "$bundle/bin/test_gpu" --gtest_brief=0 ${TESTS_FILTER:+--gtest_filter="$TESTS_FILTER"} \
      >"$out/tests-$i.log" 2>&1 &
    jobs+=($!)
  done
  for i in "${jobs[@]}"; do wait "$i" || status=1; done
  for ((i = 0; i < shards; i++)); do
    passed=$((passed + $(grep -c '^\[       OK \]' "$out/tests-$i.log")))
    failed=$((failed + $(grep -c '^\[  FAILED  \].*(.* ms)$' "$out/tests-$i.log")))
    skipped=$((skipped + $(grep -c '^\[  SKIPPED \].*(.* ms)$' "$out/tests-$i.log")))
    grep -h -B 12 '^\[  FAILED  \].*(.* ms)$' "$out/tests-$i.log" | head -n 40
    # A process that died has no summary.
    grep -q '^\[==========\].*ran\.' "$out/tests-$i.log" || { tail -n 15 "$out/tests-$i.log"; say "process $i ended early"; status=1; }
  done
  found "$passed passed, $failed failed, $skipped skipped, in $shards processes"
  [ "$status" -eq 0 ] && [ "$passed" -gt 0 ]
}

stage_limits() {
  [ "$device" = cuda ] || skip "a GPU's limits are measured on a GPU"
  "$bundle/bin/bench_gpu_limits" | tee "$out/limits.json"
  [ "${PIPESTATUS[0]}" -eq 0 ] || return 1
  found "$(json_value gpu <"$out/limits.json"): copies at $(json_value copy_bytes_per_second <"$out/limits.json") bytes/s"
}

stage_speed() {
  local status=0
  # shellcheck disable=SC2153  # of workloads.sh
  for weights in shared requantised; do
    measured "step-$weights" "${SPEED[@]}" --set precision.error_weights="$weights" --out "$out/runs/step-$weights" --restart || status=1
    measured "profile-$weights" "${SPEED[@]}" --set precision.error_weights="$weights" --profile "$PROFILE_STEPS" || status=1
    launches "profile-$weights"
  done
  for variant in "graph off" "carveout off" serial; do
    # shellcheck disable=SC2086  # one word or two
    measured "step-${variant/ /-}" "${SPEED[@]}" --cuda-$variant --out "$out/runs/step-${variant/ /-}" --restart || status=1
  done
  found "$(grep -h '^step-shared' "$log" | tail -n 1)"
  return "$status"
}

stage_peers() {
  local status=0 layout
  [ "$device" = cuda ] || skip "PyTorch is measured on a GPU"
  python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null || skip "python3 has no PyTorch that finds the GPU"
  cd -- "$bundle" || return 1
  for layout in contiguous channels-last; do
    # shellcheck disable=SC2046  # nothing or one word
    python3 peers/fake_quant_step.py --device cuda --depth 74 --batch "$BATCH" $([ "$layout" = contiguous ] || echo --channels-last) \
      >"$out/peers-$layout.json" || { rm -f "$out/peers-$layout.json"; status=1; }
  done
  python3 peers/fake_quant_step.py --device cuda --depth 74 --batch "$BATCH" --channels-last --against "$bitcycle" --rounds 2 |
    tee "$out/peers-in-turns.json"
  [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
  found "in turns: $(json_value against_fake_quantised <"$out/peers-in-turns.json") times fake quantisation"
  return "$status"
}

stage_sanitizer() {
  local tool status=0
  command -v compute-sanitizer >/dev/null 2>&1 || skip "compute-sanitizer is not there"
  export BITCYCLE_OUTCOMES=$bundle/outcomes.tsv BITCYCLE_SOURCE=$bundle BITCYCLE_GOLDEN=$bundle/golden
  [ "$device" = cuda ] || export BITCYCLE_TEST_DEVICE=$device
  for tool in memcheck racecheck; do
    say "$tool"
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$bundle/bin/test_gpu" --gtest_filter="$SANITIZER_FILTER" || status=1
  done
  found "$([ "$status" -eq 0 ] && echo 'nothing found' || echo 'see the log')"
  return "$status"
}

stage_train() {
  local status=0 run start
  [ -f "$data/$TRAIN_SET.ok" ] || skip "no data: 'run put PART' for each part of $TRAIN_SET first"
  for run in "${TRAIN_CONFIGS[@]}"; do
    start=$(now)
    name=$(basename "$run" .yaml)
    (cd -- "$bundle" && "$bitcycle" train "$run" --set data.path="$data/$TRAIN_SET" "${TRAIN_OPTIONS[@]}" \
      --device "$device" --out "$out/runs/$name") || status=1
    say "$name: $(since "$start") s"
  done
  found "$(grep -hE '^  (test accuracy|digest)' "$log" | sed 's/  */ /g' | tr '\n' ';')"
  return "$status"
}

# ----- parts of data sets

# Sets `files` to those of a set. SET_BYTES: the files of each set and their bytes.
files_of() {
  local entry
  files=()
  for entry in $SET_BYTES; do
    [ "${entry%%/*}" != "$1" ] || { entry=${entry#*/}; files+=("${entry%%=*}"); }
  done
  [ ${#files[@]} -gt 0 ] || wrong "'$1' is no set: cifar10, cifar100 or ptb"
}

# check_sizes SET FOLDER: whether each file of the set is there, with its size.
check_sizes() {
  local entry name bytes status=0
  for entry in $SET_BYTES; do
    [ "${entry%%/*}" = "$1" ] || continue
    name=${entry#*/} name=${name%%=*}
    bytes=$(stat -c %s -- "$2/$name" 2>/dev/null) || { say "run: error: $1 has a file $name, and $2 has not" >&2; status=1; continue; }
    [ "$bytes" = "${entry##*=}" ] ||
      { say "run: error: $2/$name has $bytes bytes, and $1's has ${entry##*=}" >&2; status=1; }
  done
  [ "$status" -eq 0 ] || say "run: error: $2 does not hold the whole set; get it again ('bitcycle data --help' says where)" >&2
  return "$status"
}

parts() {
  [ $# -eq 3 ] || wrong "'parts' takes a set, its folder and a folder for the parts"
  local set=$1 folder=$2 to=$3 count
  files_of "$set"
  check_sizes "$set" "$folder" || exit 1
  mkdir -p "$to" || exit 1
  (cd -- "$folder" && sha256sum "${files[@]}") >"$to/SHA256SUMS" || { rm -f "$to/SHA256SUMS"; exit 1; }
  # The same files give the same parts, so that one that was damaged on its way can be made and sent again.
  tar --mtime=@0 --owner=0 --group=0 -C "$folder" -cf - "${files[@]}" -C "$(cd -- "$to" && pwd)" SHA256SUMS | gzip -n -9 >"$to/$set.tar.gz" || exit 1
  count=$((($(stat -c %s "$to/$set.tar.gz") + PART_BYTES - 1) / PART_BYTES))
  split -n "$count" -d -a 1 --numeric-suffixes=1 --additional-suffix="of$count" "$to/$set.tar.gz" "$to/$set.part" || exit 1
  rm -f "$to/$set.tar.gz" "$to/SHA256SUMS"
  say "run: $count parts of $set in $to; on the other machine, for each: run put PART"
}

put() {
  [ $# -ge 1 ] && [ $# -le 2 ] || wrong "'put' takes a part"
  local part=$1 name set count i
  [ -f "$part" ] || { say "run: error: there is no file $part" >&2; exit 1; }
  name=$(basename "$part")
  case "$name" in *.part[1-9]of[1-9]) ;; *) wrong "'$name' is no part: SET.partIofN is its name" ;; esac
  set=${name%%.part*} count=${name##*of} data=${2:-$data}
  files_of "$set"
  mkdir -p "$data" && cp -f -- "$part" "$data/$name.new" && mv -f -- "$data/$name.new" "$data/$name" || exit 1
  for ((i = 1; i <= count; i++)); do
    [ -f "$data/$set.part${i}of$count" ] || { say "run: kept $name in $data; part $i of $count is still missing"; return; }
  done
  rm -rf "${data:?}/$set" && mkdir -p "$data/$set"
  for ((i = 1; i <= count; i++)); do cat "$data/$set.part${i}of$count"; done | tar -C "$data/$set" -xzf - ||
    { say "run: error: the parts of $set do not make a whole; put them again" >&2; exit 1; }
  (cd -- "$data/$set" && sha256sum --quiet -c SHA256SUMS) ||
    { say "run: error: the files of $set are not those that were sent; put the parts again" >&2; exit 1; }
  check_sizes "$set" "$data/$set" || { rm -f "$data/$set.ok"; exit 1; }
  : >"$data/$set.ok"
  rm -f "$data/$set".part*
  say "run: $set is whole, in $data/$set"
}

# ----- running stages

advice() {
  case "$1" in
    smoke) echo "nothing else can be right before this is: read smoke.log; 'run kernel NAME' checks one kernel" ;;
    digests) echo "digests.log names the first tensor that differs; 'run kernel NAME' checks its kernel by itself" ;;
    tests) echo "tests.log has the first failures, tests-N.log all; 'run kernel NAME' runs one kernel's alone" ;;
    language) echo "language.log names the first tensor that differs" ;;
    ptb) echo "the runs go on from their checkpoints: run ptb again" ;;
    limits) echo "read limits.log; the other stages do not need it, the report's shares do" ;;
    speed) echo "read speed.log; --limit speed=SECONDS gives it more time" ;;
    peers) echo "read peers.log; the other stages do not need it" ;;
    sanitizer) echo "sanitizer.log names kernel and thread; it is a fault even where all digests are equal" ;;
    tables) echo "the tables lack what tables.err names; the stages' own results are there" ;;
    report) echo "the report could not be written; the results are there" ;;
    train) echo "the runs go on from their checkpoints: run train again" ;;
  esac
}

# Results as one Markdown file.
write_report() {
  local stage
  printf '# bitcycle on %s\n\n' "$("$bitcycle" info --device "$device" --json 2>/dev/null | json_value kernels)"
  printf -- '- commit %s\n- command: run %s\n- date: %s\n' "$(cat "$bundle/commit" 2>/dev/null)" "${stages[*]}" "$(date -u +%Y-%m-%dT%H:%MZ)"
  printf -- '- driver: %s\n\n' "$(nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader 2>/dev/null || echo unknown)"
  sed 's/^/    /' "$out/table.txt"
  printf '\n'
  [ ! -f "$out/tables.md" ] || cat "$out/tables.md"
  for stage in "${stages[@]}"; do
    printf '\n## Log of %s\n\n' "$stage"
    tail -n 60 "$out/$stage.log" | sed 's/^/    /'
  done
}

# One stage in a process of its own, so that a limit ends all of it.
run_stage() {
  local stage=$1 start code
  start=$(now)
  say "==== $stage (at most ${limit[$stage]} s)"
  log=$out/$stage.log
  log=$log timeout -k 5 "${limit[$stage]}" bash "$bundle/run" --out "$out" --data "$data" --device "$device" --inner "$stage" 2>&1 |
    tee "$log"
  code=${PIPESTATUS[0]}
  case "$code" in
    0) outcome=passed ;;
    77) outcome=skipped ;;
    124 | 137)
      outcome="timed out"
      say "=> stopped after ${limit[$stage]} s; --limit $stage=SECONDS gives it more" | tee -a "$log"
      ;;
    *) outcome=FAILED ;;
  esac
  finding=$(sed -n 's/^=> //p' "$log" | tail -n 1)
  printf '%-10s %-10s %7s s  %s\n' "$stage" "$outcome" "$(since "$start")" "$finding" >>"$out/table.txt"
  case "$outcome" in passed | skipped) ;; *) bad+=("$stage") ;; esac
}

# Records of 3,073 bytes (cifar10) or 3,074 bytes (cifar100).
SET_BYTES="cifar10/data_batch_1.bin=30730000 cifar10/data_batch_2.bin=30730000 cifar10/data_batch_3.bin=30730000
  cifar10/data_batch_4.bin=30730000 cifar10/data_batch_5.bin=30730000 cifar10/test_batch.bin=30730000
  cifar100/train.bin=153700000 cifar100/test.bin=30740000
  ptb/ptb.train.txt=5101618 ptb/ptb.valid.txt=399782 ptb/ptb.test.txt=449945"
out=$bundle/results data=${TMPDIR:-/tmp}/bitcycle-data device=cuda report="" inner="" stages=()
log=${log:-/dev/null}
# shellcheck source=/dev/null
[ ! -f "$bundle/workloads.sh" ] || . "$bundle/workloads.sh"
while [ $# -gt 0 ]; do
  case "$1" in
    --out | --data | --device | --limit | --report | --inner) [ $# -ge 2 ] || wrong "$1 needs a value" ;;
  esac
  case "$1" in
    --out) out=$2; shift 2 ;;
    --data) data=$2; shift 2 ;;
    --device)
      case "$2" in cuda | cuda-on-host | cpu) device=$2 ;; *) wrong "--device is '$2': cuda, cuda-on-host or cpu" ;; esac
      shift 2 ;;
    --limit)
      case "$2" in *=*[!0-9]* | *= | *=0* | *[!=0-9a-z]* | [!a-z]*) wrong "--limit takes STAGE=SECONDS, not '$2'" ;; esac
      case "$2" in *=*) ;; *) wrong "--limit takes STAGE=SECONDS, not '$2'" ;; esac
      [ -n "${limit[${2%%=*}]:-}" ] || wrong "'${2%%=*}' is no stage"
      limit[${2%%=*}]=${2#*=}; shift 2 ;;
    --report) report=$2; shift 2 ;;
    --inner) inner=$2; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    put) shift; put "$@"; exit 0 ;;
    parts) shift; parts "$@"; exit 0 ;;
    kernel)
      [ $# -eq 2 ] || wrong "'kernel' takes the name of one kernel"
      export BITCYCLE_OUTCOMES=$bundle/outcomes.tsv BITCYCLE_SOURCE=$bundle BITCYCLE_GOLDEN=$bundle/golden
      [ "$device" = cuda ] || export BITCYCLE_TEST_DEVICE=$device
      exec "$bundle/bin/test_gpu" --kernel "$2" ;;
    -*) wrong "unknown option '$1'" ;;
    *)
      [ -n "${limit[$1]:-}" ] || wrong "'$1' is no stage"
      stages+=("$1"); shift ;;
  esac
done

if [ -n "$inner" ]; then
  "stage_$inner"
  exit
fi
[ ${#stages[@]} -gt 0 ] || stages=("${all_stages[@]}")
mkdir -p "$out" 2>/dev/null && [ -w "$out" ] || wrong "cannot write in the folder '$out'; name another with --out"
[ -z "$report" ] || : >>"$report" 2>/dev/null || wrong "cannot write the report '$report'; name another file"
[ -f "$bundle/expected.tsv" ] && [ -f "$bundle/workloads.sh" ] && [ -x "$bitcycle" ] && [ -x "$bundle/bin/test_gpu" ] ||
  wrong "the bundle in '$bundle' is not whole; copy it again"
out=$(cd -- "$out" && pwd -P)
: >"$out/table.txt"
bad=()
say "bitcycle $(cat "$bundle/commit" 2>/dev/null), results in $out"
for stage in "${stages[@]}"; do run_stage "$stage"; done
rm -f "$out/tables.md"
if [ -f "$out/profile-shared.json" ]; then
  if command -v python3 >/dev/null 2>&1 && python3 -c '' 2>/dev/null; then
    python3 "$bundle/gpu_report_tables.py" "$out" "$BATCH" >"$out/tables.md" 2>"$out/tables.err" ||
      { cat "$out/tables.err"; [ ! -f "$out/limits.json" ] || bad+=(tables); }
  else
    printf 'The tables need python3, which this machine does not have. What they are made of:\n\n' >"$out/tables.md"
    for json in "$out"/limits.json "$out"/step-*.json "$out"/profile-*.json; do
      [ ! -f "$json" ] || { printf '    %s\n' "${json##*/}"; sed 's/^/    /' "$json"; } >>"$out/tables.md"
    done
  fi
fi
[ -z "$report" ] || write_report >"$report" || bad+=(report)
say ""
cat "$out/table.txt"
[ -z "$report" ] || say "The report is in $report."
if [ ${#bad[@]} -eq 0 ]; then
  say "What to do next: keep $out."
  exit 0
fi
say "What to do next:"
for stage in "${bad[@]}"; do say "  $stage: $(advice "$stage")"; done
exit 1
