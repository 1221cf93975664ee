// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** 12,345 */
export const count = (number) => whole.format(number);

/** 1 layer, 12,345 layers */
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** 3.14M */
export const short = (number) => compact.format(number);

/** A number with about three digits that count: 0.0123, 25.9, 2,194. */
export function figure(number) {
  if (!Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return number.toExponential(2);
  return size >= 1000 ? whole.format(Math.round(number)) : String(Number(number.toPrecision(size >= 100 ? 4 : 3)));
}

/** 4,096 B, 16 KiB, 1.5 GiB */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = number, unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? count(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** 250 µs, 4.2 ms, 1.3 s */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${figure(seconds * 1e6)} µs`;
  return seconds < 1 ? `${figure(seconds * 1e3)} ms` : `${figure(seconds)} s`;
}

/** 59 min 12 s, 2 d 3 h: two units at most. */
export function span(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const parts = [];
  let rest = Math.max(0, Math.round(seconds));
  for (const [name, size] of units) {
    const amount = Math.floor(rest / size);
    if (amount > 0 || (name === "s" && parts.length === 0)) parts.push(`${amount} ${name}`);
    else if (parts.length) break;
    rest -= amount * size;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** 59 min: one unit. */
export const roughly = (seconds) => /^\d+ \w+/.exec(span(seconds))[0];

/** A moment in the reader's own time zone. */
export const moment = (text) => new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The beginning of a fingerprint or an id. */
export const shortened = (text, length = 12) => (text.length > length + 1 ? `${text.slice(0, length)}…` : text);
