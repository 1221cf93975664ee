// Times of rows, in the forms that files have them.

import { isMissing } from "./csv.js";

const ISO = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/i;
const DATE = /^(\d{1,2})([./])(\d{1,2})\2(\d{4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]m)?)?$/i;

/** Milliseconds since 1970 of one cell; null if it is no time. `monthFirst` reads 2/1/2026 as the first of February. */
export function toTime(cell, monthFirst = false) {
  const text = cell.trim();
  if (/^\d{9,10}(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^\d{12,13}$/.test(text)) return Number(text);
  const iso = ISO.exec(text);
  if (iso) {
    const [, year, month, day, hour = 0, minute = 0, second = 0, fraction = "", zone] = iso;
    return utc([year, month, day, hour, minute, second].map(Number), Number(fraction.padEnd(3, "0").slice(0, 3)), zone);
  }
  const date = DATE.exec(text);
  if (!date) return null;
  const [, first, mark, second, year, hour = 0, minute = 0, seconds = 0, half] = date;
  const [day, month] = mark === "/" && monthFirst ? [second, first] : [first, second];
  const hours = half ? (Number(hour) % 12) + (half.toLowerCase() === "pm" ? 12 : 0) : Number(hour);
  return utc([Number(year), Number(month), Number(day), hours, Number(minute), Number(seconds)], 0, null);
}

function utc([year, month, day, hour, minute, second], milliseconds, zone) {
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || second > 60) return null;
  const sign = zone?.startsWith("-") ? -1 : 1;
  const digits = zone?.replace(/\D/g, "") ?? "";
  const offset = digits ? sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) : 0;
  return Date.UTC(year, month - 1, day, hour, minute - offset, second, milliseconds);
}

/** The column that has times: one of such a name, or else the first one whose cells are written as dates; -1 if none. */
export function findTimes(table) {
  const looks = (column, plain) => {
    const cells = table.rows.slice(0, 50).map((row) => row[column]).filter((cell) => !isMissing(cell));
    return cells.length > 0 && cells.every((cell) => (plain || /[-/.:]/.test(cell)) && toTime(cell) !== null);
  };
  const columns = table.names.map((_, at) => at);
  const named = columns.find((at) => /time|date|^ds$|^ts$|zeit|datum/i.test(table.names[at]) && looks(at, true));
  return named ?? columns.find((at) => looks(at, false) && !table.rows.every((row) => /^[\d.]+$/.test(row[at] ?? ""))) ?? -1;
}

/** The times of a column, null where one cannot be read, and what was assumed: {times, notes}. */
export function timesOf(table, column) {
  const cells = table.rows.map((row) => row[column] ?? "");
  const slashes = cells.map((cell) => DATE.exec(cell.trim())).filter((match) => match?.[2] === "/");
  const monthFirst = slashes.some(([, , , second]) => Number(second) > 12);
  const notes = [];
  if (slashes.length) notes.push(monthFirst ? "Dates are read as month/day/year." : "Dates are read as day/month/year.");
  if (!cells.some((cell) => /(Z|[+-]\d{2}:?\d{2})$/i.test(cell.trim().slice(10)) || /^\d{9,}/.test(cell.trim()))) {
    notes.push("Times have no offset and are read as UTC.");
  }
  return { times: cells.map((cell) => toTime(cell, monthFirst)), notes };
}

/** "30 min" and the like. */
export function nameOf(milliseconds) {
  const units = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];
  const [size, name] = units.find(([unit]) => milliseconds >= unit && milliseconds % unit === 0) ?? [1, "ms"];
  return `${milliseconds / size} ${name}`;
}

export const toText = (milliseconds) => new Date(milliseconds).toISOString().replace(".000Z", "Z");
