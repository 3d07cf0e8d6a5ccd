// The colours: as the system has them, or light, or dark, as the reader chose; kept in this browser.
const CHOICES = ["system", "light", "dark"];
const WORDS = { system: "as the system", light: "light", dark: "dark" };

export function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

export function nextTheme() {
  choose(CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length]);
}

function choose(theme) {
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  say();
  document.dispatchEvent(new CustomEvent("colours"));
}

function say() {
  document.getElementById("theme")?.setAttribute("aria-label", `Colours: ${WORDS[chosen()]}`);
}

export function startTheme() {
  say();
  document.getElementById("theme")?.addEventListener("click", nextTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("colours")));
}
