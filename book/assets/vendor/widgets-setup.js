// Tell RequireJS where the widgets' modules are, so that they look for their icon fonts beside this file.
// Each module takes the folder of its own address: both paths below end in fonts/<module>.
(function () {
  const fonts = new URL("fonts", document.currentScript.src).href;
  requirejs.config({ paths: { "@jupyter-widgets": fonts, "@jupyter-widgets/html-manager/dist": fonts } });
})();

// Labels of widgets ask MathJax 2 to draw their formulas; the pages have MathJax 3. Deferred scripts have run by then.
document.addEventListener("DOMContentLoaded", function () {
  MathJax.Hub = { Queue: ([, , element]) => MathJax.startup.promise.then(() => MathJax.typesetPromise([element])) };
});

// The handle of a slider has no name, and says an index as its value; give it the texts beside it. They cannot be edited here.
document.addEventListener("DOMContentLoaded", function () {
  const name = () =>
    document.querySelectorAll(".explorer .widget-slider").forEach((slider) => {
      const [label, readout, handle] = [".widget-label", ".widget-readout", ".noUi-handle"].map((part) => slider.querySelector(part));
      if (!label || !readout || !handle) return;
      handle.setAttribute("aria-label", label.textContent);
      handle.setAttribute("aria-valuetext", readout.textContent);
      readout.removeAttribute("contenteditable");
    });
  const seen = { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuenow"] };
  new MutationObserver(name).observe(document.body, seen);
});
