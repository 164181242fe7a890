// <metric-chart src="…">: draws the lines that the server sends, and asks again every ten seconds.
const EVERY_MS = 10_000;
class MetricChart extends HTMLElement {
  async connectedCallback() {
    this.place = this.querySelector("[data-place]");
    this.now = this.querySelector("[data-now]");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.draw();
    this.dark.addEventListener("change", this.repaint);
    this.sized = new ResizeObserver(() => this.chart?.setSize(this.size));
    this.sized.observe(this.place);
    this.timer = setInterval(() => document.hidden || this.ask(), EVERY_MS);
    const { load } = await import(this.getAttribute("helper"));
    await Promise.all([load(this.getAttribute("library"), this.getAttribute("library-style")), this.ask()]);
    this.draw();
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    this.sized?.disconnect();
    this.dark?.removeEventListener("change", this.repaint);
    this.chart?.destroy();
    this.chart = null;
  }

  async ask() {
    const answer = await fetch(this.getAttribute("src"), { headers: { accept: "application/json" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const before = this.data?.names.join();
    this.data = await answer.json();
    this.now.textContent = this.data.now || "–";
    this.place.setAttribute("aria-label", `${this.data.title}: ${this.data.now || "no samples yet"}`);
    if (this.chart && before === this.data.names.join()) this.chart.setData(this.table);
    else this.draw();
  }

  get table() {
    return [this.data.times, ...this.data.values];
  }

  get size() {
    return { width: Math.max(120, this.place.clientWidth), height: 168 };
  }

  draw() {
    if (!this.data || !window.uPlot || !this.isConnected) return;
    this.chart?.destroy();
    this.chart = null;
    if (this.data.times.length) delete this.place.dataset.empty;
    else this.place.dataset.empty = this.data.empty;
    this.place.textContent = "";
    if (this.place.dataset.empty) return;
    this.chart = new window.uPlot(this.options, this.table, this.place);
  }

  get options() {
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), font: `11px ${style.fontFamily}`, ticks: { show: false } };
    const value = (_, number) => (number == null ? "–" : `${number} ${this.data.unit}`);
    const long = Number(this.getAttribute("span")) > 1440;
    const lines = this.data.names.map((label, at) => ({
      label, value, width: 1.75, points: { show: this.data.times.length < 3 }, stroke: colour(`--line-${(at % 4) + 1}`),
      fill: at ? undefined : colour("--line-fill"),
    }));
    return {
      ...this.size, cursor: { points: { size: 6 }, y: false }, padding: [8, 16, 0, 0],
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.15, 0.1)] } },
      axes: [
        { ...axis, grid: { show: false }, size: 26, space: 64, values: long ? "{MMM} {D}" : "{HH}:{mm}" },
        { ...axis, grid: { stroke: colour("--border"), width: 1 }, size: 44, space: 30 },
      ],
      tzDate: (at) => window.uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      series: [{ label: "UTC", value: long ? "{MMM} {D}, {HH}:{mm}" : "{HH}:{mm}:{ss}" }, ...lines],
    };
  }
}

customElements.define("metric-chart", MetricChart);
