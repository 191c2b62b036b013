// Talking to the server: sending a file, following its scan, fetching the report.

import { byId } from "./elements.js";

/** Where the ids of scans are kept for as long as the tab lives. */
export const KEPT = "deeptell-scans";

/** Reports can be opened as pages of their own. */
export const OPENS_PAGES = true;

/** Whether files are taken whatever their names: those that could not be analyzed would travel in vain. */
export const TAKES_ANY_NAME = false;

/** What is shown of a file while it is analyzed; null for the file itself, which this page then plays. */
export const preview = () => null;

/** Says where files go. */
export function greet() {
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  byId("where").textContent = isLocal ? "Files stay on this machine" : `Files go to ${location.host} and nowhere else`;
}

const OURS = { "X-Deeptell": "1" };

/** What this server is and takes. */
export async function about() {
  return (await fetch("/api/about")).json();
}

/** The words of an answer other than success. */
function refusalOf(status, text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return { code: "unknown", message: `The server answered with status ${status}, which this page does not know.` };
  }
}

const LOST = {
  code: "lost",
  message: "The connection to deeptell was lost. Is it still running? Then try again.",
};

/**
 * Sends a file. `onProgress` is called with the part that is sent, from 0 to 1.
 * Returns `{done, abort}`: a promise of the scan's document, which rejects with
 * `{code, message}`, and a function that breaks the upload off.
 */
export function send(file, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `/api/scans?name=${encodeURIComponent(file.name)}`);
    for (const [name, value] of Object.entries(OURS)) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(refusalOf(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(LOST));
    request.addEventListener("abort", () => reject({ code: "cancelled", message: "Cancelled." }));
    request.send(file);
  });
  return { done, abort: () => request.abort() };
}

const isOver = (document) => ["done", "failed", "cancelled"].includes(document.state);

/** Tries after which a server that does not answer counts as gone; the browser makes one every few seconds. */
const MOST_TRIES = 4;

/** Follows a scan: `onState` gets its document after each change. Returns a function that stops. */
export function follow(id, onState) {
  const events = new EventSource(`/api/scans/${id}/events`);
  let tries = 0;
  events.addEventListener("open", () => {
    tries = 0;
  });
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    if (isOver(state)) events.close();
    onState(state);
  });
  events.addEventListener("error", async () => {
    // The browser tries again by itself, unless the server said no.
    tries += 1;
    if (events.readyState !== EventSource.CLOSED && tries < MOST_TRIES) return;
    events.close();
    try {
      onState(await state(id));
    } catch (error) {
      onState({ state: "failed", error });
    }
  });
  return () => events.close();
}

async function get(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw LOST;
  }
  if (!response.ok) throw refusalOf(response.status, await response.text());
  return response.json();
}

export const state = (id) => get(`/api/scans/${id}`);
export const report = (id) => get(`/api/scans/${id}/report.json`);
export const pagePath = (id) => `/api/scans/${id}/report.html`;
export const dataPath = (id) => `/api/scans/${id}/report.json`;
export const picturePath = (id, kind, number) => `/api/scans/${id}/pictures/${kind}/${number}`;

/** Cancels a scan, if it is still going on, and forgets it. */
export async function forget(id) {
  try {
    await fetch(`/api/scans/${id}`, { method: "DELETE", headers: OURS });
  } catch {
    // The server is gone, and has forgotten it too.
  }
}
