// What a panel says when words could not be fed, and what the user can do then.

import { h } from "../../dom.js";
import { errorBox } from "../../notices.js";

/** An element for an error of a TextSession; `actions` are {feed(), renew(withWords)}. */
export function problemBox(error, text, actions) {
  if (text.lost) return lostBox(text, actions);
  if (error.code !== "step_conflict") return errorBox(error);
  return h("div", { class: "error", role: "alert" },
    h("p", {}, `Something else has stepped this session, such as another tab: it stands at step ${text.session.info?.step}. This page has read it again and goes on from there. The words that were not fed are back in the field.`),
    h("button", { type: "button", on: { click: actions.feed } }, "Feed them now"));
}

/** An element that tells of a session that is gone, and begins a new one on request. */
function lostBox({ lost, transcript }, { renew }) {
  return h("div", { class: "error", role: "alert" },
    h("p", {}, "This session is gone, and cannot be continued. ", h("span", { class: "small" }, lost.message)),
    h("div", { class: "row" },
      transcript.length > 0 && h("button", { type: "button", on: { click: () => renew(true) } }, "Begin a new one with these words"),
      h("button", { type: "button", on: { click: () => renew(false) } }, "Begin with nothing")));
}
