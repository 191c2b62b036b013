#!/usr/bin/env python3
"""Time MobileNetV3-Small, one logit, 224x224, f32 on the CPU: ours against PyTorch and other runtimes.

    python network.py --ours PROGRAM [--bars]

All sides compute the same network from the same weights on the same images; logits and losses are compared before
anything is timed.

What is measured:
- inference at batch 1, 16 and 32, on one thread also against tract and rten, and a training step (forward, backward,
  AdamW) at batch 16 and 32: CPU time (user + system) a batch on one thread, wall time on two;
- ours with two threads against ours with one: wall time;
- the peak memory of a process that trains at batch 32, in megabytes.

Rounds alternate between the sides, each of which has been warmed up; the median of the rounds is reported. JSON lines
on standard output, all else on standard error. `--bars` fails where a ratio exceeds the bar in its line.
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

import numpy as np
import onnxruntime
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models import mobilenet_v3_small

SIDE = 224
ROOT = Path(__file__).resolve().parents[2]
EAGER = f"PyTorch {version('torch')}, eager"
CHANNELS_LAST = f"PyTorch {version('torch')}, channels last"
ONNX = f"ONNX Runtime {version('onnxruntime')}"
RUST = ["tract 0.23.9", "rten 0.27.0"]
# Ours over theirs at most.
INFERENCE_BARS = {(EAGER, 1): 1 / 1.5, (EAGER, 16): 1 / 1.5, (EAGER, 32): 1 / 1.5, (ONNX, 1): 1 / 0.75, (ONNX, 32): 1 / 0.7}
INFERENCE_BARS |= {(name, batch): 1 / 1.5 for name in RUST for batch in (1, 16, 32)}
TRAINING_BARS = {EAGER: 1 / 1.1, CHANNELS_LAST: 1 / 0.9}


def write_network(folder):
    """A network whose normalizations and classifier say something, and the images."""
    torch.manual_seed(0)
    network = mobilenet_v3_small(num_classes=1, dropout=0.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.nn.init.normal_(network.classifier[-1].weight, 0.0, 0.1)
    torch.save(network.state_dict(), folder / "network.pt")
    images = torch.randn(32, 3, SIDE, SIDE)
    images.numpy().tofile(folder / "images.f32")
    return images


def load(folder, channels_last):
    network = mobilenet_v3_small(num_classes=1, dropout=0.0)
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    return network.to(memory_format=torch.channels_last) if channels_last else network


class Ours:
    """The program, which answers one line of JSON with another."""

    def __init__(self, program, folder):
        self.folder = folder
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self, work, batch, threads=1, repeat=3, **settings):
        request = {
            "work": work,
            "weights": str(self.folder / "network.pt"),
            "classes": 1,
            "images": str(self.folder / "images.f32"),
            "batch": batch,
            "threads": threads,
            "repeat": repeat,
            **settings,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"our program ended with {self.process.wait()}")
        return json.loads(answer)


def timed(work, repeat=3, warm_up=2):
    """CPU and wall time of a call in milliseconds, and what the calls returned."""
    values = [work() for _ in range(warm_up)]
    cpu, wall = [], []
    for _ in range(repeat):
        start, cpu_start = time.perf_counter(), time.process_time()
        values.append(work())
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - cpu_start))
    return {"cpu_ms": statistics.median(cpu), "wall_ms": statistics.median(wall), "values": values}


class Torch:
    def __init__(self, folder, images, channels_last):
        self.folder, self.channels_last = folder, channels_last
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.images = images
        self.network = load(folder, channels_last).eval()

    def inference(self, batch, threads):
        torch.set_num_threads(threads)
        images = self.images[:batch].contiguous(memory_format=self.format)
        with torch.inference_mode():
            return timed(lambda: self.network(images).ravel().tolist())

    def training(self, batch, threads):
        torch.set_num_threads(threads)
        images = self.images[:batch].contiguous(memory_format=self.format)
        labels = (torch.arange(batch) % 2).float().unsqueeze(1)
        network = load(self.folder, self.channels_last).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)

        def step():
            loss = binary_cross_entropy_with_logits(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return timed(step)


class Onnx:
    """ONNX Runtime on the file that our program writes: its logits are compared like all others."""

    def __init__(self, folder, images, ours):
        self.images = images.numpy()
        path = folder / "network.onnx"
        ours.measure("inference", 1, repeat=1, onnx=str(path))
        self.sessions = {}
        for threads in (1, 2):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.sessions[threads] = session

    def inference(self, batch, threads):
        session, images = self.sessions[threads], self.images[:batch]
        return timed(lambda: session.run(None, {"images": images})[0].ravel().tolist())


class Rust:
    """A Rust runtime, on one thread, in a program that answers as ours does."""

    def __init__(self, program, engine, folder):
        self.request = {
            "engine": engine,
            "onnx": str(folder / "network.onnx"),
            "images": str(folder / "images.f32"),
            "repeat": 3,
        }
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def inference(self, batch, threads):
        assert threads == 1
        self.process.stdin.write(json.dumps({**self.request, "batch": batch}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.request['engine']} ended with {self.process.wait()}")
        answer = json.loads(answer)
        return {**answer, "values": [answer["values"]]}


def rust_peers(folder):
    """Builds the program in `network-rust`, which has a lock file of its own; what it runs, with versions."""
    target = ROOT / "target/peers/network-rust"
    manifest = ROOT / "benches/peers/network-rust/Cargo.toml"
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target]
    subprocess.run(command, check=True, stdout=sys.stderr)
    program = target / "release/deeptell-network-peers"
    return [(name, Rust(program, name.split()[0], folder)) for name in RUST]


def report(text, threads, ours, peer, peer_name, unit, bar):
    line = {
        "work": "network",
        "input": text,
        "threads": threads,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": round(ours / peer, 4),
    }
    if bar is not None:
        line["bar"] = round(bar, 4)
    print(json.dumps(line), flush=True)
    return bar is None or line["ratio"] <= bar


def apart(ours, theirs):
    return np.abs(np.subtract(ours, theirs)).max() / np.abs(theirs).max()


def inference(ours, peers, rounds):
    kept = True
    for batch in (1, 16, 32):
        for threads in (1, 2):
            key = "cpu_ms" if threads == 1 else "wall_ms"
            here_peers = [(name, peer) for name, peer in peers if threads == 1 or not isinstance(peer, Rust)]
            our_times, peer_times = [], [[] for _ in here_peers]
            for _ in range(rounds):
                answer = ours.measure("inference", batch, threads)
                our_times.append(answer[key])
                for (name, peer), times in zip(here_peers, peer_times):
                    theirs = peer.inference(batch, threads)
                    times.append(theirs[key])
                    if (difference := apart(answer["values"], theirs["values"][0])) > 1e-4:
                        sys.exit(f"logits differ from those of {name} by {difference:.1e} of the largest")
            unit = "CPU ms per batch" if threads == 1 else "ms per batch"
            for (name, _), times in zip(here_peers, peer_times):
                bar = INFERENCE_BARS.get((name, batch)) if threads == 1 else None
                here = f"inference, batch {batch}"
                kept &= report(here, threads, statistics.median(our_times), statistics.median(times), name, unit, bar)
    return kept


def training(ours, peers, rounds):
    kept = True
    for batch in (16, 32):
        for threads in (1, 2):
            key = "cpu_ms" if threads == 1 else "wall_ms"
            our_times, peer_times = [], [[] for _ in peers]
            for _ in range(rounds):
                answer = ours.measure("training", batch, threads)
                our_times.append(answer[key])
                for (name, peer), times in zip(peers, peer_times):
                    theirs = peer.training(batch, threads)
                    times.append(theirs[key])
                    # The first losses: later ones drift apart, as those of any two summation orders do.
                    if (difference := apart(answer["values"][:2], theirs["values"][:2])) > 1e-3:
                        sys.exit(f"losses {answer['values'][:2]} are not the {theirs['values'][:2]} of {name}")
            unit = "CPU ms per step" if threads == 1 else "ms per step"
            for (name, _), times in zip(peers, peer_times):
                here = f"training step, batch {batch}"
                mine, their = statistics.median(our_times), statistics.median(times)
                kept &= report(here, threads, mine, their, name, unit, TRAINING_BARS[name])
    return kept


def against_ourselves(ours, rounds):
    kept = True
    for work, batch, bar in (("inference", 32, 1 / 1.7), ("training", 32, None)):
        times = {1: [], 2: []}
        for _ in range(rounds):
            for threads, walls in times.items():
                walls.append(ours.measure(work, batch, threads)["wall_ms"])
        name = "inference" if work == "inference" else "training step"
        one, two = (statistics.median(times[threads]) for threads in (1, 2))
        kept &= report(f"{name}, batch {batch}", 2, two, one, "ours, one thread", "ms per batch", bar)
    return kept


# A process starts out with the peak of the one that started it, so a small one stands between.
SMALL = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def peak(command, text=""):
    """Peak memory of a separate process, in megabytes."""
    told = subprocess.run([sys.executable, "-c", SMALL, *command], input=text, stdout=subprocess.PIPE, text=True)
    kilobytes, code = map(int, told.stdout.split())
    if code != 0:
        sys.exit(f"{command}: exit code {code}")
    return kilobytes / 1024


def memory(program, folder):
    request = {"work": "training", "weights": str(folder / "network.pt"), "classes": 1, "batch": 32, "threads": 1}
    request |= {"images": str(folder / "images.f32"), "repeat": 2}
    ours = peak([program], json.dumps(request) + "\n")
    theirs = peak([sys.executable, __file__, "--memory-of-torch", str(folder)])
    return report("training step, batch 32, peak memory", 1, ours, theirs, EAGER, "MB", 1.0)


def train_alone(folder):
    """What `memory` weighs: PyTorch in a process that does nothing else."""
    images = torch.from_numpy(np.fromfile(folder / "images.f32", np.float32).reshape(32, 3, SIDE, SIDE))
    Torch(folder, images, channels_last=False).training(32, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", help="our program, built in release mode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bars", action="store_true", help="fail where a ratio exceeds its bar")
    parser.add_argument("--memory-of-torch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of_torch:
        return train_alone(arguments.memory_of_torch)
    if not arguments.ours:
        parser.error("--ours is needed")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = write_network(folder)
        ours = Ours(arguments.ours, folder)
        eager, last = (Torch(folder, images, channels_last) for channels_last in (False, True))
        sides = [(EAGER, eager), (CHANNELS_LAST, last), (ONNX, Onnx(folder, images, ours))]
        kept = inference(ours, sides + rust_peers(folder), arguments.rounds)
        kept &= training(ours, sides[:2], arguments.rounds)
        kept &= against_ourselves(ours, arguments.rounds)
        kept &= memory(arguments.ours, folder)
    if arguments.bars and not kept:
        sys.exit("a ratio exceeds its bar")


if __name__ == "__main__":
    main()
