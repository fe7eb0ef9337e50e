// Everything that the page does by script: the session's secret on htmx requests, live parts, keys.
"use strict";

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF"] = document.body.dataset.csrf || "";
});

// An element with data-follow="/events/..." is refreshed (htmx trigger `changed`) when the server says so.
const followed = new WeakSet();
function follow(root) {
  for (const part of root.querySelectorAll("[data-follow]")) {
    if (followed.has(part)) continue;
    followed.add(part);
    const source = new EventSource(part.dataset.follow);
    source.addEventListener("changed", () => {
      if (!part.isConnected) { source.close(); return; }
      htmx.trigger(part, "changed");
    });
    source.addEventListener("over", () => { source.close(); if (part.isConnected) htmx.trigger(part, "changed"); });
  }
}
document.addEventListener("DOMContentLoaded", () => follow(document));
document.addEventListener("htmx:load", (event) => follow(event.detail.elt.parentElement || document));

// A letter in data-key presses the button or follows the link that has it, unless something is being typed.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=radio]):not([type=checkbox]):not([type=range]),textarea,select")) return;
  const found = [...document.querySelectorAll("[data-key]")].find((e) => e.dataset.key === event.key && !e.disabled);
  if (found) { event.preventDefault(); found.focus(); found.click(); }
});
