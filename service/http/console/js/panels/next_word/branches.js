// The branches of a text: which there are, which one is shown, and what the tab remembers of them.

import { Branch } from "./branch.js";

/**
 * The branches of one model in this tab. Events: "change" when anything of the current branch changed, "failure" when
 * words of it could not be fed.
 */
export class Branches extends EventTarget {
  constructor(model, { kind, vector, signal }) {
    super();
    Object.assign(this, { model, kind, vector, signal, all: [], current: null });
    this.settings = vector ? { input: { vector } } : {};
    this.slot = slotOf(model);
  }

  /** Continue what the tab remembers, or begin. Returns words that the session has not read, of the tab's last visit. */
  async open() {
    const { branches = [], current } = remembered(this.model) ?? {};
    for (const stored of branches) this._follow(Branch.stored(this.model, stored, this));
    if (!this.all.length) this._follow(Branch.stored(this.model, { name: "1" }, this));
    return this.select(this.all.find(({ name }) => name === current) ?? this.all[0]);
  }

  /** Show a branch. Returns words that its session has not read. */
  async select(branch) {
    this.current = branch;
    const unread = branch.session.info || branch.lost ? [] : await branch.resume();
    this._changed(branch);
    return unread;
  }

  /** Begin a branch with the first `length` words of the current one, and show it. */
  async fork(length) {
    const name = String(Math.max(...this.all.map((branch) => Number(branch.name))) + 1);
    const branch = await this.current.fork(length, name);
    this._follow(branch);
    await this.select(branch);
  }

  /** End a branch and its session. */
  async remove(branch) {
    this.all = this.all.filter((other) => other !== branch);
    await branch.session.end();
    if (branch === this.current) await this.select(this.all.at(-1));
    else this._changed(this.current);
  }

  /** End all sessions and forget them. */
  async clear() {
    await Promise.all(this.all.map(async (branch) => {
      if (!branch.session.info && !branch.lost) await branch.session.resume();
      await branch.session.end();
    }));
    forget(this.model);
  }

  _follow(branch) {
    this.all.push(branch);
    branch.addEventListener("change", () => this._changed(branch));
    branch.addEventListener("failure", ({ detail }) => {
      this._changed(branch);
      this.dispatchEvent(new CustomEvent("failure", { detail: { ...detail, branch } }));
    });
  }

  _changed(branch) {
    const { vector, all, current } = this;
    sessionStorage.setItem(this.slot, JSON.stringify({ vector, current: current.name, branches: all }));
    if (branch === current) this.dispatchEvent(new Event("change"));
  }
}

const slotOf = (model) => `unroll-next-word-${model}`;

/** What the tab remembers of a model's branches: {vector, current, branches}; null if nothing. */
export function remembered(model) {
  try {
    return JSON.parse(sessionStorage.getItem(slotOf(model)));
  } catch {
    return null;
  }
}

const forget = (model) => sessionStorage.removeItem(slotOf(model));
