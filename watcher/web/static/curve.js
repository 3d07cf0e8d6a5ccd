// The curve of a job: drawn by uPlot from the rows that the server gives, with what happened marked on it.
// Drag zooms (and asks for more rows where the server had thinned them), pointing reads values, colours follow the page.
const SERIES = {
  train: { label: "train", scale: "loss", width: 1.2 },
  smoothed: { label: "smoothed", scale: "loss", width: 2.2 },
  eval: { label: "eval", scale: "loss", width: 1.8, points: true },
  learning_rate: { label: "learning rate", scale: "rate", width: 1.5 },
  grad_norm: { label: "gradient norm", scale: "norm", width: 1.1 },
};
const NAMES = Object.keys(SERIES);
const RAIL = 14; // pixels above the curve for what is marked

const number = (value) => (value == null ? "–" : Number(value.toPrecision(4)).toString());

class Curve {
  constructor(box) {
    this.box = box;
    this.place = document.getElementById("plot");
    this.readout = document.getElementById("readout");
    this.hint = this.readout.textContent;
    this.shown = new Set(NAMES.filter((name) => this.button(name)?.getAttribute("aria-pressed") === "true"));
    this.log = false;
    this.window = null; // the steps between which the reader zoomed
    this.listen();
  }

  button(name) {
    return this.box.querySelector(`[data-series="${name}"]`);
  }

  listen() {
    this.box.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.series) this.toggle(button.dataset.series);
      else if ("log" in button.dataset) this.toggleLog();
      else if ("whole" in button.dataset) this.whole();
    });
    this.place.addEventListener("keydown", (event) => this.read(event));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(input|textarea|select)$/i.test(event.target.tagName)) return;
      if (event.key === "l") this.toggleLog();
      if (event.key === "z") this.whole();
    });
    document.addEventListener("colours", () => this.draw());
    document.addEventListener("updated", () => {
      const version = document.getElementById("curve-version")?.dataset.version;
      if (version !== String(this.data?.version)) this.load();
    });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.place);
  }

  async load() {
    const url = new URL(this.box.dataset.curve, location.href);
    if (this.window) {
      url.searchParams.set("from", this.window[0]);
      url.searchParams.set("to", this.window[1]);
    }
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(String(answer.status));
      this.data = await answer.json();
      this.box.hidden = false;
      document.getElementById("curve-failed").hidden = true;
      this.draw();
      this.list();
      this.box.dataset.drawn = this.data.version;
    } catch {
      document.getElementById("curve-failed").hidden = this.data !== undefined;
    }
  }

  toggle(name) {
    if (!this.shown.delete(name)) this.shown.add(name);
    this.button(name).setAttribute("aria-pressed", String(this.shown.has(name)));
    this.draw();
  }

  toggleLog() {
    this.log = !this.log;
    this.box.querySelector("[data-log]").setAttribute("aria-pressed", String(this.log));
    this.draw();
  }

  whole() {
    if (!this.window) return;
    this.window = null;
    this.box.querySelector("[data-whole]").hidden = true;
    if (this.narrow) this.load();
    else this.draw();
  }

  zoomed(from, to) {
    this.window = [from, to];
    this.box.querySelector("[data-whole]").hidden = false;
    if (this.data.thinned || this.narrow) {
      this.narrow = true;
      this.load();
    } else this.draw();
  }

  size() {
    const width = this.place.clientWidth;
    return { width, height: Math.round(Math.min(430, Math.max(250, width * 0.36))) };
  }

  colour(name) {
    const probe = document.createElement("span");
    probe.className = "probe";
    probe.style.color = `var(${name})`;
    this.box.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  draw() {
    if (!this.data || !window.uPlot) return;
    const names = NAMES.filter((name) => this.data.series[name][0].length > 0);
    for (const name of NAMES) this.button(name).hidden = !names.includes(name);
    const tables = names.map((name) => this.data.series[name]);
    // Where one series has no row at another's step nothing is missing: only a null interrupts a line.
    const joined = tables.length ? uPlot.join(tables) : [[], []];
    this.names = names;
    const ink = this.colour("--soft");
    const grid = this.colour("--line");
    const axis = (scale, side, more = {}) => ({
      scale, side, stroke: ink, size: 58, font: "11.5px system-ui, sans-serif",
      grid: { show: side === 3, stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 },
      values: (_, ticks) => ticks.map((value) => (value == null ? "" : number(value))), ...more,
    });
    const visible = (scale) => names.some((name) => SERIES[name].scale === scale && this.shown.has(name));
    const options = {
      ...this.size(),
      padding: [RAIL + 4, 12, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false, dist: 6 }, points: { size: 6 }, focus: { prox: 30 } },
      scales: {
        x: { time: false, range: () => this.steps(joined[0]) },
        loss: { distr: this.log ? 3 : 1, range: this.log ? undefined : (_, low, high) => this.losses(joined, low, high) },
        rate: {},
        norm: { distr: this.log ? 3 : 1 },
      },
      axes: [
        axis("x", 2, { size: 34, grid: { show: true, stroke: grid, width: 1 } }),
        axis("loss", 3),
        axis("rate", 1, { show: visible("rate"), values: (_, ticks) => ticks.map((v) => (v == null ? "" : v.toExponential(0))) }),
        axis("norm", 1, { show: visible("norm") }),
      ],
      series: [{}, ...names.map((name) => this.series(name))],
      hooks: {
        draw: [(plot) => this.mark(plot)],
        setCursor: [(plot) => this.say(plot.cursor.idx)],
        setSelect: [(plot) => this.select(plot)],
      },
    };
    this.plot?.destroy();
    this.plot = new uPlot(options, joined, this.place);
    this.joined = joined;
  }

  series(name) {
    const { label, scale, width, points } = SERIES[name];
    const stroke = this.colour({ train: "--curve-train", smoothed: "--curve-smoothed", eval: "--curve-eval", learning_rate: "--curve-rate", grad_norm: "--curve-norm" }[name]);
    return { label, scale, stroke, width, show: this.shown.has(name), points: { show: Boolean(points), size: 5, fill: stroke } };
  }

  steps(all) {
    if (this.window) return this.window;
    const first = all.length ? Math.min(0, all[0]) : 0;
    return [first, Math.max(this.data.total_steps ?? 0, all.at(-1) ?? 0, first + 1)];
  }

  // A few spikes must not press the curve flat: the axis ends where nearly all of the train rows do, as long as what is
  // smoothed and evaluated fits. The whole range is one press of "log" away.
  losses(joined, low, high) {
    if (low == null || high == null) return [0, 1];
    const kept = [];
    this.names.forEach((name, i) => {
      if (SERIES[name].scale !== "loss" || !this.shown.has(name)) return;
      const values = [];
      for (let at = 0; at < joined[0].length; at++) {
        const value = joined[i + 1][at];
        if (value != null && (!this.window || (joined[0][at] >= this.window[0] && joined[0][at] <= this.window[1]))) values.push(value);
      }
      values.sort((a, b) => a - b);
      if (values.length) kept.push(values[0], values[Math.ceil((values.length - 1) * (name === "train" ? 0.995 : 1))]);
    });
    if (kept.length) [low, high] = [Math.min(...kept), Math.max(...kept)];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (to - from > 0) this.zoomed(from, to);
  }

  // Values where the reader points: of each series the row at or before that step.
  say(index) {
    if (index == null) {
      this.readout.textContent = this.hint;
      return;
    }
    const step = this.joined[0][index];
    const parts = [["step", number(step)]];
    this.names.forEach((name, i) => {
      if (!this.shown.has(name)) return;
      const values = this.joined[i + 1];
      let at = index;
      while (at > 0 && values[at] == null) at--;
      if (values[at] != null) parts.push([SERIES[name].label, number(values[at])]);
    });
    this.readout.replaceChildren(
      ...parts.map(([name, value]) => {
        const part = document.createElement("span");
        const bold = document.createElement("b");
        bold.textContent = value;
        part.append(`${name} `, bold, " ");
        return part;
      }),
    );
  }

  read(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (by === undefined || !this.plot || !this.joined[0].length) return;
    event.preventDefault();
    const now = this.plot.cursor.idx ?? (by > 0 ? -1 : this.joined[0].length);
    const index = Math.min(this.joined[0].length - 1, Math.max(0, now + by));
    const left = this.plot.valToPos(this.joined[0][index], "x");
    this.plot.setCursor({ left, top: this.plot.over.clientHeight / 2 });
  }

  mark(plot) {
    const pen = plot.ctx;
    const ratio = devicePixelRatio;
    const { left, top, width, height } = plot.bbox;
    const colours = {
      critical: this.colour("--bad"), warning: this.colour("--warn"), info: this.colour("--soft"),
      checkpoint: this.colour("--good"), cancel: this.colour("--odd"),
    };
    pen.save();
    const at = (step) => plot.valToPos(step, "x", true);
    const inside = (x) => x >= left - 1 && x <= left + width + 1;
    const line = (x, colour, dashes) => {
      pen.strokeStyle = colour;
      pen.lineWidth = ratio;
      pen.setLineDash(dashes.map((d) => d * ratio));
      pen.beginPath();
      pen.moveTo(x, top - RAIL * ratio * 0.3);
      pen.lineTo(x, top + height);
      pen.stroke();
    };
    const y = top - RAIL * ratio * 0.55;
    const size = 4.5 * ratio;
    for (const mark of this.data.marks) {
      const x = at(mark.step);
      const colour = colours[mark.severity ?? mark.kind];
      if (mark.kind === "alert" && mark.onset != null && mark.onset < mark.step) {
        const [from, to] = [Math.max(left, at(mark.onset)), Math.min(left + width, x)];
        if (to > from) {
          pen.globalAlpha = 0.09;
          pen.fillStyle = colour;
          pen.fillRect(from, top, to - from, height);
          pen.globalAlpha = 1;
        }
      }
      if (!inside(x)) continue;
      pen.fillStyle = colour;
      if (mark.kind === "checkpoint") {
        pen.beginPath();
        pen.arc(x, y, size * 0.7, 0, 7);
        pen.fill();
        continue;
      }
      line(x, colour, mark.kind === "cancel" ? [2, 3] : [5, 4]);
      pen.setLineDash([]);
      pen.beginPath();
      if (mark.kind === "cancel") pen.rect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
      else {
        pen.moveTo(x - size, y - size);
        pen.lineTo(x + size, y - size);
        pen.lineTo(x, y + size);
      }
      pen.fill();
    }
    // Rows whose loss was no number have no height: they stand at the foot.
    pen.fillStyle = colours.critical;
    for (const step of this.data.bad) {
      const x = at(step);
      if (inside(x)) pen.fillRect(x - ratio, top + height - 6 * ratio, 2 * ratio, 6 * ratio);
    }
    pen.restore();
  }

  // The same in words, for those who can't see the marks.
  list() {
    const items = this.data.marks.filter((mark) => mark.kind !== "checkpoint");
    const saved = this.data.marks.length - items.length;
    const list = document.getElementById("marks");
    list.replaceChildren(
      ...items.slice(0, 12).map((mark) => entry(`${mark.kind} ${mark.severity ?? ""}`, `${mark.text} at step ${mark.step}`)),
      ...(saved ? [entry("checkpoint", `${saved} ${saved === 1 ? "checkpoint" : "checkpoints"}`)] : []),
      ...(this.data.bad.length ? [entry("alert critical", `${this.data.bad.length} rows without a number`)] : []),
    );
  }
}

function entry(kind, text) {
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = text;
  return item;
}

const box = document.getElementById("curve");
if (box) new Curve(box).load();
