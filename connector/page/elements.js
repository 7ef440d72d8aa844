// Puts things into the page. What is there already stays untouched, so that readers and selections are not disturbed.

import { words } from "./values.js";

const SVG = "http://www.w3.org/2000/svg";
const MOOD = {
  CONNECTED: "good", ACTIVE: "good", ACCEPTED: "good", COMPLETE: "good",
  CONNECTING: "fair", PENDING: "fair", WAITING_CAPACITY: "fair", DISCONNECTED: "fair", UNPROVEN: "fair",
  BLOCKED: "bad", REJECTED: "bad", REFUSED: "bad", HOLES: "bad",
};

export const byId = (id) => document.getElementById(id);

export function make(name, className) {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

export function draw(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

export function say(element, text, className) {
  const said = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== said) {
    element.textContent = said;
    if (/\p{Script=Hangul}/u.test(said)) element.lang = "ko";
    else element.removeAttribute("lang");
  }
  if (className !== undefined && element.className !== className) element.className = className;
  return element;
}

// Give `parent` one child for each entry [key, value], in that order; a key keeps its element.
export function each(parent, entries, create, fill) {
  const have = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const [key, value] of entries) {
    let child = have.get(key);
    if (child) have.delete(key);
    else {
      child = create();
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    fill(child, key, value);
  }
  for (const child of have.values()) child.remove();
}

// A table's rows: the first cell heads its row.
export function rows(id, classes, entries, fill, nothing) {
  const create = () => {
    const row = make("tr");
    classes.forEach((className, place) => {
      const cell = make(place ? "td" : "th", className);
      if (!place) cell.scope = "row";
      row.append(cell);
    });
    return row;
  };
  const body = byId(id);
  if (entries.length) {
    body.querySelector("tr:not([data-key])")?.remove();
    each(body, entries, create, (row, key, value) => fill([...row.cells], key, value));
    return;
  }
  if (!body.querySelector("tr:not([data-key])")) {
    const cell = make("td", "none");
    cell.colSpan = classes.length;
    const row = make("tr");
    row.append(cell);
    body.replaceChildren(row);
  }
  say(body.querySelector("td"), nothing);
}

// The child of `parent` with this class, made when it is first asked for.
export function part(parent, name, className) {
  let found = [...parent.children].find((child) => child.dataset.part === className);
  if (!found) {
    found = make(name, className);
    found.dataset.part = className;
    parent.append(found);
  }
  return found;
}

export function pairs(id, entries) {
  each(byId(id), entries, () => make("div"), (pair, name, value) => {
    say(part(pair, "dt", "name"), name);
    say(part(pair, "dd", "value"), value);
  });
}

export function state(cell, name, why) {
  say(part(cell, "span", "state"), words(name), `state ${MOOD[name] ?? ""}`);
  say(part(cell, "span", "why"), why);
}
