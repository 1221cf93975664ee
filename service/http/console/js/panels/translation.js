// Translation: a text with its alternatives and attention, and a translator's own words with suggestions.

import { fill, h, style } from "../dom.js";
import { DraftView } from "./translation/draft_view.js";
import { readAttention, textTranslation } from "./translation/text_translation.js";

/** Show the panel of a translation model. */
export async function render(root, { model, signal }) {
  style("text");
  const drafts = new DraftView(model.id, signal);
  const whole = textTranslation(model, { hasAttention: await readAttention(model, signal), signal, translateByWords: (text) => drafts.begin(text) });
  await drafts.resume();
  fill(root, h("div", { class: "stack" }, whole.root, drafts.root));
}
