// The place of the server in a page that needs none: files are scanned in this tab, by a worker.

import { byId, make, put } from "./elements.js";
import { framesOf, NotPlayable, NotVisible, reuse } from "./frames.js";

/** Where the ids of scans are kept: nowhere, they end with the page. */
export const KEPT = null;

/** Reports are saved, not opened: a page made in memory may not have its own style here. */
export const OPENS_PAGES = false;

/** The first bytes of a file tell what it is. */
export const TAKES_ANY_NAME = true;

const FRAMES = 12;

/** What is shown of each file while it is analyzed. */
const previews = new WeakMap();

/** The frame that is looked at. The file itself would be decoded a second time, which takes as much memory again. */
export function preview({ file }) {
  if (!previews.has(file)) {
    previews.set(file, make("div", { "aria-hidden": "true" }, make("div", { class: "empty" }, "No frame yet")));
  }
  return previews.get(file);
}

function draw(file, { width, pixels }) {
  const shown = previews.get(file);
  if (!shown || width === 0) return;
  const canvas = shown.querySelector("canvas") ?? make("canvas");
  put(shown, canvas);
  canvas.width = width;
  canvas.height = pixels.length / 4 / width;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width), 0, 0);
}

const trusted = globalThis.trustedTypes?.createPolicy("deeptell", { createScriptURL: (name) => name });
/** The address of one of our own scripts; no other is ever asked for. */
const script = (name) => trusted?.createScriptURL(name) ?? name;

/** Says in the words of this page where files go. */
export function greet() {
  byId("where").textContent = "Files stay on this device";
  byId("kinds").textContent = "MP4, MOV, WebM, JPEG or PNG";
  byId("fate").textContent = " It is analyzed in this tab and sent nowhere.";
  byId("private").textContent =
    "The detector runs in this tab. The page loads its own files and nothing else, and works without a network after the first visit.";
  byId("interface").remove();
  // Other names are not offered otherwise.
  byId("file").removeAttribute("accept");
}

// ---- the worker ----

let worker = null;
let version = "";
let last = 0;
const waiting = new Map();
/** Told which part of a file was read. */
let onRead = null;

/** The worker with the detector loaded; the same one until it fails. */
function started() {
  if (worker) return worker.ready;
  const thread = new Worker(script("worker.js"), { type: "module" });
  const broken = (message) => {
    for (const { reject } of waiting.values()) reject({ code: "internal", message });
    waiting.clear();
    thread.terminate();
    worker = null;
  };
  thread.addEventListener("error", (event) => {
    event.preventDefault();
    broken(`The detector could not be started: ${event.message || "a file of the page did not load"}.`);
  });
  thread.addEventListener("message", ({ data: { call, value, error, isOver, read } }) => {
    if (read !== undefined) return onRead?.(read);
    const { resolve, reject } = waiting.get(call) ?? {};
    waiting.delete(call);
    if (error) reject?.(error);
    else resolve?.(value);
    // After a fault of the module nothing in it can be relied on.
    if (isOver) broken("The detector was stopped by an earlier fault.");
  });
  worker = { thread, ready: null };
  const ready = call("load").then((value) => {
    version = value.version;
  });
  worker.ready = ready;
  // The next file tries again.
  ready.catch(() => {
    thread.terminate();
    if (worker?.thread === thread) worker = null;
  });
  return ready;
}

function call(name, value = {}, moved = []) {
  last += 1;
  return new Promise((resolve, reject) => {
    waiting.set(last, { resolve, reject });
    worker.thread.postMessage({ call: last, name, value }, moved);
  });
}

// ---- scans ----

const scans = new Map();
/** The scan before the next one; one runs at a time. */
let busy = Promise.resolve();

export async function about() {
  await started();
  return { version, max_upload_bytes: Infinity, history: 0 };
}

const CANCELLED = { code: "cancelled", message: "Cancelled." };

/** Takes a file. Nothing is sent: the promise is there at once. */
export function send(file, onProgress) {
  const id = String(scans.size + 1);
  const scan = { id, file, state: { state: "waiting", ahead: 0 }, stop: new AbortController(), urls: [], onState: null };
  scans.set(id, scan);
  onProgress(1);
  const documentOf = { id, name: file.name, bytes: file.size, ...scan.state };
  return { done: Promise.resolve(documentOf), abort: () => cancel(scan) };
}

function cancel(scan) {
  scan.stop.abort(CANCELLED);
}

/** Scans a file; `onState` gets the scan's document after each change. Returns a function that stops. */
export function follow(id, onState) {
  const scan = scans.get(id);
  scan.onState = onState;
  busy = busy.then(() => scanOne(scan));
  return () => cancel(scan);
}

function become(scan, state) {
  scan.state = state;
  const { id, file } = scan;
  scan.onState?.({ id, name: file.name, bytes: file.size, ...state });
}

async function scanOne(scan) {
  if (scan.stop.signal.aborted) return;
  try {
    become(scan, { state: "running", frames_done: 0, frames_total: null, faces: 0 });
    await started();
    const found = await look(scan);
    keep(scan, found);
    const { verdict, score } = JSON.parse(found.report);
    become(scan, { state: "done", verdict, score, pictures: found.counts });
  } catch (error) {
    if (worker) call("drop").catch(() => {});
    if (error === CANCELLED) return become(scan, { state: "cancelled" });
    const known = typeof error?.code === "string" && typeof error?.message === "string";
    become(scan, { state: "failed", error: known ? error : { code: "internal", message: `The analysis failed: ${error}.` } });
  }
}

const check = (scan) => scan.stop.signal.throwIfAborted();

/** Everything from the bytes to the report. */
async function look(scan) {
  const { file } = scan;
  await call("begin", { file, frames: FRAMES });
  const opened = JSON.parse(await reading(scan));
  check(scan);
  if (opened.kind === "image") {
    become(scan, { state: "running", frames_done: 0, frames_total: 1, faces: 0 });
    await call("picture");
    check(scan);
    return call("finish");
  }
  // A browser may give up all of a video over a frame of which only a part is there.
  const url = URL.createObjectURL(opened.bytes ? file.slice(0, opened.bytes, file.type) : file);
  let done = 0;
  const progress = (total, faces) => become(scan, { state: "running", frames_done: done, frames_total: total, faces });
  try {
    for await (const { frame, total, seconds, duration } of framesOf(url, opened.frames, FRAMES, scan.stop.signal)) {
      check(scan);
      if (done === 0) {
        progress(total, 0);
        // Of a container whose index was read the report has the length already.
        if (!opened.frames) await call("lasts", { seconds: duration });
      }
      const { faces, buffer, preview } = await call("frame", { frame, seconds }, [frame.data.buffer]);
      reuse(buffer);
      draw(file, preview);
      check(scan);
      done += 1;
      progress(total, faces);
    }
  } catch (error) {
    if (error instanceof NotVisible) throw await call("notVisible");
    if (!(error instanceof NotPlayable)) throw error;
    throw await call("notPlayable", { detail: error.message });
  } finally {
    URL.revokeObjectURL(url);
  }
  return call("finish");
}

/** The bytes of the file, read by the worker; a cancelled scan does not wait for their end. */
async function reading(scan) {
  const { signal } = scan.stop;
  const stop = () => call("stop").catch(() => {});
  signal.addEventListener("abort", stop);
  onRead = (part) => become(scan, { state: "running", frames_done: 0, frames_total: null, faces: 0, read: part });
  try {
    return await call("read");
  } finally {
    onRead = null;
    signal.removeEventListener("abort", stop);
    check(scan);
  }
}

// ---- results ----

function keep(scan, { report, page, pictures }) {
  const address = (content, type) => {
    const url = URL.createObjectURL(new Blob([content], { type }));
    scan.urls.push(url);
    return url;
  };
  scan.report = JSON.parse(report);
  scan.dataPath = address(report, "application/json");
  scan.pagePath = address(page, "text/html");
  const all = (kind, type) => pictures[kind].map((bytes) => address(bytes, type));
  scan.pictures = { frames: all("frames", "image/jpeg"), faces: all("faces", "image/jpeg"), heat: all("heat", "image/png") };
}

const GONE = { code: "no_such_scan", message: "There is no such result in this tab." };

export async function state(id) {
  if (!scans.has(id)) throw GONE;
  return scans.get(id).state;
}

export async function report(id) {
  if (!scans.get(id)?.report) throw GONE;
  return scans.get(id).report;
}

export const pagePath = (id) => scans.get(id).pagePath;
export const dataPath = (id) => scans.get(id).dataPath;
export const picturePath = (id, kind, number) => scans.get(id)?.pictures[kind][number] ?? "";

/** Forgets a scan and what it holds. */
export async function forget(id) {
  const scan = scans.get(id);
  if (!scan) return;
  cancel(scan);
  for (const url of scan.urls) URL.revokeObjectURL(url);
  scan.urls = [];
  scan.report = null;
}

// ---- without a network ----

if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register(script("offline.js")).catch(() => {
    // Then the page needs a network at the next visit too.
  });
}
