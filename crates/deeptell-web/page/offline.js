// Keeps the files of the page, so that it works without a network. `cargo xtask web` fills in the two values below:
// with other files it is another script, and the browser installs it anew.

const NAME = "deeptell-{{digest}}";
const FILES = ["{{files}}"];

addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(NAME);
    try {
      await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
    } catch (error) {
      // No room, or no network: an empty cache would serve nothing.
      await caches.delete(NAME);
      throw error;
    }
    await skipWaiting();
  };
  event.waitUntil(fill());
});

addEventListener("activate", (event) => {
  const clear = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("deeptell-") && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(clear());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  const answer = async () => {
    const cache = await caches.open(NAME);
    // Of the page there is one name among the files, and others lead to it.
    const isPage = request.mode === "navigate" && new URL(request.url).pathname.endsWith("/index.html");
    return (await cache.match(isPage ? "./" : request, { ignoreSearch: true })) ?? fetch(request);
  };
  event.respondWith(answer());
});
