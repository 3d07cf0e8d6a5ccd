// Live: the server says that something changed, the same page is fetched again, and only what differs is put in its place.
// A block is compared with what the server sent of it before, not with what scripts made of it.
import { setServerTime, tick } from "./times.js";

const LEAST = 1000; // milliseconds between two fetches, however much changes
const LONGEST = 30_000;
const sent = new Map(); // what the server last sent of each block and row, without the words of times
let fetching = false;
let again = false;
let timer = 0;
let tries = 0;
let last = 0;

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

function takeRows(body, fresh) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  body.order = [...fresh.children].map((row) => row.dataset.key);
  let place = body.firstElementChild;
  const sorted = body.closest("table")?.querySelector("thead [aria-sort]");
  for (const row of [...fresh.children]) {
    const key = row.dataset.key;
    if (known.has(key)) {
      const old = known.get(key);
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

function merge(page) {
  // An empty list became one with rows, or the other way round: a new shape, taken whole.
  for (const fresh of page.querySelectorAll("[data-live-shape]")) {
    const old = document.getElementById(fresh.id);
    if (old && old.dataset.liveShape !== fresh.dataset.liveShape) old.replaceWith(document.importNode(fresh, true));
  }
  for (const fresh of page.querySelectorAll("[data-rows]")) {
    const body = document.getElementById(fresh.id);
    if (body) takeRows(body, fresh);
  }
  for (const fresh of page.querySelectorAll("[data-live]")) {
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
  document.dispatchEvent(new CustomEvent("updated"));
}

async function refresh() {
  clearTimeout(timer);
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  last = performance.now();
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok && page.body.dataset.now) {
      merge(page);
      if (document.body.classList.contains("stale")) location.reload(); // the page itself was an error until now
    } else say(false, answer.status === 503 ? "can’t see now, " : `failed (${answer.status}), `);
  } catch {
    say(false);
  } finally {
    fetching = false;
    if (again) {
      again = false;
      soon();
    }
  }
}

// A server that takes long to answer is asked less often.
function soon() {
  if (document.hidden) {
    again = true;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, Math.max(0, last + LEAST - performance.now()));
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
    say(true);
    soon(); // what was missed while nothing was heard
  });
  stream.addEventListener("changed", soon);
  stream.addEventListener("error", () => {
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
