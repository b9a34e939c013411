// One entry: what it says, the bytes that are hashed, and its way to the root of the latest
// checkpoint, computed here and drawn.

import { FormatError, equal, hex, latin1 } from "./bytes.js";
import { el, hashButton } from "./elements.js";
import { decodeEntry } from "./entry.js";
import { askCheckpoint, askEntry, askProof, showTrouble, textOrNull } from "./gateway.js";
import { MEANINGS, kindInWords } from "./kinds.js";
import { inclusionSteps, leafHash } from "./merkle.js";
import { calendar } from "./receipt.js";
import { drawPath } from "./tree.js";

const LINE_BYTES = 8;

async function showEntry(index) {
  const data = await askEntry(index);
  document.getElementById("parts").hidden = false;
  document.getElementById("raw").textContent = hexDump(data);
  showFields(index, data);
  const { checkpoint } = await askCheckpoint();
  link("before", index - 1n, index > 0n);
  link("after", index + 1n, index + 1n < checkpoint.size);
  await showProof(index, data, checkpoint);
}

function showFields(index, data) {
  document.getElementById("title").textContent = `Entry ${index}`;
  document.title = `Entry ${index} · Heptad`;
  let entry;
  try {
    entry = decodeEntry(data);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    document.getElementById("meaning").textContent = `It cannot be read here: ${error.message}.`;
    return;
  }
  document.getElementById("meaning").textContent = MEANINGS[entry.kind];
  const facts = [
    ["kind", kindInWords(entry.kind)],
    ["service", entry.service],
    ["action", entry.action],
    ["outcome", entry.outcome === "NONE" ? "" : entry.outcome.toLowerCase()],
    ["admitted", calendar(entry.timeMs)],
    ["by", entry.validator ? `validator-${entry.validator}` : "nobody: it follows from a block"],
    ["commitment", entry.commitment.length ? hashButton(entry.commitment, "the commitment") : ""],
    ["statement", entry.statement.length ? statementOf(entry.statement) : ""],
  ];
  document.getElementById("facts").replaceChildren(...definitions(facts));
}

function definitions(facts) {
  return facts
    .filter(([, value]) => value !== "")
    .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
}

function statementOf(bytes) {
  const text = textOrNull(bytes);
  if (text !== null) return text;
  return el("span", {}, `${bytes.length} bytes `, hashButton(hex(bytes), "the statement"));
}

async function showProof(index, data, checkpoint) {
  const says = document.getElementById("proof-says");
  if (index >= checkpoint.size) {
    says.textContent = "No published checkpoint covers it yet. Come back in a second.";
    return;
  }
  if (!globalThis.isSecureContext) {
    says.textContent =
      "Browsers do no cryptography at an address without TLS, so nothing is computed here.";
    return;
  }
  const [leaf, proof] = [await leafHash(data), await askProof(index, checkpoint.size)];
  const climb = await inclusionSteps(index, checkpoint.size, leaf, proof);
  const computed = climb.length ? climb.at(-1).result : leaf;
  const holds = equal(computed, checkpoint.root);
  const facts = [
    ["leaf hash", hashButton(leaf, "the leaf hash")],
    ["hashes given", String(proof.length)],
    ["root computed", hashButton(computed, "the computed root")],
    ["root signed", hashButton(checkpoint.root, "the signed root")],
  ];
  document.getElementById("proof").replaceChildren(...definitions(facts));
  says.className = `small ${holds ? "yes" : "no"}`;
  says.textContent = holds
    ? `It is entry ${index} of the ${checkpoint.size} that the checkpoint signs for.`
    : "The roots differ: this server’s answers do not fit together. Keep them, and tell an auditor.";
  document
    .getElementById("tree")
    .replaceChildren(
      drawPath({ index, size: checkpoint.size, leaf, climb, root: checkpoint.root, holds }),
    );
}

function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += LINE_BYTES) {
    const part = bytes.subarray(at, at + LINE_BYTES);
    const pairs = (hex(part).match(/../g) ?? []).join(" ").padEnd(3 * LINE_BYTES);
    const letters = latin1(part).replace(/[^\x20-\x7e]/g, "·");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${pairs} ${letters}`);
  }
  return lines.join("\n");
}

function link(id, index, isThere) {
  const element = document.getElementById(id);
  element.hidden = !isThere;
  element.href = `/entry/${index}`;
}

const found = /^\/entry\/([0-9]+)$/.exec(location.pathname);
showEntry(BigInt(found[1])).catch(showTrouble);
