// What is known of the images behind points: the tip at a point, and the card of one that has no maps.

const imagesById = new Map();

function imagesOf(id) {
  if (!imagesById.has(id)) {
    const images = JSON.parse(document.getElementById(id).textContent);
    if (images.tiles) {
      images.sheet = new Image();
      images.sheet.src = images.tiles.png;
    }
    imagesById.set(id, images);
  }
  return imagesById.get(id);
}

function thumbnail(images, place) {
  const { tiles, sheet } = images;
  const canvas = Object.assign(document.createElement("canvas"), {
    width: tiles.width,
    height: tiles.height,
  });
  const [column, row] = [place % tiles.columns, Math.floor(place / tiles.columns)];
  const paint = () =>
    canvas
      .getContext("2d")
      .drawImage(
        sheet,
        column * tiles.width,
        row * tiles.height,
        tiles.width,
        tiles.height,
        0,
        0,
        tiles.width,
        tiles.height,
      );
  if (sheet.complete) paint();
  else sheet.addEventListener("load", paint, { once: true });
  return canvas;
}

function line(tag, words, name = "") {
  return Object.assign(document.createElement(tag), { textContent: words, className: name });
}

function tipOf(images, place) {
  const { names, labels, predicted, classes } = images;
  const parts = images.tiles ? [thumbnail(images, place)] : [];
  parts.push(line("b", classes[labels[place]]));
  if (predicted && predicted[place] !== labels[place])
    parts.push(line("div", `taken for ${classes[predicted[place]]}`, "error"));
  parts.push(line("div", names[place]));
  return parts;
}

function plainCard(images, place, words) {
  const card = line("div", "", "card");
  const maps = line("div", "", "maps");
  if (images.tiles) {
    const image = line("div", "", "image");
    image.append(thumbnail(images, place), line("span", "image"));
    maps.append(image);
  }
  card.append(line("p", words, "heading"), maps, line("p", images.names[place], "facts"));
  return card;
}

// Show the tip beside a place in the window, inside it; the live region reads it out.
function showTip(parts, x, y) {
  const tip = document.getElementById("tip");
  tip.replaceChildren(...parts);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, x + 16 + width > innerWidth - 8 ? x - 16 - width : x + 16)}px`;
  tip.style.top = `${Math.max(8, Math.min(y - height / 2, innerHeight - height - 8))}px`;
}

function hideTip() {
  document.getElementById("tip").hidden = true;
}
