"""Sound in containers and codecs, made with the library that is to read them."""

import io

import av
import numpy as np

RATE_HZ = 16_000
# container, codec, rate of the codec, options of the container
KINDS = {
    "webm": ("webm", "libopus", 48_000, {"live": "1", "cluster_time_limit": "100"}),
    "matroska": ("matroska", "pcm_s16le", 16_000, {}),
    "ogg": ("ogg", "libopus", 48_000, {"page_duration": "100000"}),
    "wav": ("wav", "pcm_s16le", 16_000, {}),
    "wav float": ("wav", "pcm_f32le", 22_050, {}),
    "wav mulaw": ("wav", "pcm_mulaw", 8_000, {}),
    "flac": ("flac", "flac", 16_000, {}),
    "mp3": ("mp3", "libmp3lame", 16_000, {}),
    "aac": ("adts", "aac", 16_000, {}),
    "mp4": ("mp4", "aac", 16_000, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "100000"}),
    "aiff": ("aiff", "pcm_s16be", 16_000, {}),
    "au": ("au", "pcm_s16be", 16_000, {}),
    "amr": ("amr", "libopencore_amrnb", 8_000, {}),
}


def tone(ms, pitch_hz=440):
    """int16 [n] at 16 kHz."""
    t = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
    return (8000 * np.sin(2 * np.pi * pitch_hz * t)).astype(np.int16)


def packed(kind, *rows):
    """The bytes of rows of int16 [n] at 16 kHz in a container."""
    container, codec, rate_hz, options = KINDS[kind]
    file = Unseekable() if kind in ("webm", "ogg", "mp4") else io.BytesIO()
    with av.open(file, "w", format=container, options=options) as out:
        layout = "mono" if len(rows) == 1 else "stereo"
        stream = out.add_stream(codec, rate=rate_hz, layout=layout)
        for packet in _packets(stream.codec_context, rows):
            packet.stream = stream
            out.mux(packet)
    return file.getvalue()


def opus_packets(*rows):
    """Packets of 20 ms without a container."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.format, codec.layout = 48_000, "s16", "mono" if len(rows) == 1 else "stereo"
    return [bytes(packet) for packet in _packets(codec, rows)]


def _packets(codec, rows):
    frame = av.AudioFrame.from_ndarray(
        np.stack(rows, axis=1).reshape(1, -1), format="s16", layout="mono" if len(rows) == 1 else "stereo"
    )
    frame.sample_rate = RATE_HZ
    resampler = av.AudioResampler(codec.format, codec.layout, codec.sample_rate)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from codec.encode(piece)
    yield from codec.encode(None)


class Unseekable:
    """A live sink: what was written stays as it is."""

    def __init__(self):
        self.data = bytearray()

    def write(self, data):
        self.data += data
        return len(data)

    def getvalue(self):
        return bytes(self.data)
