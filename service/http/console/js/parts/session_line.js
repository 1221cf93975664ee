// Where the session of a panel stands, in a line.

import { fill, h } from "../dom.js";
import { bytes, shortened } from "../pages/format.js";

/**
 * A line that follows LiveSessions, one at a time: {root, follow(session)}. With `restart`, which is called when the
 * user wants to begin anew, it has a button.
 */
export function sessionLine(restart = null) {
  const facts = h("span", { class: "row" });
  const root = h("div", { class: "row spread small session-line", "data-testid": "session" }, facts,
    restart && h("button", { type: "button", on: { click: restart } }, "New session"));
  let followed = null;
  const show = () => {
    const { id, info } = followed;
    if (!info) return fill(facts, "The session begins with the first step.");
    const expiry = new Date(info.expires_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    fill(facts, h("a", { href: `#/sessions/${encodeURIComponent(id)}`, class: "mono" }, shortened(id)),
      h("span", {}, `step ${info.step}`), h("span", {}, `${info.timesteps} timestep${info.timesteps === 1 ? "" : "s"}`),
      h("span", {}, `state ${bytes(info.state_bytes)}`),
      h("span", {}, "expires at ", h("time", { datetime: info.expires_at }, expiry)));
  };
  return {
    root,
    follow(session) {
      followed?.removeEventListener("change", show);
      followed = session;
      session.addEventListener("change", show);
      show();
    },
  };
}
