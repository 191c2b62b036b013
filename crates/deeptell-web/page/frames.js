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
 * `count` spread evenly where it is null. Each is `{frame, total, seconds, duration}`; the duration is that of the video.
 * When `signal` is aborted, it throws the reason.
 */
export async function* framesOf(url, wanted, count, signal) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  const stopped = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  stopped.catch(() => {});
  // What the browser does not answer is not waited for.
  const unlessStopped = (answer) => Promise.race([answer, stopped]);
  try {
    const loaded = arrives(video, "loadeddata");
    video.src = url;
    await unlessStopped(loaded);
    if (video.videoWidth === 0) throw new NotVisible();
    const first = timeOf(video) ?? 0;
    const moments = wanted ?? spread(video.duration, count);
    for (const [index, from, until] of moments) {
      const frame = await unlessStopped(frameAt(video, first, index, from, until));
      yield { frame, total: moments.length, seconds: from, duration: video.duration };
    }
  } finally {
    spare = null;
    video.removeAttribute("src");
    video.load();
  }
}

/** The centers of `count` equal parts, each as a frame of unknown number. */
function spread(duration, count) {
  if (!Number.isFinite(duration) || duration <= 0) throw new NotPlayable("its length is unknown");
  return Array.from({ length: count }, (_, i) => (duration * (2 * i + 1)) / (2 * count)).map((at) => [-1, at, at]);
}

/** What is wrong with a video in words; browsers say it in the names of their parts. */
const faultOf = ({ error }) => (error?.code === MediaError.MEDIA_ERR_DECODE ? "decoding failed" : "");

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
    const failed = () => end(reject, new NotPlayable(faultOf(video)));
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

/** Whether the browser gives frames as they are decoded, and tells how they are turned. */
const HAS_FRAMES = "VideoFrame" in globalThis && "rotation" in VideoFrame.prototype;

/** The frame on screen, to be closed. */
function shownFrame(video) {
  try {
    return new VideoFrame(video);
  } catch {
    throw new NotPlayable("it shows no frame");
  }
}

/** The same; null where the browser has none. */
const frameOf = (video) => (HAS_FRAMES ? shownFrame(video) : null);

/** When the frame on screen begins, in seconds; null where the browser does not tell. */
function timeOf(video) {
  const frame = frameOf(video);
  const seconds = frame && frame.timestamp / 1e6;
  frame?.close();
  return seconds;
}

/** How often a frame is sought before it is played to. */
const TRIES = 4;
/** Where to start to play to a frame, in seconds before it, and how fast. */
const RUNS = [[0.5, 0.25], [2, 0.25], [8, 1], [0.5, 0.0625]];

/** The frame that is shown from `from` to `until`, both from the time of the `first` one. */
async function frameAt(video, first, index, from, until) {
  if (!HAS_FRAMES) {
    await seek(video, first + (from + until) / 2);
    return { ...pixelsOf(video), index };
  }
  // A timestamp is a whole number of microseconds. Without a list of frames there is none to compare it with.
  const within = until === from ? Infinity : Math.min(0.002, (until - from) / 2);
  const found = (await soughtFrame(video, first + from, first + until, within)) ?? (await playedFrame(video, first + from, within));
  if (!found) throw new NotPlayable(`it does not show the frame at ${from.toFixed(3)} s`);
  try {
    return { ...(await planesOf(found)), index };
  } finally {
    found.close();
  }
}

async function seek(video, seconds) {
  const arrived = arrives(video, "seeked");
  video.currentTime = seconds;
  await arrived;
}

/** The frame on screen if it begins at `begin`; null otherwise, with how much later it begins. */
function frameIf(video, begin, within) {
  const frame = shownFrame(video);
  const late = frame.timestamp / 1e6 - begin;
  if (Math.abs(late) < within) return { frame, late };
  frame.close();
  return { frame: null, late };
}

/** The frame that begins at `begin`, by seeking; null where that leads to others. */
async function soughtFrame(video, begin, end, within) {
  // In the middle of its time: at its very start, browsers show the one before.
  let target = (begin + end) / 2;
  for (let tries = 0; tries < TRIES; tries += 1) {
    await seek(video, target);
    const { frame, late } = frameIf(video, begin, within);
    if (frame) return frame;
    // The clock of the browser may differ, or the frame was not there yet.
    target = tries % 2 === 0 ? target - late : (begin + end) / 2;
  }
  return null;
}

/**
 * The same by playing: browsers seek by the order in which frames are stored, so that those shown just before a keyframe
 * cannot be sought. Null where the frame is not shown, or browsers do not tell which one is.
 */
async function playedFrame(video, begin, within) {
  if (!video.requestVideoFrameCallback) return null;
  for (const [before, rate] of RUNS) {
    await seek(video, Math.max(begin - before, 0));
    video.playbackRate = rate;
    const frame = await passing(video, begin, within);
    if (frame) return frame;
  }
  return null;
}

/** Plays until the frame that begins at `begin` is shown, or a later one, or the end. */
function passing(video, begin, within) {
  return new Promise((resolve, reject) => {
    let request = 0;
    const end = (settle, value) => {
      clearTimeout(timer);
      video.cancelVideoFrameCallback(request);
      for (const name of ["error", "ended"]) video.removeEventListener(name, over);
      video.pause();
      settle(value);
    };
    const over = () => (video.error ? end(reject, new NotPlayable(faultOf(video))) : end(resolve, null));
    const timer = setTimeout(over, PATIENCE);
    const look = () => {
      const { frame, late } = frameIf(video, begin, within);
      if (frame || late > 0) end(resolve, frame);
      else request = video.requestVideoFrameCallback(look);
    };
    for (const name of ["error", "ended"]) video.addEventListener(name, over);
    request = video.requestVideoFrameCallback(look);
    video.play().catch(over);
  });
}

/** The planes of a frame, with what their colors mean. */
async function planesOf(frame) {
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
    turn: frame.rotation,
    isFlipped: frame.flip === true,
  };
}

/** The frame on screen through a canvas, upright, for browsers without such frames: its colors differ slightly. */
function pixelsOf(video) {
  const { videoWidth: width, videoHeight: height } = video;
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(video, 0, 0);
  const { data } = canvas.getImageData(0, 0, width, height);
  return { format: "RGBA", width, height, data: new Uint8Array(data.buffer), planes: [0, width * 4], matrix: 2, isFullRange: true, turn: 0, isFlipped: false };
}
