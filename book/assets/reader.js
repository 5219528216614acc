// What is wider than the screen scrolls in its own frame and says so: tables and equations here, figures in relstab.css.
(() => {
  const frames = ".bd-article :is(.table-frame, .pst-scrollable-table-container, div.output.text_html, mjx-container[display='true'])";
  const mark = () => {
    for (const frame of document.querySelectorAll(frames)) {
      if (frame.querySelector("svg.figure, .table-frame, .pst-scrollable-table-container")) continue;
      const wide = frame.scrollWidth > frame.clientWidth + 2 && getComputedStyle(frame).overflowX !== "visible";
      (frame.closest("div.math") ?? frame).toggleAttribute("data-wide", wide);
    }
  };
  window.addEventListener("load", () => {
    mark();
    window.MathJax?.startup?.promise?.then(mark);
  });
  window.addEventListener("resize", mark);
})();
