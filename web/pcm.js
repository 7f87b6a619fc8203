// Sample formats: what WebAudio gives (float32 in -1..1) to what the stream carries (16-bit little-endian).

/**
 * Float32Array in -1..1 to Int16Array; values outside are clipped. The two halves have their own scale as in Chromium's
 * way from 16 bit to float, so that a 16-bit source comes back unchanged there (elsewhere to one step in 32768).
 */
export function toInt16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i += 1) {
    const sample = Math.max(-1, Math.min(1, samples[i]));
    out[i] = Math.round(sample * (sample < 0 ? 32768 : 32767));
  }
  return out;
}

/** Channels (Float32Array each, same length) to one Int16Array, sample by sample: left, right, left, right. */
export function interleave(channels) {
  if (channels.length === 1) return toInt16(channels[0]);
  const planes = channels.map(toInt16);
  const out = new Int16Array(planes[0].length * planes.length);
  planes.forEach((plane, channel) => {
    for (let i = 0; i < plane.length; i += 1) out[i * planes.length + channel] = plane[i];
  });
  return out;
}

/** The mean of all channels, a Float32Array. */
export function mixdown(channels) {
  if (channels.length === 1) return channels[0];
  const out = new Float32Array(channels[0].length);
  for (const channel of channels) {
    for (let i = 0; i < out.length; i += 1) out[i] += channel[i] / channels.length;
  }
  return out;
}

/** Root mean square of 16-bit samples in dBFS, never below -100. */
export function levelDb(samples) {
  let sum = 0;
  for (let i = 0; i < samples.length; i += 1) sum += samples[i] * samples[i];
  const power = samples.length ? sum / samples.length / 32768 ** 2 : 0;
  return Math.max(-100, 10 * Math.log10(power + 1e-12));
}
