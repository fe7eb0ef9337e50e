// Judging: the slider of a belief with what it would score, the length of a text, Enter to send, going on by itself.
"use strict";

const answer = document.getElementById("answer");

function belief(form) {
  const stake = form.querySelector("#stake"), slider = form.querySelector("#slider");
  const radios = [...form.querySelectorAll("[name=choice]")], sure = form.querySelector("#confidence");
  const count = Number(stake.dataset.count), name = (k) => String.fromCharCode(65 + k);
  const STEPS = [1, 10, 25, 40, 50, 60, 75, 90, 99];
  const words = (p) => [[0.95, "almost surely"], [0.8, "very likely"], [0.6, "likely"], [0.505, "slightly more likely"], [0, "even"]]
    .find(([least]) => p >= least)[1];
  const bits = (p) => Math.log2(count * Math.min(Math.max(p, 0.01), 0.99));

  function show() {
    const chosen = radios.findIndex((r) => r.checked), p = Number(sure.value) / 100;
    const fits = chosen >= 0 && sure.value !== "" && p >= 1 / count - 0.005 && p <= 1;
    form.classList.toggle("untouched", !fits);
    if (!fits) {
      stake.textContent = slider ? "Move the slider, or press a key from 1 to 9." : "Choose an answer, and say how sure you are.";
      if (slider) slider.setAttribute("aria-valuetext", "no answer yet");
      return;
    }
    const lost = bits((1 - p) / (count - 1)), gained = bits(p), percent = Math.round(100 * p);
    const odds = count > 2 ? `${name(chosen)} ${percent} %` : `A ${chosen ? 100 - percent : percent} %, B ${chosen ? percent : 100 - percent} %`;
    const head = p > 0.505 || count > 2 ? `${odds}: ${words(p)} ${name(chosen)}.` : `${odds}: even.`;
    const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
    stake.textContent = `${head} If right ${signed(gained)} bits, if wrong ${signed(lost)}.`;
    if (slider) slider.setAttribute("aria-valuetext", head);
  }

  function slide() {
    const b = Number(slider.value);
    radios[b > 50 ? 1 : 0].checked = true;
    sure.value = Math.max(b, 100 - b);
    show();
  }

  if (slider) {
    form.querySelector(".slider").hidden = false;
    form.querySelector(".fields").hidden = true;
    const chosen = radios.findIndex((r) => r.checked);
    if (chosen >= 0 && sure.value !== "") slider.value = chosen ? sure.value : 100 - sure.value;
    slider.addEventListener("input", slide);
    slider.addEventListener("click", slide);
    document.addEventListener("keydown", (event) => {
      if (typing(event) || !/^[1-9]$/.test(event.key)) return;
      event.preventDefault();
      slider.value = STEPS[event.key - 1];
      slider.focus({ preventScroll: true });
      slide();
    });
  }
  form.addEventListener("input", show);
  show();
}

function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey ||
    event.target.closest("input:not([type=radio]):not([type=checkbox]):not([type=range]),textarea,select");
}

for (const box of document.querySelectorAll("[data-longest]")) {
  const counter = document.getElementById(box.getAttribute("aria-describedby")), longest = Number(box.dataset.longest);
  const show = () => {
    const length = [...box.value.trim()].length;
    counter.textContent = `${length.toLocaleString("en")} of ${longest.toLocaleString("en")} characters`;
    counter.classList.toggle("over", length > longest);
  };
  box.addEventListener("input", show);
  show();
}

if (answer) {
  if (answer.classList.contains("form-belief")) belief(answer);
  let sent = false;
  answer.addEventListener("submit", (event) => { if (sent) event.preventDefault(); sent = true; });
  addEventListener("pageshow", () => { sent = false; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.repeat || answer.classList.contains("form-choice")) return;
    const anywhere = event.ctrlKey || event.metaKey;
    if (!anywhere && (typing(event) || event.target.closest("button,a,summary,label"))) return;
    event.preventDefault();
    answer.requestSubmit();
  });
  const fault = answer.querySelector(".fault");
  if (fault) fault.focus();
  const here = new URL(location);
  if (here.searchParams.has("kept")) {
    here.searchParams.delete("kept");
    history.replaceState(null, "", here);
    say("Your answer is kept.");
  }
}

function say(text) {
  const said = document.getElementById("said");
  setTimeout(() => { said.textContent = text; }, 100);
  setTimeout(() => { said.textContent = ""; }, 2500);
}

// A page that waits goes on by itself while somebody is there; after two minutes, or behind other windows, it only offers to.
const arrived = Date.now(), title = document.title;
function go() {
  const form = document.querySelector("[data-go]");
  if (!form) { document.title = title; return; }
  if (document.visibilityState === "visible" && Date.now() - arrived < 120000) form.requestSubmit();
  else { document.title = `(1) ${title}`; say("The next question is here."); }
}
document.addEventListener("DOMContentLoaded", go);
document.addEventListener("htmx:load", (event) => { if (event.detail.elt.id === "waiting") go(); });
