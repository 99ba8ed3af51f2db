// What changes on the page by itself: how old the newest samples are, how long a suppression lasts, how long it takes
// from a sample to the screen.

const LATENCIES_MS = 60_000;

let latencies = {}; // patch -> { n, p50, p95 }, s

export function showAges() {
  const now = Date.now() / 1000;
  for (const cell of document.querySelectorAll("[data-since]")) {
    cell.textContent = `${lasting(now - Number(cell.dataset.since))} old`;
  }
  for (const cell of document.querySelectorAll("[data-until]")) {
    const left = Number(cell.dataset.until) - now;
    cell.textContent = left > 0 ? `, ${lasting(left)} more` : ", which is over: what comes now calls";
  }
  for (const cell of document.querySelectorAll("[data-latency]")) {
    const { n, p50, p95 } = latencies[cell.dataset.latency] ?? {};
    if (n) cell.textContent = `p50 ${p50.toFixed(1)} s · p95 ${p95.toFixed(1)} s, 24 h`;
  }
}

function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

async function renewLatencies() {
  const answer = await fetch("/api/latencies").catch(() => null);
  if (answer?.ok) latencies = await answer.json();
  showAges();
}

setInterval(renewLatencies, LATENCIES_MS);
renewLatencies();
