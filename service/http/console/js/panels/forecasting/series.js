// A series of observations out of a table: which columns are fed, and when each row was.

import { numbersOf } from "../../parts/csv.js";
import { findTimes, nameOf, timesOf, toText } from "../../parts/times.js";

/**
 * Columns to begin with: the time column (-1: none) and one column for each input of the model, of its name where
 * there is one.
 */
export function guessColumns(table, names) {
  const time = findTimes(table);
  const numeric = table.names.map((_, at) => at).filter((at) => at !== time && numbersOf(table, at).share >= 0.5);
  const same = (at, name) => table.names[at].toLowerCase() === name.toLowerCase();
  const inputs = names.map((name) => numeric.find((at) => same(at, name)));
  const left = numeric.filter((at) => !inputs.includes(at));
  return { time, inputs: inputs.map((at) => at ?? left.shift() ?? -1) };
}

/**
 * Return {names, rows, times, notes}: rows of numbers, null where one is missing; times in milliseconds, or null. Raises
 * an Error that says what is wrong with a column.
 */
export function seriesOf(table, { time, inputs }) {
  const notes = [...table.notes];
  const columns = inputs.map((at, index) => {
    if (at < 0) throw new Error(`The model reads ${inputs.length} columns: choose one for input ${index + 1}.`);
    return readColumn(table, at, notes);
  });
  let rows = table.rows.map((_, row) => columns.map((values) => values[row]));
  let times = null;
  if (time >= 0) ({ rows, times } = ordered(rows, timesOf(table, time), notes));
  if (!rows.length) throw new Error("No row has a time that can be read.");
  return { names: inputs.map((at) => table.names[at]), rows, times, notes };
}

function readColumn(table, at, notes) {
  const { values, missing, wrong, comma, share } = numbersOf(table, at);
  const name = table.names[at];
  if (share === 0) throw new Error(`Column ${name} has no numbers.`);
  if (comma) notes.push(`${name}: decimal commas.`);
  if (missing) notes.push(`${name}: ${missing} empty ${missing === 1 ? "cell is" : "cells are"} fed as missing.`);
  if (wrong.length) notes.push(`${name}: ${wrong.length} ${wrong.length === 1 ? "cell is no number" : "cells are no numbers"} and fed as missing, first “${wrong[0].cell.slice(0, 30)}” in row ${wrong[0].row}.`);
  return values;
}

/** Rows in the order of their times; those without one, or with that of the row before, are left out and told. */
function ordered(rows, { times, notes: assumed }, notes) {
  notes.push(...assumed);
  const known = times.filter((time) => time !== null);
  if (known.length > 1 && known[0] > known.at(-1)) {
    [rows, times] = [rows.toReversed(), times.toReversed()];
    notes.push("The newest row came first; rows are fed from the oldest on.");
  }
  const kept = [];
  let last = -Infinity;
  times.forEach((time, row) => { if (time !== null && time > last) { kept.push(row); last = time; } });
  const lost = rows.length - kept.length;
  if (lost) notes.push(`${lost} ${lost === 1 ? "row is" : "rows are"} left out: no time that can be read, or none later than the row before.`);
  return { rows: kept.map((row) => rows[row]), times: kept.map((row) => times[row]) };
}

/** The usual time between rows, in milliseconds; null without times. */
export function interval({ times }) {
  if (!times || times.length < 2) return null;
  const steps = times.slice(1, 200).map((time, at) => time - times[at]).sort((one, other) => one - other);
  return steps[steps.length >> 1];
}

/** A sentence about the series. */
export function summary(series) {
  const step = interval(series);
  const when = series.times ? `, ${toText(series.times[0])} to ${toText(series.times.at(-1))}${step ? `, every ${nameOf(step)}` : ""}` : ", without times";
  return `${series.rows.length.toLocaleString("en")} rows of ${series.names.join(", ")}${when}.`;
}

/** The part of a request that has rows `from` to `to`. */
export function inputOf(series, from, to) {
  const rows = series.rows.slice(from, to);
  const input = { values: series.names.length === 1 ? rows.flat() : rows };
  if (series.times) input.timestamps = series.times.slice(from, to).map(toText);
  return input;
}

/** What is known in advance of `count` rows from `from` on; behind the last row its values are repeated. */
export function futureOf(series, known, from, count) {
  const last = series.rows.length - 1;
  const valueAt = (column, at) => {
    for (let row = Math.min(at, last); row >= 0; row -= 1) if (series.rows[row][column] !== null) return series.rows[row][column];
    return 0;
  };
  return Array.from({ length: count }, (_, ahead) => known.map((column) => valueAt(column, from + ahead)));
}
