#!/usr/bin/env python3
"""Time the classifier in a browser: ours in WebAssembly against onnxruntime-web, on one thread, in one page.

    python browser.py --ours PROGRAM [--site FOLDER] [--rounds N] [--bars]

Both sides judge one face in the views of the shipped model: ours from the cut-out pixels to the calibrated probability,
the peer from a batch of normalized views to their logits, with the model that PROGRAM exports. Rounds alternate between
the sides, after warm-ups; the median of the rounds is reported, and the fastest ones on standard error.

FOLDER is what `cargo xtask web` builds (target/web/site). Needs Chromium, whose program the variable DEEPTELL_BROWSER
names if it is not `chromium`, and npm, which fetches onnxruntime-web; the file is checked by its hash. JSON lines on standard
output, all else on standard error. `--bars` fails where a ratio exceeds the bar in its line.
"""

import argparse
import base64
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
PARTS = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
PORTRAIT = ROOT / "crates/deeptell-train/assets/portrait.jpg"
MODEL = "deeptell-mnv3s.safetensors"
BAR = 1.0
# Seconds for everything the browser does.
PATIENCE = 90

PAGE = """<!doctype html><meta charset="utf-8"><script type="module">
const send = (path, value) => fetch(path, {method: "POST", body: JSON.stringify(value)});
const bytes = async path => new Uint8Array(await (await fetch(path)).arrayBuffer());
try {
  const ours = await import("/site/deeptell_web.js");
  await ours.default({module_or_path: "/site/deeptell_web_bg.wasm"});
  const detector = new ours.WebDetector(await bytes("/site/MODEL"), "model");
  const crops = detector.crops(await bytes("/portrait.jpg"));
  const ort = await import("/ort/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("/ort/", location.href).href;
  const session = await ort.InferenceSession.create("/model.onnx", {executionProviders: ["wasm"], graphOptimizationLevel: "all"});
  const pixels = new Float32Array(VIEWS * 3 * 224 * 224).map((_, i) => Math.sin(i * 0.37));
  const feeds = {[session.inputNames[0]]: new ort.Tensor("float32", pixels, [VIEWS, 3, 224, 224])};
  const times = {ours: [], peer: []};
  const time = async (side, work) => { const start = performance.now(); const result = await work(); times[side].push(performance.now() - start); return result; };
  let probability, logits;
  for (let round = -5; round < ROUNDS; round++) {
    if (round === 0) times.ours.length = times.peer.length = 0;
    probability = await time("ours", () => detector.classify(crops));
    logits = await time("peer", () => session.run(feeds));
  }
  await send("/result", {...times, faces: probability.length, probability: probability[0],
    logits: Array.from(logits[session.outputNames[0]].data)});
} catch (error) {
  await send("/result", {fault: String(error.stack || error)});
}
</script>"""


def fetch_peer(folder):
    """The files of onnxruntime-web, kept in `folder`."""
    if not all((folder / part).is_file() for part in PARTS):
        print(f"fetching onnxruntime-web {VERSION}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as downloads:
            pack = ["npm", "pack", "--silent", "--pack-destination", downloads, PACKAGE]
            try:
                subprocess.run(pack, check=True, stdout=sys.stderr)
            except (OSError, subprocess.CalledProcessError) as error:
                sys.exit(f"cannot fetch {PACKAGE} with npm: {error}")
            package = next(Path(downloads).iterdir()).read_bytes()
        if base64.b64encode(hashlib.sha512(package).digest()).decode() != SHA512:
            sys.exit(f"{PACKAGE} is not the file that was pinned")
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(package)) as archive:
            for part in PARTS:
                (folder / part).write_bytes(archive.extractfile(f"package/dist/{part}").read())
    return folder


def server(files, folders):
    """A server of `files` by path and of everything in `folders`; what the page sends is put into its `result`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}

        def do_GET(self):
            path = self.path.split("?")[0]
            content = files.get(path)
            first, _, name = path[1:].partition("/")
            if content is None and first in folders and "/" not in name:
                file = folders[first] / name
                content = file.read_bytes() if file.is_file() else None
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", self.TYPES.get(Path(path).suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def do_POST(self):
            self.server.result = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            self.server.done.set()

        def log_message(self, *_):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.result, made.done = None, threading.Event()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


def run_browser(address, served):
    """Opens the page and waits for what it measures."""
    browser = os.environ.get("DEEPTELL_BROWSER", "chromium")
    # The browser may still write to its folder while it is being removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command = [browser, *options, f"--user-data-dir={profile}", address]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not served.done.wait(PATIENCE):
                sys.exit(f"{browser} measured nothing within {PATIENCE} s")
        finally:
            running.kill()
            running.wait()
    return served.result


def card(file):
    """The card in a model file."""
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["deeptell_card"])


def median(values):
    return sorted(values)[len(values) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, required=True)
    parser.add_argument("--site", type=Path, default=ROOT / "target/web/site")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--bars", action="store_true")
    options = parser.parse_args()
    if not (options.site / MODEL).is_file():
        sys.exit(f"there is no page in {options.site}: build it with `cargo xtask web`")
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        subprocess.run([options.ours, "export", "--format", "onnx", "--out", exported], check=True, stdout=sys.stderr)
        model = exported.read_bytes()
    views = len(card(options.site / MODEL)["views"])
    page = PAGE.replace("MODEL", MODEL).replace("VIEWS", str(views)).replace("ROUNDS", str(options.rounds))
    files = {"/page.html": page.encode(), "/portrait.jpg": PORTRAIT.read_bytes(), "/model.onnx": model}
    served = server(files, {"site": options.site, "ort": fetch_peer(ROOT / "target/peers/browser/ort")})
    measured = run_browser(f"http://127.0.0.1:{served.server_address[1]}/page.html", served)
    if "fault" in measured:
        sys.exit(f"the page failed: {measured['fault']}")
    if measured["faces"] != 1 or not 0 < measured["probability"] < 1 or len(measured["logits"]) != views:
        sys.exit(f"the sides do not do the same work: {measured}")
    ours, peer = median(measured["ours"]), median(measured["peer"])
    print(f"fastest: ours {min(measured['ours']):.1f} ms, peer {min(measured['peer']):.1f} ms", file=sys.stderr)
    line = {
        "work": "browser",
        "input": f"one face, {views} views",
        "threads": 1,
        "ours": round(ours, 2),
        "peer": round(peer, 2),
        "peer_name": f"onnxruntime-web {VERSION}",
        "unit": "ms",
        "ratio": round(ours / peer, 3),
        "bar": BAR,
    }
    print(json.dumps(line))
    if options.bars and line["ratio"] > BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
