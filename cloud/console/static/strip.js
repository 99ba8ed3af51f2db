// <ecg-strip data-episode="ID">: the episode at 25 mm/s and 10 mm/mV on a millimetre grid, with marked spans.
//
// Only what is in view is drawn. A gap is hatched and named, never bridged by a line. `data-spans` (JSON) and the
// aria-label say what is marked; `data-ready` is set once it is drawn.

const MM = 96 / 25.4; // CSS pixels; a CSS inch is 96 px
const MM_PER_S = 25;
const MM_PER_MV = 10;
export const PX_PER_S = MM_PER_S * MM;
const LANE = 24; // px: a rail and its chip
const FOOT = 6 * MM; // room for the time axis
const ROOM_MV = 0.3; // above and below the signal of a lead
const MOST_MV = 5; // above and below zero; what lies beyond is cut off, and said to be

class EcgStrip extends HTMLElement {
  #meta = null;
  #samples = null; // per lead: Int32Array
  #rows = []; // per lead: { name, scale (mV per count), top, zero } in px
  #current = null; // id of the finding that was stepped to
  #cited = { spans: [], at: 0 }; // what a sentence cites, [first, last], and the one that is in view
  #lanes = new Map(); // finding -> lane above the paper
  #cut = false; // some of the signal lies beyond the paper
  #drawing = false;
  #gone = new AbortController(); // what outlives the element listens no longer

  connectedCallback() {
    this.innerHTML = `<p class="scale"></p><div class="scroll"><div class="space"><canvas></canvas></div></div>`;
    this.scroll = this.querySelector(".scroll");
    this.space = this.querySelector(".space");
    this.canvas = this.querySelector("canvas");
    const draw = () => this.#drawSoon();
    this.scroll.addEventListener("scroll", draw);
    new ResizeObserver(draw).observe(this.scroll);
    const { signal } = this.#gone;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
    this.renew();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  // Fetch the episode again: a part came, or findings changed.
  async renew() {
    const path = `/api/episodes/${this.dataset.episode}`;
    const answers = await Promise.all([fetch(path), fetch(`${path}/samples`)]).catch(() => []);
    if (!answers.length || !answers.every((answer) => answer.ok)) return; // the not-live bar says it
    const [meta, samples] = await Promise.all([answers[0].json(), answers[1].arrayBuffer()]);
    const following = this.#meta && this.#atEnd();
    const left = this.scroll.scrollLeft;
    const count = meta.last + 1 - meta.first;
    // Two requests can straddle a new part; the next event brings both.
    if (samples.byteLength !== 4 * count * meta.leads.length) return;
    const drawn = this.#meta !== null;
    this.#meta = meta;
    this.#samples = meta.leads.map((_, i) => new Int32Array(samples, 4 * i * count, count));
    this.#layout();
    this.#describe();
    if (!drawn) this.#showAlert();
    else this.scroll.scrollLeft = following && !meta.final ? this.space.offsetWidth : left;
    this.#markRow();
    this.#drawSoon();
  }

  // First seen at what the alert is about: `data-at` is its sample.
  #showAlert() {
    const at = Number(this.dataset.at ?? this.#meta.first);
    this.scroll.scrollLeft = this.#x(at) - this.scroll.clientWidth / 2;
    const near = this.#meta.findings.find((span) => span.last >= at);
    if (near) scrollTable(near.id);
  }

  // Next (or previous) marked span, wrapping round; the first time, seen from the middle of what is in view.
  step(by) {
    const spans = this.#meta?.findings ?? [];
    if (!spans.length) return;
    const at = spans.findIndex((span) => span.id === this.#current);
    const next = at >= 0 ? at + by : this.#fromView(spans, by);
    this.#goTo(spans[(next + spans.length) % spans.length]);
  }

  #fromView(spans, by) {
    const middle = this.scroll.scrollLeft + this.scroll.clientWidth / 2;
    const after = spans.filter((span) => this.#x(span.first) <= middle).length;
    return by > 0 ? after : after - 1;
  }

  show(finding) {
    const span = this.#meta?.findings.find(({ id }) => id === finding);
    if (span) this.#goTo(span);
  }

  // Mark the [first, last] samples that a sentence cites and go to the first; asked again, to the next one.
  cite(spans) {
    if (!this.#meta || !spans.length) return;
    const same = JSON.stringify(spans) === JSON.stringify(this.#cited.spans);
    this.#cited = { spans, at: same ? (this.#cited.at + 1) % spans.length : 0 };
    this.dataset.cited = JSON.stringify(this.#cited);
    this.#current = null;
    this.#markRow();
    this.#center(...spans[this.#cited.at]);
    this.#drawSoon();
    if (!inView(this)) this.scrollIntoView({ block: "center" });
  }

  #goTo(span) {
    this.#current = span.id;
    this.#cited = { spans: [], at: 0 };
    delete this.dataset.cited;
    this.#center(span.first, span.last);
    this.#markRow();
    scrollTable(span.id);
    this.#drawSoon();
  }

  // What is longer than the view is seen from its begin.
  #center(first, last) {
    const long = this.#x(last + 1) - this.#x(first) > this.scroll.clientWidth;
    const middle = (this.#x(first) + this.#x(last + 1)) / 2;
    this.scroll.scrollLeft = (long ? this.#x(first) + this.scroll.clientWidth / 4 : middle) - this.scroll.clientWidth / 2;
  }

  #markRow() {
    for (const row of document.querySelectorAll("[data-finding]")) {
      row.classList.toggle("current", row.dataset.finding === this.#current);
    }
  }

  #atEnd() {
    return !this.#meta || this.scroll.scrollLeft + this.scroll.clientWidth >= this.space.offsetWidth - 2;
  }

  // Left edge of a sample in the whole strip, px.
  #x(sample) {
    return ((sample - this.#meta.first) / this.#meta.fs) * PX_PER_S;
  }

  #layout() {
    const { leads, uv_per_count: gain } = this.#meta;
    this.#lanes = lanes(this.#meta.findings, this.#meta.fs);
    // Room for two lanes at least, so that a first run does not push the paper down.
    let top = Math.max(2, ...[...this.#lanes.values()].map((lane) => lane + 1)) * LANE + 4;
    this.#cut = false;
    this.#rows = leads.map((name, i) => {
      const scale = gain[i] / 1000;
      let low = 0;
      let high = 0;
      for (const count of this.#samples[i]) {
        if (count < low) low = count;
        if (count > high) high = count;
      }
      this.#cut ||= Math.max(high, -low) * scale > MOST_MV;
      const above = Math.ceil((Math.min(high * scale + ROOM_MV, MOST_MV) * MM_PER_MV) / 5) * 5 * MM;
      const below = Math.ceil((Math.min(-low * scale + ROOM_MV, MOST_MV) * MM_PER_MV) / 5) * 5 * MM;
      const row = { name, scale, top, zero: top + above, bottom: top + above + below };
      top = row.bottom;
      return row;
    });
    this.space.style.width = `${this.#x(this.#meta.last + 1)}px`;
    this.space.style.height = `${top + FOOT}px`;
  }

  #describe() {
    const { findings, patch_id: patch, first, last, fs, gaps } = this.#meta;
    const spans = findings.map((f) => ({
      id: f.id, label: f.label, first: f.first, last: f.last, x0: this.#x(f.first), x1: this.#x(f.last + 1),
    }));
    this.dataset.spans = JSON.stringify(spans);
    const counts = {};
    for (const { label } of findings) counts[label] = (counts[label] ?? 0) + 1;
    const found = Object.entries(counts).map(([label, n]) => `${n} ${label}`).join(", ") || "nothing marked";
    const missing = gaps.reduce((sum, [, count]) => sum + count, 0) / fs;
    this.setAttribute("aria-label",
      `ECG of patch ${patch}, ${((last + 1 - first) / fs).toFixed(0)} s: ${found}; ${missing.toFixed(1)} s missing`);
    this.querySelector(".scale").textContent =
      `25 mm/s · 10 mm/mV · unfiltered, as recorded at ${fs} Hz` + (missing ? ` · ${missing.toFixed(1)} s missing` : "") +
      (this.#cut ? ` · cut off beyond ±${MOST_MV} mV` : "");
  }

  #drawSoon() {
    if (this.#drawing || !this.#meta) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
      this.dataset.ready = "";
      this.dispatchEvent(new Event("drawn", { bubbles: true }));
    });
  }

  #draw() {
    const width = this.scroll.clientWidth;
    const height = this.space.offsetHeight;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const left = this.scroll.scrollLeft;
    const view = { ctx: this.canvas.getContext("2d"), left, width, height, ink: inks(this) };
    view.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    view.ctx.fillStyle = view.ink.paper;
    view.ctx.fillRect(0, 0, width, height);
    this.#grid(view);
    this.#marks(view);
    this.#cites(view);
    for (const [i, row] of this.#rows.entries()) this.#trace(view, row, this.#samples[i]);
    this.#holes(view, this.#meta.gaps, "missing", view.ink.missing);
    this.#holes(view, this.#meta.lead_off, "lead off", view.ink.off);
    this.#names(view);
    this.#axis(view);
  }

  // 1 mm fine, 5 mm bold; one bold line is the strip's own left edge, one the first lead's zero.
  #grid({ ctx, left, width, ink }) {
    const [first, end] = [this.#rows[0].top, this.#rows.at(-1).bottom];
    const zero = this.#rows[0].zero;
    for (const [every, colour] of [[1, ink.fine], [5, ink.bold]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1;
      ctx.beginPath();
      for (let n = Math.ceil(left / (every * MM)); n * every * MM <= left + width; n++) {
        line(ctx, n * every * MM - left, first, n * every * MM - left, end);
      }
      for (let n = Math.ceil((first - zero) / (every * MM)); zero + n * every * MM <= end + 0.5; n++) {
        line(ctx, 0, zero + n * every * MM, width, zero + n * every * MM);
      }
      ctx.stroke();
    }
  }

  // A faint tint, a rail and a chip: colour on the trace itself would hide it. Beats have the lane at the paper,
  // what lasts has a lane above and no tint, or it would drown the beats within.
  #marks(view) {
    const marks = [];
    for (const span of this.#meta.findings) {
      const x0 = this.#x(span.first) - view.left;
      const x1 = this.#x(span.last + 1) - view.left;
      if (x1 >= 0 && x0 <= view.width) (marks[this.#lanes.get(span.id)] ??= []).push({ ...span, x0, x1 });
    }
    marks.forEach((those, lane) => this.#lane(view, those, lane));
  }

  // A tint on all that is cited and a frame round the one in view, so that a beat among many is found.
  #cites({ ctx, left, width, ink }) {
    const [top, bottom] = [this.#rows[0].top, this.#rows.at(-1).bottom];
    for (const [i, [first, last]] of this.#cited.spans.entries()) {
      const [x0, x1] = [this.#x(first) - left, this.#x(last + 1) - left];
      if (x1 < 0 || x0 > width) continue;
      ctx.fillStyle = x1 - x0 > width ? ink.tint : ink.chosen;
      ctx.fillRect(x0, top, x1 - x0, bottom - top);
      if (i !== this.#cited.at) continue;
      ctx.strokeStyle = ink.rail;
      ctx.lineWidth = 2;
      ctx.strokeRect(x0, top + 1, x1 - x0, bottom - top - 2);
    }
  }

  #lane({ ctx, ink }, marks, lane) {
    const [top, bottom] = [this.#rows[0].top, this.#rows.at(-1).bottom];
    const rail = top - 3 - lane * LANE;
    let free = 2; // right end of the last chip
    for (const { id, label, x0, x1 } of marks) {
      const technical = ["NOISE", "LEADOFF", "UNFAMILIAR"].includes(label);
      if (lane === 0 || technical || id === this.#current) {
        ctx.fillStyle = id === this.#current ? ink.chosen : technical ? ink.dull : ink.tint;
        ctx.fillRect(x0, top, x1 - x0, bottom - top);
      }
      ctx.fillStyle = technical ? ink.quiet : ink.rail;
      ctx.fillRect(x0, rail, x1 - x0, 3);
      ctx.font = "600 11px system-ui, sans-serif";
      const wide = ctx.measureText(label).width + 10;
      const at = lane === 0 ? Math.max(x0, 2) : Math.max(x0, free);
      if (at < free || at > Math.max(x0, x1 - wide)) continue; // no room: the rail and the table still say it
      roundRect(ctx, at, rail - 17, wide, 16);
      ctx.fillStyle = ink.onRail;
      ctx.fillText(label, at + 5, rail - 5);
      free = at + wide + 3;
    }
  }

  #trace({ ctx, left, width, ink }, row, samples) {
    const { first, fs, gaps } = this.#meta;
    const step = PX_PER_S / fs;
    const begin = Math.max(0, Math.floor(left / step) - 1);
    const end = Math.min(samples.length, Math.ceil((left + width) / step) + 2);
    const away = gaps.map(([at, count]) => [at - first, at - first + count]).filter(([a, b]) => b > begin && a < end);
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, row.top, width, row.bottom - row.top);
    ctx.clip();
    ctx.strokeStyle = ink.trace;
    ctx.lineWidth = 1.2;
    ctx.lineJoin = "bevel";
    ctx.beginPath();
    let pen = false;
    for (let i = begin; i < end; i++) {
      const hole = away.find(([a, b]) => i >= a && i < b);
      if (hole) {
        i = hole[1] - 1;
        pen = false;
        continue;
      }
      const x = i * step - left;
      const y = row.zero - samples[i] * row.scale * MM_PER_MV * MM;
      if (pen) ctx.lineTo(x, y);
      else ctx.moveTo(x, y);
      pen = true;
    }
    ctx.stroke();
    ctx.restore();
  }

  #holes({ ctx, left, width, ink }, spans, word, colour) {
    const [top, bottom] = [this.#rows[0].top, this.#rows.at(-1).bottom];
    for (const [at, count] of spans) {
      const x0 = Math.max(this.#x(at) - left, -10);
      const x1 = Math.min(this.#x(at + count) - left, width + 10);
      if (x1 <= 0 || x0 >= width) continue;
      ctx.save();
      ctx.beginPath();
      ctx.rect(x0, top, x1 - x0, bottom - top);
      ctx.clip();
      if (word === "missing") {
        ctx.fillStyle = ink.paper;
        ctx.fillRect(x0, top, x1 - x0, bottom - top);
      }
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1.4;
      ctx.beginPath();
      const high = Math.round(bottom - top); // through the corners of pixels: crisp at 45 degrees
      for (let x = Math.round(x0) - high; x < x1; x += 8) {
        line(ctx, x, Math.round(bottom), x + high, Math.round(bottom) - high);
      }
      ctx.stroke();
      ctx.restore();
      const text = `${word} ${(count / this.#meta.fs).toFixed(1)} s`;
      ctx.font = "600 12px system-ui, sans-serif";
      const wide = ctx.measureText(text).width;
      if (x1 - x0 > wide + 8) {
        ctx.fillStyle = ink.paper;
        ctx.fillRect((x0 + x1 - wide) / 2 - 4, (top + bottom) / 2 - 11, wide + 8, 18);
        ctx.fillStyle = ink.text;
        ctx.fillText(text, (x0 + x1 - wide) / 2, (top + bottom) / 2 + 2);
      }
    }
  }

  #names({ ctx, ink }) {
    ctx.font = "600 13px system-ui, sans-serif";
    for (const row of this.#rows) {
      const wide = ctx.measureText(row.name).width;
      ctx.fillStyle = ink.paper;
      ctx.fillRect(4, row.top + 4, wide + 8, 18);
      ctx.fillStyle = ink.text;
      ctx.fillText(row.name, 8, row.top + 17);
    }
  }

  #axis({ ctx, left, width, height, ink }) {
    const { first, fs } = this.#meta;
    ctx.font = "11px system-ui, sans-serif";
    ctx.fillStyle = ink.quiet;
    const from = Math.ceil((left / PX_PER_S + first / fs));
    for (let second = from; second <= (left + width) / PX_PER_S + first / fs; second++) {
      const x = (second - first / fs) * PX_PER_S - left;
      ctx.fillRect(x, this.#rows.at(-1).bottom, 1, 4);
      ctx.fillText(`${second} s`, x + 3, height - 6);
    }
  }
}

// Lane 0 for what is shorter than a second; above it, lanes in which what lasts does not overlap.
function lanes(findings, fs) {
  const ends = [];
  return new Map(findings.map(({ id, first, last }) => {
    if (last + 1 - first <= fs) return [id, 0];
    const free = ends.findIndex((end) => end < first);
    const lane = free >= 0 ? free : ends.length;
    ends[lane] = last;
    return [id, lane + 1];
  }));
}

function inView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}

// The finding's row in the middle of its table; the page itself stays where it is.
function scrollTable(finding) {
  const row = document.querySelector(`[data-finding="${finding}"]`);
  const table = row?.closest(".table");
  if (table) table.scrollTop = row.offsetTop - (table.clientHeight - row.offsetHeight) / 2;
}

// Lines lie on whole pixels, so that a millimetre stays a millimetre and a line a line.
function line(ctx, x0, y0, x1, y1) {
  if (x0 === x1) x0 = x1 = Math.round(x0) + 0.5;
  if (y0 === y1) y0 = y1 = Math.round(y0) + 0.5;
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
}

function roundRect(ctx, x, y, width, height) {
  ctx.beginPath();
  ctx.roundRect(x, y, width, height, 4);
  ctx.fill();
}

function inks(element) {
  const style = getComputedStyle(element);
  const names = ["paper", "fine", "bold", "trace", "tint", "chosen", "dull", "rail", "on-rail", "text", "quiet",
    "missing", "off"];
  const camel = (name) => name.replace(/-(\w)/, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(names.map((name) => [camel(name), style.getPropertyValue(`--strip-${name}`).trim()]));
}

customElements.define("ecg-strip", EcgStrip);
