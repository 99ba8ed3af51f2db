// <ecg-strip data-episode="ID">, or data-src="PATH" of something alike: the signal on a millimetre grid, with marked
// spans, calipers and a minimap.
//
// Only what is in view is drawn. `data-spans` (JSON) and the aria-label say what is marked; `data-ready` is set once it
// is drawn, and `drawMs` is what the last drawing took. Paper speed, gain and filter are those of all strips of a page.

import { Calipers } from "./calipers.js";
import { BAND, canFilter, filtered } from "./filter.js";
import { Minimap } from "./minimap.js";
import { LANE, MM, inks, lanes, paint } from "./strip-paint.js";

const FOOT = 6 * MM; // room for the time axis
const ROOM_MV = 0.3; // above and below the signal of a lead
const MOST_MV = 5; // above and below zero; what lies beyond is cut off, and said to be
const NAMED = 12; // findings that the aria-label lists one by one
const NEAR = 4; // px beside a span that still count as on it

const strips = new EventTarget(); // hear of another scale
const scale = { speed: 25, gain: 10, filter: "none" }; // mm/s, mm/mV

const TOOLS = `
<p class="scale"></p>
<div class="tools">
  <label>Speed <select name="speed">${options({ 25: "25 mm/s", 50: "50 mm/s" })}</select></label>
  <label>Gain <select name="gain">${options({ 5: "5 mm/mV", 10: "10 mm/mV", 20: "20 mm/mV" })}</select></label>
  <label>Filter <select name="filter">${options({ none: "none", band: `${BAND.join("–")} Hz` })}</select></label>
  <button type="button" class="measure" aria-pressed="false">Calipers <kbd aria-hidden="true">c</kbd></button>
  <output class="reading" aria-live="polite"></output>
</div>
<div class="scroll" tabindex="0" role="group" aria-label="Trace, scrolls sideways">
  <div class="space"><canvas aria-hidden="true"></canvas></div>
</div>
<div class="map" aria-hidden="true"><svg></svg><i class="window"></i></div>`;

class EcgStrip extends HTMLElement {
  #meta = null;
  #counts = null; // per lead: Int32Array, as recorded
  #samples = null; // per lead: counts as they are drawn
  #rows = []; // per lead: { name, scale (mV per count), top, zero, bottom } in px
  #current = null; // id of the finding that was stepped to
  #cited = { spans: [], at: 0 }; // what a sentence cites, [first, last], and the one that is in view
  #lanes = new Map(); // finding -> lane above the paper
  #cut = false; // some of the signal lies beyond the paper
  #drawing = false;
  #calipers;
  #map;
  #gone = new AbortController(); // what outlives the element listens no longer

  connectedCallback() {
    this.innerHTML = TOOLS;
    this.setAttribute("role", "group");
    this.removeAttribute("tabindex");
    this.scroll = this.querySelector(".scroll");
    this.space = this.querySelector(".space");
    this.canvas = this.querySelector("canvas");
    this.#calipers = new Calipers(this.space, this.querySelector("output"));
    this.#map = new Minimap(this.querySelector(".map"), (middle) => this.#show(middle * this.space.offsetWidth));
    this.#listen();
    this.renew();
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  #listen() {
    const { signal } = this.#gone;
    const draw = () => this.#drawSoon();
    this.scroll.addEventListener("scroll", draw);
    new ResizeObserver(draw).observe(this.scroll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
    strips.addEventListener("scale", () => this.#rescale(), { signal });
    this.querySelector(".tools").addEventListener("change", ({ target }) => {
      scale[target.name] = target.name === "filter" ? target.value : Number(target.value);
      strips.dispatchEvent(new Event("scale"));
    });
    this.querySelector(".measure").addEventListener("click", () => this.calipers());
    this.canvas.addEventListener("click", (event) => this.#pick(event));
  }

  // Fetch the episode again: a part came, or findings changed.
  async renew() {
    const path = this.dataset.src ?? `/api/episodes/${this.dataset.episode}`;
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
    this.#counts = meta.leads.map((_, i) => new Int32Array(samples, 4 * i * count, count));
    this.#arrange();
    if (!drawn) this.#showAlert();
    else this.scroll.scrollLeft = following && !meta.final ? this.space.offsetWidth : left;
    this.markRow();
    if (drawn) this.#drawSoon();
    else this.#drawNow();
  }

  // Calipers, on and off.
  calipers() {
    if (!this.#meta) return;
    this.#calipers.turn(this.#paper(), this.#view());
    this.querySelector(".measure").setAttribute("aria-pressed", String(this.#calipers.on));
  }

  // First seen at what the alert is about: `data-at` is its sample.
  #showAlert() {
    this.#show(this.#x(this.#at));
    this.showRow();
  }

  get #at() {
    return Number(this.dataset.at ?? this.#meta.first);
  }

  // The alert's finding in the table of them.
  showRow() {
    const near = this.#meta?.findings.find((span) => span.last >= this.#at);
    if (near) scrollTable(near.id);
  }

  // With what lies there in the middle, px.
  #show(x) {
    this.scroll.scrollLeft = x - this.scroll.clientWidth / 2;
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
    this.markRow();
    this.#center(...spans[this.#cited.at]);
    this.#drawSoon();
    if (!inView(this)) this.scrollIntoView({ block: "center" });
  }

  #goTo(span) {
    this.#select(span);
    this.#center(span.first, span.last);
  }

  #select(span) {
    this.#current = span.id;
    this.#cited = { spans: [], at: 0 };
    delete this.dataset.cited;
    this.markRow();
    scrollTable(span.id);
    this.#drawSoon();
  }

  // What is clicked on, by its lane; on the paper itself, the shortest span there.
  #pick({ offsetX, offsetY }) {
    const x = offsetX + this.scroll.scrollLeft;
    const lane = Math.floor((this.#rows[0].top - offsetY) / LANE);
    const there = this.#meta.findings.filter(({ id, first, last }) =>
      this.#x(first) - NEAR <= x && x <= this.#x(last + 1) + NEAR && (lane < 0 || this.#lanes.get(id) === lane));
    const [span] = there.sort((a, b) => a.last - a.first - (b.last - b.first));
    if (span) this.#select(span);
  }

  // What is longer than the view is seen from its begin.
  #center(first, last) {
    const long = this.#x(last + 1) - this.#x(first) > this.scroll.clientWidth;
    this.#show(long ? this.#x(first) + this.scroll.clientWidth / 4 : (this.#x(first) + this.#x(last + 1)) / 2);
  }

  // In the table of findings, the row of the one that was stepped to.
  markRow() {
    for (const row of document.querySelectorAll("[data-finding]")) {
      row.classList.toggle("current", row.dataset.finding === this.#current);
    }
  }

  #atEnd() {
    return !this.#meta || this.scroll.scrollLeft + this.scroll.clientWidth >= this.space.offsetWidth - 2;
  }

  get pxPerS() {
    return scale.speed * MM;
  }

  // Left edge of a sample in the whole strip, px.
  #x(sample) {
    return ((sample - this.#meta.first) / this.#meta.fs) * this.pxPerS;
  }

  #sample(x) {
    return this.#meta.first + (x / this.pxPerS) * this.#meta.fs;
  }

  // [first, last] sample that is seen.
  #view() {
    const { scrollLeft: left, clientWidth: width } = this.scroll;
    return [this.#sample(left), Math.min(this.#meta.last, this.#sample(left + width))];
  }

  // Another speed, gain or filter: what was in the middle stays there.
  #rescale() {
    if (!this.#meta) return;
    const width = this.space.offsetWidth;
    const middle = (this.scroll.scrollLeft + this.scroll.clientWidth / 2) / width;
    this.#arrange();
    this.#show(middle * this.space.offsetWidth);
    this.#drawSoon();
  }

  #arrange() {
    const { gaps, first, fs } = this.#meta;
    const able = canFilter(fs);
    for (const select of this.querySelectorAll("select")) select.value = scale[select.name];
    const choice = this.querySelector("[name=filter]");
    choice.disabled = !able;
    if (!able) choice.value = "none";
    const holes = gaps.map(([at, count]) => [at - first, count]);
    this.#samples = choice.value === "none" ? this.#counts : this.#counts.map((counts) => filtered(counts, fs, holes));
    this.#layout();
    this.#describe(choice.value);
    this.#calipers.place(this.#paper());
    requestAnimationFrame(() => this.#map.draw(this.#meta, this.#samples[0])); // the strip itself comes first
  }

  #layout() {
    const { leads, uv_per_count: gain } = this.#meta;
    this.#lanes = lanes(this.#meta.findings, this.#meta.fs);
    // Room for two lanes at least, so that a first run does not push the paper down.
    let top = Math.max(2, ...[...this.#lanes.values()].map((lane) => lane + 1)) * LANE + 4;
    this.#cut = false;
    this.#rows = leads.map((name, i) => {
      const perCount = gain[i] / 1000;
      let low = 0;
      let high = 0;
      for (const count of this.#samples[i]) {
        if (count < low) low = count;
        if (count > high) high = count;
      }
      this.#cut ||= Math.max(high, -low) * perCount > MOST_MV;
      const above = boxes(high * perCount);
      const below = boxes(-low * perCount);
      const row = { name, scale: perCount, top, zero: top + above, bottom: top + above + below };
      top = row.bottom;
      return row;
    });
    this.space.style.width = `${this.#x(this.#meta.last + 1)}px`;
    this.space.style.height = `${top + FOOT}px`;
  }

  #describe(filter) {
    const { findings, patch_id: patch, first, last, fs, gaps } = this.#meta;
    const spans = findings.map((f) => ({
      id: f.id, label: f.label, first: f.first, last: f.last, x0: this.#x(f.first), x1: this.#x(f.last + 1),
    }));
    this.dataset.spans = JSON.stringify(spans);
    const [whole, missing] = [(last + 1 - first) / fs, gaps.reduce((sum, [, count]) => sum + count, 0) / fs];
    this.setAttribute("aria-label",
      `ECG of patch ${patch}, ${whole.toFixed(0)} s: ${listed(findings, fs)}; ${missing.toFixed(1)} s missing`);
    const drawn = filter === "none" ? `no filter, as recorded at ${fs} Hz`
      : `drawn through ${BAND.join(" to ")} Hz, for the eye only: it was analysed without`;
    this.querySelector(".scale").textContent =
      `${scale.speed} mm/s · ${scale.gain} mm/mV · ${drawn}` + (missing ? ` · ${missing.toFixed(1)} s missing` : "") +
      (this.#cut ? ` · cut off beyond ±${MOST_MV} mV` : "");
  }

  // What calipers need to know of it.
  #paper() {
    const { first, last, fs, gaps } = this.#meta;
    const [rows, samples, perMv] = [this.#rows, this.#samples, scale.gain * MM];
    const missing = (sample) => gaps.some(([at, count]) => sample >= at && sample < at + count);
    return {
      rows, first, last, fs,
      x: (sample) => this.#x(sample),
      sample: (x) => this.#sample(x),
      y: (row, mv) => rows[row].zero - mv * perMv,
      mv: (row, y) => (rows[row].zero - y) / perMv,
      value: (row, sample) => (missing(sample) ? null : samples[row][sample - first] * rows[row].scale),
    };
  }

  #drawSoon() {
    if (this.#drawing || !this.#meta) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const begin = performance.now();
    this.#draw();
    this.drawMs = performance.now() - begin;
    this.dataset.ready = "";
    this.dispatchEvent(new Event("drawn", { bubbles: true }));
  }

  #draw() {
    const { scrollLeft: left, clientWidth: width } = this.scroll;
    const height = this.space.offsetHeight;
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint({ ctx, left, width, height, ink: inks(this) }, {
      meta: this.#meta,
      rows: this.#rows,
      samples: this.#samples,
      lanes: this.#lanes,
      current: this.#current,
      cited: this.#cited,
      pxPerS: this.pxPerS,
      pxPerMv: scale.gain * MM,
      x: (sample) => this.#x(sample),
    });
    const whole = this.space.offsetWidth;
    this.#map.show(left / whole, (left + width) / whole);
  }
}

function options(choices) {
  return Object.entries(choices).map(([value, text]) => `<option value="${value}">${text}</option>`).join("");
}

// px above or below zero for so many mV, in whole 5 mm.
function boxes(mv) {
  return Math.ceil((Math.min(mv + ROOM_MV, MOST_MV) * scale.gain) / 5) * 5 * MM;
}

// How many of each label, and where the first of them are.
function listed(findings, fs) {
  if (!findings.length) return "nothing marked";
  const counts = {};
  for (const { label } of findings) counts[label] = (counts[label] ?? 0) + 1;
  const one = findings.slice(0, NAMED).map(({ label, first, last }) =>
    `${label} at ${(first / fs).toFixed(1)} s` + (last - first > fs ? ` for ${((last - first) / fs).toFixed(1)} s` : ""));
  const more = findings.length > NAMED ? `, and ${findings.length - NAMED} more in the table` : "";
  return `${Object.entries(counts).map(([label, n]) => `${n} ${label}`).join(", ")} (${one.join(", ")}${more})`;
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

customElements.define("ecg-strip", EcgStrip);
