// The page's behaviour: listens to the server, renews what changed, walks through the queues, says when it hears nothing.

import { Acts, LOOK_MS } from "./acts.js";
import { showAges } from "./ages.js";
import { Alarm } from "./alarm.js";
import { keys, showHelp } from "./keys.js";
import { dismiss, note } from "./notes.js";

const SILENT_MS = 9000; // the server says something every 5 s
const LOST_MS = 3000; // a connection that broke is given so long to come back
const RENEW_MS = 150; // several events of one transaction renew a fragment once
const QUEUES = ["review", "suppressed", "technical"];
const DECIDED = ["acknowledged", "resolved", "suppressed", "undone", "escalated"];
const PATCH_MS = 2_000; // heartbeats never end, and tell little
const CLICK_MS = 100; // a finger's click comes a little after it is lifted
const LONGEST_PRESS_MS = 2_000; // whoever holds on for longer misses no news

const queues = document.getElementById("queues");
const episode = document.getElementById("episode");
const notLive = document.getElementById("not-live");
const said = document.getElementById("said");
const bar = document.getElementById("together");

const ticked = new Set(); // episodes, in the order of ticking
const alarm = new Alarm(document.getElementById("sound"));
const acts = new Acts(document.getElementById("acts"), document.getElementById("suppress"), done);

let queue = QUEUES[0];
// What is shown: { together: episodes } or { item, alert, episode, at, of, drawn, resolvedBy }, `of` what it was about
// when chosen.
let chosen = null;
let heard = Date.now();

async function fragment(path) {
  const answer = await fetch(path);
  if (answer.status === 401) location.assign("/login"); // the session is over
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.text();
}

// What is pressed stays until it is let go and has been clicked: replaced meanwhile, it would get no click.
let press = Promise.resolve();
let letGo = () => {};
const hold = () => {
  press = new Promise((done) => (letGo = done));
  setTimeout(letGo, LONGEST_PRESS_MS);
};
async function released() {
  for (let last = null; last !== press; ) await (last = press);
}
addEventListener("pointerdown", hold);
addEventListener("keydown", ({ key, repeat }) => key === " " && !repeat && hold());
for (const end of ["pointerup", "pointercancel", "keyup"]) addEventListener(end, () => setTimeout(letGo, CLICK_MS));

// One at a time: on a slow line renewals would queue up behind each other.
function soon(action) {
  let timer = null;
  let due = Infinity;
  let running = false;
  const begin = async () => {
    timer = null;
    if (running) return;
    due = Infinity;
    running = true;
    await action().catch(() => {}); // the not-live bar says it
    running = false;
    if (due < Infinity) again();
  };
  const again = () => (timer = setTimeout(begin, due - Date.now()));
  return (_, within = RENEW_MS) => {
    if (Date.now() + within >= due) return;
    due = Date.now() + within;
    clearTimeout(timer);
    again();
  };
}

const renewQueues = soon(async () => {
  const html = await fragment("/fragments/queues");
  await released();
  const { activeElement: active } = document;
  const focused = queues.contains(active) ? buttons().indexOf(active) : -1;
  const [mine, tab, ticking] = [active.closest?.("[data-item]")?.dataset.item, active.id, active.dataset?.tick];
  const unfolded = [...queues.querySelectorAll("details[open]")].map((details) => details.dataset.keep);
  queues.innerHTML = html;
  for (const details of queues.querySelectorAll("details")) details.open = unfolded.includes(details.dataset.keep);
  showQueue();
  showTicks();
  const again = queues.querySelector(ticking ? `[data-tick="${ticking}"]` : `[role=tab][id="${tab}"]`);
  if (again) again.focus({ preventScroll: true });
  else if (focused >= 0) (item(mine)?.querySelector("button") ?? buttons()[focused])?.focus({ preventScroll: true });
  follow();
  see();
  tick();
});

const renewEpisode = soon(async () => {
  const { episode: id } = chosen ?? {};
  if (!id) return;
  const html = await fragment(`/fragments/episodes/${id}`);
  await released();
  if (chosen?.episode !== id) return; // another was chosen meanwhile
  if (!strip()) return; // still coming, and it will be as new
  surround(html);
  strip().renew();
});

// The strip stays untouched (moved, it would lose where the reader has scrolled); all around it is renewed. What was
// asked and answered stays too.
function surround(html) {
  const scrolled = episode.querySelector(".table")?.scrollTop ?? 0;
  const focused = document.activeElement.closest("[data-finding]")?.dataset.finding;
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  const parts = [...fresh.children];
  const at = parts.findIndex((part) => part.matches("ecg-strip"));
  const asked = episode.querySelector(".ask");
  for (const old of [...episode.children]) if (old !== strip() && old !== asked) old.remove();
  strip().before(...parts.slice(0, at));
  strip().after(...parts.slice(at + 1).filter((part) => !asked || !part.matches(".ask")));
  strip().markRow();
  episode.querySelector(".table").scrollTop = scrolled;
  if (focused) episode.querySelector(`[data-finding="${focused}"] .go`)?.focus({ preventScroll: true });
}

const panel = () => document.getElementById(`queue-${queue}`);
const items = () => [...panel().querySelectorAll("[data-item]")];
const item = (key) => items().find((found) => found.dataset.item === key);
const buttons = () => [...queues.querySelectorAll("button")];
const about = ({ dataset: { episode: id, at, item: key } }) => (id ? `${id} ${at}` : key);

function showQueue() {
  for (const name of QUEUES) {
    document.getElementById(`queue-${name}`).hidden = name !== queue;
    const tab = document.getElementById(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === queue));
    tab.tabIndex = name === queue ? 0 : -1;
  }
}

function turnTo(name) {
  queue = name;
  showQueue();
  const all = items();
  if (item(chosen?.item)) mark();
  else if (all.length) choose(all[0]);
  else nothing("Nothing is in this queue. That is not to say that nothing is wrong.");
}

function nothing(text) {
  chosen = null;
  episode.replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: text }));
  mark();
}

// The card that is shown is marked, and one raised again is shown anew. Nothing else takes the strip from under a
// person's hand: where somebody else has dealt with its alert, that is said, and j goes on.
function follow() {
  const { calling, high } = queues.querySelector(".tabs").dataset;
  alarm.mark(Number(calling), Number(high));
  const [all, mine] = [items(), item(chosen?.item)];
  if (mine && about(mine) !== chosen.of) choose(mine);
  else if (mine && !chosen.episode) showTechnical(mine); // how its patch stands now
  else if (!chosen && all.length) choose(all[0]);
  mark();
}

function mark() {
  const mine = item(chosen?.item);
  const gone = chosen && !mine && !chosen.together ? wentBy(chosen) : "";
  acts.show(mine?.dataset.alert ? mine.dataset : null, gone);
  for (const found of queues.querySelectorAll("[data-item]")) {
    found.setAttribute("aria-current", String(found === mine));
    for (const cause of found.querySelectorAll("[data-cause]")) {
      cause.setAttribute("aria-current", String(found === mine && about(cause) === `${chosen.episode} ${chosen.at}`));
    }
  }
}

// Why the card of what is shown is gone.
function wentBy({ alert, resolvedBy }) {
  if (!alert) return "This technical alert is over: its cause has gone";
  return resolvedBy === "recording" ? "The recording has resolved this alert" : "Somebody has dealt with this alert";
}

function see() {
  const mine = item(chosen?.item);
  const strip = episode.querySelector("ecg-strip[data-ready]");
  if (!mine?.dataset.alert || document.hidden || about(mine) !== about({ dataset: chosen })) return;
  if (strip?.dataset.episode !== mine.dataset.episode) return;
  if (!chosen.drawn) {
    const now = chosen;
    chosen.drawn = performance.now();
    setTimeout(() => chosen === now && acts.looked(now), LOOK_MS);
  }
  acts.see(mine.dataset);
}

// Show an alert's episode at the sample it is about, or at the one of one of its causes; or a technical alert.
async function choose(found, what = found) {
  const { episode: id, at } = what.dataset;
  const now = { item: found.dataset.item, alert: found.dataset.alert, episode: id, at, of: about(found) };
  const came = !chosen && strip()?.dataset.episode === id; // with the page, which needs what stands around it
  chosen = now;
  mark();
  if (!id) return showTechnical(found);
  if (came) see(); // it may have been drawn before this script listened
  const html = await fragment(`/fragments/episodes/${id}`).catch(() => null);
  if (chosen !== now) return; // another was chosen meanwhile
  if (html && came) {
    surround(html);
    return strip().showRow();
  }
  episode.innerHTML = html ?? `<p class="empty">This episode cannot be loaded now.</p>`;
  if (html) strip().dataset.at = at;
}

// What it says, and how its patch stands.
function showTechnical(found) {
  const said = document.createElement("div");
  said.className = "technical";
  said.append(...found.querySelector(".raised").cloneNode(true).childNodes);
  const patch = queues.querySelector(`.patch[data-of="${CSS.escape(found.dataset.patch)}"]`);
  episode.replaceChildren(said, ...(patch ? [patch.cloneNode(true)] : []));
}

function step(by) {
  const all = items();
  if (!all.length) return;
  const at = all.indexOf(item(chosen?.item));
  go(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))]);
}

function go(next) {
  next.scrollIntoView({ block: "nearest" });
  choose(next);
}

function act(what) {
  acts.act(what, item(chosen?.item)?.dataset.alert && { ...item(chosen.item).dataset }, chosen?.drawn);
}

// On to the next one that nobody has answered, or the next of the others.
function done(what, alert) {
  renewQueues();
  if (!what || chosen?.alert !== alert) return;
  const all = items();
  const at = all.indexOf(item(chosen.item));
  const rest = [...all.slice(at + 1), ...all.slice(0, Math.max(0, at))];
  const next = rest.find((found) => found.matches(".calling")) ?? rest[0];
  if (next) go(next);
  else nothing("This was the last one in this queue.");
}

queues.addEventListener("click", async (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) turnTo(tab.dataset.queue);
  const found = event.target.closest("[data-item]");
  if (!found || event.target.closest("summary, .tick")) return;
  await choose(found, event.target.closest("[data-cause]") ?? found);
  // On a phone the strip is further down than the card.
  if (episode.getBoundingClientRect().top > innerHeight / 2) episode.parentElement.scrollIntoView({ block: "start" });
});

queues.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by || !event.target.matches("[role=tab]")) return;
  turnTo(QUEUES[(QUEUES.indexOf(queue) + by + QUEUES.length) % QUEUES.length]);
  document.getElementById(`tab-${queue}`).focus();
});

document.getElementById("acts").addEventListener("click", ({ target }) => {
  const { act: what, step: by } = target.closest("button")?.dataset ?? {};
  if (what) act(what);
  if (by) step(Number(by));
});

queues.addEventListener("change", ({ target }) => {
  if (!target.dataset.tick) return;
  if (target.checked) ticked.add(target.dataset.tick);
  else ticked.delete(target.dataset.tick);
  showTicks();
});

bar.addEventListener("click", ({ target }) => {
  if (target.dataset.do === "ask") showTogether([...ticked]);
  if (target.dataset.do === "compare") location.assign(`/compare?${new URLSearchParams([...ticked].map((id) => ["episode", id]))}`);
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
  bar.querySelector("[data-do=compare]").disabled = ticked.size < 2 || ticked.size > 4;
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

const strip = () => episode.querySelector("ecg-strip");

keys([
  { keys: ["j"], says: "next in the queue", act: () => step(1) },
  { keys: ["k"], says: "previous in the queue", act: () => step(-1) },
  { keys: ["1", "g r"], says: "needs review", act: () => turnTo("review") },
  { keys: ["2", "g s"], says: "suppressed", act: () => turnTo("suppressed") },
  { keys: ["3", "g t"], says: "technical", act: () => turnTo("technical") },
  { keys: ["a"], says: "acknowledge, once its strip was looked at", act: () => act("acknowledge"), once: true },
  { keys: ["e"], says: "escalate: tell everybody on the chain now", act: () => act("escalate"), once: true },
  { keys: ["x"], says: "suppress, for so many hours and a reason", act: () => act("suppress"), once: true },
  { keys: ["u"], says: "undo the suppression that is chosen, or the last one", act: () => act("undo"), once: true },
  { keys: ["r"], says: "resolve; of a suppressed one the quiet rule ends too", act: () => act("resolve"), once: true },
  { keys: ["n"], says: "next marked span", act: () => strip()?.step(1) },
  { keys: ["p"], says: "previous marked span", act: () => strip()?.step(-1) },
  { keys: ["c"], says: "calipers; arrows move one, with Shift further, Tab goes to the other", act: () => strip()?.calipers() },
  { keys: ["Escape"], says: "dismiss what is said", act: dismiss },
  { keys: ["?", "/"], says: "these keys", act: showHelp },
]);

function tick() {
  notLive.hidden = Date.now() - heard < SILENT_MS;
  showAges();
}

const news = {
  beat: () => {},
  reload: () => location.reload(), // events between are kept no more
  patch: () => renewQueues(null, PATCH_MS),
  technical: renewQueues,
  assignment: renewQueues,
  symptom: ({ patch_id: patch, kind, at }) => {
    renewQueues();
    note(`Symptom told, patch ${patch}: ${kind}, felt at ${clock(at)}`, true); // it raises no alert: a person judges it
  },
  alert: async ({ alert, change, version, who, written_at: at }) => {
    renewQueues();
    const calls = alert.state === "raised" || change === "escalated";
    if (calls) said.textContent = `${alert.priority} alert, patch ${alert.patch_id}: ${alert.rule}`; // for screen readers
    if (calls) alarm.ring(alert.priority);
    if (change === "resolved" && alert.id === chosen?.alert) chosen.resolvedBy = who;
    if (!DECIDED.includes(change) || (await acts.mine(alert.id, version))) return;
    note(`${alert.label}, patch ${alert.patch_id}: ${change} by ${who} at ${clock(at)}`, alert.id === chosen?.alert);
  },
  segment: ofMine,
  findings: ofMine,
  report: ofMine,
  annotation: ofMine,
  deleted: ofMine,
};

const clock = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8);

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
  source.addEventListener("open", () => (heard = Date.now()));
  source.addEventListener("error", () => {
    heard = Math.min(heard, Date.now() - SILENT_MS + LOST_MS);
    if (source.readyState !== EventSource.CLOSED) return;
    renewQueues();
    setTimeout(listen, 1000, last);
  });
}

episode.addEventListener("drawn", see);
document.addEventListener("visibilitychange", see);
listen(document.body.dataset.lastEvent);
notLive.classList.remove("unheard");
tick();
setInterval(tick, 1000);
showQueue();
follow();
