// The receipt checker: takes files, never sends them, shows every step. It is also inlined into
// `checker.html`, which works from disk; so it asks for nothing but the files that are dropped.

import { FormatError, sha256, utf8 } from "./bytes.js";
import { el, hashButton } from "./elements.js";
import { parsePolicy } from "./policy.js";
import { PROOF_HEADER, calendar, examineReceipt, parseProof, parseReceiptFile } from "./receipt.js";
import { drawPath } from "./tree.js";

const GIVEN_BYTES_MAX = 4 << 20;
const PARTS = [
  ["The entry", /^(entry|extra|leaf)$/],
  ["Up the tree", /^(proof|step \d+|root)$/],
  ["Who signed", /^(signature .*|log|quorum)$/],
  ["The bundle", /^(bundle.*|statement|place|event.*|signed root)$/],
  ["Your part", /^(commitment|request|subject)$/],
];
const NAMES = {
  leaf: "leaf hash",
  quorum: "quorum",
  log: "the log",
  entry: "what it says",
  request: "what you signed",
};

const given = { receipt: null, policy: null, entry: null };
let turn = 0;

// What `heptad verify` would say, for tests and for your own console: receipt and policy as bytes.
async function judge(receiptBytes, policyBytes, nowS, entryBytes = null) {
  let file;
  try {
    file = readReceipt(receiptBytes, entryBytes);
  } catch (error) {
    return unreadable(error, "receipt");
  }
  try {
    const policy = await parsePolicy(policyBytes);
    return { verdict: "judged", file, policy, ...(await examineReceipt(file, policy, nowS)) };
  } catch (error) {
    return unreadable(error, "policy");
  }
}

function unreadable(error, what) {
  if (!(error instanceof FormatError)) throw error;
  return { verdict: `${what} unreadable`, holds: false, reason: error.message };
}

function readReceipt(bytes, entryBytes) {
  if (!isPlainProof(bytes)) return parseReceiptFile(bytes);
  if (entryBytes === null)
    throw new FormatError(
      "a plain proof says nothing about bytes that are not there: add the entry",
    );
  return {
    proof: parseProof(bytes),
    entry: entryBytes,
    payload: null,
    witness: null,
    bundle: null,
  };
}

function isPlainProof(bytes) {
  const head = utf8(PROOF_HEADER);
  return head.every((byte, at) => bytes[at] === byte);
}

async function takeFile(kind, file) {
  if (!file) return;
  const says = document.getElementById(`${kind === "entry" ? "receipt" : kind}-says`);
  if (file.size > GIVEN_BYTES_MAX) {
    says.textContent = `${file.name} has ${file.size} bytes: too large to be a ${kind}.`;
    return;
  }
  given[kind] = new Uint8Array(await file.arrayBuffer());
  says.replaceChildren(`${file.size} bytes`);
  says.closest(".drop").classList.add("has");
  if (kind === "policy" && globalThis.isSecureContext) {
    says.append(
      ", fingerprint ",
      hashButton(await sha256(given.policy), "the policy’s fingerprint"),
    );
  }
  if (kind === "receipt")
    document.getElementById("entry-asked").hidden = !isPlainProof(given.receipt);
  await check();
}

async function check() {
  const mine = ++turn;
  const report = document.getElementById("report");
  if (!globalThis.isSecureContext) {
    report.hidden = true;
    showVerdict(
      "unjudged",
      "This browser does no cryptography at this address",
      "It does at https addresses and for files on disk: save this page and open it from there.",
    );
    return;
  }
  if (!given.receipt || !given.policy) {
    report.hidden = true;
    const missing = given.receipt ? "policy" : "receipt";
    showVerdict("", "Half of it is here", `Choose a ${missing} as well.`);
    return;
  }
  const nowS = BigInt(Math.floor(Date.now() / 1000));
  const judged = await judge(given.receipt, given.policy, nowS, given.entry);
  // Another file may have been dropped meanwhile: its answer counts, not this one.
  if (mine !== turn) return;
  report.hidden = judged.verdict !== "judged";
  if (judged.verdict === "judged") showReport(judged);
  else showUnreadable(judged);
}

function showUnreadable(judged) {
  const isPolicy = judged.verdict === "policy unreadable";
  const head = isPolicy ? "This is no policy" : "INVALID: this is no receipt";
  showVerdict(isPolicy ? "unjudged" : "invalid", head, `${judged.reason}.`);
}

function showVerdict(kind, head, ...lines) {
  const verdict = document.getElementById("verdict");
  verdict.className = `verdict ${kind}`;
  verdict.replaceChildren(el("strong", {}, head), ...lines.map((line) => el("p", {}, line)));
}

function showReport(judged) {
  const { file, findings, holds } = judged;
  const { index, checkpoint } = file.proof;
  const where = `entry ${index} of ${checkpoint.origin}`;
  if (holds) {
    const times = [...judged.cosignedAtS.values()];
    const latest = times.length
      ? ` by ${calendar(times.reduce((a, b) => (a > b ? a : b)) * 1000n)}`
      : "";
    showVerdict(
      "valid",
      "VALID",
      `This is ${where}. It stood among ${checkpoint.size} entries${latest}, and ${judged.cosignedAtS.size} cosigners vouch for it.`,
      "All of this rests on the policy: compare its fingerprint with what the authorities publish.",
    );
  } else {
    const failed = findings.filter((finding) => !finding.holds);
    showVerdict(
      "invalid",
      "INVALID",
      `It claims to be ${where}, and ${failed.length} of ${findings.length} steps fail. The first is “${nameOf(failed[0].step)}”: ${failed[0].detail.replace(/:$/, ".")}`,
    );
  }
  document
    .getElementById("steps")
    .replaceChildren(...PARTS.flatMap((part) => sectionOf(part, findings)));
  showTree(judged);
}

function sectionOf([name, steps], findings) {
  const found = findings.filter((finding) => steps.test(finding.step));
  if (found.length === 0) return [];
  return [el("h2", {}, name), el("ol", { class: "steps" }, ...found.map(lineOf))];
}

function lineOf(finding) {
  const what = el("span", { class: "what" }, finding.detail);
  if (finding.hash) what.append(" ", hashButton(finding.hash, `the hash of ${finding.step}`));
  const mark = el("span", {
    class: finding.holds ? "yes" : "no",
    role: "img",
    "aria-label": finding.holds ? "holds" : "fails",
  });
  return el(
    "li",
    { class: finding.holds ? "" : "failed", "data-step": finding.step },
    mark,
    el("span", { class: "name", title: finding.step }, nameOf(finding.step)),
    what,
  );
}

function nameOf(step) {
  return NAMES[step] ?? step.replace(/^signature ([^.+]*).*\+[0-9a-f]{8}$/, "$1");
}

function showTree({ file, climb, leaf, findings }) {
  const place = document.getElementById("tree");
  if (climb === null) {
    place.replaceChildren(
      el("p", { class: "quiet" }, "The proof does not lead to a root, so there is no way to draw."),
    );
    return;
  }
  const { index, checkpoint } = file.proof;
  const holds = findings.find((finding) => finding.step === "root").holds;
  place.replaceChildren(
    drawPath({ index, size: checkpoint.size, leaf, climb, root: checkpoint.root, holds }),
  );
}

function listen() {
  for (const kind of Object.keys(given)) {
    document
      .getElementById(kind)
      .addEventListener("change", (event) => takeFile(kind, event.target.files[0]));
  }
  for (const drop of document.querySelectorAll(".drop")) {
    drop.addEventListener("dragover", () => drop.classList.add("over"));
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      drop.classList.remove("over");
      // The input shows the name of what was dropped, as it does of what was chosen.
      document.getElementById(drop.dataset.kind).files = event.dataTransfer.files;
      takeFile(drop.dataset.kind, event.dataTransfer.files[0]);
    });
  }
  // A file that is dropped beside must not be opened in place of the page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => event.preventDefault());
  document.getElementById("home").hidden = location.protocol === "file:";
}

globalThis.heptad = { judge };
listen();
