import assert from "node:assert/strict";
import { test } from "node:test";

import { keyIsSendable, openStream, streamUrl, subprotocols } from "../../../web/stream.js";

test("the stream lies beside the page, under the same path and security", () => {
  assert.equal(streamUrl("http://localhost:8000/").href, "ws://localhost:8000/v1/stream");
  assert.equal(streamUrl("https://a.example/captions/").href, "wss://a.example/captions/v1/stream");
  assert.equal(streamUrl("https://a.example/captions/index.html").href, "wss://a.example/captions/v1/stream");
});

test("only options that were chosen are sent", () => {
  const url = streamUrl("http://h/", { sample_rate: 44100, vad: "off", delay_ms: "", interim: undefined });
  assert.equal(url.search, "?sample_rate=44100&vad=off");
});

test("the key travels as a subprotocol, and only if it can", () => {
  assert.deepEqual(subprotocols(""), ["voxwire"]);
  assert.deepEqual(subprotocols("s3cret"), ["voxwire", "key.s3cret"]);
  assert.ok(keyIsSendable("abc-123._~"));
  for (const key of ["two words", "a,b", "a/b", "käse", 'a"b']) assert.ok(!keyIsSendable(key), key);
});

test("messages that are no JSON object with a type are passed over", () => {
  class Socket {
    bufferedAmount = 12;
    sent = [];
    constructor() {
      Socket.last = this;
    }
    send(data) {
      this.sent.push(data);
    }
  }
  const seen = [];
  const handlers = { opened: () => seen.push("opened"), message: (m) => seen.push(m.type), closed: (code) => seen.push(code) };
  const stream = openStream({ url: streamUrl("http://h/"), key: "", handlers, Socket });
  Socket.last.onopen();
  for (const data of ["nonsense", "null", "[1]", '{"no":"type"}', '{"type":"ready"}']) Socket.last.onmessage({ data });
  Socket.last.onclose({ code: 1006 });
  assert.deepEqual(seen, ["opened", "ready", 1006]);
  stream.end();
  assert.deepEqual(Socket.last.sent, ['{"type":"end"}']);
  assert.equal(stream.bufferedBytes, 12);
});
