// The Merkle tree's arithmetic (RFC 9162, section 2.1): a leaf's hash, a node's hash, and the way
// from a leaf up to the root. Sizes go up to 2^63 - 1, so indexes are BigInts throughout.

import { FormatError, concat, sha256 } from "./bytes.js";

export const SIZE_MAX = 2n ** 63n - 1n;
const HASH_BYTES = 32;

export class ProofError extends Error {}

export function leafHash(entry) {
  return sha256(concat(Uint8Array.of(0), entry));
}

function nodeHash(left, right) {
  return sha256(concat(Uint8Array.of(1), left, right));
}

// Each step from the leaf upwards: {sibling, siblingIsLeft, result}, and which leaves each of the
// two covers, as [first, last]. The last result is the root. Throws ProofError for a wrong shape.
export async function inclusionSteps(index, size, leaf, proof) {
  if (index >= size) {
    throw new ProofError(`index ${index} is not below the tree size ${size}`);
  }
  const steps = [];
  let current = leaf;
  let [node, last, level] = [index, size - 1n, 0n];
  for (const sibling of proof) {
    if (last === 0n) {
      throw new ProofError(
        `the proof has ${proof.length} hashes, but is at the root after ${steps.length}`,
      );
    }
    while (node === last && node % 2n === 0n) {
      // The rightmost node has no sibling at this height: it rises as it is.
      [node, last, level] = [node >> 1n, last >> 1n, level + 1n];
    }
    const siblingIsLeft = node % 2n === 1n;
    current = siblingIsLeft ? await nodeHash(sibling, current) : await nodeHash(current, sibling);
    const covered = (at) => leavesUnder(at, level, size);
    steps.push({
      sibling,
      siblingIsLeft,
      result: current,
      siblingCovers: covered(node ^ 1n),
      resultCovers: leavesUnder(node >> 1n, level + 1n, size),
    });
    [node, last, level] = [node >> 1n, last >> 1n, level + 1n];
  }
  if (last !== 0n) {
    throw new ProofError(
      `the proof of ${proof.length} hashes ends below the root of a tree of ${size}`,
    );
  }
  return steps;
}

function leavesUnder(node, level, size) {
  const end = (node + 1n) << level;
  return [node << level, (end < size ? end : size) - 1n];
}

export function requireHash(bytes, what) {
  if (bytes.length !== HASH_BYTES) {
    throw new FormatError(`${what} has ${bytes.length} bytes, not ${HASH_BYTES}`);
  }
}
