"""The page in Chromium against a server that says what the test tells it to."""

from __future__ import annotations

import json
import re
import struct
import wave

import pytest
from aiohttp import web
from playwright.sync_api import expect

from tests.web.browser import CHROMIUM, arguments
from tests.web.scripted import ScriptedServer

pytestmark = pytest.mark.browser

START = "#toggle"
NOTICE = "#notice"
LINES = "#lines .line"


def state(page, words: str) -> None:
    expect(page.locator("#state")).to_have_text(words)


def start(page) -> None:
    page.click(START)
    state(page, "Listening")


def heard_text(page) -> list[str]:
    """The visible words of every line, without what is only for screen readers."""
    return page.locator(f"{LINES} .text > span:last-child").all_text_contents()


def write_wav(path, channels: list[list[int]], rate: int = 16000):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(rate)
        frames = [sample for frame in zip(*channels, strict=True) for sample in frame]
        out.writeframes(struct.pack(f"<{len(frames)}h", *frames))
    return path


# ---------------------------------------------------------------- captions


def test_partials_grow_and_finals_settle_without_moving(page, server):
    async def script(talk):
        await talk.ready()
        await talk.partial(1, " one")
        await talk.cue("more")
        await talk.partial(1, " one two")
        await talk.cue("settle")
        await talk.final(1, "one two three", confidences={"two": 0.31})
        await talk.ended()
        await talk.done()

    server.script = script
    start(page)
    line = page.locator(LINES)
    expect(line).to_have_attribute("data-kind", "partial")
    expect(page.locator("#lines .fresh")).to_have_text("one")
    first = page.locator("#lines .fresh").first.bounding_box()
    server.fire("more")
    expect(page.locator("#lines .fresh").last).to_have_text(" two")
    assert page.locator("#lines .fresh").first.bounding_box() == first
    partial = line.bounding_box()
    look = "e => { const s = getComputedStyle(e); return [s.borderLeftStyle, s.color] }"
    growing = page.locator("#lines .text").evaluate(look)
    expect(page.locator("#announcer")).to_be_empty()
    server.fire("settle")
    expect(line).to_have_attribute("data-kind", "final")
    settled = page.locator("#lines .text").evaluate(look)
    assert growing[0] != settled[0], "distinct by more than colour"
    assert growing[1] != settled[1]
    assert line.bounding_box() == partial
    assert heard_text(page) == ["one two three"]
    expect(page.locator("#lines .unsure")).to_have_text("two")
    expect(page.locator("#lines .unsure")).to_have_attribute("title", re.compile("31 %"))
    expect(page.locator("#announcer")).to_have_text("one two three")
    assert page.locator("#announcer").get_attribute("aria-live") == "polite"
    assert page.locator("#lines").evaluate("e => e.closest('[aria-live]')") is None


def test_stop_asks_for_the_last_words_and_waits_for_them(page, server):
    async def script(talk):
        await talk.ready()
        await talk.partial(1, "nearly")
        await talk.ended()
        await talk.cue("last")
        await talk.final(1, "nearly done", reason="end")
        await talk.done()

    server.script = script
    start(page)
    expect(page.locator(LINES)).to_have_count(1)
    page.click(START)
    state(page, "Finishing")
    expect(page.locator("#toggle-label")).to_have_text("Stop waiting")
    server.fire("last")
    state(page, "Not listening")
    assert heard_text(page) == ["nearly done"]
    expect(page.locator(NOTICE)).to_be_hidden()
    assert server.conversations[0].texts == ['{"type":"end"}']


def test_a_second_start_goes_on_in_time(page, server):
    async def script(talk):
        await talk.ready()
        await talk.heard(1000)
        await talk.ended()
        await talk.final(1, "words", start_ms=100)
        await talk.done()

    server.script = script
    for count in (1, 2):
        start(page)
        server_heard(server, count, 1000)
        page.click(START)
        state(page, "Not listening")
        expect(page.locator(LINES)).to_have_count(count)
    assert page.locator("#lines time").all_text_contents()[0] == "0:00"
    assert page.locator("#lines time").all_text_contents()[1] != "0:00"


def server_heard(server, conversations: int, ms: float) -> None:
    """Block until so much audio of the latest conversation has arrived."""
    server.wait(
        lambda: len(server.conversations) == conversations and server.conversations[-1].audio_ms >= ms
    )


def test_latency_is_measured_and_explained(page, server):
    async def script(talk):
        await talk.ready(delay_ms=960)
        await talk.heard(700)
        await talk.partial(1, "one two")
        await talk.heard(1500)
        await talk.final(1, "one two", start_ms=0)
        await talk.ended()
        await talk.done()

    server.script = script
    start(page)
    for figure in ("#word-latency", "#final-latency"):
        expect(page.locator(figure)).to_have_text(re.compile(r"^\d\.\d\d s$"))
    tip = page.locator("#tip-word")
    expect(tip).to_be_hidden()
    page.locator(".figure-button").first.focus()
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("960 ms")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.hover("#word-latency")
    expect(tip).to_be_visible()


def test_the_model_is_named_and_a_demonstration_model_called_so(page, server):
    async def script(talk):
        await talk.ready(model="voxwire-tiny")
        await talk.ended()
        await talk.done()

    server.script = script
    start(page)
    expect(page.locator("#model")).to_have_text(re.compile("voxwire-tiny: a small demonstration model"))
    page.click(START)
    state(page, "Not listening")
    server.ready = lambda: web.json_response({"model": "Voxtral-Mini-4B"})
    page.reload()
    expect(page.locator("#model")).to_have_text("Model: Voxtral-Mini-4B")


def test_the_reader_who_scrolls_up_is_left_alone(page, server):
    async def script(talk):
        await talk.ready()
        for i in range(60):
            await talk.final(i, f"sentence number {i} of a long talk", start_ms=i * 1000)
        await talk.cue("more")
        await talk.final(60, "said while reading", start_ms=60_000)
        await talk.cue("again")
        await talk.final(61, "said at the end", start_ms=61_000)
        await talk.ended()
        await talk.done()

    server.script = script
    start(page)
    expect(page.locator(LINES)).to_have_count(60)
    expect(page.locator(LINES).last).to_be_in_viewport()
    page.locator("#pane").hover()
    page.mouse.wheel(0, -900)
    expect(page.locator(LINES).last).not_to_be_in_viewport()
    position = page.locator("#pane").evaluate(
        "e => new Promise(done => { let last = -1; const look = () => e.scrollTop === last ? done(last) "
        ": (last = e.scrollTop, setTimeout(look, 100)); look() })"
    )
    server.fire("more")
    expect(page.locator("#latest")).to_be_visible()
    assert page.locator("#pane").evaluate("e => e.scrollTop") == position
    page.click("#latest")
    expect(page.locator(LINES).last).to_be_in_viewport()
    expect(page.locator("#latest")).to_be_hidden()
    server.fire("again")
    expect(page.locator(LINES).last).to_contain_text("said at the end")
    expect(page.locator(LINES).last).to_be_in_viewport()


# ---------------------------------------------------------------- sound


def test_the_microphone_is_sent_at_its_own_rate_in_small_chunks(page, server):
    start(page)
    server_heard(server, 1, 1000)
    talk = server.conversations[0]
    assert talk.query == {
        "encoding": "pcm_s16le",
        "sample_rate": str(page.evaluate("new AudioContext().sampleRate")),
        "channels": "1",
    }
    frame_ms = 1000 / int(talk.query["sample_rate"]) / 2
    assert all(20 <= size * frame_ms <= 80 for size in talk.sizes)
    assert any(talk.audio), "the fake microphone beeps"


def test_a_device_above_48_khz_is_brought_down_to_it(open_page, server):
    fast = "const Real = AudioContext; AudioContext = function (o) { return new Real({ sampleRate: 96000, ...o }) }"
    page = open_page(init=fast)
    start(page)
    server_heard(server, 1, 200)
    assert server.conversations[0].query["sample_rate"] == "48000"


def test_microphones_are_listed_and_can_be_changed_while_speaking(page, server):
    start(page)
    options = page.locator("#device option")
    expect(options.nth(1)).to_have_text(re.compile("Fake"))
    server_heard(server, 1, 100)
    page.select_option("#device", index=2)
    server_heard(server, 2, 100)
    state(page, "Listening")
    assert server.conversations[0].texts == ['{"type":"end"}']


def test_a_microphone_that_goes_away_is_told_and_its_words_kept(open_page, server):
    keep = (
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async c => window.given = await ask(c);"
    )

    async def script(talk):
        await talk.ready()
        await talk.ended()
        await talk.final(1, "last words")
        await talk.done()

    server.script = script
    page = open_page(init=keep)
    start(page)
    page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator(NOTICE)).to_contain_text("The microphone went away")
    state(page, "Stopped")
    assert heard_text(page) == ["last words"]


# ---------------------------------------------------------------- when it goes wrong


def test_a_broken_connection_is_mended_and_nothing_said_is_lost(page, server):
    async def script(talk):
        await talk.ready()
        if len(server.conversations) == 1:
            await talk.heard(1000)
            await talk.final(1, "before the break", start_ms=0, reason="length")
            await talk.partial(2, "half a sen", start_ms=950)
            await talk.cue("break")
            await talk.break_off()
        else:
            await talk.heard(100)
            await talk.final(1, "half a sentence, whole", start_ms=100)
            await talk.ended()
            await talk.done()

    server.script = script
    server.refusal = lambda request: web.Response(status=503) if server.conversations else None
    start(page)
    expect(page.locator(LINES)).to_have_count(2)
    server.fire("break")
    state(page, "Not connected")
    expect(page.locator(NOTICE)).to_contain_text("What you say meanwhile is kept")
    expect(page.locator("#notice-retry")).to_have_text(re.compile(r"Trying again"))
    assert heard_text(page) == ["before the break", "half a sen"]
    server.refusal = lambda request: None
    state(page, "Listening")
    expect(page.locator(NOTICE)).to_be_hidden()
    expect(page.locator(LINES).last).to_have_attribute("data-kind", "final")
    assert heard_text(page) == ["before the break", "half a sentence, whole"]
    first, second = server.conversations
    rate = int(first.query["sample_rate"])
    resumed = bytes(first.audio)[2 * round(rate * 0.9) :]  # "before the break" ends at 900 ms
    assert bytes(second.audio)[: len(resumed)] == resumed
    page.click(START)
    state(page, "Not listening")
    exported = json.loads(download(page, "json"))["utterances"]
    assert [u["start_ms"] for u in exported] == [0, 1000]


def test_a_full_server_says_so_and_is_tried_again(page, server):
    body = {"type": "error", "code": "at_capacity", "message": "All 128 slots are in use.", "fatal": True}
    server.refusal = lambda request: web.json_response(body, status=503, headers={"Retry-After": "60"})
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The server is full. All 128 slots are in use.")
    expect(page.locator("#notice-retry")).to_have_text(re.compile(r"Trying again in (60|59|58) s"))
    state(page, "Not connected")
    server.refusal = lambda request: None
    page.click("text=Try now")
    state(page, "Listening")


def test_a_server_that_is_gone_is_told_and_found_again(page, server):
    start(page)
    server.go_away()
    try:
        expect(page.locator(NOTICE)).to_contain_text("The server")
        expect(page.locator(NOTICE)).to_contain_text("The server does not answer", timeout=20_000)
        state(page, "Not connected")
    finally:
        server.come_back()
    expect(page.locator("#state")).to_have_text("Listening", timeout=30_000)


def test_stop_while_the_server_is_away_ends_at_once(page, server):
    start(page)
    server_heard(server, 1, 100)
    server.refusal = lambda request: web.Response(status=503, headers={"Retry-After": "60"})
    server.cut()
    state(page, "Not connected")
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The end may be missing")
    expect(page.locator("#toggle-label")).to_have_text("Start captions")


def test_a_key_is_asked_for_and_sent_as_subprotocol(page, server):
    def refuse(request):
        if "key.s3cret" in request.headers.get("Sec-WebSocket-Protocol", ""):
            return None
        return web.json_response({"type": "error", "code": "unauthorized", "message": "no key"}, status=401)

    server.refusal = refuse
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The server asks for a key")
    page.click("text=Open settings")
    page.fill("#key", "s3cret")
    page.click("#settings >> text=Close")
    start(page)
    assert server.conversations[0].protocols == ["voxwire", "key.s3cret"]


def test_a_key_that_cannot_be_sent_is_told_before_anything_is_opened(page, server):
    page.click("#open-settings")
    page.fill("#key", "two words")
    page.keyboard.press("Escape")
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("This key cannot be sent")
    assert server.conversations == []


def test_an_option_the_server_refuses_is_named(page, server):
    body = {"type": "error", "code": "bad_option", "message": "delay_ms must be a multiple of 80."}
    server.refusal = lambda request: web.json_response(body, status=400)
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("delay_ms must be a multiple of 80.")
    state(page, "Stopped")


def test_a_fatal_error_ends_with_the_server_s_own_words(page, server):
    async def script(talk):
        await talk.ready()
        await talk.partial(1, "as far as it")
        await talk.say(
            "error", code="limit_reached", message="The stream is longer than 12 hours.", fatal=True
        )
        await talk.socket.close(code=1008)

    server.script = script
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The stream is longer than 12 hours.")
    state(page, "Stopped")
    expect(page.locator(LINES)).to_have_attribute("data-kind", "interrupted")
    assert len(server.conversations) == 1


def test_a_refusal_that_no_status_explains_names_what_it_may_be(page, server):
    server.refusal = lambda request: web.Response(status=403) if "Upgrade" in request.headers else None
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The server refuses this page's stream")
    expect(page.locator(NOTICE)).to_contain_text("allowed_origins")


def test_warnings_are_shown_and_go_when_text_comes_again(page, server):
    async def script(talk):
        await talk.ready()
        await talk.say("warning", code="waiting_for_slot", message="All slots are in use; please wait.")
        await talk.cue("free")
        await talk.say("gap", from_ms=0, to_ms=2500, reason="no_slot", channel=0)
        await talk.final(1, "and on it goes", start_ms=2600)
        await talk.ended()
        await talk.done()

    server.script = script
    start(page)
    expect(page.locator(NOTICE)).to_contain_text("All slots are in use; please wait.")
    server.fire("free")
    expect(page.locator(LINES)).to_have_count(2)
    expect(page.locator(NOTICE)).to_be_hidden()
    assert heard_text(page)[0] == "2.5 s not captioned: every place on the server was taken"
    assert json.loads(download(page, "json"))["gaps"][0]["to_ms"] == 2500


def test_no_permission(playwright, open_page, server):
    refusing = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments(allow=False))
    try:
        page = open_page(browser=refusing)
        page.click(START)
        expect(page.locator(NOTICE)).to_contain_text("The microphone is blocked")
        expect(page.locator("#notice-title")).to_be_visible()
        state(page, "Stopped")
    finally:
        refusing.close()


@pytest.mark.parametrize(
    ("exception", "title"),
    [("NotFoundError", "No microphone found"), ("NotReadableError", "The microphone could not be opened")],
)
def test_no_microphone(open_page, exception, title):
    page = open_page(
        init="navigator.mediaDevices.getUserMedia = "
        f"async () => {{ throw new DOMException('scripted', '{exception}') }}"
    )
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text(title)


def test_an_insecure_address_is_explained_and_files_still_work(open_page, server, tmp_path):
    page = open_page(f"http://voxwire.test:{server.port}/")
    page.click(START)
    expect(page.locator(NOTICE)).to_contain_text("The microphone needs a secure address")
    choose(page, write_wav(tmp_path / "a.wav", [[1000] * 1600]))
    page.click("#recording .primary")
    state(page, "Not listening")
    assert len(server.conversations[0].audio) == 3200


def test_a_server_that_is_not_ready_is_told_before_anything_is_pressed(open_page, server):
    body = {"type": "error", "code": "engine_failed", "message": "The engine stopped."}
    server.ready = lambda: web.json_response(body, status=503)
    page = open_page()
    expect(page.locator(NOTICE)).to_contain_text("The engine stopped.")


# ---------------------------------------------------------------- recordings


def choose(page, path) -> None:
    page.set_input_files("#file", path)
    expect(page.locator("#recording")).to_be_visible()


def test_a_recording_is_sent_to_the_last_sample(page, server, tmp_path):
    samples = [(i * 7919) % 65536 - 32768 for i in range(40_123)]

    async def script(talk):
        await talk.ready()
        await talk.ended()
        await talk.final(1, "from the file", start_ms=200)
        await talk.done()

    server.script = script
    choose(page, write_wav(tmp_path / "talk.wav", [samples]))
    expect(page.locator("#recording-facts")).to_have_text("talk.wav · 0:02 · mono")
    page.click("#recording .primary")
    expect(page.locator(LINES)).to_have_count(1)
    state(page, "Not listening")
    talk = server.conversations[0]
    assert talk.query["sample_rate"] == "16000"
    assert bytes(talk.audio) == struct.pack(f"<{len(samples)}h", *samples)
    expect(page.locator("#word-latency")).to_have_text("–")


def test_two_speakers_stay_apart(page, server, tmp_path):
    left, right = [100] * 1600, [-200] * 1600

    async def script(talk):
        await talk.ready()
        await talk.ended()
        await talk.final(1, "said on the left", channel=0)
        await talk.final(1, "said on the right", channel=1, start_ms=50)
        await talk.done()

    server.script = script
    choose(page, write_wav(tmp_path / "call.wav", [left, right]))
    page.check("[name=separate]")
    page.click("#recording .primary")
    expect(page.locator(LINES)).to_have_count(2)
    assert page.locator("#lines .channel").all_text_contents() == ["Left", "Right"]
    state(page, "Not listening")
    assert server.conversations[0].query["channels"] == "2"
    assert bytes(server.conversations[0].audio[:8]) == struct.pack("<4h", 100, -200, 100, -200)
    assert download(page, "txt") == "Left: said on the left\nRight: said on the right\n"
    choose(page, write_wav(tmp_path / "call.wav", [left, right]))
    page.uncheck("[name=separate]")
    page.click("#recording .primary")
    state(page, "Not listening")
    server.wait(lambda: len(server.conversations) == 2)
    assert bytes(server.conversations[1].audio[:4]) == struct.pack("<2h", -50, -50)


def test_a_recording_at_its_own_pace(page, server, tmp_path):
    samples = [8000 if i // 40 % 2 else -8000 for i in range(9600)]
    choose(page, write_wav(tmp_path / "short.wav", [samples]))
    page.check("[value=mute]")
    page.click("#recording .primary")
    expect(page.locator("#progress-row")).to_be_visible()
    state(page, "Not listening")
    assert bytes(server.conversations[0].audio) == struct.pack("<9600h", *samples)
    expect(page.locator("#progress-row")).to_be_hidden()


def test_a_dropped_recording_asks_first_and_can_replace_the_transcript(page, server):
    async def script(talk):
        await talk.ready()
        await talk.ended()
        await talk.final(1, f"text {len(server.conversations)}", start_ms=100)
        await talk.done()

    server.script = script
    start(page)
    page.click(START)
    state(page, "Not listening")
    drop = """async () => {
        const header = new Uint8Array([82,73,70,70,36,12,0,0,87,65,86,69,102,109,116,32,16,0,0,0,1,0,1,0,
            128,62,0,0,0,125,0,0,2,0,16,0,100,97,116,97,0,12,0,0]);
        const file = new File([header, new Uint8Array(3072)], "dropped.wav");
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        const send = type => document.body.dispatchEvent(
            new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        send("dragover");
        const veiled = !document.querySelector("#drop").hidden;
        send("drop");
        return veiled;
    }"""
    assert page.evaluate(drop)
    expect(page.locator("#drop")).to_be_hidden()
    page.click("#recording >> text=Cancel")
    state(page, "Not listening")
    assert len(server.conversations) == 1
    page.evaluate(drop)
    expect(page.locator("#fresh-row")).to_be_visible()
    page.click("#recording .primary")
    expect(page.locator("#lines")).to_contain_text("text 2")
    assert heard_text(page) == ["text 2"]


def test_a_file_that_is_no_sound(page, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a sound")
    page.set_input_files("#file", path)
    expect(page.locator(NOTICE)).to_contain_text("This file cannot be read")
    state(page, "Stopped")


# ---------------------------------------------------------------- transcript in hand


async def two_finals(talk):
    await talk.ready()
    await talk.final(1, "hello <there>", start_ms=500)
    await talk.final(2, "good bye", start_ms=62_000)
    await talk.partial(3, "not settled", start_ms=70_000)
    await talk.ended()
    await talk.done()


def download(page, format_: str) -> str:
    page.click("#download summary")
    with page.expect_download() as started:
        page.click(f"[data-format={format_}]")
    assert re.fullmatch(rf"voxwire-\d{{4}}-\d\d-\d\d-\d{{4}}\.{format_}", started.value.suggested_filename)
    with open(started.value.path(), newline="") as file:
        return file.read()


def test_downloads_and_copy_hold_what_has_settled(open_page, server):
    server.script = two_finals
    page = open_page(permissions=["clipboard-read", "clipboard-write", "microphone"])
    expect(page.locator("#copy")).to_be_disabled()
    page.click("#download summary")
    expect(page.locator("#download-list")).to_be_hidden()
    start(page)
    expect(page.locator(LINES)).to_have_count(3)
    assert download(page, "txt") == "hello <there>\ngood bye\n"
    assert download(page, "srt") == (
        "1\n00:00:00,500 --> 00:00:01,500\nhello <there>\n\n2\n00:01:02,000 --> 00:01:03,000\ngood bye\n"
    )
    assert download(page, "vtt") == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nhello &lt;there&gt;\n\n"
        "00:01:02.000 --> 00:01:03.000\ngood bye\n"
    )
    exported = json.loads(download(page, "json"))
    assert exported["model"] == "scripted-tiny"
    assert exported["utterances"][1]["words"][0] == {
        "text": "good",
        "start_ms": 62_000,
        "end_ms": 62_300,
        "confidence": 0.95,
    }
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "hello <there>\ngood bye\n"


def test_clear_asks_first(page, server):
    server.script = two_finals
    start(page)
    expect(page.locator(LINES)).to_have_count(3)
    page.click("#clear")
    expect(page.locator("#confirm")).to_contain_text("4 words will be gone")
    page.keyboard.press("Enter")  # the focus is on the harmless answer
    expect(page.locator("#confirm")).to_be_hidden()
    expect(page.locator(LINES)).to_have_count(3)
    page.click("#clear")
    page.locator("#confirm").get_by_role("button", name="Clear").click()
    expect(page.locator(LINES)).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#clear")).to_be_disabled()


def test_settings_reach_the_server_and_stay(page, server):
    page.click("#open-settings")
    for name, value in {"delay_ms": "960", "vad": "off", "hangover_ms": "800", "interim": "false"}.items():
        page.select_option(f"[name={name}]", value)
    page.select_option("[name=textSize]", "huge")
    page.click("#settings >> text=Close")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.textSize") == "huge"
    start(page)
    query = server.conversations[0].query
    assert {name: query[name] for name in ("delay_ms", "vad", "hangover_ms", "interim")} == {
        "delay_ms": "960",
        "vad": "off",
        "hangover_ms": "800",
        "interim": "false",
    }


def test_the_server_s_default_delay_is_named(page, server):
    start(page)
    page.click("#open-settings")
    expect(page.locator("[name=delay_ms] option").first).to_have_text("Default (480 ms)")


# ---------------------------------------------------------------- for everybody


def test_space_and_enter_start_and_stop_where_no_control_has_the_focus(page, server):
    for key in (" ", "Enter"):
        page.keyboard.press(key)
        state(page, "Listening")
        page.keyboard.press(key)
        state(page, "Not listening")
    assert len(server.conversations) == 2
    page.locator("#pane").focus()
    page.keyboard.press(" ")
    page.click("#open-settings")
    page.locator("#key").focus()
    page.keyboard.type("a b")
    state(page, "Not listening")
    assert len(server.conversations) == 2


def test_every_control_is_reached_by_tab_and_shows_it(page):
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "() => { const e = document.activeElement; const s = getComputedStyle(e.closest('.file') ?? e);"
                "return [e.id || e.className || e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)] }"
            )
        )
    names = [name for name, *_ in seen]
    for wanted in ("skip", "open-settings", "pane", "toggle", "figure-button", "device", "file"):
        assert wanted in names, names
    assert all(style == "solid" and width >= 2 for _, style, width in seen if _ != "BODY"), seen


def test_every_field_and_button_has_a_name(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary')].filter(e =>
            !(e.id === 'notice-action' || e.textContent.trim() || e.labels?.[0]?.textContent.trim()
                || e.getAttribute('aria-label')))
            .map(e => e.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("width", [360, 390, 768])
def test_nothing_is_cut_off_on_a_narrow_screen(open_page, server, width):
    server.script = two_finals
    page = open_page(viewport={"width": width, "height": 640}, has_touch=True)

    def fits():
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        beyond = page.evaluate(
            """() => [...document.querySelectorAll('body *')].filter(e => {
                const box = e.getBoundingClientRect();
                return box.width > 1 && e.checkVisibility({ visibilityProperty: true })
                    && (box.right > innerWidth + 0.5 || box.left < -0.5);
            }).map(e => e.outerHTML.slice(0, 80))"""
        )
        assert beyond == []

    fits()
    start(page)
    expect(page.locator(LINES)).to_have_count(3)
    fits()
    page.click("#download summary")
    fits()
    page.keyboard.press("Escape")
    page.locator(".figure-button").last.focus()
    expect(page.locator("#tip-final")).to_be_visible()
    fits()
    page.click("#open-settings")
    fits()
    page.keyboard.press("Escape")
    page.click("#clear")
    fits()
    page.keyboard.press("Escape")
    server.refusal = lambda request: web.Response(status=503, headers={"Retry-After": "60"})
    server.cut()
    expect(page.locator(NOTICE)).to_be_visible()
    fits()
    expect(page.locator(START)).to_be_in_viewport(ratio=1)


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
    const ground = e => {
        const stack = [];
        for (let n = e; n; n = n.parentElement) stack.unshift(rgba(getComputedStyle(n).backgroundColor));
        return stack.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
    };
    const shine = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true })) continue;
        if (e.closest('option, .vh, noscript')) continue;
        let opacity = 1;
        for (let n = e; n; n = n.parentElement) opacity *= getComputedStyle(n).opacity;
        const under = ground(e);
        const ink = rgba(getComputedStyle(e).color);
        ink[3] *= opacity;
        const [a, b] = [shine(over(ink, under)), shine(under)].sort((x, y) => y - x);
        found.push([walker.currentNode.data.trim().slice(0, 30), (a + 0.05) / (b + 0.05)]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(open_page, server, scheme):
    server.script = two_finals
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    measured = {}

    def measure():
        measured.update({(text, round(ratio, 2)): ratio for text, ratio in page.evaluate(CONTRAST)})

    measure()
    start(page)
    expect(page.locator(LINES)).to_have_count(3)
    measure()
    page.click("#download summary")
    page.locator(".figure-button").first.focus()
    measure()
    page.click("#open-settings")
    measure()
    page.keyboard.press("Escape")
    page.click("#clear")
    measure()
    page.keyboard.press("Escape")
    server.refusal = lambda request: web.Response(status=503, headers={"Retry-After": "60"})
    server.cut()
    expect(page.locator(NOTICE)).to_be_visible()
    measure()
    assert len(measured) > 50
    assert {key: ratio for key, ratio in measured.items() if ratio < 4.5} == {}


def test_who_wants_no_motion_gets_none(open_page, server):
    server.script = two_finals
    page = open_page(reduced_motion="reduce")
    start(page)
    expect(page.locator(LINES)).to_have_count(3)
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_page_works_below_a_path(open_page, tmp_path):
    below = ScriptedServer(mount="/tools/captions/").start()
    try:

        async def script(talk):
            await talk.ready()
            await talk.heard(200)
            await talk.final(1, "from below")
            await talk.ended()
            await talk.done()

        below.script = script
        page = open_page(below.url)
        start(page)
        expect(page.locator(LINES)).to_contain_text("from below")
    finally:
        below.stop()
