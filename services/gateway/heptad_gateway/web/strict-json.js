// JSON as evidence, with the rules of `heptad.crypto.strict_json`: a name twice, half a surrogate
// pair, numbers out of range and deep nesting are refused, since parsers disagree about them.
// `JSON.parse` keeps the last of two names and forgets whether a number was an integer.

import { FormatError, fromUtf8, utf8 } from "./bytes.js";

const DEPTH_MAX = 16;
const DIGITS_MAX = 4300;
const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;

// Objects as Maps, integers as BigInts, other numbers as Numbers. Throws FormatError.
export function parseStrictJson(data, what) {
  const reader = { text: fromUtf8(data, what), at: 0, what };
  const value = readJson(reader, 0);
  match(reader, SPACE);
  if (reader.at < reader.text.length) noJson(reader);
  return value;
}

// How many bytes the value has in the canonical text.
export function canonicalLength(value) {
  if (value instanceof Map) {
    const members = [...value].map(
      ([name, member]) => canonicalLength(name) + 1 + canonicalLength(member),
    );
    return listLength(members);
  }
  if (Array.isArray(value)) return listLength(value.map(canonicalLength));
  if (typeof value === "string") return utf8(JSON.stringify(value)).length;
  return (typeof value === "number" ? decimalOf(value) : String(value)).length;
}

function listLength(lengths) {
  return 2 + lengths.reduce((sum, length) => sum + length, 0) + Math.max(0, lengths.length - 1);
}

// A double as Python writes it: the shortest digits, with an exponent below 1e-4 and from 1e16.
function decimalOf(value) {
  const [digits, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (Object.is(value, -0)) return "-0.0";
  if (power < -4 || power >= 16) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const count = digits.replace(/[-.]/g, "").length;
  return count > power + 1 ? value.toFixed(count - power - 1) : `${BigInt(value)}.0`;
}

function readJson(reader, depth) {
  match(reader, SPACE);
  const next = reader.text[reader.at];
  if (next === "{" || next === "[") {
    if (depth === DEPTH_MAX)
      throw new FormatError(`${reader.what} is nested more than ${DEPTH_MAX} deep`);
    return next === "{" ? readObject(reader, depth + 1) : readArray(reader, depth + 1);
  }
  if (next === '"') return readString(reader);
  const word = match(reader, WORD);
  return word ? JSON.parse(word[0]) : readNumber(reader);
}

function readObject(reader, depth) {
  const members = new Map();
  readList(reader, "}", () => {
    match(reader, SPACE);
    const name = readString(reader);
    expect(reader, ":");
    const value = readJson(reader, depth);
    if (members.has(name)) throw new FormatError(`${reader.what} has one name twice`);
    members.set(name, value);
  });
  return members;
}

function readArray(reader, depth) {
  const items = [];
  readList(reader, "]", () => items.push(readJson(reader, depth)));
  return items;
}

function readList(reader, end, readItem) {
  reader.at += 1;
  match(reader, SPACE);
  if (reader.text[reader.at] === end) {
    reader.at += 1;
    return;
  }
  for (;;) {
    readItem();
    match(reader, SPACE);
    const next = reader.text[reader.at++];
    if (next === end) return;
    if (next !== ",") noJson(reader);
  }
}

function readString(reader) {
  const found = match(reader, STRING) ?? noJson(reader);
  const text = JSON.parse(found[0]);
  if (!text.isWellFormed()) throw new FormatError(`${reader.what} holds half a surrogate pair`);
  return text;
}

function readNumber(reader) {
  const found = match(reader, NUMBER) ?? noJson(reader);
  const [text, fraction, exponent] = found;
  if (fraction === undefined && exponent === undefined) {
    if (text.replace("-", "").length > DIGITS_MAX) noJson(reader);
    return BigInt(text);
  }
  if (!Number.isFinite(Number(text)))
    throw new FormatError(`${reader.what} has a number out of range`);
  return Number(text);
}

function expect(reader, letter) {
  match(reader, SPACE);
  if (reader.text[reader.at++] !== letter) noJson(reader);
}

function match(reader, pattern) {
  pattern.lastIndex = reader.at;
  const found = pattern.exec(reader.text);
  if (found) reader.at = pattern.lastIndex;
  return found;
}

function noJson(reader) {
  throw new FormatError(`${reader.what} is not JSON`);
}
