// Making elements without `innerHTML`: whatever a receipt or an entry says becomes text, never
// markup. Also the one way in which hashes are shown: short, whole on hover, copied on demand.

import { hex } from "./bytes.js";

const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

export function shortened(text) {
  return text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-6)}` : text;
}

// A hash (bytes) or an id (text), shortened, in a button that copies all of it.
export function hashButton(value, what) {
  const whole = typeof value === "string" ? value : hex(value);
  const shown = el("code", {}, shortened(whole));
  const button = el(
    "button",
    { type: "button", class: "hash", title: whole, "aria-label": `Copy ${what}, ${whole}` },
    shown,
  );
  button.addEventListener("click", () => copy(whole, button));
  return button;
}

export async function copy(text, shownBy) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard (an address without TLS, or refused): then it is shown, to be copied by hand.
    return say(`The clipboard is not to be had here. It reads: ${text}`);
  }
  shownBy.classList.add("copied");
  setTimeout(() => shownBy.classList.remove("copied"), 1200);
  return say("Copied.");
}

// Tell people who listen to the page, and those who look at its foot.
function say(text) {
  document.getElementById("said").textContent = text;
}
