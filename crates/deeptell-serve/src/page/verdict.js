// The panel beside the player: progress first, then the verdict, or why there is none.

import { count, draw, fileName, make, size } from "./elements.js";
import { dataPath, OPENS_PAGES, pagePath } from "./transfer.js";

export const WORDS = {
  likely_real: "Likely real",
  inconclusive: "Inconclusive",
  likely_fake: "Likely fake",
  no_face: "No face found",
};

export const TONES = { likely_real: "real", inconclusive: "unsure", likely_fake: "fake", no_face: "none" };

const LEDES = {
  likely_fake:
    "The detector sees the marks of face manipulation that it was trained to see. Take this as a lead to follow: some genuine recordings look like this to it.",
  likely_real:
    "The detector sees none of the marks of face manipulation that it knows. A forgery of a kind it has never met can look like this too.",
  inconclusive:
    "The evidence supports neither answer. That is a result, not a failure: a longer, larger or less compressed copy may tell more.",
  no_face:
    "The detector judges faces and found none, so it says nothing about this material, neither that it is genuine nor that it is not.",
};

/** Shapes that tell the verdicts apart without color. */
const ICONS = {
  likely_fake: [["path", { d: "M32 9 58 54H6z" }], ["path", { d: "M32 26v13" }], ["path", { d: "M32 46.5v.5", "stroke-width": 6 }]],
  likely_real: [["circle", { cx: 32, cy: 32, r: 25 }], ["path", { d: "m20.5 33 8 8 15.5-17" }]],
  inconclusive: [
    ["circle", { cx: 32, cy: 32, r: 25 }],
    ["path", { d: "M24.5 26a7.5 7.5 0 1 1 10.5 7c-2 1-3 2.5-3 5" }],
    ["path", { d: "M32 45.5v.5", "stroke-width": 6 }],
  ],
  no_face: [["circle", { cx: 32, cy: 24, r: 11 }], ["path", { d: "M12 54c3-11 11-15 20-15s17 4 20 15" }], ["path", { d: "M8 8l48 48" }]],
  failed: [["path", { d: "M16 6h22l12 12v40H16z" }], ["path", { d: "m25 32 16 16m0-16L25 48" }]],
};

const icon = (name) =>
  draw("svg", { class: "icon", viewBox: "0 0 64 64", "aria-hidden": "true" }, ICONS[name].map(([tag, shape]) => draw(tag, shape)));

function head(iconName, words, name) {
  return make(
    "div",
    { class: "head" },
    icon(iconName),
    make("div", {}, make("h2", { class: "verdict", id: "verdict", tabindex: "-1" }, words), make("p", { class: "file" }, fileName(name))),
  );
}

/** What is happening to a file, in words and as a part from 0 to 1, where that is known. */
export function stageOf(item) {
  const { phase, sent, document: scan } = item;
  if (phase === "queued" && item.isTurnedAway) return { words: "Many files are waiting; trying again in a moment" };
  if (phase === "queued") return { words: "Next in line to be sent" };
  if (phase === "sending" && sent < 1) return { words: `Uploading, ${Math.floor(100 * sent)}%`, part: sent };
  if (phase === "sending") return { words: "Uploaded" };
  if (scan?.state === "waiting") {
    return { words: scan.ahead === 0 ? "Next in line" : `Waiting, ${count(scan.ahead, "file comes", "files come")} first` };
  }
  if (scan?.state === "running" && scan.frames_total) {
    const { frames_done: done, frames_total: total, faces } = scan;
    const words = total === 1 ? "Looking at the picture" : `Looking at frame ${Math.min(done + 1, total)} of ${total}`;
    return { words: done === 0 ? words : `${words}, ${count(faces, "face", "faces")} so far`, part: done / total };
  }
  if (scan?.read < 1) return { words: `Reading the file, ${Math.floor(100 * scan.read)}%`, part: scan.read };
  return { words: "Reading the file" };
}

/** The panel of a file without a result. Its parts are updated in place by `update`. */
export function progressPanel(item, onCancel) {
  const words = make("p", { class: "doing" });
  const bar = make("progress", { max: "1", "aria-label": `Progress of ${item.name}` });
  const panel = make(
    "div",
    { class: "card working" },
    make("h2", { class: "verdict", id: "verdict", tabindex: "-1" }, "Analyzing"),
    make("p", { class: "file" }, fileName(item.name), make("span", { class: "soft" }, ` ${size(item.bytes)}`)),
    bar,
    words,
    make("div", { class: "actions" }, make("button", { class: "button", type: "button", onclick: onCancel }, "Cancel")),
  );
  const update = () => {
    const stage = stageOf(item);
    if (words.textContent !== stage.words) words.textContent = stage.words;
    if (stage.part === undefined) bar.removeAttribute("value");
    else bar.value = stage.part;
  };
  update();
  return { panel, update };
}

const FAILURES = {
  too_large: "This file is too large",
  unsupported: "This file cannot be read here",
  broken: "This file is damaged",
  empty: "This file is empty",
  too_slow: "This took too long",
  lost: "The connection was lost",
  no_such_scan: "This result is no longer kept",
};

/** The panel of a file that got no verdict. */
export function failurePanel(item, onRetry) {
  const { code, message } = item.error;
  return make(
    "div",
    { class: "card banner tone-none" },
    head("failed", FAILURES[code] ?? "This could not be analyzed", item.name),
    make("p", { class: "lede" }, message),
    onRetry ? make("div", { class: "actions" }, make("button", { class: "button", type: "button", onclick: onRetry }, "Try again")) : null,
  );
}

/** The score on its scale, with the zones of the three verdicts. */
function gauge(score, thresholds) {
  const percent = (value) => `${(100 * Math.min(Math.max(value, 0), 1)).toFixed(2)}%`;
  const zone = (name, width) => {
    const span = make("span", { class: `tone-${name}` });
    span.style.width = percent(width);
    return span;
  };
  const at = make("b");
  at.style.left = percent(score);
  const label = make("b", {}, score.toFixed(2));
  // Clear of the words at both ends.
  label.style.left = `clamp(78px, ${percent(score)}, calc(100% - 78px))`;
  return make(
    "div",
    { class: "gauge" },
    make(
      "div",
      { class: "bar", role: "img", "aria-label": `Score ${score.toFixed(3)} on a scale from 0, real, to 1, fake` },
      zone("real", thresholds.low),
      zone("unsure", thresholds.high - thresholds.low),
      zone("fake", 1 - thresholds.high),
      at,
    ),
    make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, "0 real"), label, make("span", {}, "1 fake")),
  );
}

/** The panel of a finished scan. */
export function verdictPanel(item) {
  const { report, id } = item;
  const reasons = report.reasons.map((reason) => make("li", {}, reason.text));
  const base = item.name.replace(/\.[^.]*$/, "") || "report";
  return make(
    "div",
    { class: `card banner tone-${TONES[report.verdict]}` },
    head(report.verdict, WORDS[report.verdict], item.name),
    make("p", { class: "lede" }, LEDES[report.verdict]),
    report.score === null ? null : gauge(report.score, report.model.card.levels.person.thresholds),
    make("ul", { class: "reasons" }, reasons),
    report.warnings.length === 0
      ? null
      : make("div", { class: "warnings" }, make("h3", {}, "Worth knowing"), make("ul", {}, report.warnings.map((warning) => make("li", {}, warning.text)))),
    make(
      "div",
      { class: "actions" },
      OPENS_PAGES ? make("a", { class: "button", href: pagePath(id), target: "_blank", rel: "noopener" }, "Open the full report") : null,
      make("a", { class: "button", href: pagePath(id), download: `${base}.deeptell.html` }, "Save as HTML"),
      make("a", { class: "button", href: dataPath(id), download: `${base}.deeptell.json` }, "Save as JSON"),
    ),
  );
}
