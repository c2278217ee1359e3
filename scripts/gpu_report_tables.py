#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of ./run-tests --gpu --report, from the JSON that its runs left in FOLDER.

  limits.json                            bench_gpu_limits
  step-WEIGHTS.json, profile-WEIGHTS.json  bitcycle train --json, as one graph and with --profile; WEIGHTS of the error
                                         pass: shared, requantised
  peers-LAYOUT.json                      bench/peers/fake_quant_step.py --device cuda; absent where PyTorch is

Usage: gpu_report_tables.py FOLDER BATCH   (Markdown on stdout; exit code 1 where something cannot be read)
"""
import json
import pathlib
import sys

ERROR_WEIGHTS = ("shared", "requantised")
LAYOUTS = ("contiguous", "channels-last")
LIMITS = ("copy_bytes_per_second", "read_bytes_per_second", "l2_read_bytes_per_second", "int8_mma_macs_per_second",
          "graph_node_microseconds", "timed_launch_microseconds")


class Unreadable(Exception):
    pass


def read(folder, name, needed):
    try:
        value = json.loads((folder / name).read_text())
        for key in needed:
            value[key]
        return value
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise Unreadable(f"{name} cannot be read ({reason}): the run that writes it has failed, or is of another version")


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole > 0 else "-"


def limits_section(folder, _):
    print("## Limits of this GPU, measured\n")
    limits = read(folder, "limits.json", LIMITS)
    table(
        ("limit", "value"),
        (
            ("memory, copy (read + write)", f"{limits['copy_bytes_per_second'] / 1e9:,.0f} GB/s"),
            ("memory, read", f"{limits['read_bytes_per_second'] / 1e9:,.0f} GB/s"),
            ("L2 cache, read", f"{limits['l2_read_bytes_per_second'] / 1e9:,.0f} GB/s"),
            ("int8 mma.m16n8k32", f"{limits['int8_mma_macs_per_second'] / 1e12:,.1f} TMAC/s"),
            ("node of a graph, empty kernel", f"{limits['graph_node_microseconds']:.2f} us"),
            ("one timed launch, empty kernel", f"{limits['timed_launch_microseconds']:.2f} us"),
        ),
    )


def step_milliseconds(folder, weights, batch):
    run = read(folder, f"step-{weights}.json", ("images_per_second",))
    if not run["images_per_second"] > 0:
        raise Unreadable(f"step-{weights}.json has no speed: the run was too short")
    return 1e3 * batch / run["images_per_second"], run.get("device_memory_bytes")


def megabytes(size):
    return "-" if size is None else f"{size / 1e6:,.0f}"


def steps_section(folder, batch):
    print(f"## Time and memory of a step\n\nresnet74, CPT 3-8/8, batch {batch}, each step one CUDA graph; median step.\n")
    rows = []
    for weights in ERROR_WEIGHTS:
        milliseconds, memory = step_milliseconds(folder, weights, batch)
        rows.append((f"`{weights}`", f"{milliseconds:.3f}", f"{1e3 * batch / milliseconds:,.0f}", megabytes(memory)))
    table(("error pass", "ms a step", "images/s", "device memory, MB"), rows)


def kernel_row(name, calls, seconds, least, sizes, steps, launch):
    # Less what the events themselves take; too little is left of the shortest kernels to say anything.
    net = seconds - calls * launch
    return (
        name,
        f"{calls / steps:.1f}",
        f"{1e6 * seconds / calls:.2f}" if calls else "-",
        f"{1e3 * seconds / steps:.3f}",
        f"{sizes / seconds / 1e9:,.0f}" if sizes and seconds > 0 else "-",
        percent(least, seconds) if least else "-",
        percent(least, net) if least and net > 0.2 * seconds else "-",
    )


def kernels_section(weights):
    def section(folder, batch):
        print(f"## Kernels, error pass `{weights}`\n")
        limits = read(folder, "limits.json", LIMITS)
        profile = read(folder, f"profile-{weights}.json", ("profile", "steps"))
        steps, launch = max(1, profile["steps"]), 1e-6 * limits["timed_launch_microseconds"]
        print(f"{steps} steps, each kernel timed by itself. Roof: the longer of bytes over the copy's bandwidth and")
        print("multiply-accumulates over the mma rate; its share of the time. Above 100 %: operands came from the L2 cache.\n")
        rows, total = [], [0, 0.0, 0.0, 0]
        for entry in sorted(profile["profile"], key=lambda entry: -entry["seconds"]):
            calls, seconds, sizes = entry["calls"], entry["seconds"], entry.get("bytes", 0)
            least = max(sizes / limits["copy_bytes_per_second"], entry["macs"] / limits["int8_mma_macs_per_second"])
            rows.append(kernel_row(entry["operation"], calls, seconds, least, sizes, steps, launch))
            total = [sum(pair) for pair in zip(total, (calls, seconds, least, sizes))]
        rows.append(kernel_row("**all**", *total, steps, launch))
        table(("kernel", "calls a step", "us a call", "ms a step", "GB/s", "of the roof", "less the launch"), rows)
        calls, _, least, _ = total
        graph = step_milliseconds(folder, weights, batch)[0]
        nodes = 1e-3 * calls / steps * limits["graph_node_microseconds"]
        print(f"The roof of the whole step is {1e3 * least / steps:.3f} ms, {percent(1e3 * least / steps, graph)} of the graph's")
        print(f"{graph:.3f} ms; as many empty nodes in a row take {nodes:.3f} ms.\n")

    return section


def peers_section(folder, batch):
    print("## Beside PyTorch\n")
    found = [layout for layout in LAYOUTS if (folder / f"peers-{layout}.json").exists()]
    if not found:
        return
    ours = {weights: step_milliseconds(folder, weights, batch) for weights in ERROR_WEIGHTS}
    memory = ours["shared"][1]
    rows = [(f"bitcycle, CPT 3-8/8, `{r}`", "", f"{ms:.3f}", megabytes(size), "", "", "") for r, (ms, size) in ours.items()]
    for layout in found:
        peers = read(folder, f"peers-{layout}.json", ("torch",))
        for name, peer in peers.items():
            if not isinstance(peer, dict):
                continue
            speeds = (f"{peer['step_ms'] / ours[weights][0]:.2f}" for weights in ERROR_WEIGHTS)
            size = peer.get("memory_bytes")
            ratio = f"{size / memory:.2f}" if size and memory else "-"
            rows.append((f"PyTorch {peers['torch']}, {name}", layout, f"{peer['step_ms']:.3f}", megabytes(size), *speeds, ratio))
    head = ("step", "layout", "ms a step", "memory, MB", "times `shared`'s time", "times `requantised`'s time",
            "times bitcycle's memory")
    table(head, rows)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, batch = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    status = 0
    for section in (limits_section, steps_section, *map(kernels_section, ERROR_WEIGHTS), peers_section):
        try:
            section(folder, batch)
        except Unreadable as error:
            print(f"{error}\n")
            print(f"gpu_report_tables.py: error: {error}", file=sys.stderr)
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
