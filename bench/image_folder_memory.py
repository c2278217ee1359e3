#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory of a training over image folders of 1,000 and of 100,000 files: only the list of files may grow. The files are
hard links of a few small JPEG files, so that the folders cost no space. Prints one JSON object; exit code 1 where a file
more costs more than --most bytes.

  image_folder_memory.py build/cli/bitcycle
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

CLASSES = 100
CONFIG = """model: {{name: resnet8, classes: {classes}}}
data: {{name: imagefolder, path: {folder}, image_size: 32, resize: 40, test_images: 64}}
train: {{steps: 6, batch: 32, evaluate_every: 6}}
precision: {{forward: {{schedule: constant, max: 8}}}}
learning_rate: {{schedule: constant}}
"""


def make(folder, count, sources):
    for part, images in (("train", count // CLASSES), ("val", 1)):
        for label in range(CLASSES):
            path = os.path.join(folder, part, f"n{label:08d}")
            os.makedirs(path)
            for i in range(images):
                os.link(sources[i % len(sources)], os.path.join(path, f"n{label:08d}_{i:05d}.JPEG"))


def measure(program, folder, count, sources):
    made = os.path.join(folder, str(count))
    make(made, count, sources)
    config = os.path.join(folder, f"{count}.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(classes=CLASSES, folder=made))
    begun = time.perf_counter()
    process = subprocess.Popen([program, "train", config, "--out", os.path.join(folder, f"run{count}"), "--quiet"],
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"training over {count} files failed")
    return {"files": count, "peak_mib": round(usage.ru_maxrss / 1024, 1), "seconds": round(time.perf_counter() - begun, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--files", type=int, default=100000)
    parser.add_argument("--most", type=float, default=250.0, help="bytes of memory a file")
    options = parser.parse_args()
    images = os.path.join(os.path.dirname(__file__), "../tests/golden/images/imagenet_sample/*.jpg")
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for number, path in enumerate(sorted(glob.glob(images))):
            sources.append(os.path.join(folder, f"{number}.jpg"))
            with open(path, "rb") as source, open(sources[-1], "wb") as copy:
                copy.write(source.read())
        small = measure(options.program, folder, 1000, sources)
        large = measure(options.program, folder, options.files, sources)
    per_file = (large["peak_mib"] - small["peak_mib"]) * 1048576 / (options.files - 1000)
    print(json.dumps({"small": small, "large": large, "bytes_per_file": round(per_file, 1)}))
    sys.exit(1 if per_file > options.most else 0)


if __name__ == "__main__":
    main()
