// What JavaScript adds; every page works without it.
(() => {
  "use strict";
  const all = (what) => document.querySelectorAll(what);

  // After an error or a change, start reading there.
  const start = document.querySelector("[data-focus]");
  if (start) start.focus();

  // One press sends once; coming back by the Back button frees the button again.
  const free = () => all("form").forEach((form) => {
    delete form.dataset.sent;
    form.querySelectorAll("[aria-disabled]").forEach((button) => button.removeAttribute("aria-disabled"));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    form.querySelectorAll("button").forEach((button) => button.setAttribute("aria-disabled", "true"));
    setTimeout(free, 8000);
  });
  addEventListener("pageshow", (event) => event.persisted && free());

  // Somebody in another time zone also reads their own.
  all("time[data-zone]").forEach((time) => {
    const at = new Date(time.dateTime);
    const form = { weekday: "short", hour: "numeric", minute: "2-digit" };
    const ours = at.toLocaleString("en", { ...form, timeZone: time.dataset.zone });
    if (ours === at.toLocaleString("en", form)) return;
    time.textContent = "(" + time.dataset.here + " " + at.toLocaleString(document.documentElement.lang, form) + ")";
  });
})();
