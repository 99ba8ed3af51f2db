// What is heard of an unanswered alert, and the mark on the tab. Bursts after IEC 60601-1-8: a high one has ten pulses,
// three and two and again, every 10 s until it is answered; a medium one three pulses, once.

const EVERY_MS = 10_000;
const PITCH = 440; // Hz; with its harmonics
const LEVEL = 0.35;
const HARMONICS = [0, 1, 0.7, 0.6, 0.5, 0.35, 0.25];
const FIVE = [0, 0.25, 0.5, 1, 1.25]; // s, begins of pulses
const BURSTS = {
  high: { pulse: 0.15, begins: [...FIVE, ...FIVE.map((begin) => begin + 1.9)] },
  medium: { pulse: 0.2, begins: [0, 0.4, 0.8] },
};
const KEPT = "anyecg.sound";

// Schedules one burst; returns when it ends, in seconds of the context.
export function burst(context, priority, at = context.currentTime) {
  const { pulse, begins } = BURSTS[priority];
  const [tone, level] = [context.createOscillator(), context.createGain()];
  tone.setPeriodicWave(context.createPeriodicWave(new Float32Array(HARMONICS.length), Float32Array.from(HARMONICS)));
  tone.frequency.value = PITCH;
  tone.connect(level).connect(context.destination);
  level.gain.setValueAtTime(0, at);
  for (const begin of begins.map((seconds) => at + seconds)) {
    const rise = 0.15 * pulse;
    level.gain.setValueAtTime(0, begin);
    level.gain.linearRampToValueAtTime(LEVEL, begin + rise);
    level.gain.setValueAtTime(LEVEL, begin + pulse - rise);
    level.gain.linearRampToValueAtTime(0, begin + pulse);
  }
  const end = at + begins.at(-1) + pulse;
  tone.start(at);
  tone.stop(end);
  return end;
}

export class Alarm {
  #button;
  #icon = document.querySelector("link[rel=icon]");
  #title = document.title;
  #context = null; // there is none before the person has done something: browsers allow no sound before
  #busy = 0; // until then a burst is heard, s of the context
  #playing = null; // the priority of that burst
  #high = 0;
  #allowed = 0; // when the person's first act allowed sound, ms
  #off = localStorage.getItem(KEPT) === "off";

  constructor(button) {
    this.#button = button;
    for (const kind of ["pointerdown", "pointerup", "keydown"]) {
      addEventListener(kind, (event) => this.#allow(event), { capture: true });
    }
    button.addEventListener("click", (event) => {
      if (event.timeStamp - this.#allowed > 1000) this.#turn(); // the click that allows sound does not turn it off
    });
    setInterval(() => this.#again(), EVERY_MS);
    this.#show();
  }

  // How many are unanswered, and how many of those are high.
  mark(calling, high) {
    this.#high = high;
    document.title = [calling ? `(${calling})` : "", high ? "▲▲▲" : "", this.#title].filter(Boolean).join(" ");
    const icon = `/static/${high ? "icon-alert" : "icon"}.svg`;
    if (this.#icon.getAttribute("href") !== icon) this.#icon.setAttribute("href", icon);
  }

  ring(priority) {
    if (!(priority in BURSTS) || this.#off || this.#context?.state !== "running") return;
    const louder = priority === "high" && this.#playing !== "high";
    if (this.#context.currentTime < this.#busy && !louder) return;
    this.#busy = burst(this.#context, priority);
    this.#playing = priority;
    this.#button.dataset.bursts = Number(this.#button.dataset.bursts ?? 0) + 1;
  }

  #again() {
    if (this.#high) this.ring("high");
  }

  #allow(event) {
    if (this.#context?.state === "running" || !navigator.userActivation?.isActive) return;
    this.#allowed = event.timeStamp;
    if (this.#context) {
      this.#context.resume().catch(() => {}); // silenced since: the screen was locked, or a loudspeaker went
      return;
    }
    this.#context = new AudioContext();
    this.#context.addEventListener("statechange", () => {
      this.#show();
      if (this.#context?.state === "running") this.#again();
    });
    this.#show();
  }

  #turn() {
    this.#off = !this.#off;
    localStorage.setItem(KEPT, this.#off ? "off" : "on");
    if (this.#off) {
      this.#context?.close();
      this.#context = null;
      this.#busy = 0;
    } else this.#allow({ timeStamp: 0 });
    this.#show();
  }

  #show() {
    const state = this.#off ? "off" : this.#context?.state === "running" ? "on" : "waiting";
    this.#button.dataset.sound = state;
    this.#button.textContent = {
      off: "Sound off",
      on: "Sound on",
      waiting: "No sound yet: click or press a key",
    }[state];
  }
}
