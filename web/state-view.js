// The connection in words, and what went wrong.

const WORDS = {
  idle: "Not listening",
  permission: "Waiting for the microphone",
  reading: "Reading the file",
  asking: "Waiting for your choice",
  connecting: "Connecting",
  live: "Listening",
  file: "Captioning the recording",
  waiting: "Not connected",
  finishing: "Finishing",
  failed: "Stopped",
};

export class StateView {
  #countdown = null;

  /** `parts`: state, notice, title, text, retry, action, close (elements); `onAction(name)`: "retry" | "settings". */
  constructor(parts, onAction) {
    Object.assign(this, parts);
    this.close.addEventListener("click", () => this.dismiss());
    this.action.addEventListener("click", () => onAction(this.action.dataset.name));
  }

  set(name) {
    this.state.dataset.state = name === "file" ? "live" : name;
    this.state.textContent = WORDS[name];
  }

  /** Show a fault; with `retryInMs` it counts down and offers to try at once. */
  tell(fault, { retryInMs, promise = "" } = {}) {
    this.#stopCountdown();
    this.notice.hidden = false;
    this.title.textContent = `${fault.title}.`;
    this.text.textContent = [fault.text, promise].filter(Boolean).join(" ");
    if (retryInMs === undefined) this.#offer(fault.settings ? "settings" : null);
    else this.#countDown(performance.now() + retryInMs);
  }

  dismiss() {
    this.#stopCountdown();
    this.notice.hidden = true;
  }

  #offer(name) {
    this.action.hidden = !name;
    this.action.dataset.name = name ?? "";
    this.action.textContent = { retry: "Try now", settings: "Open settings" }[name] ?? "";
  }

  #countDown(until) {
    this.#offer("retry");
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      this.retry.textContent = seconds ? `Trying again in ${seconds} s` : "Trying again";
    };
    tick();
    this.#countdown = setInterval(tick, 250);
  }

  #stopCountdown() {
    clearInterval(this.#countdown);
    this.retry.textContent = "";
  }
}
