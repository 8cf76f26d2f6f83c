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

  // Times go with the chosen topic. One of another topic is no longer chosen, unless this one has it too.
  const offered = all("[data-times]");
  const fit = () => {
    const topic = document.querySelector("[name=topic]:checked, select[name=topic]");
    offered.forEach((part) => { part.hidden = !topic || part.dataset.times !== topic.value; });
    const here = [...offered].find((part) => !part.hidden);
    const chosen = document.querySelector("[name=slot]:checked");
    if (!here && chosen) chosen.checked = false;
    if (!here || here.contains(chosen)) return;
    const radios = [...here.querySelectorAll("[name=slot]")];
    (radios.find((radio) => chosen && radio.value === chosen.value) || radios.find((radio) => !radio.value)).checked = true;
  };
  if (offered.length) {
    document.addEventListener("change", (event) => event.target.name === "topic" && fit());
    addEventListener("pageshow", fit);
  }

  // The form says what the chosen topic promises, or the chosen time.
  const promise = document.getElementById("promise");
  const show = () => {
    const chosen = document.querySelector("[name=slot]:checked[data-promise]")
      || document.querySelector("[name=topic]:checked, select[name=topic] option:checked");
    if (chosen && chosen.dataset.promise) promise.textContent = chosen.dataset.promise;
  };
  if (promise) {
    document.addEventListener("change", (event) => ["topic", "slot"].includes(event.target.name) && show());
    addEventListener("pageshow", show);
  }

  // Somebody in another time zone also reads their own.
  all("time[data-zone]").forEach((time) => {
    const at = new Date(time.dateTime);
    const form = { weekday: "short", hour: "numeric", minute: "2-digit" };
    const ours = at.toLocaleString("en", { ...form, timeZone: time.dataset.zone });
    if (ours === at.toLocaleString("en", form)) return;
    time.textContent = "(" + time.dataset.here + " " + at.toLocaleString(document.documentElement.lang, form) + ")";
  });
})();
