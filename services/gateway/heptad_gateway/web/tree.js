// The way of one entry to the root, drawn: the entry at the foot, at each height the hash that is
// joined from the left or the right and the entries it stands for, the root on top. One spine with
// ribs and no tree to scale: a proof has at most 63 steps, and each of them stays readable.

import { hex } from "./bytes.js";
import { copy, shortened, svg } from "./elements.js";
import { rangeOf } from "./receipt.js";

const WIDTH = 360;
const MIDDLE = 180;
const ASIDE = 108;
const STEP = 74;
const TOP = 34;
const FOOT = 34;
const NAME_MAX = 17;

// `leaf` and the steps of `inclusionSteps`; `holds` says whether the last result is the root.
export function drawPath({ index, size, leaf, climb, root, holds }) {
  const height = TOP + STEP * climb.length + FOOT;
  const yOf = (level) => height - FOOT - STEP * level;
  const title = `The way of entry ${index} to the root of ${size} entries`;
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`,
    width: WIDTH,
    height,
    class: "tree",
    role: "group",
    "aria-labelledby": "tree-title tree-desc",
  });
  drawing.append(
    svg("title", { id: "tree-title" }, title),
    svg(
      "desc",
      { id: "tree-desc" },
      `${climb.length} hashes are joined to the entry’s, one at each height, until the root is reached.`,
    ),
  );
  climb.forEach((step, level) => drawing.append(...ribs(step, yOf(level), yOf(level + 1))));
  climb.forEach((step, level) => {
    const x = step.siblingIsLeft ? MIDDLE - ASIDE : MIDDLE + ASIDE;
    const side = step.siblingIsLeft ? "left" : "right";
    const what = `given hash ${level + 1}, on the ${side}, for ${rangeOf(step.siblingCovers)}`;
    drawing.append(knot(x, yOf(level), step.sibling, rangeOf(step.siblingCovers), what, "given"));
  });
  const computed = climb.length ? climb.at(-1).result : leaf;
  for (let level = 0; level <= climb.length; level += 1) {
    drawing.append(spineKnot({ level, climb, leaf, index, size, yOf, holds }));
  }
  if (!holds)
    drawing.append(
      svg(
        "text",
        { class: "not-root", x: MIDDLE, y: 10 },
        `not ${shortened(hex(root))}, the root that was signed`,
      ),
    );
  drawing.dataset.root = hex(computed);
  return drawing;
}

function spineKnot({ level, climb, leaf, index, size, yOf, holds }) {
  const isTop = level === climb.length;
  const hash = level === 0 ? leaf : climb[level - 1].result;
  const covers = level === 0 ? [index, index] : climb[level - 1].resultCovers;
  if (!isTop) {
    const name = level === 0 ? `entry ${index}` : rangeOf(covers);
    return knot(
      MIDDLE,
      yOf(level),
      hash,
      name,
      `computed for ${name}`,
      level === 0 ? "leaf" : "computed",
    );
  }
  const name = holds ? `root of ${size}` : "computed";
  return knot(
    MIDDLE,
    yOf(level),
    hash,
    name,
    holds ? `the root of ${size} entries` : "computed, and not the root",
    holds ? "root" : "root wrong",
  );
}

function ribs(step, y, above) {
  const x = step.siblingIsLeft ? MIDDLE - ASIDE : MIDDLE + ASIDE;
  const bend = (y + above) / 2;
  return [
    svg("path", { class: "spine", d: `M${MIDDLE} ${y}V${above}` }),
    svg("path", {
      class: "rib",
      d: `M${x} ${y}C${x} ${bend} ${MIDDLE} ${bend} ${MIDDLE} ${above}`,
    }),
  ];
}

// One hash: two lines of text in a pill, and a button for the keyboard.
function knot(x, y, hash, name, what, kind) {
  const whole = hex(hash);
  const group = svg("g", {
    class: `knot ${kind}`,
    transform: `translate(${x} ${y})`,
    tabindex: 0,
    role: "button",
    "aria-label": `Copy the hash ${what}: ${whole}`,
  });
  group.append(
    svg("title", {}, `${what}\n${whole}`),
    svg("rect", { x: -50, y: -20, width: 100, height: 40, rx: 9 }),
    svg("text", { class: "of", y: -4 }, name.length > NAME_MAX ? name.replace(/^\D+/, "") : name),
    svg("text", { class: "sum", y: 12 }, `${whole.slice(0, 10)}…`),
  );
  group.addEventListener("click", () => copy(whole, group));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    copy(whole, group);
  });
  return group;
}
