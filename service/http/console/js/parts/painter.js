// Drawing as often as the browser keeps up with.

/** Return a function that asks for a drawing: while one is under way, those asked for in between are done once, after it. */
export function painter(draw, signal) {
  let busy = false, stale = false;
  return async () => {
    stale = true;
    if (busy) return;
    busy = true;
    try {
      while (stale && !signal.aborted) {
        stale = false;
        await draw();
        await new Promise(requestAnimationFrame);
      }
    } finally {
      busy = false;
    }
  };
}
