// Bend or noise: x, its deformation τx and x + η of the same norm, and D, G, R of three networks. No kernel, no library.
(() => {
  // τ in pixels [x, y], each n × n by rows, and where the map p → p − τ(p) folds; C[a][i][j] as `relstab.diffeo.sample_coefficients`.
  function field(C, T, n) {
    const c = C[0].length, index = [...Array(n).keys()];
    const at = (k, p) => (k * Math.PI * p) / (n - 1);
    const sine = index.map((p) => C[0].map((_, k) => (p % (n - 1) ? Math.sin(at(k + 1, p)) : 0)));
    const slope = index.map((p) => C[0].map((_, k) => ((k + 1) * Math.PI / (n - 1)) * Math.cos(at(k + 1, p))));
    const sum = (A, byRow, byColumn) => { // Σ A[i][j] byColumn[p][i] byRow[q][j], the rows of A go along x
      const out = new Float64Array(n * n);
      for (let q = 0; q < n; q++) {
        const half = A.map((line) => line.reduce((total, value, j) => total + value * byRow[q][j], 0));
        for (let p = 0; p < n; p++) {
          let total = 0;
          for (let i = 0; i < c; i++) total += half[i] * byColumn[p][i];
          out[q * n + p] = n * Math.sqrt(T) * total;
        }
      }
      return out;
    };
    const [xx, yx] = C.map((A) => sum(A, sine, slope)), [xy, yy] = C.map((A) => sum(A, slope, sine));
    const folds = Uint8Array.from(xx, (_, k) => (1 - xx[k]) * (1 - yy[k]) - xy[k] * yx[k] <= 0);
    return { tau: C.map((A) => sum(A, sine, sine)), folds };
  }

  // out(y, x) = in(y − τy, x − τx), bilinear, clamped to the frame; an image is a list of channels, n × n by rows.
  function warp(image, tau, n) {
    const clamp = (value) => Math.min(Math.max(value, 0), n - 1);
    return image.map((from) => Float64Array.from(from, (_, k) => {
      const x = clamp((k % n) - tau[0][k]), y = clamp(Math.floor(k / n) - tau[1][k]);
      const left = Math.min(Math.floor(x), n - 2), top = Math.min(Math.floor(y), n - 2), u = x - left, v = y - top;
      const [a, b] = [top * n + left, (top + 1) * n + left];
      return (1 - v) * ((1 - u) * from[a] + u * from[a + 1]) + v * ((1 - u) * from[b] + u * from[b + 1]);
    }));
  }

  const norm = (image) => Math.sqrt(image.reduce((sum, part) => part.reduce((s, value) => s + value * value, sum), 0));
  const combine = (a, b, scale) => a.map((part, k) => part.map((value, p) => value + scale * b[k][p]));

  function white(image, seed) { // independent normal numbers: mulberry32 and Box-Muller
    let state = (seed + 1) * 0x9e3779b9;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    return image.map((part) => part.map(() => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())));
  }

  // x + η with ‖η‖ = size
  function noisy(image, size, seed) {
    const eta = white(image, seed);
    return combine(image, eta, size / norm(eta));
  }

  if (typeof module !== "undefined") { module.exports = { field, warp, noisy, norm, combine }; return; }

  const number = (value) => (value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(2) : value.toPrecision(2));
  function paint(canvas, image, n, folds) {
    canvas.width = canvas.height = n;
    const data = new ImageData(n, n), orange = [230, 97, 0];
    for (let k = 0; k < n * n; k++) {
      for (let part = 0; part < 3; part++) {
        const value = 255 * Math.min(Math.max(image[part][k], 0), 1);
        data.data[4 * k + part] = folds && folds[k] ? 0.35 * value + 0.65 * orange[part] : value;
      }
      data.data[4 * k + 3] = 255;
    }
    canvas.getContext("2d").putImageData(data, 0, 0);
  }

  async function start(box) {
    const given = JSON.parse(box.querySelector("script[type='application/json']").textContent);
    const pictures = await Promise.all([...box.querySelectorAll("img[data-picture]")].map(async (source) => {
      await source.decode();
      const n = source.naturalWidth, canvas = Object.assign(document.createElement("canvas"), { width: n, height: n });
      const context = canvas.getContext("2d");
      context.drawImage(source, 0, 0);
      const bytes = context.getImageData(0, 0, n, n).data;
      const x = [0, 1, 2].map((part) => Float64Array.from({ length: n * n }, (_, k) => bytes[4 * k + part] / 255));
      return { n, x };
    }));
    const [delta, cut, draw] = ["delta", "cut", "draw"].map((name) => box.querySelector(`input[name='${name}']`));
    const readout = (input, text) => { input.nextElementSibling.textContent = text; input.setAttribute("aria-valuetext", text); };

    function update() {
      const d = given.displacements[+delta.value], c = given.cuts[+cut.value], seed = +draw.value;
      const T = given.temperatures[+cut.value] * d * d;
      readout(delta, `${d} pixel${d === 1 ? "" : "s"} of 32`); readout(cut, `${c}`); readout(draw, `${seed + 1}`);
      let folded = false;
      pictures.forEach(({ n, x }, row) => {
        const { tau, folds } = field(given.coefficients[+cut.value][seed], T, n), bent = warp(x, tau, n);
        const size = norm(combine(bent, x, -1)), canvases = box.querySelectorAll(`[data-row='${row}'] canvas`);
        folded ||= folds.some(Boolean);
        [[x], [bent, folds], [noisy(x, size, seed)]].forEach(([image, marks], k) => paint(canvases[k], image, n, marks));
      });
      box.querySelector(".folds").textContent = folded
        ? "The sheet folds where it is orange: this is no diffeomorphism any more." : "The sheet does not fold: a diffeomorphism.";
      for (const plot of box.querySelectorAll("[data-quantity]")) {
        const name = plot.dataset.quantity, [low, high] = given.limits;
        const place = (value) => 100 * Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low);
        plot.querySelectorAll("[data-network]").forEach((line) => {
          const table = given.networks[+line.dataset.network][name];
          const [before, after] = ["init", "trained"].map((stage) => table[stage][+delta.value][+cut.value]);
          const [a, b] = [place(before), place(after)];
          line.querySelector(".before").style.left = `${a}%`;
          line.querySelector(".after").style.left = `${b}%`;
          Object.assign(line.querySelector(".path").style, { left: `${Math.min(a, b)}%`, width: `${Math.abs(a - b)}%` });
          line.querySelector(".value").textContent = `${number(before)} → ${number(after)}`;
        });
      }
    }
    for (const input of [delta, cut, draw]) input.addEventListener("input", update);
    update();
    box.dataset.live = "true";
  }
  for (const box of document.querySelectorAll(".bend-or-noise:not([data-live])")) { box.dataset.live = "starting"; start(box); }
})();
