// The stage: the file as the browser plays it, or else the frames that were analyzed.

import { clock, count, draw, make, put, tone } from "./elements.js";
import { picturePath, preview } from "./transfer.js";

const PICTURE_NAME = /\.(jpe?g|png|webp|bmp)$/i;

/** Whether a file is shown as a picture and not played. */
export const isPicture = (item) => item.report ? item.report.input.kind === "image" : PICTURE_NAME.test(item.name);

/**
 * The stage of one file. `onTime` is called with the time in seconds when the player moves, and
 * `onFall` when there is nothing to play. `reveal(report)` adds the faces, `seek(seconds)` goes to
 * a moment, `end()` plays a file whose analysis has failed, `isBlank()` says whether nothing is seen, and `close()` lets go of
 * the file.
 */
export function makePlayer(item, onTime, onFall) {
  const notes = make("p", { class: "soft small" });
  const marks = draw("svg", { class: "marks", "aria-hidden": "true", preserveAspectRatio: "none" });
  const screen = make("div", { class: "screen" });
  const element = make("div", { class: "player" }, screen, notes);
  let report = null;
  let media = null;
  let still = null;
  let isWaiting = false;

  function show() {
    const meanwhile = item.phase === "done" || item.phase === "failed" ? null : preview(item);
    isWaiting = meanwhile !== null && !isPicture(item);
    if (item.bytes === 0) {
      fall();
    } else if (item.url && isPicture(item)) {
      media = make("img", { src: item.url, alt: `The picture ${item.name}`, onerror: fall });
      put(screen, media, marks);
    } else if (isWaiting) {
      put(screen, meanwhile);
    } else if (item.url) {
      media = make("video", { src: item.url, controls: true, playsinline: true, preload: "auto", "aria-label": `The video ${item.name}` });
      media.muted = true;
      media.addEventListener("error", fall);
      media.addEventListener("loadedmetadata", () => {
        // Sound alone plays too, and shows nothing.
        if (media?.videoWidth === 0) fall();
      });
      for (const moved of ["timeupdate", "seeked"]) media.addEventListener(moved, () => media && moveTo(media.currentTime));
      put(screen, media, marks);
    } else {
      fall();
    }
  }

  function end() {
    if (isWaiting) show();
  }

  /** What plays a file keeps many of its frames, until it is collected or told to let go. */
  function close() {
    const player = media;
    media = null;
    if (!(player instanceof HTMLVideoElement)) return;
    player.removeAttribute("src");
    player.load();
  }

  /** The browser cannot show the file, or no longer has it. */
  function fall() {
    media = null;
    const why = item.url ? "This browser cannot play this file." : "The file itself is no longer at hand.";
    notes.textContent = report && report.frames.length > 0 ? `${why} Below are the frames that were analyzed.` : why;
    if (!report || report.frames.length === 0) {
      put(screen, make("div", { class: "empty" }, item.url ? "No preview" : "No picture kept"));
      onFall();
      return;
    }
    still = make("img", { alt: "" });
    put(screen, still, marks);
    moveTo(report.frames[0].pts_seconds);
  }

  const nearest = (seconds) =>
    report.frames.reduce((best, frame, i) => (Math.abs(frame.pts_seconds - seconds) < Math.abs(report.frames[best].pts_seconds - seconds) ? i : best), 0);

  function moveTo(seconds) {
    onTime(seconds);
    if (!report || report.frames.length === 0) return;
    const number = nearest(seconds);
    const frame = report.frames[number];
    if (still) {
      still.src = picturePath(item.id, "frames", number);
      still.alt = `Frame at ${clock(frame.pts_seconds)}, ${count(frame.faces, "face", "faces")}`;
    }
    // Boxes belong to single frames: shown there, and not while something else is seen.
    const fits = still !== null || isPicture(item) || Math.abs(frame.pts_seconds - seconds) < 0.5 / (report.input.frames_per_second || 10);
    mark(fits ? number : -1, frame);
  }

  function mark(number, frame) {
    const { thresholds } = report.model.card.levels.crop;
    const faces = report.observations.filter((seen) => seen.frame === number);
    marks.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    put(
      marks,
      faces.map(({ bbox, fake_probability: p }) =>
        draw("rect", {
          class: `tone-${tone(thresholds, p)}`,
          x: bbox.x1,
          y: bbox.y1,
          width: Math.max(bbox.x2 - bbox.x1, 0),
          height: Math.max(bbox.y2 - bbox.y1, 0),
          rx: frame.width / 120,
        }),
      ),
    );
  }

  show();
  return {
    element,
    end,
    close,
    isBlank: () => media === null && still === null,
    seek(seconds) {
      if (media instanceof HTMLVideoElement) media.currentTime = seconds;
      moveTo(seconds);
    },
    reveal(found) {
      report = found;
      end();
      if (media === null) fall();
      else moveTo(media.currentTime ?? 0);
    },
  };
}
