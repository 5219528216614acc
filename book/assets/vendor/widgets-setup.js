// Tell RequireJS where the widgets' HTML manager keeps its icon fonts: beside this file, not on a CDN.
(function () {
  const vendor = new URL(".", document.currentScript.src).href;
  requirejs.config({
    paths: {
      "@jupyter-widgets": vendor + "fonts",
      "@jupyter-widgets/html-manager": vendor + "fonts",
      "@jupyter-widgets/html-manager/dist": vendor + "fonts",
    },
  });
})();
