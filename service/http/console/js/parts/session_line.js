// Where the session of a panel stands, in a line, with the way to begin anew.

import { fill, h } from "../dom.js";

/** An element that follows a LiveSession. `restart` is called when the user wants a new session. */
export function sessionLine(session, restart) {
  const facts = h("span", { class: "row" });
  const root = h("div", { class: "row spread small session-line" }, facts,
    h("button", { type: "button", on: { click: restart } }, "New session"));
  const show = () => {
    const { info } = session;
    root.hidden = !info;
    if (!info) return;
    fill(facts, h("a", { href: `#/sessions/${info.id}`, class: "mono" }, info.id),
      h("span", {}, `step ${info.step}`), h("span", {}, `${info.timesteps} timesteps`),
      h("span", {}, `state ${bytes(info.state_bytes)}`),
      h("span", {}, "expires ", h("time", { datetime: info.expires_at }, new Date(info.expires_at).toLocaleTimeString())));
  };
  session.addEventListener("change", show);
  show();
  return root;
}

const bytes = (count) => (count < 1024 ? `${count} bytes` : `${(count / 1024).toFixed(1)} KiB`);
