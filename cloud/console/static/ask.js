// Questions and their answers, sentence by sentence; a click on a citation or a finding shows its place on the strip.

const episode = document.getElementById("episode");

episode.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const box = form.closest(".ask");
  const question = form.question.value.trim();
  if (!question || form.querySelector("button").disabled) return;
  form.querySelector("button").disabled = true;
  const answer = begin(box, question);
  form.question.value = "";
  await ask({ episodes: JSON.parse(box.dataset.episodes), question }, answer).catch(() => {
    say(answer, "caution", "The answer broke off: the server cannot be reached.");
  });
  answer.querySelector(".status").remove();
  answer.setAttribute("aria-busy", "false");
  form.querySelector("button").disabled = false;
});

episode.addEventListener("click", ({ target }) => {
  const row = target.closest("[data-finding]");
  if (row) episode.querySelector("ecg-strip")?.show(row.dataset.finding);
  const cite = target.closest(".cite");
  if (!cite) return;
  const strip = episode.querySelector(`ecg-strip[data-ecg="${cite.dataset.ecg}"]`);
  strip?.cite(JSON.parse(cite.dataset.spans).map(({ first, last }) => [first, last]));
});

function begin(box, question) {
  const answer = document.createElement("article");
  answer.setAttribute("aria-busy", "true");
  box.querySelector(".answers").append(answer);
  say(answer, "asked", question);
  say(answer, "status", "Asking…");
  return answer;
}

// A line of text before the status; what a server or a model says is text, never markup.
function say(answer, name, text = "") {
  const line = document.createElement("p");
  line.className = name;
  line.textContent = text;
  answer.insertBefore(line, answer.querySelector(".status"));
  answer.scrollIntoView({ block: "nearest" });
  return line;
}

async function ask(asked, answer) {
  const response = await fetch("/ask", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(asked),
  });
  if (!response.ok) {
    say(answer, "caution", (await response.json()).detail);
    return;
  }
  for await (const line of lines(response.body)) take(JSON.parse(line), answer);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (rest + part.value).split("\n");
    rest = whole.pop();
    yield* whole;
  }
}

function take(line, answer) {
  const status = answer.querySelector(".status");
  if (line.type === "ecgs" && line.caution) say(answer, "caution", line.caution);
  if (line.type === "waiting") status.textContent = `Waiting: the language model is busy, ${line.before} before this one.`;
  if (line.type === "read") status.textContent = `Reading ECG ${line.ecg}…`;
  if (line.type === "sentence") sentence(say(answer, "sentence"), line);
  if (line.type === "end") end(answer, line);
  if (line.type === "error") say(answer, "caution", line.detail);
}

function sentence(place, { text, cites }) {
  let rest = text;
  while (rest) {
    const next = cites.map((cite) => [rest.indexOf(cite.text), cite]).filter(([at]) => at >= 0).sort(([a], [b]) => a - b)[0];
    if (!next) break;
    place.append(rest.slice(0, next[0]), button(next[1]));
    rest = rest.slice(next[0] + next[1].text.length);
  }
  place.append(rest);
}

function button({ text, ecg, spans }) {
  const made = document.createElement("button");
  made.className = "cite";
  made.type = "button";
  made.textContent = text;
  made.dataset.ecg = ecg;
  made.dataset.spans = JSON.stringify(spans);
  made.title = `Show on ECG ${ecg}, from ${spans[0].from_s.toFixed(1)} s`;
  return made;
}

function end(answer, { model, seconds, replaced, added, note }) {
  const held = replaced || added ? ` · sentences replaced by the template: ${replaced}, added: ${added}` : "";
  if (note) say(answer, "caution", note);
  say(answer, "meta", `${model} · ${seconds.toFixed(1)} s${held}`);
}
