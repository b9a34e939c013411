// Ed25519 verification with libsodium's rules, which are those of Heptad's replicas and of
// `heptad verify`: only canonical encodings, no point of small order, no cofactor. Browsers agree on
// the equation but not on these three rules, so they are checked here, and the equation is left to
// the browser. A browser that has no Ed25519 gets the equation from `holdsByHand`: nothing in it is
// secret, so it need not be hardened, only right (RFC 8032, section 5.1).

import { concat, equal, sha512 } from "./bytes.js";

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const SQRT_OF_MINUS_1 =
  19681161376707505956807079304988542015446066515923890162744021073123829784752n;
const SIGN_BIT = 2n ** 255n;
const ORDER_8_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022n;
const SMALL_ORDER_YS = new Set([0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]);
const BASE = decompress(
  littleEndianBytes(46316835694926478169428394003475163141307993866256225615783033603165251855960n),
);
const ZERO = { x: 0n, y: 1n, z: 1n, t: 0n };

// Whether the holder of the public key (32 bytes) signed the message; the signature has 64 bytes.
export async function signatureHolds(publicKey, message, signature) {
  return (
    followsTheRules(publicKey, signature) && (await equationHolds(publicKey, message, signature))
  );
}

function followsTheRules(publicKey, signature) {
  const keyY = littleEndian(publicKey) % SIGN_BIT;
  const pointY = littleEndian(signature.subarray(0, 32)) % SIGN_BIT;
  const isSmall = SMALL_ORDER_YS.has(keyY % P) || SMALL_ORDER_YS.has(pointY % P);
  return keyY < P && !isSmall && littleEndian(signature.subarray(32)) < ORDER;
}

async function equationHolds(publicKey, message, signature) {
  let key;
  try {
    key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    // This browser has no Ed25519, or takes these bytes for no key: then they are judged here.
    return holdsByHand(publicKey, message, signature);
  }
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

// [s]B = R + [h]A, as the encoding of [s]B - [h]A being R's bytes.
async function holdsByHand(publicKey, message, signature) {
  const point = decompress(publicKey);
  if (point === null) return false;
  const digest = await sha512(concat(signature.subarray(0, 32), publicKey, message));
  const minusKey = { x: P - point.x, y: point.y, z: point.z, t: P - point.t };
  const left = times(BASE, littleEndian(signature.subarray(32)));
  const sum = add(left, times(minusKey, littleEndian(digest) % ORDER));
  return equal(compress(sum), signature.subarray(0, 32));
}

function littleEndian(bytes) {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

function littleEndianBytes(value) {
  return Uint8Array.from({ length: 32 }, (_, at) => Number((value >> BigInt(8 * at)) & 255n));
}

function mod(value) {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base, exponent) {
  let result = 1n;
  for (let square = base, left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

// The point that 32 bytes spell, in extended coordinates; null if none is.
function decompress(bytes) {
  const value = littleEndian(bytes);
  const y = value % SIGN_BIT;
  const [u, v] = [mod(y * y - 1n), mod(D * y * y + 1n)];
  const v3 = (v * v * v) % P;
  let x = (u * v3 * power((u * v3 * v3 * v) % P, (P - 5n) / 8n)) % P;
  const check = (v * x * x) % P;
  if (check === mod(-u)) x = (x * SQRT_OF_MINUS_1) % P;
  else if (check !== u) return null;
  if ((x & 1n) !== value / SIGN_BIT) x = mod(-x);
  return { x, y, z: 1n, t: (x * y) % P };
}

function compress(point) {
  const inverse = power(point.z, P - 2n);
  const [x, y] = [(point.x * inverse) % P, (point.y * inverse) % P];
  return littleEndianBytes(y + (x & 1n) * SIGN_BIT);
}

function add(left, right) {
  const a = mod((left.y - left.x) * (right.y - right.x));
  const b = mod((left.y + left.x) * (right.y + right.x));
  const c = mod(2n * D * left.t * right.t);
  const d = mod(2n * left.z * right.z);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return { x: mod(e * f), y: mod(g * h), z: mod(f * g), t: mod(e * h) };
}

function times(point, scalar) {
  let result = ZERO;
  for (let double = point, left = scalar; left > 0n; left >>= 1n) {
    if (left & 1n) result = add(result, double);
    double = add(double, double);
  }
  return result;
}
