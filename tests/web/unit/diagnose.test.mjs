import assert from "node:assert/strict";
import { test } from "node:test";

import { diagnose } from "../../../web/diagnose.js";
import { fault, microphoneFault } from "../../../web/faults.js";

const answer = (status, body, headers = {}) => new Response(body === undefined ? "" : JSON.stringify(body), { status, headers });
const ready = () => answer(200, { status: "ready" });

function ask({ code = 1006, wasOpen = true, stream = () => answer(426, { code: "upgrade_required" }), readyz = ready, key = "" }) {
  const asked = [];
  const fetch = async (url, options) => {
    asked.push([url.href, options.headers]);
    return url.pathname.endsWith("/readyz") ? readyz() : stream();
  };
  const found = diagnose({ code, wasOpen, url: new URL("ws://h/x/v1/stream?delay_ms=480"), base: "http://h/x/", key, fetch });
  return found.then((result) => ({ ...result, asked }));
}

test("close codes that speak for themselves need no question", async () => {
  for (const [code, expected] of [[1001, "shutting_down"], [1011, "internal_error"], [1013, "at_capacity"]]) {
    const found = await ask({ code });
    assert.equal(found.code, expected);
    assert.equal(found.asked.length, 0);
    assert.ok(found.retry);
  }
});

test("a full server: its own sentence and its Retry-After", async () => {
  const body = { type: "error", code: "at_capacity", message: "All 128 slots are in use.", fatal: true };
  const found = await ask({ stream: () => answer(503, body, { "Retry-After": "7" }) });
  assert.deepEqual([found.code, found.text, found.retryAfterS, found.retry], ["at_capacity", "All 128 slots are in use.", 7, true]);
});

test("a full server behind a proxy that ate the body", async () => {
  const found = await ask({ stream: () => new Response("<html>", { status: 503 }) });
  assert.deepEqual([found.code, found.retryAfterS], ["at_capacity", undefined]);
});

test("a missing or wrong key is asked for, with the key that was sent", async () => {
  const found = await ask({ stream: () => answer(401, { error: { code: "unauthorized", message: "no" } }), key: "k" });
  assert.deepEqual([found.code, found.retry, found.settings], ["unauthorized", false, true]);
  assert.deepEqual(found.asked[0], ["http://h/x/v1/stream?delay_ms=480", { Authorization: "Bearer k" }]);
});

test("an option out of range is named and not tried again", async () => {
  const bad = { type: "error", code: "bad_option", message: "delay_ms must be a multiple of 80.", fatal: true };
  const found = await ask({ stream: () => answer(400, bad) });
  assert.deepEqual([found.code, found.text, found.retry], ["bad_option", "delay_ms must be a multiple of 80.", false]);
});

test("an answer that finds nothing wrong: lost if it was open, refused if it never was", async () => {
  assert.equal((await ask({})).code, "connection_lost");
  assert.equal((await ask({ wasOpen: false })).code, "refused");
  assert.equal((await ask({ stream: () => answer(404) })).code, "refused");
});

test("not ready, and not there at all", async () => {
  assert.equal((await ask({ readyz: () => answer(503) })).code, "not_ready");
  assert.equal((await ask({ readyz: () => answer(503, { code: "engine_failed" }) })).code, "engine_failed");
  assert.equal((await ask({ stream: () => { throw new TypeError("Failed to fetch"); } })).code, "server_gone");
  assert.equal((await ask({ stream: () => answer(502) })).code, "server_gone");
});

test("a code of a later server version still makes a sentence", () => {
  assert.match(fault("brand_new").text, /brand_new/);
  assert.equal(fault("brand_new", { message: "Said by the server." }).text, "Said by the server.");
});

test("microphone exceptions", () => {
  const code = (name) => microphoneFault({ name }).code;
  assert.equal(code("NotAllowedError"), "permission_denied");
  assert.equal(code("NotFoundError"), "no_microphone");
  assert.equal(code("NotReadableError"), "microphone_busy");
});
