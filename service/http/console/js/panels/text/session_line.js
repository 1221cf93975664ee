// Where a session stands, in a small line.

import { fill, h } from "../../dom.js";

const bytes = (count) => (count < 10_000 ? `${count} bytes` : `${Math.round(count / 1000)} kB`);
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** A line that follows LiveSessions, one at a time: {root, follow(session)}. */
export function sessionLine() {
  const root = h("p", { class: "session-line small", "data-testid": "session" });
  let followed = null;
  const show = () => {
    const { id, info } = followed;
    if (!info) return fill(root, "The session begins with the first step.");
    const expiry = new Date(info.expires_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    fill(root, h("a", { href: `#/sessions/${encodeURIComponent(id)}`, class: "mono" }, `${id.slice(0, 12)}…`),
      ` · step ${info.step} · ${counted(info.timesteps, "timestep")} · ${bytes(info.state_bytes)} of state · expires at ${expiry}`);
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
