// The contract as Swagger UI shows it. In this page its calls carry the key of the tab, which those of /docs cannot.

import { get, getKey } from "../api.js";
import { fill, h, loadScript, loadStyle } from "../dom.js";

export async function render(view, { signal }) {
  const spec = await get("openapi.json", { signal, quiet: true });
  loadStyle("docs/swagger-ui.css");
  if (!window.SwaggerUIBundle) await loadScript("docs/swagger-ui-bundle.js");
  if (signal.aborted) return;
  const page = h("div", { class: "foreign-page" });
  fill(view, h("h1", {}, "API"), page);
  window.SwaggerUIBundle({
    spec, domNode: page, deepLinking: false, validatorUrl: null,
    requestInterceptor: (request) => {
      if (getKey()) request.headers.Authorization = `Bearer ${getKey()}`;
      return request;
    },
  });
}
