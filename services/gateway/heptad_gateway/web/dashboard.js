// The control room: asks its gateway for the picture every two seconds while somebody looks, and
// puts it into words, tiles, small charts and the ring of replicas. A page in the background asks
// nothing. What cannot be known is a dash, never a zero.

import { el, svg } from "./elements.js";
import { askJson, showTrouble } from "./gateway.js";
import { kindInWords } from "./kinds.js";

const DASH = "–";
const VERDICTS = {
  well: "All is well",
  attention: "Somebody should look",
  trouble: "Something is wrong",
};
const STALE_MS = 10_000;
const CHARTS = [
  { name: "requests a second", column: 1, format: (v) => number(v) },
  { name: "slowest hundredth", column: 3, format: (v) => seconds(v) },
  { name: "errors a second", column: 2, format: (v) => number(v) },
  { name: "entries a second", column: 4, format: (v) => number(v) },
];

const place = (id) => document.getElementById(id);
let isPaused = false;
let drawnAt = 0;
let pauseMs = 2_000;

function number(value) {
  if (value === null || value === undefined) return DASH;
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 0 : 1);
}

function seconds(value) {
  if (value === null || value === undefined) return DASH;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

function percent(value) {
  if (value === null || value === undefined) return DASH;
  return `${(100 * value).toFixed(value < 0.1 && value > 0 ? 1 : 0)} %`;
}

function bytes(value) {
  if (value === null || value === undefined) return DASH;
  return value < 1e9 ? `${Math.round(value / 1e6)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}

function age(secondsAgo) {
  if (secondsAgo === null || secondsAgo === undefined) return DASH;
  if (secondsAgo < 90) return `${Math.round(secondsAgo)} s ago`;
  if (secondsAgo < 5400) return `${Math.round(secondsAgo / 60)} min ago`;
  return `${Math.round(secondsAgo / 3600)} h ago`;
}

function sum(rows, name) {
  const known = rows.map((row) => row[name]).filter((value) => value !== null);
  return known.length ? known.reduce((left, right) => left + right, 0) : null;
}

function drawVerdict(picture) {
  const head = place("verdict");
  const text = VERDICTS[picture.verdict];
  if (head.textContent !== text) head.textContent = text;
  head.className = picture.verdict;
  document.title = `${picture.verdict === "well" ? "" : "● "}Control room · Heptad`;
  place("origin").textContent = `${picture.origin}, version ${picture.version}`;
  const rows = picture.alerts.map((alert) =>
    el(
      "li",
      { class: alert.severity },
      `${alert.text} `,
      el("span", { class: "quiet small" }, `runbook ${alert.runbook}`),
    ),
  );
  replaceIfChanged(place("alerts"), rows);
}

// People who listen to the page must not hear the same again every two seconds.
function replaceIfChanged(list, rows) {
  const text = rows.map((row) => row.textContent).join("\n");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...rows);
}

function drawTiles(picture) {
  const { traffic } = picture;
  const all = [...picture.replicas, ...picture.members];
  const failing = traffic.requests_per_s ? traffic.errors_per_s / traffic.requests_per_s : 0;
  const tiles = [
    [number(traffic.requests_per_s), "requests a second"],
    [seconds(traffic.p50_s), "half are answered within"],
    [seconds(traffic.p95_s), "19 of 20 within"],
    [seconds(traffic.p99_s), "99 of 100 within", traffic.p99_s > 0.1],
    [percent(failing), "fail", failing > 0.01],
    [number(traffic.connections), "connections"],
    [percent(sum(all, "cpu")), "of one CPU, all together"],
    [bytes(sum(all, "memory_bytes")), "memory, all together"],
  ];
  place("tiles").replaceChildren(
    ...tiles.map(([value, name, isBad]) =>
      el("div", { class: isBad ? "tile bad" : "tile" }, el("b", {}, value), el("span", {}, name)),
    ),
  );
}

function drawCharts(history) {
  place("charts").replaceChildren(...CHARTS.map((chart) => chartOf(chart, history)));
}

function chartOf({ name, column, format }, history) {
  const points = history.filter((point) => point[column] !== null && point[column] !== undefined);
  const last = points.length ? points[points.length - 1][column] : null;
  const highest = Math.max(...points.map((point) => point[column]), 0);
  const says = `${name}: now ${format(last)}, at most ${format(highest)} in what is shown`;
  const drawing = svg("svg", {
    viewBox: "0 0 300 100",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": says,
  });
  if (points.length > 1 && highest > 0) {
    const [start, end] = [points[0][0], points[points.length - 1][0]];
    const line = points
      .map((point) => {
        const x = (300 * (point[0] - start)) / (end - start || 1);
        return `${x.toFixed(1)} ${(98 - (92 * point[column]) / highest).toFixed(1)}`;
      })
      .join(" L");
    drawing.append(
      svg("path", { class: "area", d: `M0 100 L${line} L300 100 Z` }),
      svg("path", { d: `M${line}` }),
    );
  }
  return el(
    "figure",
    { class: "chart" },
    drawing,
    el("figcaption", {}, el("span", {}, name), el("span", {}, `${format(last)} · max ${format(highest)}`)),
  );
}

function classOf(replica) {
  if (["silent", "not ready", "follows only"].includes(replica.state)) return "away";
  if (replica.state === "catching up") return "late";
  return replica.leads ? "leads" : "";
}

function drawRing(picture) {
  const { replicas } = picture;
  const ring = place("ring");
  const ready = replicas.filter((each) => ["ready", "catching up"].includes(each.state)).length;
  const leader = replicas.find((each) => each.leads);
  place("ring-says").textContent =
    `${ready} of ${replicas.length} replicas are ready, ${picture.quorum} must agree.` +
    (leader ? ` ${leader.id} leads.` : "");
  const spots = replicas.map((replica, index) => {
    const angle = (2 * Math.PI * index) / replicas.length - Math.PI / 2;
    return { replica, x: 88 * Math.cos(angle), y: 84 * Math.sin(angle) };
  });
  const lines = spots.map(({ x, y }) => svg("line", { x1: 0, y1: 0, x2: x, y2: y }));
  const nodes = spots.map(({ replica, x, y }) =>
    svg(
      "g",
      { class: classOf(replica), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
      svg("title", {}, `${replica.id}: ${stateOf(replica)}`),
      svg("circle", { r: 17 }),
      svg("text", { class: "number", y: 5 }, replica.id.split("-")[1]),
      svg("text", { class: "says", y: 29 }, stateOf(replica)),
    ),
  );
  const centre = svg("g", {}, svg("circle", { r: 27 }), svg("text", { class: "centre", y: 3 }, `${ready}/${replicas.length}`), svg("text", { class: "says", y: 16 }, "ready"));
  ring.replaceChildren(place("ring-says"), ...lines, ...nodes, ...(replicas.length ? [centre] : []));
}

function stateOf(replica) {
  return replica.leads && replica.state === "ready" ? "leads" : replica.state;
}

function drawLedger({ ledger, quantum_safe: safe }) {
  const erasures = Object.entries(ledger.erasures ?? {}).map(([state, count]) => `${count} ${state}`);
  const facts = [
    ["entries", `${number(ledger.log_size)}, ${number(ledger.published_size)} signed for`],
    ["checkpoint", `${age(ledger.checkpoint_age_s)}, ${number(ledger.cosignatures)} cosignatures`],
    ["behind", `${number(ledger.lag_blocks)} blocks`],
    ["static files", `${number(ledger.static_size)} entries`],
    ["subjects", number(ledger.subjects)],
    ["leases of keys", number(ledger.leases)],
    ["erasures", erasures.join(", ") || DASH],
    ["quantum defence", safe.of ? `key exchange of ${safe.yes} of ${safe.of} listeners` : DASH],
  ];
  place("ledger").replaceChildren(
    ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

function drawLists(picture) {
  const decisions = picture.notable.map((entry) =>
    el(
      "li",
      {},
      el("a", { href: `/entry/${entry.index}` }, entry.kind ? kindInWords(entry.kind) : "of a newer version"),
      el("span", { class: "quiet small" }, ` ${age((picture.time_ms - entry.time_ms) / 1000)}`),
    ),
  );
  replaceIfChanged(place("notable"), decisions.length ? decisions : [el("li", { class: "quiet" }, "none lately")]);
  const refusals = Object.entries(picture.traffic.refusals_per_min)
    .sort((left, right) => right[1] - left[1])
    .map(([code, rate]) => el("li", {}, el("a", { href: `/errors/${code}` }, code), ` ${number(rate)}`));
  replaceIfChanged(place("refusals"), refusals.length ? refusals : [el("li", { class: "quiet" }, "none")]);
}

function drawRows(picture) {
  const rows = [...picture.replicas, ...picture.members].map((member) => {
    const ofReplica = (text) => ("round" in member ? text : "");
    const cells = [
      ["round", ofReplica(number(member.round))],
      ["behind", ofReplica(number(member.rounds_behind))],
      ["cosignatures/min", ofReplica(number(member.cosignatures_per_min))],
      ["time-outs/min", ofReplica(number(member.timeouts_per_min))],
      ["rounds that hold", ofReplica(percent(member.success))],
      ["CPU", percent(member.cpu)],
      ["memory", bytes(member.memory_bytes)],
      ["disk free", percent(member.disk_free)],
    ];
    const isAway = ["silent", "not ready", "follows only"].includes(member.state);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, member.id),
      el("td", { class: isAway ? "no" : "" }, stateOf(member)),
      ...cells.map(([name, text]) => el("td", { class: "right", "data-name": name }, text)),
    );
  });
  place("rows").replaceChildren(...rows);
}

function draw(picture) {
  drawVerdict(picture);
  drawTiles(picture);
  drawCharts(picture.history);
  drawRing(picture);
  drawLedger(picture);
  drawLists(picture);
  drawRows(picture);
  drawnAt = Date.now();
  pauseMs = 1000 * picture.pause_s;
}

async function look() {
  if (isPaused || document.hidden) return;
  try {
    draw(await askJson("/v1/dashboard"));
    showTrouble(null);
  } catch (error) {
    showTrouble(error);
  }
}

function tellAge() {
  const old = Date.now() - drawnAt;
  const isStale = drawnAt > 0 && old > STALE_MS;
  place("age").textContent = drawnAt ? `· ${isPaused ? "paused, " : ""}seen ${age(old / 1000)}` : "";
  document.body.classList.toggle("stale", isStale);
}

place("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  place("pause").setAttribute("aria-pressed", String(isPaused));
  place("pause").textContent = isPaused ? "Go on" : "Pause";
  tellAge();
  look();
});
document.addEventListener("visibilitychange", look);
setInterval(tellAge, 1_000);

async function stay() {
  await look();
  setTimeout(stay, pauseMs);
}
stay();
