// Why a connection failed. A refused upgrade reaches a page as close code 1006 and nothing else, so the page
// asks the same address as plain HTTP, where the status and the reason can be read.

import { fault } from "./faults.js";

// What a server may say to a plain request that it would have admitted as a WebSocket; aiohttp itself says 400.
const NOT_A_SOCKET = new Set([426]);
const CLOSE_CODES = { 1001: "shutting_down", 1011: "internal_error", 1013: "at_capacity" };

/**
 * A fault for a close without an `error` message. `url` is the stream's, `base` the page's; `wasOpen`: the upgrade had
 * been granted.
 */
export async function diagnose({ code, wasOpen, url, base, key, fetch = globalThis.fetch }) {
  if (CLOSE_CODES[code]) return fault(CLOSE_CODES[code]);
  try {
    const refused = await refusal(await ask(httpAddress(url), key, fetch));
    if (refused) return refused;
    const ready = await fetch(new URL("readyz", base), { cache: "no-store" });
    if (ready.status === 503) return await fromBody(ready, "not_ready");
    return fault(wasOpen ? "connection_lost" : "refused");
  } catch {
    return fault("server_gone");
  }
}

function httpAddress(url) {
  const address = new URL(url);
  address.protocol = address.protocol === "wss:" ? "https:" : "http:";
  return address;
}

function ask(address, key, fetch) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  return fetch(address, { headers, cache: "no-store" });
}

async function refusal(response) {
  if (response.status === 401) return fault("unauthorized");
  if (response.status === 503) return fromBody(response, "at_capacity");
  if (response.status >= 502) return fault("server_gone");
  return NOT_A_SOCKET.has(response.status) ? null : fromBody(response, "refused");
}

async function fromBody(response, otherwise) {
  const { code, message } = await readError(response);
  const seconds = Number(response.headers.get("Retry-After"));
  return fault(code ?? otherwise, { message, retryAfterS: seconds > 0 ? seconds : undefined });
}

async function readError(response) {
  try {
    const body = await response.json();
    return body.error ?? body;
  } catch {
    return {};
  }
}
