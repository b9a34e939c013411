// Bytes and their spellings. Whatever is signed or hashed has one spelling only, so the readers
// here take exactly what the writers would write: a lenient one would let two texts mean one thing.

export class FormatError extends Error {}

const WRITER = new TextEncoder();
const READER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const BASE64URL = /^[A-Za-z0-9_-]*$/;

export function utf8(text) {
  return WRITER.encode(text);
}

export function fromUtf8(bytes, what) {
  try {
    return READER.decode(bytes);
  } catch {
    throw new FormatError(`${what} is not UTF-8`);
  }
}

export function latin1(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function equal(left, right) {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function toBase64(bytes) {
  return btoa(latin1(bytes));
}

// Standard base64 with padding, in its canonical spelling. Throws FormatError.
export function fromBase64(text, what) {
  if (!BASE64.test(text)) throw new FormatError(`${what} is not base64`);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  if (toBase64(bytes) !== text) {
    throw new FormatError(`${what} is not the canonical base64 of its bytes`);
  }
  return bytes;
}

export function toBase64url(bytes) {
  return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

// base64url without padding, in its canonical spelling. Throws FormatError.
export function fromBase64url(text, what) {
  if (!BASE64URL.test(text) || text.length % 4 === 1) {
    throw new FormatError(`the ${what} is not base64url`);
  }
  const padded =
    text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - (text.length % 4)) % 4);
  return fromBase64(padded, `the ${what}`);
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export async function sha512(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-512", bytes));
}
