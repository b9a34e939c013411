// A signed request (a compact JWS), as `heptad.crypto.requests` reads it: only its shape. Its
// signature is checked by nobody here, since the subject's key is not in the receipt; what binds it
// is the commitment in the entry.

import { FormatError, fromBase64url, latin1, sha256, toBase64url, utf8 } from "./bytes.js";
import { canonicalLength, parseStrictJson } from "./strict-json.js";

const REQUEST_BYTES_MAX = 16 * 1024;
const HEADER_BYTES_MAX = 512;
const DATA_BYTES_MAX = 8 * 1024;
const END_OF_9999_S = 253_402_300_799n;
const KID = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const CLAIMS = {
  iss: /^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}$/,
  aud: /^[!-~]{1,255}$/,
  jti: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  svc: /^[a-z0-9][a-z0-9._-]{0,63}$/,
  act: /^(?=.{1,64}$)[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*$/,
};
const CLAIM_NAMES = ["iss", "aud", "jti", "iat", "exp", "svc", "act", "data"];

// {service, action, requestId}. Throws FormatError.
export async function parseRequest(raw) {
  if (raw.length > REQUEST_BYTES_MAX) throw new FormatError(`it has ${raw.length} bytes`);
  const parts = latin1(raw).split(".");
  if (parts.length !== 3) throw new FormatError("a compact JWS has 3 parts");
  const [header, payload, signature] = parts.map((text, at) => readPart(text, ["header", "payload", "signature"][at]));
  readHeader(header);
  if (signature.length !== 64) throw new FormatError("its signature has not 64 bytes");
  const claims = readClaims(payload);
  const digest = await sha256(utf8(`${claims.get("iss")}.${claims.get("jti")}`));
  return { service: claims.get("svc"), action: claims.get("act"), requestId: toBase64url(digest) };
}

function readPart(text, name) {
  const bytes = fromBase64url(text, name);
  if (bytes.length === 0) throw new FormatError(`the ${name} is empty`);
  return bytes;
}

function readHeader(bytes) {
  if (bytes.length > HEADER_BYTES_MAX) throw new FormatError("its header is too long");
  const header = readObjectOf(bytes, "the header", ["alg", "typ", "kid"]);
  if (header.get("alg") !== "ES256" && header.get("alg") !== "EdDSA") {
    throw new FormatError("alg is neither ES256 nor EdDSA");
  }
  if (header.get("typ") !== "heptad-request+jws") throw new FormatError("typ is not heptad-request+jws");
  if (!isLike(header.get("kid"), KID)) throw new FormatError("kid is no key's thumbprint");
}

function readClaims(bytes) {
  const claims = readObjectOf(bytes, "the claims", CLAIM_NAMES);
  for (const [name, shape] of Object.entries(CLAIMS)) {
    if (!isLike(claims.get(name), shape)) throw new FormatError(`the claim ${name} is not well formed`);
  }
  for (const name of ["iat", "exp"]) {
    const time = claims.get(name);
    if (typeof time !== "bigint" || time <= 0n || time > END_OF_9999_S) {
      throw new FormatError(`the claim ${name} is no time`);
    }
  }
  if (claims.get("exp") <= claims.get("iat")) throw new FormatError("exp does not lie after iat");
  const data = claims.get("data");
  if (!(data instanceof Map)) throw new FormatError("the claim data is no object");
  if (canonicalLength(data) > DATA_BYTES_MAX && bytes.length > DATA_BYTES_MAX) {
    throw new FormatError("the claim data is too long");
  }
  return claims;
}

function isLike(value, shape) {
  return typeof value === "string" && shape.test(value) && !value.endsWith("\n");
}

function readObjectOf(bytes, what, names) {
  const members = parseStrictJson(bytes, what);
  if (!(members instanceof Map) || members.size !== names.length || !names.every((name) => members.has(name))) {
    throw new FormatError(`${what} must hold exactly ${names.join(", ")}`);
  }
  return members;
}
