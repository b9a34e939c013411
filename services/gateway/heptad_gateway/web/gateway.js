// What the pages ask of their gateway. Answers are checked as far as a page can: every signature of
// the checkpoint, though only against the policy that the same server gave.

import { fromBase64, fromUtf8 } from "./bytes.js";
import { parseCheckpoint, parseNote } from "./notes.js";
import { parsePolicy } from "./policy.js";
import { examineSignatures } from "./receipt.js";

const CLOCK_BOUND_S = 60n;
const TRIES_MAX = 3;
const WAIT_S_MAX = 10;

class Trouble extends Error {}

// A search that reads much of the log goes on at the pace that the server allows.
async function ask(path) {
  let answer = await askOnce(path);
  for (let tries = 1; answer.status === 429 && tries < TRIES_MAX; tries += 1) {
    const waitS = Number(answer.headers.get("Retry-After")) || 1;
    if (waitS > WAIT_S_MAX) break;
    await new Promise((resolve) => setTimeout(resolve, waitS * 1000));
    answer = await askOnce(path);
  }
  if (answer.ok) return answer;
  const type = answer.headers.get("Content-Type") ?? "";
  const problem = type.startsWith("application/problem+json") ? await answer.json() : {};
  throw new Trouble(
    `${problem.detail ?? `The server answers ${answer.status}`}. ${problem.advice ?? ""}`,
  );
}

async function askOnce(path) {
  try {
    // The log moves on within the second for which a checkpoint may be cached.
    return await fetch(path, { cache: "no-cache" });
  } catch {
    throw new Trouble("The server cannot be reached.");
  }
}

export async function askJson(path) {
  return (await ask(path)).json();
}

async function askBytes(path) {
  return new Uint8Array(await (await ask(path)).arrayBuffer());
}

// The latest checkpoint: {checkpoint, note, policy}. Throws Trouble, FormatError.
export async function askCheckpoint() {
  const note = parseNote(await askBytes("/checkpoint"));
  return { note, checkpoint: parseCheckpoint(note.text) };
}

// Who signed it: {findings, cosignedAtS, policy}; null where the browser does no cryptography.
export async function judgeCheckpoint({ note, checkpoint }) {
  if (!globalThis.isSecureContext) return null;
  const policy = await parsePolicy(await askBytes("/policy"));
  const latestS = BigInt(Math.floor(Date.now() / 1000)) + CLOCK_BOUND_S;
  return { policy, ...(await examineSignatures({ ...note, checkpoint }, policy, latestS)) };
}

// The entry's bytes, and the hashes that lead to the root of so many entries.
export async function askEntry(index) {
  return fromBase64((await askJson(`/v1/entries/${index}`)).entry, "the entry");
}

export async function askProof(index, size) {
  const { hashes } = await askJson(`/v1/proofs/inclusion?index=${index}&tree_size=${size}`);
  return hashes.map((text) => fromBase64(text, "a hash of the proof"));
}

export function showTrouble(error) {
  const place = document.getElementById("trouble");
  place.hidden = error === null;
  place.textContent = error === null ? "" : error.message;
}

export function textOrNull(bytes) {
  try {
    const text = fromUtf8(bytes, "it");
    return /^[\P{C}\n\t]*$/u.test(text) ? text : null;
  } catch {
    return null;
  }
}
