// One WebSocket that speaks the native protocol, version 1 (docs/protocol.md).

/** Address of the stream beside the page: wss when the page came over TLS, below the same path. */
export function streamUrl(base, options = {}) {
  const url = new URL("v1/stream", base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return url;
}

/** Browsers cannot set headers on a WebSocket; the key travels as a subprotocol. */
export function subprotocols(key) {
  return key ? ["voxwire", `key.${key}`] : ["voxwire"];
}

/** Whether a key can be a subprotocol (an HTTP token) at all. */
export const keyIsSendable = (key) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]*$/.test(key);

/**
 * Open the stream. `handlers`: opened(), message(object), closed(code).
 * Returns {send(Int16Array), end(), close(), bufferedBytes}; `closed` comes exactly once, after `close()` too.
 */
export function openStream({ url, key, handlers, Socket = WebSocket }) {
  const socket = new Socket(url.href, subprotocols(key));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => handlers.opened();
  socket.onclose = ({ code }) => handlers.closed(code);
  socket.onmessage = ({ data }) => {
    const message = parse(data);
    if (message) handlers.message(message);
  };
  return {
    // Every platform that runs a browser is little-endian, so the array's own bytes are the wire format.
    send: (samples) => socket.send(samples),
    end: () => socket.send(JSON.stringify({ type: "end" })),
    close: () => socket.close(1000),
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
  };
}

/** A message of the server; what is no JSON object with a type is none (a proxy's chatter, a later version). */
function parse(data) {
  try {
    const message = JSON.parse(data);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
