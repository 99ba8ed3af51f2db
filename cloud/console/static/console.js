// The page's behaviour: listens to the server, renews what changed, and says when it hears nothing.

const SILENT_MS = 10_000;
const RENEW_MS = 150; // several events of one transaction renew a fragment once

const queues = document.getElementById("queues");
const episode = document.getElementById("episode");
const notLive = document.getElementById("not-live");
const said = document.getElementById("said");
const title = document.title;

const bar = document.getElementById("together");
const ticked = new Set(); // episodes, in the order of ticking

const screen = crypto.randomUUID(); // this page in this browser: who has seen what, the server asks per screen
const reported = new Set(); // alerts, with the version of their newest decision, whose strip was reported as drawn

let chosen = null; // { together: episodes } or { alert, episode, at, of }: what is shown, and `of` what its alert was about when chosen
let heard = Date.now();

async function fragment(path) {
  const answer = await fetch(path);
  if (answer.status === 401) location.assign("/login"); // the session is over
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
  const html = await fragment("/fragments/queues");
  const focused = queues.contains(document.activeElement) ? buttons().indexOf(document.activeElement) : -1;
  const mine = document.activeElement.closest?.("[data-alert]")?.dataset.alert;
  const ticking = document.activeElement.dataset?.tick;
  const unfolded = [...queues.querySelectorAll("details[open]")].map((details) => details.dataset.keep);
  queues.innerHTML = html;
  for (const details of queues.querySelectorAll("details")) details.open = unfolded.includes(details.dataset.keep);
  showTicks();
  if (ticking) queues.querySelector(`[data-tick="${ticking}"]`)?.focus({ preventScroll: true });
  if (focused >= 0) (card(mine)?.querySelector("button") ?? buttons()[focused])?.focus({ preventScroll: true });
  follow();
  see();
  tick();
});

const renewEpisode = soon(async () => {
  const { episode: id } = chosen ?? {};
  if (!id) return;
  const html = await fragment(`/fragments/episodes/${id}`);
  if (chosen.episode !== id) return; // another was chosen meanwhile
  const strip = episode.querySelector("ecg-strip");
  if (!strip) return; // still coming, and it will be as new
  const scrolled = episode.querySelector(".table").scrollTop;
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  const parts = [...fresh.children];
  // The strip stays untouched (moved, it would lose where the reader has scrolled); all around it is renewed.
  // So does what was asked and answered.
  for (const [i, old] of [...episode.children].entries()) {
    if (!old.matches("ecg-strip, .ask")) old.replaceWith(parts[i]);
  }
  episode.querySelector(".table").scrollTop = scrolled;
  strip.renew();
});

function alerts() {
  return [...queues.querySelectorAll("[data-alert]")];
}

function buttons() {
  return [...queues.querySelectorAll("button")];
}

function card(alert) {
  return alerts().find((found) => found.dataset.alert === alert);
}

// The card that is shown is marked; the first is shown where none is, and one raised again is shown anew.
function follow() {
  const all = alerts();
  document.title = all.length ? `(${all.length}) ${title}` : title;
  const mine = card(chosen?.alert);
  if (!chosen?.together && all.length && (!mine || about(mine) !== chosen.of)) choose(mine ?? all[0]);
  mark();
}

function about({ dataset }) {
  return `${dataset.episode} ${dataset.at}`;
}

function post(alert, what, body) {
  const headers = { "Content-Type": "application/json" };
  return fetch(`/api/alerts/${alert}/${what}`, { method: "POST", headers, body: JSON.stringify({ screen, ...body }) });
}

// Tell the server that the chosen alert's own strip is on this screen: only then can it be acknowledged here.
async function see() {
  const mine = card(chosen?.alert);
  const strip = episode.querySelector("ecg-strip[data-ready]");
  if (!mine || document.hidden || about(mine) !== about({ dataset: chosen })) return;
  if (strip?.dataset.episode !== mine.dataset.episode) return;
  const { alert, decided, version } = mine.dataset;
  if (reported.has(`${alert} ${decided}`)) return;
  reported.add(`${alert} ${decided}`);
  const answer = await post(alert, "seen", { version: Number(version) }).catch(() => null);
  if (!answer?.ok) reported.delete(`${alert} ${decided}`); // the next news of it, or the next drawing, try again
}

async function act(mine, what) {
  const { alert, version } = mine.dataset;
  const body = { version: Number(version) };
  const answer = await post(alert, what, what === "resolve" ? { ...body, screen: undefined } : body).catch(() => null);
  if (!answer?.ok) said.textContent = answer ? (await answer.json()).detail : "The server cannot be reached.";
  renewQueues();
}

function mark() {
  for (const found of alerts()) {
    const mine = found.dataset.alert === chosen?.alert;
    found.setAttribute("aria-current", String(mine));
    for (const cause of found.querySelectorAll("[data-cause]")) {
      cause.setAttribute("aria-current", String(mine && about(cause) === `${chosen.episode} ${chosen.at}`));
    }
  }
}

// Show an alert's episode at the sample it is about, or at the one of one of its causes.
async function choose(found, what = found) {
  const { episode: id, at } = what.dataset;
  const now = { alert: found.dataset.alert, episode: id, at, of: about(found) };
  chosen = now;
  mark();
  const html = await fragment(`/fragments/episodes/${id}`).catch(() => null);
  if (chosen !== now) return; // another was chosen meanwhile
  episode.innerHTML = html ?? `<p class="empty">This episode cannot be loaded now.</p>`;
  if (html === null) return;
  episode.querySelector("ecg-strip").dataset.at = at;
}

function step(by) {
  const all = alerts();
  if (!all.length) return;
  const at = all.indexOf(card(chosen?.alert));
  const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
  next.scrollIntoView({ block: "nearest" });
  choose(next);
}

queues.addEventListener("click", async (event) => {
  const found = event.target.closest("[data-alert]");
  if (!found || event.target.closest("summary, .tick")) return;
  const doing = event.target.closest("[data-act]");
  if (doing) {
    await act(found, doing.dataset.act);
    return;
  }
  await choose(found, event.target.closest("[data-cause]") ?? found);
  // On a phone the strip is further down than the card.
  if (episode.getBoundingClientRect().top > innerHeight / 2) episode.scrollIntoView({ block: "start" });
});

queues.addEventListener("change", ({ target }) => {
  if (!target.dataset.tick) return;
  if (target.checked) ticked.add(target.dataset.tick);
  else ticked.delete(target.dataset.tick);
  showTicks();
});

bar.addEventListener("click", ({ target }) => {
  if (target.dataset.do === "ask") showTogether([...ticked]);
  if (target.dataset.do === "clear") {
    ticked.clear();
    showTicks();
  }
});

// One strip may stand in several places of the queue; beyond the most that can be asked about none is ticked.
function showTicks() {
  const full = ticked.size >= Number(bar.dataset.most);
  for (const box of queues.querySelectorAll("[data-tick]")) {
    box.checked = ticked.has(box.dataset.tick);
    box.disabled = full && !box.checked;
  }
  bar.hidden = !ticked.size;
  bar.firstElementChild.textContent = `${ticked.size} ${ticked.size === 1 ? "strip" : "strips"} ticked`;
}

async function showTogether(together) {
  const now = { together };
  chosen = now;
  mark();
  const path = `/fragments/together?${new URLSearchParams(together.map((id) => ["episode", id]))}`;
  const html = await fragment(path).catch(() => null);
  if (chosen !== now) return; // another was chosen meanwhile
  episode.innerHTML = html ?? `<p class="empty">These strips cannot be loaded now.</p>`;
  episode.scrollIntoView({ block: "nearest" });
  episode.querySelector(".ask input")?.focus();
}

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

function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

function tick() {
  notLive.hidden = Date.now() - heard < SILENT_MS;
  for (const cell of queues.querySelectorAll("[data-since]")) {
    cell.textContent = `${lasting(Date.now() / 1000 - Number(cell.dataset.since))} old`;
  }
}

const news = {
  beat: () => {},
  reload: () => location.reload(), // events between are kept no more
  patch: renewQueues,
  technical: renewQueues,
  assignment: renewQueues,
  alert: ({ alert }) => {
    if (alert.state === "raised") said.textContent = `${alert.priority} alert, patch ${alert.patch_id}: ${alert.rule}`; // for screen readers
    renewQueues();
  },
  segment: ofMine,
  findings: ofMine,
  report: ofMine,
};

function ofMine({ episode_id }) {
  if (episode_id === chosen?.episode) renewEpisode();
  if (chosen?.together) episode.querySelector(`ecg-strip[data-episode="${episode_id}"]`)?.renew();
}

// After a lost connection the browser asks again by itself; after a refusal it does not.
function listen(after) {
  let last = after;
  const source = new EventSource(`/events?after=${after}`);
  for (const [kind, take] of Object.entries(news)) {
    source.addEventListener(kind, (event) => {
      heard = Date.now();
      last = event.lastEventId || last;
      take(JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    renewQueues();
    setTimeout(listen, 1000, last);
  });
}

episode.addEventListener("drawn", see);
document.addEventListener("visibilitychange", see);
listen(document.body.dataset.lastEvent);
setInterval(tick, 1000);
follow();
