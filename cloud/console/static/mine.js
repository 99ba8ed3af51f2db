// The patient's page renews itself, and says when it cannot.

const RENEW_MS = 30_000;
const old = document.getElementById("old");

async function renew() {
  const answer = await fetch("/");
  if (!answer.ok) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".live");
  if (fresh) document.querySelector(".live").replaceWith(fresh);
  else location.reload(); // the session is over
  old.hidden = true;
}

setInterval(() => renew().catch(() => (old.hidden = false)), RENEW_MS);
