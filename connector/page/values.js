// How values are written.

const seoul = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Seoul", dateStyle: "short", timeStyle: "medium" });

export const words = (name) => name[0].toUpperCase() + name.slice(1).toLowerCase().replaceAll("_", " ");
export const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
export const joined = (...texts) => texts.filter((text) => text !== null && text !== undefined && text !== "").join(" ");

// Digits are grouped as text: a price is never made a binary fraction.
export function grouped(number) {
  const [whole, fraction] = String(number).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction === undefined ? "" : `.${fraction}`);
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
  return `${count.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

export function kst(rfc3339) {
  const at = new Date(rfc3339 ?? NaN);
  return Number.isNaN(at.getTime()) ? "" : seoul.format(at);
}

export const clock = (hhmmss) => hhmmss.replace(/^(..)(..)(..)$/, "$1:$2:$3");

// Rounded down, so that only what is whole is 100.00: of large numbers, only `missing` tells.
export function percent(part, whole, missing) {
  if (whole <= 0) return "–";
  return part >= whole && !missing ? "100.00" : Math.min(99.99, Math.floor((part * 10000) / whole) / 100).toFixed(2);
}

export const count = (number, one) => `${grouped(number)} ${one}${number === 1 ? "" : "s"}`;
