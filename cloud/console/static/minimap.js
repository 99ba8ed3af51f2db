// The whole episode beneath its strip: the first lead's outline, what is marked, what is missing, and where the view is.
// A click or a drag moves the view. It is an SVG that stretches, so that neither size nor colours are its concern.

import { TECHNICAL } from "./strip-paint.js";

const [WIDE, HIGH, RAIL] = [1000, 40, 4]; // units
const SVG = "http://www.w3.org/2000/svg";

export class Minimap {
  #place;
  #window;

  // `move` takes the middle of the wanted view, 0 to 1.
  constructor(place, move) {
    this.#place = place;
    this.#window = place.querySelector(".window");
    const follow = (event) => {
      const { left, width } = place.getBoundingClientRect();
      move((event.clientX - left) / width);
    };
    place.addEventListener("pointerdown", (event) => {
      place.setPointerCapture(event.pointerId);
      follow(event);
    });
    place.addEventListener("pointermove", (event) => place.hasPointerCapture(event.pointerId) && follow(event));
  }

  // Where the view is, 0 to 1 both.
  show(from, to) {
    this.#window.style.left = `${100 * Math.max(0, from)}%`;
    this.#window.style.width = `${100 * (Math.min(1, to) - Math.max(0, from))}%`;
  }

  // `lead`: the samples of one, as they are drawn.
  draw({ first, last, findings, gaps, lead_off: off }, lead) {
    const x = (sample) => ((sample - first) / (last + 1 - first)) * WIDE;
    const rail = (name, top, [at, count]) =>
      make("rect", { class: name, x: x(at), y: top, width: Math.max(1, x(at + count) - x(at)), height: RAIL });
    const picture = make("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none" });
    picture.append(
      make("path", { class: "trace", d: outline(lead, gaps.map(([at, count]) => [at - first, at - first + count])) }),
      ...findings.map((f) => rail(TECHNICAL.includes(f.label) ? "dull" : "mark", 0, [f.first, f.last + 1 - f.first])),
      ...gaps.map((span) => rail("missing", HIGH - RAIL, span)),
      ...off.map((span) => rail("off", HIGH - RAIL, span)),
    );
    this.#place.querySelector("svg").replaceWith(picture);
  }
}

// A line for each unit from the least to the greatest of its samples; none where samples lack.
function outline(samples, away) {
  const [low, high] = [samples.reduce((a, b) => Math.min(a, b), 0), samples.reduce((a, b) => Math.max(a, b), 0)];
  const y = (value) => RAIL + 3 + (1 - (value - low) / (high - low || 1)) * (HIGH - 2 * RAIL - 6);
  const lines = [];
  for (let column = 0; column < WIDE; column++) {
    const begin = Math.floor((column / WIDE) * samples.length);
    const end = Math.max(begin + 1, Math.floor(((column + 1) / WIDE) * samples.length));
    if (away.some(([a, b]) => begin >= a && end <= b)) continue;
    let [least, most] = [Infinity, -Infinity];
    for (let i = Math.max(0, begin - 1); i < end; i++) { // from the last one of the unit before, so that an edge is seen
      if (samples[i] < least) least = samples[i];
      if (samples[i] > most) most = samples[i];
    }
    lines.push(`M${column + 0.5} ${(y(most) - 0.5).toFixed(1)}V${(y(least) + 0.5).toFixed(1)}`);
  }
  return lines.join("");
}

function make(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
