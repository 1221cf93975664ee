// The text format of Server-Sent Events.

/** Yield {event, data} for each event of a body, a ReadableStream of bytes. Comments and unfinished events are left out. */
export async function* parseEvents(body) {
  let buffer = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    // A line feed that is still to come belongs to the carriage return at the end.
    const held = buffer.endsWith("\r") ? "\r" : "";
    const blocks = buffer.slice(0, buffer.length - held.length).replace(/\r\n?/g, "\n").split("\n\n");
    buffer = blocks.pop() + held;
    for (const block of blocks) {
      const event = parseBlock(block);
      if (event.data) yield event;
    }
  }
}

function parseBlock(block) {
  const values = (name) => block.split("\n").filter((line) => line === name || line.startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  return { event: values("event").at(-1) || "message", data: values("data").join("\n") };
}
