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
