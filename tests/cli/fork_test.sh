# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Runs made longer, runs begun from another one's checkpoint, and TensorBoard's file, from the command line.

open_ended() {
  tiny config.yaml 8
  set=(--set precision.forward.schedule=constant --set learning_rate.schedule=constant)
}

test_more_steps_go_on_in_the_same_folder() {
  open_ended
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --set train.steps=12 --out long --json
  local digest
  digest=$(json digest)
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --out run
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --set train.steps=12 --out run --json
  equal "$(json digest)" "$digest" "digest of the run that was made longer"
  contains "$err" "the finished run of 8 steps becomes one of 12"
  run 0 "$BITCYCLE" verify run long
  contains "$out" "runs are equal"
  run 0 "$BITCYCLE" train config.yaml --out cyclic
  run 1 "$BITCYCLE" train config.yaml --out cyclic --set train.steps=12
  is_error
  contains "$err" "it cannot be made longer under this one: step"
}

test_fork_from_a_checkpoint() {
  open_ended
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --out parent --json
  local digest
  digest=$(json digest)
  run 0 "$BITCYCLE" train config.yaml "${set[@]}" --from parent:6 --out child --tensorboard --json
  equal "$(json digest)" "$digest" "digest of the fork with the same config"
  contains "$err" "forked from parent at step 6"
  contains "$(cat child/config.yaml)" 'run: parent'
  [ -s child/events.out.tfevents.bitcycle ] || failed "no event file"
  run 0 "$BITCYCLE" verify parent child
  contains "$out" "runs are equal"

  run 0 "$BITCYCLE" train config.yaml --set precision.forward.schedule=constant --set precision.forward.max=4 \
    --set train.steps=10 --from parent:6 --out narrow
  contains "$out" "less than static 8/8 bits"  # the widths of the steps that were taken over count
  contains "$out" "steps 1 to 6 were taken over from 'parent' and count; this run's own schedules name at most 4/8 bits"
  local best
  best=$(sed -n 's/.*"best_step": \([0-9]*\).*/\1/p' narrow/summary.json)
  if [ "$best" -le 6 ]; then contains "$out" "at step $best (taken over)"; else lacks "$out" "(taken over)"; fi
  # What was never trained since then is not what is evaluated.
  run 0 "$BITCYCLE" eval narrow
  contains "$out" "narrow, step 10, 4 bits"
  lacks "$err" "warning"
  local accuracy
  accuracy=$(sed -n 's/.*"test_accuracy_max_width": \([0-9.]*\).*/\1/p' narrow/summary.json)
  run 0 "$BITCYCLE" eval narrow --json
  equal "$(json test_accuracy)" "$accuracy" "accuracy at the largest width of the fork's own steps"
  # A width that the parent's schedule named and no step had is no width of the fork.
  run 0 "$BITCYCLE" train config.yaml --set precision.forward.cycles=1 --out cyclic --quiet
  # A fork with the schedule of its parent costs what that cost, though its own records of widths begin later.
  run 0 "$BITCYCLE" train config.yaml --set precision.forward.cycles=1 --set optimizer.momentum=0.8 --from cyclic:4 \
    --out alike --quiet
  run 0 "$BITCYCLE" cost cyclic --format csv
  local price=$out
  run 0 "$BITCYCLE" cost alike --format csv
  equal "$out" "$price" "price of a fork with its parent's schedule"
  run 0 "$BITCYCLE" train config.yaml --set precision.forward.schedule=constant --set precision.forward.max=4 \
    --set train.steps=6 --from cyclic:4 --out short
  contains "$out" "less than static 5/8 bits"
  run 0 "$BITCYCLE" report narrow
  contains "$(cat narrow/report.html)" "that its schedules name: 8 bits forward and 8 bits backward"
  run 0 "$BITCYCLE" schedule narrow --format csv
  equal "$out" "first_step,steps,forward_bits,gradient_bits
0,6,8,8
6,4,4,8" "widths over the fork's whole life"

  run 1 "$BITCYCLE" train config.yaml "${set[@]}" --from parent --out x
  is_error
  contains "$err" "nothing is left to train"
  run 1 "$BITCYCLE" train config.yaml "${set[@]}" --from parent:3 --out x
  is_error
  contains "$err" "it has checkpoints of the steps"
  run 1 "$BITCYCLE" train config.yaml "${set[@]}" --from parent:6 --out parent
  is_error
  contains "$err" "choose another folder with --out"
  [ -e x ] && failed "a refused fork left a folder"
  true
}
