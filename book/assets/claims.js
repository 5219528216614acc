// The claims page: a search over words, figures and ids, filters by paper and verdict, kept in the address so that a view
// can be linked; a claim or a section that an address names is unfolded. Without JavaScript everything can be unfolded by hand.
document.addEventListener("DOMContentLoaded", () => {
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    if (target && target.classList.contains("claim")) target.scrollIntoView();
  };
  window.addEventListener("hashchange", unfold);
  const form = document.querySelector(".claim-filters");
  if (form) {
    const rows = [...document.querySelectorAll(".claim")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
    const groups = [...document.querySelectorAll(".claim-group")];
    const fields = ["q", "paper", "verdict"];
    const update = () => {
      const { q, paper, verdict } = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
      const words = q.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { row, text } of rows) {
        row.hidden = (paper && row.dataset.paper !== paper) || (verdict && row.dataset.verdict !== verdict) ||
          !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      const asked = Boolean(words.length || paper || verdict);
      for (const group of groups) {
        group.hidden = !group.querySelector(".claim:not([hidden])");
        group.open = asked && !group.hidden && Boolean(words.length || verdict);
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length}`;
    };
    const remember = () => {
      const kept = new URLSearchParams(fields.filter((name) => form.elements[name].value).map((name) => [name, form.elements[name].value]));
      history.replaceState(null, "", `${location.pathname}${kept.size ? `?${kept}` : ""}${location.hash}`);
    };
    const asked = new URLSearchParams(location.search);
    for (const name of fields) form.elements[name].value = asked.get(name) ?? "";
    form.addEventListener("input", () => { update(); remember(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  }
  unfold();
});
