// The page: files come in, go to the server one by one, and each becomes a verdict.

import { announce, byId, fileName, make, plain, put, size } from "./elements.js";
import { makePeople } from "./people.js";
import { makePlayer } from "./player.js";
import * as server from "./transfer.js";
import { failurePanel, progressPanel, stageOf, TONES, verdictPanel, WORDS } from "./verdict.js";

const KNOWN_NAME = /\.(mp4|m4v|mov|mkv|webm|avi|3gp|ts|mpg|mpeg|gif|jpe?g|png|webp|bmp)$/i;
/** Milliseconds after which a full queue is worth another try. */
const RETRY_AFTER = 2000;
/** Faults that may be gone the next time. */
const PASSING = ["lost", "unknown", "incomplete", "too_slow", "stopping", "stopped", "internal", "not_stored", "no_such_scan"];

/** Every file of this session, the latest first. `phase` is queued, sending, sent, done or failed. */
const items = [];
let current = null;
let view = null;
let limits = { max_upload_bytes: Infinity, history: 0 };

const isOver = (item) => item.phase === "done" || item.phase === "failed";

// ---- files in ----

function add(files) {
  const added = [...files].map((file) => ({
    file,
    name: plain(file.name),
    bytes: file.size,
    url: URL.createObjectURL(file),
    phase: "queued",
    sent: 0,
  }));
  if (added.length === 0) return;
  items.unshift(...added.toReversed());
  select(added[0]);
  focusVerdict();
  sendNext();
}

/** What can be said about a file before it travels. */
function faultOf(item) {
  if (item.bytes === 0) return { code: "empty", message: "The file has no content." };
  if (item.bytes > limits.max_upload_bytes) {
    return {
      code: "too_large",
      message: `It has ${size(item.bytes)}, and this server takes up to ${size(limits.max_upload_bytes)}. A shorter or smaller copy may do, or a larger limit: deeptell serve --max-upload.`,
    };
  }
  const kind = item.file.type;
  if (!server.TAKES_ANY_NAME && !KNOWN_NAME.test(item.name) && !kind.startsWith("video/") && !kind.startsWith("image/")) {
    return {
      code: "unsupported",
      message: "By its name this is neither a video nor a picture. MP4, MOV, MKV, WebM, AVI, JPEG and PNG can be analyzed.",
    };
  }
  return null;
}

/** One upload at a time; the oldest first. */
async function sendNext() {
  if (items.some((item) => item.phase === "sending")) return;
  const item = items.findLast((item) => item.phase === "queued");
  if (!item) return;
  const fault = faultOf(item);
  if (fault) {
    fail(item, fault);
    return sendNext();
  }
  item.phase = "sending";
  const upload = server.send(item.file, (sent) => {
    item.sent = sent;
    changed(item);
  });
  item.stop = upload.abort;
  changed(item);
  try {
    const scan = await upload.done;
    item.id = scan.id;
    item.phase = "sent";
    keep();
    advance(item, scan);
    if (!isOver(item)) item.stop = server.follow(item.id, (state) => advance(item, state));
  } catch (error) {
    if (error.code === "queue_full" && items.includes(item)) {
      item.phase = "queued";
      item.isTurnedAway = true;
      changed(item);
      setTimeout(sendNext, RETRY_AFTER);
      return;
    }
    if (items.includes(item)) fail(item, error);
  }
  sendNext();
}

/** A new state of a scan. */
async function advance(item, scan) {
  if (isOver(item) || !items.includes(item)) return;
  item.document = scan;
  if (scan.state === "failed") return fail(item, scan.error);
  if (scan.state === "cancelled") return remove(item);
  if (scan.state !== "done") return changed(item);
  try {
    item.report = await server.report(item.id);
    item.phase = "done";
    announce(`${WORDS[item.report.verdict]}: ${item.name}`);
    over(item);
  } catch (error) {
    fail(item, error);
  }
}

function fail(item, error) {
  item.phase = "failed";
  item.error = { ...error, message: plain(error.message) };
  announce(`${item.name} could not be analyzed. ${item.error.message}`);
  over(item);
}

function over(item) {
  item.stop = null;
  keep();
  if (item === current) {
    const hadFocus = byId("panel").contains(document.activeElement);
    showPanel();
    if (hadFocus) focusVerdict();
  }
  showHistory();
}

function retry(item) {
  item.phase = "queued";
  item.sent = 0;
  item.error = item.document = item.id = undefined;
  if (item === current) showPanel();
  focusVerdict();
  showHistory();
  sendNext();
}

/** Cancels what is under way, and has the server forget the rest. */
function remove(item) {
  const place = items.indexOf(item);
  if (place < 0) return;
  items.splice(place, 1);
  item.stop?.();
  if (item.id) server.forget(item.id);
  if (item.url) URL.revokeObjectURL(item.url);
  keep();
  if (item === current) {
    select(null);
    byId("file").focus();
  }
  announce(`${item.name} removed`);
  showHistory();
  sendNext();
}

// ---- what is shown ----

function select(item) {
  current = item;
  showPanel(true);
  showHistory();
}

/** The panel, the player and the people of the current file. */
function showPanel(isAnother = false) {
  const item = current;
  byId("current").hidden = !item;
  document.body.classList.toggle("has-file", Boolean(item));
  document.title = item ? `${item.name} - deeptell` : "deeptell";
  if (isAnother) {
    view?.player.close();
    view = null;
    const player = item && makePlayer(item, (seconds) => view?.people?.moveTo(seconds), hideBlankStage);
    view = item ? { player } : null;
    put(byId("stage"), player?.element);
  }
  const people = byId("people");
  people.hidden = true;
  put(people);
  if (!item) return put(byId("panel"));
  view.update = null;
  hideBlankStage();
  if (item.phase === "failed") {
    view.player.end();
    put(byId("panel"), failurePanel(item, item.file && PASSING.includes(item.error.code) && (() => retry(item))));
  } else if (item.phase === "done") {
    document.title = `${WORDS[item.report.verdict]}: ${item.name} - deeptell`;
    put(byId("panel"), verdictPanel(item));
    if (item.report.people.length > 0) {
      people.hidden = false;
      view.people = makePeople(item, (seconds) => view.player.seek(seconds));
      put(people, view.people.elements);
    }
    view.player.reveal(item.report);
  } else {
    const { panel, update } = progressPanel(item, () => remove(item));
    view.update = update;
    put(byId("panel"), panel);
  }
}

/** A file without a verdict and without a preview has nothing to put on the stage. */
function hideBlankStage() {
  byId("stage").hidden = current?.phase === "failed" && Boolean(view?.player.isBlank());
}

function focusVerdict() {
  byId("verdict")?.focus({ preventScroll: false });
}

function changed(item) {
  if (item === current) view.update?.();
  item.line?.();
}

function showHistory() {
  byId("history").hidden = items.length === 0;
  put(byId("history-list"), items.map(historyLine));
  byId("history-notes").textContent =
    limits.history > 0 ? `The latest ${limits.history} results stay in memory until deeptell ends.` : "";
}

function historyLine(item) {
  const pill = make("span", {});
  item.line = () => {
    const tone = item.phase === "done" ? TONES[item.report.verdict] : "none";
    pill.className = `pill tone-${tone}`;
    const words = item.phase === "done" ? WORDS[item.report.verdict] : item.phase === "failed" ? "Not analyzed" : stageOf(item).words;
    if (pill.textContent !== words) pill.textContent = words;
  };
  item.line();
  return make(
    "li",
    {},
    make("button", { class: "entry", type: "button", "aria-current": item === current ? "true" : null, onclick: () => select(item) }, make("span", { class: "name" }, fileName(item.name)), pill),
    make(
      "button",
      { class: "remove", type: "button", "aria-label": `${isOver(item) ? "Forget" : "Cancel"} ${item.name}`, title: isOver(item) ? "Forget" : "Cancel", onclick: () => remove(item) },
      "×",
    ),
  );
}

// ---- the session ----

/** Notes which scans are ours, so that they are there after the page is loaded again. */
function keep() {
  const known = items.filter((item) => item.id).map(({ id, name, bytes }) => ({ id, name, bytes }));
  if (!server.KEPT) return;
  try {
    sessionStorage.setItem(server.KEPT, JSON.stringify(known));
  } catch {
    // Without storage the history ends with the page.
  }
}

async function restore() {
  let known;
  try {
    known = (server.KEPT && JSON.parse(sessionStorage.getItem(server.KEPT))) ?? [];
  } catch {
    return;
  }
  for (const { id, name, bytes } of known) {
    try {
      const scan = await server.state(id);
      const item = { id, name, bytes, phase: "sent", sent: 1, document: scan };
      items.push(item);
      if (scan.state === "done") {
        item.report = await server.report(id);
        item.phase = "done";
      } else {
        item.stop = server.follow(id, (state) => advance(item, state));
      }
    } catch {
      // Forgotten by the server: it goes from the list too.
    }
  }
  keep();
  showHistory();
}

// ---- the page itself ----

byId("file").addEventListener("change", (event) => {
  add(event.target.files);
  // The same file again is a change too.
  event.target.value = "";
});

let depth = 0;
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
const dragging = (is) => document.body.classList.toggle("dragging", is);
addEventListener("dragenter", (event) => hasFiles(event) && dragging(++depth > 0));
addEventListener("dragleave", (event) => hasFiles(event) && dragging(--depth > 0));
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  dragging(false);
  add(event.dataTransfer.files);
});

server.greet();

try {
  limits = await server.about();
  if (Number.isFinite(limits.max_upload_bytes)) byId("limit").textContent = `, up to ${size(limits.max_upload_bytes)}`;
  byId("version").textContent = `deeptell ${limits.version}.`;
} catch (error) {
  const trouble = byId("trouble");
  trouble.textContent = error?.message ?? "The connection to deeptell was lost.";
  trouble.hidden = false;
}
await restore();
