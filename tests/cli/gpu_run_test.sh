# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# The GPU bundle's `run` without a GPU: stages, limits, failures and tables with programs that answer as on a GPU, and
# the real programs with the host layer in the GPU's place.

# A bundle whose programs answer as on a GPU. Files in the folder (no-gpu, other-digest, ...) change the answer.
make_bundle() {
  mkdir -p bundle/bin bundle/peers tools torch-there torch-absent
  cp "$SOURCE/scripts/gpu-run.sh" bundle/run
  cp "$SOURCE/scripts/gpu_report_tables.py" bundle/
  printf 'smoke\tquickstart, 1 step\taa11\tquickstart.yaml --set train.steps=1\n' >bundle/expected.tsv
  printf 'digests\tresnet74, 20 steps\tbb22\tresnet74.yaml --set train.steps=20\n' >>bundle/expected.tsv
  cat >bundle/workloads.sh <<'END'
BATCH=128 PROFILE_STEPS=20 PART_BYTES=4096
SPEED=(resnet74.yaml --set train.steps=300)
SANITIZER_FILTER=all
TRAIN_SET=cifar100
TRAIN_CONFIGS=(resnet38.yaml)
TRAIN_OPTIONS=()
SET_BYTES='cifar100/train.bin=8000 cifar100/test.bin=2000'
END
  echo 0123456 >bundle/commit
  cat >bundle/bin/bench_gpu_limits <<END
#!/bin/sh
[ ! -e "$PWD/no-limits" ] || { echo "bench_gpu_limits: error: out of memory" >&2; exit 1; }
echo '{
  "gpu": "Stub 100", "copy_bytes_per_second": 2e12, "read_bytes_per_second": 2.1e12,
  "l2_read_bytes_per_second": 5e12, "int8_mma_macs_per_second": 4e14, "graph_node_microseconds": 1.25,
  "timed_launch_microseconds": 5
}'
END
  cat >bundle/bin/test_gpu <<END
#!/bin/sh
echo "\$*" >>"$PWD/calls.txt"
[ ! -e "$PWD/tests-hang" ] || sleep 60
[ ! -e "$PWD/tests-die" ] || { echo "[ RUN      ] DeviceStep"; exit 134; }
echo "[       OK ] DeviceStep.One (3 ms)"
[ ! -e "$PWD/tests-fail" ] || echo "[  FAILED  ] DeviceStep.Two (3 ms)"
echo "[==========] 2 tests from 1 test suite ran. (6 ms total)"
[ ! -e "$PWD/tests-fail" ]
END
  cat >bundle/bin/bitcycle <<END
#!/bin/bash
echo "\$*" >>"$PWD/calls.txt"
# The digest that a file of this name changes.
digest() { if [ -e "$PWD/\$1" ]; then printf '{\n  "digest": "ee55"\n}\n'; else printf '{\n  "digest": "%s"\n}\n' "\$2"; fi; }
case "\$*" in
  info*)
    [ ! -e "$PWD/no-gpu" ] || { echo "bitcycle: error: no NVIDIA GPU is at hand" >&2; exit 1; }
    printf '{\n  "kernels": "cuda (Stub 100)",\n  "threads": 1\n}\n' ;;
  verify*) echo "The devices differ from step 0 on, in kernel 7 (convolution backward of conv1.weight): dw."; exit 3 ;;
  *--profile*)
    echo '{"steps": 20, "profile": [
      {"operation": "product", "calls": 1000, "seconds": 0.02, "macs": 4000000000000, "bytes": 8000000000},
      {"operation": "copy", "calls": 1500, "seconds": 0.3, "macs": 0, "bytes": 450000000000},
      {"operation": "short", "calls": 20, "seconds": 0.00011, "macs": 0, "bytes": 20000000}]}' ;;
  *train.steps=20*--cuda-serial*) digest none bb22 ;;
  *train.steps=20*) digest other-digest bb22 ;;
  *train.steps=1\ *) digest none aa11 ;;
  *error_weights=shared*) printf '{\n  "images_per_second": 32000,\n  "device_memory_bytes": 400000000\n}\n' ;;
  *error_weights=requantised*) printf '{\n  "images_per_second": 64000,\n  "device_memory_bytes": 410000000\n}\n' ;;
  *resnet38*) printf '  test accuracy     70.00 %%\n  digest            cc33\n' ;;
  *) printf '{\n  "images_per_second": 16000\n}\n' ;;
esac
END
  # A PyTorch with CUDA, where PYTHONPATH names it, and the peers' program; this machine's own PyTorch must not count.
  printf 'class cuda:\n    is_available = staticmethod(lambda: True)\n' >torch-there/torch.py
  echo 'raise ImportError' >torch-absent/torch.py
  export PYTHONPATH=$PWD/torch-absent PYTHONDONTWRITEBYTECODE=1
  cat >bundle/peers/fake_quant_step.py <<'END'
import json, os, sys
if os.environ.get("PEERS_FAIL"):
    sys.exit("fake_quant_step.py: error: out of memory")
step = 8 if "--channels-last" in sys.argv else 10
if "--against" in sys.argv:
    print(json.dumps({"bitcycle": {"against_fake_quantised": 6.5}}, indent=2))
else:
    print(json.dumps({"torch": "9.9", "depth": 74, "mixed_float16": {"step_ms": step, "memory_bytes": 1000000000}}))
END
  printf '#!/bin/sh\n[ ! -e "%s/races" ] || { echo "ERROR SUMMARY: 1 error"; exit 9; }\n' "$PWD" >tools/compute-sanitizer
  chmod +x tools/* bundle/bin/* bundle/run
  export PATH=$PWD/tools:$PATH TMPDIR=$PWD
}
# The report, in $report, of stages; `run` must end with this exit code.
report() {
  local code=$1
  shift
  run "$code" bundle/run --report report.md "$@"
  report=$(cat report.md 2>/dev/null)
}

test_all_stages_pass_and_the_table_says_so() {
  make_bundle
  PYTHONPATH=$PWD/torch-there report 0 smoke digests tests limits speed peers sanitizer
  for stage in smoke digests tests limits speed peers sanitizer; do
    grep -Eq "^$stage +passed " <<<"$out" || failed "$stage did not pass"
    [ -s "bundle/results/$stage.log" ] || failed "no log of $stage"
  done
  contains "$out" "1 of 1 digests equal"
  contains "$out" "passed, 0 failed, 0 skipped"
  contains "$out" "Stub 100: copies at 2e12 bytes/s"
  contains "$out" "step-shared: 4.000 ms a step, 32000 images/s, 400 MB"
  contains "$out" "in turns: 6.5 times fake quantisation"
  contains "$out" "What to do next: keep "
  lacks "$out" "FAILED"
}

test_the_report_has_limits_steps_kernels_and_peers() {
  make_bundle
  PYTHONPATH=$PWD/torch-there report 0 smoke digests limits speed peers
  contains "$report" "# bitcycle on cuda (Stub 100)"
  contains "$report" "| memory, copy (read + write) | 2,000 GB/s |"
  contains "$report" "| int8 mma.m16n8k32 | 400.0 TMAC/s |"
  # 128 images at 32,000 a second.
  contains "$report" '| `shared` | 4.000 | 32,000 | 400 |'
  contains "$report" '| `requantised` | 2.000 | 64,000 | 410 |'
  # Memory is the limit: 0.225 s of 0.3 s, or of 0.3 s less 1,500 launches of 5 us.
  contains "$report" "| copy | 75.0 | 200.00 | 15.000 | 1,500 | 75.0 % | 76.9 % |"
  # Products are: 0.01 s of 0.02 s, or of 0.015 s.
  contains "$report" "| product | 50.0 | 20.00 | 1.000 | 400 | 50.0 % | 66.7 % |"
  # A kernel that is mostly its launch.
  contains "$report" "| short | 1.0 | 5.50 | 0.005 | 182 | 9.1 % | - |"
  contains "$report" "| **all** | 126.0 | 127.03 | 16.006 | 1,431 | 73.4 % | 76.4 % |"
  contains "$report" "The roof of the whole step is 11.751 ms, 293.8 % of the graph's"
  contains "$report" "4.000 ms; as many empty nodes in a row take 0.158 ms."
  contains "$report" "| PyTorch 9.9, mixed_float16 | contiguous | 10.000 | 1,000 | 2.50 | 5.00 | 2.50 |"
  contains "$report" "| PyTorch 9.9, mixed_float16 | channels-last | 8.000 | 1,000 | 2.00 | 4.00 | 2.50 |"
  contains "$report" "## Log of digests"
  local calls
  calls=$(cat calls.txt)
  contains "$calls" "precision.error_weights=shared --profile 20 --device cuda"
  contains "$calls" "--cuda-graph off"
  contains "$calls" "--cuda-carveout off"
  contains "$calls" "--cuda-serial"
}

test_a_different_digest_is_explained_and_the_rest_goes_on() {
  make_bundle
  touch other-digest
  run 1 bundle/run digests tests
  contains "$out" "resnet74, 20 steps: DIFFERENT: ee55, expected bb22"
  contains "$out" "--cuda-serial: bb22, as expected: the graph or its branches are wrong"
  contains "$out" "kernel 7 (convolution backward of conv1.weight): dw"
  contains "$out" "0 of 1 digests equal"
  grep -Eq "^digests +FAILED " <<<"$out" || failed "digests did not fail"
  grep -Eq "^tests +passed " <<<"$out" || failed "tests did not run"
  contains "$out" "'run kernel NAME' checks its kernel by itself"
}

test_a_stage_that_hangs_is_ended_at_its_limit() {
  make_bundle
  touch tests-hang
  run 1 bundle/run --limit tests=1 tests limits
  grep -Eq "^tests +timed out " <<<"$out" || failed "tests did not time out"
  grep -Eq "^limits +passed " <<<"$out" || failed "limits did not run"
}

test_failing_and_dying_tests_are_seen() {
  make_bundle
  touch tests-fail
  run 1 bundle/run tests
  contains "$out" "DeviceStep.Two"
  grep -Eq " [1-9][0-9]* failed, " <<<"$out" || failed "no failure was counted"
  rm tests-fail
  touch tests-die
  run 1 bundle/run tests
  contains "$out" "ended early"
}

test_what_cannot_be_measured_fails_and_leaves_the_rest() {
  make_bundle
  touch no-limits
  PEERS_FAIL=1 PYTHONPATH=$PWD/torch-there report 1 limits speed peers
  contains "$out" "bench_gpu_limits: error: out of memory"
  contains "$out" "fake_quant_step.py: error: out of memory"
  contains "$out" "limits.json cannot be read"
  contains "$report" '| `shared` | 4.000 |'
}

test_without_a_gpu_the_smoke_says_so() {
  make_bundle
  touch no-gpu
  run 1 bundle/run smoke
  contains "$out" "no NVIDIA GPU is at hand"
  contains "$out" "the device cannot be used"
}

test_what_is_not_there_is_skipped_with_the_reason() {
  make_bundle
  run 0 bundle/run peers train
  contains "$out" "skipped: python3 has no PyTorch that finds the GPU"
  contains "$out" "skipped: no data: 'run put PART' for each part of cifar100 first"
}

test_races_fail_the_sanitizer() {
  make_bundle
  touch races
  run 1 bundle/run sanitizer
  contains "$out" "sanitizer.log names kernel and thread"
}

test_without_python_the_report_says_so_and_has_the_numbers() {
  make_bundle
  printf '#!/bin/sh\nexit 127\n' >tools/python3
  chmod +x tools/python3
  report 0 speed
  contains "$report" "The tables need python3"
  contains "$report" '"operation": "product"'
  contains "$report" '"images_per_second": 64000'
}

test_a_data_set_arrives_in_parts_and_is_checked() {
  make_bundle
  mkdir set
  head -c 8000 /dev/urandom >set/train.bin
  head -c 2000 /dev/urandom >set/test.bin
  run 0 bundle/run parts cifar100 set sent
  contains "$out" "3 parts of cifar100"
  run 0 bundle/run put sent/cifar100.part1of3
  contains "$out" "part 2 of 3 is still missing"
  run 0 bundle/run put sent/cifar100.part3of3
  run 0 bundle/run put sent/cifar100.part2of3
  contains "$out" "cifar100 is whole"
  cmp set/train.bin bitcycle-data/cifar100/train.bin || failed "train.bin differs"
  # Another set, and half a set: sums that are right do not make it whole.
  run 2 bundle/run parts cifar1000 set sent
  contains "$err" "'cifar1000' is no set"
  mkdir half && cp set/test.bin half && head -c 4000 set/train.bin >half/train.bin
  run 1 bundle/run parts cifar100 half sent
  contains "$err" "half/train.bin has 4000 bytes, and cifar100's has 8000"
  rm half/train.bin
  run 1 bundle/run parts cifar100 half sent
  contains "$err" "cifar100 has a file train.bin, and half has not"
  sed -i 's/train.bin=8000/train.bin=8001/' bundle/workloads.sh
  for i in 1 2; do run 0 bundle/run put "sent/cifar100.part${i}of3"; done
  run 1 bundle/run put sent/cifar100.part3of3
  contains "$err" "cifar100/train.bin has 8000 bytes, and cifar100's has 8001"
  [ ! -e bitcycle-data/cifar100.ok ] || failed "half a set was taken for whole"
  sed -i 's/train.bin=8001/train.bin=8000/' bundle/workloads.sh
  rm bitcycle-data/cifar100.part*
  # A part that was damaged on its way.
  printf 'x' | dd of=sent/cifar100.part2of3 bs=1 seek=100 conv=notrunc status=none
  for i in 1 3; do run 0 bundle/run put "sent/cifar100.part${i}of3"; done
  run 1 bundle/run put sent/cifar100.part2of3
  contains "$err" "put the"
  # That part alone is made and sent again; training finds the set.
  run 0 bundle/run parts cifar100 set sent
  run 0 bundle/run put sent/cifar100.part2of3
  contains "$out" "cifar100 is whole"
  run 0 bundle/run train
  contains "$out" "test accuracy 70.00 %; digest cc33;"
}

test_wrong_words_are_refused_by_name() {
  make_bundle
  run 2 bundle/run bogus
  contains "$err" "'bogus' is no stage"
  run 2 bundle/run --device toaster
  contains "$err" "cuda, cuda-on-host or cpu"
  run 2 bundle/run --limit smoke=soon
  contains "$err" "STAGE=SECONDS"
  run 2 bundle/run put set/train.bin extra more
  run 0 bundle/run kernel sgd
  grep -qx -- "--kernel sgd" calls.txt || failed "'kernel' does not pass its name on alone"
  run 1 bundle/run put nothing.part1of2
  contains "$err" "there is no file"
}

# The real programs, with the host layer in the GPU's place: the stages' own calls are those that the programs take.
test_the_real_programs_answer_what_the_stages_ask() {
  "$BITCYCLE" info --device cuda-on-host >/dev/null 2>&1 || return 0  # a build without the host layer says why
  make_bundle
  ln -sf "$BITCYCLE" bundle/bin/bitcycle
  tiny bundle/tiny.yaml 2
  sed -i 's/test_images: 32/test_images: 4/; s/batch: 8/batch: 2/' bundle/tiny.yaml
  run 0 "$BITCYCLE" train bundle/tiny.yaml --quiet --json --out here
  local digest
  digest=$(json digest)
  printf 'smoke\ttiny\t%s\ttiny.yaml\ndigests\tother\tdd44\ttiny.yaml\n' "$digest" >bundle/expected.tsv
  sed -i 's/^SPEED=.*/SPEED=(tiny.yaml --set train.steps=2)/; s/PROFILE_STEPS=20/PROFILE_STEPS=1/' bundle/workloads.sh
  run 1 bundle/run --device cuda-on-host smoke digests speed
  contains "$out" "tiny: equal, $digest"
  contains "$out" "other: DIFFERENT: $digest, expected dd44"
  contains "$out" "gave the same bits in all"
  grep -Eq "^speed +passed " <<<"$out" || failed "speed did not pass"
  contains "$(cat bundle/results/profile-shared.json)" '"convolution forward"'
}
