// A call of the service as a Python program: by unroll_client, or by httpx for what the client has no method for.

import { literal } from "./python_literal.js";

/** Return the program for a call; see curlCommand for its parameters. */
export function pythonProgram(call) {
  const url = new URL(call.path, call.root);
  const path = url.pathname.slice(new URL(call.root).pathname.length).split("/").map(decodeURIComponent);
  const found = { ...call, url, query: Object.fromEntries(url.searchParams), body: call.body ?? {} };
  const lines = (path[1] === "models" && modelCall(found, path)) || (path[1] === "sessions" && sessionCall(found, path));
  return lines ? clientProgram(found, lines) : httpxProgram(found);
}

function clientProgram({ root, withKey }, { imports = [], lines }) {
  const base = literal(root.href.replace(/\/$/, ""));
  const key = withKey ? ', api_key=os.environ["UNROLL_API_KEY"]' : "";
  const standard = [...(withKey ? ["import os"] : []), ...imports];
  return [...standard, ...(standard.length ? [""] : []), "from unroll_client import Client", "",
    `client = Client(${base}${key})`, ...lines].join("\n");
}

/** What a call on a model does: v1/models, v1/models/NAME, v1/models/NAME/ACTION. */
function modelCall({ method, body }, [, , model, action]) {
  if (method === "GET" && action === undefined) {
    return { lines: [model ? `print(client.model(${literal(model)}))` : "print(client.models())"] };
  }
  const { input, inputs, options = {}, version, ...others } = body;
  if (method !== "POST" || Object.keys(others).length) return null;
  if (action === "generate" && options.stream && input) {
    return { lines: printTokens(`client.generate_stream${args([literal(model), inputArgument(input)], { version, ...without(options, "stream") })}`) };
  }
  if (inputs && ["predict", "score"].includes(action)) {
    const list = inputs.map(inputArgument);
    return list.includes(null) ? null : answer(`client.${action}_many${args([literal(model), `[${list.join(", ")}]`], { version, ...options })}`);
  }
  if (!input || !["predict", "score", "generate"].includes(action)) return null;
  const forecasts = action === "predict" && Array.isArray(input.values) && ["horizon", "quantiles", "samples"].some((name) => name in options);
  if (forecasts) {
    const { values, timestamps, future } = input;
    return answer(`client.forecast${args([literal(model), literal(values, 1)], { timestamps, future, version, ...options })}`);
  }
  const translates = action === "predict" && isText(input) && ["beam_size", "alternatives", "attention"].some((name) => name in options);
  return answer(`client.${translates ? "translate" : action}${args([literal(model), inputArgument(input)], { version, ...options })}`);
}

/** What a call on sessions does: v1/sessions, v1/sessions/import, v1/sessions/ID, v1/sessions/ID/ACTION. */
function sessionCall({ method, body, query }, [, , id, action]) {
  if (id === undefined) return method === "POST" ? created(body) : listed(query);
  if (id === "import") {
    const numbers = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]));
    return { imports: ["from pathlib import Path"], lines: [
      `session = client.import_state${args(['Path("state.safetensors").read_bytes()'], numbers)}`, "print(session.id)"] };
  }
  if ("tenant" in query || id === "steps") return null;
  const write = SESSION_CALLS[`${method} ${action ?? ""}`.trim()];
  const made = write?.(body);
  return made && { ...made, lines: [`session = client.session(${literal(id)})`, ...made.lines] };
}

const SESSION_CALLS = {
  GET: () => ({ lines: ["print(session.info())"] }),
  PATCH: ({ ttl_seconds }) => ({ lines: [`print(session.renew(${literal(ttl_seconds)}))`] }),
  DELETE: () => ({ lines: ["session.delete()"] }),
  "GET state": () => ({ imports: ["from pathlib import Path"], lines: ['Path("state.safetensors").write_bytes(session.export_state())'] }),
  "POST steps": ({ input, options }) => stepped("step", input, options),
  "POST predict": ({ input, options }) => stepped("peek", input, options),
  "POST generate": ({ options = {}, commit }) => {
    const given = { ...(commit === false ? { commit } : {}), ...without(options, "stream") };
    return options.stream ? { lines: printTokens(`session.generate_stream${args([], given)}`) } : answer(`session.generate${args([], given)}`);
  },
  "POST fork": ({ step, ttl_seconds }) => ({ lines: [`copy = session.fork${args([], { step, ttl_seconds })}`, "print(copy.id)"] }),
  "POST reset": ({ step }) => ({ lines: [`print(session.reset${args([], { step })})`] }),
  "WEBSOCKET stream": () => ({ lines: ["with session.stream() as stream:", "    stream.send(...)  # the input of a step",
    "    print(stream.receive())"] }),
};

function stepped(method, input, options) {
  return answer(`session.${method}${args(input === undefined ? [] : [inputArgument(input)], options)}`);
}

function created({ model, input = {}, ...others }) {
  const { vector, ...rest } = input;
  const given = { ...others, ...(Object.keys(rest).length ? { input: isText(rest) ? rest.text : rest } : {}), vector };
  return { lines: [`session = client.create_session${args([literal(model)], given)}`, "print(session.id)"] };
}

function listed({ limit, ...others }) {
  if ("tenant" in others) return null;
  return { lines: [`print(client.list_sessions${args([], { ...others, limit: limit && Number(limit) })})`] };
}

const answer = (call) => ({ lines: [`answer = ${call}`, "print(answer)"] });
const printTokens = (call) => [`with ${call} as stream:`, "    for token in stream:", '        print(token.text, end="", flush=True)', "print()"];
const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
const isText = (input) => typeof input.text === "string" && Object.keys(input).length === 1;

/** An input as the client takes it: a text, tokens or rows alone, anything else as the mapping that it is. */
function inputArgument(input) {
  const names = Object.keys(input);
  const plain = names.length === 1 && (isText(input) || (["tokens", "values"].includes(names[0]) && input[names[0]].length > 0));
  return literal(plain ? input[names[0]] : input, 1);
}

/** The arguments of a call; those without a value are left out. */
function args(positional, named = {}) {
  const all = [...positional, ...Object.entries(named).filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${literal(value, 1)}`)];
  const line = all.join(", ");
  return line.length <= 90 && !line.includes("\n") ? `(${line})` : `(\n${all.map((text) => `    ${text},\n`).join("")})`;
}

function httpxProgram({ method, url, body, raw, withKey }) {
  const given = [];
  if (withKey) given.push('headers={"Authorization": "Bearer " + os.environ["UNROLL_API_KEY"]}');
  if (raw) given.push('content=Path("state.safetensors").read_bytes()');
  else if (Object.keys(body).length) given.push(`json=${literal(body, 1)}`);
  const imports = [...(withKey ? ["import os"] : []), ...(raw ? ["from pathlib import Path"] : [])];
  return [...imports, ...(imports.length ? [""] : []), "import httpx", "",
    `answer = httpx.request${callArguments(method, url, given)}`, "answer.raise_for_status()", "print(answer.text)"].join("\n");
}

function callArguments(method, url, given) {
  const all = [literal(method), literal(url.href), ...given];
  return `(\n${all.map((text) => `    ${text},\n`).join("")})`;
}
