// The day's cursor: what the edge counted in the minute under the pointer or the slider, in words.

const sheet = document.querySelector(".sheet");
const plots = sheet.querySelector(".plots");
const cursor = sheet.querySelector(".cursor");
const slider = sheet.querySelector("input");
const now = sheet.querySelector(".now");

const axis = JSON.parse(sheet.dataset.axis); // the hours' names: after a change of the clock one is twice or lacks
const rows = JSON.parse(sheet.dataset.minutes); // [minute, lowest, mean, highest, V, S, AF s, missing s, unreadable s]

const shown = (rate) => rate ?? "–";

function words(minute) {
  const clock = `${axis[Math.floor(minute / 60)]}:${String(minute % 60).padStart(2, "0")}`;
  const row = rows.findLast(([at]) => at < minute + 1);
  if (!row || row[0] + 1 <= minute) return `${clock} · no row: nothing is known of this minute`;
  const [, low, mean, high, v, s, af, missing, unreadable] = row;
  const rates = low === null && mean === null ? "rate not measured" : `${shown(low)} / ${shown(mean)} / ${shown(high)} per min`;
  return `${clock} · ${rates} · estimates: V ${v}, S ${s}, AF ${af} s · not received ${missing} s, unreadable ${unreadable} s`;
}

function show(minute) {
  slider.value = minute;
  now.textContent = words(minute);
  slider.setAttribute("aria-valuetext", now.textContent);
  cursor.hidden = false;
  cursor.style.left = `${(100 * (minute + 0.5)) / (Number(slider.max) + 1)}%`;
}

plots.addEventListener("pointermove", ({ clientX }) => {
  const { left, width } = plots.getBoundingClientRect();
  const minute = Math.floor(((clientX - left) / width) * (Number(slider.max) + 1));
  show(Math.min(Number(slider.max), Math.max(0, minute)));
});

slider.addEventListener("input", () => show(Number(slider.value)));

sheet.dataset.ready = "";
