"use strict";
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const relation = {j: "next", ArrowRight: "next", k: "prev", ArrowLeft: "prev", u: "up"}[event.key];
  const inside = event.target.closest && event.target.closest(".scroll, pre");
  if (!relation || (inside && event.key.startsWith("Arrow"))) return;  // arrows scroll a wide table
  const link = document.querySelector(`a[rel=${relation}]`);
  if (link) link.click();
});
