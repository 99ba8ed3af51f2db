// One table of keys: what they do, and the help that lists them. None fires while a person types or a dialog is open.

const PREFIX_MS = 1500;
const help = document.getElementById("help");

// `table`: [{ keys, says, act, once }]; a key may be two, as "g r". `once`: a key held down acts once.
export function keys(table) {
  let before = null;
  const bound = new Map(table.flatMap((row) => row.keys.map((key) => [key, row])));
  const prefixes = new Set([...bound.keys()].filter((key) => key.includes(" ")).map((key) => key.split(" ")[0]));
  list(table);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = event.key.length > 1 || event.shiftKey ? event.key : event.key.toLowerCase();
    const row = bound.get(before && event.timeStamp - before.at < PREFIX_MS ? `${before.key} ${key}` : key);
    before = prefixes.has(key) ? { key, at: event.timeStamp } : null;
    if (!row || (row.once && event.repeat)) return;
    event.preventDefault();
    row.act();
  });
  document.getElementById("keys").addEventListener("click", () => help.showModal());
}

export function showHelp() {
  help.showModal();
}

function typing(target) {
  const field = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
  return target.matches(field) || document.querySelector("dialog[open]") !== null;
}

function list(table) {
  const rows = table.filter((row) => row.says).flatMap(({ keys: those, says }) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of those) {
      const shown = document.createElement("kbd");
      shown.textContent = key;
      term.append(shown, " ");
    }
    text.textContent = says;
    return [term, text];
  });
  help.querySelector("dl").replaceChildren(...rows);
}
