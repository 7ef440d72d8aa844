// Where frames and ticks went, how fast, and what of it needs attention.

import { byId, each, make, pairs, say } from "./elements.js";
import { bytes, count, grouped, total, words } from "./values.js";

const WINDOW_MS = 60_000;
const STALL_MS = 10_000;
// Dead letters of whole frames are in neither side of the second sum.
const OF_RECORDS = /^(FIELD_|KAFKA_)/;

let measured = []; // what of the answers of the last minute tells speed: oldest first
let moved = null; // when frames were last seen to move on

export function showFlow(status) {
  const { frames, ticks, journal, delivery } = status;
  const letters = Object.entries(ticks.dead_letters);
  const ofRecords = Object.fromEntries(letters.filter(([reason]) => OF_RECORDS.test(reason)));
  const ofFrames = Object.fromEntries(letters.filter(([reason]) => !OF_RECORDS.test(reason)));
  law("frames", [["received", frames.received], ["finished", frames.finished], ["pending", frames.pending], ["lost", total(frames.lost)]], frames.received);
  law("ticks", [["decoded", ticks.decoded], ["acknowledged", ticks.acknowledged], ["dead letters", total(ofRecords)], ["in flight", ticks.in_flight]], ticks.decoded);
  const [speed, latency] = measure(ticks);
  pairs("facts", [
    ["Ticks a second, last minute", speed],
    ["Receipt to Kafka, p99 of the last minute", latency],
    ["Journal", `${bytes(journal.bytes)} of ${bytes(journal.max_bytes)}`],
    ["Delivery", delivery.waiting_for ? `waits for ${delivery.waiting_for}` : "runs"],
    ["Dead letters by reason", reasons(ofRecords)],
    ["Dead letters of whole frames", reasons(ofFrames)],
    ["Losses by reason", reasons(frames.lost)],
    ["Ticks nobody asked for", grouped(ticks.unrequested)],
  ]);
}

function law(name, entries, whole) {
  pairs(name, entries.map(([label, number]) => [label, grouped(number)]));
  const parts = entries.slice(1).reduce((sum, [, number]) => sum + number, 0);
  const negative = entries.find(([, number]) => number < 0); // what is in flight is the rest of the sum: all that can be wrong with it is its sign
  const wrong = negative ? `✗ ${words(negative[0])} is negative.` : whole !== parts ? `✗ The sum is off by ${grouped(whole - parts)}.` : "";
  say(byId(`${name}-verdict`), wrong || "✓ The sum holds.", `verdict ${wrong ? "bad" : "good"}`);
}

function reasons(counts) {
  const entries = Object.entries(counts);
  const told = entries.map(([reason, number]) => `${reason} ${grouped(number)}`).join(" + ");
  return entries.length > 1 ? `${told} = ${grouped(total(counts))}` : told || "none";
}

// Return ticks a second and the latency that 99 of 100 ticks stayed below, both since the oldest answer of the last minute.
function measure(ticks) {
  const now = performance.now();
  if (measured.length && measured.at(-1).ticks.acknowledged > ticks.acknowledged) measured = []; // another run
  measured = [...measured.filter((each) => now - each.at <= WINDOW_MS), { at: now, ticks }];
  const [oldest] = measured;
  const since = oldest.ticks;
  const number = ticks.acknowledged - since.acknowledged;
  if (oldest.at === now) return ["–", "–"];
  const speed = ((number * 1000) / (now - oldest.at)).toFixed(1);
  const of = ticks.latency.counts.map((below, place) => below - since.latency.counts[place]);
  const measuredTicks = ticks.latency.total - since.latency.total;
  if (!measuredTicks) return [grouped(speed), "–"];
  const place = of.findIndex((below) => below >= measuredTicks * 0.99);
  const bound = ticks.latency.bounds[place];
  const latency = place < 0 ? `above ${ticks.latency.bounds.at(-1)} s` : bound < 1 ? `below ${Math.round(bound * 1000)} ms` : `below ${bound} s`;
  return [grouped(speed), latency];
}

// Return what is said if frames wait and none of them was finished for a while.
function stall(frames) {
  const now = performance.now();
  if (moved === null || !frames.pending || moved.finished !== frames.finished) moved = { finished: frames.finished, at: now };
  const seconds = Math.floor((now - moved.at) / 1000);
  return now - moved.at < STALL_MS ? "" : `Nothing was acknowledged for ${count(seconds, "second")}, and ${count(frames.pending, "frame")} waited: look at Kafka`;
}

// Show what needs attention, and return whether there is any. An auditor has some of it only.
export function showTroubles(status) {
  const { reasons: unready, degraded = [], delivery, replica, frames } = status;
  const lost = frames ? total(frames.lost) : 0;
  const stalled = frames ? stall(frames) : "";
  const found = [
    ...unready.map((text) => [text, `Not ready: ${text}`]),
    ...degraded.map((text) => [text, `Held up by KIS: ${text}`]),
    ...(delivery?.waiting_for ? [["delivery", `Delivery waits for ${delivery.waiting_for}`]] : []),
    ...(stalled ? [["stalled", stalled]] : []),
    ...(replica?.problem ? [["replica", `Replicas: ${replica.problem}`]] : []),
    ...(lost ? [["lost", `${grouped(lost)} frames were lost`]] : []),
  ];
  const list = byId("troubles");
  each(list, found, () => make("li"), (item, key, text) => say(item, text));
  list.hidden = !found.length;
  list.className = `notice ${status.ready ? "fair" : "bad"}`;
  return found.length > 0;
}
