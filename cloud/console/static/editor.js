// The report editor: sentences become fields, and what a person does is told to the server with the version seen.

const draft = document.getElementById("draft");
const alarm = draft.querySelector(".error");
const list = draft.querySelector(".lines");
const path = `/api/episodes/${draft.dataset.episode}/report`;
let told = null; // the report as the server tells it: HTML has no word for some characters, JSON has
let restsOn = draft.dataset.restsOn;

draft.addEventListener("click", ({ target }) => {
  const cite = target.closest(".cite");
  if (cite) {
    const strip = document.querySelector(`ecg-strip[data-ecg="${cite.dataset.ecg}"]`);
    strip?.cite(JSON.parse(cite.dataset.spans).map(({ first, last }) => [first, last]));
    return;
  }
  const button = target.closest("[data-do]");
  if (button) does[button.dataset.do](button);
});

const does = {
  edit: () => edit((report) => [report.sentences, report.rests_on]),
  newer: () => edit((report) => [report.newer.sentences, report.newer.rests_on]),
  add: () => field("").querySelector("textarea").focus(),
  remove: (button) => {
    const item = button.closest("li");
    const near = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    near?.querySelector("textarea, button")?.focus();
  },
  leave: () => location.reload(),
  save: () => {
    const fields = [...list.querySelectorAll("textarea")];
    const sentences = fields.map((one) => (one.value === one.dataset.shown ? one.said : one.value));
    post("revisions", { rests_on: restsOn, sentences: sentences.filter((text) => text.trim()) });
  },
};

for (const form of draft.querySelectorAll("[data-post]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (list.dataset.editing !== undefined) return say("Save first, or leave the text as it was: what is signed is what is saved.");
    const said = Object.fromEntries(new FormData(form));
    post(form.dataset.post, form.dataset.post === "sign" ? { ...said, sha256: draft.dataset.sha256 } : said);
  });
}

async function edit(choose) {
  const answer = await fetch(path).catch(() => null);
  if (!answer?.ok) return say("The server does not answer: nothing can be edited now.");
  told = await answer.json();
  if (String(told.version) !== draft.dataset.version) return say("Somebody has written since: load the page again.");
  const [sentences, rests] = choose(told);
  restsOn = rests;
  list.replaceChildren();
  list.dataset.editing = "";
  for (const text of sentences) field(text);
  for (const name of ["add", "save", "leave"]) draft.querySelector(`[data-do="${name}"]`).hidden = false;
  draft.querySelector(`[data-do="edit"]`).hidden = true;
  list.querySelector("textarea")?.focus();
}

function field(text) {
  const item = document.createElement("li");
  const area = document.createElement("textarea");
  area.setAttribute("aria-label", `Sentence ${list.children.length + 1}`);
  area.value = text;
  area.said = text;
  area.dataset.shown = area.value; // a field has its own ends of lines
  area.rows = Math.max(1, Math.ceil(text.length / 60));
  const remove = document.createElement("button");
  remove.dataset.do = "remove";
  remove.textContent = "Remove";
  item.append(area, remove);
  list.append(item);
  return item;
}

async function post(what, said) {
  const answer = await fetch(`${path}/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ version: Number(draft.dataset.version), ...said }),
  }).catch(() => null);
  if (answer?.ok) return location.reload();
  if (answer?.status === 401) return location.assign("/login");
  say(answer ? (await answer.json()).detail : "The server does not answer: nothing was stored.");
}

function say(sentence) {
  alarm.textContent = sentence;
  alarm.hidden = false;
  alarm.scrollIntoView({ block: "center" });
}

draft.dataset.ready = "";
