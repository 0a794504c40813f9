// Embeddings: a point shows its image, three dimensions turn. The drawing is the same SVG that stands without scripts
// (report/scatter.py draws it by the same rules); a dot is a zero-length stroke with round or square ends.

const RESOLUTION = 10_000;
const [WIDTH, HEIGHT, MARGIN] = [600, 520, 16];
const AXIS = 0.95;
const BANDS = 3;
const REACH = 18; // pixels of the drawing within which a pointer finds a point
const CLUSTER_COLOURS = [
  "#0568ab",
  "#ff9f0f",
  "#129e66",
  "#bf75ba",
  "#43b2ff",
  "#d46504",
  "#8c46ef",
  "#9fb499",
  "#ab2780",
  "#725916",
];

function svgElement(tag, values) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
  return element;
}

function decodePositions(text, dims) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const points = [];
  for (let place = 0; place < bytes.length; place += 2 * dims)
    points.push(
      Array.from({ length: dims }, (_, axis) => view.getInt16(place + 2 * axis, true) / RESOLUTION),
    );
  return points;
}

// Where points stand in the drawing, and how near they are; the same turn and tilt as scatter.project.
function project(points, turn, tilt) {
  const half = HEIGHT / 2 - MARGIN;
  const [sinTurn, cosTurn, sinTilt, cosTilt] = [
    Math.sin(turn),
    Math.cos(turn),
    Math.sin(tilt),
    Math.cos(tilt),
  ];
  return points.map(([a, b, c]) => {
    if (c === undefined) return [WIDTH / 2 + a * (WIDTH / 2 - MARGIN), HEIGHT / 2 - b * half, 1];
    const [across, away] = [a * cosTurn + b * sinTurn, b * cosTurn - a * sinTurn];
    return [
      WIDTH / 2 + across * half,
      HEIGHT / 2 - (c * cosTilt + away * sinTilt) * half,
      c * sinTilt - away * cosTilt,
    ];
  });
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

class Plot {
  constructor(figure) {
    this.figure = figure;
    this.images = imagesOf(figure.dataset.points);
    const data = JSON.parse(figure.querySelector("script.positions").textContent);
    this.points = decodePositions(data.positions, data.dims);
    this.clusters = data.clusters;
    this.size = data.size;
    this.three = data.dims === 3;
    [this.turn, this.tilt] = [0.6, 0.35];
    this.chosen = null; // the class or cluster that the legend brings forward
    this.by = "class";
    this.current = -1;
    this.svg = figure.querySelector("svg");
    this.plot = figure.querySelector(".plot");
    this.pointer = svgElement("circle", {
      class: "pointer",
      r: this.size / 2 + 4,
      style: "fill:none;stroke:var(--ink);stroke-width:2.5",
      visibility: "hidden",
    });
    this.svg.append(this.pointer);
    this.places = project(this.points, this.turn, this.tilt);
    this.listen();
    this.legend();
  }

  groups() {
    return this.by === "class" ? this.images.labels : this.clusters;
  }

  look(group) {
    if (this.by === "class") return this.images.colours[group];
    return [
      CLUSTER_COLOURS[group % CLUSTER_COLOURS.length],
      group >= CLUSTER_COLOURS.length ? "square" : "round",
    ];
  }

  draw() {
    this.places = project(this.points, this.turn, this.tilt);
    const [paths, groups] = [new Map(), this.groups()];
    let ring = "";
    this.places.forEach(([x, y, depth], place) => {
      const band = this.three ? Math.min(BANDS - 1, Math.floor(((depth + 1) / 2) * BANDS)) : BANDS - 1;
      const dot = `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
      const key = band * 10_000 + groups[place];
      paths.set(key, (paths.get(key) ?? "") + dot);
      if (
        this.images.predicted &&
        this.images.predicted[place] !== this.images.labels[place] &&
        (this.chosen ?? groups[place]) === groups[place]
      )
        ring += dot;
    });
    const dots = [...paths.keys()]
      .sort((a, b) => a - b)
      .map((key) => {
        const [near, group] = [Math.floor(key / 10_000) / (BANDS - 1), key % 10_000];
        const [colour, cap] = this.look(group);
        const faded = this.chosen !== null && this.chosen !== group ? 0.12 : 1;
        const style = `stroke:${colour};stroke-width:${(this.size * (0.7 + 0.3 * near)).toFixed(1)};stroke-linecap:${cap};stroke-opacity:${((0.4 + 0.55 * near) * faded).toFixed(2)}`;
        return svgElement("path", { d: paths.get(key), style });
      });
    this.svg.querySelector(".dots").replaceChildren(...dots);
    this.svg.querySelector(".ring")?.setAttribute("d", ring);
    this.moveNames();
    this.moveAxes();
    if (this.current >= 0) this.point(this.current);
  }

  moveNames() {
    for (const text of this.svg.querySelectorAll(".names text")) {
      const label = this.images.classes.indexOf(text.textContent);
      const own = this.places.filter((_, place) => this.images.labels[place] === label);
      text.setAttribute("x", median(own.map(([x]) => x)));
      text.setAttribute("y", median(own.map(([, y]) => y)));
    }
  }

  moveAxes() {
    const ends = project(
      [
        [AXIS, 0, 0],
        [0, AXIS, 0],
        [0, 0, AXIS],
      ],
      this.turn,
      this.tilt,
    );
    this.svg.querySelectorAll(".cross text").forEach((text, axis) => {
      const [x, y] = ends[axis];
      text.setAttribute("x", x);
      text.setAttribute("y", y);
      text.previousElementSibling.setAttribute(
        "d",
        `M${WIDTH / 2} ${HEIGHT / 2}L${x.toFixed(1)} ${y.toFixed(1)}`,
      );
    });
  }

  // The nearest point to a place in the drawing; of points in one place, the one in front.
  nearest(x, y, reach = REACH) {
    let [best, distance] = [-1, reach * reach];
    this.places.forEach(([a, b, depth], place) => {
      const far = (a - x) ** 2 + (b - y) ** 2 - (this.three ? depth : 0);
      if (far < distance) [best, distance] = [place, far];
    });
    return best;
  }

  toDrawing(event) {
    const box = this.svg.getBoundingClientRect();
    return [((event.clientX - box.x) / box.width) * WIDTH, ((event.clientY - box.y) / box.height) * HEIGHT];
  }

  point(place) {
    this.current = place;
    this.pointer.setAttribute("visibility", place < 0 ? "hidden" : "visible");
    if (place < 0) return hideTip();
    const [x, y] = this.places[place];
    this.pointer.setAttribute("cx", x);
    this.pointer.setAttribute("cy", y);
    const box = this.svg.getBoundingClientRect();
    showTip(tipOf(this.images, place), box.x + (x / WIDTH) * box.width, box.y + (y / HEIGHT) * box.height);
  }

  open(place) {
    const { examples, names, labels, predicted, classes } = this.images;
    const card = examples && examples[place] >= 0 && copyCard(`${this.prefix()}image-${examples[place]}`);
    const words =
      predicted && predicted[place] !== labels[place]
        ? `${classes[labels[place]]} taken for ${classes[predicted[place]]}`
        : classes[labels[place]];
    openPanel(`${words}, ${names[place]}`, [card || plainCard(this.images, place, words)]);
  }

  prefix() {
    return (
      this.figure
        .closest("section")
        .getAttribute("aria-labelledby")
        .match(/^run\d+-/)?.[0] ?? ""
    );
  }

  // The next point from the present one in a direction, for arrow keys.
  step(dx, dy) {
    if (this.current < 0) return this.nearest(WIDTH / 2, HEIGHT / 2, Infinity);
    const [x, y] = this.places[this.current];
    let [best, least] = [this.current, Infinity];
    this.places.forEach(([a, b], place) => {
      const [along, aside] = [(a - x) * dx + (b - y) * dy, Math.abs((a - x) * dy) + Math.abs((b - y) * dx)];
      if (along > 0.5 && along + 3 * aside < least) [best, least] = [place, along + 3 * aside];
    });
    return best;
  }

  rotate(turn, tilt) {
    this.turn += turn;
    this.tilt = Math.max(-1.5, Math.min(1.5, this.tilt + tilt));
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  listen() {
    const { svg } = this;
    let dragged = null; // where a drag has come to, and how far it went
    this.plot.classList.add("live");
    this.plot.classList.toggle("three", this.three);
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "application");
    const hint = this.figure.querySelector(".hint");
    hint.hidden = false;
    hint.textContent = this.three
      ? "Drag or use the arrow keys to turn. Point at a dot to see its image, click to open it; N and P step through the dots."
      : "Point at a dot to see its image, click to open it. With the keyboard: arrow keys, then Enter.";
    svg.addEventListener("pointerdown", (event) => {
      dragged = { x: event.clientX, y: event.clientY, far: 0 };
      if (this.three) svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      if (!dragged || !this.three) return this.point(this.nearest(...this.toDrawing(event)));
      const [dx, dy] = [event.clientX - dragged.x, event.clientY - dragged.y];
      dragged = { x: event.clientX, y: event.clientY, far: dragged.far + Math.abs(dx) + Math.abs(dy) };
      if (dragged.far > 4) {
        if (this.current >= 0) this.point(-1);
        this.rotate(-dx * 0.01, dy * 0.01);
      }
    });
    svg.addEventListener("pointerup", (event) => {
      const still = dragged && dragged.far <= 4;
      dragged = null;
      if (!still) return;
      const [place, before] = [this.nearest(...this.toDrawing(event)), this.tapped];
      this.point(place);
      this.tapped = place;
      // a finger cannot hover: its first tap shows the tip, a second one opens
      if (place >= 0 && (event.pointerType === "mouse" || before === place)) this.open(place);
    });
    svg.addEventListener("pointercancel", () => (dragged = null));
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.point(-1));
    svg.addEventListener("blur", () => this.point(-1));
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const number = this.points.length;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows[event.key]) {
      const [dx, dy] = arrows[event.key];
      if (this.three) this.rotate(-dx * 0.12, dy * 0.12);
      else this.point(this.step(dx, dy));
    } else if (event.key === "n") this.point((this.current + 1) % number);
    else if (event.key === "p") this.point((Math.max(this.current, 0) + number - 1) % number);
    else if (event.key === "Enter" && this.current >= 0) this.open(this.current);
    else if (event.key === "Escape") this.point(-1);
    else return;
    event.preventDefault();
  }

  // The legend's names become buttons that bring one class forward; clusters, where there are any, a second colouring.
  legend() {
    const list = this.figure.querySelector(".legend");
    const original = [...list.children].map((item) => [
      item.dataset.class,
      this.images.classes.indexOf(item.dataset.class),
    ]);
    const fill = () => {
      const entries =
        this.by === "class"
          ? original
          : [...new Set(this.clusters)].sort((a, b) => a - b).map((group) => [`cluster ${group + 1}`, group]);
      list.replaceChildren(...entries.map(([name, group]) => this.legendItem(name, group, list)));
    };
    fill();
    if (!this.clusters) return;
    const choices = document.createElement("fieldset");
    choices.className = "choices";
    choices.innerHTML = "<legend>Colour by</legend>";
    for (const by of ["class", "cluster"]) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "radio",
        checked: by === "class",
        name: `by-${this.figure.querySelector("script.positions").id}`,
      });
      input.addEventListener("change", () => {
        [this.by, this.chosen] = [by, null];
        fill();
        this.draw();
      });
      label.append(input, ` ${by}`);
      choices.append(label);
    }
    list.before(choices);
  }

  legendItem(name, group, list) {
    const [colour, cap] = this.look(group);
    const item = document.createElement("li");
    item.className = cap;
    item.style.setProperty("--colour", colour);
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      this.chosen = this.chosen === group ? null : group;
      for (const other of list.querySelectorAll("button"))
        other.setAttribute("aria-pressed", String(other === button && this.chosen !== null));
      this.draw();
    });
    item.append(button);
    return item;
  }
}
