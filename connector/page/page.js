// Shows /status, asked once a second; nothing else is asked, and every text goes in as text.
"use strict";

const PERIOD_MS = 1000;
const PATIENCE_MS = 3000;
const LINE_POINTS = 60;
const LINE_WIDTH = 120;
const LINE_HEIGHT = 28;
const SVG = "http://www.w3.org/2000/svg";
// Dead letters of whole frames are in neither side of the second sum.
const OF_RECORDS = /^(FIELD_|KAFKA_)/;
const MOOD = {
  CONNECTED: "good", ACTIVE: "good", ACCEPTED: "good",
  CONNECTING: "fair", PENDING: "fair", WAITING_CAPACITY: "fair", DISCONNECTED: "fair",
  BLOCKED: "bad", REJECTED: "bad", REFUSED: "bad",
};
const RISES = { 1: "▲", 2: "▲" };
const FALLS = { 4: "▼", 5: "▼" };
const seoul = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Seoul", dateStyle: "short", timeStyle: "medium" });

const prices = new Map(); // ISIN to the prices this page saw, oldest first
const seenTick = new Map(); // ISIN to what tells its latest tick from the one before
let before = null; // the status shown last
let answeredAt = null;
let timer = 0;

// -- putting things into the page; what is there already stays untouched, so that readers and selections are not disturbed --

const byId = (id) => document.getElementById(id);

function make(name, className) {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

function say(element, text, className) {
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
function each(parent, entries, create, fill) {
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
function rows(id, classes, entries, fill, nothing) {
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
  } else if (!body.querySelector("tr:not([data-key])")) {
    const cell = make("td", "none");
    cell.colSpan = classes.length;
    const row = make("tr");
    row.append(say(cell, nothing));
    body.replaceChildren(row);
  }
}

// The child of `parent` with this class, made when it is first asked for.
function part(parent, name, className) {
  let found = [...parent.children].find((child) => child.dataset.part === className);
  if (!found) {
    found = make(name, className);
    found.dataset.part = className;
    parent.append(found);
  }
  return found;
}

function pairs(id, entries) {
  each(byId(id), entries, () => make("div"), (pair, name, value) => {
    say(part(pair, "dt", "name"), name);
    say(part(pair, "dd", "value"), value);
  });
}

function state(cell, name, why) {
  say(part(cell, "span", "state"), words(name), `state ${MOOD[name] ?? ""}`);
  say(part(cell, "span", "why"), why);
}

// -- how values are written --

const words = (name) => name[0].toUpperCase() + name.slice(1).toLowerCase().replaceAll("_", " ");
const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
const joined = (...texts) => texts.filter((text) => text !== null && text !== undefined && text !== "").join(" ");

// Digits are grouped as text: a price is never made a binary fraction.
function grouped(number) {
  const [whole, fraction] = String(number).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction === undefined ? "" : `.${fraction}`);
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
  return `${count.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

function kst(rfc3339) {
  const at = new Date(rfc3339 ?? NaN);
  return Number.isNaN(at.getTime()) ? "" : seoul.format(at);
}

const clock = (hhmmss) => hhmmss.replace(/^(..)(..)(..)$/, "$1:$2:$3");

function change(tick) {
  const size = grouped(tick.PRDY_VRSS.replace(/^-/, ""));
  const percent = tick.PRDY_CTRT && ` (${tick.PRDY_CTRT.replace(/^-/, "")} %)`;
  if (tick.PRDY_VRSS === "") return ["–", "none"];
  const rises = RISES[tick.PRDY_VRSS_SIGN];
  const falls = FALLS[tick.PRDY_VRSS_SIGN];
  return [`${rises ?? falls ?? ""} ${size}${percent}`.trim(), rises ? "rise" : falls ? "fall" : ""];
}

// -- the sections --

function law(name, entries, whole) {
  pairs(name, entries.map(([label, count]) => [label, grouped(count)]));
  const parts = entries.slice(1).reduce((sum, [, count]) => sum + count, 0);
  const negative = entries.find(([, count]) => count < 0); // what is in flight is the rest of the sum: all that can be wrong with it is its sign
  const wrong = negative ? `✗ ${words(negative[0])} is negative.` : whole !== parts ? `✗ The sum is off by ${grouped(whole - parts)}.` : "";
  say(byId(`${name}-verdict`), wrong || "✓ The sum holds.", `verdict ${wrong ? "bad" : "good"}`);
}

function showFlow(status) {
  const { frames, ticks, journal, delivery } = status;
  const letters = Object.entries(ticks.dead_letters);
  const ofRecords = total(Object.fromEntries(letters.filter(([reason]) => OF_RECORDS.test(reason))));
  law("frames", [["received", frames.received], ["finished", frames.finished], ["pending", frames.pending], ["lost", total(frames.lost)]], frames.received);
  law("ticks", [["decoded", ticks.decoded], ["acknowledged", ticks.acknowledged], ["dead letters", ofRecords], ["in flight", ticks.in_flight]], ticks.decoded);
  const reasons = (counts) => Object.entries(counts).map(([reason, count]) => `${reason} ${grouped(count)}`).join(", ");
  pairs("facts", [
    ["Journal", `${bytes(journal.bytes)} of ${bytes(journal.max_bytes)}`],
    ["Delivery", delivery.waiting_for ? `waits for ${delivery.waiting_for}` : "runs"],
    ["Dead letters by reason", reasons(ticks.dead_letters) || "none"],
    ["Losses by reason", reasons(frames.lost) || "none"],
    ["Ticks nobody asked for", grouped(ticks.unrequested)],
  ]);
}

function showTroubles(status) {
  const found = [
    ...status.reasons.map((text) => `Not ready: ${text}`),
    ...status.degraded.map((text) => `Held up by KIS: ${text}`),
    ...(status.delivery.waiting_for ? [`Delivery waits for ${status.delivery.waiting_for}`] : []),
    ...(status.replica.problem ? [`Replicas: ${status.replica.problem}`] : []),
    ...(total(status.frames.lost) ? [`${grouped(total(status.frames.lost))} frames were lost`] : []),
  ];
  const list = byId("troubles");
  each(list, found.map((text) => [text, text]), () => make("li"), (item, key, text) => say(item, text));
  list.hidden = !found.length;
  list.className = `notice ${status.ready ? "fair" : "bad"}`;
}

function showSessions(status) {
  const names = {}; // slot to the bonds KIS confirmed on it
  for (const [isin, record] of Object.entries(status.instruments)) {
    if (record.state === "ACTIVE") (names[record.slot] ??= []).push(status.last_ticks[isin]?.BOND_ISNM || isin);
  }
  rows("session-rows", ["", "", "", "", "when", "text"], Object.entries(status.slots), (cells, slot, record) => {
    say(cells[0], slot);
    state(cells[1], record.state);
    say(cells[2], record.owner ?? "nobody");
    const registrations = part(cells[3], "details", "registrations");
    say(part(registrations, "summary", "count"), `${record.registered} of ${record.capacity}`);
    say(part(registrations, "p", "bonds"), names[slot]?.join(", ") ?? "none confirmed");
    say(cells[4], kst(record.since));
    say(cells[5], joined(record.code, record.message));
  }, "No session is known yet.");
}

function showInstruments(status) {
  const instruments = Object.entries(status.instruments);
  const counts = {};
  for (const [, record] of instruments) counts[record.state] = (counts[record.state] ?? 0) + 1;
  say(byId("instruments-summary"), [`${instruments.length} wanted`, ...Object.entries(counts).map(([name, count]) => `${count} ${words(name).toLowerCase()}`)].join(" · "));
  const classes = ["", "", "number", "number", "number", "number", "number", "number", "when", "", "lists"];
  rows("instrument-rows", classes, instruments, (cells, isin, record) => {
    const tick = status.last_ticks[isin];
    say(part(cells[0], "span", "bond"), tick?.BOND_ISNM || isin);
    say(part(cells[0], "span", "code"), tick?.BOND_ISNM ? isin : "");
    state(cells[1], record.state, record.state === "ACTIVE" ? "" : joined(record.code, record.message));
    say(cells[2], record.slot);
    if (tick) {
      const [text, direction] = change(tick);
      say(cells[3], grouped(tick.STCK_PRPR));
      say(cells[4], text, `number ${direction}`);
      say(cells[5], tick.BOND_CNTG_ERT || "–");
      say(cells[6], grouped(tick.CNTG_VOL));
      say(cells[7], grouped(tick.ACML_VOL));
      say(cells[8], clock(tick.STCK_CNTG_HOUR));
      cells[8].title = `received ${kst(tick.received_at)}`;
      drawLine(cells[9], prices.get(isin) ?? []);
    } else {
      for (const place of [3, 4, 5, 6, 7]) say(cells[place], "–");
      say(cells[8], "no tick yet");
    }
    say(cells[10], record.lists.join(", "));
  }, "No bond is wanted. Ask for one: kis-bond subs add ISIN");
}

function showLists(status) {
  rows("list-rows", ["", "", "number", "number", "text"], Object.entries(status.lists), (cells, name, record) => {
    say(cells[0], name);
    state(cells[1], record.state);
    say(cells[2], grouped(record.instruments));
    say(cells[3], record.control?.offset);
    say(cells[4], record.reason);
  }, "There is no list.");
}

function showEvents(status) {
  const occurred = {};
  const entries = status.events.map((event) => {
    const text = JSON.stringify(event); // an event has no name of its own; equal ones are told apart by their number
    occurred[text] = (occurred[text] ?? 0) + 1;
    return [`${occurred[text]} ${text}`, event];
  });
  rows("event-rows", ["when", "short", "short", "text"], entries, (cells, key, event) => {
    say(cells[0], kst(event.at));
    say(cells[1], words(event.event));
    say(cells[2], event.instrument ?? `slot ${event.slot}`);
    const told = Object.entries(event.detail).filter(([, value]) => value !== null && value !== "");
    say(cells[3], told.map(([name, value]) => `${name.replaceAll("_", " ")} ${value instanceof Object ? Object.values(value).join(" ") : value}`).join(" · "));
  }, "Nothing happened yet.");
}

// -- price lines --

function remember(status) {
  for (const [isin, tick] of Object.entries(status.last_ticks)) {
    const identity = `${tick.received_at} ${tick.ACML_VOL} ${tick.STCK_PRPR}`;
    if (seenTick.get(isin) === identity) continue;
    seenTick.set(isin, identity);
    prices.set(isin, [...(prices.get(isin) ?? []), tick.STCK_PRPR].slice(-LINE_POINTS));
  }
  for (const isin of prices.keys()) {
    if (isin in status.instruments) continue;
    prices.delete(isin);
    seenTick.delete(isin);
  }
}

function drawLine(cell, seen) {
  let image = cell.querySelector("svg");
  if (!image) {
    image = document.createElementNS(SVG, "svg");
    image.setAttribute("class", "line");
    image.setAttribute("viewBox", `0 0 ${LINE_WIDTH} ${LINE_HEIGHT}`);
    image.setAttribute("role", "img");
    image.append(document.createElementNS(SVG, "polyline"), document.createElementNS(SVG, "circle"));
    cell.append(image);
  }
  const numbers = seen.map(Number); // for drawing only
  const lowest = Math.min(...numbers);
  const highest = Math.max(...numbers);
  const x = (place) => 3 + (place * (LINE_WIDTH - 6)) / Math.max(seen.length - 1, 1);
  const y = (number) => (highest === lowest ? LINE_HEIGHT / 2 : 3 + ((highest - number) * (LINE_HEIGHT - 6)) / (highest - lowest));
  const points = numbers.map((number, place) => `${x(place).toFixed(1)},${y(number).toFixed(1)}`);
  const [line, dot] = image.children;
  if (line.getAttribute("points") === points.join(" ")) return;
  const [lastX, lastY] = points.at(-1).split(",");
  line.setAttribute("points", points.join(" "));
  dot.setAttribute("cx", lastX);
  dot.setAttribute("cy", lastY);
  dot.setAttribute("r", "2.2");
  const [low, high] = [lowest, highest].map((number) => grouped(seen[numbers.indexOf(number)]));
  image.setAttribute("aria-label", low === high ? `One price seen: ${low}` : `${seen.length} prices seen, from ${low} to ${high}, the last ${grouped(seen.at(-1))}`);
}

// -- what a screen reader is told: changes of state, never a tick --

function announce(...sentences) {
  if (sentences.length) byId("announcements").textContent = sentences.length > 5 ? `${sentences.length} changes. ${sentences.slice(0, 3).join(" ")}` : sentences.join(" ");
}

function changes(old, status) {
  const told = [];
  if (old.ready !== status.ready) told.push(status.ready ? "The connector is ready." : "The connector is not ready.");
  for (const [kind, label] of [["slots", "Slot"], ["lists", "List"], ["instruments", "Bond"]]) {
    for (const [name, record] of Object.entries(status[kind])) {
      if (old[kind][name]?.state !== record.state) told.push(`${label} ${status.last_ticks[name]?.BOND_ISNM || name} is ${words(record.state).toLowerCase()}.`);
    }
    for (const name of Object.keys(old[kind])) if (!(name in status[kind])) told.push(`${label} ${name} is gone.`);
  }
  return told;
}

// -- asking --

function show(status) {
  const comesBack = !byId("silence").hidden;
  remember(status);
  for (const section of [showTroubles, showFlow, showSessions, showInstruments, showLists, showEvents]) section(status);
  say(byId("identity"), `${status.name} · version ${status.version} · up since ${kst(status.started_at)} KST`);
  say(byId("readiness"), status.ready ? "Ready" : "Not ready", `lamp ${status.ready ? "good" : "bad"}`);
  say(byId("connection"), "Live", "lamp good");
  byId("silence").hidden = true;
  document.title = `${status.ready ? "" : "Not ready: "}${status.name} – KIS bond connector`;
  announce(...(comesBack ? ["The connector answers again."] : []), ...(before ? changes(before, status) : []));
  before = status;
  answeredAt = new Date();
}

function showSilence(what, lamp) {
  const last = answeredAt ? `What is shown is from ${kst(answeredAt)} KST.` : "Nothing of it was shown yet.";
  const sentence = `${what} ${last}`;
  if (byId("silence").hidden) announce(sentence);
  say(byId("silence"), sentence);
  byId("silence").hidden = false;
  say(byId("connection"), lamp, "lamp bad");
  say(byId("readiness"), "Unknown", "lamp");
  document.title = `${lamp} – KIS bond connector`;
}

async function ask() {
  const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) }).catch((error) => {
    throw new Error(error.name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} s` : "no connection");
  });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json().catch(() => {
    throw new Error("an answer that is cut off");
  });
}

async function turn() {
  try {
    const status = await ask().catch((error) => showSilence(`The connector does not answer (${error.message}).`, "Not answering"));
    if (status) show(status);
  } catch (error) {
    console.error(error);
    showSilence(`The connector answers, and its answer cannot be shown (${error.message}).`, "Not shown");
  } finally {
    schedule(PERIOD_MS);
  }
}

function schedule(delay) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(turn, delay);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    say(byId("connection"), "Paused", "lamp");
  } else schedule(0);
});
turn();
