// The explorer: the latest checkpoint with its cosigners, and the entries, newest first. Filters are
// in the address, so that what one person sees can be sent to another. While it follows, new entries
// come on top; a page that nobody looks at lets go of its stream, since a gateway has few.

import { el, hashButton } from "./elements.js";
import { askCheckpoint, askJson, judgeCheckpoint, showTrouble } from "./gateway.js";
import { MEANINGS, kindInWords } from "./kinds.js";
import { calendar } from "./receipt.js";

const PAGE_SIZE = 50;
const ROWS_MAX = 1000;
const LOOKS_MAX = 20;
const ARRIVALS_MAX = 200;
const CHECKPOINT_EVERY_MS = 2000;

const form = document.getElementById("filters");
const rows = document.getElementById("rows");
const older = document.getElementById("older");
const follow = document.getElementById("follow");

let next = null;
let asked = 0;
let shownSize = 0;
let goOnFrom = 0;
let watch = null;
let arrivals = [];
let checkpointTimer = null;

function filters() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value === "") continue;
    query.set(name, name.endsWith("_ms") ? String(Date.parse(`${value}Z`)) : value.trim());
  }
  return query;
}

function restoreFilters() {
  form.reset();
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements.namedItem(name);
    if (!field) continue;
    const time = name.endsWith("_ms") ? new Date(Number(value)) : null;
    if (time === null) field.value = value;
    else if (!Number.isNaN(time.getTime())) field.value = time.toISOString().slice(0, 19);
  }
}

// The first page of what the filters say; an answer to an older question is not shown.
async function showEntries() {
  const mine = ++asked;
  stopWatching();
  older.hidden = true;
  const query = filters();
  query.set("order", "descending");
  query.set("page_size", String(PAGE_SIZE));
  try {
    const page = await firstEntriesAt(`/v1/entries?${query}`);
    if (mine !== asked) return;
    rows.replaceChildren(...page.entries.map((entry) => rowOf(entry, false)));
    goOnFrom = page.size;
    settle(page.next);
    startWatching();
  } catch (error) {
    if (mine === asked) showTrouble(error);
  }
}

async function showOlder() {
  const mine = asked;
  older.disabled = true;
  try {
    const page = await firstEntriesAt(next);
    if (mine !== asked) return;
    rows.append(...page.entries.map((entry) => rowOf(entry, false)));
    settle(page.next);
  } catch (error) {
    showTrouble(error);
  } finally {
    older.disabled = false;
  }
}

// A page may be empty and have a next one: the server looks at a bounded part of the log at a time.
async function firstEntriesAt(path) {
  let page = await askJson(path);
  for (let looks = 1; page.entries.length === 0 && page.next && looks < LOOKS_MAX; looks += 1) {
    page = await askJson(page.next);
  }
  return { entries: page.entries, next: page.next ?? null, size: page.checkpoint_size };
}

function settle(nextPath) {
  showTrouble(null);
  next = rows.childElementCount < ROWS_MAX ? nextPath : null;
  older.hidden = next === null;
  const count = rows.childElementCount;
  const text = count
    ? `${count} shown`
    : next
      ? "None in this part of the log; there are older parts."
      : "There is nothing of this kind.";
  document.getElementById("found").textContent =
    count >= ROWS_MAX ? `${text}; narrow the filter to see others` : text;
}

function rowOf(entry, isNew) {
  const { index, kind, service = "", action = "", outcome = "" } = entry;
  const link = el("a", { href: `/entry/${index}` }, String(index));
  const when = entry.time_ms === undefined ? "" : calendar(entry.time_ms).replace(" UTC", "");
  return el(
    "tr",
    { class: isNew ? "new" : "", "data-index": index },
    el("td", {}, link),
    el("td", { title: MEANINGS[kind] ?? "" }, kind ? kindInWords(kind) : "of a newer version"),
    el("td", {}, service),
    el("td", {}, action),
    el("td", { class: "outcome" }, el("span", { class: outcome }, outcome)),
    el("td", { class: "when" }, when),
  );
}

function startWatching() {
  const isWanted = follow.getAttribute("aria-pressed") === "true" && !document.hidden;
  if (!isWanted || watch !== null || filters().has("until_ms")) return;
  const query = filters();
  query.set("start_index", String(Math.max(goOnFrom, Number(query.get("start_index") ?? 0))));
  watch = new EventSource(`/v1/entries:watch?${query}`);
  watch.addEventListener("entry", (event) => arrive(JSON.parse(event.data)));
  watch.addEventListener("position", (event) => {
    const { next_index: nextIndex, checkpoint_size: size } = JSON.parse(event.data);
    goOnFrom = Math.max(goOnFrom, nextIndex);
    if (size > shownSize) checkpointTimer ??= setTimeout(showCheckpoint, CHECKPOINT_EVERY_MS);
  });
  watch.addEventListener("error", () => {
    // A stream that is cut off is taken up again by the browser; one that was refused is not.
    if (watch?.readyState === EventSource.CLOSED) setFollowing(false);
  });
}

function setFollowing(isOn) {
  follow.setAttribute("aria-pressed", String(isOn));
  follow.textContent = isOn ? "Following" : "Follow";
  if (!isOn) stopWatching();
}

function stopWatching() {
  watch?.close();
  watch = null;
}

// Entries may come by the thousand: each frame draws what came, and never more than the last few.
function arrive(entry) {
  goOnFrom = Math.max(goOnFrom, entry.index + 1);
  if (arrivals.length === 0) requestAnimationFrame(drawArrivals);
  arrivals.push(entry);
  if (arrivals.length > ARRIVALS_MAX) arrivals.shift();
}

function drawArrivals() {
  rows.prepend(...arrivals.reverse().map((entry) => rowOf(entry, true)));
  arrivals = [];
  // What falls off at the end is asked for again by a reload: then there is no older page here.
  while (rows.childElementCount > ROWS_MAX) rows.lastElementChild.remove();
  settle(next);
}

async function showCheckpoint() {
  checkpointTimer = null;
  try {
    const latest = await askCheckpoint();
    const judged = await judgeCheckpoint(latest);
    drawCheckpoint(latest, judged);
  } catch (error) {
    showTrouble(error);
  }
}

function drawCheckpoint({ checkpoint, note }, judged) {
  document.getElementById("head").removeAttribute("aria-busy");
  shownSize = Number(checkpoint.size);
  document.getElementById("size").textContent = checkpoint.size.toLocaleString("en");
  document.getElementById("origin").textContent = checkpoint.origin;
  document.getElementById("root").replaceChildren(hashButton(checkpoint.root, "the root"));
  document.getElementById("cosigners").replaceChildren(namesOf(note, judged));
  const place = document.getElementById("judged");
  if (judged === null) {
    place.textContent = "not checked: browsers do no cryptography at an address without TLS";
    return;
  }
  const bad = judged.findings.filter((finding) => !finding.holds);
  place.className = bad.length ? "no" : "yes";
  const latest = [...judged.cosignedAtS.values()].reduce((a, b) => (a > b ? a : b), 0n);
  place.textContent = bad.length
    ? bad.map((finding) => finding.detail).join(" ")
    : `checked in your browser, the last made ${calendar(latest * 1000n)}`;
}

function namesOf(note, judged) {
  if (judged === null) {
    return el(
      "ul",
      { class: "names" },
      ...note.signatures.map((line) => el("li", {}, line.keyName)),
    );
  }
  const items = judged.policy.witnesses.map(({ name }) =>
    judged.cosignedAtS.has(name)
      ? el("li", { class: "yes", title: calendar(judged.cosignedAtS.get(name) * 1000n) }, name)
      : el("li", { class: "missing", title: "has not cosigned this one" }, name),
  );
  return el("ul", { class: "names" }, ...items);
}

form.elements.kind.append(
  ...Object.keys(MEANINGS).map((kind) => el("option", { value: kind }, kindInWords(kind))),
);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  history.pushState(null, "", `?${filters()}`);
  showEntries();
});
document.getElementById("clear").addEventListener("click", () => {
  history.pushState(null, "", "/");
  restoreFilters();
  showEntries();
});
addEventListener("popstate", () => {
  restoreFilters();
  showEntries();
});
older.addEventListener("click", showOlder);
follow.addEventListener("click", () => {
  const isOn = follow.getAttribute("aria-pressed") !== "true";
  setFollowing(isOn);
  if (isOn) showEntries();
});
document.addEventListener("visibilitychange", () =>
  document.hidden ? stopWatching() : startWatching(),
);

restoreFilters();
showEntries();
showCheckpoint();
