// The level of the sound as a ribbon of the last seconds, newest at the right.

const FLOOR_DB = -60;
const BAR_PX = 3;
const GAP_PX = 2;
const SILENT_DB = -57;
const SILENT_AFTER = 100; // levels in a row, of about 40 ms

export class LevelView {
  #levels = [];
  #silent = 0;
  #scheduled = false;

  constructor(canvas, hint) {
    this.canvas = canvas;
    this.hint = hint;
    this.hintText = "";
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  push(db) {
    this.#levels.push(db);
    if (this.#levels.length > 400) this.#levels.splice(0, 200);
    this.#silent = db < SILENT_DB ? this.#silent + 1 : 0;
    this.hint.textContent = this.#silent > SILENT_AFTER ? "Only silence arrives. Is the microphone muted?" : this.hintText;
    this.#schedule();
  }

  reset() {
    this.#levels = [];
    this.#silent = 0;
    this.hint.textContent = this.hintText;
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
      this.#describe();
    });
  }

  #describe() {
    const db = Math.max(FLOOR_DB, Math.round(this.#levels.at(-1) ?? FLOOR_DB));
    this.canvas.setAttribute("aria-valuenow", String(db));
    this.canvas.setAttribute("aria-valuetext", db <= FLOOR_DB ? "silent" : `${db} dB`);
  }

  #draw() {
    const scale = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(this.canvas).color;
    const bars = Math.floor(width / (BAR_PX + GAP_PX));
    for (let i = 0; i < bars; i += 1) {
      const db = this.#levels.at(i - bars) ?? FLOOR_DB;
      const share = Math.max(0, Math.min(1, 1 - db / FLOOR_DB));
      const tall = Math.max(2, share * height);
      context.globalAlpha = share > 0 ? 1 : 0.35;
      context.fillRect(i * (BAR_PX + GAP_PX), (height - tall) / 2, BAR_PX, tall);
    }
  }
}
