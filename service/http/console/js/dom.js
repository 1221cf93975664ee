// Elements of a page. Text always becomes text nodes, so that what a model or a user writes is never read as HTML.

/**
 * Create an element.
 *
 * @param {string} tag
 * @param {Object} attributes  Attributes; `on` maps events to handlers, `class`, `data` and `style` work as one expects;
 *   those that are null, undefined or false are left out.
 * @param {...(Node|string|number|null|Array)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name !== "value") element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  // Of a select, only an option that it already has can be chosen.
  if (attributes?.value !== undefined && attributes.value !== null) element.value = attributes.value;
  return element;
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

/** Replace what an element contains. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let fields = 0;

/** A label with its control: `field("Beam", h("input", {type: "number"}))`. `hint` is a sentence below it. */
export function field(label, control, hint = null) {
  control.id ||= `field-${++fields}`;
  const hintId = hint && `${control.id}-hint`;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" },
    h("label", { for: control.id }, label), control, hint && h("small", { id: hintId }, hint));
}

/** Load a script of a library by its path below the root of the service. */
export function loadScript(path, attributes = {}) {
  return new Promise((resolve, reject) => {
    const script = h("script", { ...attributes, src: new URL(`../../${path}`, import.meta.url).href });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => { script.remove(); reject(new Error("A part of this page could not be loaded from the service.")); });
    document.head.append(script);
  });
}

/** Load a style sheet of the console once, by its name below css/. */
export const style = (name) => loadStyle(`console/css/${name}.css`);

/** Load a style sheet once, by its path below the root of the service. */
export function loadStyle(path) {
  const href = new URL(`../../${path}`, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  document.head.append(h("link", { rel: "stylesheet", href }));
}
