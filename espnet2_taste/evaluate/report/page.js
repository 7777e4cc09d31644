"use strict";
// Tabs: the hash says what is shown: a section, a list of worst utterances, or one.
const tabs = [...document.querySelectorAll("nav a")];
const sections = tabs.map(tab => document.getElementById(decodeURIComponent(tab.hash.slice(1))));
const cards = [...document.querySelectorAll("#cards article")];
const lists = [...document.querySelectorAll(".worst")];
const sample = document.getElementById("sample");
const choice = document.createElement("select");
let byKey = false;

document.querySelector("nav").setAttribute("role", "tablist");
tabs.forEach((tab, i) => {
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", sections[i].id);
  sections[i].setAttribute("role", "tabpanel");
  tab.addEventListener("keydown", event => {
    const step = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    byKey = true; // going to a section takes the focus away from the tab
    location.hash = tabs[step % tabs.length].hash;
  });
});

function wanted() {
  try {
    return document.getElementById(decodeURIComponent(location.hash.slice(1)));
  } catch { return null; } // not a hash of ours
}

function showCards(target) {
  const list = lists.includes(target) ? target : null;
  const card = target && target.closest("article");
  const ids = list ? [...list.querySelectorAll("li")].map(item => item.dataset.card) : [];
  for (const other of cards) {
    const shown = list ? ids.includes(other.id) : card ? other === card : other.classList.contains("sample");
    other.hidden = !shown;
    other.style.order = ids.indexOf(other.id);
    for (const clip of other.querySelectorAll(".clip"))
      clip.classList.toggle("focus", list !== null && clip.dataset.row === list.dataset.row);
  }
  for (const other of lists) other.hidden = other !== list;
  sample.hidden = Boolean(list || card);
  choice.value = list ? list.id : card ? "" : "listen";
}

function show() {
  const target = wanted();
  const section = (target && target.closest("main > section")) || sections[0];
  sections.forEach((other, i) => {
    const here = other === section;
    other.classList.toggle("active", here);
    tabs[i].setAttribute("aria-selected", here);
    tabs[i].tabIndex = here ? 0 : -1;
    if (here) tabs[i].scrollIntoView({ block: "nearest", inline: "center" });
    if (here && byKey) tabs[i].focus();
  });
  byKey = false;
  if (sample && section.contains(sample)) showCards(target);
  if (target && target !== section && !lists.includes(target)) target.scrollIntoView();
  else scrollTo(0, 0);
}

if (sample) {
  const groups = new Map();
  choice.add(new Option("a sample", "listen"));
  for (const list of lists) {
    const row = list.dataset.row;
    if (!groups.has(row)) {
      const group = document.createElement("optgroup");
      group.label = row;
      choice.append(group);
      groups.set(row, group);
    }
    groups.get(row).append(new Option(list.querySelector("h3").textContent, list.id));
  }
  choice.addEventListener("change", () => { location.hash = encodeURIComponent(choice.value); });
  const label = document.createElement("label");
  label.append("Show ", choice);
  const line = document.createElement("p");
  line.className = "choose";
  line.append(label);
  sample.before(line);
}
addEventListener("hashchange", show);
show();

// One clip at a time.
const clips = document.querySelectorAll("audio");
for (const clip of clips)
  clip.addEventListener("play", () => clips.forEach(other => { if (other !== clip) other.pause(); }));

// Every table sorts by a click on a heading; n/a comes last, always.
function sortBy(table, header, column) {
  const rows = [...table.tBodies[0].rows];
  const text = row => row.cells[column].textContent;
  const number = row => parseFloat(row.cells[column].dataset.value ?? text(row));
  const numeric = rows.some(row => !isNaN(number(row)));
  const before = header.getAttribute("aria-sort");
  const down = numeric ? before !== "descending" : before === "ascending";
  table.querySelectorAll("[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows.sort((a, b) => {
    const x = number(a), y = number(b), sign = down ? -1 : 1;
    if (isNaN(x) && isNaN(y)) return (numeric ? 1 : sign) * text(a).localeCompare(text(b));
    if (isNaN(x) || isNaN(y)) return isNaN(x) ? 1 : -1;
    return sign * (x - y);
  }));
}
for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("thead th").forEach((header, column) => {
    const button = document.createElement("button");
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, header, column));
  });
