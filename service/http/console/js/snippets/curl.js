// A call of the service as a curl command.

/** A body that is longer than this is passed on curl's standard input: a shell bounds the length of an argument. */
const LONG = 2000;

/**
 * Return the command for a call.
 *
 * @param {Object} call `method`, `path`, `body` (JSON) or `raw` (a file), the service's `root`, and `withKey`: whether it
 *   needs an API key, which the command takes from the environment.
 */
export function curlCommand({ method, path, body, raw, root, withKey }) {
  if (method === "WEBSOCKET") return socketCommand({ path, root, withKey });
  const streamed = body?.options?.stream === true;
  const words = ["curl", streamed ? "-sN" : "-s"];
  // curl posts as soon as there is a body.
  const hasBody = body !== undefined || raw;
  if (method !== (hasBody ? "POST" : "GET")) words.push("-X", method);
  words.push(quote(new URL(path, root).href));
  // The shell puts the key in, so no single quotes here.
  if (withKey) words.push("-H", '"Authorization: Bearer $UNROLL_API_KEY"');
  if (raw) words.push("-H", quote("Content-Type: application/octet-stream"), "--data-binary", "@state.safetensors");
  if (method === "GET" && path.endsWith("/state")) words.push("-o", "state.safetensors");
  if (body === undefined) return words.join(" ");
  const json = JSON.stringify(body);
  if (json.length <= LONG) return `${words.join(" ")} \\\n  --json ${quote(json)}`;
  // Strings of JSON have no line breaks, so no line of the body can end it early.
  return `${words.join(" ")} --json @- <<'END'\n${json}\nEND`;
}

function socketCommand({ path, root, withKey }) {
  const steps = path.replace(/stream$/, "steps");
  return "# curl sends no frames over a WebSocket. Each frame is the same as one call:\n"
    + curlCommand({ method: "POST", path: steps, body: undefined, root, withKey }) + " --json @frame.json";
}

/** Quote a word for a POSIX shell, if it needs that. */
function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
