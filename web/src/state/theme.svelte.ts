/** Light, dark, or as the system has it; remembered on this machine. */
export type Theme = "auto" | "light" | "dark";

const STORED = "glassnet-theme";

function stored(): Theme {
  try {
    const text = localStorage.getItem(STORED);
    return text === "light" || text === "dark" ? text : "auto";
  } catch {
    return "auto"; // Storage is switched off.
  }
}

class ThemeState {
  value = $state<Theme>("auto");
  system = $state(false);
  /** Whether the page is dark now. */
  dark = $derived(this.value === "auto" ? this.system : this.value === "dark");

  start(): void {
    this.value = stored();
    const query = matchMedia("(prefers-color-scheme: dark)");
    this.system = query.matches;
    query.addEventListener("change", () => (this.system = query.matches));
    this.apply();
  }

  set(value: Theme): void {
    this.value = value;
    try {
      localStorage.setItem(STORED, value);
    } catch {
      // Storage is switched off: the choice holds until the page is closed.
    }
    this.apply();
  }

  private apply(): void {
    if (this.value === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = this.value;
  }
}

export const theme = new ThemeState();
