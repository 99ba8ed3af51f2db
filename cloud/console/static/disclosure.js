// A day of a patch, a minute a row: the day in one canvas to scrub, an hour of it in another, a minute at 25 mm/s.
//
// A row has 600 columns, each with its least and greatest value in the order in which they came. Where they are
// narrower than a pixel, what one pixel covers is drawn first, least, greatest, last, so that no upstroke breaks.
// Nothing is drawn across what is not held: it is named. `data-ready` is set once both canvases are drawn.

const PER_ROW = 600;
const NOTHING = -32768;
const ROW = 26; // px
const LEFT = 52; // px, for the time
const HOUR = 60; // rows
const DAY_HEIGHT = 84;
const WORDS = { unknown: "not fetched", missing: "gap" };

const root = document.getElementById("disclosure");
const at = (id) => document.getElementById(id);
const [dayCanvas, rowsCanvas] = [at("day"), at("rows")];
const begin = Number(root.dataset.begin);
const minutes = Number(root.dataset.minutes);
const hours = Math.ceil(minutes / HOUR);
const api = `/api/patches/${encodeURIComponent(root.dataset.patch)}`;

const loaded = new Map(); // hour -> { rows, marks, told: its minutes in the overview when they were asked for }
let overview = { minutes: [], marks: [], leads: [], lead: "", waiting: 0, online: false };
let lead = null;
let hour = 0;
let row = 0;
let opened = null; // minute in the strip
let polling = false;
let chosen = false; // somebody scrubbed: the page goes nowhere by itself

const json = async (path, options) => {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
};
const named = (path, values) => `${path}?${new URLSearchParams(values)}`;
const withLead = (values) => (lead === null ? values : { ...values, lead });
const rest = (ms) => new Promise((done) => setTimeout(done, ms));

// The clinic's clock as it stood when the day began.
function clock(minute) {
  const whole = ((minute % 1440) + 1440) % 1440;
  return `${String(Math.floor(whole / 60)).padStart(2, "0")}:${String(whole % 60).padStart(2, "0")}`;
}

async function renew() {
  overview = await json(named(`${api}/disclosure`, withLead({ day: root.dataset.day })));
  if (!chosen) hour = firstHeld();
  if (lead === null && overview.leads.length > 1) offerLeads();
  tell();
  drawDay();
  await showHour();
}

function firstHeld() {
  const first = overview.minutes.findIndex(([low]) => low !== null);
  return first < 0 ? 0 : Math.floor(first / HOUR);
}

function offerLeads() {
  const select = at("leads").querySelector("select");
  select.replaceChildren(...overview.leads.map((name) => new Option(name)));
  select.addEventListener("change", () => {
    lead = select.value;
    loaded.clear();
    renew();
  });
  at("leads").hidden = false;
}

function tell() {
  const due = Math.max(0, Math.min(minutes, Math.floor((Date.now() / 1000 - begin) / 60)));
  const states = overview.minutes.slice(0, due).map(([, , state]) => state);
  const here = states.filter((state) => state === "held").length;
  const away = states.filter((state) => state === "unknown").length;
  at("progress").value = due ? 1 - away / due : 0;
  const waits = overview.waiting
    ? overview.online ? " Fetching from the edge." : " The edge is offline: it sends when it is back."
    : "";
  at("here").textContent =
    `${here} of ${due} minutes here, ${due - here - away} with gaps, ${away} not fetched.${waits}`;
  at("fetch").disabled = overview.waiting > 0;
}

async function poll() {
  if (polling) return;
  polling = true;
  while (overview.waiting > 0) {
    await rest(1000);
    await renew().catch(() => {}); // the next one may come through
  }
  polling = false;
}

async function fetchDay() {
  at("fetch").disabled = true;
  const asked = { from: begin, seconds: minutes * 60 };
  try {
    await json(named(`${api}/fetch`, asked), { method: "POST" });
    await renew();
    poll();
  } catch (error) {
    at("here").textContent = error.message;
    at("fetch").disabled = false;
  }
}

async function showHour() {
  const of = hour;
  const told = JSON.stringify(overview.minutes.slice(of * HOUR, (of + 1) * HOUR)); // changes when more has come
  if (loaded.get(of)?.told !== told) {
    const wanted = { from: begin + of * HOUR * 60, minutes: Math.min(HOUR, minutes - of * HOUR) };
    loaded.set(of, { told, ...(await json(named(`${api}/disclosure/rows`, withLead(wanted)))) });
  }
  drawRows();
  drawDay();
}

async function goTo(next) {
  hour = Math.max(0, Math.min(hours - 1, next));
  chosen = true;
  await showHour();
}

// -- drawing ---------------------------------------------------------------------------------------------------

function prepared(canvas, height) {
  const width = canvas.parentElement.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.font = "11px system-ui, sans-serif";
  const style = getComputedStyle(root);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  ctx.fillStyle = ink("strip-paper");
  ctx.fillRect(0, 0, width, height);
  return { ctx, width, ratio, ink };
}

function drawDay() {
  const { ctx, width, ink } = prepared(dayCanvas, DAY_HEIGHT);
  const x = (minute) => LEFT + ((width - LEFT) * minute) / minutes;
  const wide = Math.max(1, (width - LEFT) / minutes);
  const held = overview.minutes.filter(([low]) => low !== null);
  const high = Math.max(1000, quantile(held.map(([low, top]) => Math.max(-low, top)), 0.98));
  const middle = 40;
  for (const { label, begin: a, end: b } of overview.marks) {
    ctx.fillStyle = ink(label === "episode" ? "strip-tint" : "strip-rail");
    const tall = label === "episode" ? 62 : 5;
    ctx.fillRect(x(a / 60), 6, Math.max(1, x(b / 60) - x(a / 60)), tall);
  }
  for (const [minute, [low, top, state]] of overview.minutes.entries()) {
    ctx.fillStyle = ink("strip-trace");
    if (low !== null) {
      const [y0, y1] = [top, low].map((uv) => middle - Math.max(-1, Math.min(1, uv / high)) * 24);
      ctx.fillRect(x(minute), y0, wide, Math.max(1, y1 - y0));
    }
    ctx.fillStyle = ink({ held: "accent", unknown: "line" }[state] ?? "strip-off");
    ctx.fillRect(x(minute), 68, wide + 0.5, 4);
  }
  ctx.fillStyle = ink("strip-quiet");
  for (let h = 0; h < hours; h += width < 600 ? 6 : 2) ctx.fillText(clock(h * 60).slice(0, 2), x(h * 60) - 6, 82);
  ctx.strokeStyle = ink("strip-rail");
  ctx.lineWidth = 2;
  ctx.strokeRect(x(hour * HOUR), 1, x(Math.min(minutes, (hour + 1) * HOUR)) - x(hour * HOUR), 72);
  dayCanvas.setAttribute("aria-valuemax", hours - 1);
  dayCanvas.setAttribute("aria-valuenow", hour);
  dayCanvas.setAttribute("aria-valuetext", `from ${clock(hour * HOUR)}`);
}

function drawRows() {
  const shown = loaded.get(hour);
  if (!shown) return;
  const rows = shown.rows.map((one) => ({ ...one, uv: numbers(one.values) }));
  const scale = scaleOf(rows);
  const { ctx, width, ratio, ink } = prepared(rowsCanvas, rows.length * ROW);
  const view = { ctx, ink, wide: width - LEFT, ratio, scale };
  marks(view, shown.marks, rows.length);
  for (const [i, one] of rows.entries()) {
    if (i === row) {
      ctx.fillStyle = ink("strip-chosen");
      ctx.fillRect(0, i * ROW, LEFT - 4, ROW);
    }
    ctx.fillStyle = ink("strip-quiet");
    ctx.fillText(clock(hour * HOUR + i), 8, i * ROW + ROW / 2 + 4);
    holes(view, one, i);
    trace(view, one, i);
  }
  words(view, shown.marks, rows.length);
  at("scale").textContent =
    `Lead ${shown.lead || "?"} · a minute a row · 1 mV is ${(scale * 1000).toFixed(0)} px high here · unfiltered; click a row for 25 mm/s and 10 mm/mV`;
  rowsCanvas.setAttribute("aria-label",
    `${rows.length} minutes from ${clock(hour * HOUR)}, minute ${clock(hour * HOUR + row)} chosen: ${said(rows[row])}`);
  root.dataset.hour = hour;
  root.dataset.ready = "";
}

function said(one) {
  const seconds = {};
  for (const [, count, state] of one?.runs ?? []) seconds[state] = (seconds[state] ?? 0) + count / 10;
  return Object.entries(seconds).map(([state, s]) => `${s.toFixed(0)} s ${WORDS[state] ?? state}`).join(", ");
}

// int16, little-endian as every machine that runs this is.
function numbers(base64) {
  return new Int16Array(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
}

// px per microvolt: what 99 % of the columns reach fits into a row.
function scaleOf(rows) {
  const heights = [];
  for (const { uv } of rows) {
    for (const value of uv) if (value !== NOTHING) heights.push(Math.abs(value));
  }
  return ROW / 2 / Math.max(500, quantile(heights, 0.99));
}

function quantile(values, share) {
  if (!values.length) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function trace({ ctx, ink, wide, ratio, scale }, { uv, runs }, i) {
  const zero = i * ROW + ROW / 2;
  const y = (value) => zero - Math.max(-ROW, Math.min(ROW, value * scale));
  const together = Math.max(1, Math.ceil(PER_ROW / (wide * ratio))); // columns a device pixel covers
  ctx.strokeStyle = ink("strip-trace");
  ctx.lineWidth = 0.9;
  ctx.lineJoin = "bevel";
  ctx.beginPath();
  for (const [first, count, state] of runs) {
    if (state !== "held") continue;
    let pen = false;
    for (let c = first; c < first + count; c += together) {
      const values = [];
      for (let k = c; k < Math.min(c + together, first + count); k++) {
        if (uv[2 * k] !== NOTHING) values.push(uv[2 * k], uv[2 * k + 1]);
      }
      if (!values.length) continue;
      const drawn = together === 1 ? values : [values[0], Math.min(...values), Math.max(...values), values.at(-1)];
      const x0 = LEFT + (wide * c) / PER_ROW;
      const step = (wide * together) / PER_ROW / drawn.length;
      for (const [n, value] of drawn.entries()) {
        if (pen) ctx.lineTo(x0 + (n + 0.5) * step, y(value));
        else ctx.moveTo(x0 + (n + 0.5) * step, y(value));
        pen = true;
      }
    }
  }
  ctx.stroke();
}

function holes({ ctx, ink, wide }, { runs }, i) {
  for (const [first, count, state] of runs) {
    if (state === "held") continue;
    const [x0, x1] = [LEFT + (wide * first) / PER_ROW, LEFT + (wide * (first + count)) / PER_ROW];
    const unknown = state === "unknown";
    ctx.fillStyle = ink(unknown ? "strip-dull" : "caution");
    ctx.fillRect(x0, i * ROW + 2, x1 - x0, ROW - 4);
    if (!unknown) {
      ctx.fillStyle = ink("strip-off");
      ctx.fillRect(x0, i * ROW + 2, 2, ROW - 4);
    }
    const word = `${WORDS[state] ?? state}${count < PER_ROW ? ` ${(count / 10).toFixed(0)} s` : ""}`;
    ctx.fillStyle = ink("strip-text");
    if (x1 - x0 > ctx.measureText(word).width + 10) ctx.fillText(word, x0 + 6, i * ROW + ROW / 2 + 4);
  }
}

// What of a mark lies in each row: [row, x0, x1, whether it begins there].
function* cut({ wide }, { begin: a, end: b }, rows) {
  for (let i = Math.max(0, Math.floor(a / 60)); i < rows && i * 60 < b; i++) {
    const [s0, s1] = [Math.max(a - i * 60, 0), Math.min(b - i * 60, 60)];
    yield [i, LEFT + (wide * s0) / 60, LEFT + (wide * s1) / 60, a >= i * 60];
  }
}

function marks(view, all, rows) {
  for (const mark of all) {
    for (const [i, x0, x1] of cut(view, mark, rows)) {
      const episode = mark.label === "episode";
      view.ctx.fillStyle = view.ink(episode ? "strip-tint" : "strip-chosen");
      view.ctx.fillRect(x0, i * ROW + 1, Math.max(1.5, x1 - x0), ROW - 2);
      if (episode) continue;
      view.ctx.fillStyle = view.ink("strip-rail");
      view.ctx.fillRect(x0, i * ROW + ROW - 3, Math.max(1.5, x1 - x0), 2);
    }
  }
}

// The name of what was found, where it begins and there is room.
function words(view, all, rows) {
  const free = new Map();
  for (const mark of all) {
    if (mark.label === "episode") continue;
    for (const [i, x0, , begins] of cut(view, mark, rows)) {
      if (!begins || x0 < (free.get(i) ?? 0)) continue;
      const wide = view.ctx.measureText(mark.label).width + 6;
      view.ctx.fillStyle = view.ink("strip-rail");
      view.ctx.fillRect(x0, i * ROW, wide, 13);
      view.ctx.fillStyle = view.ink("strip-on-rail");
      view.ctx.fillText(mark.label, x0 + 3, i * ROW + 10);
      free.set(i, x0 + wide);
    }
  }
}

// -- a minute --------------------------------------------------------------------------------------------------

async function open(minute) {
  opened = minute;
  const from = begin + minute * 60;
  const path = `${api}/minutes/${from}`;
  at("minute").hidden = false;
  at("minute-title").textContent = `${root.dataset.day} ${clock(minute)}`;
  at("minute-strip").replaceChildren();
  at("minute-status").textContent = "";
  try {
    let state = await json(path);
    if (state.detail && !state.over) {
      await json(named(`${api}/fetch`, { from, seconds: 60, full: true }), { method: "POST" });
      at("minute-status").textContent = overview.online
        ? "Fetching this minute from the edge."
        : "The edge is offline: this minute comes when it is back.";
    }
    while (opened === minute && state.detail && !state.over) {
      await rest(700);
      state = await json(path);
    }
    if (opened !== minute) return;
    at("minute-status").textContent = state.detail ?? "";
    if (state.detail) return;
    const strip = document.createElement("ecg-strip");
    strip.dataset.src = path;
    at("minute-strip").replaceChildren(strip);
    loaded.delete(Math.floor(minute / HOUR));
    await renew();
  } catch (error) {
    at("minute-status").textContent = error.message;
  }
}

// -- hands -----------------------------------------------------------------------------------------------------

function hourAt(event) {
  const { left, width } = dayCanvas.getBoundingClientRect();
  return Math.floor((((event.clientX - left - LEFT) / (width - LEFT)) * minutes) / HOUR);
}

dayCanvas.addEventListener("pointerdown", (event) => {
  dayCanvas.setPointerCapture(event.pointerId);
  goTo(hourAt(event));
});
dayCanvas.addEventListener("pointermove", (event) => {
  if (event.buttons && hourAt(event) !== hour) goTo(hourAt(event));
});
rowsCanvas.addEventListener("click", (event) => {
  row = Math.floor((event.clientY - rowsCanvas.getBoundingClientRect().top) / ROW);
  drawRows();
  open(hour * HOUR + row);
});
root.addEventListener("keydown", (event) => {
  if (event.target !== dayCanvas && event.target !== rowsCanvas) return;
  const last = (loaded.get(hour)?.rows.length ?? 1) - 1;
  const act = {
    ArrowLeft: () => goTo(hour - 1),
    ArrowRight: () => goTo(hour + 1),
    ArrowUp: () => ((row = Math.max(0, row - 1)), drawRows()),
    ArrowDown: () => ((row = Math.min(last, row + 1)), drawRows()),
    Enter: () => open(hour * HOUR + row),
    Escape: () => ((opened = null), (at("minute").hidden = true)),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
at("fetch").addEventListener("click", fetchDay);
const redraw = () => (drawDay(), drawRows());
new ResizeObserver(redraw).observe(root);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
renew().then(poll, (error) => (at("here").textContent = error.message));
