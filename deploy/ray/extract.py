"""Extracts face crops on a Ray cluster, one task per shard of the data set, and combines them.

    python extract.py DATA OUT SHARDS [OPTION OF deeptell extract]...

DATA and OUT are on a file system that all machines share. A task whose worker or machine dies is started again
elsewhere and continues. Run the script again to do what is missing: shards that are finished are left out.
"""

import glob
import json
import os
import subprocess
import sys

import ray

# Read here and not in the task, which runs in the environment of its worker.
DEEPTELL = os.environ.get("DEEPTELL", "deeptell")
CPUS = int(os.environ.get("CPUS_PER_TASK", "4"))


@ray.remote(num_cpus=CPUS, max_retries=3, retry_exceptions=True)
def extract(data, out, index, shards, options):
    """Extracts one shard; returns its last line."""
    command = [DEEPTELL, "--quiet", "extract", data, "--out", f"{out}/{{shard}}"]
    command += ["--shard-index", str(index), "--shards", str(shards)]
    # Unless options say otherwise.
    if not any(option.startswith(("--threads", "-j")) for option in options):
        command += ["--threads", str(CPUS)]
    if not any(option.startswith("--allow-failures") for option in options):
        command += ["--allow-failures"]
    # Without --end-with-parent, a worker that is killed would leave its child in the folder of the shard.
    run = subprocess.run([*command, "--end-with-parent", *options], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"shard {index}: exit code {run.returncode}: {run.stderr[-2000:]}")
    return f"shard {index}: {run.stdout.strip().splitlines()[0]}"


def unfinished(data, out, shards):
    """The indices of the shards that are to be done."""
    whole = os.path.exists(f"{out}/extract.toml")
    if not whole and not glob.glob(f"{glob.escape(out)}/*/extract.toml"):
        return list(range(shards))
    command = [DEEPTELL, "--quiet", "status", out, "--data", data, "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode not in (0, 1):  # 1: something is missing
        sys.exit(run.returncode)
    status = json.loads(run.stdout)
    if status["count"] is None:
        sys.exit(f"{out} holds an extraction that is not divided into shards: give another folder")
    if status["count"] != shards:
        sys.exit(f"{out} has {status['count']} shards: give that number, or another folder")
    return [shard["index"] for shard in status["shards"] if shard["state"] in ("not-begun", "unfinished")]


def main(data, out, shards, *options):
    ray.init(log_to_driver=False)
    data, out, shards = os.path.abspath(data), os.path.abspath(out), int(shards)
    running = [extract.remote(data, out, index, shards, options) for index in unfinished(data, out, shards)]
    failed = 0
    while running:
        [ended], running = ray.wait(running)
        try:
            print(ray.get(ended), flush=True)
        except Exception as error:  # of this shard; the others go on
            failed += 1
            print(error, file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"{failed} shards failed: run this again")
    sys.exit(subprocess.run([DEEPTELL, "merge", out, "--data", data]).returncode)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
