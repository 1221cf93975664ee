// Errors at the fields that they concern: those of the service name a parameter, such as options.horizon.

import { fill, h } from "../dom.js";
import { errorBox } from "../notices.js";

/** Tells errors: `fields` maps beginnings of the service's parameters to controls; `rest` shows all others. */
export class FieldErrors {
  constructor(fields, rest) {
    Object.assign(this, { fields, rest });
  }

  clear() {
    this.rest.replaceChildren();
    for (const control of Object.values(this.fields)) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-errormessage");
      control.parentElement?.querySelector(".field-error")?.remove();
    }
  }

  /** Tell an error with its `param` at its field, or else below; `more` is shown below it. */
  tell(error, ...more) {
    this.clear();
    const name = Object.keys(this.fields).find((key) => error.param?.startsWith(key));
    if (!name) return fill(this.rest, errorBox(error), more);
    const control = this.fields[name];
    const message = h("small", { class: "field-error", role: "alert", id: `${control.id}-error` }, error.message);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-errormessage", message.id);
    control.parentElement.append(message);
    control.focus();
    return fill(this.rest, more);
  }
}

/** An error of a field that the page itself found. */
export class FieldError extends Error {
  constructor(message, param) {
    super(message);
    this.param = param;
  }
}

/** The whole number in a control from `least` to `most`; null if it is empty. */
export function wholeNumber(control, name, least, most, param) {
  const text = control.value.trim();
  if (!text && !control.validity.badInput) return null;
  const number = Number(text);
  if (!text || !Number.isInteger(number) || number < least || number > most) {
    throw new FieldError(`${name}: expected a whole number from ${least} to ${most}.`, param);
  }
  return number;
}
