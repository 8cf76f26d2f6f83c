// The proof of work of the contact form. Whatever fails here, the form is sent: then one of us looks at it first.
const PATIENCE = 20000; // milliseconds from pressing the button on
const widget = document.querySelector("altcha-widget");
const form = widget.closest("form");
const lang = document.documentElement.lang;

const load = async () => {
  const mounted = new Promise((resolve) => widget.addEventListener("load", resolve, { once: true }));
  await import("./vendor/altcha/altcha.min.js");
  const { label, verifying, verified, error } = widget.dataset;
  $altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(new URL("vendor/altcha/pbkdf2.js", import.meta.url)));
  $altcha.i18n.set(lang, { ...$altcha.i18n.get("en"), label, verifying, verified, error });
  await mounted;
  if (form.contains(document.activeElement) && widget.getState() === "unverified") widget.verify();
};

// Begun already: wait for its end. Not begun, or failed: once (more).
const prove = async () => {
  await ready;
  if (widget.getState() !== "verifying") return widget.verify();
  return new Promise((resolve) => widget.addEventListener("statechange", resolve, { once: true }));
};

// Browsers hand out the tools for the sum on https (and on this machine) only; without them nothing is shown.
const ready = isSecureContext && form.requestSubmit ? load().catch(() => {}) : null;
let waiting = false;
let done = false;

// Before the widget and enhance.js: whoever is quicker than the sum waits for it.
if (ready) document.addEventListener("submit", async (event) => {
  if (event.target !== form || done || widget.getState?.() === "verified") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (waiting) return;
  const button = event.submitter;
  waiting = true;
  button?.setAttribute("aria-disabled", "true");
  await Promise.race([prove().catch(() => {}), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  // Not before this event is over: a form that is just being sent is not sent anew, without a word.
  setTimeout(() => {
    done = true;
    form.requestSubmit(button);
    done = waiting = false;
  });
}, true);
