// Labelling by script: a row of preferences or an ordered list that fills in the ranks, and flaws marked in an answer.
"use strict";

const make = (name, fields, ...inside) => {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...inside);
  return made;
};

// Ranks. The selects of the page stay the fields; what is shown here sets them.
function ranking(box) {
  const selects = [...box.querySelectorAll(".ranks select")];
  const order = box.querySelector(".order");
  const row = box.querySelector("[data-preference]");
  box.querySelector(".ranks").hidden = true;
  for (const select of selects) select.required = false;
  if (row) preference(row, selects, order);
  else ranker(box, selects, order);
}

function preference(row, selects, order) {
  row.hidden = false;
  const radios = [...row.querySelectorAll("input")];
  const [a, b] = selects;
  const tell = () => {
    const [first, second] = [a, b].map((s) => Number(s.value));
    order.textContent = !first || !second ? "" :
      first === second ? "Kept as a tie." : `Kept as: ${first < second ? "A before B" : "B before A"}.`;
  };
  for (const radio of radios) {
    radio.required = true;
    radio.addEventListener("change", () => { [a.value, b.value] = radio.dataset.ranks.split(" "); tell(); });
  }
  tell();
}

// Groups of responses from the best to the worst; those in one group are tied.
function ranker(box, selects, order) {
  const letters = selects.map((s) => s.dataset.letter);
  const every = selects.map((_, k) => k);
  const levels = [...new Set(selects.map((s) => Number(s.value)).filter(Boolean))].sort((a, b) => a - b);
  let groups = levels.map((level) => every.filter((k) => Number(selects[k].value) === level));
  const at = (k) => groups.findIndex((group) => group.includes(k));
  const put = (k, where, alone) => {
    groups = groups.map((group) => group.filter((other) => other !== k));
    if (alone) groups.splice(where, 0, [k]);
    else if (where >= 0) groups[where].push(k);
    groups = groups.filter((group) => group.length);
  };
  const moves = {
    rank: (k) => (at(k) < 0 ? put(k, groups.length, true) : put(k, -1, false)),
    up: (k) => { const g = at(k); put(k, g < 0 ? groups.length : groups[g].length > 1 ? g : Math.max(g - 1, 0), true); },
    // An empty group keeps its place until the end of `put`, so a group that is left moves one further.
    down: (k) => { const g = at(k); put(k, g < 0 ? groups.length : groups[g].length > 1 ? g + 1 : g + 2, true); },
    tie: (k) => {
      const g = at(k);
      if (g >= 0 && groups[g].length > 1) put(k, g + 1, true);
      else if (g < 0 ? groups.length : g > 0) put(k, g < 0 ? groups.length - 1 : g - 1, false);
      else if (g < 0) put(k, 0, true);
    },
  };
  const button = (name, text, label, k) => {
    const made = make("button", { type: "button", textContent: text });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", () => { moves[name](k); draw(); made.focus(); });
    return made;
  };
  const rows = every.map((k) => {
    const name = `response ${letters[k]}`;
    const first = button("rank", "", `Rank ${name}, or take it out of the ranking`, k);
    if (k < 9) first.dataset.key = letters[k].toLowerCase();
    const tie = button("tie", "tie", `Tie ${name} with the one above, or break its tie`, k);
    const row = make("li", {}, make("span", { className: "place" }), make("span", { className: "name", textContent: `Response ${letters[k]}` }),
      first, button("up", "↑", `Move ${name} up`, k), button("down", "↓", `Move ${name} down`, k), tie);
    row.addEventListener("keydown", (event) => {
      const name = { ArrowUp: "up", ArrowDown: "down", "=": "tie" }[event.key];
      if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const focus = document.activeElement;
      moves[name](k);
      draw();
      focus.focus();
    });
    return row;
  });
  const list = make("ol", { className: "ranker" });
  function draw() {
    const free = every.filter((k) => at(k) < 0);
    const shown = [...groups.flat(), ...free];
    if (shown.some((k, i) => list.children[i] !== rows[k])) list.replaceChildren(...shown.map((k) => rows[k]));
    for (const k of every) {
      const g = at(k);
      selects[k].value = g < 0 ? "" : String(g + 1);
      rows[k].classList.toggle("free", g < 0);
      rows[k].querySelector(".place").textContent = g < 0 ? "–" : `${g + 1}${groups[g].length > 1 ? "=" : ""}`;
      const [first, , , tie] = rows[k].querySelectorAll("button");
      first.replaceChildren(g < 0 ? "rank next " : "take out ", ...(k < 9 ? [make("kbd", { textContent: letters[k].toLowerCase() })] : []));
      tie.setAttribute("aria-pressed", String(g >= 0 && groups[g].length > 1));
    }
    const said = groups.map((group) => group.map((k) => letters[k]).join(" and "));
    order.textContent = (said.length ? `From the best: ${said.join(", then ")}.` : "") +
      (free.length ? ` Not ranked yet: ${free.map((k) => letters[k]).join(", ")}.` : "");
  }
  box.querySelector(".ranker-keys").hidden = false;
  order.before(list);
  draw();
  box.closest("form").addEventListener("submit", (event) => {
    const free = every.find((k) => at(k) < 0);
    if (free === undefined) return;
    event.preventDefault();
    event.stopImmediatePropagation(); // nobody is to believe that the form was sent
    rows[free].querySelector("button").focus();
    order.textContent = `Rank all responses first, or skip the question. ${order.textContent}`;
  }, true);
}

// Flaws. Places are counted in characters as the server counts them (code points): an <i> of the page is one that cannot
// be seen, and shows its number instead.
function marking(box) {
  const text = box.querySelector(".marked bdi"), kept = box.querySelector("[name=flaws]"), panel = box.querySelector(".marker");
  const from = panel.querySelector("#flaw-from"), to = panel.querySelector("#flaw-to"), note = panel.querySelector("#flaw-note");
  const mark = panel.querySelector(".mark-it"), said = panel.querySelector(".order"), list = panel.querySelector(".flaws");
  const chars = [], unseen = [];
  text.normalize(); // browsers cut long texts in pieces
  for (const node of text.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) for (const c of node.data) chars.push(c);
    else { unseen.push(chars.length); chars.push(node.textContent); }
  }
  const words = [];
  for (let i = 0, start = -1; i <= chars.length; i++) {
    const blank = i === chars.length || /^\s$/.test(chars[i]);
    if (!blank && start < 0) start = i;
    if (blank && start >= 0) { words.push([start, i]); start = -1; }
  }
  let flaws = read(kept.value), pending = null;

  function read(value) {
    try {
      const found = JSON.parse(value);
      return Array.isArray(found) ? found.filter((f) => f && f.start >= 0 && f.end > f.start && f.end <= chars.length) : [];
    } catch { return []; }
  }
  const quoted = ({ start, end }) => {
    const quote = chars.slice(start, Math.min(end, start + 120)).join("").replace(/\s+/g, " ");
    return end - start > 120 ? `${quote}…` : quote;
  };
  function pieces(start, end) {
    const found = [];
    let begin = start;
    for (const k of unseen) {
      if (k < start || k >= end) continue;
      found.push(chars.slice(begin, k).join(""), make("i", { textContent: chars[k] }));
      begin = k + 1;
    }
    return [...found, chars.slice(begin, end).join("")].filter((piece) => piece !== "");
  }
  function paint() {
    const all = pending ? [...flaws, { ...pending, severity: "pending" }] : flaws;
    const cuts = [...new Set([0, chars.length, ...all.flatMap((f) => [f.start, f.end])])].sort((a, b) => a - b);
    const parts = [];
    for (let i = 0; i + 1 < cuts.length; i++) {
      const inside = all.filter((f) => f.start <= cuts[i] && f.end >= cuts[i + 1]);
      const found = pieces(cuts[i], cuts[i + 1]);
      if (!inside.length) { parts.push(...found); continue; }
      const worst = ["critical", "major", "minor", "pending"].find((s) => inside.some((f) => f.severity === s));
      const made = make("mark", { className: worst + (inside.length > 1 ? " deep" : "") }, ...found);
      const ends = inside.filter((f) => f.end === cuts[i + 1] && f.severity !== "pending").map((f) => flaws.indexOf(f) + 1);
      if (ends.length) made.dataset.n = ends.join(",");
      parts.push(made);
    }
    text.replaceChildren(...parts);
  }
  function show() {
    kept.value = JSON.stringify(flaws);
    list.replaceChildren(...flaws.map((flaw, k) => {
      const gone = make("button", { type: "button", textContent: "remove" });
      gone.setAttribute("aria-label", `Remove flaw ${k + 1}`);
      gone.addEventListener("click", () => {
        flaws = flaws.filter((other) => other !== flaw);
        paint();
        show();
        said.textContent = `Flaw ${k + 1} is removed; ${flaws.length} left.`;
        (list.querySelector("button") || from).focus();
      });
      const quote = make("q", {}, make("bdi", { textContent: quoted(flaw) }));
      return make("li", {}, quote, ` ${flaw.severity}`, ...(flaw.note ? [": ", make("bdi", { textContent: flaw.note })] : []), " ", gone);
    }));
  }
  function choose(start, end, typed) {
    pending = { start, end };
    mark.disabled = false;
    if (!typed) {
      const first = words.findIndex(([, stop]) => stop > start), last = words.findLastIndex(([begin]) => begin < end);
      [from.value, to.value] = [first + 1, Math.max(first, last) + 1];
    }
    said.textContent = `Selected: “${quoted(pending)}”`;
  }
  function typed() {
    const first = Math.min(Math.max(Number(from.value), 1), words.length);
    if (!from.value || !words.length) return;
    if (this === from && Number(to.value) < first) to.value = first;
    const last = Math.min(Math.max(Number(to.value), first), words.length);
    choose(words[first - 1][0], words[last - 1][1], true);
    paint();
  }
  from.max = to.max = words.length;
  from.addEventListener("input", typed);
  to.addEventListener("input", typed);

  // Where a point of the selection is, in characters from the beginning.
  function place(node, offset) {
    const before = document.createRange();
    before.selectNodeContents(text);
    before.setEnd(node, offset);
    let count = 0;
    const walk = (inside) => {
      for (const part of inside.childNodes) {
        if (part.nodeType === Node.TEXT_NODE) count += [...part.data].length;
        else if (part.nodeName === "I") count += 1;
        else walk(part);
      }
    };
    walk(before.cloneContents());
    return count;
  }
  let timer = 0;
  const selected = () => {
    if (!text.isConnected) { document.removeEventListener("selectionchange", later); return; }
    const selection = document.getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return;
    const range = selection.getRangeAt(0);
    if (!range.intersectsNode(text)) return;
    let start = text.contains(range.startContainer) ? place(range.startContainer, range.startOffset) : 0;
    let end = text.contains(range.endContainer) ? place(range.endContainer, range.endOffset) : chars.length;
    while (start < end && /^\s$/.test(chars[start])) start += 1;
    while (end > start && /^\s$/.test(chars[end - 1])) end -= 1;
    if (end > start) choose(start, end, false);
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(selected, 120); };
  document.addEventListener("selectionchange", later);
  panel.addEventListener("focusin", () => { if (pending) paint(); });

  mark.addEventListener("click", () => {
    if (!pending) return;
    const severity = panel.querySelector("[name=severity]:checked").value;
    flaws = [...flaws, { ...pending, severity, note: note.value.trim() }];
    said.textContent = `Marked as ${severity}: “${quoted(pending)}”. ${flaws.length} marked.`;
    pending = null;
    note.value = from.value = to.value = "";
    mark.disabled = true;
    document.getSelection().removeAllRanges();
    paint();
    show();
    from.focus();
  });
  // Enter in these fields marks; it must not send the form.
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || !event.target.matches("input")) return;
    event.preventDefault();
    event.stopPropagation();
    mark.click();
  });
  panel.hidden = false;
  paint();
  show();
}

const labelled = new WeakSet();
function label(root) {
  for (const [part, begin] of [["[data-ranking]", ranking], ["[data-marking]", marking]]) {
    for (const box of root.querySelectorAll(part)) {
      if (!labelled.has(box)) { labelled.add(box); begin(box); }
    }
  }
}
document.addEventListener("DOMContentLoaded", () => label(document));
document.addEventListener("htmx:load", (event) => label(event.detail.elt.parentElement || document));
