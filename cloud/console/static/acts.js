// What a person does with an alert. The server decides; what it refuses, and who was first, is said in its own words.

import { note } from "./notes.js";

export const LOOK_MS = 400; // nobody has looked at a strip that came this moment
const OPEN = ["raised", "seen", "acknowledged"];
const FITS = {
  acknowledge: ({ state }) => state === "raised" || state === "seen",
  escalate: ({ state }) => OPEN.includes(state),
  suppress: ({ state, priority }) => OPEN.includes(state) && priority !== "high",
  resolve: ({ state }) => state === "acknowledged" || state === "suppressed",
  undo: ({ state }) => state === "suppressed",
};
const WHY_NOT = {
  acknowledge: ({ state }) => `The alert is ${state}: there is nothing to acknowledge.`,
  escalate: ({ state }) => `The alert is ${state}: there is nothing to escalate.`,
  suppress: ({ state, priority }) =>
    priority === "high" ? "A high alert can never be suppressed: acknowledge it." : `The alert is ${state} already.`,
  resolve: () => "Acknowledge the alert first: one that nobody has acknowledged never disappears.",
  undo: () => "There is no suppression to undo.",
};
const NEEDS_LOOK = ["acknowledge", "suppress"];
const WITH_SCREEN = ["seen", "acknowledge", "suppress"];

const screen = crypto.randomUUID(); // this page in this browser: who has seen what, the server asks per screen

export class Acts {
  #bar;
  #dialog;
  #done; // called with (what, alert) when something was done here
  #reported = new Set(); // alert and version of its newest decision, whose strip was reported as drawn
  #seeing = null; // that report, on its way
  #flights = new Map(); // alert -> what is being done to it
  #mine = new Set(); // alert and version of what was done here
  #suppressed = null; // the last alert that was suppressed here, and its version

  constructor(bar, dialog, done) {
    this.#bar = bar;
    this.#dialog = dialog;
    this.#done = done;
  }

  // The bar as it fits the chosen alert, or what became of one that is gone.
  show(data, gone = "") {
    this.#bar.hidden = !data && !gone;
    if (this.#bar.dataset.looked !== data?.alert) delete this.#bar.dataset.looked;
    this.#bar.querySelector(".about").textContent = data ? `${data.priority} · ${data.plain} · ${data.patch}` : gone;
    for (const button of this.#bar.querySelectorAll("[data-act]")) {
      button.hidden = !data || !FITS[button.dataset.act](data);
    }
  }

  // The strip has been on the screen for long enough to be decided on.
  looked({ alert }) {
    this.#bar.dataset.looked = alert;
  }

  // Tell the server that an alert's own strip is on this screen: only then can it be acknowledged here.
  see({ alert, decided, version }) {
    const key = `${alert} ${decided}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#seeing = post(alert, "seen", { version: Number(version) }).then((answer) => {
      if (!answer.ok) this.#reported.delete(key); // the next news of it, or the next drawing, try again
    });
  }

  // `data` is the card's, as it was when the person decided; `drawn` when its strip was, ms.
  async act(what, data, drawn) {
    const back = what === "undo" && data?.state !== "suppressed" ? this.#suppressed : null;
    const why = back ? null : this.#whyNot(what, data, drawn);
    if (why) return note(why);
    const { alert, version } = back ?? data;
    if (this.#flights.has(alert)) return note("Not done: what was done to this alert before is still on its way.");
    const more = what === "suppress" ? await this.#ask(data) : {};
    if (!more) return;
    const flight = this.#send(what, alert, { version: Number(version), ...more });
    this.#flights.set(alert, flight);
    const answer = await flight;
    this.#flights.delete(alert);
    if (answer.ok && what === "suppress") this.#suppressed = { alert, version: answer.said.version };
    if (answer.ok && what === "undo") this.#suppressed = null;
    note(answer.ok ? told(what, answer.said, data) : answer.said.detail, !answer.ok);
    this.#done(answer.ok ? what : null, alert);
  }

  #whyNot(what, data, drawn) {
    if (!this.#bar.querySelector("[data-act]")) return "Your role may look, and not decide.";
    if (!data) return "There is no alert chosen. A technical one goes by itself when its cause does.";
    if (!FITS[what](data)) return WHY_NOT[what](data);
    const looked = drawn && performance.now() - drawn >= LOOK_MS;
    return NEEDS_LOOK.includes(what) && !looked ? "Look at the strip first: it has only just come." : null;
  }

  async #send(what, alert, body) {
    await this.#seeing;
    const answer = await post(alert, what, body);
    const said = answer.status ? await answer.json().catch(() => ({})) : {};
    if (answer.ok) this.#mine.add(`${alert} ${said.version}`);
    said.detail ??= "Not done: the server cannot be reached. Try again.";
    return { ok: answer.ok, said };
  }

  // Whether this screen did it.
  async mine(alert, version) {
    await this.#flights.get(alert);
    return this.#mine.has(`${alert} ${version}`);
  }

  // Hours and reason, or null where the person thinks better of it.
  #ask({ plain, priority, label, patch }) {
    const form = this.#dialog.querySelector("form");
    this.#dialog.querySelector(".what").textContent =
      `${plain} (${label}) up to ${priority} priority, of patch ${patch}. High alerts still call.`;
    form.reset();
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    form.elements.reason.focus();
    return new Promise((answered) => {
      this.#dialog.addEventListener("close", () => {
        const { hours, reason } = form.elements;
        answered(this.#dialog.returnValue ? { hours: Number(hours.value), reason: reason.value } : null);
      }, { once: true });
    });
  }
}

function told(what, { told: whom }, before) {
  return {
    acknowledge: "Acknowledged.",
    escalate: whom?.length
      ? `Escalated: ${whom.join(", ")} and all open pages are told.`
      : "Escalated on all open pages. Nobody else stands in cloud.toml.",
    suppress: "Suppressed: u undoes it.",
    resolve: before?.state === "suppressed" ? "Resolved, and its quiet rule has ended: what comes now calls." : "Resolved.",
    undo: "Undone: it calls again.",
  }[what];
}

// `status` 0: the server was not reached.
function post(alert, what, body) {
  const headers = { "Content-Type": "application/json" };
  const sent = WITH_SCREEN.includes(what) ? { screen, ...body } : body;
  return fetch(`/api/alerts/${alert}/${what}`, { method: "POST", headers, body: JSON.stringify(sent) })
    .catch(() => ({ ok: false, status: 0 }));
}
