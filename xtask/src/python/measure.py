"""Compares `import deeptell` with an empty program, and scans from Python with those of the command line, in pairs."""

import json
import resource
import statistics
import subprocess
import sys
import time

SCAN = """
import json, sys
import deeptell
with open(sys.argv[1], "w", encoding="utf-8") as file:
    for path, report, error in deeptell.scan_many(sys.argv[2:]):
        if error is not None:
            raise error
        file.write(report.to_json() + chr(10))
"""


def cost(words):
    """Seconds, and seconds of processor time with those of the decoder, that a command takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pairs(first, second, count):
    """Costs of two commands, which take turns and swap their order each time."""
    for words in (first, second):
        cost(words)
    found = []
    for number in range(count):
        if number % 2:
            other = cost(second)
            found.append((cost(first), other))
        else:
            found.append((cost(first), cost(second)))
    return found


def median(values):
    return round(statistics.median(values), 4)


program, out, *clips = sys.argv[1:]
python = [sys.executable, "-c"]
imports = pairs([*python, "import deeptell"], [*python, "pass"], 21)
scans = pairs(
    [*python, SCAN, out, *clips],
    [program, "scan", "--quiet", "--jsonl", out, *clips],
    7,
)
print(
    json.dumps(
        {
            "import_seconds": median(a[0] - b[0] for a, b in imports),
            "import_cpu_seconds": median(a[1] - b[1] for a, b in imports),
            "clips": len(clips),
            "python_cpu_seconds": median(a[1] for a, _ in scans),
            "program_cpu_seconds": median(b[1] for _, b in scans),
            "ratio": median(a[0] / b[0] for a, b in scans),
            "cpu_ratio": median(a[1] / b[1] for a, b in scans),
            "cpu_ratios": sorted(round(a[1] / b[1], 3) for a, b in scans),
        }
    )
)
