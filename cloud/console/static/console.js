// The page's behaviour: listens to the server, renews what changed, and says when it hears nothing.

const SILENT_MS = 10_000;
const RENEW_MS = 150; // several events of one transaction renew a fragment once

const queues = document.getElementById("queues");
const episode = document.getElementById("episode");
const notLive = document.getElementById("not-live");

let chosen = null; // { alert, episode }
let heard = Date.now();

async function fragment(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.text();
}

function soon(action) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      action().catch(() => {}); // the not-live bar says it
    }, RENEW_MS);
  };
}

const renewQueues = soon(async () => {
  queues.innerHTML = await fragment("/fragments/queues");
  mark();
  if (!chosen) chooseFirst();
});

const renewEpisode = soon(async () => {
  if (!chosen) return;
  const strip = episode.querySelector("ecg-strip");
  const fresh = document.createElement("div");
  fresh.innerHTML = await fragment(`/fragments/episodes/${chosen.episode}`);
  // The strip stays, and with it where the reader has scrolled; everything else is renewed.
  if (strip) {
    fresh.querySelector("ecg-strip").replaceWith(strip);
    strip.renew();
  }
  episode.replaceChildren(...fresh.childNodes);
});

function alerts() {
  return [...queues.querySelectorAll("[data-alert]")];
}

function mark() {
  for (const button of alerts()) {
    button.setAttribute("aria-current", String(button.dataset.alert === chosen?.alert));
  }
}

async function choose(button) {
  chosen = { alert: button.dataset.alert, episode: button.dataset.episode };
  mark();
  episode.innerHTML = await fragment(`/fragments/episodes/${chosen.episode}`);
  episode.querySelector("ecg-strip").dataset.at = button.dataset.at;
}

function chooseFirst() {
  const [first] = alerts();
  if (first) choose(first);
}

function step(by) {
  const all = alerts();
  if (!all.length) return;
  const at = all.findIndex((button) => button.dataset.alert === chosen?.alert);
  choose(all[Math.min(all.length - 1, Math.max(0, at + by))]);
}

queues.addEventListener("click", (event) => {
  const button = event.target.closest("[data-alert]");
  if (button) choose(button);
});

episode.addEventListener("click", (event) => {
  const row = event.target.closest("[data-finding]");
  if (row) episode.querySelector("ecg-strip")?.show(row.dataset.finding);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
  const strip = episode.querySelector("ecg-strip");
  const action = { j: () => step(1), k: () => step(-1), n: () => strip?.step(1), p: () => strip?.step(-1) }[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

function tick() {
  notLive.hidden = Date.now() - heard < SILENT_MS;
  for (const cell of queues.querySelectorAll("[data-since]")) {
    cell.textContent = `${Math.max(0, Math.round(Date.now() / 1000 - Number(cell.dataset.since)))} s old`;
  }
}

const source = new EventSource(`/events?after=${document.body.dataset.lastEvent}`);
const hear = (...actions) => () => {
  heard = Date.now();
  for (const action of actions) action();
};
source.addEventListener("beat", hear());
for (const kind of ["alert", "technical", "patch"]) source.addEventListener(kind, hear(renewQueues));
for (const kind of ["segment", "findings", "report"]) {
  source.addEventListener(kind, (event) => {
    const mine = JSON.parse(event.data).episode_id === chosen?.episode;
    hear(...(mine ? [renewEpisode] : []))();
  });
}
setInterval(tick, 1000);
chooseFirst();
