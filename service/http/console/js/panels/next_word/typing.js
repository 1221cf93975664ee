// The field that words are typed in: a finished word is fed, an unfinished one is completed.

import { field, h } from "../../dom.js";
import { asWord, splitWords } from "../text/tokens.js";

/**
 * The field: `feed(words)` takes finished words, `undo()` takes the last one back, `changed()` is called when the
 * unfinished word has changed, `choose(index)` accepts a candidate, `list()` moves the focus to the candidates.
 */
export function typing({ kind, feed, undo, changed, choose, list, isEmpty, signal }) {
  const area = h("textarea", { rows: "2", dir: "auto", autocomplete: "off", autocapitalize: "none", spellcheck: "false", enterkeyhint: "send" });
  // The white space between the last finished word and the unfinished one.
  let gap = "";

  /** Feed the finished words of the field; with `all`, the last one, too. */
  const take = (all = false) => {
    const { words, rest } = splitWords(gap + area.value);
    const open = all || rest || !words.length ? null : words.pop();
    gap = all ? "" : open ? open.gap : rest || gap;
    if (area.value !== (open?.text ?? "")) area.value = open?.text ?? "";
    if (words.length) feed(spaced(words));
    changed();
  };
  /** Words of a word model follow a space, but for marks, even if a candidate was accepted before them. */
  const spaced = ([first, ...others]) => [kind === "words" && !first.gap ? { ...first, gap: asWord(first.text, kind, isEmpty()).gap } : first, ...others];

  area.addEventListener("input", (event) => { if (!event.isComposing) take(); }, { signal });
  area.addEventListener("compositionend", () => take(), { signal });
  area.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const digit = event.altKey && /^Digit([1-9])$/.exec(event.code)?.[1];
    if (digit) choose(digit - 1);
    else if (event.key === "Enter" && !event.shiftKey) take(true);
    else if (event.key === "ArrowDown" && !area.value) list();
    else if (event.key === "Backspace" && !area.value && !event.repeat && !isEmpty()) takeBack();
    else return;
    event.preventDefault();
  }, { signal });

  const takeBack = async () => {
    const word = await undo();
    if (!word || word.foreign) return;
    area.value = word.text + area.value;
    gap = word.gap;
    changed();
  };
  return {
    root: field("Type here", area, "A word is fed when a space follows it, or with Enter. Backspace in the empty field takes the last word back; Arrow Down goes to the candidates, Alt and a number accepts one."),
    /** The unfinished word, and the white space before it. */
    partial: () => ({ gap, text: area.value }),
    focus: () => area.focus(),
    /** Feed all that is typed. A model of characters reads the white space behind the last word, too. */
    flush() {
      const behind = kind === "characters" && !area.value ? gap : "";
      if (behind) gap = "";
      take(true);
      if (behind) feed([{ gap: "", text: behind }]);
    },
    enable(enabled) { area.disabled = !enabled; },
    /** Put words back that could not be fed. */
    put(words) {
      const [{ gap: before }] = words;
      area.value = words.map((word, index) => (index ? word.gap : "") + word.text).join("") + gap + area.value;
      gap = before;
      changed();
    },
    /** Type a whole text, as an example does. */
    enter(text) {
      area.value = text;
      take(true);
      // A keyboard on the screen would hide what has just come.
      if (matchMedia("(pointer: fine)").matches) area.focus();
    },
    accept({ token }) {
      const word = asWord(token, kind, isEmpty());
      const text = area.value;
      area.value = "";
      if (kind === "words") {
        const continues = token.toLowerCase().startsWith(text.toLowerCase());
        const before = text && !continues ? spaced([{ gap, text }]) : [];
        feed([...before, { ...word, gap: continues && gap.includes("\n") ? gap : before.length ? "" : word.gap, token }]);
        gap = "";
      } else {
        const whole = (text ? gap + text : word.gap ? "" : gap) + word.gap + word.text;
        const { words, rest } = splitWords(whole);
        gap = rest;
        const exact = !text && words.length === 1 && whole === word.gap + word.text;
        if (words.length) feed(exact ? [{ ...words[0], token }] : words);
      }
      changed();
    },
  };
}
