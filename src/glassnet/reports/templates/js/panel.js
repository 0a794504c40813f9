// The panel: images with all their maps, opened from a cell, a card or a point. The browser's own dialog keeps the
// focus inside, closes on Esc and gives the focus back.

function openPanel(title, cards) {
  const panel = document.getElementById("panel");
  hideTip();
  document.getElementById("panel-title").textContent = title;
  panel.querySelector(".cards").replaceChildren(...cards);
  panel.showModal();
  panel.scrollTop = 0;
  document.getElementById("panel-title").focus();
}

// A copy of an example's card with everything in it open.
function copyCard(address) {
  const source =
    document.getElementById(address) ?? document.querySelector(`[data-image="${CSS.escape(address)}"]`);
  if (!source) return null;
  const card = source.cloneNode(true);
  card.removeAttribute("id");
  card.classList.remove("opens");
  for (const button of card.querySelectorAll("button")) button.replaceWith(button.textContent);
  const [first, rest] = card.querySelectorAll(".maps");
  if (rest) {
    // the image itself stands first, whichever map the card showed
    const pictures = [...first.children, ...rest.children];
    const image = pictures.findIndex((picture) => picture.querySelector(".file"));
    first.replaceChildren(pictures[image], ...pictures.filter((_, place) => place !== image));
    card.querySelector("details").remove();
  }
  return card;
}

function showExamples(title, addresses) {
  const cards = addresses.map(copyCard).filter(Boolean);
  for (const card of cards) {
    const heading = card.querySelector(".heading");
    if (heading.textContent === title) heading.remove(); // the panel says it already
  }
  openPanel(title, cards);
}

function startPanel() {
  const panel = document.getElementById("panel");
  panel.addEventListener("click", (event) => {
    if (event.target === panel || event.target.closest("[data-do=close]")) panel.close(); // the backdrop counts as the panel
    if (event.target.closest("[data-do=save]"))
      saveCards(panel, document.getElementById("panel-title").textContent);
  });
  for (const link of document.querySelectorAll("[data-show]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault(); // without scripts the link leads to the first image
      showExamples(link.dataset.title, link.dataset.show.split(" "));
    });
  }
  for (const card of document.querySelectorAll(".card")) {
    const heading = card.querySelector(".heading");
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      className: "open",
      textContent: heading.textContent,
    });
    heading.replaceChildren(button);
    card.classList.add("opens");
    card.addEventListener("click", (event) => {
      if (event.target.closest(".open, img")) showExamples(button.textContent, [card.dataset.image]);
    });
  }
}
