"use strict";
// What is shown comes from the page's own JSON and is only ever set as text.
const SLICE = 60;
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const [NAME, FILE, TEXT, SITE, DENSITY, PEAK, SCORES] = [0, 1, 2, 3, 4, 5, 6];
const hay = data.rows.map(row => `${row[NAME]}\n${row[TEXT]}`.toLowerCase());
const single = $("unit") !== null;

let chosen = 0;      // which score
let order = "";      // which column sorts; none is the order of the run
let down = true;     // largest first
let shown = [];      // places of the rows that match, in order
let drawn = 0;       // how many of them are in the table

const score = row => row[SCORES][chosen] || null;
const value = row => { const s = score(row); return s ? s[0] : null; };
const gap = row => { const s = score(row); return s ? s[3] : null; };
const digits = v => Math.abs(v) >= 1000 ? v.toLocaleString("en") : String(+v.toPrecision(3));
const fixed = v => v.toFixed(Math.abs(v) < 10 ? 2 : 0).replace(/^-(0\.?0*)$/, "$1");

const columns = [
  {key: "unit", title: "unit", of: (row, k) => k, least: true},
  {key: "text", title: "explanation", of: row => row[TEXT].toLowerCase() || null, least: true},
  {key: "score", title: () => data.scores[chosen].replaceAll("_", " "), of: value, if: data.scores.length},
  {key: "gap", title: "above controls", of: gap, if: data.scores.length},
  {key: "density", title: "fires on", of: row => row[DENSITY]},
  {key: "peak", title: "largest", of: row => row[PEAK]},
].filter(column => column.if !== 0);
const titled = column => typeof column.title === "function" ? column.title() : column.title;

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function select() {
  const words = $("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const site = $("site") && $("site").value !== "" ? +$("site").value : null;
  const bound = id => $(id) && $(id).value !== "" ? +$(id).value : null;
  const least = bound("least"), most = bound("most");
  shown = [];
  for (let k = 0; k < data.rows.length; k++) {
    const row = data.rows[k], v = value(row);
    if (site !== null && row[SITE] !== site) continue;
    if (least !== null && !(v !== null && v >= least)) continue;
    if (most !== null && !(v !== null && v <= most)) continue;
    if (words.every(word => hay[k].includes(word))) shown.push(k);
  }
  sort();
}

function sort() {
  const column = columns.find(c => c.key === order);
  if (column) {
    const keys = new Map(shown.map(k => [k, column.of(data.rows[k], k)]));
    const sign = down ? -1 : 1;
    shown.sort((a, b) => {
      const x = keys.get(a), y = keys.get(b);
      if (x === y) return a - b;
      if (x === null) return 1;  // what is undefined comes last either way
      if (y === null) return -1;
      return x < y ? -sign : sign;
    });
  }
  draw();
}

function draw() {
  $("rows").replaceChildren();
  drawn = 0;
  more();
  const all = data.rows.length.toLocaleString("en"), found = shown.length.toLocaleString("en");
  $("found").textContent = shown.length ? `${found} of ${all} units` : `None of ${all} units fits.`;
  for (const head of $("heads").children) {
    const own = head.dataset.key === order;
    head.setAttribute("aria-sort", own ? (down ? "descending" : "ascending") : "none");
    if (head.dataset.key === "score") head.firstChild.firstChild.textContent = titled(columns[2]);
  }
  if ($("order").value !== order) $("order").value = order;
}

function more() {
  const slice = document.createDocumentFragment();
  for (const k of shown.slice(drawn, drawn + SLICE)) slice.append(line(data.rows[k], k));
  $("rows").append(slice);
  drawn = Math.min(drawn + SLICE, shown.length);
  $("more").hidden = drawn >= shown.length;
  $("more").textContent = `More units (${(shown.length - drawn).toLocaleString("en")})`;
}

function line(row, k) {
  const tr = element("tr"), head = element("th"), link = element("a", row[NAME]);
  head.scope = "row";
  link.href = single ? `#${row[FILE]}` : `units/${row[FILE]}.html`;
  head.append(link);
  const text = element("td", undefined, row[TEXT] ? "text" : "text absent");
  text.append(element("bdi", row[TEXT] || "no explanation"));
  tr.append(head, text);
  if (data.scores.length) tr.append(scored(score(row)), ...gapped(row));
  const dense = row[DENSITY] === null ? "–" : `${digits(100 * row[DENSITY])} %`;
  tr.append(cell("fires on", dense), cell("largest", row[PEAK] === null ? "–" : digits(row[PEAK])));
  return tr;
}

function cell(label, text, name) {
  const td = element("td", text, name ? `numeric ${name}` : "numeric");
  td.dataset.label = label;
  return td;
}

function scored(found) {
  if (!found) return cell("score", "–", "absent");
  const [v, low, high, , marks, reason] = found;
  const td = cell("score", v === null ? "" : fixed(v));
  if (v !== null && low !== null && high !== null) td.append(" ", element("span", `[${fixed(low)}, ${fixed(high)}]`, "interval"));
  for (const mark of marks) {
    const badge = element("span", data.warnings[mark], "badge");
    if (reason) badge.title = reason;
    td.append(" ", badge);
  }
  return td;
}

function gapped(row) {
  const v = gap(row);
  return [v === null ? cell("above controls", "–", "absent") : cell("above controls", (v > 0 ? "+" : "") + fixed(v))];
}

function heads() {
  $("order").append(new Option("the run's order", ""));
  for (const column of columns) {
    const th = element("th"), button = element("button", titled(column));
    th.scope = "col";
    th.dataset.key = column.key;
    if (column.key !== "unit" && column.key !== "text") th.className = "numeric";
    button.type = "button";
    button.addEventListener("click", () => {
      down = order === column.key ? !down : !column.least;
      order = column.key;
      sort();
    });
    th.append(button);
    $("heads").append(th);
    if (column.key !== "unit") $("order").append(new Option(column.key === "score" ? "score" : titled(column), column.key));
  }
}

function step(by) {
  const links = [...$("rows").querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
  if (next === links.length && !$("more").hidden) { more(); return step(by); }
  if (links[next]) links[next].focus();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing) {
    if (event.key === "Enter" && event.target === $("words")) step(1);
    return;
  }
  if (single && !$("unit").hidden) {
    const scrolls = event.target.closest && event.target.closest(".scroll, pre") && event.key.startsWith("Arrow");
    const link = {j: "following", ArrowRight: "following", k: "previous", ArrowLeft: "previous", u: "back", Escape: "back"}[event.key];
    if (link && !scrolls && !$(link).hidden) location.hash = $(link).hash;
    return;
  }
  const by = {j: 1, k: -1}[event.key];
  if (by) step(by);
  else if (event.key === "/") { event.preventDefault(); $("words").focus(); }
}

// The one-file form: the page of a unit is packed in a block of its own and unpacked when it is asked for.
async function unpack(k) {
  const bytes = Uint8Array.from(atob($(`u${k}`).textContent), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function lead(link, at, arrow) {
  const row = data.rows[shown[at]];
  link.hidden = !row;
  link.href = row ? `#${row[FILE]}` : "#";
  link.textContent = row ? (arrow === "←" ? `← ${row[NAME]}` : `${row[NAME]} →`) : "";
}

let left = 0;  // where the list was scrolled to
async function route() {
  const name = decodeURIComponent(location.hash.slice(1));
  const k = name ? data.rows.findIndex(row => row[FILE] === name) : -1;
  if (k < 0) {
    if ($("list").hidden) {
      $("list").hidden = false;
      $("unit").hidden = true;
      scrollTo(0, left);
    }
    return;
  }
  const inside = await unpack(k);
  if (decodeURIComponent(location.hash.slice(1)) !== name) return;  // another one was asked for meanwhile
  if (!$("list").hidden) left = scrollY;
  $("page").innerHTML = inside;  // made and escaped when this file was written; its policy lets no other script run
  const at = shown.indexOf(k);
  lead($("previous"), at < 0 ? -1 : at - 1, "←");
  lead($("following"), at < 0 ? -1 : at + 1, "→");
  $("list").hidden = true;
  $("unit").hidden = false;
  scrollTo(0, 0);
  $("page").focus({preventScroll: true});
}

heads();
for (const id of ["words", "site", "least", "most"]) if ($(id)) $(id).addEventListener("input", select);
if ($("score")) $("score").addEventListener("input", () => { chosen = +$("score").value; select(); });
$("order").addEventListener("input", () => { order = $("order").value; down = !columns.find(c => c.key === order)?.least; order ? sort() : select(); });
$("more").addEventListener("click", more);
new IntersectionObserver(entries => { if (entries.some(e => e.isIntersecting) && !$("more").hidden) more(); }, {rootMargin: "600px"}).observe($("more"));
document.addEventListener("keydown", keys);
select();
if (single) {
  addEventListener("hashchange", route);
  route();
}
