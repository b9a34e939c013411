// The API's description, drawn for people from the same file that machines read. Everything is
// made of text (`el`), so nothing in the description can become markup.

import { el } from "./elements.js";
import { askJson, showTrouble } from "./gateway.js";

const place = (id) => document.getElementById(id);
let description;

function resolved(node) {
  if (!node?.$ref) return node;
  return node.$ref
    .slice(2)
    .split("/")
    .reduce((found, part) => found[part], description);
}

// Words between backquotes become code; a blank line parts paragraphs.
function paragraphs(text) {
  return (text ?? "").split("\n\n").map((part) => el("p", {}, ...inline(part)));
}

function inline(text) {
  return (text ?? "")
    .split("`")
    .map((piece, index) => (index % 2 ? el("code", {}, piece) : piece))
    .filter((piece) => piece !== "");
}

// A schema in a line: its type, or a link to the shape that it names.
function typeOf(schema) {
  if (!schema) return ["anything"];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [el("a", { href: `#shape-${name}` }, name)];
  }
  if (schema.oneOf || schema.anyOf) {
    return (schema.oneOf ?? schema.anyOf).flatMap((each, index) => [
      ...(index ? [" or "] : []),
      ...typeOf(each),
    ]);
  }
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(", ")];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items)];
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "anything");
  const bounds = [
    ["pattern", "like "],
    ["format", ""],
    ["minimum", "from "],
    ["maximum", "to "],
    ["maxLength", "at most characters: "],
  ]
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, word]) => `${word}${schema[name]}`);
  return [[type, ...bounds].join(", ")];
}

function termsOf(pairs) {
  return el(
    "dl",
    {},
    ...pairs.flatMap(([name, ...text]) => [el("dt", {}, el("code", {}, name)), el("dd", {}, ...text)]),
  );
}

function parametersOf(operation) {
  const listed = operation.parameters
    .map(resolved)
    .filter((parameter) => parameter.name !== "traceparent")
    .map((parameter) => [
      parameter.name,
      `${parameter.in}${parameter.required ? ", needed" : ""}: `,
      ...typeOf(parameter.schema),
      parameter.description ? ". " : "",
      ...inline(parameter.description),
    ]);
  return listed.length ? [el("h3", {}, "Parameters"), termsOf(listed)] : [];
}

function bodyOf(operation) {
  const body = resolved(operation.requestBody);
  if (!body) return [];
  const kinds = Object.entries(body.content).map(([media, { schema }]) => [media, ...typeOf(schema)]);
  return [el("h3", {}, "Body"), ...paragraphs(body.description), termsOf(kinds)];
}

function answersOf(operation) {
  const rows = Object.entries(operation.responses).map(([status, named]) => {
    const answer = resolved(named);
    const kinds = Object.entries(answer.content ?? {}).flatMap(([media, { schema }]) => [
      " ",
      el("span", { class: "quiet small" }, media, " ", ...typeOf(schema)),
    ]);
    return [status, ...inline(answer.description), ...kinds];
  });
  return [el("h3", {}, "Answers"), termsOf(rows)];
}

function curlOf(method, path, operation) {
  const body = resolved(operation.requestBody);
  const media = body ? Object.keys(body.content)[0] : null;
  const head = media ? ` -H 'Content-Type: ${media}' --data-binary @FILE` : "";
  const signed = operation.security?.length ? " -H \"Authorization: Heptad $JWS\"" : "";
  const verb = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  return el("pre", {}, el("code", {}, `curl${verb}${head}${signed} '${location.origin}${path}'`));
}

function operationOf(path, method, operation) {
  return el(
    "details",
    { class: "operation", id: operation.operationId },
    el(
      "summary",
      {},
      el("span", { class: "method" }, method.toUpperCase()),
      el("code", {}, path),
      el("span", { class: "says" }, operation.summary),
    ),
    el(
      "div",
      { class: "inside" },
      ...paragraphs(operation.description),
      ...parametersOf(operation),
      ...bodyOf(operation),
      ...answersOf(operation),
      el("h3", {}, "Try it"),
      curlOf(method, path, operation),
    ),
  );
}

function shapeOf(name, schema) {
  const needed = new Set(schema.required ?? []);
  const members = Object.entries(schema.properties ?? {}).map(([member, of]) => [
    member,
    needed.has(member) ? "" : "may be missing: ",
    ...typeOf(of),
    of.description ? ". " : "",
    ...inline(of.description),
  ]);
  return el(
    "details",
    { class: "shape", id: `shape-${name}` },
    el("summary", {}, el("code", {}, name)),
    el(
      "div",
      { class: "inside" },
      ...paragraphs(schema.description),
      members.length ? termsOf(members) : el("p", {}, ...typeOf(schema)),
    ),
  );
}

function draw() {
  place("about").replaceChildren(...paragraphs(description.info.description));
  const operations = Object.entries(description.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  );
  place("operations").replaceChildren(
    ...description.tags.flatMap((tag) => [
      el("h2", { id: `tag-${tag.name}` }, tag.name),
      el("p", { class: "quiet" }, tag.description),
      ...operations
        .filter(({ operation }) => operation.tags.includes(tag.name))
        .map(({ path, method, operation }) => operationOf(path, method, operation)),
    ]),
  );
  const schemas = Object.entries(description.components.schemas);
  place("schemas").replaceChildren(...schemas.map(([name, schema]) => shapeOf(name, schema)));
  place("codes").replaceChildren(
    ...description["x-codes"].map((code) => el("li", {}, el("a", { href: `/errors/${code}` }, el("code", {}, code)))),
  );
}

// A link to an operation or a shape opens it.
function openNamed() {
  const named = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!named) return;
  if (named.tagName === "DETAILS") named.open = true;
  named.scrollIntoView();
}

function find(text) {
  const wanted = text.trim().toLowerCase();
  for (const details of document.querySelectorAll("details.operation, details.shape")) {
    details.hidden = wanted !== "" && !details.textContent.toLowerCase().includes(wanted);
  }
}

try {
  description = await askJson("/v1/openapi.json");
  draw();
  openNamed();
} catch (error) {
  showTrouble(error);
}
addEventListener("hashchange", openNamed);
place("find").addEventListener("input", (event) => find(event.target.value));
