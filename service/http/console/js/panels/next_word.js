// Next words: what is typed is fed to a session; candidates, surprise, branches, generation.

import { fill, h, style } from "../dom.js";
import { errorBox, loading } from "../notices.js";
import { candidateList } from "./text/candidates.js";
import { problemBox } from "./text/problems.js";
import { sessionLine } from "../parts/session_line.js";
import { readKind } from "./text/tokens.js";
import { branchChips } from "./next_word/branch_chips.js";
import { Branches, remembered } from "./next_word/branches.js";
import { generation } from "./next_word/generation.js";
import { suggestions } from "./next_word/suggestions.js";
import { typing } from "./next_word/typing.js";
import { vectorForm } from "./next_word/vector_form.js";
import { wordsView } from "./next_word/words_view.js";

const EXAMPLES = ["I would like a cup of", "How are", "She opened the door and", "I don't know"];

/** Show the panel of a next-word model. */
export async function render(root, { model, signal }) {
  style("text");
  const vector = remembered(model.id)?.vector ?? null;
  if (!model.vector_size || vector?.length === model.vector_size) return show(root, { model, vector, signal });
  askForVector(root, { model, vector, signal });
}

function askForVector(root, { model, vector, signal }) {
  fill(root, vectorForm(model.vector_size, vector, (chosen) => {
    fill(root, loading());
    show(root, { model, vector: chosen, signal }).catch((error) => { if (!signal.aborted) fill(root, errorBox(error)); });
  }));
}

async function show(root, { model, vector, signal }) {
  const kind = await readKind(model.id, vector, signal);
  const branches = new Branches(model.id, { kind, vector, signal });
  const panel = new Panel(branches, signal);
  if (vector) panel.offer("Another vector", async () => {
    await branches.clear();
    askForVector(root, { model, vector, signal });
  });
  await panel.begin();
  fill(root, panel.root);
}

/** The parts of the panel, and what their buttons do to the current branch. */
class Panel {
  constructor(branches, signal) {
    Object.assign(this, { branches, signal });
    const { kind } = branches;
    this.status = h("p", { class: "small status", role: "status" });
    this.notice = h("div", {});
    this.line = sessionLine();
    this.words = wordsView({ fork: (length) => this.fork(length), goTo: (length) => this.goTo(length) });
    this.chips = branchChips({
      select: (branch) => {
        this.generation.reset();
        return this.attempt(async () => this.putBack(await branches.select(branch)));
      },
      remove: (branch) => this.attempt(() => branches.remove(branch), () => `Branch ${branch.name} has ended.`),
    });
    const accept = (prediction) => this.field.accept(prediction);
    this.list = candidateList({ label: kind === "words" ? "Next words" : "Next tokens", accept });
    this.suggest = suggestions({ kind, signal, list: this.list, current: () => this.branch, field: () => this.field, fail: (error) => this.report(error) });
    this.field = typing({ kind, signal, feed: (words) => this.feed(words), undo: () => this.undo(), changed: this.suggest,
      isEmpty: () => this.branch.empty,
      choose: (index) => { if (this.list.at(index)) accept(this.list.at(index)); }, list: () => this.list.focus() });
    this.generation = generation({ kind, signal, branch: () => this.branch, tell: (sentence) => this.tell(sentence),
      prepare: () => this.field.flush(), show: (words) => this.showProvisional(words) });
    this.provisional = [];
    this.buttons = h("div", { class: "row" },
      h("button", { type: "button", on: { click: () => this.undo() } }, "Undo the last word"),
      h("button", { type: "button", on: { click: () => this.goTo(0) } }, "Start again"));
    this.root = this.layout();
    branches.addEventListener("change", () => this.update());
    branches.addEventListener("failure", ({ detail }) => {
      this.putBack(detail.words);
      this.report(detail.error);
    });
  }

  get branch() { return this.branches.current; }

  layout() {
    const examples = EXAMPLES.map((text) => h("button", { type: "button", class: "example", on: { click: () => this.field.enter(text) } }, text));
    return h("div", { class: "text-panel" },
      h("section", { class: "card stack", "aria-labelledby": "text-title" },
        h("h2", { id: "text-title" }, "The text of the session"),
        h("div", { class: "row", role: "group", "aria-label": "Examples" }, h("span", { class: "small", "aria-hidden": "true" }, "Try"), examples),
        this.chips.root, this.words.root, this.notice, this.field.root, this.list.root, this.buttons, this.status, this.line.root),
      h("section", { class: "card" }, this.generation.root));
  }

  async begin() {
    this.putBack(await this.branches.open());
  }

  /** Show words that are generated and not read by the session. */
  showProvisional(words) {
    this.provisional = words;
    this.words.show(this.branch, words);
  }

  /** Add a button beside those of the panel. */
  offer(label, action) {
    this.buttons.append(h("button", { type: "button", on: { click: () => this.attempt(action) } }, label));
  }

  update() {
    this.words.show(this.branch, this.provisional);
    this.chips.show(this.branches);
    this.line.follow(this.branch.session);
    this.field.enable(!this.branch.lost);
    this.suggest();
  }

  feed(words) {
    fill(this.notice);
    fill(this.status);
    this.branch.feed(words);
  }

  fork(length) {
    this.generation.reset();
    return this.attempt(() => this.branches.fork(length),
      () => `Branch ${this.branch.name} begins after word ${length}. It has a session of its own; the other branches stay as they are.`);
  }

  goTo(length) {
    this.generation.reset();
    return this.attempt(() => this.branch.goTo(length),
      () => `Back ${length ? `at word ${length}` : "at the beginning"}, by a reset: step ${this.branch.session.info?.step ?? 0}.`);
  }

  async undo() {
    let word = null;
    await this.attempt(async () => { word = await this.branch.undo(); }, () => (word ? `Took back “${word.text}”.` : "There is nothing to take back."));
    return word;
  }

  putBack(words) {
    if (words.length) this.field.put(words);
    if (this.branch.lost) this.report(this.branch.lost);
  }

  async attempt(action, said = null) {
    fill(this.notice);
    try {
      await action();
      if (said) this.tell(said());
    } catch (error) {
      this.report(error);
    }
  }

  tell(sentence) { fill(this.status, sentence); }

  report(error) {
    if (this.signal.aborted || error.name === "AbortError") return;
    const { branch } = this;
    branch.lost ??= branch.session.lost;
    this.field.enable(!branch.lost);
    fill(this.notice, problemBox(error, branch, {
      feed: () => this.field.flush(),
      renew: (withWords) => this.attempt(async () => {
        const words = withWords ? branch.transcript.words.filter(({ foreign }) => !foreign) : [];
        await branch.renew(words);
      }, () => "A new session has begun."),
    }));
  }
}
