// The score of one person over time: a drawing, and a slider from one looked-at moment to the next.

import { clock, draw, make, put, tone } from "./elements.js";

const HEIGHT = 190;
const LEFT = 42;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 28;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];

/**
 * The timeline of `person`. `onSeek` is called with seconds when somebody points at a moment.
 * Returns `{element, moveTo}`.
 */
export function makeTimeline(report, person, label, onSeek) {
  const { thresholds } = report.model.card.levels.crop;
  const seen = report.observations.filter((observation) => observation.person === person.id);
  const times = report.frames.map((frame) => frame.pts_seconds);
  const from = Math.min(0, ...times);
  const last = Math.max(report.input.duration_seconds ?? 0, ...times);
  const to = last > from ? last : from + 1;

  const svg = draw("svg", { class: "timeline", "aria-hidden": "true" });
  const element = make(
    "div",
    {
      class: "slider",
      role: "slider",
      tabindex: "0",
      "aria-label": label,
      "aria-valuemin": from.toFixed(2),
      "aria-valuemax": to.toFixed(2),
    },
    svg,
  );
  let width = 0;
  let now = from;
  let cursor = null;
  let ring = null;

  const x = (seconds) => LEFT + ((seconds - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (probability) => TOP + (1 - probability) * (HEIGHT - TOP - BOTTOM);
  const secondsAt = (place) => Math.min(Math.max(from + ((place - LEFT) / (width - LEFT - RIGHT)) * (to - from), from), to);
  const nearest = (seconds) =>
    seen.reduce((best, o) => (Math.abs(o.pts_seconds - seconds) < Math.abs(best.pts_seconds - seconds) ? o : best), seen[0]);

  function ticks() {
    const most = Math.max(2, Math.min(9, Math.floor(width / 80)));
    const step = STEPS.find((step) => (to - from) / step <= most) ?? (to - from) / most;
    const all = [];
    for (let t = Math.ceil(from / step) * step; t <= to + 1e-9; t += step) all.push(t);
    return all;
  }

  /** The thresholds, and the ends of the scale where there is room for them. */
  function labels() {
    const { low, high } = thresholds;
    return [low, high, ...[0, 1].filter((end) => [low, high].every((value) => Math.abs(y(end) - y(value)) > 13))];
  }

  /** Places in `seen` of frames that follow each other: no line where the person is away. */
  function runs() {
    const all = [];
    seen.forEach((o, i) => {
      if (i > 0 && o.frame === seen[i - 1].frame + 1) all.at(-1).push(i);
      else all.push([i]);
    });
    return all;
  }

  function redraw() {
    width = element.clientWidth;
    if (width <= LEFT + RIGHT) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const inner = width - LEFT - RIGHT;
    const zones = [["real", 0, thresholds.low], ["unsure", thresholds.low, thresholds.high], ["fake", thresholds.high, 1]];
    const places = seen.map((o) => [x(o.pts_seconds), y(o.fake_probability)]);
    const score = y(person.score);
    cursor = draw("line", { class: "cursor", y1: TOP - 4, y2: HEIGHT - BOTTOM });
    ring = draw("circle", { class: "ring", r: 9 });
    put(
      svg,
      zones.map(([name, low, high]) => draw("rect", { class: `zone tone-${name}`, x: LEFT, y: y(high), width: inner, height: y(low) - y(high) })),
      [0, thresholds.low, thresholds.high, 1].map((value) => draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) })),
      labels().map((value) => draw("text", { class: "axis", x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2))),
      ticks().map((seconds) =>
        draw("text", { class: "axis", x: x(seconds), y: HEIGHT - 7, "text-anchor": x(seconds) > width - RIGHT - 20 ? "end" : "middle" }, clock(seconds)),
      ),
      report.frames
        .filter((frame, number) => seen.every((o) => o.frame !== number))
        .map((frame) => draw("path", { class: "missing", d: `M${x(frame.pts_seconds)} ${HEIGHT - BOTTOM}v-9` })),
      runs().map((run) => draw("polyline", { class: "curve", points: run.map((i) => places[i].join(",")).join(" ") })),
      draw("line", { class: "score", x1: LEFT, x2: width - RIGHT, y1: score, y2: score }),
      cursor,
      ring,
      seen.map((o, i) => draw("circle", { class: `dot tone-${tone(thresholds, o.fake_probability)}`, cx: places[i][0], cy: places[i][1], r: 5.5 })),
    );
    moveTo(now);
  }

  function moveTo(seconds) {
    now = Math.min(Math.max(seconds, from), to);
    const o = nearest(now);
    element.setAttribute("aria-valuenow", now.toFixed(2));
    element.setAttribute("aria-valuetext", `${clock(now)}; nearest score ${o.fake_probability.toFixed(2)} at ${clock(o.pts_seconds)}`);
    if (!cursor) return;
    cursor.setAttribute("x1", x(now));
    cursor.setAttribute("x2", x(now));
    ring.setAttribute("cx", x(o.pts_seconds));
    ring.setAttribute("cy", y(o.fake_probability));
  }

  const point = (event) => onSeek(secondsAt(event.clientX - element.getBoundingClientRect().left));
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    point(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) point(event);
  });
  element.addEventListener("keydown", (event) => {
    const earlier = seen.filter((o) => o.pts_seconds < now - 0.02).at(-1);
    const later = seen.find((o) => o.pts_seconds > now + 0.02);
    const next = {
      ArrowLeft: earlier,
      ArrowDown: earlier,
      ArrowRight: later,
      ArrowUp: later,
      Home: seen[0],
      End: seen.at(-1),
    }[event.key];
    if (!["ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    if (next) onSeek(next.pts_seconds);
  });

  new ResizeObserver(redraw).observe(element);
  moveTo(from);
  return { element, moveTo };
}
