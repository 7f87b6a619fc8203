// The page: joins the elements to the parts that think.

import { microphones } from "./capture.js";
import { CaptionsView } from "./captions-view.js";
import { Conductor } from "./conductor.js";
import { askClear, askRecording, bindSettings, nameDefaults } from "./dialogs.js";
import { toTxt } from "./export.js";
import { fault } from "./faults.js";
import { bindDrops, bindKeys, bindMenu, bindTips } from "./gestures.js";
import { Latency } from "./latency.js";
import { LevelView } from "./level-view.js";
import { levelDb } from "./pcm.js";
import * as screen from "./screen.js";
import { Settings } from "./settings.js";
import { StateView } from "./state-view.js";
import { Transcript } from "./transcript.js";
import { copy, download } from "./transfer.js";
import { keepAwake } from "./wake-lock.js";

const { byId, progress } = screen;
const base = document.baseURI;
const settings = new Settings();
const transcript = new Transcript();
const latency = new Latency();
let model = null;

const captions = new CaptionsView({
  pane: byId("pane"),
  list: byId("lines"),
  empty: byId("empty"),
  latest: byId("latest"),
  announcer: byId("announcer"),
});
const level = new LevelView(byId("level"), byId("sound-hint"));
const stateView = new StateView(
  {
    state: byId("state"),
    notice: byId("notice"),
    title: byId("notice-title"),
    text: byId("notice-text"),
    retry: byId("notice-retry"),
    action: byId("notice-action"),
    close: byId("notice-close"),
  },
  (name) => (name === "retry" ? conductor.retryNow() : byId("settings").showModal()),
);

const conductor = new Conductor({
  settings,
  transcript,
  latency,
  base,
  ui: {
    phase(name) {
      screen.showPhase(name);
      keepAwake(name !== "idle");
    },
    words: (name) => stateView.set(name),
    fault(cause, { retryInMs, isLive } = {}) {
      stateView.tell(cause, { retryInMs, promise: isLive ? "What you say meanwhile is kept, up to a minute of it." : "" });
    },
    calm: () => stateView.dismiss(),
    change(change) {
      captions.show(change);
      screen.showTools(transcript);
    },
    ready(message) {
      model = message.model;
      screen.showModel(model);
      screen.showDelay(message.delay_ms);
      nameDefaults(byId("settings"), message, settings.streamOptions);
    },
    measured: () => screen.showLatency(latency),
    sound: (samples) => level.push(levelDb(samples)),
    opened: listMicrophones,
    recording: ({ name }, tape) => progress.begin(name, (tape.frames * 1000) / tape.rate),
    position: (ms) => progress.reach(ms),
    async choose(recording) {
      const choice = await askRecording(byId("recording"), recording, transcript.isEmpty);
      if (choice?.fresh) clear();
      return choice;
    },
    ended() {
      level.reset();
      progress.end();
    },
  },
});

async function listMicrophones() {
  screen.showMicrophones(await microphones(), settings.values.deviceId);
}

const content = () => ({
  lines: transcript.settled,
  gaps: transcript.lines.filter(({ kind }) => kind === "gap"),
  model,
});

function clear() {
  transcript.clear();
  captions.clear();
  conductor.restartClock();
  screen.showTools(transcript);
}

/** Before anything is pressed: is there a server that can caption, and with what? */
async function askServer() {
  try {
    const response = await fetch(new URL("readyz", base), { cache: "no-store" });
    const body = await response.json().catch(() => ({}));
    if (body.model) screen.showModel(body.model);
    if (response.status === 503) stateView.tell(fault(body.code ?? "not_ready", body));
  } catch {
    stateView.tell(fault("server_gone"));
  }
}

// ---------------------------------------------------------------- buttons

byId("toggle").addEventListener("click", () => conductor.toggle());
byId("open-settings").addEventListener("click", () => byId("settings").showModal());
byId("copy").addEventListener("click", async ({ target }) => {
  screen.acknowledge(target, (await copy(toTxt(content()))) ? "Copied" : "Not copied");
});
byId("clear").addEventListener("click", async () => {
  if (await askClear(byId("confirm"), transcript)) clear();
});
byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) conductor.startRecording(file);
  target.value = ""; // so that the same file can be chosen again
});
byId("device").addEventListener("change", ({ target }) => {
  settings.set("deviceId", target.value);
  conductor.changeMicrophone();
});

// ---------------------------------------------------------------- the rest of the page

const tips = bindTips([...document.querySelectorAll(".figure")]);
const menu = bindMenu(byId("download"), () => transcript.hasSettled);
screen.fillDownloads((format) => {
  menu.dismiss();
  download(format, content());
});
bindKeys({
  onToggle: () => conductor.toggle(),
  onEscape() {
    tips.dismiss();
    menu.dismiss();
  },
});
bindDrops({
  veil: byId("drop"),
  isWelcome: () => conductor.phase === "idle",
  onFile: (file) => conductor.startRecording(file),
});
addEventListener("beforeunload", (event) => {
  if (conductor.phase !== "idle") event.preventDefault();
});
navigator.mediaDevices?.addEventListener?.("devicechange", listMicrophones);

const applyTextSize = () => (document.documentElement.dataset.textSize = settings.values.textSize);
applyTextSize();
bindSettings(byId("settings"), settings, applyTextSize);
screen.showPhase("idle");
listMicrophones();
askServer();
