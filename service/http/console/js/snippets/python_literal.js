// JSON as Python writes it.

const WIDTH = 100;

/** Return a value of JSON as a Python literal, on several lines indented by `depth` if one is too long. */
export function literal(value, depth = 0) {
  const line = flat(value);
  if (line.length <= WIDTH || value === null || typeof value !== "object") return line;
  const indent = "    ".repeat(depth + 1);
  const items = Array.isArray(value)
    ? value.map((item) => literal(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${rows(items, WIDTH - indent.length).map((row) => `${indent}${row},\n`).join("")}${"    ".repeat(depth)}${close}`;
}

function flat(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${flat(item)}`).join(", ")}}`;
  // Strings and numbers of JSON are literals of Python, too.
  return JSON.stringify(value);
}

/** Join short items into rows of at most `width` characters. */
function rows(items, width) {
  const result = [];
  for (const item of items) {
    const last = result.at(-1);
    if (last !== undefined && !item.includes("\n") && !last.includes("\n") && last.length + item.length + 2 <= width) {
      result[result.length - 1] = `${last}, ${item}`;
    } else {
      result.push(item);
    }
  }
  return result;
}
