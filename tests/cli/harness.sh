# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# harness.sh SCRIPT FUNCTION: runs one test function in an empty folder that goes away afterwards. The functions here
# run the program and compare; the first thing that does not hold ends the test with what was seen.
set -u

# run CODE COMMAND...: the command must end with this exit code; its output is in $out and $err.
run() {
  local expected=$1 code
  shift
  "$@" >stdout.txt 2>stderr.txt </dev/null
  code=$?
  out=$(cat stdout.txt)
  err=$(cat stderr.txt)
  last_command="$*"
  [ "$code" = "$expected" ] || failed "exit code is $code, expected $expected"
}
failed() {
  printf 'FAILED: %s\n  command: %s\n  stdout:\n%s\n  stderr:\n%s\n' "$1" "${last_command:-}" "${out:-}" "${err:-}" >&2
  exit 1
}
contains() { case "$1" in *"$2"*) ;; *) failed "expected to see: $2" ;; esac; }
lacks() { case "$1" in *"$2"*) failed "expected not to see: $2" ;; esac; }
equal() { [ "$1" = "$2" ] || failed "$3: '$1' and '$2' should be equal"; }
# Every error is one message with the program's name, and never a crash.
is_error() {
  contains "$err" "bitcycle: error: "
  lacks "$err" "terminate called"
  equal "$(printf '%s\n' "$err" | grep -c '^bitcycle: error: ')" 1 "error messages"
}
json() { "$JSON_GET" "$@" <stdout.txt || failed "stdout is not the JSON that was expected (${1:-})"; }

# A network that trains in a second: tiny CONFIG [STEPS].
tiny() {
  cat >"$1" <<END
model: {name: resnet8, classes: 10}
data: {name: synthetic, train_images: 64, test_images: 32}
train: {steps: ${2:-8}, batch: 8, seed: 3, evaluate_every: 4, checkpoint_every: 2, log_every: 1}
precision:
  forward: {schedule: cyclic_cosine, min: 3, max: 8, cycles: 2}
  gradient: {schedule: constant, max: 8}
digest: {every: 1}
END
}

# One layer in the format of SCALE-Sim.
topology() {
  printf 'Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n'
  printf 'Conv1, 224, 224, 7, 7, 3, 64, 2,\n'
}

script=$1
function=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/bitcycle cli.XXXXXX")
trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
# shellcheck source=/dev/null
. "$script"
declare -F "$function" >/dev/null || { echo "no function $function in $script" >&2; exit 1; }
"$function"
