"""Bytes to 80 ms frames: codec, resampler, gate, framer; numpy only."""
