// The people of a report: verdict, timeline and faces of each.

import { clock, count, make, tone } from "./elements.js";
import { makeTimeline } from "./timeline.js";
import { picturePath } from "./transfer.js";
import { TONES, WORDS } from "./verdict.js";

/** At most this many pictures of one person. */
const MOST_PICTURES = 36;

/** All of a short list, else `MOST_PICTURES` evenly spread over it. */
function thinned(all) {
  const kept = Math.min(all.length, MOST_PICTURES);
  return Array.from({ length: kept }, (_, i) => all[Math.floor((i * all.length) / kept)]);
}

const isMoving = (report) => report.frames.length > 1;

/** At most this many time ranges are named one by one. */
const MOST_RANGES = 6;

/** `from 0:00.0 to 0:05.2 and at 0:09.0`. */
function inWords(ranges) {
  const named = ranges.length > MOST_RANGES ? MOST_RANGES - 1 : ranges.length;
  const parts = ranges.slice(0, named).map((range) => {
    const [from, to] = [clock(range.first_pts_seconds), clock(range.last_pts_seconds)];
    return from === to ? `at ${from}` : `from ${from} to ${to}`;
  });
  if (named < ranges.length) parts.push(`${ranges.length - named} times more`);
  return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts.join("");
}

function seenIn(report, person) {
  const width = `about ${Math.round(person.median_crop_width)} px wide`;
  if (!isMoving(report)) return `score ${person.score.toFixed(2)} · ${width}`;
  return `score ${person.score.toFixed(2)} · in ${person.frames} of ${count(report.frames.length, "frame", "frames")} · ${inWords(person.ranges)} · ${width}`;
}

/** The people of `item.report`; `onSeek` is called with seconds. Returns `{elements, moveTo}`. */
export function makePeople(item, onSeek) {
  const { report } = item;
  const first = (person) => (person.id === report.decisive_person ? 1 : 0);
  const sorted = [...report.people].sort(
    (a, b) => first(b) - first(a) || Number(b.judgeable) - Number(a.judgeable) || b.score - a.score,
  );
  const people = sorted.map((person) => makePerson(item, person, onSeek));
  return {
    elements: [
      make("h2", { id: "people-title" }, count(report.people.length, "person", "people")),
      hasHeat(item) ? heatSwitch() : null,
      people.map((person) => person.element),
    ].flat(),
    moveTo: (seconds) => people.forEach((person) => person.moveTo(seconds)),
  };
}

const hasHeat = (item) => (item.document?.pictures?.heat ?? 0) > 0;

/** What shows and hides the heat maps; a style rule does the work. */
function heatSwitch() {
  return make(
    "div",
    { class: "heat-switch" },
    make("input", { type: "checkbox", id: "heat", class: "switch", "aria-describedby": "heat-key" }),
    make("label", { for: "heat" }, "Show where the evidence for manipulation lies"),
    make(
      "p",
      { class: "soft small", id: "heat-key" },
      "One scale for all pictures: the redder, the stronger. It tells where the network finds traces, not what they are; a genuine face can have warm areas, too.",
    ),
  );
}

function makePerson(item, person, onSeek) {
  const { report } = item;
  const number = person.id + 1;
  const label = `Score of person ${number} over time`;
  const timeline = isMoving(report) ? makeTimeline(report, person, label, onSeek) : null;
  const strip = makeStrip(item, person, onSeek);
  const isDecisive = person.id === report.decisive_person;
  const element = make(
    "section",
    { class: "person", "aria-labelledby": `person-${number}` },
    make(
      "div",
      { class: "head" },
      make("h3", { id: `person-${number}` }, `Person ${number}`),
      make("span", { class: `pill tone-${TONES[person.verdict]}` }, WORDS[person.verdict]),
      make("span", { class: "soft" }, seenIn(report, person)),
    ),
    // The panel has the reasons of the decisive one.
    isDecisive ? null : make("ul", { class: "reasons soft" }, person.reasons.map((reason) => make("li", {}, reason.text))),
    timeline?.element,
    strip.element,
  );
  const moveTo = (seconds) => {
    timeline?.moveTo(seconds);
    strip.moveTo(seconds);
  };
  moveTo(0);
  return { element, moveTo };
}

/** The person's face in every frame; each goes to its moment. */
function makeStrip(item, person, onSeek) {
  const { report, id } = item;
  const { thresholds } = report.model.card.levels.crop;
  const seen = report.observations.map((observation, number) => ({ ...observation, number })).filter((o) => o.person === person.id);
  const faces = thinned(seen).map((o) => {
    const [at, p] = [clock(o.pts_seconds), o.fake_probability.toFixed(2)];
    const picture = make("img", { src: picturePath(id, "faces", o.number), alt: "", width: "144", height: "144" });
    const heat = hasHeat(item) ? make("img", { class: "heat", src: picturePath(id, "heat", o.number), alt: "", width: "28", height: "28" }) : null;
    const button = make(
      "button",
      {
        class: `face tone-${tone(thresholds, o.fake_probability)}`,
        type: "button",
        "aria-label": isMoving(report) ? `Face at ${at}, score ${p}: go there` : `Face, score ${p}`,
        onclick: () => onSeek(o.pts_seconds),
      },
      make("span", { class: "crop" }, picture, heat),
      make("span", { class: "caption" }, make("span", {}, isMoving(report) ? at : ""), make("b", {}, p)),
    );
    return { ...o, button };
  });
  return {
    element: make("ul", { class: "strip" }, faces.map((face) => make("li", {}, face.button))),
    moveTo(seconds) {
      const near = faces.reduce((best, face) => (Math.abs(face.pts_seconds - seconds) < Math.abs(best.pts_seconds - seconds) ? face : best), faces[0]);
      for (const face of faces) {
        if (face === near) face.button.setAttribute("aria-current", "true");
        else face.button.removeAttribute("aria-current");
      }
    },
  };
}
