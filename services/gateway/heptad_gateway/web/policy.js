// Whom to believe (C2SP tlog-policy): the log, the witnesses, and how many of them are enough.
// Names and words are compared as bytes, so what is not UTF-8 is carried along and not repaired.

import { FormatError, latin1 } from "./bytes.js";
import { COSIGNATURE_TYPE, LOG_TYPE, parseVkey } from "./notes.js";

const POLICY_BYTES_MAX = 256 * 1024;
const NO_QUORUM = "none";
const THRESHOLD = /^[1-9][0-9]{0,5}$/;

// {logs: [key], witnesses: [{name, key}], groups: [{name, threshold, members}], quorum}.
// Throws FormatError, with the line's number where one line is wrong by itself.
export async function parsePolicy(data) {
  const policy = { logs: [], witnesses: [], groups: [], quorum: null };
  const defined = new Set();
  for (const [number, words] of itemsOf(data)) {
    try {
      await take(policy, defined, words);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new FormatError(`line ${number}: ${error.message}`);
    }
  }
  if (policy.quorum === null) throw new FormatError("a policy has one quorum line");
  requireKeys(policy.logs, LOG_TYPE);
  requireKeys(
    policy.witnesses.map((witness) => witness.key),
    COSIGNATURE_TYPE,
  );
  requireDistinct([...policy.logs, ...policy.witnesses.map((witness) => witness.key)]);
  requireMembersOnce(policy.groups);
  return policy;
}

// Who of the cosigners (a Set of policy names) counts, and the groups that they satisfy.
function witnessed(policy, cosigners) {
  const names = policy.witnesses.map((witness) => witness.name);
  const satisfied = new Set(names.filter((name) => cosigners.has(name)));
  for (const group of policy.groups) {
    if (group.members.filter((name) => satisfied.has(name)).length >= group.threshold) {
      satisfied.add(group.name);
    }
  }
  return satisfied;
}

export function hasQuorum(policy, cosigners) {
  return policy.quorum === NO_QUORUM || witnessed(policy, cosigners).has(policy.quorum);
}

export function explainQuorum(policy, cosigners) {
  if (policy.quorum === NO_QUORUM) return "the policy asks for no cosignatures";
  const satisfied = witnessed(policy, cosigners);
  if (policy.groups.length === 0) return `the policy asks for ${policy.quorum}`;
  return policy.groups
    .map((group) => {
      const signed = group.members.filter((name) => satisfied.has(name));
      const missing = group.members.filter((name) => !satisfied.has(name));
      const tail = missing.length ? `; not counted: ${missing.join(", ")}` : "";
      return `${group.name}: ${signed.length} of ${group.members.length} count, ${group.threshold} are needed${tail}`;
    })
    .join(". ");
}

function* itemsOf(data) {
  if (data.length > POLICY_BYTES_MAX) throw new FormatError(`a policy of ${data.length} bytes`);
  if (data.some((byte) => (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) || byte === 0x7f)) {
    throw new FormatError("a policy holds a control character");
  }
  if (data.at(-1) !== 0x0a) throw new FormatError("the last line does not end in a newline");
  const lines = decodeWithStrays(data).split("\n");
  for (const [at, line] of lines.entries()) {
    const words = line.split(/[ \t]/).filter((word) => word !== "");
    if (words.length && !words[0].startsWith("#")) yield [at + 1, words];
  }
}

// UTF-8, with each byte that is none as half a surrogate pair (Python's `surrogateescape`).
function decodeWithStrays(data) {
  const reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    return reader.decode(data);
  } catch {
    // Some byte is stray: go through them one character at a time.
  }
  let text = "";
  for (let at = 0; at < data.length;) {
    const length =
      data[at] < 0x80 ? 1 : [2, 3, 4].find((count) => isCharacter(reader, data, at, count));
    text += length
      ? reader.decode(data.subarray(at, at + length))
      : String.fromCharCode(0xdc00 + data[at]);
    at += length ?? 1;
  }
  return text;
}

function isCharacter(reader, data, at, count) {
  const part = data.subarray(at, at + count);
  try {
    return part.length === count && [...reader.decode(part)].length === 1;
  } catch {
    return false;
  }
}

async function take(policy, defined, words) {
  const [what, ...rest] = words;
  if (what === "log" && (rest.length === 1 || rest.length === 2)) {
    policy.logs.push(await parseVkey(rest[0]));
  } else if (what === "witness" && (rest.length === 2 || rest.length === 3)) {
    const key = await parseVkey(rest[1]);
    define(rest[0], defined);
    policy.witnesses.push({ name: rest[0], key });
  } else if (what === "group" && rest.length > 2) {
    const [name, threshold, ...members] = rest;
    members.forEach((member) => requireDefined(member, defined));
    policy.groups.push({ name, threshold: thresholdOf(threshold, members), members });
    define(name, defined);
  } else if (what === "quorum" && rest.length === 1) {
    if (policy.quorum !== null) throw new FormatError("a policy has one quorum line");
    if (rest[0] !== NO_QUORUM) requireDefined(rest[0], defined);
    policy.quorum = rest[0];
  } else {
    throw new FormatError("it is no log, witness, group or quorum");
  }
}

function define(name, defined) {
  if (defined.has(name) || name === NO_QUORUM) throw new FormatError(`the name ${name} is taken`);
  defined.add(name);
}

function requireDefined(name, defined) {
  if (!defined.has(name)) throw new FormatError(`${name} is not defined on an earlier line`);
}

function thresholdOf(text, members) {
  const given = { all: members.length, any: 1 }[text];
  const threshold = given ?? (THRESHOLD.test(text) ? Number(text) : 0);
  if (threshold < 1 || threshold > members.length) {
    throw new FormatError(`${text} of ${members.length} cannot be met`);
  }
  return threshold;
}

function requireKeys(keys, type) {
  const seen = new Set();
  for (const key of keys) {
    if (key.type !== type) throw new FormatError(`${key.name} has a key of another type`);
    const bytes = latin1(key.publicKey);
    if (seen.has(bytes)) throw new FormatError(`${key.name} has the public key of another`);
    seen.add(bytes);
  }
}

function requireDistinct(keys) {
  const names = keys.map((key) => `${key.name} ${key.keyId}`);
  if (new Set(names).size < names.length) throw new FormatError("two keys cannot be told apart");
}

function requireMembersOnce(groups) {
  const members = groups.flatMap((group) => group.members);
  if (new Set(members).size < members.length) throw new FormatError("a member is named twice");
}
