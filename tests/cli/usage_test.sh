# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# The command line itself: verbs, options, help, output streams.

all_verbs="train eval cost schedule program replay verify data info"

test_no_verb_shows_help_and_is_an_error() {
  run 2 "$BITCYCLE"
  contains "$err" "Usage: bitcycle VERB"
}

test_help_lists_every_verb() {
  run 0 "$BITCYCLE" --help
  local verb
  for verb in $all_verbs; do contains "$out" "  $verb "; done
  contains "$out" "Exit codes"
}

test_every_verb_has_help_with_an_example() {
  local verb
  for verb in $all_verbs; do
    run 0 "$BITCYCLE" "$verb" --help
    contains "$out" "Usage: bitcycle $verb"
    contains "$out" "Example:"
    contains "$out" "bitcycle $verb"
    contains "$out" "--json"
    equal "$(sed '/^Example/,$d' stdout.txt | awk 'length > 110' | wc -l)" 0 "lines of more than 110 characters"
    run 0 "$BITCYCLE" help "$verb"
    contains "$out" "Usage: bitcycle $verb"
  done
}

# What happens without it is part of what an option means.
test_every_option_with_a_value_states_its_default() {
  local verb
  for verb in $all_verbs export report; do
    run 0 "$BITCYCLE" "$verb" --help
    # An option and its text on one line, those that take a value, without --set.
    sed '1,/^Options:/d; /^Example/,$d' stdout.txt | awk '/^  --/ { if (text) print text; text = "" } { text = text " " $0 } END { print text }' \
      | grep -E '^ *--[a-z-]+ [A-Z[]|^ *--[a-z-]+\[' | grep -vE '^ *--set ' >options.txt || true
    equal "$(grep -v default options.txt)" "" "options of $verb without a default"
  done
}

test_mistyped_verb_names_the_nearest() {
  run 2 "$BITCYCLE" trian config.yaml
  is_error
  contains "$err" "did you mean 'train'?"
  run 2 "$BITCYCLE" frobnicate
  is_error
  lacks "$err" "did you mean"
  contains "$err" "train, eval, cost"
}

test_mistyped_option_names_the_nearest() {
  run 2 "$BITCYCLE" train config.yaml --thread 2
  is_error
  contains "$err" "did you mean '--threads'?"
  run 2 "$BITCYCLE" info -x
  is_error
}

# Nothing, a folder, an empty file and bytes: one line each that says what is wrong and what to do.
test_every_verb_says_in_one_line_what_it_needs() {
  local verb input code
  mkdir folder
  : >empty
  head -c 3000 /dev/urandom >bytes
  printf '\0' >>bytes
  for verb in train eval verify schedule cost program data export replay report; do
    run 2 "$BITCYCLE" "$verb"
    is_error
    contains "$err" "$verb: needs "
    contains "$err" ", for example: bitcycle $verb "
    equal "$(wc -l <stderr.txt)" 1 "lines of '$verb'"
    for input in folder empty bytes; do
      code=1
      [ "$verb" != verify ] || code=2
      run "$code" "$BITCYCLE" "$verb" "$input"
      is_error
      [ "$verb" = verify ] || contains "$err" "$input"
      equal "$(wc -l <stderr.txt)" 1 "lines of '$verb $input'"
    done
    case $verb in
      eval | export | report) contains "$err" "'bytes' is a file; the folder of a run is needed, e.g. runs/quickstart" ;;
      data) contains "$err" "'bytes' is a file; the folder that holds" ;;
    esac
  done
  for input in folder empty bytes nothing; do
    run 1 "$BITCYCLE" verify "$input" "$input"
    is_error
    contains "$err" "'$input'"
    run 1 "$BITCYCLE" verify "$input" --against reference
    is_error
    contains "$err" "$input"
  done
}

test_outputs_never_replace_devices_folders_or_links() {
  tiny config.yaml 2
  run 0 "$BITCYCLE" train config.yaml --out a --quiet
  mkdir folder
  local device
  for device in /dev/null /dev/full; do
    run 1 "$BITCYCLE" report a --out "$device"
    contains "$err" "'$device' exists and is not a report of bitcycle"
    for words in "export a --out" "replay $SOURCE/tests/golden/ops/linear_b4_g8 --out" "train config.yaml --out"; do
      # shellcheck disable=SC2086  # words
      run 1 "$BITCYCLE" $words "$device"
      is_error
      contains "$err" "$device"
    done
    [ -c "$device" ] || failed "$device was replaced"
  done
  run 0 "$BITCYCLE" cost config.yaml --out /dev/null
  run 1 "$BITCYCLE" schedule config.yaml --out /dev/full
  is_error
  contains "$err" "/dev/full"
  run 2 "$BITCYCLE" cost config.yaml --out folder
  contains "$err" "folder is a folder"
  run 1 "$BITCYCLE" cost config.yaml --accelerator systolic-int8 --format scalesim --out /dev/null
  is_error
  # A link stays a link.
  : >target.csv
  ln -s target.csv link.csv
  run 0 "$BITCYCLE" cost config.yaml --format csv --out link.csv
  [ -L link.csv ] || failed "the link was replaced"
  contains "$(head -1 target.csv)" "layer,pass"
}

test_missing_and_superfluous_words_are_errors() {
  run 2 "$BITCYCLE" train
  is_error
  contains "$err" "CONFIG"
  run 2 "$BITCYCLE" verify one
  is_error
  run 2 "$BITCYCLE" info something
  is_error
  contains "$err" "'something'"
  run 2 "$BITCYCLE" train config.yaml --set
  is_error
  run 2 "$BITCYCLE" info --json=yes
  is_error
}

test_option_values_are_checked() {
  run 2 "$BITCYCLE" info --isa sse9
  is_error
  contains "$err" "portable, avx2, avxvnni, avx512vnni, amx"
  run 0 "$BITCYCLE" info --threads 0 --json  # as `threads: 0`: all cores
  equal "$(json threads)" "$(json cores)" threads
  run 2 "$BITCYCLE" info --threads -1
  is_error
  run 2 "$BITCYCLE" info --threads two
  is_error
  tiny config.yaml
  run 2 "$BITCYCLE" train config.yaml --expect abc
  is_error
  contains "$err" "32 hexadecimal digits"
  run 2 "$BITCYCLE" train config.yaml --set train.steps
  is_error
  contains "$err" "KEY=VALUE"
}

test_cuda_is_a_clear_error() {
  run 1 "$BITCYCLE" info --device cuda
  is_error
  contains "$err" "--device cpu"
}

test_many_threads_are_no_more_than_help() {
  tiny config.yaml 2
  run 0 timeout 60 "$BITCYCLE" train config.yaml --threads 4096 --json
  run 0 "$BITCYCLE" info --threads 4096 --json
  [ "$(json threads)" -le $((4 * $(json cores))) ] || failed "$(json threads) threads on $(json cores) cores"
}

test_control_characters_of_names_are_escaped() {
  # Bytes of UTF-8: without a locale, the shell writes \u202e as it stands.
  local name=$'evil\033[31m\xe2\x80\xae\xc2\x9b\xff\r'
  run 1 "$BITCYCLE" train "$name.yaml"
  is_error
  lacks "$err" $'\033'
  lacks "$err" $'\xe2\x80\xae'
  lacks "$err" $'\xff'
  lacks "$err" $'\r'
  contains "$err" 'evil\u001b[31m\u202e\u009b\xff\u000d.yaml'
  tiny "$name.yaml" 2
  run 1 "$BITCYCLE" schedule "$name.yaml"
  contains "$err" "control character"
  name=$'gr\xc3\xbc\xc3\x9f \xe2\x80\xae\xff'
  tiny "$name.yaml" 2
  run 0 "$BITCYCLE" schedule "$name.yaml" --json
  contains "$out" $'gr\xc3\xbc\xc3\x9f \\u202e'
  run 0 "$BITCYCLE" train "$name.yaml" --out "$name" --json
  [ -d "$name" ] || failed "the folder's own name was changed"
}

test_info_is_json() {
  run 0 "$BITCYCLE" info --json --threads 2 --isa portable
  equal "$(json threads)" 2 threads
  equal "$(json kernels)" "cpu portable" kernels
  # Without the CUDA Toolkit null; with it an object, in which gpu is null where there is none.
  case "$(json cuda)" in null) ;; *) contains "$(json cuda)" '"toolkit"' ;; esac
  run 0 "$BITCYCLE" info
  contains "$out" "kernels"
}

test_schedule_gives_dwell_times() {
  tiny config.yaml 2000
  run 0 "$BITCYCLE" schedule config.yaml --set precision.forward.cycles=1
  contains "$out" "2,000 steps"
  contains "$out" "410"
  contains "$out" "329"
  run 0 "$BITCYCLE" schedule config.yaml --set precision.forward.cycles=1 --format csv
  equal "$(sed -n 2p stdout.txt)" "0,410,3,8" "first stretch"
  equal "$(tail -n 1 stdout.txt)" "1591,409,8,8" "last stretch"
  run 0 "$BITCYCLE" schedule config.yaml --set precision.forward.cycles=1 --json
  equal "$(json dwell/1/steps)" 329 "second stretch"
  equal "$(json totals/0/forward_bits)" 3 "first width"
}

test_schedule_draws_a_plot_on_demand() {
  tiny config.yaml 2000
  LC_ALL=C run 0 "$BITCYCLE" schedule config.yaml --plot
  contains "$out" "8 |"
  contains "$out" "####"
}

test_cost_needs_no_training() {
  tiny config.yaml 64000
  run 0 "$BITCYCLE" cost config.yaml --set precision.forward.cycles=32
  contains "$out" "saving 36.6"
  contains "$out" "weight_gradient"
  run 0 "$BITCYCLE" cost config.yaml --layers
  contains "$out" "conv1"
  run 0 "$BITCYCLE" cost config.yaml --format csv
  equal "$(head -n 1 stdout.txt)" \
    "layer,pass,forward_bits,gradient_bits,lhs_bits,rhs_bits,steps,macs,paper_bitops,executed_bitops" header
  run 0 "$BITCYCLE" cost config.yaml --json
  json rows/0/layer >/dev/null
  json saving_percent >/dev/null
}

test_a_reader_that_goes_away_is_no_error() {
  tiny config.yaml 64000
  set -o pipefail
  "$BITCYCLE" schedule config.yaml --format csv --set precision.forward.cycles=3000 2>stderr.txt | head -n 1 >stdout.txt
  equal "$?" 0 "exit code"
  equal "$(cat stderr.txt)" "" "stderr"
}

test_a_full_disk_is_an_error() {
  [ -w /dev/full ] || return 0
  tiny config.yaml 64000
  "$BITCYCLE" schedule config.yaml --format csv >/dev/full 2>stderr.txt
  equal "$?" 1 "exit code"
  err=$(cat stderr.txt)
  is_error
}

test_out_never_replaces_what_is_read() {
  tiny config.yaml
  cp config.yaml before
  run 2 "$BITCYCLE" cost config.yaml --format csv --out config.yaml
  is_error
  contains "$err" "is a file that is read here"
  run 2 "$BITCYCLE" schedule config.yaml --format csv --out ./config.yaml
  contains "$err" "is a file that is read here"
  cmp config.yaml before || failed "config.yaml was overwritten"
  cp -r "$SOURCE/tests/golden/ops/linear_b4_g8" case
  run 2 "$BITCYCLE" replay case --out ./case
  is_error
  contains "$err" "is the case itself"
  run 0 "$BITCYCLE" train config.yaml --out run --quiet
  mkdir mine
  echo mine >mine/README.md
  run 2 "$BITCYCLE" export run --out mine
  is_error
  contains "$err" "holds other files"
  equal "$(cat mine/README.md)" mine "README.md"
}

test_a_path_that_the_system_refuses_is_one_clear_error() {
  tiny config.yaml 2
  local long
  long=$(printf 'n%.0s' {1..300})
  local -a verbs=("cost $long" "data $long" "eval $long" "report $long" "train config.yaml --out $long/run")
  local words
  ln -s round round
  verbs+=("data round" "cost round")
  for words in "${verbs[@]}"; do
    # shellcheck disable=SC2086  # several words
    run 1 "$BITCYCLE" $words
    is_error
    lacks "$err" "filesystem error"
  done
  # A file that may not grow: the system's signal ends nothing, and no part is left.
  # shellcheck disable=SC2016  # the inner shell expands it
  run 1 bash -c 'ulimit -f 20; exec "$0" train config.yaml --out limited' "$BITCYCLE"
  is_error
  contains "$err" "file-size limit"
}

test_what_would_be_ignored_or_mixed_is_refused() {
  tiny config.yaml 2
  printf 'Layer, M, N, K, batch, pass,\nA, 64, 32, 16, 4, error,\nB, 64, 32, 16, 4, forward,\n' >layers.csv
  refused() {  # CODE TEXT ARGUMENTS...
    local code=$1 text=$2
    shift 2
    run "$code" "$BITCYCLE" "$@"
    is_error
    contains "$err" "$text"
  }
  refused 2 "its batch contradicts layers.csv" cost layers.csv --precision static-8,batch=4
  run 0 "$BITCYCLE" cost layers.csv --precision static-8
  contains "$out" "0.2621 million MACs for a step, in all passes of the rows"
  run 0 "$BITCYCLE" schedule layers.csv --precision static-8
  contains "$out" "layers.csv, 2 layers: 0.01678 GBitOPs by the metric 'paper'"
  refused 2 "--set gives 'train.steps' twice" cost config.yaml --set train.steps=4 --set train.steps=5
  refused 2 "--precision 'cyclic_cosine:1-8/8,cycles=2': " cost config.yaml --precision cyclic_cosine:1-8/8,cycles=2
  contains "$err" "a width of 1 bit is impossible"
  refused 2 "the steps of a piecewise schedule are given in a config" cost config.yaml --precision piecewise:3-8
  refused 1 "optimizer.lr is 1e+308" cost config.yaml --set optimizer.lr=1e308
  touch layers.onnx
  refused 2 "SIZE from 1 to 1,000,000,000" cost layers.onnx --dim x=0
  local case=$SOURCE/tests/golden/ops/conv3x3_b3_g8
  mkdir run && cp config.yaml run
  refused 2 "is the folder of a run" replay "$case" --out run
  refused 2 "is a file; name a folder" replay "$case" --out config.yaml
  mkdir other && cp config.yaml other
  refused 2 "are the same folder" verify run ./run
  refused 2 "--against cpu and --device cpu are the same: cpu " verify config.yaml --device cpu --against cpu
  contains "$err" "--against reference is another device"
  refused 2 "are the same: reference" verify config.yaml --device reference --against reference
  refused 2 "--device goes with --bisect or --against" verify run other --device reference
}
