// The keyboard: rows, the filter, the pages. Keys that are typed into a field are left to the field.
import { nextTheme } from "./colours.js";

const PAGES = { j: "/", a: "/alerts", p: "/proposals", s: "/silences", r: "/receivers", w: "/watcher" };
let leader = false;

function rows() {
  return [...document.querySelectorAll("[data-row]")].filter((link) => link.offsetParent !== null);
}

function move(by) {
  const all = rows();
  if (!all.length) return;
  const row = document.activeElement?.closest?.("[data-key]");
  const here = all.findIndex((link) => link === document.activeElement || (row && row.contains(link)));
  const next = all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + by))];
  next.focus({ focusVisible: true, preventScroll: true });
  (next.closest("[data-key]") ?? next).scrollIntoView({ block: "nearest" });
}

function typing(target) {
  return target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);
}

const ACTS = {
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.getElementById("filter")?.focus(),
  "?": () => document.getElementById("help")?.showModal(),
  t: nextTheme,
  u: () => location.assign("/"),
  g: () => {
    leader = true;
    setTimeout(() => (leader = false), 1200);
  },
};

function escape(target) {
  if (target.id !== "filter") return;
  if (target.value) {
    target.value = "";
    target.dispatchEvent(new Event("input", { bubbles: true }));
  } else target.blur();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = event.target;
  if (event.key === "Escape") return escape(target);
  if (document.querySelector("dialog[open]")) return;
  if (typing(target)) {
    if (target.id === "filter" && event.key === "Enter") {
      event.preventDefault();
      move(1);
    }
    return;
  }
  if (leader) {
    leader = false;
    if (PAGES[event.key]) location.assign(PAGES[event.key]);
    return;
  }
  const act = ACTS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
}

export function startKeys() {
  document.addEventListener("keydown", pressed);
  document.getElementById("help-open")?.addEventListener("click", () => document.getElementById("help").showModal());
}
