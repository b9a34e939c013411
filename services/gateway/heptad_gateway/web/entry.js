// An entry's public fields, out of its bytes (protobuf `heptad.entry.v1.Entry`). For reading only:
// what is hashed is always the bytes themselves.

import { FormatError, fromUtf8 } from "./bytes.js";

export const KINDS = [
  "",
  "REQUEST",
  "DUPLICATE",
  "BUNDLE",
  "SUBJECT_REGISTERED",
  "KEY_ADDED",
  "KEY_REVOKED",
  "ACCESS",
  "ERASURE_ORDERED",
  "ERASED",
  "ERASURE_REFUSED",
  "EXPORT",
  "POLICY_CHANGE",
  "MEMBERSHIP_CHANGE",
  "MISBEHAVIOUR_EVIDENCE",
  "RECOVERY",
  "EVENT",
];
export const OUTCOMES = ["NONE", "ALLOWED", "DENIED"];

const ENTRY_VERSION = 1;
const GROUP_DEPTH_MAX = 100;
const [VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32] = [0, 1, 2, 3, 4, 5];
const FIELDS = {
  1: ["version", VARINT],
  2: ["kind", VARINT],
  3: ["service", BYTES],
  4: ["action", BYTES],
  5: ["outcome", VARINT],
  6: ["timeMs", VARINT],
  7: ["validator", VARINT],
  8: ["commitment", BYTES],
  9: ["statement", BYTES],
};

// {kind, service, action, outcome, timeMs: BigInt, validator, commitment, statement}.
// Throws FormatError for what no validator of this version writes.
export function decodeEntry(data) {
  const fields = readFields(data);
  const number = (name) => Number(BigInt.asUintN(32, fields[name] ?? 0n));
  const bytes = (name) => fields[name] ?? new Uint8Array();
  const [service, action] = [
    fromUtf8(bytes("service"), "the service"),
    fromUtf8(bytes("action"), "the action"),
  ];
  if (number("version") !== ENTRY_VERSION) {
    throw new FormatError(`it has version ${number("version")}, not ${ENTRY_VERSION}`);
  }
  const [kind, outcome] = [KINDS[number("kind")], OUTCOMES[number("outcome")]];
  if (!kind || !outcome) throw new FormatError("its kind or outcome is not known");
  const commitment = bytes("commitment");
  if (commitment.length !== 0 && commitment.length !== 32) {
    throw new FormatError(`its commitment has ${commitment.length} bytes, not 32`);
  }
  return {
    kind,
    outcome,
    service,
    action,
    commitment,
    timeMs: fields.timeMs ?? 0n,
    validator: number("validator"),
    statement: bytes("statement"),
  };
}

function readFields(data) {
  const reader = { data, at: 0 };
  const fields = {};
  while (reader.at < data.length) {
    const [field, wire] = readTag(reader);
    const value = readValue(reader, field, wire, 0);
    const known = FIELDS[field];
    if (known && known[1] === wire) {
      fields[known[0]] = value;
      if (field === 3 || field === 4) fromUtf8(value, "a text");
    }
  }
  return fields;
}

function readTag(reader) {
  const start = reader.at;
  const tag = readVarint(reader);
  if (reader.at - start > 5 || tag >= 2n ** 32n || tag >> 3n === 0n) malformed();
  return [Number(tag >> 3n), Number(tag & 7n)];
}

function readValue(reader, field, wire, depth) {
  switch (wire) {
    case VARINT:
      return readVarint(reader);
    case FIXED64:
      return readBytes(reader, 8);
    case FIXED32:
      return readBytes(reader, 4);
    case BYTES:
      return readBytes(reader, Number(readVarint(reader)));
    case GROUP:
      return skipGroup(reader, field, depth + 1);
    default:
      return malformed();
  }
}

function skipGroup(reader, group, depth) {
  if (depth > GROUP_DEPTH_MAX) malformed();
  for (;;) {
    const [field, wire] = readTag(reader);
    if (wire === GROUP_END) return field === group ? null : malformed();
    readValue(reader, field, wire, depth);
  }
}

function readVarint(reader) {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (reader.at >= reader.data.length) malformed();
    const byte = reader.data[reader.at++];
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  return malformed();
}

function readBytes(reader, count) {
  if (count > reader.data.length - reader.at) malformed();
  reader.at += count;
  return reader.data.subarray(reader.at - count, reader.at);
}

function malformed() {
  throw new FormatError("it is no protobuf message");
}
