// What comes next: after the words that the session has read, or in place of the unfinished one.

const PAUSE = 120;

/**
 * A function that asks for candidates and shows them in `list`, once the session has read what was typed. `current` is
 * the branch, `field` the one that is typed in; `fail` is told of errors.
 */
export function suggestions({ kind, current, field, list, fail, signal }) {
  let timer = null, asked = 0;
  const show = async () => {
    const branch = current(), turn = ++asked, { gap, text } = field().partial();
    if (branch.busy || branch.lost || signal.aborted) return;
    try {
      const predictions = await ask(branch, gap, text);
      if (turn === asked && branch === current()) list.show(predictions, `Nothing in the vocabulary continues “${text}”.`);
    } catch (error) {
      // A text of which the model makes no token has no candidates.
      if (turn === asked) list.show([]);
      if (error.status !== 422) fail(error);
    }
  };
  const ask = async (branch, gap, text) => {
    if (text && kind === "words") return branch.peek({ text }, { complete: true });
    if (text || (gap && kind === "characters")) return branch.peek({ text: gap + text });
    return (await branch.ask()).predictions;
  };
  return () => {
    clearTimeout(timer);
    timer = setTimeout(show, field().partial().text ? PAUSE : 0);
  };
}
