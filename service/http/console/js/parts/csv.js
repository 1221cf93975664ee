// Tables from text: CSV with any of the usual separators, with or without a header, and JSON rows.

export const MOST_ROWS = 20_000;
const NAMES = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars" };
const MISSING = new Set(["", "na", "n/a", "nan", "null", "none", "-", "?"]);

/**
 * Read a table. Returns {names, rows, notes}: rows of texts, and sentences that tell how the text was read.
 * Raises an Error whose sentence says what is wrong with it.
 */
export function readTable(text) {
  const plain = text.replace(/^\uFEFF/, "").trimEnd();
  if (!plain.trim()) throw new Error("There is nothing to read: expected rows of numbers.");
  return plain.trimStart().startsWith("[") ? readJson(plain) : readCsv(plain);
}

function readCsv(text) {
  const separator = findSeparator(text);
  const lines = splitCsv(text, separator, MOST_ROWS + 2);
  const width = Math.max(...lines.slice(0, 200).map((line) => line.length));
  const header = hasHeader(lines);
  const names = header ? lines.shift().map((name) => name.trim()) : [];
  const notes = [];
  if (width > 1) notes.push(`Columns are separated by ${NAMES[separator]}.`);
  if (!header) notes.push("There is no header, so columns are numbered.");
  if (!lines.length) throw new Error("There is a header but no row.");
  const ragged = lines.findIndex((line) => line.length > Math.max(width, names.length));
  if (ragged >= 0) throw new Error(`Row ${ragged + 1} has ${lines[ragged].length} cells, expected ${width}.`);
  return bounded(nameAll(names, Math.max(width, names.length)), lines, notes);
}

function findSeparator(text) {
  const lines = text.split("\n", 20).filter((line) => line.trim());
  const score = (separator) => {
    const counts = lines.map((line) => line.split(separator).length - 1);
    return counts[0] && counts.every((count) => count === counts[0]) ? 1000 + counts[0] : Math.min(...counts);
  };
  // A semicolon or a tab is tried first: commas may then be those of decimal numbers.
  return [";", "\t", ",", "|"].reduce((best, one) => (score(one) > score(best) && (score(best) < 1000) ? one : best));
}

/** Cells of each line, at most `most` lines; quoted cells may contain separators, ends of lines and doubled quotes. */
function splitCsv(text, separator, most) {
  const lines = [];
  let cells = [], cell = "", quoted = false;
  const endLine = () => {
    cells.push(cell);
    if (cells.length > 1 || cell.trim()) lines.push(cells);
    cells = [];
    cell = "";
  };
  for (let at = 0; at < text.length && lines.length < most; at += 1) {
    const one = text[at];
    if (quoted) {
      if (one !== '"') cell += one;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; } else quoted = false;
    } else if (one === '"' && !cell.trim()) { quoted = true; cell = ""; } else if (one === separator) {
      cells.push(cell);
      cell = "";
    } else if (one === "\n") endLine(); else if (one !== "\r") cell += one;
  }
  if (lines.length < most) endLine();
  return lines;
}

/** Whether no cell of the first line is a number or a time, and some cell is a text. */
function hasHeader([first]) {
  const filled = first.filter((cell) => !isMissing(cell));
  return filled.length > 0 && filled.every((cell) => Number.isNaN(toNumber(cell, true)) && !/^\d{1,4}[-/.]\d/.test(cell.trim()));
}

function readJson(text) {
  let data;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new Error(`This begins as JSON, but is none: ${error.message}`);
  }
  if (!Array.isArray(data) || !data.length) throw new Error("Expected a JSON list of rows.");
  const objects = data[0] !== null && typeof data[0] === "object" && !Array.isArray(data[0]);
  const names = objects ? Object.keys(data[0]) : [];
  const cells = (row) => (objects ? names.map((name) => row?.[name]) : [row].flat()).map((cell) => String(cell ?? ""));
  const rows = data.slice(0, MOST_ROWS + 1).map(cells);
  return bounded(nameAll(names, Math.max(...rows.slice(0, 200).map((row) => row.length))), rows, []);
}

function nameAll(names, width) {
  return Array.from({ length: width }, (_, at) => names[at] || `column ${at + 1}`);
}

function bounded(names, rows, notes) {
  if (rows.length <= MOST_ROWS) return { names, rows, notes };
  notes.push(`There are more than ${MOST_ROWS.toLocaleString("en")} rows; only the first ${MOST_ROWS.toLocaleString("en")} are used.`);
  return { names, rows: rows.slice(0, MOST_ROWS), notes };
}

export const isMissing = (cell) => cell === undefined || MISSING.has(cell.trim().toLowerCase());

/** The number that a cell has; NaN if it has none. With `comma`, commas are decimal ones. */
export function toNumber(cell, comma = false) {
  let text = cell.trim().replace(/[\s'_]/g, "");
  if (comma && /,/.test(text)) text = text.replace(/\.(?=\d{3})/g, "").replace(",", ".");
  else if (/^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(text)) text = text.replaceAll(",", "");
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
}

/**
 * The numbers of a column, null where one is missing: {values, missing, wrong, comma}. `wrong` lists {row, cell} of cells
 * that are no numbers; these are read as missing.
 */
export function numbersOf(table, column) {
  const cells = table.rows.map((row) => row[column]);
  const filled = cells.filter((cell) => !isMissing(cell));
  const comma = filled.some((cell) => /^\s*[-+]?[\d.\s]*\d,\d+\s*$/.test(cell) && Number.isNaN(toNumber(cell)))
    || (filled.length > 0 && filled.every((cell) => /^\s*[-+]?\d+,\d{3}\s*$/.test(cell)) && filled.some((cell) => /^\s*[-+]?0,/.test(cell)));
  const wrong = [];
  const values = cells.map((cell, row) => {
    if (isMissing(cell)) return null;
    const number = toNumber(cell, comma);
    if (Number.isFinite(number)) return number;
    wrong.push({ row: row + 1, cell });
    return null;
  });
  return { values, missing: cells.length - filled.length, wrong, comma, share: filled.length ? 1 - wrong.length / filled.length : 0 };
}
