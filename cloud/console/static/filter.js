// A filter for the eye alone: 0.5 to 40 Hz (-3 dB), forwards and backwards, so that nothing moves in time. Gaps stay
// gaps: each stretch between them is filtered by itself. What is found is found without it.

export const BAND = [0.5, 40]; // Hz
const TWICE = (Math.SQRT2 - 1) ** 0.25; // passed twice, a second-order Butterworth is 3 dB down at this much of its corner
const LEAST_FS = 3 * BAND[1];
const PAD_S = 3;

export const canFilter = (fs) => fs >= LEAST_FS;

// `gaps`: [first, count] in samples of the array.
export function filtered(samples, fs, gaps) {
  const out = new Float32Array(samples.length);
  const stages = [highPass(BAND[0], fs), lowPass(BAND[1], fs)];
  for (const [begin, end] of stretches(samples.length, gaps)) {
    out.set(through(samples.subarray(begin, end), stages, fs), begin);
  }
  return out;
}

function stretches(length, gaps) {
  const found = [];
  let begin = 0;
  for (const [first, count] of [...gaps].sort(([a], [b]) => a - b)) {
    if (first > begin) found.push([begin, first]);
    begin = Math.max(begin, first + count);
  }
  if (begin < length) found.push([begin, length]);
  return found;
}

// The stretch with its ends turned about them, or a filter would begin with a step.
function through(samples, stages, fs) {
  const pad = Math.min(samples.length - 1, Math.round(PAD_S * fs));
  const [head, tail] = [samples[0], samples.at(-1)];
  let signal = new Float64Array(samples.length + 2 * pad);
  for (let i = 0; i < pad; i++) {
    signal[i] = 2 * head - samples[pad - i];
    signal[pad + samples.length + i] = 2 * tail - samples[samples.length - 2 - i];
  }
  signal.set(samples, pad);
  for (const stage of stages) {
    for (let way = 0; way < 2; way++) {
      pass(signal, stage);
      signal.reverse();
    }
  }
  return signal.subarray(pad, pad + samples.length);
}

function pass(signal, [b0, b1, b2, a1, a2]) {
  const start = (signal[0] * (b0 + b1 + b2)) / (1 + a1 + a2); // as if its first value had stood for ever
  let [x1, x2, y1, y2] = [signal[0], signal[0], start, start];
  for (let i = 0; i < signal.length; i++) {
    const x = signal[i];
    const y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2;
    [x2, x1, y2, y1] = [x1, x, y1, y];
    signal[i] = y;
  }
}

// Butterworth of second order by the bilinear transform, whose corner lies so much beyond the frequency.
function corner(hz, fs, beyond) {
  const w = 2 * Math.atan(beyond * Math.tan((Math.PI * hz) / fs));
  const [cos, alpha] = [Math.cos(w), Math.sin(w) / Math.SQRT2];
  return { cos, over: 1 / (1 + alpha), a: [(-2 * cos) / (1 + alpha), (1 - alpha) / (1 + alpha)] };
}

function lowPass(hz, fs) {
  const { cos, over, a } = corner(hz, fs, 1 / TWICE);
  return [((1 - cos) / 2) * over, (1 - cos) * over, ((1 - cos) / 2) * over, ...a];
}

function highPass(hz, fs) {
  const { cos, over, a } = corner(hz, fs, TWICE);
  return [((1 + cos) / 2) * over, -(1 + cos) * over, ((1 + cos) / 2) * over, ...a];
}
