# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Stochastic weight averaging, and the width that evaluations decide by.

# A training whose shape does not depend on its length: swa_config FILE.
swa_config() {
  tiny "$1"
  cat >>"$1" <<END
learning_rate: {schedule: constant}
swa: {start: 4, freq: 4}
END
  sed -i 's/schedule: cyclic_cosine, min: 3, max: 8, cycles: 2/schedule: constant, max: 6/' "$1"
}
swa_lines() { grep -o '"swa_models.*"swa_digest":"[0-9a-f]*"' "$1/metrics.jsonl"; }

test_averages_are_those_of_a_run_that_was_not_interrupted() {
  swa_config config.yaml
  run 0 "$BITCYCLE" train config.yaml --out whole --json --set train.steps=12
  equal "$(json swa_models)" 3 "averaged models"
  local digest
  digest=$(json digest)
  # A longer run is continued, one that was killed after its second average goes on: the same averages.
  run 0 "$BITCYCLE" train config.yaml --out parts --set train.steps=8
  contains "$out" "averaged weights"
  contains "$out" "the mean of those after 2 steps"
  run 0 "$BITCYCLE" train config.yaml --out parts --json --set train.steps=12 --threads 1 --isa portable
  equal "$(json digest)" "$digest" digests
  equal "$(swa_lines parts)" "$(swa_lines whole)" "averages"
  equal "$(swa_lines whole | wc -l)" 3 "evaluations with an average"
  run 0 "$BITCYCLE" train config.yaml --out long --json --set train.steps=60
  equal "$(swa_lines long | head -n 3)" "$(swa_lines whole)" "averages"
  "$BITCYCLE" train config.yaml --out killed --set train.steps=60 >first.txt 2>&1 </dev/null &
  local process=$! tries
  for tries in $(seq 600); do
    [ "$(grep -c swa_models killed/metrics.jsonl 2>/dev/null)" -lt 2 ] 2>/dev/null || break
    sleep 0.05
  done
  kill -KILL "$process" 2>/dev/null
  wait "$process" 2>/dev/null
  [ ! -e killed/summary.json ] || failed "the run had ended before it was killed, $tries"
  run 0 "$BITCYCLE" train config.yaml --out killed --json --set train.steps=60
  equal "$(swa_lines killed)" "$(swa_lines long)" "averages after a kill"
  run 0 "$BITCYCLE" verify long killed --json
  # An average does not act on the training.
  run 0 "$BITCYCLE" train config.yaml --out without --json --set train.steps=12 --set swa.start=0
  equal "$(json digest)" "$digest" "digests with and without averages"
  run 1 "$BITCYCLE" eval without --swa
  is_error
  contains "$err" "holds no averaged parameters"
  run 0 "$BITCYCLE" eval whole --swa
  contains "$out" ", averaged weights (SWA): test accuracy"
  run 0 "$BITCYCLE" eval whole --swa --json
  equal "$(json swa)" true "mark of averaged weights"
  local accuracy
  accuracy=$(json test_accuracy)
  run 0 "$BITCYCLE" verify whole without --json
  equal "$(tail -n 1 whole/metrics.jsonl | grep -o '"swa_accuracy":[0-9.]*' | cut -d: -f2)" "$accuracy" accuracies
}

test_frequency_must_meet_the_evaluations() {
  swa_config config.yaml
  run 1 "$BITCYCLE" train config.yaml --set swa.freq=6
  is_error
  contains "$err" "swa.freq is 6, and train.evaluate_every is 4"
  # A profile makes no averages.
  run 0 "$BITCYCLE" train config.yaml --profile 1
}

test_settings_that_cannot_act_are_said() {
  swa_config config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --set train.steps=4 --set swa.start=5 --set swa.freq=8 \
    --set learning_rate.warm_up=true
  contains "$err" "the first average would be made after step 8, and the run has 4 steps"
  contains "$err" "learning_rate.warm_up_steps is 400 and the run has 4 steps"
  run 0 "$BITCYCLE" train config.yaml --out b --set train.steps=4 --set swa.start=0 --set data.workers=3 \
    --set learning_rate.warm_up_lr=0.5
  contains "$err" "data.workers has no effect: synthetic lies in memory"
  contains "$err" "swa.freq is 4 and has no effect: swa.start is 0"
  contains "$err" "learning_rate.warm_up_lr has no effect: learning_rate.warm_up is false"
}

test_the_best_checkpoint_is_that_of_the_chosen_width() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --json
  run 0 "$BITCYCLE" train config.yaml --out b --json --set eval.width=max
  local most
  most=$(grep -o '"test_accuracy_max_width":[0-9.]*' b/metrics.jsonl | cut -d: -f2 | sort -g | tail -n 1)
  equal "$(json best_test_accuracy)" "$most" "best accuracies"
  contains "$err" "at the largest width at step"
}
