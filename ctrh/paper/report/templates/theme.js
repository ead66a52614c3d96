// The chosen theme is remembered where the browser allows it; a page opened from a file may not.
(() => {
  "use strict";
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  let remembered = null;
  try { remembered = localStorage.getItem("ctrh-theme"); } catch { /* not allowed */ }
  apply(remembered);
  addEventListener("DOMContentLoaded", () => {
    for (const input of document.querySelectorAll("input[name=theme]")) {
      input.checked = input.value === (root.dataset.theme || "auto");
      input.addEventListener("change", () => {
        apply(input.value);
        try { localStorage.setItem("ctrh-theme", input.value); } catch { /* not allowed */ }
      });
    }
  });
})();
