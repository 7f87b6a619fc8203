import asyncio
import builtins
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from client.errors import DeviceError
from client.microphone import Capture, Device, Microphone, choose_device, input_devices, plan_capture


class PortAudioError(Exception):
    pass


class FakeStream:
    """What `sounddevice.RawInputStream` is to us: started, fed by the test, closed."""

    def __init__(self, **options):
        self.options = options
        self.running = False

    def start(self):
        self.running = True

    def close(self):
        self.running = False
        self.options["finished_callback"]()

    def capture(self, samples, overflow=False):
        """PortAudio's thread delivers int16 [n] or [n, channels]."""
        data = np.asarray(samples, np.int16).tobytes()
        self.options["callback"](data, len(samples), None, SimpleNamespace(input_overflow=overflow))

    def vanish(self):
        self.options["finished_callback"]()


class FakeSoundDevice:
    PortAudioError = PortAudioError

    def __init__(self, devices, default=0, supported=lambda **settings: True):
        self._devices = devices
        self._supported = supported
        self.default = SimpleNamespace(device=[default, default])
        self.streams = []

    def query_devices(self, device=None, kind=None):
        if kind is not None:
            raise PortAudioError("Error querying device -1")
        return self._devices

    def query_hostapis(self):
        return [{"name": "ALSA"}, {"name": "JACK"}]

    def check_input_settings(self, **settings):
        if not self._supported(**settings):
            raise PortAudioError("Error opening InputStream: Invalid sample rate [PaErrorCode -9997]")

    def RawInputStream(self, **options):
        self.streams.append(FakeStream(**options))
        return self.streams[-1]


def info(name, inputs=1, rate=48000.0, host_api=0):
    return {
        "name": name,
        "max_input_channels": inputs,
        "default_samplerate": rate,
        "hostapi": host_api,
    }


@pytest.fixture
def sound(monkeypatch):
    def install(*devices, **options):
        fake = FakeSoundDevice(list(devices), **options)
        monkeypatch.setitem(sys.modules, "sounddevice", fake)
        return fake

    return install


# ---------------------------------------------------------------- devices


def test_outputs_are_not_listed_and_the_default_is_known(sound):
    sound(info("Speakers", inputs=0), info("Built-in"), info("USB Mic", 2, 44100.0), default=2)
    assert input_devices() == [
        Device(1, "Built-in", "ALSA", 1, 48000, False),
        Device(2, "USB Mic", "ALSA", 2, 44100, True),
    ]


def test_no_portaudio_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DeviceError, match=r"PortAudio is missing.*libportaudio2"):
        input_devices()


def test_no_device_says_what_else_works(sound):
    sound(default=-1)
    with pytest.raises(DeviceError, match=r"No microphone was found.*client file"):
        choose_device(input_devices(), None)


def devices():
    return [
        Device(0, "Built-in Microphone", "ALSA", 1, 48000, True),
        Device(3, "USB Microphone", "ALSA", 1, 48000, False),
        Device(4, "USB Microphone Pro", "ALSA", 1, 48000, False),
        Device(7, "usb microphone", "JACK", 1, 48000, False),
    ]


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 0), ("4", 4), ("built", 0), ("pro", 4), ("USB Microphone", 3)]
)
def test_a_device_by_number_or_name(wanted, index):
    assert choose_device(devices(), wanted).index == index


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("9", "No input device matches '9'"),
        ("headset", "No input device matches 'headset'"),
        ("usb", r"matches several devices.*3: USB Microphone \(ALSA\), 4: USB Microphone Pro"),
    ],
)
def test_a_device_that_is_not_one(wanted, complaint):
    with pytest.raises(DeviceError, match=complaint):
        choose_device(devices(), wanted)


def test_without_a_default_the_first_is_taken():
    assert choose_device(devices()[1:], None).index == 3


# ---------------------------------------------------------------- rates and channels


def device(channels=1, rate=44100):
    return Device(0, "Mic", "ALSA", channels, rate, True)


def test_16_khz_is_wanted(sound):
    sound(info("Mic"))
    assert plan_capture(device(), 1) == Capture(device(), 16000, 1)


def test_the_native_rate_is_next(sound):
    sound(info("Mic"), supported=lambda samplerate, **_: samplerate in (44100, 48000))
    assert plan_capture(device(), 1).sample_rate == 44100


def test_a_native_rate_above_the_servers_range_is_not_used(sound):
    sound(info("Mic"), supported=lambda samplerate, **_: samplerate in (48000, 96000))
    assert plan_capture(device(rate=96000), 1).sample_rate == 48000


def test_a_device_that_only_gives_two_channels_is_mixed(sound):
    sound(info("Mic", 2), supported=lambda channels, **_: channels == 2)
    assert plan_capture(device(channels=2), 1) == Capture(device(channels=2), 16000, 2)


def test_two_channels_need_two(sound):
    sound(info("Mic"))
    with pytest.raises(DeviceError, match="'Mic' has one channel"):
        plan_capture(device(), 2)


def test_a_device_that_refuses_everything_says_so_in_its_words(sound):
    sound(info("Mic"), supported=lambda **_: False)
    with pytest.raises(
        DeviceError, match=r"cannot be opened: Error opening InputStream: Invalid sample rate\.$"
    ):
        plan_capture(device(), 1)


# ---------------------------------------------------------------- capture


def capturing(fake, play, *, captured_channels=1, channels=1, queue_s=10.0):
    """Run a microphone while `play(stream)` acts as PortAudio. Returns it and the chunks read."""

    async def run():
        microphone = Microphone(Capture(device(), 16000, captured_channels), channels, queue_s)
        microphone.start()
        play(fake.streams[0])
        await asyncio.sleep(0)  # what the audio thread handed over arrives
        microphone.stop()
        chunks = []
        while (chunk := await microphone.read()) is not None:
            chunks.append(chunk)
        return microphone, chunks

    return asyncio.run(run())


def test_captured_chunks_arrive_in_order(sound):
    fake = sound(info("Mic"))

    def play(stream):
        assert stream.running
        assert stream.options["blocksize"] == 1280
        stream.capture([1] * 1280)
        stream.capture([2] * 1280)

    microphone, chunks = capturing(fake, play)
    assert [(c.start_sample, c.n_samples, c.data[0]) for c in chunks] == [(0, 1280, 1), (1280, 1280, 2)]
    assert microphone.position_ms == 160
    assert not fake.streams[0].running


def test_a_full_queue_drops_the_oldest_and_counts(sound):
    fake = sound(info("Mic"))

    def play(stream):
        for n in range(10):
            stream.capture([n] * 1600)

    microphone, chunks = capturing(fake, play, queue_s=0.3)
    assert [c.start_sample // 1600 for c in chunks] == [7, 8, 9]
    assert microphone.dropped_ms == 700


def test_overflows_are_counted(sound):
    fake = sound(info("Mic"))
    microphone, _ = capturing(fake, lambda stream: stream.capture([1] * 10, overflow=True))
    assert microphone.overflows == 1


def test_two_captured_channels_are_mixed_to_one(sound):
    fake = sound(info("Mic", 2))
    _, chunks = capturing(fake, lambda stream: stream.capture([[100, 300]] * 4), captured_channels=2)
    assert np.frombuffer(chunks[0].data, "<i2").tolist() == [200] * 4
    assert chunks[0].n_samples == 4


def test_two_channels_stay_interleaved(sound):
    fake = sound(info("Mic", 2))
    _, chunks = capturing(
        fake, lambda stream: stream.capture([[100, 300]] * 4), captured_channels=2, channels=2
    )
    assert np.frombuffer(chunks[0].data, "<i2").tolist() == [100, 300] * 4
    assert chunks[0].n_samples == 4


def test_the_level_is_measured(sound):
    fake = sound(info("Mic"))
    quiet, _ = capturing(fake, lambda stream: stream.capture([0] * 100))
    assert (quiet.level_dbfs, quiet.ever_heard) == (-96.0, False)
    fake = sound(info("Mic"))
    loud, _ = capturing(fake, lambda stream: stream.capture([16384, -16384] * 50))
    assert loud.level_dbfs == pytest.approx(-6.02, abs=0.01)
    assert loud.ever_heard


def test_a_microphone_that_goes_away(sound):
    fake = sound(info("Mic"))

    async def run():
        microphone = Microphone(Capture(device(), 16000, 1))
        microphone.start()
        fake.streams[0].capture([1] * 1280)
        fake.streams[0].vanish()
        assert (await microphone.read()).n_samples == 1280
        await microphone.read()

    with pytest.raises(DeviceError, match="'Mic' went away"):
        asyncio.run(run())


def test_a_device_that_is_busy(sound, monkeypatch):
    fake = sound(info("Mic"))

    def refuse(stream):
        raise PortAudioError("Error starting stream: Device unavailable [PaErrorCode -9985]")

    monkeypatch.setattr(FakeStream, "start", refuse)

    async def run():
        Microphone(Capture(device(), 16000, 1)).start()

    with pytest.raises(
        DeviceError, match=r"'Mic' cannot be opened: Error starting stream: Device unavailable\.$"
    ):
        asyncio.run(run())
    assert len(fake.streams) == 1
