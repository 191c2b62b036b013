// The frames of a video, as the browser decodes them.

/** The browser cannot play the file, or not to its end. */
export class NotPlayable extends Error {}

/** The file plays, and shows nothing. */
export class NotVisible extends Error {}

/** Milliseconds after which a browser that does not answer has failed. */
const PATIENCE = 20000;

/** Codes of YUV matrices in ITU-T H.273; 2 is none. */
const MATRICES = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6, "bt2020-ncl": 9 };
const FORMATS = ["I420", "I420A", "I422", "I444", "NV12", "RGBA", "RGBX", "BGRA", "BGRX"];

/**
 * Frames of the video at `url`: those that `wanted` lists, as `[index, from, until]` in seconds from the first frame, or
 * `count` spread evenly where it is null. Each is `{frame, total, seconds}`.
 */
export async function* framesOf(url, wanted, count) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  try {
    const loaded = arrives(video, "loadeddata");
    video.src = url;
    await loaded;
    if (video.videoWidth === 0) throw new NotVisible();
    const first = timeOf(video) ?? 0;
    const moments = wanted ?? spread(video.duration, count);
    for (const [index, from, until] of moments) {
      yield { frame: await frameAt(video, first, index, from, until), total: moments.length, seconds: from };
    }
  } finally {
    spare = null;
    video.removeAttribute("src");
    video.load();
  }
}

/** The centres of `count` equal parts, each as a frame of unknown number. */
function spread(duration, count) {
  if (!Number.isFinite(duration) || duration <= 0) throw new NotPlayable("its length is unknown");
  return Array.from({ length: count }, (_, i) => (duration * (2 * i + 1)) / (2 * count)).map((at) => [-1, at, at]);
}

/** Waits for an event of the video. */
function arrives(video, name) {
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      clearTimeout(timer);
      video.removeEventListener(name, done);
      video.removeEventListener("error", failed);
      settle(value);
    };
    const done = () => end(resolve);
    const failed = () => end(reject, new NotPlayable(video.error?.message ?? ""));
    const timer = setTimeout(() => end(reject, new NotPlayable("it stopped answering")), PATIENCE);
    video.addEventListener(name, done);
    video.addEventListener("error", failed);
  });
}

/** The memory of the frame before, which the worker has read: large frames are garbage for too long otherwise. */
let spare = null;

/** Takes back the memory of a frame. */
export function reuse(buffer) {
  spare = buffer;
}

function room(bytes) {
  const buffer = spare?.byteLength === bytes ? spare : new ArrayBuffer(bytes);
  spare = null;
  return new Uint8Array(buffer);
}

/** When the frame on screen begins, in seconds; null where the browser does not tell. */
function timeOf(video) {
  if (!("VideoFrame" in globalThis)) return null;
  const frame = new VideoFrame(video);
  const seconds = frame.timestamp / 1e6;
  frame.close();
  return seconds;
}

/** The frame that is shown from `from` to `until`, both from the time of the `first` one. */
async function frameAt(video, first, index, from, until) {
  // In the middle of its time: at its very start, browsers show the one before.
  let target = first + (from + until) / 2;
  for (let tries = 0; tries < 3; tries += 1) {
    const arrived = arrives(video, "seeked");
    video.currentTime = target;
    await arrived;
    const shown = timeOf(video);
    if (shown === null || until === from) break;
    // A timestamp is a whole number of microseconds.
    const late = shown - (first + from);
    if (Math.abs(late) < Math.min(0.002, (until - from) / 2)) break;
    target -= late;
  }
  const frame = "VideoFrame" in globalThis ? await planesOf(video) : pixelsOf(video);
  return { ...frame, index };
}

/** The planes of the frame on screen, with what their colours mean. */
async function planesOf(video) {
  const frame = new VideoFrame(video);
  try {
    // What the program has no converter for, the browser converts.
    const options = FORMATS.includes(frame.format) ? {} : { format: "RGBA" };
    const data = room(frame.allocationSize(options));
    const planes = await frame.copyTo(data, options);
    const { width, height } = frame.visibleRect;
    const { matrix, fullRange } = frame.colorSpace;
    return {
      format: options.format ?? frame.format,
      width,
      height,
      data,
      planes: planes.flatMap(({ offset, stride }) => [offset, stride]),
      matrix: MATRICES[matrix] ?? 2,
      isFullRange: fullRange === true,
      turn: frame.rotation ?? 0,
    };
  } finally {
    frame.close();
  }
}

/** The frame on screen through a canvas, for browsers without `VideoFrame`: its colours differ slightly. */
function pixelsOf(video) {
  const { videoWidth: width, videoHeight: height } = video;
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(video, 0, 0);
  const { data } = canvas.getImageData(0, 0, width, height);
  return { format: "RGBA", width, height, data: new Uint8Array(data.buffer), planes: [0, width * 4], matrix: 2, isFullRange: true, turn: 0 };
}
