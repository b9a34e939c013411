// Signed notes, their keys, and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature),
// read as strictly as `heptad.transparency` reads them: what one refuses, the other refuses.

import { FormatError, concat, fromBase64, fromUtf8, hex, latin1, sha256, utf8 } from "./bytes.js";
import { signatureHolds } from "./ed25519.js";
import { SIZE_MAX, requireHash } from "./merkle.js";

export const LOG_TYPE = 0x01;
export const COSIGNATURE_TYPE = 0x04;

const NOTE_BYTES_MAX = 512 * 1024;
const SIGNATURES_MAX = 64;
const TIME_S_MAX = 2n ** 63n - 1n;
const DASH = "\u2014 ";
const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const NO_NAME = /[\u0000-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/;
const EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export class Rejected extends Error {}

function requireKeyName(name) {
  if (name === "" || NO_NAME.test(name) || !name.isWellFormed()) {
    throw new FormatError(`${JSON.stringify(name.slice(0, 100))} cannot name a key`);
  }
}

// A public key as text: name+id+base64(type, key). Throws FormatError.
export async function parseVkey(vkey) {
  const [name, id, ...rest] = vkey.split("+");
  if (rest.length === 0) throw new FormatError("a key has the form name+id+key");
  const material = fromBase64(rest.join("+"), "a key");
  const type = material[0];
  if (type !== LOG_TYPE && type !== COSIGNATURE_TYPE) {
    throw new FormatError(`the key of ${name.slice(0, 100)} has a type that cannot be checked`);
  }
  requireKeyName(name);
  const publicKey = material.subarray(1);
  requireHash(publicKey, `the key of ${name}`);
  const digest = await sha256(concat(utf8(name), Uint8Array.of(0x0a), material));
  const keyId = hex(digest.subarray(0, 4));
  if (id !== keyId) throw new FormatError(`the id of ${name} is ${keyId}, not ${id}`);
  return { name, type, publicKey, keyId };
}

// A note: {text, signatures: [{keyName, keyId, signature}]}. Throws FormatError.
export function parseNote(data) {
  if (data.length > NOTE_BYTES_MAX) throw new FormatError(`a note of ${data.length} bytes`);
  fromUtf8(data, "the note");
  if (data.some((byte) => byte < 0x20 && byte !== 0x0a)) {
    throw new FormatError("the note holds a control character");
  }
  const at = latin1(data).lastIndexOf("\n\n");
  const lines = fromUtf8(data.subarray(at + 2), "the note");
  if (at < 0 || !lines.endsWith("\n")) {
    throw new FormatError("a note is text, an empty line, and whole signature lines");
  }
  const signatures = lines.slice(0, -1).split("\n").map(parseSignature);
  if (signatures.length > SIGNATURES_MAX) {
    throw new FormatError(`a note with ${signatures.length} signatures`);
  }
  return { text: data.subarray(0, at + 1), signatures };
}

function parseSignature(line) {
  const space = line.indexOf(" ", DASH.length);
  if (!line.startsWith(DASH) || space < 0) throw new FormatError("a line is no signature line");
  const keyName = line.slice(DASH.length, space);
  const bytes = fromBase64(line.slice(space + 1), "a signature");
  requireKeyName(keyName);
  if (bytes.length < 5) throw new FormatError(`the signature of ${keyName} is cut off`);
  return { keyName, keyId: hex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

// A log's head: {origin, size, root}. Throws FormatError.
export function parseCheckpoint(text) {
  const lines = fromUtf8(text, "the checkpoint").split("\n");
  if (lines.length !== 4 || lines[3] !== "") throw new FormatError("a checkpoint has three lines");
  const [origin, sizeText, rootText] = lines;
  if (!DECIMAL.test(sizeText)) throw new FormatError("the checkpoint's size is no number");
  const size = BigInt(sizeText);
  const root = fromBase64(rootText, "the checkpoint's root");
  requireKeyName(origin);
  if (size > SIZE_MAX) throw new FormatError(`the tree size ${size} is too large`);
  requireHash(root, "the checkpoint's root");
  if (size === 0n && hex(root) !== EMPTY_ROOT)
    throw new FormatError("an empty tree has another root");
  return { origin, size, root };
}

// Returns a cosignature's time in seconds (BigInt), null for a log's own. Throws Rejected.
export async function verifyLine(text, line, key, latestS) {
  let [data, timeS, message] = [line.signature, null, text];
  if (key.type === COSIGNATURE_TYPE) {
    timeS = data.subarray(0, 8).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
    data = data.subarray(8);
    if (timeS > TIME_S_MAX) throw new Rejected(`its time ${timeS} is no time`);
    message = concat(utf8(`cosignature/v1\ntime ${timeS}\n`), text);
  }
  if (data.length !== 64) throw new Rejected(`a signature has 64 bytes, not ${data.length}`);
  if (!(await signatureHolds(key.publicKey, message, data))) {
    throw new Rejected("the signature is not by this key, or not over these bytes");
  }
  if (timeS !== null && timeS > latestS)
    throw new Rejected(`it was made at ${timeS}, in the future`);
  return timeS;
}
