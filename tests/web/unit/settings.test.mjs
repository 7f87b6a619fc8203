import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULTS, Settings } from "../../../web/settings.js";

function store(content = {}) {
  return { content, getItem: (name) => content[name] ?? null, setItem: (name, value) => (content[name] = value) };
}

test("nothing chosen sends nothing: the server's defaults hold", () => {
  assert.deepEqual(new Settings({ local: store(), session: store() }).streamOptions, {});
});

test("choices are sent and kept; the key only for the session", () => {
  const [local, session] = [store(), store()];
  const settings = new Settings({ local, session });
  settings.set("delay_ms", "960");
  settings.set("vad", "off");
  settings.set("textSize", "huge");
  settings.setKey("  abc ");
  assert.deepEqual(settings.streamOptions, { delay_ms: "960", vad: "off" });
  const again = new Settings({ local, session });
  assert.deepEqual([again.values.delay_ms, again.values.textSize, again.key], ["960", "huge", "abc"]);
  assert.ok(!JSON.stringify(local.content).includes("abc"));
});

test("damaged, foreign or forbidden storage means defaults", () => {
  for (const local of [store({ "voxwire.settings": "{" }), store({ "voxwire.settings": "null" }), store({ "voxwire.settings": '{"alien":1}' }), null]) {
    assert.deepEqual(new Settings({ local, session: null }).values, DEFAULTS);
  }
});
