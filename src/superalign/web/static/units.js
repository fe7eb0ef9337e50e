// Keys of the list of units: j and k move from link to link, Enter opens as it does anywhere.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input,textarea,select")) return;
  const by = {j: 1, k: -1}[event.key];
  const links = [...document.querySelectorAll("table.units a.to")];
  if (!by || !links.length) return;
  const at = links.indexOf(document.activeElement);
  const to = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)];
  to.focus();
  event.preventDefault();
});
