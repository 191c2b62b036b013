"""Processes: the decoder, signals, forks, pickles, the command."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import deeptell
from conftest import SAMPLE

COMMAND = str(Path(sys.executable).with_name("deeptell"))


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def status(process: str) -> dict[str, str]:
    lines = Path("/proc", process, "status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def children(parent: int) -> list[str]:
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if status(process)["PPid"] == str(parent):
                found.append(process)
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_files_are_decoded_by_a_confined_process_of_this_python(clip: str) -> None:
    seen = []

    def look(progress: deeptell.Progress) -> None:
        for server in children(os.getpid()):
            words = Path("/proc", server, "cmdline").read_bytes().split(b"\0")
            if b"-I" in words:
                variables = Path("/proc", server, "environ").read_bytes()
                seen.extend((words, variables, status(worker)) for worker in children(int(server)))

    os.environ["SECRET_OF_THE_TEST"] = "x"
    deeptell.scan(clip, 2, progress=look)
    assert seen
    for words, variables, worker in seen:
        assert words[0] == os.fsencode(sys.executable) and words[1:4] == [b"-I", b"-S", b"-B"]
        assert b"SECRET" not in variables
        assert worker["Seccomp"] == "2" and worker["NoNewPrivs"] == "1"
        assert int(worker["CapEff"], 16) == 0


def test_trusted_files_are_decoded_here(clip: str) -> None:
    code = (
        "import deeptell, os, sys\n"
        "report = deeptell.Detector(trusted=True).scan(sys.argv[1], 2)\n"
        "try: os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError: print(report.to_json())\n"
    )
    done = run(code, clip)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == deeptell.scan(clip, 2).to_json()


def test_an_interpreter_that_does_not_know_itself_says_so(clip: str) -> None:
    code = "import sys; sys.executable = ''; import deeptell; deeptell.scan(sys.argv[1])"
    done = run(code, clip)
    assert done.returncode == 1 and "sys.executable" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("threads", [None, 1])
def test_ctrl_c_ends_a_scan_at_the_next_frame(clip: str, threads: int | None) -> None:
    code = (
        "import deeptell, os, signal, sys\n"
        f"detector, frames = deeptell.Detector(threads={threads}), []\n"
        "def listen(at):\n"
        "    frames.append(at.frames_done)\n"
        "    if at.frames_done == 1: os.kill(os.getpid(), signal.SIGINT)\n"
        "try: detector.scan(sys.argv[1], 100, progress=listen)\n"
        "except KeyboardInterrupt: print(frames[-1])\n"
    )
    done = run(code, clip)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 2


def test_ctrl_c_ends_many_scans(clip: str) -> None:
    code = (
        "import deeptell, os, signal, sys, threading\n"
        "threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try: list(deeptell.scan_many([sys.argv[1]] * 1000, frames=50))\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = run(code, clip)
    assert done.stdout == "interrupted\n", done.stderr


def scan_in_child(clip: str, sender: multiprocessing.connection.Connection) -> None:
    try:
        sender.send(deeptell.scan(clip, 2).score)
    except Exception as error:  # noqa: BLE001
        sender.send(f"{type(error).__name__}: {error}")


def in_child(method: str, clip: str) -> object:
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=scan_in_child, args=(clip, sender))
    process.start()
    try:
        assert receiver.poll(60), "the child hangs"
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def test_a_fork_after_the_first_use_is_refused_and_spawn_works(clip: str) -> None:
    score = deeptell.scan(clip, 2).score
    refused = in_child("fork", clip)
    assert isinstance(refused, str) and refused.startswith("RuntimeError") and "spawn" in refused
    assert in_child("spawn", clip) == score
    assert deeptell.scan(clip, 2).score == score, "the parent goes on"


def test_a_fork_before_the_first_use_works(clip: str) -> None:
    code = (
        "import deeptell, os, sys\n"
        "child = os.fork()\n"
        "score = deeptell.scan(sys.argv[1], 2).score\n"
        "if child == 0: os._exit(score != score)\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    done = run(code, clip)
    assert done.returncode == 0, done.stderr


def test_detectors_and_reports_are_pickled(clip: str) -> None:
    detector = deeptell.Detector(threads=1)
    report = detector.scan(clip, 2, evidence=True)
    again = pickle.loads(pickle.dumps(detector))
    assert repr(again) == "Detector(threads=1)" and again.scan(clip, 2, evidence=True) == report
    unpickled = pickle.loads(pickle.dumps(report))
    assert unpickled == report and unpickled.html() == report.html()


def test_the_command_is_the_whole_program(program: str, clip: str) -> None:
    def both(*arguments: str) -> list[tuple[int, bytes, bytes]]:
        ran = [subprocess.run([name, *arguments], capture_output=True, check=False) for name in (COMMAND, program)]
        return [(done.returncode, done.stdout, done.stderr) for done in ran]

    for arguments in (["--help"], ["--version"], ["scan", "--help"], ["scan"], ["nonsense"], ["scan", "no.mp4"]):
        ours, theirs = both(*arguments)
        assert ours == theirs, arguments
    ours, theirs = both("scan", clip, "--frames", "2", "--jsonl", "-", "--quiet")
    assert ours == theirs and ours[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp")
def test_the_doctor_of_the_command_finds_the_sandbox() -> None:
    done = subprocess.run([COMMAND, "doctor", "--json", "-"], capture_output=True, check=True)
    sandbox = json.loads(done.stdout)["sandbox"]
    assert sandbox == dict.fromkeys(sandbox, True) and sandbox["filters_calls"]


def test_the_command_ends_with_130_at_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "scan.jsonl"
    command = [COMMAND, "scan", str(SAMPLE), "--frames", "24", "--jsonl", str(log), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not (log.exists() and log.stat().st_size):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()
