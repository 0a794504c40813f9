(() => {
  "use strict";
  const root = document.documentElement;
  const key = "glassnet-theme";
  const stored = () => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // some browsers keep nothing for pages from disk
    }
  };
  const store = (theme) => {
    try {
      localStorage.setItem(key, theme);
    } catch {
      // the choice then holds for this visit
    }
  };
  const isDark = () =>
    (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => (button.textContent = isDark() ? "Light theme" : "Dark theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      store(root.dataset.theme);
      label();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();

    // what scrolls must be reachable with the keyboard; what does not scroll need not stop it
    const reach = () => {
      for (const box of document.querySelectorAll(".scroll")) {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
        else box.removeAttribute("tabindex");
      }
    };
    addEventListener("resize", reach);
    reach();
  });
})();
