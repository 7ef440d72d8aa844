// The wanted bonds, each with its last trade and a line of the prices that this page saw.

import { byId, draw, part, rows, say, state } from "./elements.js";
import { Selection } from "./selection.js";
import { clock, grouped, joined, kst, words } from "./values.js";

const LINE_POINTS = 60;
const LINE_WIDTH = 120;
const LINE_HEIGHT = 28;
const RISES = { 1: "▲", 2: "▲" };
const FALLS = { 4: "▼", 5: "▼" };
const CLASSES = ["bond-cell", "number", "", "number", "number", "number", "number", "when", "", "number", "lists"];

const prices = new Map(); // ISIN to the prices this page saw, oldest first
const seenTick = new Map(); // ISIN to what tells its latest tick from the one before
let shown = null;

const ofTick = (name) => ([isin]) => shown.last_ticks[isin]?.[name];
const numberOfTick = (name) => (entry) => Number.parseFloat(ofTick(name)(entry)); // to sort by only
const selection = new Selection(
  "instruments",
  {
    bond: ([isin]) => shown.last_ticks[isin]?.BOND_ISNM || isin,
    price: numberOfTick("STCK_PRPR"),
    state: ([, record]) => record.state,
    change: ([isin]) => signed(shown.last_ticks[isin]),
    yield: numberOfTick("BOND_CNTG_ERT"),
    volume: numberOfTick("CNTG_VOL"),
    day: numberOfTick("ACML_VOL"),
    traded: ofTick("STCK_CNTG_HOUR"),
    slot: ([, record]) => record.slot ?? undefined,
    lists: ([, record]) => record.lists.join(", "),
  },
  () => shown && showInstruments(shown),
);

function change(tick) {
  const size = grouped(tick.PRDY_VRSS.replace(/^-/, ""));
  const ratio = tick.PRDY_CTRT && ` (${tick.PRDY_CTRT.replace(/^-/, "")} %)`;
  if (tick.PRDY_VRSS === "") return ["–", "none"];
  const rises = RISES[tick.PRDY_VRSS_SIGN];
  const falls = FALLS[tick.PRDY_VRSS_SIGN];
  return [`${rises ?? falls ?? ""} ${size}${ratio}`.trim(), rises ? "rise" : falls ? "fall" : ""];
}

function signed(tick) {
  return tick && Math.abs(Number.parseFloat(tick.PRDY_VRSS)) * (tick.PRDY_VRSS_SIGN in FALLS ? -1 : 1);
}

export function showInstruments(status) {
  shown = status;
  remember(status);
  const instruments = Object.entries(status.instruments);
  const found = selection.of(instruments, ([isin, record]) => [isin, status.last_ticks[isin]?.BOND_ISNM ?? "", words(record.state), ...record.lists]);
  const counts = {};
  for (const [, record] of instruments) counts[record.state] = (counts[record.state] ?? 0) + 1;
  say(byId("instruments-summary"), [
    `${instruments.length} wanted`,
    ...Object.entries(counts).map(([name, number]) => `${number} ${words(name).toLowerCase()}`),
    ...(found.length < instruments.length ? [`${found.length} shown`] : []),
  ].join(" · "));
  const nothing = instruments.length ? "No bond is like that." : "No bond is wanted. Ask for one: kis-bond subs add ISIN";
  rows("instrument-rows", CLASSES, found, (cells, isin, record) => {
    const tick = status.last_ticks[isin];
    say(part(cells[0], "span", "bond"), tick?.BOND_ISNM || isin);
    say(part(cells[0], "span", "code"), tick?.BOND_ISNM ? isin : "");
    state(cells[2], record.state, record.state === "ACTIVE" ? "" : joined(record.code, record.message));
    if (tick) {
      const [text, direction] = change(tick);
      say(cells[1], grouped(tick.STCK_PRPR));
      say(cells[3], text, `number ${direction}`);
      say(cells[4], tick.BOND_CNTG_ERT || "–");
      say(cells[5], grouped(tick.CNTG_VOL));
      say(cells[6], grouped(tick.ACML_VOL));
      say(cells[7], clock(tick.STCK_CNTG_HOUR));
      cells[7].title = `received ${kst(tick.received_at)}`;
      drawLine(cells[8], prices.get(isin) ?? []);
    } else {
      for (const place of [1, 3, 4, 5, 6]) say(cells[place], "–");
      say(cells[7], "no tick yet");
    }
    say(cells[9], record.slot);
    say(cells[10], record.lists.join(", "));
  }, nothing);
}

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
    image = draw("svg", { class: "line", viewBox: `0 0 ${LINE_WIDTH} ${LINE_HEIGHT}`, role: "img" });
    image.append(draw("polyline"), draw("circle"));
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
