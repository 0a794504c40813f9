/** Component styles become a file: the page's Content-Security-Policy forbids <style> elements. */
export default { compilerOptions: { css: "external", runes: true } };
