// The detector, on a thread of its own: the page stays responsive.

import load, { WebDetector } from "./deeptell_web.js";

/** Bytes of a file that are read at once. */
const PIECE = 1 << 20;
/** Pieces between two reports of how much is read. */
const REPORTED = 32;
const MODEL = "deeptell-mnv3s.safetensors";

let detector = null;
let scan = null;
let file = null;
let isStopped = false;

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} did not load (${answer.status})`);
  return answer;
}

const tasks = {
  async load() {
    if (!("WebAssembly" in globalThis)) {
      const message = "This browser has no WebAssembly, or it is turned off. `deeptell serve` needs none.";
      throw JSON.stringify({ code: "unsupported", message });
    }
    const [model] = await Promise.all([
      fetched(MODEL).then((answer) => answer.arrayBuffer()),
      load({ module_or_path: fetched("deeptell_web_bg.wasm") }),
    ]);
    detector = new WebDetector(new Uint8Array(model), MODEL);
    return { version: detector.version };
  },

  begin({ file: opened, frames }) {
    tasks.drop();
    isStopped = false;
    file = opened;
    scan = detector.begin(file.name, file.size, frames);
  },

  /** Reads the whole file: its hash, and its list of frames. */
  async read() {
    for (let start = 0; start < file.size && !isStopped; start += PIECE) {
      if (start % (PIECE * REPORTED) === 0 && start > 0) postMessage({ read: start / file.size });
      scan.read(new Uint8Array(await file.slice(start, start + PIECE).arrayBuffer()));
    }
    return isStopped ? "{}" : scan.opened();
  },

  stop() {
    isStopped = true;
  },

  picture() {
    scan.scan_picture();
  },

  frame({ frame, seconds }) {
    const { format, width, height, data, planes, matrix, isFullRange, turn, isFlipped, index } = frame;
    scan.scan_frame(format, width, height, data, new Uint32Array(planes), matrix, isFullRange, turn, isFlipped, seconds, index);
    return { faces: scan.faces, buffer: data.buffer, preview: { width: scan.preview_width, pixels: scan.preview() } };
  },

  lasts({ seconds }) {
    scan.lasts(seconds);
  },

  notVisible() {
    return JSON.parse(scan.not_visible());
  },

  notPlayable({ detail }) {
    return JSON.parse(scan.not_playable(detail));
  },

  finish() {
    const ended = scan;
    scan = null;
    const result = ended.finish();
    const all = (kind) => Array.from({ length: result.count(kind) }, (_, number) => result.picture(kind, number));
    const pictures = { frames: all("frames"), faces: all("faces"), heat: all("heat") };
    const counts = Object.fromEntries(Object.entries(pictures).map(([kind, list]) => [kind, list.length]));
    const value = { report: result.report(), page: result.page(), pictures, counts };
    result.free();
    return value;
  },

  drop() {
    scan?.free();
    scan = null;
    file = null;
  },
};

addEventListener("message", async ({ data: { call, name, value } }) => {
  try {
    const answer = await tasks[name](value);
    postMessage({ call, value: answer }, answer?.buffer ? [answer.buffer] : []);
  } catch (error) {
    // The module throws strings of JSON; anything else is a fault.
    const known = typeof error === "string";
    const failure = known ? JSON.parse(error) : { code: "internal", message: `The detector failed: ${error?.message ?? error}.` };
    postMessage({ call, error: failure, isOver: "WebAssembly" in globalThis && error instanceof WebAssembly.RuntimeError });
  }
});
