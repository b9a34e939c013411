// A receipt: read, and examined step by step. Same steps, same order and same verdict as
// `heptad verify`; a test runs both over the same receipts, good and broken. Nothing stops at the
// first failure: whoever looks at a bad receipt wants to see all of it.

import { examineSigned } from "./bundle.js";
import { FormatError, concat, equal, fromBase64, hex, latin1, sha256, utf8 } from "./bytes.js";
import { decodeEntry } from "./entry.js";
import { ProofError, SIZE_MAX, inclusionSteps, leafHash, requireHash } from "./merkle.js";
import { Rejected, parseCheckpoint, parseNote, verifyLine } from "./notes.js";
import { explainQuorum, hasQuorum } from "./policy.js";
import { parseRequest } from "./request.js";
import { parseStrictJson } from "./strict-json.js";

export const PROOF_HEADER = "c2sp.org/tlog-proof@v1";

const FILE_FORMAT = "heptad-receipt/v1";
const FILE_BYTES_MAX = 2 << 20;
const PROOF_BYTES_MAX = 1 << 20;
const PROOF_HASHES_MAX = 63;
const CLOCK_BOUND_S = 60n;
const INDEX = /^index (0|[1-9][0-9]{0,18})$/;
const COMMITMENT_DOMAIN = utf8("heptad/v1/commitment\0");
const REQUIRED = ["format", "entry", "proof"];
const ALLOWED = [...REQUIRED, "payload", "witness", "bundle", "links"];
const MEMBERSHIP = ["index", "entry", "inclusion", "path"];
const SUBJECT_HALF = /^[a-z0-9]{1,16}-[a-z2-7]{26}\n/;
const KINDS_OF_REQUESTS = ["REQUEST", "SUBJECT_REGISTERED", "KEY_ADDED", "KEY_REVOKED", "EXPORT"];

// {entry, proof, payload, witness, bundle} of Heptad's JSON file; the last three may be null.
// Throws FormatError.
export function parseReceiptFile(data) {
  if (data.length > FILE_BYTES_MAX) throw new FormatError(`a receipt of ${data.length} bytes`);
  const members = parseStrictJson(data, "the receipt");
  if (!(members instanceof Map)) throw new FormatError("a receipt is a JSON object");
  const missing = REQUIRED.find((name) => !members.has(name));
  if (missing) throw new FormatError(`a receipt has the member “${missing}”, and this one has not`);
  const unknown = [...members.keys()].find((name) => !ALLOWED.includes(name));
  if (unknown !== undefined)
    throw new FormatError(`a receipt has no member “${unknown.slice(0, 60)}”`);
  if (members.get("format") !== FILE_FORMAT)
    throw new FormatError(`its format is not ${FILE_FORMAT}`);
  if (members.has("payload") !== members.has("witness")) {
    throw new FormatError("payload and witness come together or not at all");
  }
  return {
    proof: parseProof(utf8(textOf(members, "proof"))),
    entry: bytesOf(members, "entry"),
    payload: members.has("payload") ? bytesOf(members, "payload") : null,
    witness: members.has("witness") ? bytesOf(members, "witness") : null,
    bundle: members.has("bundle") ? membershipOf(members.get("bundle")) : null,
  };
}

// An event's place in what its service signed: {index, entry, inclusion, path}. Throws FormatError.
function membershipOf(members) {
  const isWhole = members instanceof Map && members.size === MEMBERSHIP.length;
  if (!isWhole || !MEMBERSHIP.every((name) => members.has(name))) {
    throw new FormatError(`bundle is not an object of ${MEMBERSHIP.join(", ")}`);
  }
  const index = members.get("index");
  if (typeof index !== "bigint" || index < 0n || index >= SIZE_MAX)
    throw new FormatError("bundle.index is in no log");
  const [inclusion, path] = [hashesOf(members, "inclusion"), hashesOf(members, "path")];
  return { index, inclusion, path, entry: bytesOf(members, "entry") };
}

function hashesOf(members, name) {
  const values = members.get(name);
  if (!Array.isArray(values) || values.length > 2 * PROOF_HASHES_MAX)
    throw new FormatError(`${name} is no list of hashes`);
  const hashes = values.map((value) => bytesOf(new Map([[name, value]]), name));
  hashes.forEach((hash) => requireHash(hash, `a hash of ${name}`));
  return hashes;
}

// {index, hashes, note, checkpoint, signatures, text, extra} of a tlog-proof file. Throws FormatError.
export function parseProof(data) {
  if (data.length > PROOF_BYTES_MAX) throw new FormatError(`a proof of ${data.length} bytes`);
  const blank = latin1(data).indexOf("\n\n");
  if (blank < 0) throw new FormatError("a proof has an empty line before its checkpoint");
  const head = data.subarray(0, blank);
  if (head.some((byte) => byte > 0x7f)) throw new FormatError("the proof is not ASCII");
  const lines = latin1(head).split("\n");
  if (lines.shift() !== PROOF_HEADER) throw new FormatError(`a proof begins with ${PROOF_HEADER}`);
  let extra = new Uint8Array();
  if (lines[0]?.startsWith("extra ")) {
    extra = fromBase64(lines.shift().slice("extra ".length), "the extra line");
    if (extra.length === 0) throw new FormatError("the extra line is empty");
  }
  const found = INDEX.exec(lines.shift() ?? "");
  if (!found) throw new FormatError("the proof does not name its index");
  const index = BigInt(found[1]);
  if (index >= SIZE_MAX) throw new FormatError(`index ${index} is in no tree`);
  const hashes = lines.map((line) => fromBase64(line, "a hash of the proof"));
  if (hashes.length > PROOF_HASHES_MAX) throw new FormatError(`a proof of ${hashes.length} hashes`);
  hashes.forEach((hash) => requireHash(hash, "a hash of the proof"));
  const note = parseNote(data.subarray(blank + 2));
  return { index, hashes, extra, ...note, checkpoint: parseCheckpoint(note.text) };
}

// {holds, findings: [{step, holds, detail, hash?}], entry, climb, leaf, requestId, cosignedAtS}.
// `nowS` is the clock, in seconds (BigInt). Judges everything, throws nothing.
export async function examineReceipt(file, policy, nowS) {
  const [entry, entryFinding] = readEntry(file.entry);
  const findings = [entryFinding];
  if (file.proof.extra.length > 0) {
    const detail = `${file.proof.extra.length} extra bytes that nobody signed; Heptad writes none`;
    findings.push({ step: "extra", holds: false, detail });
  }
  const { climbed, leaf, climb } = await climbTree(file.entry, file.proof);
  findings.push(...climbed);
  const signed = await examineSignatures(file.proof, policy, nowS + CLOCK_BOUND_S);
  findings.push(...signed.findings);
  if (file.bundle !== null)
    findings.push(await examineBundle(entry, file.bundle, file.proof.checkpoint));
  let requestId = null;
  if (file.payload !== null && file.witness !== null) {
    const shown = await examinePrivateHalf(entry, file.payload, file.witness);
    findings.push(...shown.findings);
    requestId = shown.requestId;
  }
  findings.push(...(await examineSigned(file)));
  const holds = findings.every((finding) => finding.holds);
  return { holds, findings, entry, climb, leaf, requestId, cosignedAtS: signed.cosignedAtS };
}

// Every signature of a note against a policy: {findings, cosignedAtS: Map of name to seconds}.
export async function examineSignatures(note, policy, latestS) {
  const findings = [];
  const cosignedAtS = new Map();
  let logSigned = false;
  for (const line of note.signatures) {
    const isBy = (key) => key.name === line.keyName && key.keyId === line.keyId;
    const log = policy.logs.find(isBy);
    const witness = policy.witnesses.find((known) => isBy(known.key));
    const finding = { step: `signature ${line.keyName}+${line.keyId}`, holds: true, detail: "" };
    try {
      if (log) {
        await verifyLine(note.text, line, log, latestS);
        logSigned ||= log.name === note.checkpoint.origin;
        finding.detail = "The log’s own signature is good.";
      } else if (witness) {
        const timeS = await verifyLine(note.text, line, witness.key, latestS);
        if (!cosignedAtS.has(witness.name)) cosignedAtS.set(witness.name, timeS);
        finding.detail = `The cosignature of ${witness.name} is good, made ${calendar(timeS * 1000n)}.`;
      } else {
        finding.detail = "Ignored: the policy does not know this key.";
      }
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      Object.assign(finding, { holds: false, detail: error.message });
    }
    findings.push(finding);
  }
  findings.push(examineOrigin(note.checkpoint.origin, policy, logSigned));
  const cosigners = new Set(cosignedAtS.keys());
  const quorum = {
    step: "quorum",
    holds: hasQuorum(policy, cosigners),
    detail: explainQuorum(policy, cosigners),
  };
  return { findings: [...findings, quorum], cosignedAtS };
}

export function calendar(ms) {
  const date = new Date(Number(ms));
  return Number.isNaN(date.getTime())
    ? `${ms} ms`
    : `${date.toISOString().replace("T", " ").slice(0, 19)} UTC`;
}

function textOf(members, name) {
  const value = members.get(name);
  if (typeof value !== "string") throw new FormatError(`${name} is not a string`);
  return value;
}

function bytesOf(members, name) {
  return fromBase64(textOf(members, name), name);
}

function readEntry(data) {
  try {
    const entry = decodeEntry(data);
    return [entry, { step: "entry", holds: true, detail: inWords(entry) }];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return [
      null,
      { step: "entry", holds: false, detail: `The entry cannot be read: ${error.message}` },
    ];
  }
}

function inWords(entry) {
  if (entry.kind === "MISBEHAVIOUR_EVIDENCE") {
    return `Evidence of misbehaviour, in a block of ${calendar(entry.timeMs)}. Who is proven guilty is for “heptad verify --cell”.`;
  }
  const parts = [
    entry.kind,
    entry.service && `service ${entry.service}`,
    entry.action && `action ${entry.action}`,
  ];
  if (entry.outcome !== "NONE") parts.push(entry.outcome.toLowerCase());
  if (entry.kind === "EVENT") {
    return `${parts.filter(Boolean).join(", ")}; at ${calendar(entry.timeMs)}, as its service says; recorded by validator-${entry.validator}.`;
  }
  return `${parts.filter(Boolean).join(", ")}; admitted ${calendar(entry.timeMs)} by validator-${entry.validator}.`;
}

async function climbTree(entry, proof) {
  const { checkpoint, index, hashes } = proof;
  const leaf = await leafHash(entry);
  const climbed = [
    {
      step: "leaf",
      holds: true,
      detail: `SHA-256 of a zero byte and the entry’s ${entry.length} bytes`,
      hash: leaf,
    },
  ];
  let climb;
  try {
    climb = await inclusionSteps(index, checkpoint.size, leaf, hashes);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    return {
      climbed: [...climbed, { step: "proof", holds: false, detail: error.message }],
      leaf,
      climb: null,
    };
  }
  climb.forEach((step, at) => {
    const side = step.siblingIsLeft ? "left" : "right";
    const detail = `SHA-256 with ${hex(step.sibling).slice(0, 12)}… on the ${side}, which stands for ${rangeOf(step.siblingCovers)}`;
    climbed.push({ step: `step ${at + 1}`, holds: true, detail, hash: step.result });
  });
  const computed = climb.length ? climb.at(-1).result : leaf;
  const holds = equal(computed, checkpoint.root);
  const detail = holds
    ? "What was computed is the checkpoint’s root."
    : "What was computed is not the root that was signed:";
  climbed.push({ step: "root", holds, detail, hash: checkpoint.root });
  return { climbed, leaf, climb };
}

export function rangeOf([first, last]) {
  return first === last ? `entry ${first}` : `entries ${first}–${last}`;
}

function examineOrigin(origin, policy, logSigned) {
  if (logSigned)
    return { step: "log", holds: true, detail: `${origin} is known to the policy and has signed.` };
  const known = policy.logs.map((log) => log.name);
  const detail = known.includes(origin)
    ? `There is no good signature by ${origin} itself.`
    : `The policy does not know the log ${origin}; it knows ${known.join(", ") || "none"}.`;
  return { step: "log", holds: false, detail };
}

async function examinePrivateHalf(entry, payload, witness) {
  if (entry === null) {
    const detail = "The entry cannot be read, so nothing binds the request to it.";
    return { findings: [{ step: "commitment", holds: false, detail }], requestId: null };
  }
  const findings = [await examineCommitment(entry, payload, witness)];
  if (entry.kind === "EVENT")
    return { findings: [...findings, examineSubject(payload)], requestId: null };
  if (!KINDS_OF_REQUESTS.includes(entry.kind)) return { findings, requestId: null };
  let request;
  try {
    request = await parseRequest(payload);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    findings.push({
      step: "request",
      holds: false,
      detail: `The payload is no signed request: ${error.message}.`,
    });
    return { findings, requestId: null };
  }
  return { findings: [...findings, examineClaims(entry, request)], requestId: request.requestId };
}

// The bundle's own entry, which an event's receipt brings along, is in the same tree.
async function examineBundle(entry, bundle, checkpoint) {
  const finding = { step: "bundle in log", holds: false, detail: "" };
  if (entry !== null && entry.kind !== "EVENT") {
    return { ...finding, detail: `Only an event has a bundle, and this is of kind ${entry.kind}.` };
  }
  const leaf = await leafHash(bundle.entry);
  let climb;
  try {
    climb = await inclusionSteps(bundle.index, checkpoint.size, leaf, bundle.inclusion);
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    return { ...finding, detail: error.message };
  }
  const holds = equal(climb.length ? climb.at(-1).result : leaf, checkpoint.root);
  const detail = `The bundle is entry ${bundle.index}: ${holds ? "it leads to the same root." : "it does not lead to the root."}`;
  return { ...finding, holds, detail };
}

// Whom an event is about: what its service committed to says so itself.
function examineSubject(half) {
  const found = SUBJECT_HALF.exec(latin1(half));
  const detail = found
    ? `The event is about ${found[0].trim()}.`
    : "The private half does not begin with a subject’s id.";
  return { step: "subject", holds: found !== null, detail };
}

async function examineCommitment(entry, payload, witness) {
  if (witness.length !== 32) {
    return {
      step: "commitment",
      holds: false,
      detail: `a witness has 32 bytes, not ${witness.length}`,
    };
  }
  const hash = await sha256(concat(COMMITMENT_DOMAIN, witness, payload));
  const holds = equal(hash, entry.commitment);
  const detail = holds
    ? `SHA-256 of the witness and the request’s ${payload.length} bytes is what the entry commits to.`
    : "SHA-256 of the witness and the request is not what the entry commits to:";
  return { step: "commitment", holds, detail, hash };
}

function examineClaims(entry, request) {
  const isHidden = (said) => entry.outcome === "DENIED" && said === "";
  const pairs = [
    [entry.service, request.service],
    [entry.action, request.action],
  ];
  const holds = pairs.every(([said, signed]) => said === signed || isHidden(said));
  const signed = `Signed for service ${request.service}, action ${request.action}`;
  const detail = holds
    ? `${signed}: ${entry.service && entry.action ? "as the entry says." : "denied, and left out of the entry."}`
    : `${signed}, but the entry says ${entry.service || "nothing"}, ${entry.action || "nothing"}.`;
  return { step: "request", holds, detail };
}
