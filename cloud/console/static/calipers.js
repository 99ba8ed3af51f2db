// Two calipers on a strip: the time between them in ms, as a rate, and the voltage. By mouse, finger and keyboard.
//
// Each keeps its sample, its lead and its millivolts, so that it stays where it was put at any speed and gain.

const GRAB = 28; // px, wide enough for a finger
const STEP_MV = 0.01;

export class Calipers {
  #paper; // { rows, first, last, fs, x(sample), sample(x), y(row, mv), mv(row, y), value(row, sample) }
  #space;
  #output;
  #points = null;
  #handles = [];

  constructor(space, output) {
    this.#space = space;
    this.#output = output;
  }

  get on() {
    return this.#points !== null;
  }

  // `view`: [first, last] sample that is seen; they begin at its thirds, on the first lead's trace.
  turn(paper, view) {
    this.#paper = paper;
    if (this.on) {
      this.#points = null;
      for (const handle of this.#handles) handle.remove();
      this.#handles = [];
    } else {
      const third = (view[1] - view[0]) / 3;
      this.#points = [1, 2].map((n) => this.#onTrace({ row: 0, sample: Math.round(view[0] + n * third), mv: 0 }));
      this.#handles = this.#points.map((_, i) => this.#handle(i));
      this.#space.append(...this.#handles);
      this.#handles[0].focus({ preventScroll: true });
    }
    this.place(paper);
  }

  // Anew on the paper, whose scale may be another.
  place(paper) {
    this.#paper = paper;
    if (this.on) for (const [i, handle] of this.#handles.entries()) this.#put(handle, this.#points[i]);
    this.#output.textContent = this.on ? this.#reading() : "";
  }

  #put(handle, { sample, row, mv }) {
    const { rows, first, fs } = this.#paper;
    const top = rows[0].top;
    handle.style.left = `${this.#paper.x(sample) - GRAB / 2}px`;
    handle.style.top = `${top}px`;
    handle.style.height = `${rows.at(-1).bottom - top}px`;
    handle.firstElementChild.style.top = `${this.#paper.y(row, mv) - top}px`;
    const ms = Math.round(((sample - first) / fs) * 1000);
    handle.setAttribute("aria-valuenow", ms);
    handle.setAttribute("aria-valuetext", `${ms} ms, ${mv.toFixed(2)} mV in ${rows[row].name}; ${this.#reading()}`);
  }

  #reading() {
    const [a, b] = [...this.#points].sort((one, other) => one.sample - other.sample);
    const ms = ((b.sample - a.sample) / this.#paper.fs) * 1000;
    const rate = ms >= 1 ? `${(60_000 / ms).toFixed(ms < 6000 ? 0 : 1)}/min` : "no rate";
    const volts = a.row === b.row ? `${signed(b.mv - a.mv)} mV` : "mV: two leads";
    return `${ms.toFixed(0)} ms · ${rate} · ${volts}`;
  }

  #handle(i) {
    const handle = document.createElement("div");
    handle.className = "caliper";
    handle.tabIndex = 0;
    const { first, last, fs } = this.#paper;
    const longest = Math.round(((last - first) / fs) * 1000); // ms
    const said = { role: "slider", "aria-label": `Caliper ${i + 1}`, "aria-valuemin": 0, "aria-valuemax": longest };
    for (const [name, value] of Object.entries(said)) handle.setAttribute(name, value);
    handle.append(document.createElement("i"));
    handle.addEventListener("keydown", (event) => this.#key(event, i));
    handle.addEventListener("pointerdown", (event) => this.#drag(event, i));
    return handle;
  }

  #drag(event, i) {
    const handle = this.#handles[i];
    const { sample, row, mv } = this.#points[i];
    const from = { x: this.#paper.x(sample) - event.clientX, y: this.#paper.y(row, mv) - event.clientY };
    handle.setPointerCapture(event.pointerId);
    const move = (now) => this.#move(i, this.#at(from.x + now.clientX, from.y + now.clientY));
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", () => handle.removeEventListener("pointermove", move), { once: true });
  }

  #at(x, y) {
    const { rows } = this.#paper;
    const inside = rows.findIndex((row) => y < row.bottom);
    const row = inside < 0 ? rows.length - 1 : inside;
    const within = Math.min(rows[row].bottom, Math.max(rows[0].top, y));
    return { sample: this.#paper.sample(x), row, mv: this.#paper.mv(row, within) };
  }

  // Sideways along the trace; up and down freely; to another lead.
  #key(event, i) {
    const far = event.shiftKey ? 10 : 1;
    const point = this.#points[i];
    const rows = this.#paper.rows.length;
    const moved = {
      ArrowLeft: () => this.#onTrace({ ...point, sample: Math.round(point.sample) - far }),
      ArrowRight: () => this.#onTrace({ ...point, sample: Math.round(point.sample) + far }),
      ArrowUp: () => ({ ...point, mv: point.mv + far * STEP_MV }),
      ArrowDown: () => ({ ...point, mv: point.mv - far * STEP_MV }),
      PageUp: () => this.#onTrace({ ...point, row: (point.row + rows - 1) % rows }),
      PageDown: () => this.#onTrace({ ...point, row: (point.row + 1) % rows }),
    }[event.key];
    if (!moved) return;
    event.preventDefault();
    this.#move(i, moved());
    this.#handles[i].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #onTrace(point) {
    const { first, last } = this.#paper;
    const sample = Math.min(last, Math.max(first, point.sample));
    return { ...point, sample, mv: this.#paper.value(point.row, sample) ?? point.mv };
  }

  #move(i, point) {
    const { first, last } = this.#paper;
    this.#points[i] = { ...point, sample: Math.min(last, Math.max(first, point.sample)) };
    this.place(this.#paper);
  }
}

function signed(mv) {
  const text = Math.abs(mv).toFixed(2);
  return text === "0.00" ? text : `${mv < 0 ? "−" : "+"}${text}`;
}
