// What scrolls sideways says so; the contents show where one is; what a link leads to is open.

function startScrolling() {
  for (const box of document.querySelectorAll(".scroll")) {
    const words = document.createElement("p");
    words.className = "sideways";
    words.textContent = "Scroll sideways to see all →";
    box.after(words);
    const update = () => {
      const hidden = box.scrollWidth - box.clientWidth;
      box.classList.toggle("more-left", hidden > 1 && box.scrollLeft > 1);
      box.classList.toggle("more-right", hidden > 1 && box.scrollLeft < hidden - 1);
      // what scrolls must be reachable with the keyboard; what does not scroll need not stop it
      if (hidden > 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    };
    box.addEventListener("scroll", update, { passive: true });
    new ResizeObserver(update).observe(box);
    update();
  }
}

function startContents() {
  const links = new Map();
  for (const link of document.querySelectorAll("nav a")) {
    const heading = document.getElementById(link.hash.slice(1));
    if (heading) links.set(heading.closest("section"), link);
  }
  const visible = new Set();
  const mark = () => {
    // the section that covers the upper part of the window; at the end of the page, the last one
    const atEnd = innerHeight + scrollY >= root.scrollHeight - 2 && scrollY > 0;
    const sections = [...links.keys()].filter((section) => visible.has(section));
    const current = atEnd ? sections.at(-1) : sections[0];
    if (!current) return;
    for (const [section, link] of links) {
      if (section !== current) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const strip = link.closest("nav");
        strip.scrollLeft = link.offsetLeft - (strip.clientWidth - link.offsetWidth) / 2;
      }
    }
  };
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) visible.add(entry.target);
        else visible.delete(entry.target);
      }
      mark();
    },
    { rootMargin: "-80px 0px 0px 0px" },
  );
  for (const section of links.keys()) observer.observe(section);
  addEventListener("scroll", mark, { passive: true });
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!target) return;
  const closed = [];
  for (let box = target.closest("details"); box; box = box.parentElement.closest("details"))
    if (!box.open) closed.push(box);
  for (const box of closed) box.open = true;
  if (closed.length) target.scrollIntoView();
}

function startLinks() {
  addEventListener("hashchange", openTarget);
  // a link to the place where one already is changes no address
  for (const link of document.querySelectorAll("nav a"))
    link.addEventListener("click", () => setTimeout(openTarget));
  openTarget();
}
