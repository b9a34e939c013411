// Is this event in the bundle that its service signed? The leaf is made again from the public entry
// and folded up to the root that the statement names, as `heptad.verification.bundles` does it. The
// service's signature itself needs its key, which stands in cell.toml and in no policy: that step is
// for `heptad verify --cell`, and the page says so.

import { FormatError, concat, equal, hex, utf8 } from "./bytes.js";
import { KINDS, OUTCOMES, decodeEntry } from "./entry.js";
import { ProofError, inclusionSteps, leafHash } from "./merkle.js";
import { parseStatement } from "./request.js";

const EVENT_DOMAIN = utf8("heptad/v1/event\0");

// The findings on a bundle's own entry or on an event; none for any other receipt.
export async function examineSigned(file) {
  const kind = kindOf(file.entry);
  if (kind !== "BUNDLE" && kind !== "EVENT") return [];
  if (file.bundle === null)
    return examineStatement(readAs(file.entry, "BUNDLE", "bundle")).findings;
  const event = readAs(file.entry, "EVENT", "event");
  const head = readAs(file.bundle.entry, "BUNDLE", "bundle");
  const { findings, statement } = examineStatement(head);
  findings.unshift(event.finding);
  if (event.entry === null || statement === null) return findings;
  const place = file.proof.index - file.bundle.index - 1n;
  findings.push(examinePlace(event.entry, head.entry, statement, place));
  return [...findings, ...(await foldEvent(event.entry, statement, place, file.bundle.path))];
}

function kindOf(data) {
  try {
    return decodeEntry(data).kind;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return null;
  }
}

// An entry of that kind which spells nothing but what is judged here: {entry, finding}.
function readAs(data, kind, step) {
  const failed = (detail) => ({ entry: null, finding: { step, holds: false, detail } });
  let entry;
  try {
    entry = decodeEntry(data);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return failed(`The entry cannot be read: ${error.message}.`);
  }
  if (entry.kind !== kind) return failed(`The entry is of kind ${entry.kind}, not ${kind}.`);
  if (!equal(encodeEntry(entry), data))
    return failed("The entry’s bytes hold more than its fields.");
  if (kind === "EVENT" && (entry.commitment.length !== 32 || entry.statement.length !== 0)) {
    return failed("An event has a commitment and no statement.");
  }
  const detail = `The entry is of kind ${kind} and service ${entry.service}, by validator-${entry.validator}.`;
  return { entry, finding: { step, holds: true, detail } };
}

function examineStatement({ entry, finding }) {
  if (entry === null) return { findings: [finding], statement: null };
  let statement;
  try {
    statement = parseStatement(entry.statement);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const broken = {
      step: "statement",
      holds: false,
      detail: `It is no statement: ${error.message}.`,
    };
    return { findings: [finding, broken], statement: null };
  }
  const holds = entry.service === statement.service;
  const tail = holds
    ? "Whether its key signed that, “heptad verify --cell” can tell."
    : `But the entry says service ${entry.service}.`;
  const detail = `It speaks of ${statement.count} events of ${statement.service}. ${tail}`;
  return { findings: [finding, { step: "statement", holds, detail }], statement };
}

function examinePlace(event, head, statement, place) {
  const detail = `Event ${place} of 0 to ${statement.count - 1n}`;
  if (place < 0n || place >= statement.count)
    return { step: "place", holds: false, detail: `${detail}: not one of this bundle.` };
  const holds = event.service === head.service && event.validator === head.validator;
  return {
    step: "place",
    holds,
    detail: holds
      ? `${detail}.`
      : `${detail}, but service or validator are not those of the bundle.`,
  };
}

async function foldEvent(event, statement, place, path) {
  const hash = await leafHash(eventLeaf(event));
  const findings = [
    { step: "event leaf", holds: true, detail: "SHA-256 of what the event says in public", hash },
  ];
  let climb;
  try {
    if (place < 0n) throw new ProofError(`place ${place} is before the first event`);
    climb = await inclusionSteps(place, statement.count, hash, path);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    return [...findings, { step: "signed root", holds: false, detail: error.message }];
  }
  climb.forEach((step, at) => {
    const side = step.siblingIsLeft ? "left" : "right";
    findings.push({
      step: `event step ${at + 1}`,
      holds: true,
      detail: `SHA-256 with ${hex(step.sibling).slice(0, 12)}… on the ${side}`,
      hash: step.result,
    });
  });
  const holds = equal(climb.length ? climb.at(-1).result : hash, statement.root);
  const detail = holds
    ? "What was computed is the root that the service stated."
    : "What was computed is not the root that the service stated:";
  return [...findings, { step: "signed root", holds, detail, hash: statement.root }];
}

function eventLeaf({ service, action, outcome, timeMs, commitment }) {
  return concat(
    EVENT_DOMAIN,
    lengthAndText(service),
    lengthAndText(action),
    Uint8Array.of(OUTCOMES.indexOf(outcome)),
    bigEndian(timeMs, 8),
    commitment,
  );
}

function lengthAndText(text) {
  const bytes = utf8(text);
  return concat(bigEndian(BigInt(bytes.length), 2), bytes);
}

function bigEndian(value, count) {
  return Uint8Array.from({ length: count }, (_, at) =>
    Number((value >> BigInt(8 * (count - 1 - at))) & 255n),
  );
}

// The one spelling that a validator writes: fields in their order, empty ones left out.
function encodeEntry(entry) {
  const numbers = {
    1: 1n,
    2: BigInt(KINDS.indexOf(entry.kind)),
    5: BigInt(OUTCOMES.indexOf(entry.outcome)),
    6: entry.timeMs,
    7: BigInt(entry.validator),
  };
  const bytes = {
    3: utf8(entry.service),
    4: utf8(entry.action),
    8: entry.commitment,
    9: entry.statement,
  };
  const parts = [];
  for (let field = 1; field <= 9; field += 1) {
    if (numbers[field] > 0n) parts.push(varint(BigInt(field << 3)), varint(numbers[field]));
    else if (bytes[field]?.length > 0)
      parts.push(
        varint(BigInt((field << 3) | 2)),
        varint(BigInt(bytes[field].length)),
        bytes[field],
      );
  }
  return concat(...parts);
}

function varint(value) {
  const bytes = [];
  for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  return Uint8Array.from([...bytes, Number(value)]);
}
