// Paints what is in view of a strip: the grid, what is marked, the traces. A gap is hatched and named, never bridged.
//
// A `sheet` is all there is to paint: { meta, rows, samples, lanes, current, cited, pxPerS, pxPerMv, x(sample) }, `view`
// what is seen of it: { ctx, left, width, height, ink }.

export const MM = 96 / 25.4; // CSS pixels; a CSS inch is 96 px
export const LANE = 24; // px: a rail and its chip
export const TECHNICAL = ["NOISE", "LEADOFF", "UNFAMILIAR"];
const RUN = 400; // points of a path

export function paint(view, sheet) {
  const { ctx, width, height, ink } = view;
  ctx.fillStyle = ink.paper;
  ctx.fillRect(0, 0, width, height);
  grid(view, sheet);
  marks(view, sheet);
  cites(view, sheet);
  for (const [i, row] of sheet.rows.entries()) trace(view, sheet, row, sheet.samples[i]);
  holes(view, sheet, sheet.meta.gaps, "missing", ink.missing);
  holes(view, sheet, sheet.meta.lead_off, "lead off", ink.off);
  names(view, sheet);
  axis(view, sheet);
}

export function inks(element) {
  const style = getComputedStyle(element);
  const names = ["paper", "fine", "bold", "trace", "tint", "chosen", "dull", "rail", "on-rail", "text", "quiet",
    "missing", "off"];
  const camel = (name) => name.replace(/-(\w)/, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(names.map((name) => [camel(name), style.getPropertyValue(`--strip-${name}`).trim()]));
}

// Lane 0 for what is shorter than a second; above it, lanes in which what lasts does not overlap.
export function lanes(findings, fs) {
  const ends = [];
  return new Map(findings.map(({ id, first, last }) => {
    if (last + 1 - first <= fs) return [id, 0];
    const free = ends.findIndex((end) => end < first);
    const lane = free >= 0 ? free : ends.length;
    ends[lane] = last;
    return [id, lane + 1];
  }));
}

// 1 mm fine, 5 mm bold; one bold line is the strip's own left edge, one the first lead's zero.
function grid({ ctx, left, width, ink }, { rows }) {
  const [first, end] = [rows[0].top, rows.at(-1).bottom];
  const zero = rows[0].zero;
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
function marks(view, sheet) {
  const found = [];
  for (const span of sheet.meta.findings) {
    const x0 = sheet.x(span.first) - view.left;
    const x1 = sheet.x(span.last + 1) - view.left;
    if (x1 >= 0 && x0 <= view.width) (found[sheet.lanes.get(span.id)] ??= []).push({ ...span, x0, x1 });
  }
  found.forEach((those, lane) => rail(view, sheet, those, lane));
}

// A tint on all that is cited and a frame round the one in view, so that a beat among many is found.
function cites({ ctx, left, width, ink }, { rows, cited, x }) {
  const [top, bottom] = [rows[0].top, rows.at(-1).bottom];
  for (const [i, [first, last]] of cited.spans.entries()) {
    const [x0, x1] = [x(first) - left, x(last + 1) - left];
    if (x1 < 0 || x0 > width) continue;
    ctx.fillStyle = x1 - x0 > width ? ink.tint : ink.chosen;
    ctx.fillRect(x0, top, x1 - x0, bottom - top);
    if (i !== cited.at) continue;
    ctx.strokeStyle = ink.rail;
    ctx.lineWidth = 2;
    ctx.strokeRect(x0, top + 1, x1 - x0, bottom - top - 2);
  }
}

function rail({ ctx, ink }, { rows, current }, marks, lane) {
  const [top, bottom] = [rows[0].top, rows.at(-1).bottom];
  const at = top - 3 - lane * LANE;
  let free = 2; // right end of the last chip
  for (const { id, label, x0, x1 } of marks) {
    const technical = TECHNICAL.includes(label);
    if (lane === 0 || technical || id === current) {
      ctx.fillStyle = id === current ? ink.chosen : technical ? ink.dull : ink.tint;
      ctx.fillRect(x0, top, x1 - x0, bottom - top);
    }
    ctx.fillStyle = technical ? ink.quiet : ink.rail;
    ctx.fillRect(x0, at, x1 - x0, 3);
    ctx.font = "600 11px system-ui, sans-serif";
    const wide = ctx.measureText(label).width + 10;
    const begin = lane === 0 ? Math.max(x0, 2) : Math.max(x0, free);
    if (begin < free || begin > Math.max(x0, x1 - wide)) continue; // no room: the rail and the table still say it
    ctx.beginPath();
    ctx.roundRect(begin, at - 17, wide, 16, 4);
    ctx.fill();
    ctx.fillStyle = ink.onRail;
    ctx.fillText(label, begin + 5, at - 5);
    free = begin + wide + 3;
  }
}

function trace({ ctx, left, width, ink }, { meta, pxPerS, pxPerMv }, row, samples) {
  const { first, fs, gaps } = meta;
  const step = pxPerS / fs;
  const begin = Math.max(0, Math.floor(left / step) - 1);
  const end = Math.min(samples.length, Math.ceil((left + width) / step) + 2);
  const away = gaps.map(([at, count]) => [at - first, at - first + count]).filter(([a, b]) => b > begin && a < end);
  const high = row.scale * pxPerMv;
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, row.top, width, row.bottom - row.top);
  ctx.clip();
  ctx.strokeStyle = ink.trace;
  ctx.lineWidth = 1.2;
  ctx.lineJoin = "bevel";
  let points = 0;
  ctx.beginPath();
  for (let i = begin; i < end; i++) {
    const hole = away.length && away.find(([a, b]) => i >= a && i < b);
    if (hole) {
      i = hole[1] - 1;
      ctx.stroke();
      ctx.beginPath();
      points = 0;
      continue;
    }
    const x = i * step - left;
    const y = row.zero - samples[i] * high;
    if (points) ctx.lineTo(x, y);
    else ctx.moveTo(x, y);
    if (++points < RUN) continue;
    ctx.stroke(); // short paths are quicker than one long one
    ctx.beginPath();
    ctx.moveTo(x, y);
    points = 1;
  }
  ctx.stroke();
  ctx.restore();
}

function holes({ ctx, left, width, ink }, { meta, rows, x }, spans, word, colour) {
  const [top, bottom] = [rows[0].top, rows.at(-1).bottom];
  for (const [at, count] of spans) {
    const x0 = Math.max(x(at) - left, -10);
    const x1 = Math.min(x(at + count) - left, width + 10);
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
    const text = `${word} ${(count / meta.fs).toFixed(1)} s`;
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

function names({ ctx, ink }, { rows }) {
  ctx.font = "600 13px system-ui, sans-serif";
  for (const row of rows) {
    const wide = ctx.measureText(row.name).width;
    ctx.fillStyle = ink.paper;
    ctx.fillRect(4, row.top + 4, wide + 8, 18);
    ctx.fillStyle = ink.text;
    ctx.fillText(row.name, 8, row.top + 17);
  }
}

function axis({ ctx, left, width, height, ink }, { meta, rows, pxPerS }) {
  const { first, fs } = meta;
  ctx.font = "11px system-ui, sans-serif";
  ctx.fillStyle = ink.quiet;
  const from = Math.ceil(left / pxPerS + first / fs);
  for (let second = from; second <= (left + width) / pxPerS + first / fs; second++) {
    const x = (second - first / fs) * pxPerS - left;
    ctx.fillRect(x, rows.at(-1).bottom, 1, 4);
    ctx.fillText(`${second} s`, x + 3, height - 6);
  }
}

// Lines lie on whole pixels, so that a millimetre stays a millimetre and a line a line.
function line(ctx, x0, y0, x1, y1) {
  if (x0 === x1) x0 = x1 = Math.round(x0) + 0.5;
  if (y0 === y1) y0 = y1 = Math.round(y0) + 0.5;
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
}
