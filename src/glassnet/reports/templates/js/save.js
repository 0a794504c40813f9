// Saving: every figure has a button. SVG is saved in the theme's present colours, images as they are, cards drawn side
// by side. Files are handed over as blobs: the page needs no connection, and its policy allows none.

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function fileName(words, suffix) {
  return `${
    words
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "") || "figure"
  }.${suffix}`;
}

// The colour that a property of the page has now: light-dark() is resolved only where it is used.
function themeColour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function saveDrawing(svg, name) {
  const copy = svg.cloneNode(true);
  const box = svg.viewBox.baseVal;
  for (const extra of copy.querySelectorAll(".pointer")) extra.remove();
  copy.removeAttribute("style");
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({
    x: box.x,
    y: box.y,
    width: box.width,
    height: box.height,
    fill: "var(--surface)",
  }))
    paper.setAttribute(key, value);
  copy.prepend(paper);
  const colours = new Map();
  const text = new XMLSerializer().serializeToString(copy).replace(/var\((--[a-z]+)\)/g, (_, variable) => {
    if (!colours.has(variable)) colours.set(variable, themeColour(variable));
    return colours.get(variable);
  });
  download(new Blob([text], { type: "image/svg+xml" }), fileName(name, "svg"));
}

function savePng(image, name) {
  const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (character) => character.charCodeAt(0));
  download(new Blob([bytes], { type: "image/png" }), fileName(name, "png"));
}

// A table as it stands on the page, cell by cell; used for the confusion matrix.
function saveTable(table, name) {
  const frame = table.getBoundingClientRect();
  const namespace = "http://www.w3.org/2000/svg";
  const make = (tag, values, words = "") => {
    const element = document.createElementNS(namespace, tag);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    element.textContent = words;
    return element;
  };
  const svg = make("svg", { viewBox: `0 0 ${frame.width} ${frame.height}` });
  const view = document.createElement("div"); // a drawing must stand in the page to know its box
  view.append(svg);
  view.style.display = "none";
  document.body.append(view);
  for (const cell of table.querySelectorAll("caption, th, td")) {
    const box = cell.getBoundingClientRect();
    const style = getComputedStyle(cell);
    const [x, y] = [box.x - frame.x, box.y - frame.y];
    svg.append(make("rect", { x, y, width: box.width, height: box.height, fill: style.backgroundColor }));
    const upright = table.classList.contains("long") && cell.closest("thead") && cell.querySelector("span");
    const anchor = cell.tagName === "CAPTION" ? "start" : "middle";
    const at = upright
      ? [x + box.width / 2 + 4, y + box.height - 4]
      : [anchor === "start" ? x : x + box.width / 2, y + box.height / 2 + 4];
    const turn = upright ? { transform: `rotate(-90 ${at})` } : {};
    const font = `${style.fontWeight} 12px sans-serif`;
    svg.append(
      make(
        "text",
        {
          x: at[0],
          y: at[1],
          "text-anchor": upright ? "start" : anchor,
          fill: style.color,
          style: `font:${font}`,
          ...turn,
        },
        cell.textContent.trim(),
      ),
    );
  }
  saveDrawing(svg, name);
  view.remove();
}

// All cards, or answers, below `box`, with their words, two images high.
function saveCards(box, name) {
  const cards = [...box.querySelectorAll(".card, .answer")];
  const [side, line, gap] = [200, 18, 12];
  const pictures = cards.map((card) =>
    [...card.querySelectorAll("img, canvas")].filter((image) => image.checkVisibility()),
  );
  const most = Math.max(...pictures.map((row) => row.length), 1);
  const across = Math.max(1, Math.min(cards.length, Math.floor(6 / most)));
  const [width, height] = [most * (side + 4) + gap, side + 3 * line + gap];
  const canvas = document.createElement("canvas");
  canvas.width = across * width + gap;
  canvas.height = Math.ceil(cards.length / across) * height + gap;
  const pen = canvas.getContext("2d");
  pen.fillStyle = themeColour("--surface");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = false;
  cards.forEach((card, place) => {
    const [left, top] = [gap + (place % across) * width, gap + Math.floor(place / across) * height];
    const write = (words, x, y, font, room) => {
      pen.font = font;
      pen.fillStyle = themeColour("--ink");
      pen.fillText(words.trim(), x, y, room);
    };
    write(
      card.querySelector(".heading")?.textContent ?? card.getAttribute("aria-label") ?? name,
      left,
      top + 13,
      "bold 14px sans-serif",
      width - gap,
    );
    pictures[place].forEach((image, number) => {
      const x = left + number * (side + 4);
      const [w, h] = [image.naturalWidth || image.width, image.naturalHeight || image.height];
      const scale = side / Math.max(w, h);
      pen.drawImage(image, x, top + line, w * scale, h * scale);
      write(
        image.parentElement.querySelector("span")?.textContent ?? "",
        x,
        top + line + side + 14,
        "12px sans-serif",
        side,
      );
    });
    write(
      card.querySelector(".facts, .likeliest")?.textContent.replace(/\s+/g, " ") ?? "",
      left,
      top + 2 * line + side + 12,
      "12px sans-serif",
      width - gap,
    );
  });
  canvas.toBlob((blob) => download(blob, fileName(name, "png")));
}

const SAVE = {
  svg: ["Save SVG", (figure, name) => saveDrawing(figure.querySelector("svg"), name)],
  plot: ["Save SVG", (figure, name) => saveDrawing(figure.querySelector("svg"), name)],
  png: ["Save PNG", (figure, name) => savePng(figure.querySelector("img"), name)],
  table: ["Save SVG", (figure, name) => saveTable(figure.querySelector("table"), name)],
  cards: ["Save PNG", (figure, name) => saveCards(figure, name)],
};

function startSaving() {
  for (const figure of document.querySelectorAll("figure[data-save]")) {
    const [words, save] = SAVE[figure.dataset.save];
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.setAttribute("aria-label", `${words} of ${figure.dataset.name}`);
    button.addEventListener("click", () => save(figure, figure.dataset.name));
    figure.querySelector("figcaption").append(button);
  }
}
