// The translator's part of the panel: accepted words, the next ones as candidates, and the rest of the sentence.

import { field, fill, h } from "../../dom.js";
import { candidateList } from "../text/candidates.js";
import { problemBox } from "../text/problems.js";
import { sessionLine } from "../../parts/session_line.js";
import { splitWords } from "../text/tokens.js";
import { Draft } from "./draft.js";

const HINT = "Type a text above and choose “Translate word by word”: you type or choose each word, and the model suggests the next ones and the rest of the sentence.";

/** The words of a draft and the field for the next ones; a text of several sentences has a draft of one at a time. */
export class DraftView {
  constructor(model, signal) {
    Object.assign(this, { model, signal, slot: `unroll-translation-${model}`, sentences: [], index: 0, draft: null, gap: "" });
    this.area = h("textarea", { rows: "2", dir: "auto", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
    this.choice = h("select", { on: { change: () => this.open(this.choice.selectedIndex) } });
    this.chooser = field("Sentence to translate", this.choice);
    this.source = h("blockquote", { dir: "auto", class: "source" });
    this.words = h("div", { class: "words accepted", dir: "auto", role: "group", "aria-label": "Accepted words" });
    this.rest = h("bdi", { class: "rest" });
    this.takeRest = h("button", { type: "button", on: { click: () => this.acceptRest() } }, "Take the rest");
    this.list = candidateList({ label: "Next words of the translation", accept: ({ token }) => this.accept(token) });
    this.line = sessionLine();
    this.notice = h("div", {});
    this.status = h("p", { class: "small status", role: "status" });
    this.hint = h("p", { class: "empty" }, HINT);
    this.body = this.layout();
    this.body.hidden = true;
    this.root = h("section", { class: "card stack", "aria-labelledby": "draft-title" },
      h("h2", { id: "draft-title" }, "Translate word by word"), this.hint, this.notice, this.body);
    this.area.addEventListener("input", (event) => { if (!event.isComposing) this.take(); });
    this.area.addEventListener("compositionend", () => this.take());
    this.area.addEventListener("keydown", (event) => this.key(event));
  }

  layout() {
    return h("div", { class: "stack" }, this.chooser, this.source, this.words,
      field("Your next words", this.area, "A word is accepted when a space follows it, or with Enter. Tab takes the rest of the sentence; after Esc, Tab leaves the field. Backspace in the empty field goes back by a word."),
      h("div", { class: "row completion" }, this.rest, this.takeRest), this.list.root,
      h("div", { class: "row" },
        h("button", { type: "button", on: { click: () => this.back() } }, "Back by a word"),
        h("button", { type: "button", on: { click: () => this.goTo(0) } }, "Start again")),
      this.status, this.line.root);
  }

  /** Continue what the tab remembers. */
  async resume() {
    const stored = JSON.parse(sessionStorage.getItem(this.slot) ?? "null");
    if (!stored) return;
    Object.assign(this, { sentences: stored.sentences, index: stored.index });
    this.follow(new Draft(this.model, this.sentences[this.index], { stored: stored.draft, signal: this.signal }));
    const unread = await this.draft.resume();
    this.putBack(unread);
    if (this.draft.lost) this.report(this.draft.lost);
    this.show();
  }

  /** Begin to translate a text. */
  async begin(text) {
    this.sentences = text.split(/(?<=[.?!…。？！])\s+|\n+/u).map((part) => part.trim()).filter(Boolean);
    await this.open(0);
    this.area.focus();
  }

  /** Begin to translate a sentence of the text. */
  async open(index) {
    this.index = index;
    Object.assign(this, { gap: "" });
    this.area.value = "";
    await this.attempt(async () => {
      await this.draft?.session.end();
      const draft = new Draft(this.model, this.sentences[index], { signal: this.signal });
      await draft.session.open();
      this.follow(draft);
      this.show();
    });
  }

  follow(draft) {
    this.draft = draft;
    draft.addEventListener("change", () => { if (draft === this.draft) this.show(); });
    draft.addEventListener("failure", ({ detail }) => {
      this.putBack(detail.words);
      this.report(detail.error);
    });
  }

  show() {
    const { draft, sentences, index } = this;
    sessionStorage.setItem(this.slot, JSON.stringify({ sentences, index, draft }));
    this.hint.hidden = true;
    this.body.hidden = false;
    this.chooser.hidden = sentences.length < 2;
    fill(this.choice, sentences.map((sentence, place) => h("option", { selected: place === index }, `${place + 1} of ${sentences.length}: ${sentence}`)));
    fill(this.source, draft.source);
    fill(this.words, draft.transcript.words.map((word, place) => this.wordButton(word, place + 1)),
      draft.waiting.map(({ text }) => h("span", { class: "word waiting" }, h("bdi", {}, text))));
    this.words.hidden = draft.empty;
    this.area.disabled = draft.lost !== null;
    this.line.follow(draft.session);
    this.suggest();
  }

  wordButton({ text, foreign }, length) {
    const shown = foreign ? `… ${foreign} steps from elsewhere` : text;
    return h("button", { type: "button", class: "accepted-word", "aria-label": `${shown}: return to after this word`,
      on: { click: () => this.goTo(length) } }, h("bdi", {}, shown));
  }

  async suggest() {
    const { draft } = this, start = this.area.value.trim();
    const asked = (this.asked = Symbol("suggestion"));
    if (draft.busy || draft.lost) return;
    try {
      const { completion, predictions } = await draft.ask();
      const near = start ? await draft.matching(start) : predictions;
      if (asked !== this.asked || this.signal.aborted) return;
      this.completion = completion.text.trim().toLowerCase().startsWith(start.toLowerCase()) ? completion.text : "";
      fill(this.rest, this.completion || (start || completion.text ? "" : "The model adds nothing: the sentence is complete."));
      this.takeRest.hidden = !this.completion;
      this.list.show(near, start && `No suggestion begins with “${start}”.`);
    } catch (error) {
      this.draft.note(error);
      this.report(error);
    }
  }

  key(event) {
    if (event.isComposing) return;
    const leaves = this.escaped && event.key === "Tab";
    this.escaped = event.key === "Escape";
    if (event.key === "Tab" && !event.shiftKey && this.completion && !leaves) this.acceptRest();
    else if (event.key === "Enter" && !event.shiftKey) this.take(true);
    else if (event.key === "ArrowDown" && !this.area.value) this.list.focus();
    else if (event.key === "Backspace" && !this.area.value && !event.repeat) this.back();
    else return;
    event.preventDefault();
  }

  /** Accept the finished words of the field; with `all`, the last one, too. */
  take(all = false) {
    const { words, rest } = splitWords(this.gap + this.area.value);
    const open = all || rest || !words.length ? null : words.pop();
    this.gap = all ? "" : open ? open.gap : rest || this.gap;
    if (this.area.value !== (open?.text ?? "")) this.area.value = open?.text ?? "";
    if (words.length) this.send(words); else this.suggest();
  }

  /** Accept a candidate, in place of what is typed. A space in front of a mark is part of it. */
  accept(token) {
    this.area.value = "";
    this.gap = "";
    this.send([{ gap: /^\s*/.exec(token)[0], text: token.trimStart() }]);
  }

  acceptRest() {
    const { words } = splitWords(this.completion);
    this.area.value = "";
    this.gap = "";
    this.completion = "";
    this.send(words).then(() => fill(this.status, "The rest of the sentence is accepted."));
  }

  send(words) {
    fill(this.notice);
    fill(this.status);
    return this.draft.feed(words);
  }

  putBack(words) {
    if (words.length) this.area.value = `${words.map(({ gap, text }, index) => (index ? gap : "") + text).join("")} ${this.area.value}`.trimEnd();
  }

  back() {
    const { length } = this.draft.transcript;
    return length ? this.goTo(length - 1) : null;
  }

  goTo(length) {
    return this.attempt(() => this.draft.goTo(length), () => `Back ${length ? `at word ${length}` : "at the beginning"}, by a reset: step ${this.draft.session.info?.step ?? 0}.`);
  }

  async attempt(action, said = null) {
    fill(this.notice);
    fill(this.status);
    try {
      await action();
      if (said) fill(this.status, said());
    } catch (error) {
      this.report(error);
    }
  }

  report(error) {
    if (error.name === "AbortError" || this.signal.aborted) return;
    const actions = { feed: () => this.take(true), renew: (withWords) => this.attempt(() => this.renew(withWords), () => "A new session has begun.") };
    fill(this.notice, problemBox(error, this.draft ?? { lost: null }, actions));
  }

  renew(withWords) {
    return this.draft.renew(withWords ? this.draft.transcript.words.filter(({ foreign }) => !foreign) : []);
  }
}
