#!/usr/bin/env python3
"""Time the sampling of frames from videos: deeptell-video against the decoders people use from Python.

    python decode.py --ours PROGRAM [--rounds N] [--bars] [VIDEO...]

The work: open a file and give 12 frames, spread evenly over it, as full-size RGB. Everyone gives the same 12 frames.
Without videos it makes four (see `make_clips`), of 15 seconds each: 500x900 and 1920x1080, with a keyframe every 12
and every 250 frames.

What is measured: CPU time (user + system), one thread, opening included. Each peer runs in each of its sensible modes,
and its best one counts. Rounds alternate between all; the smallest time of each counts, since whatever else the
machine does can only add to it. Our program is the example `sample` of deeptell-video, and measures itself likewise.

Beside the peers stand comparisons of deeptell-video with itself: the plan against decoding every frame, keyframes
alone, shrinking to 640 pixels, decoding in a separate process. One JSON line per comparison on standard output, all else
on standard error. The field `equal_frames` counts frames that are identical to ours, byte for byte; `largest_difference`
is the largest between two values of a pixel. With `--bars` the exit code is 1 if a ratio exceeds its bar.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

# Before the libraries start their thread pools.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import av
import cv2
import decord
import numpy as np
import torch
from torchcodec.decoders import VideoDecoder

FRAMES = 12
SECONDS = 15
CLIPS = Path("target/peers/clips")
MAX_SIDE = 640

# Ours over the peer's, at most; those with a short distance between keyframes have their own.
BARS = {"PyAV": 0.70, "OpenCV": 0.65, "decord": 0.65, "torchcodec": 0.70}
SHORT_BARS = BARS | {"OpenCV": 0.30}
EVERY_FRAME_BAR, KEYFRAMES_BAR, MAX_SIDE_BAR, ISOLATED_BAR = 0.70, 0.15, 1.0, 1.10


def log(*words):
    print(*words, file=sys.stderr, flush=True)


# --- the clips ---------------------------------------------------------------------------------------------------


class Scene:
    """What the made clips show: a textured wall seen by an unsteady camera, a textured figure that moves and nods in
    front of it, and the grain of a sensor. Smooth motion, fine detail and noise are what costs bits in real footage."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.random = np.random.default_rng(3)
        margin = 96
        self.wall = self.texture(width + 2 * margin, height + 2 * margin, (118, 124, 132), 46)
        self.margin = margin
        self.side = int(min(width, height) * 0.62)
        self.face = self.texture(self.side, self.side, (176, 138, 118), 34)
        yy, xx = np.mgrid[-1 : 1 : self.side * 1j, -1 : 1 : self.side * 1j]
        inside = 1 - np.hypot(xx / 0.74, yy / 0.96)
        self.mask = np.clip(inside * self.side / 6, 0, 1).astype(np.float32)
        for x, y in ((-0.3, -0.2), (0.3, -0.2)):
            self.face[np.hypot(xx - x, (yy - y) * 1.8) < 0.12] = (52, 40, 38)
        self.mouth = (np.abs(xx) < 0.28), yy
        self.grain = [self.random.normal(0, 3.0, (height + 64, width + 64, 1)).astype(np.float32) for _ in range(4)]

    def texture(self, width, height, color, contrast):
        """Noise of every scale, each half as strong as the next larger one, as natural surfaces have it."""
        sum_of_scales = np.zeros((height, width, 3), np.float32)
        scale, weight = 256, 1.0
        while scale >= 2:
            grid = self.random.uniform(-1, 1, (height // scale + 3, width // scale + 3, 3)).astype(np.float32)
            grid[..., 1:] = 0.7 * grid[..., :1] + 0.3 * grid[..., 1:]
            large = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            sum_of_scales += weight * large[:height, :width]
            scale, weight = scale // 2, weight * 0.62
        return np.float32(color) + contrast * sum_of_scales

    def picture(self, seconds):
        w, h = self.width, self.height
        sway = np.sin(seconds * np.array([0.9, 0.7, 2.3, 2.9])) * np.array([40, 24, 3, 2])
        shift = np.float32([[1, 0, -self.margin - sway[0] - sway[2]], [0, 1, -self.margin - sway[1] - sway[3]]])
        picture = cv2.warpAffine(self.wall, shift, (w, h), flags=cv2.INTER_LINEAR)
        face = self.face.copy()
        across, yy = self.mouth
        opening = 0.03 + 0.05 * (1 + np.sin(seconds * 9.0)) * (1 + np.sin(seconds * 1.3))
        face[across & (np.abs(yy - 0.45) < opening)] = (96, 44, 48)
        size = 1 + 0.06 * np.sin(seconds * 0.8)
        place = cv2.getRotationMatrix2D((self.side / 2, self.side / 2), 7 * np.sin(seconds * 1.1), size)
        place[:, 2] += (w / 2 - self.side / 2 + 0.11 * w * np.sin(seconds * 0.6), h * 0.14 + 9 * np.sin(seconds * 1.7))
        front = cv2.warpAffine(face, place, (w, h), flags=cv2.INTER_LINEAR)
        mask = cv2.warpAffine(self.mask, place, (w, h), flags=cv2.INTER_LINEAR)[..., None]
        picture += mask * (front - picture)
        y, x = self.random.integers(0, 64, 2)
        picture += self.grain[self.random.integers(0, 4)][y : y + h, x : x + w]
        return np.clip(picture, 0, 255).astype(np.uint8)


def make_clips():
    """The four clips, made once: H.264 by libx264 with its defaults, as most of the web's videos are."""
    CLIPS.mkdir(parents=True, exist_ok=True)
    clips = []
    for width, height, rate, quality in ((500, 900, 30, 21), (1920, 1080, 25, 21)):
        for interval in (12, 250):
            path = CLIPS / f"{width}x{height}-gop{interval}.mp4"
            clips.append(path)
            if path.exists():
                continue
            unfinished = path.with_suffix(f".{os.getpid()}.mp4")
            scene = Scene(width, height)
            with av.open(str(unfinished), "w", options={"movflags": "faststart"}) as container:
                stream = container.add_stream("libx264", rate=rate)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.thread_count = 1
                stream.options = {
                    "preset": "medium", "crf": str(quality), "g": str(interval),
                    "keyint_min": str(interval), "sc_threshold": "0",
                }  # fmt: skip
                for number in range(rate * SECONDS):
                    frame = av.VideoFrame.from_ndarray(scene.picture(number / rate), format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())
            unfinished.rename(path)
            log(f"made {path}: {path.stat().st_size * 8 / SECONDS / 1e6:.1f} Mbit/s")
    return clips


# --- ours --------------------------------------------------------------------------------------------------------


class Ours:
    """Our program; what it said of the last run."""

    def __init__(self, program):
        self.program = program

    def run(self, clip, *options):
        """CPU milliseconds, the smallest of a few runs in one process; and what came out."""
        command = [self.program, str(clip), str(FRAMES), "--rounds", "3", *options]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        if "error" in report:
            sys.exit(f"{clip}: {report['error']}")
        return min(report["cpu_ms"]), report

    def whole(self, clip, rounds, *options):
        """CPU milliseconds of the program and all processes that it started."""
        command = [self.program, str(clip), str(FRAMES), "--rounds", str(rounds), *options]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
        return 1e3 * (usage.ru_utime + usage.ru_stime)

    def per_file(self, clip, *options):
        """CPU milliseconds a file, start-up taken off."""
        return (self.whole(clip, 9, *options) - self.whole(clip, 1, *options)) / 8

    def pixels(self, clip, shape):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rgb"
            self.run(clip, "--rgb", str(file))
            return np.fromfile(file, np.uint8).reshape(-1, *shape)


# --- peers -------------------------------------------------------------------------------------------------------
# Each takes the clip, the numbers of the wanted frames and their times in seconds, and gives RGB pictures.


def pyav_in_order(clip, wanted, _):
    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        pictures, numbers = [], set(wanted)
        for number, frame in enumerate(container.decode(stream)):
            if number in numbers:
                pictures.append(frame.to_ndarray(format="rgb24"))
                if len(pictures) == len(wanted):
                    break
        return pictures


def pyav_seeking(clip, _, seconds):
    with av.open(clip) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        start = stream.start_time or 0
        pictures = []
        for time in seconds:
            tick = start + round(time / float(stream.time_base))
            container.seek(tick, stream=stream)
            for frame in container.decode(stream):
                if frame.pts >= tick:
                    pictures.append(frame.to_ndarray(format="rgb24"))
                    break
        return pictures


def opencv(clip):
    capture = cv2.VideoCapture(clip, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise RuntimeError("OpenCV cannot open it")
    return capture


def opencv_in_order(clip, wanted, _):
    capture = opencv(clip)
    pictures, numbers = [], set(wanted)
    for number in range(max(wanted) + 1):
        if not capture.grab():
            break
        if number in numbers:
            pictures.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return pictures


def opencv_seeking(clip, wanted, _):
    capture = opencv(clip)
    pictures = []
    for number in wanted:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        pictures.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return pictures


def decord_batch(clip, wanted, _):
    return list(decord.VideoReader(clip, num_threads=1).get_batch(wanted).asnumpy())


def torchcodec_exact(clip, wanted, _, mode="exact"):
    decoder = VideoDecoder(clip, seek_mode=mode, num_ffmpeg_threads=1, dimension_order="NHWC")
    return list(decoder.get_frames_at(wanted).data.numpy())


def torchcodec_approximate(clip, wanted, seconds):
    return torchcodec_exact(clip, wanted, seconds, "approximate")


def ffmpeg(arguments, shape):
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *arguments]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return list(np.frombuffer(output, np.uint8).reshape(-1, *shape))


def cli_in_order(clip, wanted, _):
    chosen = "+".join(f"eq(n\\,{number})" for number in wanted)
    return ffmpeg(["-i", clip, "-vf", f"select='{chosen}'", "-vsync", "passthrough"], shape_of(clip))


def cli_seeking(clip, _, seconds):
    pictures = []
    for time in seconds:
        # A little earlier than the frame: times are rounded to microseconds.
        start = max(time - 0.002, 0.0)
        pictures += ffmpeg(["-ss", f"{start:.6f}", "-i", clip, "-frames:v", "1"], shape_of(clip))
    return pictures


SHAPES = {}


def shape_of(clip):
    if clip not in SHAPES:
        SHAPES[clip] = pyav_in_order(clip, [0], [0.0])[0].shape
    return SHAPES[clip]


def cli_version():
    first = subprocess.run(["ffmpeg", "-version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return first.split()[2].split("-")[0]


def peers():
    known = {
        "PyAV": (f"PyAV {version('av')}", [pyav_in_order, pyav_seeking]),
        "OpenCV": (f"OpenCV {version('opencv-python-headless')}", [opencv_in_order, opencv_seeking]),
        "decord": (f"decord {version('decord')}", [decord_batch]),
        "torchcodec": (f"torchcodec {version('torchcodec')}", [torchcodec_exact, torchcodec_approximate]),
    }
    if shutil.which("ffmpeg"):
        known["ffmpeg"] = (f"ffmpeg {cli_version()} on the command line", [cli_in_order, cli_seeking])
    return known


# --- measuring ---------------------------------------------------------------------------------------------------


def cpu_ms():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return 1e3 * sum(usage.ru_utime + usage.ru_stime for usage in used)


def keyframe_interval(clip):
    """The largest distance between keyframes; one that no second keyframe ends does not count."""
    with av.open(clip) as container:
        packets = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    keys = [number for number, is_key in enumerate(packets) if is_key]
    return max((b - a for a, b in zip(keys, keys[1:])), default=len(packets))


def describe(clip):
    height, width, _ = shape_of(clip)
    return f"{width}x{height}, a keyframe every {keyframe_interval(clip)} frames"


def measure(clip, ours, rounds):
    """Yields the comparisons of one clip."""
    clip = str(clip)
    _, report = ours.run(clip)
    wanted = [frame["index"] for frame in report["frames"]]
    seconds = [frame["pts_seconds"] for frame in report["frames"]]
    if None in wanted or len(set(wanted)) != FRAMES:
        sys.exit(f"{clip} has not {FRAMES} different frames with known numbers: {wanted}")
    truth = ours.pixels(clip, shape_of(clip))
    is_short = keyframe_interval(clip) <= 12
    is_large = max(truth.shape[1:3]) > MAX_SIDE

    runs = {
        "plan": lambda: ours.run(clip)[0],
        "every frame": lambda: ours.run(clip, "--every-frame")[0],
        "keyframes": lambda: ours.run(clip, "--keyframes")[0],
        "max side": lambda: ours.run(clip, "--max-side", str(MAX_SIDE))[0],
        "in process": lambda: ours.per_file(clip, "--untrusted"),
        "isolated": lambda: ours.per_file(clip, "--untrusted", "--isolated"),
    }
    equality, failures = {}, {}
    for peer, (_, modes) in peers().items():
        for mode in modes:

            def run(peer=peer, mode=mode):
                start = cpu_ms()
                pictures = mode(clip, wanted, seconds)
                used = cpu_ms() - start
                equality[peer, mode.__name__] = compare(pictures, truth)
                return used

            runs[peer, mode.__name__] = run

    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if name not in failures:
                try:
                    times[name].append(run())
                except (RuntimeError, OSError, ValueError, cv2.error, decord.DECORDError, av.FFmpegError) as error:
                    failures[name] = error
                    log(f"{clip}: {name} failed: {error}")
    best = {name: min(values) for name, values in times.items() if values and name not in failures}
    for name, value in best.items():
        log(f"{clip}: {name}: {value:.1f} ms {equality.get(name, '')}")

    name = describe(clip)

    def comparison(what, our_time, peer_name, peer_time, bar, **more):
        line = {
            "work": "decode", "input": what, "threads": 1, "ours": round(our_time, 2), "peer": round(peer_time, 2),
            "peer_name": peer_name, "unit": "CPU ms per file", "ratio": round(our_time / peer_time, 4), "bar": bar,
        }  # fmt: skip
        return line | more

    for peer, (full_name, modes) in peers().items():
        finished = {mode.__name__: best[peer, mode.__name__] for mode in modes if (peer, mode.__name__) in best}
        if not finished:
            continue
        mode = min(finished, key=finished.get)
        equal, difference = equality[peer, mode]
        bar = (SHORT_BARS if is_short else BARS).get(peer)
        words = mode.split("_", 1)[1].replace("_", " ")
        yield comparison(
            name, best["plan"], f"{full_name}, {words}", finished[mode], bar,
            equal_frames=equal, largest_difference=difference,
        )  # fmt: skip
    whole = "deeptell-video, decoding every frame"
    yield comparison(name, best["plan"], whole, best["every frame"], None if is_short else EVERY_FRAME_BAR)
    yield comparison(f"{name}, keyframes only", best["keyframes"], whole, best["every frame"], KEYFRAMES_BAR)
    if is_large:
        small = f"{name}, shrunk to {MAX_SIDE} px"
        yield comparison(small, best["max side"], "deeptell-video at full size", best["plan"], MAX_SIDE_BAR)
    apart = f"{name}, in a separate process"
    yield comparison(apart, best["isolated"], "deeptell-video in the same process", best["in process"], ISOLATED_BAR)


def compare(pictures, truth):
    """How many pictures are equal, and the largest difference between two values."""
    if len(pictures) != len(truth) or pictures[0].shape != truth[0].shape:
        return 0, 255
    differences = [int(cv2.absdiff(np.asarray(a), b).max()) for a, b in zip(pictures, truth)]
    return sum(difference == 0 for difference in differences), max(differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="the example `sample` of deeptell-video, built in release mode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bars", action="store_true", help="fail when a ratio exceeds its bar")
    parser.add_argument("clips", type=Path, nargs="*", help="videos; without them four are made")
    arguments = parser.parse_args()

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    decord.logging.set_level(decord.logging.ERROR)
    if not shutil.which("ffmpeg"):
        log("ffmpeg is not installed: its row is left out")
    missed = []
    for clip in arguments.clips or make_clips():
        for line in measure(clip, Ours(arguments.ours), arguments.rounds):
            print(json.dumps(line), flush=True)
            if line["bar"] and line["ratio"] > line["bar"]:
                missed.append(line)
    for line in missed:
        log(f"above its bar of {line['bar']}: {line['input']}, {line['peer_name']}: {line['ratio']}")
    if missed and arguments.bars:
        sys.exit(1)


if __name__ == "__main__":
    main()
