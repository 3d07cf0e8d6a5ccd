// Filter, choice and sorting of a list, in the browser: the rows are all there. The state stands in the address.
const words = new WeakMap();
const waiting = new Set();

function textOf(row) {
  let text = words.get(row);
  if (text === undefined) {
    // The choice of a name, a model, a status: what is read, in lower case; times would only confuse.
    text = `${row.textContent} ${row.dataset.key ?? ""}`.toLowerCase();
    words.set(row, text);
  }
  return text;
}

function parsed(query) {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  return terms.map((term) => (term.length > 1 && term[0] === "-" ? [term.slice(1), false] : [term, true]));
}

class List {
  constructor(body) {
    this.body = body;
    this.query = document.querySelector(`[data-filter="#${body.id}"]`);
    this.choice = document.querySelector(`[data-choice="#${body.id}"]`);
    this.found = document.querySelector(`[data-found="#${body.id}"]`);
    this.none = document.querySelector(`#no-match`);
    this.table = body.closest("table");
    this.column = -1;
    this.down = false;
    this.listen();
    this.fromAddress();
    this.apply();
  }

  listen() {
    this.query?.addEventListener("input", () => this.soon());
    this.choice?.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.choose(button.dataset.show);
    });
    this.table?.querySelectorAll("thead th[data-sort]").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => this.sortBy(column));
    });
  }

  // Many keys in one frame are one filtering.
  soon() {
    if (waiting.has(this)) return;
    waiting.add(this);
    requestAnimationFrame(() => {
      waiting.delete(this);
      this.apply();
      this.toAddress();
    });
  }

  choose(show) {
    this.show = show;
    for (const button of this.choice.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === show));
    }
    this.soon();
  }

  sortBy(column) {
    if (this.column !== column) [this.column, this.down] = [column, false];
    else if (!this.down) this.down = true;
    else [this.column, this.down] = [-1, false]; // the server's order: what needs eyes first
    this.sort();
    this.toAddress();
  }

  heads() {
    return [...(this.table?.querySelectorAll("thead th[data-sort]") ?? [])];
  }

  sort() {
    this.heads().forEach((head, column) => {
      if (column === this.column) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const rows = [...this.body.children];
    let ordered = rows;
    if (this.column >= 0) {
      const number = this.heads()[this.column].dataset.sort === "number";
      const value = (row) => {
        const cell = row.children[this.column];
        return number ? Number(cell.dataset.v) : cell.textContent.trim().toLowerCase();
      };
      const keyed = rows.map((row) => [value(row), row]);
      const sign = this.down ? -1 : 1;
      keyed.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
      ordered = keyed.map(([, row]) => row);
    } else if (this.body.order) {
      const place = new Map(this.body.order.map((key, i) => [key, i]));
      ordered = rows.sort((a, b) => (place.get(a.dataset.key) ?? 0) - (place.get(b.dataset.key) ?? 0));
    }
    if (ordered.some((row, i) => row !== this.body.children[i])) this.body.append(...ordered);
  }

  apply() {
    const terms = parsed(this.query?.value ?? "");
    const show = this.show ?? "";
    let shown = 0;
    for (const row of this.body.children) {
      const text = terms.length ? textOf(row) : "";
      const fits = (!show || row.classList.contains(show)) && terms.every(([term, wanted]) => text.includes(term) === wanted);
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) shown++;
    }
    const narrowed = terms.length > 0 || show !== "";
    if (this.found) this.found.textContent = narrowed ? `${shown} of ${this.body.children.length}` : "";
    if (this.none) this.none.hidden = shown > 0 || this.body.children.length === 0;
    if (this.table) this.table.hidden = shown === 0 && narrowed;
  }

  clear() {
    if (this.query) this.query.value = "";
    if (this.choice) this.choose("");
    this.soon();
  }

  fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (this.query && asked.get("q")) this.query.value = asked.get("q");
    if (this.choice && ["open", "firing"].includes(asked.get("show"))) this.choose(asked.get("show"));
    const [column, way] = (asked.get("sort") ?? "").split(".");
    if (/^\d$/.test(column ?? "") && this.heads()[column]) [this.column, this.down] = [Number(column), way === "down"];
    if (this.column >= 0) this.sort();
  }

  toAddress() {
    const state = new URLSearchParams();
    if (this.query?.value) state.set("q", this.query.value);
    if (this.show) state.set("show", this.show);
    if (this.column >= 0) state.set("sort", `${this.column}.${this.down ? "down" : "up"}`);
    const hash = state.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }
}

export function startLists() {
  const lists = new Map();
  const take = () => {
    for (const body of document.querySelectorAll("[data-rows]")) {
      const known = lists.get(body.id);
      if (known?.body === body) {
        if (known.column >= 0) known.sort();
        known.apply();
      } else {
        if (!body.order) body.order = [...body.children].map((row) => row.dataset.key);
        lists.set(body.id, new List(body));
      }
    }
  };
  take();
  document.addEventListener("updated", take);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-clear]")) for (const list of lists.values()) list.clear();
  });
}
