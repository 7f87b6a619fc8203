// A phone that goes to sleep stops listening: keep its screen on while captions run.

let lock = null; // a promise of the browser's lock

export function keepAwake(wanted) {
  if (wanted && !lock) {
    // Refused by battery savers and hidden tabs; captions go on without it.
    lock = Promise.resolve(navigator.wakeLock?.request("screen")).catch(() => null);
  } else if (!wanted && lock) {
    lock.then((held) => held?.release());
    lock = null;
  }
}
