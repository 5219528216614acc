// Filters the cards of the claims page by paper, verdict and scale. Without JavaScript all cards are shown.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".claim-filters");
  if (!form) return;
  const cards = [...document.querySelectorAll(".claim")];
  const update = () => {
    const wanted = [...form.querySelectorAll("select")].map((select) => [select.dataset.filter, select.value]);
    let shown = 0;
    for (const card of cards) {
      card.hidden = wanted.some(([name, value]) => value && card.dataset[name] !== value);
      shown += !card.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${cards.length} claims`;
  };
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
});
