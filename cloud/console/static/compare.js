// Strips laid on one beat each: its R stands at the same place in all of them, and they are panned together.

const PAN_S = 1;

const page = document.getElementById("episode");
const box = page.querySelector(".strips");
const line = box.querySelector(".r-line");
const laid = [...box.querySelectorAll(".one[data-at]")].map((section) => ({
  section,
  strip: section.querySelector("ecg-strip"),
  first: Number(section.dataset.first),
  fs: Number(section.dataset.fs),
  beats: JSON.parse(section.dataset.beats),
}));

let from = null; // px from the left edge of the view to R

function shown() {
  return laid.filter(({ section, strip }) => !section.hidden && "ready" in strip.dataset);
}

function r({ section, strip, first, fs }) {
  return ((Number(section.dataset.at) - first) / fs) * strip.pxPerS;
}

// A strip that has nothing as far left, or right, as the others is set in from there: R stays over R.
function lay() {
  const strips = shown();
  if (!strips.length) return;
  const width = box.clientWidth;
  from ??= width / 3;
  const [left, right] = [Math.max(...strips.map(r)), Math.max(...strips.map((one) => one.strip.space.offsetWidth - r(one)))];
  from = Math.min(Math.max(from, width - right), left); // something is in view
  for (const one of strips) {
    const { strip } = one;
    const [before, after] = [r(one), strip.space.offsetWidth - r(one)];
    strip.style.marginLeft = `${Math.max(0, from - before)}px`;
    strip.style.marginRight = `${Math.max(0, width - from - after)}px`;
    strip.scroll.scrollLeft = before - from;
  }
  line.hidden = from < 0 || from > width;
  line.style.left = `${from}px`;
  box.dataset.laid = JSON.stringify(Object.fromEntries(strips.map((one) => [one.section.dataset.of, place(one)])));
}

// Where its R stands now, px from the left edge of the box.
function place(one) {
  return one.strip.scroll.getBoundingClientRect().left - box.getBoundingClientRect().left + r(one) - one.strip.scroll.scrollLeft;
}

function step(one, by) {
  const at = one.beats.indexOf(Number(one.section.dataset.at));
  const beat = one.beats[Math.min(one.beats.length - 1, Math.max(0, at + by))];
  one.section.dataset.at = beat;
  one.section.querySelector(".at").textContent = `${(beat / one.fs).toFixed(2)} s`;
  const url = new URL(location);
  url.search = new URLSearchParams([
    ...[...box.querySelectorAll("ecg-strip")].map((strip) => ["episode", strip.dataset.episode]),
    ...[...box.querySelectorAll(".one")].map(({ dataset }) => ["at", dataset.at ?? dataset.first]),
  ]);
  history.replaceState(null, "", url);
  lay();
}

for (const one of laid) {
  one.strip.addEventListener("drawn", () => { if (!box.dataset.laid || !JSON.parse(box.dataset.laid)[one.section.dataset.of]) lay(); });
  one.strip.addEventListener("scroll", () => {
    if (one.section.hidden || from === null || Math.abs(place(one) - from) < 1) return; // where we put it
    from = place(one);
    lay();
  }, { capture: true });
}

page.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-step]");
  const one = button && laid.find(({ section }) => section.contains(button));
  if (one) step(one, Number(button.dataset.step));
});

page.addEventListener("change", ({ target }) => {
  const { show } = target.dataset;
  for (const part of page.querySelectorAll(`[data-of="${show}"]`)) part.toggleAttribute("hidden", !target.checked);
  if (show || target.name === "speed") lay();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea, .table, figure")) return;
  const by = { ArrowLeft: PAN_S, ArrowRight: -PAN_S }[event.key];
  if (!by || from === null) return;
  event.preventDefault();
  from += by * laid[0].strip.pxPerS;
  lay();
});

new ResizeObserver(lay).observe(box);
