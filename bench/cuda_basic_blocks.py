#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Basic blocks of a CUDA kernel's machine code with their instructions by pipe, to read off what a loop costs to issue.

A block's line: first line of the listing, instructions, how many by pipe, the ones that tell where in the source it is,
and the branch that ends it. How often each runs has to be read from the source; bench/results/cuda-static.md says
what came of it. Pipes of a quarter of an H100's multiprocessor, lanes a cycle (CUDA C++ Programming Guide, throughput of
arithmetic instructions; a quarter issues one warp instruction, 32 lanes, a cycle):
  alu   16  integer add, compare, logic, shift, byte permutation, minimum, dot product of bytes
  fma   32  float32, of which 16 take integer multiplications
  fp64  16
  xu     4  conversions to and from 64-bit types, rounding, special functions
  lsu    8  memory, shared memory, shuffles
  mma       tensor cores
  uni       the uniform datapath, which shares the issue slot
  ctl       branches, barriers

Usage: python3 bench/cuda_basic_blocks.py REGEX [sm_90a]   (from the project's root; nvcc and nvdisasm on the PATH)
  REGEX matches a demangled kernel, for example 'WeightGradientProductKernel<1, 1, 1>'.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PIPES = {
    "alu": "IADD3 LOP3 SHF PRMT ISETP SEL PLOP3 LEA VIMNMX IMNMX FSETP FMNMX FSEL IABS IDP VIADD VIADDMNMX POPC P2R R2P "
           "SGXT BMSK MOV VOTE LOP",
    "fma": "IMAD FFMA FMUL FADD",
    "fp64": "DADD DFMA DMUL DSETP",
    "xu": "F2F I2F F2I FRND MUFU FLO FCHK",
    "lsu": "LDSM LDS STS LDG STG LDGSTS ATOMS RED REDG ATOM ATOMG LDC LDL STL SHFL LD ST",
    "mma": "IMMA",
    "ctl": "BRA BSSY BSYNC BAR WARPSYNC EXIT CALL RET NOP LDGDEPBAR DEPBAR BREAK YIELD ERRBAR MEMBAR",
}
PIPE_OF = {op: pipe for pipe, ops in PIPES.items() for op in ops.split()}
MARKS = "LDSM IMMA LDGSTS LDG STG LDS STS ATOMS REDG RED BAR DFMA SHFL".split()


def pipe_of(op):
    base = op.split(".")[0]
    if base in PIPE_OF:
        return PIPE_OF[base]
    return "uni" if base.startswith("U") or base in ("R2UR", "S2UR", "S2R", "CS2R") else "other"


def disassemble(target):
    for tool in ("nvcc", "nvdisasm"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not on the PATH; both are parts of the CUDA Toolkit")
    listings = []
    for source in sorted((ROOT / "cuda/kernels").glob("*.cu")) + sorted((ROOT / "cuda/products").glob("*.cu")):
        with tempfile.TemporaryDirectory() as folder:
            cubin = f"{folder}/k.cubin"
            subprocess.run(["nvcc", "-std=c++20", "-O3", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true",
                            "--expt-relaxed-constexpr", f"-I{ROOT}", "-cubin",
                            f"-gencode=arch={target.replace('sm', 'compute')},code={target}", str(source), "-o", cubin],
                           check=True)
            listings.append(subprocess.run(["nvdisasm", "-c", cubin], check=True, capture_output=True, text=True).stdout)
    return "\n".join(listings)


def print_blocks(listing):
    name, first, ops = "entry", 1, []

    def flush(end):
        nonlocal ops
        if ops:
            pipes = collections.Counter(pipe_of(op) for op in ops)
            marks = collections.Counter(op.split(".")[0] for op in ops if op.split(".")[0] in MARKS)
            text = " ".join(f"{pipe} {count}" for pipe, count in sorted(pipes.items()))
            shown = " ".join(f"{count} {op}" for op, count in marks.items())
            print(f"{first:5d} {name:12s} {len(ops):4d}  {text:52s} {shown:28s} {end}".rstrip())
        ops = []

    for number, line in enumerate(listing.split("\n"), 1):
        if line.startswith(".L"):
            flush("")
            name, first = line.strip(": "), number
            continue
        found = re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(@!?U?P\d+ )?\s*([A-Z0-9_.]+)(.*?);", line)
        if not found:
            continue
        ops.append(found.group(2))
        if found.group(2).split(".")[0] in ("BRA", "EXIT", "RET", "CALL"):
            flush(f"{found.group(1) or ''}{found.group(2)} {found.group(3).strip()[:24]}")
            name, first = "  ..", number + 1
    flush("")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    found = False
    for part in re.split(r"\n\.text\.", disassemble(sys.argv[2] if len(sys.argv) == 3 else "sm_90a"))[1:]:
        mangled, listing = part.split(":", 1)
        name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
        if re.search(sys.argv[1], name):
            found = True
            print(name)
            print_blocks(listing)
    if not found:
        sys.exit(f"no kernel matches '{sys.argv[1]}'")


if __name__ == "__main__":
    main()
