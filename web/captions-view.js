// The lines of the transcript on the page. Gets the transcript's changes; decides nothing about them.

import { clock } from "./export.js";
import { stretches } from "./transcript.js";

const UNSURE_BELOW = 0.5;
const AT_BOTTOM_PX = 48;

const SPOKEN_KIND = { partial: "Still listening: ", interrupted: "Interrupted: ", gap: "" };

export class CaptionsView {
  #items = new Map(); // line id -> {item, body, shown}
  #following = true;

  constructor({ pane, list, empty, latest, announcer }) {
    Object.assign(this, { pane, list, empty, latest, announcer });
    pane.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    latest.addEventListener("click", () => this.follow());
    // A turned phone, a larger text, a notice that opens: who was at the bottom stays there.
    const sizes = new ResizeObserver(() => this.#following && this.#toBottom());
    [pane, list].forEach((box) => sizes.observe(box));
  }

  show({ change, line }) {
    if (change === "removed") this.#remove(line);
    else this.#draw(line);
    this.empty.hidden = this.#items.size > 0;
    if (this.#following) this.#toBottom();
    else this.latest.hidden = false;
  }

  clear() {
    this.#items.clear();
    this.list.replaceChildren();
    this.announcer.replaceChildren();
    this.empty.hidden = false;
    this.latest.hidden = true;
    this.#following = true;
  }

  /** Back to the newest line, and stay there. */
  follow() {
    this.#following = true;
    this.latest.hidden = true;
    this.#toBottom();
  }

  #draw(line) {
    const view = this.#items.get(line.id) ?? this.#add(line);
    if (view.item.dataset.kind !== line.kind) this.#setKind(view, line);
    if (line.kind === "partial") grow(view, line.text);
    else if (line.kind === "final") this.#settle(view, line);
    else view.grown.textContent = line.text;
  }

  #add(line) {
    const item = element("li", "line");
    const body = element("p", "text");
    const kind = element("span", "vh");
    const grown = element("span");
    const time = element("time");
    const stamp = element("div", "stamp");
    time.textContent = clock(line.startMs);
    stamp.append(time);
    if (line.label) stamp.append(withText("span", "channel", line.label));
    body.append(kind, grown);
    item.append(stamp, body);
    item.dataset.channel = line.channel;
    const view = { item, kind, grown, time, shown: "" };
    this.#items.set(line.id, view);
    this.list.append(item);
    return view;
  }

  #setKind(view, line) {
    view.item.dataset.kind = line.kind;
    view.kind.textContent = SPOKEN_KIND[line.kind] ?? "";
  }

  #settle(view, line) {
    view.time.textContent = clock(line.startMs);
    view.grown.replaceChildren(...stretches(line, UNSURE_BELOW).map(({ text, word }) => (word ? unsure(text, word) : text)));
    this.#announce(line);
  }

  #announce(line) {
    this.announcer.append(withText("p", "", line.label ? `${line.label}: ${line.text}` : line.text));
    while (this.announcer.childElementCount > 5) this.announcer.firstElementChild.remove();
  }

  #remove(line) {
    this.#items.get(line.id)?.item.remove();
    this.#items.delete(line.id);
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.pane;
    this.#following = scrollHeight - scrollTop - clientHeight < AT_BOTTOM_PX;
    if (this.#following) this.latest.hidden = true;
  }

  #toBottom() {
    this.pane.scrollTop = this.pane.scrollHeight;
  }
}

/** A partial only grows: what is new is appended, what stands is not touched. */
function grow(view, text) {
  if (!text.startsWith(view.shown)) {
    view.grown.replaceChildren();
    view.shown = "";
  }
  if (text.length > view.shown.length) view.grown.append(withText("span", "fresh", text.slice(view.shown.length)));
  view.shown = text;
}

function unsure(text, { confidence }) {
  const span = withText("span", "unsure", text);
  span.title = `The model gave this word ${Math.round(confidence * 100)} %`;
  return span;
}

function element(name, className = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  return node;
}

function withText(name, className, text) {
  const node = element(name, className);
  node.textContent = text;
  return node;
}
