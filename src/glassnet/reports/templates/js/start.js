document.addEventListener("DOMContentLoaded", () => {
  startTheme();
  startScrolling();
  startContents();
  startPanel();
  startSaving();
  for (const figure of document.querySelectorAll("figure.scatter")) new Plot(figure);
  startLinks();
});
