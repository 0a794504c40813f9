// The theme: the system's until the reader chooses; set before the page is drawn, so that nothing flashes.

const root = document.documentElement;
const THEME_KEY = "glassnet-theme";

function storedTheme() {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null; // some browsers keep nothing for pages from disk
  }
}

function storeTheme(theme) {
  try {
    localStorage.setItem(THEME_KEY, theme);
  } catch {
    // the choice then holds for this visit
  }
}

function isDark() {
  return (
    (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark"
  );
}

if (["dark", "light"].includes(storedTheme())) root.dataset.theme = storedTheme();

function startTheme() {
  const button = document.getElementById("theme");
  const label = () => (button.textContent = isDark() ? "Light theme" : "Dark theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    storeTheme(root.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}
