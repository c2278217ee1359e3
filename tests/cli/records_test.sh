# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# The records of a run: what was changed, cut or moved after it was written is named, and no verb takes it for true.

# changed NAME COMMAND...: a copy of the run `a` called `c`, changed by this command inside it.
changed() {
  rm -rf c
  cp -r a c
  (cd c && "$@") || failed "cannot change the copy"
}
refused() {  # CODE TEXT COMMAND...
  local code=$1 text=$2
  shift 2
  run "$code" "$BITCYCLE" "$@"
  is_error
  contains "$err" "$text"
}

test_a_changed_record_is_named_by_every_reader() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 0 "$BITCYCLE" report a --out page.html
  equal "$err" "" "warnings of a whole run"

  local change="c/metrics.jsonl:2' was changed after it was written"
  changed sed -i '2s/"test_accuracy":[^,]*/"test_accuracy":99.5/' metrics.jsonl
  refused 1 "$change" report c --out page.html
  refused 1 "$change" cost c
  for verb in eval export train; do
    case $verb in
      train) run 0 "$BITCYCLE" train config.yaml --out c ;;
      *) run 0 "$BITCYCLE" "$verb" c ;;
    esac
    contains "$err" "$change"
    lacks "$out" "99.5"
  done
  run 0 "$BITCYCLE" verify a c
  contains "$err" "$change"
  refused 1 "$change" train config.yaml --from c --set train.steps=16 --set precision.forward.cycles=4 --out forked
  [ ! -e forked ] || failed "a folder was made"
  # An unfinished run: what was changed is computed again.
  rm c/summary.json
  run 0 "$BITCYCLE" train config.yaml --out c --quiet
  contains "$err" "$change"
  contains "$err" "the steps after 6 are computed again"
  equal "$(cut -d, -f1-8 c/metrics.jsonl)" "$(cut -d, -f1-8 a/metrics.jsonl)" "evaluations"
  run 0 "$BITCYCLE" report c --out page.html

  # Other files, and other changes.
  changed sed -i '4s/,[^,]*,\([^,]*,[^,]*\)$/,1.5,\1/' steps.csv
  refused 1 "c/steps.csv:4' was changed" report c --out page.html
  changed sed -i '3{h;d};4{G}' metrics.jsonl steps.csv
  refused 1 "c/steps.csv:3' was changed" report c --out page.html
  changed sed -i '$d' metrics.jsonl
  refused 1 "c/metrics.jsonl' is damaged or cut short: of 8 steps it holds 7" report c --out page.html
  run 0 "$BITCYCLE" train config.yaml --out c
  contains "$err" "metrics.jsonl' is damaged or cut short"
  changed sed -i 's/,"checksum":"[0-9a-f]*"}$/}/' metrics.jsonl
  refused 1 "its lines have no checksums, and the run's other records have" report c --out page.html
  changed rm metrics.jsonl
  refused 1 "c/metrics.jsonl' is missing" report c --out page.html
  changed sed -i '2s/,3,/,4,/' cost.csv
  refused 1 "c/cost.csv' was changed after the run had ended" report c --out page.html

  # The summary: it is made again from the last checkpoint.
  changed sed -i 's/"test_accuracy": [^,]*/"test_accuracy": 99.5/' summary.json
  refused 1 "c/summary.json' was changed after it was written" report c --out page.html
  run 0 "$BITCYCLE" train config.yaml --out c
  contains "$err" "c/summary.json' was changed"
  lacks "$out" "99.5"
  run 0 "$BITCYCLE" report c --out page.html
  changed sed -i 's/"steps": 8/"steps": "8"/; /"checksum"/d; s/^  },$/  }/' summary.json
  run 0 "$BITCYCLE" verify a c
  contains "$err" "c/summary.json' was changed after it was written (it has no checksum, and the other records have)"
  changed cp /dev/null summary.json
  run 0 "$BITCYCLE" verify a c
  lacks "$err" "json.exception"
  lacks "$err" "parse_error"
}

test_verify_compares_whole_digest_files_only() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  # Without checksums, as earlier versions wrote them: what can be known from the steps alone.
  rm a/summary.json
  sed -i 's/,checksum$//; s/,[0-9a-f]\{16\}$//' a/steps.csv
  sed -i 's/,"checksum":"[0-9a-f]*"}$/}/' a/metrics.jsonl a/digests.jsonl
  cp -r a c
  run 0 "$BITCYCLE" verify a c
  contains "$err" "the records of 'a' carry no checksums"
  changed sed -i '5,$d' digests.jsonl
  refused 1 "c/digests.jsonl' is damaged or cut short: of 8 steps it holds 4 without a gap, and it ends after line 4" \
    verify a c
  changed sed -i 3d digests.jsonl
  refused 1 "c/digests.jsonl:3' is of step 4: that of step 3 is missing before it" verify a c
  changed sed -i -n '1!G;h;$p' digests.jsonl
  refused 1 "c/digests.jsonl:1' is of step 8: that of step 1 is missing before it" verify a c
  changed sed -i '3{p}' digests.jsonl
  refused 1 "c/digests.jsonl:4' records step 3 once more" verify a c
  changed sed -i 's/"conv1.weight":"[0-9a-f]\{4\}/"conv1.weight":"0000/' digests.jsonl
  run 3 "$BITCYCLE" verify a c --json
  equal "$(json first_different_step)" 1 "step"
  equal "$(json different_tensors/0)" conv1.weight "tensor"
  # A run of an earlier version is continued, and sealed.
  rm c/checkpoints/*8.safetensors
  cp a/digests.jsonl c
  run 0 "$BITCYCLE" train config.yaml --out c --quiet
  run 0 "$BITCYCLE" report c --out page.html
  equal "$err" "" "warnings"
}

test_a_checkpoint_of_another_run_is_refused() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 0 "$BITCYCLE" train config.yaml --out b --quiet --set train.seed=4
  local own=a/checkpoints/step-00000002.safetensors other=b/checkpoints/step-00000002.safetensors
  cp "$own" copy.safetensors
  run 0 "$BITCYCLE" eval a --checkpoint "$own"
  contains "$err" "no step up to 2 had the 8 bits that are used here"
  contains "$err" "the steps had at most 3 (--bits 3)"
  run 0 "$BITCYCLE" eval a --checkpoint copy.safetensors --bits 3
  equal "$err" "" "warnings"
  refused 1 "'$other' is not a checkpoint of the run 'a'" eval a --checkpoint "$other"
  contains "$err" "it has the digest"
  refused 1 "is not a checkpoint of the run 'a'" export a --checkpoint "$other"
  # Whole records of another run, of a run that goes on.
  cp -r a mixed
  rm mixed/summary.json
  cp b/metrics.jsonl mixed
  refused 1 "'mixed/metrics.jsonl:1' was changed after it was written, or is of a run of another config" \
    report mixed --out page.html
  # ... and without a checkpoint: what is wrong is said, not that nothing was done yet.
  rm -r mixed/checkpoints
  refused 1 "'mixed' has no checkpoint, and its records are damaged, too: 'mixed/metrics.jsonl:1'" eval mixed
  refused 1 "the run 'mixed' cannot be priced as it ran: 'mixed/metrics.jsonl:1'" cost mixed
  refused 1 "'mixed' cannot be continued: 'mixed/metrics.jsonl:1'" train mixed/config.yaml --out mixed
  # No line of digests.jsonl: the config that wrote the checkpoint tells.
  sed -i 's/"step":2,/"step":3,/' a/digests.jsonl
  refused 1 "was written by a run of another config than 'a/config.yaml'" eval a --checkpoint "$other"
}

test_a_config_of_another_run_is_refused() {
  tiny config.yaml
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  run 0 "$BITCYCLE" train config.yaml --out b --quiet --set train.seed=9
  run 0 "$BITCYCLE" train config.yaml --out d --quiet --set precision.forward.max=6
  local verb words
  every_verb_refuses() {  # TEXT [VERBS]
    for verb in ${2:-report cost eval train}; do
      words="$verb c"
      [ "$verb" = report ] && words="report c --out page.html"
      [ "$verb" = train ] && words="train config.yaml --out c --quiet"
      # shellcheck disable=SC2086  # words
      refused 1 "$1" $words
    done
  }
  changed cp ../b/config.yaml config.yaml
  every_verb_refuses "another config"
  # All records of another run, with its summary, and with its config.
  changed cp ../b/{metrics.jsonl,steps.csv,widths.csv,digests.jsonl,cost.csv,summary.json} .
  every_verb_refuses "c/steps.csv:2' was changed after it was written, or is of a run of another config" "report cost"
  every_verb_refuses "'c/summary.json' and 'c/config.yaml' are of different runs" train
  cp b/config.yaml c
  every_verb_refuses "'c/checkpoints' holds checkpoints of a run of another config" "report cost"
  every_verb_refuses "c/checkpoints/step-00000008.safetensors' was written by a run of another config" eval
  # An unfinished run: its records are of its config, and of its schedules.
  changed cp ../b/config.yaml . && rm c/summary.json
  every_verb_refuses "another config"
  changed cp ../d/config.yaml . && rm c/summary.json
  every_verb_refuses "c/steps.csv:3' has 4/8 bits, and the schedule of config.yaml has 3/8" "report cost"
  every_verb_refuses "was written by a run of another config than 'c/config.yaml'" eval
  changed cp ../d/widths.csv . && rm c/summary.json
  every_verb_refuses "c/widths.csv:3' has '2,4,8,', and the schedule of config.yaml has '2,6,8,'" "report cost train"
  changed sed -i '3,$d' widths.csv && rm c/summary.json
  every_verb_refuses "c/widths.csv' is damaged or cut short" "report cost"
  changed sed -i '$d' config.yaml && rm c/summary.json
  every_verb_refuses "c/config.yaml: its last line, the checksum of the lines above, was removed"
  # Missing and empty files, and no checkpoints.
  changed rm widths.csv
  every_verb_refuses "c/widths.csv' is missing" "report cost"
  changed cp /dev/null metrics.jsonl
  every_verb_refuses "c/metrics.jsonl' is damaged or cut short: it holds no record, and the run has done 8 steps" report
  changed rm -r checkpoints && mkdir c/checkpoints
  run 0 "$BITCYCLE" train config.yaml --out c --quiet
  contains "$err" "'c' has no checkpoint any more"
  every_verb_refuses "'c' has no checkpoint any more" eval
  # All that is missing is the summary.
  changed rm summary.json
  run 0 "$BITCYCLE" report c --out page.html
  contains "$err" "Unfinished: c (all 8 steps are done, but no summary.json"
}

test_named_pipes_are_not_waited_for() {
  tiny config.yaml
  mkfifo pipe pipe.csv pipe.yaml
  local words
  for words in "train config.yaml --quiet --set model.initial_weights=pipe" "cost pipe.csv --precision static-8" \
    "cost pipe.yaml" "schedule config.yaml --set precision.forward.points=pipe.csv"; do
    # shellcheck disable=SC2086  # words
    run 1 timeout 10 "$BITCYCLE" $words
    is_error
    contains "$err" "named pipe"
  done
}
