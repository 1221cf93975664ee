export async function render(view) { view.replaceChildren('soon'); }
