# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# `train` and what reads its run folder: results, resuming, interruption, refusals.

digest_of() { run 0 "$BITCYCLE" train "$@" --json; json digest; }

test_summary_and_json() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out one
  contains "$out" "test accuracy"
  contains "$out" "GBitOPs"
  contains "$out" "digest"
  contains "$out" "run folder        one"
  lacks "$out" $'\r'
  run 0 "$BITCYCLE" train config.yaml --out two --json
  local key
  for key in run steps test_accuracy best_test_accuracy paper_gbitops executed_gbitops saving_percent digest \
    images_per_second seconds; do
    json "$key" >/dev/null
  done
  equal "$(json steps)" 8 steps
  contains "$err" "step"
  for key in config.yaml metrics.jsonl steps.csv cost.csv digests.jsonl checkpoints; do
    [ -e "two/$key" ] || failed "two/$key is not there"
  done
}

test_quiet_leaves_the_result() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --quiet
  contains "$out" "run folder        runs/config"
  lacks "$out" "images/s  ETA"
  equal "$err" "" stderr
  run 0 "$BITCYCLE" train config.yaml --out b --quiet --json
  json digest >/dev/null
  equal "$err" "" "stderr"
}

test_threads_and_instruction_sets_give_the_same_digest() {
  tiny config.yaml 4
  local base
  base=$(digest_of config.yaml --out base --threads 1 --isa portable)
  equal "$(digest_of config.yaml --out threads --threads 3)" "$base" "3 threads"
  run 0 "$BITCYCLE" info --json
  local isa
  for isa in avx2 avxvnni avx512vnni amx; do
    run 0 "$BITCYCLE" info --json
    [ "$(json instruction_sets/$isa)" = true ] || continue
    equal "$(digest_of config.yaml --out "$isa" --isa "$isa")" "$base" "$isa"
  done
  run 0 "$BITCYCLE" verify base threads
  contains "$out" "equal at all"
}

test_finished_run_started_again_says_so() {
  tiny config.yaml
  local first
  first=$(digest_of config.yaml)
  echo half >runs/config/report.html.tmp99999999  # of a writer that was killed
  run 0 "$BITCYCLE" train config.yaml
  contains "$out" "finished already"
  [ ! -e runs/config/report.html.tmp99999999 ] || failed "what a killed process left is still there"
  contains "$out" "$first"
  run 0 "$BITCYCLE" train config.yaml --json
  equal "$(json digest)" "$first" digest
}

test_restart_keeps_the_old_folder() {
  tiny config.yaml
  local first
  first=$(digest_of config.yaml)
  run 0 "$BITCYCLE" train config.yaml --restart --json
  equal "$(json digest)" "$first" digest
  [ -d runs/config.1 ] || failed "runs/config.1 is not there"
  run 0 "$BITCYCLE" verify runs/config runs/config.1 --json
  equal "$(json equal)" true equal
}

test_expect_compares_and_says_both() {
  tiny config.yaml
  local first
  first=$(digest_of config.yaml)
  run 0 "$BITCYCLE" train config.yaml --out b --expect "$first"
  contains "$out" "equal"
  run 3 "$BITCYCLE" train config.yaml --out c --expect 0123456789abcdef0123456789abcdef
  is_error
  contains "$err" "$first"
  contains "$err" "0123456789abcdef0123456789abcdef"
}

# Waits until the run has written a checkpoint, or fails after a minute.
await_checkpoint() {
  local _
  for _ in $(seq 3000); do
    ls "$1"/checkpoints/step-*.safetensors >/dev/null 2>&1 && return
    sleep 0.02
  done
  failed "no checkpoint within a minute in $1"
}

test_killed_run_ends_with_the_same_digest() {
  tiny config.yaml 60
  local whole
  whole=$(digest_of config.yaml --out whole)
  "$BITCYCLE" train config.yaml --out killed >first.txt 2>&1 </dev/null &
  local process=$!
  await_checkpoint killed
  kill -KILL "$process" 2>/dev/null
  wait "$process" 2>/dev/null
  [ ! -e killed/summary.json ] || failed "the run had ended before it was killed"
  equal "$(digest_of config.yaml --out killed)" "$whole" "digest after a kill"
  run 0 "$BITCYCLE" verify whole killed --json
  equal "$(json equal)" true equal
  equal "$(json steps_compared)" 60 "steps compared"
  cmp -s whole/steps.csv killed/steps.csv || failed "steps.csv differs"
  cmp -s whole/cost.csv killed/cost.csv || failed "cost.csv differs"
}

test_interrupted_run_saves_and_goes_on() {
  tiny config.yaml 60
  local whole signal expected
  whole=$(digest_of config.yaml --out whole)
  for signal in INT TERM HUP; do
    case "$signal" in INT) expected=130 ;; TERM) expected=143 ;; HUP) expected=129 ;; esac
    # A background process of a script ignores SIGINT unless it is told otherwise.
    (trap - INT; exec "$BITCYCLE" train config.yaml --out "stopped $signal" >first.txt 2>&1 </dev/null) &
    local process=$!
    await_checkpoint "stopped $signal"
    kill "-$signal" "$process"
    wait "$process"
    local code=$?
    out=$(cat first.txt)
    equal "$code" "$expected" "exit code after SIG$signal"
    contains "$out" "same command continues"
    equal "$(digest_of config.yaml --out "stopped $signal")" "$whole" "digest after SIG$signal"
  done
}

test_a_hang_up_that_is_ignored_does_not_stop() {
  tiny config.yaml 60
  (trap '' HUP; exec "$BITCYCLE" train config.yaml --out kept >first.txt 2>&1 </dev/null) &
  local process=$!
  await_checkpoint kept
  kill -HUP "$process"
  wait "$process"
  equal "$?" 0 "exit code"
}

test_folder_of_another_config_is_refused() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --quiet
  run 1 "$BITCYCLE" train config.yaml --set optimizer.momentum=0.8
  is_error
  contains "$err" "optimizer.momentum"
  contains "$err" "--restart"
  run 0 "$BITCYCLE" train config.yaml --quiet
  contains "$out" "8 of 8 steps"
}

test_a_refused_training_leaves_nothing() {
  tiny config.yaml
  run 1 "$BITCYCLE" train config.yaml --set data.name=cifar10 --set data.path=nowhere
  is_error
  run 1 "$BITCYCLE" train config.yaml --set 'precision.layers=[{match: fc, forward: 8}]'
  is_error
  [ ! -e runs ] || failed "a run folder was made"
}

test_a_batch_that_memory_cannot_hold_is_refused_before_it_is_tried() {
  tiny config.yaml
  # Where even that fits, there is nothing to see.
  [ "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)" -lt 400000000 ] || return 0
  run 1 timeout 60 "$BITCYCLE" train config.yaml --set model.name=resnet164 --set train.batch=65536 \
    --set data.train_images=65536
  is_error
  contains "$err" "resnet164 at 65536 images at a time needs"
  contains "$err" "lower train.batch"
  [ ! -e runs ] || failed "a run folder was made"
}

test_damage_is_said_and_never_taken_for_whole() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --quiet
  cp -r runs/config whole
  # A bit of the newest checkpoint.
  local newest=runs/config/checkpoints/step-00000008.safetensors
  printf '\001' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") - 2000)) conv=notrunc 2>/dev/null
  run 0 "$BITCYCLE" eval runs/config
  contains "$err" "step-00000008.safetensors' is damaged"
  contains "$err" "not the newest checkpoint is taken but that of step 6"
  contains "$out" "step 6"
  run 1 "$BITCYCLE" eval runs/config --checkpoint 8
  is_error
  run 0 "$BITCYCLE" train config.yaml
  contains "$out" "finished already"
  contains "$err" "step-00000008.safetensors"
  run 0 "$BITCYCLE" verify runs/config whole
  contains "$err" "step-00000008.safetensors"
  # Records.
  head -n 4 runs/config/steps.csv >shorter && cp shorter runs/config/steps.csv
  run 1 "$BITCYCLE" cost runs/config
  is_error
  contains "$err" "of 8 steps it holds 3 without a gap"
  # The config: every key is there, so a missing one is damage.
  head -n 20 runs/config/config.yaml >shorter && cp shorter runs/config/config.yaml
  local verb
  for verb in eval cost schedule; do
    run 1 "$BITCYCLE" "$verb" runs/config
    is_error
    contains "$err" "config.yaml"
    contains "$err" "is missing"
  done
}

test_seeds_get_folders_of_their_own() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --quiet
  run 0 "$BITCYCLE" train config.yaml --quiet --set train.seed=4
  contains "$out" "config-seed4: 2 of 2 steps"
  contains "$out" "run folder        runs/config-seed4"
  # The config's own seed, said again, is no other run.
  run 0 "$BITCYCLE" train config.yaml --set train.seed=3
  contains "$out" "finished already"
  equal "$(printf '%s ' runs/*)" "runs/config runs/config-seed4 " "run folders"
  # The folder's name is the run's name in tables.
  run 0 "$BITCYCLE" schedule runs/config runs/config-seed4
  contains "$out" "config-seed4"
}

test_folder_that_is_no_run_is_refused() {
  tiny config.yaml
  mkdir -p mine
  echo precious >mine/file.txt
  run 1 "$BITCYCLE" train config.yaml --out mine
  is_error
  equal "$(cat mine/file.txt)" precious "the folder's file"
  equal "$(ls mine)" file.txt "the folder's files"
}

test_unwritable_folder_is_a_clear_error() {
  tiny config.yaml
  run 1 "$BITCYCLE" train config.yaml --out /proc/nowhere/run
  is_error
  contains "$err" "/proc/nowhere"
}

test_a_full_disk_leaves_the_last_checkpoint_whole() {
  tiny config.yaml 8
  local whole
  whole=$(digest_of config.yaml --out whole)
  # A limit on the size of files, with its signal ignored, fails writes as a full disk does.
  (trap '' XFSZ; ulimit -f 64; "$BITCYCLE" train config.yaml --out small >first.txt 2>stderr.txt </dev/null)
  equal "$?" 1 "exit code"
  err=$(cat stderr.txt)
  is_error
  equal "$(digest_of config.yaml --out small)" "$whole" "digest after the disk had room again"
}

test_eval_at_other_widths() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --quiet
  contains "$out" "the schedule names 8/8 bits, but no step has more than 7/8"
  run 0 "$BITCYCLE" eval runs/config --json
  contains "$err" "the steps had at most 7 (--bits 7)"
  equal "$(json bits)" 8 bits
  contains "$out" '"bits": 8,'  # a number
  equal "$(json step)" 8 step
  equal "$(json images)" 32 images
  run 0 "$BITCYCLE" eval runs/config --bits 2 --checkpoint best
  contains "$out" "2 bits"
  run 2 "$BITCYCLE" eval runs/config --bits 40
  is_error
  run 1 "$BITCYCLE" eval runs/config --checkpoint 7777
  is_error
  contains "$err" "7777"
}

test_verify_names_step_and_tensor() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 0 "$BITCYCLE" train config.yaml --out b --quiet --set optimizer.momentum=0.8
  run 3 "$BITCYCLE" verify a b
  contains "$out" "optimizer.momentum"
  contains "$out" "The first tensor that differs: "
  run 3 "$BITCYCLE" verify a b --json
  equal "$(json equal)" false equal
  json different_tensors/0 >/dev/null
  run 2 "$BITCYCLE" verify config.yaml --against reference --steps 9
  is_error
  contains "$err" "--steps 9 is more than the run has: train.steps is 8"
}

test_bisect_finds_the_step_between_recorded_ones() {
  tiny config.yaml
  local key
  # The rate changes at step 6 only; digests are recorded at 4 and 8, checkpoints at every second step.
  for key in 0.9 0.75; do
    run 0 "$BITCYCLE" train config.yaml --out "at $key" --quiet --set digest.every=4 --set "learning_rate.points=[$key]" \
      --set train.checkpoint_every=4
  done
  run 3 "$BITCYCLE" verify "at 0.9" "at 0.75" --bisect --json
  equal "$(json first_different_step)" 8 "recorded step"
  equal "$(json bisection/first_different_step)" 7 "step"
  equal "$(json bisection/replayed_from)" 4 "start of the replay"
}

test_cost_of_a_run_is_that_of_its_config() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --json
  local cost
  cost=$(json paper_gbitops)
  run 0 "$BITCYCLE" cost runs/config --json
  equal "$(json paper_gbitops)" "$cost" "cost of the run"
  run 0 "$BITCYCLE" cost config.yaml --json
  equal "$(json paper_gbitops)" "$cost" "cost of the config"
}

test_profile_shows_operations_and_leaves_nothing() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --profile 3
  contains "$out" "ms a step"
  contains "$out" "3 steps"
  [ ! -e runs ] || failed "a run folder was made"
}
