// Everything that every page does by script: the session's secret on htmx requests, live parts, keys, copying.
"use strict";

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF"] = document.body.dataset.csrf || "";
});

// An element with data-follow="/events/..." is refreshed (htmx trigger `changed`) when the server says so. Browsers
// open six connections to a server, so a tab that nobody sees gives its own back, and catches up when it is seen.
const followed = new Map();
function follow() {
  for (const [part, source] of followed) {
    if (!part.isConnected || document.hidden) { source.close(); followed.delete(part); }
  }
  if (document.hidden || document.body.matches(".static")) return;
  for (const part of document.querySelectorAll("[data-follow]")) {
    if (followed.has(part) || part.dataset.over) continue;
    const source = new EventSource(part.dataset.follow);
    const changed = () => { if (part.isConnected) htmx.trigger(part, "changed"); else follow(); };
    followed.set(part, source);
    source.addEventListener("changed", changed);
    source.addEventListener("over", () => { source.close(); part.dataset.over = "1"; changed(); });
  }
}
document.addEventListener("visibilitychange", () => {
  const back = !document.hidden && document.querySelectorAll("[data-follow]:not([data-over])");
  follow();
  if (back) for (const part of back) htmx.trigger(part, "changed");
});

// A letter in data-key presses the button or follows the link that has it, unless something is being typed.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input:not([type=radio]):not([type=checkbox]):not([type=range]),textarea,select")) return;
  const found = keyed().find((e) => e.dataset.key === event.key && !e.disabled);
  if (!found) return;
  event.preventDefault();
  found.focus();
  if (found.matches("input[type=search],input[type=text],textarea")) found.select(); else found.click();
});
const keyed = () => [...document.querySelectorAll("[data-key]")].filter((e) => e.checkVisibility());

// `?` lists the keys of this page.
function told(element) {
  const label = element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent;
  return label.replace(/\s+/g, " ").trim();
}
function showKeys() {
  const list = document.querySelector("#keys dl");
  list.replaceChildren(...keyed().filter((e) => e.id !== "show-keys").flatMap((e) => {
    const [key, what] = [document.createElement("dt"), document.createElement("dd")];
    key.append(Object.assign(document.createElement("kbd"), { textContent: e.dataset.key }));
    what.textContent = told(e);
    return [key, what];
  }));
  if (!list.children.length) list.append(Object.assign(document.createElement("dd"), { textContent: "This page has none of its own." }));
  document.getElementById("keys").showModal();
}

// What is there to be copied gets a button that copies it.
function copying(root) {
  for (const text of root.querySelectorAll("pre.all")) {
    if (text.previousElementSibling?.matches("button.copy")) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy plain", textContent: "Copy" });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.textContent);
      document.getElementById("said").textContent = "Copied";
      setTimeout(() => { document.getElementById("said").textContent = ""; }, 1500);
    });
    text.before(button);
  }
}

// A link to something inside a closed part opens the part.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target && target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
}
window.addEventListener("hashchange", unfold);

document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  document.getElementById("show-keys")?.addEventListener("click", showKeys);
  if (navigator.clipboard) copying(document);
  follow();
  unfold();
});
document.addEventListener("htmx:load", () => follow());
