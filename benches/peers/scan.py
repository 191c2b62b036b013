#!/usr/bin/env python3
"""Time a whole scan, file to probability: `deeptell scan` against the usual Python pipeline.

    python scan.py --ours PROGRAM [PATH...]

Without paths: the clips of the sample that ships, and three clips of 15 seconds at 1920x1080 that are made here, of six
people of the sample before a wall, seen by an unsteady, grainy camera.

The peer is what a student of the subject writes today: OpenCV decodes 12 frames spread evenly over the clip, the
MTCNN of facenet-pytorch finds the face in each, torchvision's MobileNetV3-Small classifies the 224x224 crops, and
the mean of the frames is the verdict. Its weights are random, which takes the same time.

What is measured: CPU time (user + system), one thread, per clip. Each side judges every clip in one process; the
first clip warms it up and is left out, so starting Python or loading a model counts on neither side. Rounds
alternate, and the median of the rounds is reported. One JSON line on standard output, all else on standard error.
"""

import argparse
import json
import os
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
import torch
from facenet_pytorch import MTCNN
from torchvision.models import mobilenet_v3_small

FRAMES = 12
CROP = 224
ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "datasets/sample"
PORTRAIT = ROOT / "crates/deeptell-mtcnn/tests/data/astronaut.png"
LARGE = Path("target/peers/clips")
VIDEO = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Peer:
    """The student's pipeline."""

    name = (
        f"facenet-pytorch {version('facenet-pytorch')} + opencv {version('opencv-python-headless')}"
        f" + torchvision {version('torchvision')}"
    )

    def __init__(self, min_face):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        torch.manual_seed(0)
        self.faces = MTCNN(min_face_size=min_face, post_process=False)
        self.classifier = mobilenet_v3_small(weights=None, num_classes=1).eval()

    def frames(self, clip):
        capture = cv2.VideoCapture(str(clip))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        for index in range(FRAMES):
            capture.set(cv2.CAP_PROP_POS_FRAMES, (2 * index + 1) * count // (2 * FRAMES))
            decoded, frame = capture.read()
            if decoded:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        capture.release()

    def crop(self, frame):
        boxes, _ = self.faces.detect(frame)
        if boxes is None:
            return None
        x1, y1, x2, y2 = (int(edge) for edge in boxes[0])
        face = frame[max(y1, 0) : y2, max(x1, 0) : x2]
        if face.size == 0:
            return None
        pixels = torch.from_numpy(cv2.resize(face, (CROP, CROP))).permute(2, 0, 1).float() / 255
        return (pixels - IMAGENET_MEAN) / IMAGENET_STD

    @torch.inference_mode()
    def judge(self, clip):
        """The probability of a clip, and the number of faces behind it."""
        crops = [crop for frame in self.frames(clip) if (crop := self.crop(frame)) is not None]
        if not crops:
            return None, 0
        return torch.sigmoid(self.classifier(torch.stack(crops))).mean().item(), len(crops)


def peer_seconds(peer, clips):
    """CPU seconds a clip, the first clip left out; and the faces found."""
    peer.judge(clips[0])
    start = time.process_time()
    faces = sum(peer.judge(clip)[1] for clip in clips[1:])
    return (time.process_time() - start) / (len(clips) - 1), faces


def our_seconds(program, clips, min_face):
    """CPU seconds a clip, the run over the first clip taken off; and the faces found without it."""
    first, first_faces = our_run(program, clips[:1], min_face)
    every, every_face = our_run(program, clips, min_face)
    return (every - first) / (len(clips) - 1), every_face - first_faces


def our_run(program, clips, min_face):
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "scan.json"
        command = [program, "--threads", "1", "scan", *map(str, clips), "--json", str(document)]
        command += ["--frames", str(FRAMES), "--min-face", str(min_face)]
        with tempfile.TemporaryFile() as messages:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                messages.seek(0)
                sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{messages.read().decode()}")
        faces = sum(len(report["observations"]) for report in json.loads(document.read_text())["reports"])
        return usage.ru_utime + usage.ru_stime, faces


def first_frame(clip):
    capture = cv2.VideoCapture(str(clip))
    decoded, frame = capture.read()
    capture.release()
    if not decoded:
        sys.exit(f"{clip} cannot be decoded")
    return frame


def make_large_clips():
    """Three clips, made once: H.264 by libx264 with its defaults, a keyframe every 250 frames at most."""
    LARGE.mkdir(parents=True, exist_ok=True)
    width, height, rate, seconds, side = 1920, 1080, 25, 15, 430
    clips = []
    for number in range(3):
        path = LARGE / f"people-{number}.mp4"
        clips.append(path)
        if path.exists():
            continue
        portrait = cv2.imread(str(PORTRAIT))
        people = [portrait] + [
            first_frame(SAMPLE / f"real/orl-s{person:02}.mp4") for person in range(1 + number, 21, 4)
        ][:5]
        # A margin around what is filmed, for the camera to move in.
        wall = cv2.GaussianBlur(cv2.resize(portrait, (width + 64, height + 64)), (0, 0), 90)
        for place, person in enumerate(people):
            row, column = divmod(place, 3)
            left, top = 32 + (2 * column + 1) * width // 6 - side // 2, 40 + row * (height // 2)
            wall[top : top + side, left : left + side] = cv2.resize(person, (side, side))
        random = np.random.default_rng(number)
        command = ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}"]
        command += ["-r", str(rate), "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)]
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
        for frame in range(rate * seconds):
            x, y = (int(32 + 28 * np.sin(frame / period)) for period in (17, 23))
            grain = random.normal(0, 3, (height // 2, width // 2, 1)).astype(np.float32)
            grain = cv2.resize(grain, (width, height))[..., None]
            picture = np.clip(wall[y : y + height, x : x + width] + grain, 0, 255).astype(np.uint8)
            encoder.stdin.write(picture.tobytes())
        encoder.stdin.close()
        if encoder.wait() != 0:
            path.unlink(missing_ok=True)
            sys.exit("the ffmpeg program could not write a clip")
    return clips


def find_clips(paths):
    clips = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        clips += [file for file in inside if file.suffix.lower() in VIDEO]
    return clips


def describe(clips):
    sizes = set()
    for clip in clips:
        capture = cv2.VideoCapture(str(clip))
        sizes.add(f"{int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))}x{int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))}")
        capture.release()
    size = sizes.pop() if len(sizes) == 1 else f"{len(sizes)} sizes"
    return f"{len(clips)} clips of {size}, {FRAMES} frames per clip"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="our program, built in release mode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--min-face", type=int, default=40, help="smallest face in pixels, for both (default 40)")
    parser.add_argument("paths", type=Path, nargs="*", help="videos, or folders of them")
    arguments = parser.parse_args()
    peer = Peer(arguments.min_face)
    if arguments.paths:
        measure(arguments, peer, find_clips(arguments.paths))
    else:
        measure(arguments, peer, find_clips([SAMPLE]))
        measure(arguments, peer, make_large_clips())


def measure(arguments, peer, clips):
    if len(clips) < 2:
        sys.exit("a comparison needs two videos or more: the first one only warms up")
    ours, theirs = [], []
    for number in range(1, arguments.rounds + 1):
        theirs_now, their_faces = peer_seconds(peer, clips)
        ours_now, our_faces = our_seconds(arguments.ours, clips, arguments.min_face)
        theirs.append(theirs_now)
        ours.append(ours_now)
        print(
            f"round {number}: ours {1000 * ours_now:.1f}, peer {1000 * theirs_now:.1f} CPU ms per clip"
            f" ({our_faces} and {their_faces} faces)",
            file=sys.stderr,
        )
    our_median, peer_median = 1000 * statistics.median(ours), 1000 * statistics.median(theirs)
    print(
        json.dumps(
            {
                "work": "scan",
                "input": f"{describe(clips)}, faces from {arguments.min_face} px",
                "threads": 1,
                "ours": round(our_median, 2),
                "peer": round(peer_median, 2),
                "peer_name": Peer.name,
                "unit": "CPU ms per clip",
                "ratio": round(our_median / peer_median, 4),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
