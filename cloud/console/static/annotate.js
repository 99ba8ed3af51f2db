// What people mark: a second rail beneath the strip, and a form that corrects a finding or adds one.

const box = document.getElementById("annotate");
const form = box.querySelector("form");
const strip = document.querySelector(`ecg-strip[data-episode="${box.dataset.episode}"]`);
const fs = Number(box.dataset.fs);
const path = `/api/episodes/${box.dataset.episode}`;
const rail = document.createElement("div");
rail.className = "rail";
const LANE = 22; // px
let bounds = null; // of the strip: { first, count }, in samples
let begun = null; // s: where a click on the strip began a span

async function start() {
  const answers = await Promise.all([fetch(path), fetch(`${path}/annotations`)]).catch(() => []);
  if (!answers.length || !answers.every((answer) => answer.ok)) return;
  const [episode, marks] = await Promise.all(answers.map((answer) => answer.json()));
  bounds = { first: episode.first, count: episode.last + 1 - episode.first };
  rail.replaceChildren(...marks.map(marked));
  follow();
  box.dataset.ready = "";
}

function marked(mark) {
  const span = document.createElement("button");
  span.className = mark.wrong ? "wrong" : "";
  span.style.left = `${(100 * (mark.first - bounds.first)) / bounds.count}%`;
  span.style.width = `${(100 * (mark.last + 1 - mark.first)) / bounds.count}%`;
  span.title = `${mark.plain}, by ${mark.who}${mark.comment ? `: ${mark.comment}` : ""}`;
  span.setAttribute("aria-label", span.title);
  const chip = document.createElement("span");
  chip.textContent = `${mark.wrong ? "✕ " : ""}${mark.label ?? mark.replaced.label} by ${mark.who}`;
  span.append(chip);
  span.addEventListener("click", () => pick(box.querySelector(`[data-annotation="${mark.id}"]`)));
  return span;
}

// As wide as the whole strip, inside what scrolls; a mark whose words would cover another's goes a lane lower.
function follow() {
  const space = strip.querySelector(".space");
  if (!space || !bounds || rail.style.width === `${space.offsetWidth}px`) return;
  space.after(rail);
  rail.style.width = `${space.offsetWidth}px`;
  const ends = [];
  for (const mark of rail.children) {
    const from = mark.offsetLeft;
    const free = ends.findIndex((end) => end < from);
    const lane = free >= 0 ? free : ends.length;
    ends[lane] = from + Math.max(mark.offsetWidth, mark.firstChild.offsetWidth) + 6;
    mark.style.top = `${2 + lane * LANE}px`;
  }
  rail.style.height = `${4 + Math.max(1, ends.length) * LANE}px`;
}

function seconds(event) {
  const { left, width } = strip.querySelector(".space").getBoundingClientRect();
  return (bounds.first + ((event.clientX - left) / width) * bounds.count) / fs;
}

function pick(row) {
  const { first, last } = row.dataset;
  strip.cite([[Number(first), Number(last)]]);
  for (const other of box.querySelectorAll("tr.current")) other.classList.remove("current");
  row.classList.add("current");
  if (!form) return;
  form.replaces.value = row.dataset.finding ?? row.dataset.annotation;
  form.label.value = row.dataset.label;
  form.from.value = round(Number(first) / fs);
  form.to.value = round((Number(last) + 1) / fs);
  const leads = JSON.parse(row.dataset.leads);
  for (const lead of form.querySelectorAll("[name=leads]")) lead.checked = !leads.length || leads.includes(lead.value);
  form.querySelector("[data-do=wrong]").disabled = !row.dataset.label;
  form.querySelector("[data-about]").textContent = `Corrects ${row.querySelector("b").textContent} at ${form.from.value} s.`;
}

function round(value) {
  return Math.round(value * 10_000) / 10_000;
}

function samples() {
  return { first: Math.round(form.from.value * fs), last: Math.round(form.to.value * fs) - 1 };
}

async function send(label) {
  const said = {
    ...samples(), label, comment: form.comment.value, replaces: form.replaces.value || null,
    leads: [...form.querySelectorAll("[name=leads]:checked")].map((lead) => lead.value),
  };
  const answer = await fetch(`${path}/annotations`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said),
  }).catch(() => null);
  if (answer?.ok) return location.reload();
  if (answer?.status === 401) return location.assign("/login");
  const alarm = form.querySelector(".error");
  alarm.textContent = answer ? (await answer.json()).detail : "The server does not answer: nothing was stored.";
  alarm.hidden = false;
}

box.addEventListener("click", ({ target }) => {
  const row = target.closest("tr[data-first]");
  if (row) pick(row);
});
strip.addEventListener("drawn", follow);
if (form) {
  const about = form.querySelector("[data-about]");
  const hint = about.textContent;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form.label.value);
  });
  form.addEventListener("reset", () => {
    form.replaces.value = "";
    form.querySelector("[data-do=wrong]").disabled = true;
    about.textContent = hint;
    begun = null;
  });
  form.querySelector("[data-do=wrong]").addEventListener("click", () => send(null));
  strip.addEventListener("click", (event) => {
    if (!bounds || !event.target.closest(".space") || strip.querySelector(".measure[aria-pressed=true]")) return;
    const at = seconds(event);
    [form.from.value, form.to.value] = [Math.min(begun ?? at, at), Math.max(begun ?? at, at)].map(round);
    begun = begun === null ? at : null;
    if (begun === null) strip.cite([[samples().first, samples().last]]);
  });
}
start();
