// Signed requests and bundles' statements (compact JWS), as `heptad.crypto` reads them: only their
// shape. Nobody's signature is checked here, since no subject's or service's key is in a policy; what
// binds a request is the commitment in the entry.

import { FormatError, fromBase64url, latin1, sha256, toBase64url, utf8 } from "./bytes.js";
import { canonicalLength, parseStrictJson } from "./strict-json.js";

const REQUEST_BYTES_MAX = 16 * 1024;
const STATEMENT_BYTES_MAX = 2_048;
const HEADER_BYTES_MAX = 512;
const DATA_BYTES_MAX = 8 * 1024;
const EVENTS_MAX = 999n;
const END_OF_9999_S = 253_402_300_799n;
const DIGEST = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const COMMON_CLAIMS = {
  aud: /^[!-~]{1,255}$/,
  jti: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
};
const REQUEST_CLAIMS = {
  ...COMMON_CLAIMS,
  iss: /^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}$/,
  svc: /^[a-z0-9][a-z0-9._-]{0,63}$/,
  act: /^(?=.{1,64}$)[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*$/,
};
const STATEMENT_CLAIMS = { ...COMMON_CLAIMS, iss: /^[a-z][a-z0-9-]{0,62}$/, root: DIGEST };

// {service, action, requestId}. Throws FormatError.
export async function parseRequest(raw) {
  const payload = readJws(raw, "heptad-request+jws", REQUEST_BYTES_MAX);
  const claims = readClaims(payload, REQUEST_CLAIMS, "data");
  const data = claims.get("data");
  if (!(data instanceof Map)) throw new FormatError("the claim data is no object");
  if (payload.length > DATA_BYTES_MAX && canonicalLength(data) > DATA_BYTES_MAX) {
    throw new FormatError("the claim data is too long");
  }
  const digest = await sha256(utf8(`${claims.get("iss")}.${claims.get("jti")}`));
  return { service: claims.get("svc"), action: claims.get("act"), requestId: toBase64url(digest) };
}

// What a service states about its bundle: {service, root, count: BigInt}. Throws FormatError.
export function parseStatement(raw) {
  const payload = readJws(raw, "heptad-bundle+jws", STATEMENT_BYTES_MAX);
  const claims = readClaims(payload, STATEMENT_CLAIMS, "count");
  const count = claims.get("count");
  if (typeof count !== "bigint" || count < 1n || count > EVENTS_MAX) {
    throw new FormatError(`the claim count is not in 1..${EVENTS_MAX}`);
  }
  return { service: claims.get("iss"), root: fromBase64url(claims.get("root"), "root"), count };
}

function readJws(raw, typ, bytesMax) {
  if (raw.length > bytesMax) throw new FormatError(`it has ${raw.length} bytes`);
  const parts = latin1(raw).split(".");
  if (parts.length !== 3) throw new FormatError("a compact JWS has 3 parts");
  const [header, payload, signature] = parts.map((text, at) =>
    readPart(text, ["header", "payload", "signature"][at]),
  );
  readHeader(header, typ);
  if (signature.length !== 64) throw new FormatError("its signature has not 64 bytes");
  return payload;
}

function readPart(text, name) {
  const bytes = fromBase64url(text, name);
  if (bytes.length === 0) throw new FormatError(`the ${name} is empty`);
  return bytes;
}

function readHeader(bytes, typ) {
  if (bytes.length > HEADER_BYTES_MAX) throw new FormatError("its header is too long");
  const header = readObjectOf(bytes, "the header", ["alg", "typ", "kid"]);
  if (header.get("alg") !== "ES256" && header.get("alg") !== "EdDSA") {
    throw new FormatError("alg is neither ES256 nor EdDSA");
  }
  if (header.get("typ") !== typ) throw new FormatError(`typ is not ${typ}`);
  if (!isLike(header.get("kid"), DIGEST)) throw new FormatError("kid is no key's thumbprint");
}

function readClaims(bytes, shapes, more) {
  const claims = readObjectOf(bytes, "the claims", [...Object.keys(shapes), "iat", "exp", more]);
  for (const [name, shape] of Object.entries(shapes)) {
    if (!isLike(claims.get(name), shape))
      throw new FormatError(`the claim ${name} is not well formed`);
  }
  for (const name of ["iat", "exp"]) {
    const time = claims.get(name);
    if (typeof time !== "bigint" || time <= 0n || time > END_OF_9999_S) {
      throw new FormatError(`the claim ${name} is no time`);
    }
  }
  if (claims.get("exp") <= claims.get("iat")) throw new FormatError("exp does not lie after iat");
  return claims;
}

function isLike(value, shape) {
  return typeof value === "string" && shape.test(value) && !value.endsWith("\n");
}

function readObjectOf(bytes, what, names) {
  const members = parseStrictJson(bytes, what);
  if (
    !(members instanceof Map) ||
    members.size !== names.length ||
    !names.every((name) => members.has(name))
  ) {
    throw new FormatError(`${what} must hold exactly ${names.join(", ")}`);
  }
  return members;
}
