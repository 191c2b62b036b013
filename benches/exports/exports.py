#!/usr/bin/env python3
"""Run the exported detector in the runtimes that people use, and compare with what the program itself says.

    python exports.py --ours PROGRAM [--model FILE] [--rust]

The program writes its detector as ONNX and scores crops, one view each. ONNX Runtime and OpenCV's DNN module, and with
`--rust` also tract and rten, score the same crops, prepared as the notes in the file say. One JSON line for each runtime on
standard output, all else on standard error; exit code 1 where a probability differs by more than 0.001.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
CROPS = 8
ALLOWED = 1e-3


def write_crops(folder, side):
    """Pictures that a network says different things to: smooth noise of several sizes of grain."""
    random = np.random.default_rng(5)
    crops = []
    for number in range(CROPS):
        cells = 3 * 2 ** (number // 2)
        noise = random.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        crop = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        path = folder / ("real" if number % 2 == 0 else "fake") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), crop)
        crops.append((path, cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)))
    return crops


def run(command):
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)



def rust(folder, images):
    """The probabilities by tract and rten, in a program with a lock file of its own."""
    target = ROOT / "target/peers/network-rust"
    manifest = ROOT / "benches/peers/network-rust/Cargo.toml"
    run(["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target])
    images.astype("<f4").tofile(folder / "images.f32")
    found = {}
    for name in ("tract 0.23.9", "rten 0.27.0"):
        request = {
            "engine": name.split()[0],
            "onnx": str(folder / "detector.onnx"),
            "images": str(folder / "images.f32"),
            "batch": len(images),
            "repeat": 1,
        }
        program = target / "release/deeptell-network-peers"
        answer = subprocess.run([program], input=json.dumps(request), check=True, capture_output=True, text=True)
        found[name] = np.array(json.loads(answer.stdout)["values"])
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ours", required=True, type=Path)
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--rust", action="store_true")
    arguments = arguments.parse_args()
    model = ["--model", arguments.model] if arguments.model else []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        onnx = folder / "detector.onnx"
        run([arguments.ours, "export", "--format", "onnx", "--out", onnx, *model])
        session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        card = json.loads(session.get_modelmeta().custom_metadata_map["deeptell_card"])
        side = card["crop"]["size"]
        shape = session.get_inputs()[0].shape
        if shape[1:] != [3, side, side]:
            sys.exit(f"the images are declared as {shape}, but crops have {side} pixels")

        crops = write_crops(folder / "crops", side)
        scores = folder / "scores.csv"
        run([arguments.ours, "eval", "--crops", folder / "crops", "--views", "1", "--scores", scores, "--json", folder / "figures.json", *model])
        with open(scores, newline="") as table:
            ours = {Path(row["path"]).name: float(row["probability"]) for row in csv.DictReader(table)}
        expected = np.array([ours[path.name] for path, _ in crops])
        if np.ptp(expected) < 0.01:
            sys.exit(f"the network says the same to all crops, so nothing can be compared: {expected}")

        mean, deviation = (np.array(card["normalization"][key], np.float32) for key in ("mean", "deviation"))
        images = np.stack([((crop.astype(np.float32) / 255 - mean) / deviation).transpose(2, 0, 1) for _, crop in crops])
        found = {}
        logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
        found[f"ONNX Runtime {version('onnxruntime')}"] = probabilities.ravel()
        network = cv2.dnn.readNetFromONNX(str(onnx))
        of_crops = []
        for image in images:
            network.setInput(image[None])
            of_crops.append(network.forward("probabilities").ravel()[0])
        found[f"OpenCV {cv2.__version__}"] = np.array(of_crops)
        if arguments.rust:
            calibration = card["levels"]["crop"]["calibration"]
            for name, values in rust(folder, images).items():
                calibrated = calibration["slope"] * values + calibration["intercept"]
                found[name] = 1 / (1 + np.exp(-calibrated))

        failed = False
        for name, values in found.items():
            difference = float(np.abs(values - expected).max())
            failed |= not difference <= ALLOWED
            print(json.dumps({"runtime": name, "crops": CROPS, "largest_difference": round(difference, 7), "allowed": ALLOWED}))
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
