// Shows /status, asked once a second; nothing else is asked, and every text goes in as text.

import { showCoverage } from "./coverage.js";
import { byId, part, rows, say, state } from "./elements.js";
import { showFlow, showTroubles } from "./flow.js";
import { showInstruments } from "./instruments.js";
import { grouped, joined, kst, words } from "./values.js";

const PERIOD_MS = 1000;
const PATIENCE_MS = 3000;
// Each section, with the part of /status that it shows: a connector and an auditor have different ones.
const SECTIONS = {
  coverage: ["coverage", showCoverage],
  flow: ["frames", showFlow],
  sessions: ["slots", showSessions],
  instruments: ["instruments", showInstruments],
  lists: ["lists", showLists],
  events: ["events", showEvents],
};

let before = null; // the status shown last
let answeredAt = null;
let timer = 0;

// -- the sections --

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

// -- what a screen reader is told: changes of state, never a tick --

function announce(...sentences) {
  if (sentences.length) byId("announcements").textContent = sentences.length > 5 ? `${sentences.length} changes. ${sentences.slice(0, 3).join(" ")}` : sentences.join(" ");
}

function changes(old, status) {
  const told = [];
  if (old.ready !== status.ready) told.push(`The ${kind(status)} is ${status.ready ? "ready" : "not ready"}.`);
  for (const [field, label] of [["slots", "Slot"], ["lists", "List"], ["instruments", "Bond"], ["days", "The day of bond"]]) {
    const [were, are] = [old[field] ?? {}, status[field] ?? {}];
    for (const [name, record] of Object.entries(are)) {
      if (were[name]?.state !== record.state) told.push(`${label} ${status.last_ticks?.[name]?.BOND_ISNM || name} is ${words(record.state).toLowerCase()}.`);
    }
    for (const name of Object.keys(were)) if (!(name in are)) told.push(`${label} ${name} is gone.`);
  }
  return told;
}

// -- asking --

const kind = (status) => (status && "audit" in status ? "auditor" : "connector");

function show(status) {
  const comesBack = !byId("silence").hidden;
  const needsAttention = showTroubles(status);
  for (const [name, [field, showSection]] of Object.entries(SECTIONS)) {
    const isThere = field in status;
    byId(name).hidden = !isThere;
    document.querySelector(`nav a[href="#${name}"]`).hidden = !isThere;
    if (isThere) showSection(status);
  }
  say(byId("kind"), `KIS bond ${kind(status)}`);
  say(byId("identity"), status.name ? `${status.name} · version ${status.version} · up since ${kst(status.started_at)} KST` : "It starts.");
  if (!status.ready) say(byId("readiness"), "Not ready", "lamp bad");
  else if (needsAttention) say(byId("readiness"), "Ready, with a warning", "lamp fair");
  else say(byId("readiness"), "Ready", "lamp good");
  say(byId("connection"), "Live", "lamp good");
  byId("silence").hidden = true;
  document.body.classList.remove("stale");
  document.title = `${status.ready ? "" : "Not ready: "}${joined(status.name, "–")} KIS bond ${kind(status)}`;
  announce(...(comesBack ? [`The ${kind(status)} answers again.`] : []), ...(before ? changes(before, status) : []));
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
  document.body.classList.add("stale"); // what was green may not be by now
  document.title = `${lamp} – KIS bond ${kind(before)}`;
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
    const status = await ask().catch((error) => showSilence(`The ${kind(before)} does not answer (${error.message}).`, "Not answering"));
    if (status) show(status);
  } catch (error) {
    console.error(error);
    showSilence(`The ${kind(before)} answers, and its answer cannot be shown (${error.message}).`, "Not shown");
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
