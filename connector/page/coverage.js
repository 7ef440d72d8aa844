// What the ticks cover of each bond's day: the sum, and a bar for each bond with its holes.

import { byId, draw, each, make, pairs, part, rows, say, state } from "./elements.js";
import { Selection } from "./selection.js";
import { count, grouped, kst, percent, words } from "./values.js";

const WIDTH = 1000;
const HEIGHT = 20;
const HAIR = 4; // a hole is drawn at least so wide, that it is seen
const NOT_WANTED = "not_wanted";
const CLASSES = ["bond-cell", "number", "bar-cell", "number", "", "holes"];

let shown = null;

const wanted = (day) => day.accumulated_volume - day.unwanted_volume;
const covered = (day) => percent(day.covered_volume, wanted(day), day.missing_volume);
const openHoles = (day) => day.holes.filter((hole) => hole.state !== "FILLED");
const missingOf = (hole) => hole.remaining.reduce((sum, [low, high]) => sum + high - low, 0);
const selection = new Selection(
  "coverage",
  {
    bond: ([isin]) => isin,
    covered: ([, day]) => (wanted(day) ? day.covered_volume / wanted(day) : undefined),
    missing: ([, day]) => day.missing_volume,
    state: ([, day]) => day.state,
  },
  () => shown && showCoverage(shown),
);

export function showCoverage(status) {
  shown = status;
  const { coverage, days } = status;
  say(byId("coverage-date"), `on ${coverage.trade_date}`);
  const causes = Object.entries(coverage.open_holes).map(([cause, number]) => `${words(cause).toLowerCase()} ${grouped(number)}`);
  pairs("coverage-sum", [
    ["% covered", covered(coverage)],
    ["covered", grouped(coverage.covered_volume)],
    ["missing", grouped(coverage.missing_volume)],
    ["before anybody asked", grouped(coverage.unwanted_volume)],
  ]);
  byId("coverage-sum").className = `figures ${coverage.missing_volume ? "lacking" : ""}`;
  const entries = Object.entries(days);
  const found = selection.of(entries, ([isin, day]) => [isin, words(day.state), ...openHoles(day).map((hole) => (hole.cause ?? "").replaceAll("_", " "))]);
  say(byId("coverage-summary"), [
    count(coverage.bonds, "bond"),
    ...Object.entries(coverage.states).map(([name, number]) => `${grouped(number)} ${name === "HOLES" ? "with holes" : words(name).toLowerCase()}`),
    ...(causes.length ? [`holes by cause: ${causes.join(", ")}`] : []),
    ...(found.length < coverage.bonds ? [`${grouped(found.length)} shown`] : []),
    ...(coverage.written_at ? [`last audited ${kst(coverage.written_at).slice(11)}`] : []),
  ].join(" · "));
  rows("coverage-rows", CLASSES, found, (cells, isin, day) => {
    say(cells[0], isin);
    say(cells[1], covered(day));
    drawBar(cells[2], day);
    say(cells[3], grouped(day.missing_volume), `number ${day.missing_volume ? "lacking" : ""}`);
    state(cells[4], day.state, [day.reason, day.state === "COMPLETE" && day.checked ? `by ${day.checked.by}` : null].filter(Boolean).join(" "));
    listHoles(cells[5], day);
  }, entries.length ? "No bond is like that." : "No tick of this day was audited yet.");
}

function drawBar(cell, day) {
  const whole = day.accumulated_volume;
  const pieces = openHoles(day).flatMap((hole) => hole.remaining.map(([low, high]) => {
    const width = Math.max(HAIR, ((high - low) * WIDTH) / whole);
    const x = Math.min((low * WIDTH) / whole, WIDTH - width);
    return { x: x.toFixed(1), width: width.toFixed(1), class: hole.cause === NOT_WANTED ? "unwanted" : "missing" };
  }));
  const text = whole ? `${grouped(day.covered_volume)} of ${grouped(whole)} covered` : "no volume yet";
  let image = cell.querySelector("svg");
  if (!image) {
    image = draw("svg", { class: "bar", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    image.append(draw("rect", { width: WIDTH, height: HEIGHT }), draw("g"));
    cell.append(image);
  }
  const [back, holes] = image.children;
  back.setAttribute("class", whole ? "covered" : "empty");
  image.setAttribute("aria-label", pieces.length ? `${text}, ${count(holeCount(day), "hole")}` : text);
  each(holes, Object.entries(pieces), () => draw("rect", { height: HEIGHT }), (piece, place, attributes) => {
    for (const [name, value] of Object.entries(attributes)) piece.setAttribute(name, value);
  });
}

const holeCount = (day) => openHoles(day).length + day.holes_left_off;

function listHoles(cell, day) {
  const holes = openHoles(day);
  const number = holeCount(day);
  const details = part(cell, "details", "holes");
  details.hidden = !number;
  say(part(details, "summary", "count"), count(number, "hole"));
  const entries = holes.map((hole) => [`${hole.from_volume}-${hole.to_volume}`, hole]);
  each(part(details, "ul", "list"), entries, () => make("li"), (item, key, hole) => {
    const cause = hole.cause === null ? "waits for its cause" : words(hole.cause).toLowerCase();
    say(item, `${time(hole.after)} to ${time(hole.before)}: ${grouped(missingOf(hole))} missing, ${cause}`);
  });
  say(part(details, "p", "rest"), day.holes_left_off ? `${count(day.holes_left_off, "smaller hole")} not listed here: kis-bond coverage --isin lists all` : "");
}

const time = (side) => kst(side?.traded_at).slice(11) || "--:--:--";
