#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pillow's images a second, for the same operations as bench/jpeg_pipeline.cpp: decode to RGB, cut a random box of
8 to 100 % of the area and of ratio 3/4 to 4/3, scale it to 224 x 224 bilinearly, flip at random, give the bytes. That
is what PyTorch's own loader does to an image before it becomes a tensor. Needs the PyPI package Pillow, or Debian's
python3-pil.

  jpeg_pipeline.py --make FOLDER           writes an image folder of 500 x 375 JPEG files (quality 90, 4:2:0)
  jpeg_pipeline.py FOLDER --workers 2      times the files of FOLDER/train in so many processes
"""
import argparse
import glob
import json
import math
import multiprocessing
import os
import random
import time

from PIL import Image, ImageFilter, __version__, features


def make(folder, count):
    for i in range(count + 8):
        rng = random.Random(i)
        noise = Image.frombytes("RGB", (63, 47), rng.randbytes(63 * 47 * 3)).resize((500, 375), Image.BICUBIC)
        grain = Image.frombytes("RGB", (500, 375), rng.randbytes(500 * 375 * 3)).filter(ImageFilter.GaussianBlur(1))
        picture = Image.blend(noise, grain, 0.35)
        part = os.path.join(folder, "train" if i < count else "val", "ab"[i % 2])
        os.makedirs(part, exist_ok=True)
        picture.save(os.path.join(part, f"{i:04d}.jpg"), quality=90)


def box_of(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    return 0, 0, width, height


def image_of(path):
    with open(path, "rb") as file:
        picture = Image.open(file).convert("RGB")
    left, top, w, h = box_of(*picture.size)
    picture = picture.crop((left, top, left + w, top + h)).resize((224, 224), Image.BILINEAR)
    if random.random() < 0.5:
        picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
    return len(picture.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--count", type=int, default=128, help="files that --make writes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    if options.make:
        make(options.folder, options.count)
        return
    paths = sorted(glob.glob(os.path.join(options.folder, "train", "*", "*.jp*g")))
    with multiprocessing.Pool(options.workers) as pool:
        pool.map(image_of, paths[: 2 * options.workers])
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < options.seconds:
            done += len(pool.map(image_of, paths, chunksize=8))
        rate = done / (time.perf_counter() - begun)
    print(json.dumps({"pillow": __version__, "libjpeg_turbo": features.version("libjpeg_turbo"),
                      "workers": options.workers, "files": len(paths), "images_per_second": round(rate, 1),
                      "per_worker": round(rate / options.workers, 1)}))


if __name__ == "__main__":
    main()
