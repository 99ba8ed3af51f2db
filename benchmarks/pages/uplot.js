// The same minute drawn by uPlot, as many seconds to the pixel as `<ecg-strip>`.

const PX_PER_S = (25 * 96) / 25.4;
const [WIDTH, HEIGHT] = [1070, 420];

async function begin() {
  const path = `/api/episodes/${location.search.slice(1)}`;
  const [meta, samples] = await Promise.all([fetch(path).then((a) => a.json()), fetch(`${path}/samples`).then((a) => a.arrayBuffer())]);
  const count = meta.last + 1 - meta.first;
  const seconds = Float64Array.from({ length: count }, (_, i) => i / meta.fs);
  const leads = meta.leads.map((_, i) => Float64Array.from(new Int32Array(samples, 4 * i * count, count), (n) => n * meta.uv_per_count[i] / 1000 - 3 * i));
  const shown = WIDTH / PX_PER_S;
  const plot = new uPlot({
    width: WIDTH,
    height: HEIGHT,
    scales: { x: { time: false, min: 0, max: shown }, y: { range: [-6, 3] } },
    series: [{}, ...meta.leads.map((label) => ({ label, stroke: "#10181c", width: 1.2, points: { show: false } }))],
    hooks: { draw: [() => dispatchEvent(new Event("drawn"))] },
  }, [seconds, ...leads], document.body);
  plot.setScale("x", { min: 0, max: shown });
  window.panned = async (px) => {
    const begun = performance.now();
    plot.setScale("x", { min: px / PX_PER_S, max: px / PX_PER_S + shown });
    await Promise.resolve(); // uPlot draws in a microtask
    plot.ctx.getImageData(0, 0, 1, 1);
    return performance.now() - begun;
  };
  requestAnimationFrame(() => { document.body.dataset.ready = ""; });
}

begin();
