// Times in words go on between two updates, by the server's clock: the reader's may be wrong.
const EVERY = 1000;
let ahead = 0; // how far the server's clock is ahead of this one, in milliseconds

export function serverNow() {
  return Date.now() + ahead;
}

export function setServerTime(iso) {
  const then = Date.parse(iso);
  if (!Number.isNaN(then)) ahead = then - Date.now();
}

// The same words as the server's, so that an update changes nothing.
export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  if (seconds >= 3600) return span(milliseconds);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function tick() {
  const now = serverNow();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const passed = now - Date.parse(time.dateTime);
    put(time, passed >= 5000 ? `${span(passed)} ago` : "just now");
  }
  countDown();
}

function countDown() {
  const now = serverNow();
  for (const time of document.querySelectorAll("time[data-until]")) put(time, countdown(Date.parse(time.dateTime) - now));
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function startClock() {
  setServerTime(document.body.dataset.now);
  let turns = 0;
  setInterval(() => {
    // Every second counts only where something ends.
    if (turns++ % 5 === 0) tick();
    else countDown();
  }, EVERY);
}
