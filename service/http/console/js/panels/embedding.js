export async function render(root, { model, signal }) { root.append(`${model.task}`, String(signal.aborted)); }
