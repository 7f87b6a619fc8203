// What the reader chose, kept in this browser. An empty string means "the server's default" and is not sent.

const STORE = "voxwire.settings";
const KEY_STORE = "voxwire.key";

export const DEFAULTS = {
  delay_ms: "",
  vad: "",
  hangover_ms: "",
  interim: "",
  processing: "gain",
  deviceId: "",
  textSize: "medium",
};

/** Ways of letting the browser touch the microphone's sound, as constraints of getUserMedia. */
export const PROCESSING = {
  none: { autoGainControl: false, noiseSuppression: false, echoCancellation: false },
  gain: { autoGainControl: true, noiseSuppression: false, echoCancellation: false },
  all: { autoGainControl: true, noiseSuppression: true, echoCancellation: true },
};

export class Settings {
  #stores;

  /** The key lives only as long as the tab. Storage may be forbidden; then nothing is kept. */
  constructor({ local = storage("localStorage"), session = storage("sessionStorage") } = {}) {
    this.#stores = { local, session };
    this.values = { ...DEFAULTS, ...known(read(local, STORE)) };
    this.key = session?.getItem(KEY_STORE) ?? "";
  }

  set(name, value) {
    this.values[name] = value;
    this.#stores.local?.setItem(STORE, JSON.stringify(this.values));
  }

  setKey(key) {
    this.key = key.trim();
    this.#stores.session?.setItem(KEY_STORE, this.key);
  }

  /** The query options of the stream that the reader chose. */
  get streamOptions() {
    const { delay_ms, vad, hangover_ms, interim } = this.values;
    return Object.fromEntries(Object.entries({ delay_ms, vad, hangover_ms, interim }).filter(([, value]) => value !== ""));
  }
}

function storage(name) {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null;
  }
}

function read(store, name) {
  try {
    return JSON.parse(store?.getItem(name) ?? "{}");
  } catch {
    return {};
  }
}

const known = (values) => Object.fromEntries(Object.entries(values ?? {}).filter(([name]) => name in DEFAULTS));
