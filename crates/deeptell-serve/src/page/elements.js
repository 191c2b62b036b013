// Making elements without writing markup: nothing that comes from outside can become code.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element: `make("p", {class: "soft"}, "words")`. Handlers are `onclick` and so on. */
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function draw(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Replaces all children. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

export const byId = (id) => document.getElementById(id);

/** Characters that are not seen and change what is: control characters, and marks of direction. */
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Text that shows all of its characters, in the order in which they stand. */
export const plain = (text) => text.replace(UNSEEN, "\ufffd");

/** A file name, isolated from the direction of the text around it. */
export const fileName = (name) => make("bdi", {}, plain(name));

/** `0:07.3`, or `1:02:07.3` from an hour on. */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "?";
  const tenths = Math.round(Math.abs(seconds) * 10);
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60;
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  const sign = seconds < 0 ? "-" : "";
  return hours > 0 ? `${sign}${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${sign}${minutes}:${rest}`;
}

/** `3.1 MB`, in powers of a thousand. */
export function size(bytes) {
  let value = bytes;
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (value < 999.5) return unit === "bytes" ? `${bytes} bytes` : `${+value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}

/** `1 face`, `3 faces`. */
export const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** The color of a probability, as the suffix of a class. */
export function tone(thresholds, probability) {
  if (probability >= thresholds.high) return "fake";
  return probability <= thresholds.low ? "real" : "unsure";
}

/** Tells a screen reader something; the same words twice are said twice. */
export function announce(words) {
  const live = byId("live");
  live.textContent = live.textContent === words ? `${words}\u00a0` : words;
}
