// What JavaScript adds to the contact form; it works without it.
(() => {
  "use strict";
  const all = (what) => document.querySelectorAll(what);

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
})();
