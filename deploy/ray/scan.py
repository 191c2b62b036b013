"""Scans every video and picture below a folder on a Ray cluster.

    python scan.py FOLDER REPORTS.jsonl [FILES_PER_TASK]

FOLDER is on a file system that all machines share. Reports are lines of JSON, as of `deeptell scan --jsonl`, written
as they come; a file that cannot be scanned is a line with its error. A task whose worker or machine dies is started
again elsewhere. Run the script again to do what is missing.

The machines need the Python package of deeptell, or else the program `deeptell` or what the variable DEEPTELL says.
"""

import json
import os
import pathlib
import subprocess
import sys

import ray

# Read here and not in the task, which runs in the environment of its worker.
DEEPTELL = os.environ.get("DEEPTELL", "deeptell")
# Those that deeptell knows, in any case.
SUFFIXES = set(
    """
    .jpg .jpeg .jpe .jfif .mpo .png .apng .bmp .dib .webp .avif
    .mp4 .m4v .mov .qt .3gp .3g2 .f4v .lrv .insv .mkv .mk3d .webm .avi .divx .ts .m2ts .m2t .mts .trp .mpg .mpeg .mpe
    .m1v .m2v .vob .wmv .asf .flv .ogv .ogm .gif .ivf .obu .mjpg .mjpeg .h264 .264 .h265 .265 .hevc
    """.split()
)


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def scan(files):
    """One line of JSON for each file."""
    try:
        import deeptell
    except ImportError:
        return scan_with_program(files)
    results = deeptell.Detector(threads=1).scan_many(files, workers=1)
    return [
        line(report.to_dict()) if error is None else line({"path": str(path), "error": str(error)})
        for path, report, error in results
    ]


def scan_with_program(files):
    command = [DEEPTELL, "--quiet", "--threads", "1", "scan", "-", "--jsonl", "-", "--allow-failures"]
    run = subprocess.run([*command, "--end-with-parent"], input="\n".join(files), capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"exit code {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout.splitlines()


def files_below(folder):
    """Every video and picture, in order."""
    return sorted(str(path) for path in pathlib.Path(folder).resolve().rglob("*") if path.suffix.lower() in SUFFIXES)


def line(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def reports_of(out):
    """The reports of an earlier run. A kill may have cut the last line, and files that failed are tried again."""
    if not os.path.exists(out):
        return {}
    with open(out, encoding="utf-8") as file:
        reports = [json.loads(text) for text in file if text.endswith("\n")]
    return {report["input"]["path"]: report for report in reports if "input" in report}


def main(folder, out, files_per_task=16):
    files = files_below(folder)
    before = reports_of(out)
    waiting = [file for file in files if file not in before]
    print(f"{len(files) - len(waiting)} of {len(files)} files are already done", file=sys.stderr)
    ray.init(log_to_driver=False)
    step = int(files_per_task)
    parts = [waiting[first : first + step] for first in range(0, len(waiting), step)]
    files_of = {scan.remote(part): part for part in parts}
    running = list(files_of)
    failed = lost = 0
    with open(out + ".partial", "w", encoding="utf-8") as file:
        file.writelines(line(report) + "\n" for report in before.values())
    os.replace(out + ".partial", out)
    with open(out, "a", encoding="utf-8") as file:
        while running:
            [ended], running = ray.wait(running)
            try:
                reports = ray.get(ended)
            except Exception as error:  # of this task; the others go on
                lost += len(files_of[ended])
                print(error, file=sys.stderr, flush=True)
                continue
            for text in reports:
                failed += "input" not in json.loads(text)
                file.write(text + "\n")
            file.flush()
    print(f"{len(files)} files, {failed} failed", file=sys.stderr)
    if lost:
        sys.exit(f"{lost} files have no report, because their tasks failed: run this again")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
