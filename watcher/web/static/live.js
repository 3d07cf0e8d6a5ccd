// Live: the server says that something changed, the same page is fetched again, and only what differs is put in its place.
// A block is compared with what the server sent of it before, not with what scripts made of it.
import { setServerTime, tick } from "./times.js";

// All in milliseconds.
const LEAST = 1000; // between two fetches, however much changes
const SHARE = 5; // a fetch that took long is followed by a pause so many times as long
const QUIET = 250; // after an input, before anything is put in its place: whoever types is not held up…
const PATIENCE = 3000; // …but for no longer than this
const SLICE = 8; // of work at a time
const FAILED = 3000; // after a fetch that brought no page
const LONGEST = 30_000; // between two tries to connect
const sent = new Map(); // what the server last sent of each block and row, without the words of times
let fetching = false;
let again = false;
let timer = 0;
let streaming = false;
let tries = 0;
let next = 0; // when a fetch may begin again
let touched = -Infinity; // when the reader last did something

function bare(element) {
  return element.outerHTML.replace(/(<time [^>]*>)[^<]*/g, "$1");
}

function name(element) {
  return element.dataset.key === undefined ? `#${element.id}` : `${element.parentElement?.id} ${element.dataset.key}`;
}

function remember() {
  for (const element of document.querySelectorAll("[data-live], [data-rows] > [data-key]")) sent.set(name(element), bare(element));
}

// What somebody is at work in is left alone until they are done.
function busy(element) {
  const active = document.activeElement;
  if (active && element.contains(active) && /^(input|textarea|select)$/i.test(active.tagName)) return true;
  if ([...element.querySelectorAll("input:not([type=hidden]), textarea, select")].some(changed)) return true;
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

function changed(field) {
  return field.value !== (field.defaultValue ?? field.querySelector("option[selected]")?.value ?? field.value);
}

function places(element) {
  return [...element.querySelectorAll("a, button, input, summary, select, textarea")];
}

function swap(old, fresh) {
  const at = places(old).indexOf(document.activeElement);
  const open = new Set([...old.querySelectorAll("details[open]")].map((d) => d.dataset.name ?? d.id));
  for (const details of fresh.querySelectorAll("details")) if (open.has(details.dataset.name ?? details.id)) details.open = true;
  if (old.hidden) fresh.hidden = true;
  old.replaceWith(fresh);
  if (at >= 0) places(fresh)[at]?.focus({ preventScroll: true });
}

function take(old, fresh) {
  const text = bare(fresh);
  const key = name(fresh);
  if (sent.get(key) === text || busy(old)) return;
  sent.set(key, text);
  swap(old, document.importNode(fresh, true));
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

// Lets the browser do what it has to, if this has gone on for a while.
function breather() {
  let begun = performance.now();
  return async () => {
    if (performance.now() - begun < SLICE) return;
    await pause(0);
    begun = performance.now();
  };
}

async function quiet() {
  const begun = performance.now();
  while (performance.now() - touched < QUIET && performance.now() - begun < PATIENCE) await pause(QUIET / 2);
}

async function takeRows(body, fresh, breathe) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  body.order = [...fresh.children].map((row) => row.dataset.key);
  let place = body.firstElementChild;
  const sorted = body.closest("table")?.querySelector("thead [aria-sort]");
  for (const row of [...fresh.children]) {
    await breathe();
    const key = row.dataset.key;
    if (known.has(key)) {
      const old = known.get(key);
      // Whoever sorts meanwhile moves rows: a place that is gone is no place.
      if (place?.parentNode !== body) place = null;
      if (old === place) place = place.nextElementSibling;
      else if (!sorted) body.insertBefore(old, place);
      known.delete(key);
      take(old, row);
    } else {
      sent.set(name(row), bare(row));
      body.insertBefore(document.importNode(row, true), place);
    }
  }
  for (const [key, row] of known) {
    sent.delete(`${body.id} ${key}`);
    row.remove();
  }
}

async function merge(page) {
  const breathe = breather();
  // An empty list became one with rows, or the other way round: a new shape, taken whole.
  for (const fresh of page.querySelectorAll("[data-live-shape]")) {
    const old = document.getElementById(fresh.id);
    if (old && old.dataset.liveShape !== fresh.dataset.liveShape) {
      old.replaceWith(document.importNode(fresh, true));
      updated(); // its filter has to work at once: with many rows the rest takes a while
    }
  }
  for (const fresh of page.querySelectorAll("[data-rows]")) {
    const body = document.getElementById(fresh.id);
    if (body) await takeRows(body, fresh, breathe);
  }
  for (const fresh of page.querySelectorAll("[data-live]")) {
    await breathe();
    const old = document.getElementById(fresh.id);
    if (old) take(old, fresh);
  }
  document.title = page.title;
  setServerTime(page.body.dataset.now);
  const [old, fresh] = [document.getElementById("asof"), page.getElementById("asof")];
  if (old && fresh) {
    old.dateTime = fresh.dateTime;
    old.textContent = fresh.textContent;
  }
  tick();
  updated();
}

function updated() {
  document.dispatchEvent(new CustomEvent("updated"));
}

async function refresh() {
  clearTimeout(timer);
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  const begun = performance.now();
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    const text = await answer.text();
    next = performance.now() + Math.max(LEAST, SHARE * (performance.now() - begun));
    await quiet();
    const page = new DOMParser().parseFromString(text, "text/html");
    if (answer.ok && page.body.dataset.now) {
      await merge(page);
      if (document.body.classList.contains("stale")) location.reload(); // the page itself was an error until now
      if (streaming) say(true);
    } else failed(answer.status === 503 ? "can’t see now, " : `failed (${answer.status}), `);
  } catch {
    failed();
  } finally {
    fetching = false;
    if (again) {
      again = false;
      soon();
    }
  }
}

function failed(why) {
  say(false, why);
  next = performance.now() + FAILED;
  again = true;
}

function soon() {
  if (document.hidden) {
    again = true;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, Math.max(0, next - performance.now()));
}

function say(on, why = "not live, ") {
  const live = document.getElementById("live");
  if (!live) return;
  live.classList.toggle("on", on);
  live.classList.toggle("off", !on);
  const word = document.getElementById("live-word");
  const text = on ? "live, " : why;
  if (word.textContent !== text) word.textContent = text;
}

function connect() {
  const stream = new EventSource("/events");
  stream.addEventListener("open", () => {
    tries = 0;
    streaming = true;
    say(true);
    soon(); // what was missed while nothing was heard
  });
  stream.addEventListener("changed", soon);
  stream.addEventListener("error", () => {
    streaming = false;
    say(false);
    stream.close();
    const wait = Math.min(LONGEST, 1000 * 2 ** tries++) * (0.8 + 0.4 * Math.random());
    setTimeout(() => {
      // Without the stream the page still comes anew now and then.
      refresh();
      connect();
    }, wait);
  });
  addEventListener("pagehide", () => stream.close(), { once: true });
}

export function startLive() {
  if (!document.getElementById("live") || document.body.classList.contains("still")) return;
  remember();
  connect();
  for (const kind of ["keydown", "pointerdown", "wheel"]) {
    addEventListener(kind, () => (touched = performance.now()), { capture: true, passive: true });
  }
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && again && !fetching) {
      again = false;
      soon();
    }
  });
}
