"""Runs a script on a Ray cluster of two nodes on this machine, and kills a worker and a node while it runs.

    python two_nodes.py SCRIPT DATA OUT SHARDS [OPTION]...
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

# Nothing is reported to anybody, and 127.0.0.1 stays what it is, instead of becoming the outward address.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

from ray.cluster_utils import Cluster  # noqa: E402  (reads the variables)

NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
BEGAN = time.monotonic()


def say(what):
    print(f"{time.monotonic() - BEGAN:6.1f} s  {what}", file=sys.stderr, flush=True)


def done(folder):
    return len(list(folder.glob("done/*.jsonl")))


def running(out):
    """Shards in the middle, with the process that works on each."""
    found = {}
    for lock in out.glob("*/deeptell.lock"):
        try:
            process = int(lock.read_text().split()[1])
        except (OSError, IndexError):
            continue
        if done(lock.parent) >= 2 and not (lock.parent / "manifest.jsonl").exists():
            found[lock.parent.name] = process
    return found


def wait(what, until, seconds=120):
    began = time.monotonic()
    while not (value := until()):
        if time.monotonic() - began > seconds:
            sys.exit(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
    return value


def parent(process):
    """The process that started this one; 0 if it has ended."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return 0 if stat[0] == "Z" else int(stat[1])


def main(script, data, out, *words):
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    say("two nodes of Ray")
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    out = pathlib.Path(out)
    # Ray says much about what dies.
    log = out.with_name("script.log")
    with log.open("w") as errors:
        words = [sys.executable, script, data, str(out), *words]
        task = subprocess.Popen(words, env=environment, stdout=errors, stderr=errors)

    shard, process = wait("a task", lambda: list(running(out).items()))[0]
    worker = parent(process)
    os.kill(worker, signal.SIGKILL)
    say(f"shard {shard}, {done(out / shard)} files done: its worker killed")
    killed = time.monotonic()
    wait("the end of the orphan", lambda: parent(process) == 0, 10)
    say(f"shard {shard}: the orphan ended after {time.monotonic() - killed:.2f} s")

    # One of two tasks is on the second node.
    shards = wait("two tasks", lambda: (found := running(out)) if len(running(out)) == 2 else None)
    counts = {shard: done(out / shard) for shard in shards}
    cluster.remove_node(second, allow_graceful=False)
    say(f"shards {', '.join(shards)} running, {counts} files done: a node killed")
    cluster.add_node(**NODE)
    code = task.wait()
    for line in log.read_text(errors="replace").splitlines():
        if " crops from " in line:
            print("          " + line.split(";")[0], file=sys.stderr)
    say(f"the script ended with exit code {code}; its messages are in {log}")
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
