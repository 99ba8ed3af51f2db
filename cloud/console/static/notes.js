// What happened, in sentences: one's own acts for a while, what others did to the chosen alert until it is dismissed.

const SHOWN_MS = 8000;
const notes = document.getElementById("notes");
notes.setAttribute("aria-live", "polite");

export function note(text, keep = false) {
  const line = document.createElement("p");
  line.className = keep ? "note kept" : "note";
  line.append(text);
  if (keep) {
    const away = document.createElement("button");
    away.textContent = "Dismiss";
    away.addEventListener("click", () => line.remove());
    line.append(" ", away);
  } else setTimeout(() => line.remove(), SHOWN_MS);
  notes.append(line);
}

export function dismiss() {
  notes.replaceChildren();
}
