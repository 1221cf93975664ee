// The facts of a model: network, sizes, versions, fingerprint.

import { h } from "../dom.js";
import { bytes, count, shortened } from "./format.js";

/** A tag that says whether the model reproduced what its trainer computed. */
export function verified(model) {
  return model.verified
    ? h("span", { class: "tag good", title: "The network reproduced the golden vectors that its trainer recorded." }, "verified")
    : h("span", { class: "tag warn", title: "The folder has no golden vectors to check the network with." }, "not verified");
}

/** A list of facts. */
export function facts(model) {
  return h("dl", { class: "facts" },
    fact("Network", network(model)),
    fact("Parameters", count(model.parameters)),
    fact("State", `${bytes(model.state_bytes)} for each session`),
    fact("Arithmetic", model.dtype),
    fact("Versions", versions(model)),
    fact("Fingerprint", fingerprint(model.fingerprint)));
}

const fact = (name, value) => [h("dt", {}, name), h("dd", {}, value)];

function network(model) {
  const sizes = [...new Set([model.hidden_size].flat())].map(count).join(", ");
  const layers = `${count(model.num_layers)} ${model.num_layers === 1 ? "layer" : "layers"}`;
  return `${model.cell.replace("_", " ").toUpperCase()}, ${layers}${model.num_layers ? ` of ${sizes}` : ""}`;
}

function versions(model) {
  const taken = model.versions.map((version) => [h("span", { class: "tag" }, version, version === model.default_version && " · default"), " "]);
  const retiring = (model.retiring_versions ?? []).map((version) =>
    [h("span", { class: "tag warn", title: "It takes no new sessions. Those that it has continue." }, version, " · retiring"), " "]);
  return [...retiring, ...taken];
}

function fingerprint(text) {
  const button = h("button", { type: "button", class: "copy", "aria-label": "Copy the fingerprint", on: { click: copy } }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Browsers keep the clipboard from pages that are not served securely.
      button.replaceWith(h("code", {}, text));
    }
  }
  return h("span", { class: "row tight" }, h("code", { title: text }, shortened(text.replace("sha256:", ""))), button);
}
