# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# ./run-tests --gpu --report FILE without a GPU: programs that print recorded JSON stand in for those that need one.
# What is tested is the report itself: its tables' arithmetic, and that whatever is wrong makes it fail.

# A project whose bitcycle answers as on a GPU. Files in the folder (no-gpu, other-digest, ...) change the answer.
make_project() {
  mkdir -p project/scripts project/configs/experiments/cifar100 project/bench/peers project/build/cli \
    project/build/bench tools torch-there torch-absent
  cp "$SOURCE/run-tests" project/
  cp "$SOURCE/scripts/setup.sh" "$SOURCE/scripts/gpu-report.sh" "$SOURCE/scripts/gpu_report_tables.py" project/scripts/
  echo '[{"config": "quickstart.yaml", "set": [], "digest": "aa11"}]' >project/configs/expected_digests.json
  printf '#!/bin/sh\nexit 0\n' >tools/cmake
  printf '#!/bin/sh\nshift 2\nprintf "ii %%s\\n" "$@"\n' >tools/dpkg-query
  printf '#!/bin/sh\necho "100%% tests passed"\n[ ! -e "%s/test-fails" ]\n' "$PWD" >tools/ctest
  cat >project/build/bench/bench_gpu_limits <<END
#!/bin/sh
[ ! -e "$PWD/no-limits" ] || { echo "bench_gpu_limits: error: out of memory" >&2; exit 1; }
echo '{"gpu": "Stub 100", "copy_bytes_per_second": 2e12, "read_bytes_per_second": 2.1e12,
  "l2_read_bytes_per_second": 5e12, "int8_mma_macs_per_second": 4e14, "graph_node_microseconds": 1.25,
  "timed_launch_microseconds": 5}'
END
  cat >project/build/cli/bitcycle <<END
#!/bin/bash
echo "\$*" >>"$PWD/calls.txt"
# The digest that a file of this name changes.
digest() { if [ -e "$PWD/\$1" ]; then printf '{\n  "digest": "ee55"\n}\n'; else printf '{\n  "digest": "%s"\n}\n' "\$2"; fi; }
case "\$*" in
  "info --json") echo '{"cuda": {"toolkit": "13.0"}}' ;;
  "info --device cuda"*)
    [ ! -e "$PWD/no-gpu" ] || { echo "bitcycle: error: no NVIDIA GPU is at hand" >&2; exit 1; }
    printf '{\n  "kernels": "cuda (Stub 100)",\n  "threads": 1\n}\n' ;;
  info*) echo "bitcycle 0.1.0" ;;
  *--profile*)
    echo '{"steps": 20, "profile": [
      {"operation": "product", "calls": 1000, "seconds": 0.02, "macs": 4000000000000, "bytes": 8000000000},
      {"operation": "copy", "calls": 1500, "seconds": 0.3, "macs": 0, "bytes": 450000000000},
      {"operation": "short", "calls": 20, "seconds": 0.00011, "macs": 0, "bytes": 20000000}]}' ;;
  *train.steps=20*"--device cpu"*) digest none bb22 ;;
  *train.steps=20*) digest other-digest bb22 ;;
  *quickstart.yaml*) digest other-quickstart aa11 ;;
  *error_weights=shared*) echo '{"images_per_second": 32000, "device_memory_bytes": 400000000}' ;;
  *error_weights=requantised*) echo '{"images_per_second": 64000, "device_memory_bytes": 410000000}' ;;
esac
END
  # A PyTorch with CUDA, where PYTHONPATH names it, and the peers' program; this machine's own PyTorch must not count.
  printf 'class cuda:\n    is_available = staticmethod(lambda: True)\n' >torch-there/torch.py
  echo 'raise ImportError' >torch-absent/torch.py
  export PYTHONPATH=$PWD/torch-absent PYTHONDONTWRITEBYTECODE=1
  cat >project/bench/peers/fake_quant_step.py <<'END'
import json, os, sys
if os.environ.get("PEERS_FAIL"):
    sys.exit("fake_quant_step.py: error: out of memory")
step = 8 if "--channels-last" in sys.argv else 10
print(json.dumps({"torch": "9.9", "depth": 74, "mixed_float16": {"step_ms": step, "memory_bytes": 1000000000}}))
END
  chmod +x tools/* project/build/*/*
  export PATH=$PWD/tools:$PATH
  unset BITCYCLE_BUILD_DIR BITCYCLE_INSTALL
}
# The report, in $report; run-tests must end with this exit code.
report() {
  run "$1" project/run-tests --gpu --report report.md
  report=$(cat report.md 2>/dev/null)
  out=$report
}

test_the_report_has_digests_limits_steps_and_kernels() {
  make_project
  report 0
  contains "$report" "# bitcycle on cuda (Stub 100)"
  contains "$report" "100% tests passed"
  contains "$report" '| quickstart | cuda | `aa11` |'
  contains "$report" '| quickstart | expected | `aa11` |'
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
  contains "$report" "4.000 ms; as many empty nodes in one chain take 0.158 ms."
  contains "$report" "PyTorch was left out"
  lacks "$report" "## Errors"
}

test_the_runs_are_those_of_the_report() {
  make_project
  report 0
  local calls
  calls=$(cat calls.txt)
  contains "$calls" "precision.error_weights=shared --device cuda --profile 20"
  contains "$calls" "precision.error_weights=requantised --device cuda --profile 20"
  contains "$calls" "train.steps=20 --device cpu"
  contains "$calls" "resnet74-cpt-3-8.yaml --set data.name=synthetic --set model.classes=10 --set train.batch=128"
}

test_pytorch_stands_beside_where_it_has_cuda() {
  make_project
  PYTHONPATH=$PWD/torch-there report 0
  contains "$report" "| PyTorch 9.9, mixed_float16 | contiguous | 10.000 | 1,000 | 2.50 | 5.00 | 2.50 |"
  contains "$report" "| PyTorch 9.9, mixed_float16 | channels-last | 8.000 | 1,000 | 2.00 | 4.00 | 2.50 |"
  contains "$report" '| bitcycle, CPT 3-8/8, `shared` |  | 4.000 | 400 |'
  lacks "$report" "left out"
}

test_a_peer_that_fails_is_an_error_of_the_report() {
  make_project
  PEERS_FAIL=1 PYTHONPATH=$PWD/torch-there report 1
  contains "$report" "peers-contiguous ended with an error"
  contains "$report" "out of memory"
  contains "$report" '| `shared` | 4.000 |'
}

test_other_digests_fail_the_report() {
  make_project
  touch other-digest
  report 1
  contains "$report" "resnet74, 20 steps: the digests differ"
  contains "$err" "something in it differs"
  rm other-digest
  touch other-quickstart
  report 1
  contains "$report" "quickstart: the digests differ"
}

test_failing_tests_fail_the_report() {
  make_project
  touch test-fails
  report 1
  contains "$err" "something in it differs"
}

test_limits_that_cannot_be_measured_fail_the_report_and_leave_the_rest() {
  make_project
  touch no-limits
  report 1
  contains "$report" "limits ended with an error"
  contains "$report" "bench_gpu_limits: error: out of memory"
  contains "$report" "limits.json cannot be read"
  contains "$report" '| `shared` | 4.000 |'
}

test_without_a_gpu_there_is_no_report() {
  make_project
  touch no-gpu
  report 1
  contains "$err" "no NVIDIA GPU is at hand"
  contains "$err" "there is nothing to report"
  [ ! -e report.md ] || failed "a report was written"
}

test_without_python_the_report_says_so_and_has_the_numbers() {
  make_project
  printf '#!/bin/sh\nexit 127\n' >tools/python3
  chmod +x tools/python3
  report 0
  contains "$report" "The tables need python3"
  contains "$report" '"operation": "product"'
  contains "$report" '"images_per_second": 64000'
  contains "$report" "PyTorch was left out"
}
