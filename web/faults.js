// Everything that can go wrong, as a sentence for the person in front of the page.

const TEXTS = {
  insecure_origin: {
    title: "The microphone needs a secure address",
    text: "Browsers give a page the microphone only over https:// or on localhost. Recordings can be captioned here all the same: drop a file.",
  },
  unsupported: {
    title: "This browser cannot capture audio",
    text: "It lacks AudioWorklet. A current Chrome, Edge, Firefox or Safari has it.",
  },
  permission_denied: {
    title: "The microphone is blocked",
    text: "Allow it in the address bar (the icon left of the address) or in the system's privacy settings, then start again.",
  },
  no_microphone: {
    title: "No microphone found",
    text: "Plug one in or switch it on, then start again. Recordings can be captioned without: drop a file.",
  },
  microphone_busy: {
    title: "The microphone could not be opened",
    text: "Another program may be using it, or the system refused. Close the other program or choose another microphone.",
  },
  microphone_gone: {
    title: "The microphone went away",
    text: "It was unplugged or taken by the system. What was said until then is kept; start again to go on.",
  },
  file_unreadable: {
    title: "This file cannot be read",
    text: "The browser finds no audio in it that it can decode. WAV, MP3, M4A, OGG and FLAC usually work.",
  },
  cut_short: {
    title: "The end may be missing",
    text: "The stream ended before the server had settled everything.",
  },
  server_gone: {
    title: "The server does not answer",
    text: "It may be restarting, or the network is down.",
    retry: true,
  },
  refused: {
    title: "The server refuses this page's stream",
    text: "It answers plain requests. It may not allow pages of this address (its setting allowed_origins), or a proxy in between passes no WebSockets.",
    retry: true,
  },
  connection_lost: {
    title: "The connection broke",
    text: "The server answers, but the stream ended without a word.",
    retry: true,
  },
  stalled: {
    title: "The connection is stuck",
    text: "Audio no longer gets through to the server.",
    retry: true,
  },
  at_capacity: {
    title: "The server is full",
    text: "Every place is taken at the moment.",
    retry: true,
  },
  not_ready: {
    title: "The server is not ready",
    text: "It answers, but cannot caption yet.",
    retry: true,
  },
  shutting_down: {
    title: "The server is going away",
    text: "It is being restarted or switched off.",
    retry: true,
  },
  engine_failed: {
    title: "The server's model stopped",
    text: "It cannot caption until it is restarted.",
    retry: true,
  },
  internal_error: {
    title: "Something failed on the server",
    text: "Its log says more.",
    retry: true,
  },
  unauthorized: {
    title: "The server asks for a key",
    text: "Enter a valid key in the settings, then start again.",
    settings: true,
  },
  bad_option: {
    title: "The server does not accept a setting",
    text: "Change it in the settings, then start again.",
  },
  limit_reached: {
    title: "A limit of the server is reached",
    text: "Start again to go on.",
  },
  slow_reader: {
    title: "This page could not keep up",
    text: "The captions came faster than the browser took them.",
    retry: true,
  },
  waiting_for_slot: {
    title: "The captions wait for a free place",
    text: "Every place is taken; what you say is kept for a while.",
  },
  lagging: {
    title: "The captions are late",
    text: "The server has more to do than it can.",
  },
  no_text: {
    title: "Sound, but no words",
    text: "The model hears speech and finds nothing to write.",
  },
  bad_key: {
    title: "This key cannot be sent",
    text: "A browser can carry letters, digits and -._~ only; the key in the settings has other characters.",
    settings: true,
  },
};

/**
 * A fault by its code: {code, title, text, retry, settings, retryAfterS}.
 * `message` is the server's own sentence; it replaces ours, for a code we do not know it is all there is.
 */
export function fault(code, { message, retryAfterS } = {}) {
  const known = TEXTS[code] ?? { title: "The server reports a problem", text: `Its name for it: ${code}.` };
  return {
    code,
    title: known.title,
    text: message && !known.settings ? message : known.text,
    retry: known.retry ?? false,
    settings: known.settings ?? false,
    retryAfterS,
  };
}

/** What getUserMedia's exception means. */
export function microphoneFault(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return fault("permission_denied");
    case "NotFoundError":
    case "OverconstrainedError":
      return fault("no_microphone");
    default:
      return fault("microphone_busy");
  }
}
