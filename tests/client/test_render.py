import io
import re

from rich.console import Console

from client.conversation import Reconnected, Retrying
from client.protocol import Done, Failed, Final, Gap, Partial, Warned
from client.render import Screen, clock, meter, printable, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def partial(text, channel=0):
    return Partial(0, text, 7000, 7500, channel=channel)


def final(text, channel=0, reason="silence"):
    return Final(0, text, 7000, 8000, (), reason, channel)


def test_without_a_terminal_only_finals_reach_standard_output():
    out, err = io.StringIO(), io.StringIO()
    with Screen(stdout=out, stderr=err) as screen:
        for event in (partial("he"), final(" hello "), Gap(0, 2000, "lag"), final("  "), Done(1, 1, 1)):
            screen.show(event)
    assert out.getvalue() == "hello\n"
    assert err.getvalue() == "Not transcribed: 0:00 to 0:02 (lag).\n"


def test_without_a_terminal_channels_are_labelled():
    out = io.StringIO()
    with Screen(channels=2, stdout=out, stderr=io.StringIO()) as screen:
        screen.show(final("yes", channel=1))
    assert out.getvalue() == "[2] yes\n"


def test_silence_is_told():
    err = io.StringIO()
    with Screen(stdout=io.StringIO(), stderr=err) as screen:
        screen.show(Done(1000, 0, 0))
    assert err.getvalue() == "No speech was heard.\n"


def test_troubles_in_words():
    err = io.StringIO()
    with Screen(stdout=io.StringIO(), stderr=err) as screen:
        screen.show(Retrying("The connection was lost.", 2.0))
        screen.show(Reconnected(1500))
        screen.show(Warned("lagging", "The captions are 9 s behind."))
        screen.show(Failed("bad_message", "What?"))
    assert err.getvalue().splitlines() == [
        "The connection was lost. Trying again in 2 s.",
        "Connected again; 1.5 s of audio were sent again.",
        "The server says: The captions are 9 s behind. [lagging]",
        "The server says: What? [bad_message]",
    ]


def plain(styled):
    return re.sub(r"\x1b\[[0-9;]*m", "", styled)


def shown_below(screen):
    """The live part, as text."""
    console = Console(file=io.StringIO(), width=80)
    console.print(screen._below())
    return console.file.getvalue()


def test_a_partial_lives_below_until_its_final_replaces_it():
    out = Terminal()
    screen = Screen(lambda: progress(1000, 2000), stdout=out, stderr=io.StringIO())
    screen.show(partial("hel"))
    assert "0:07  hel…" in shown_below(screen)
    screen.show(final("hello"))
    assert "hel" not in shown_below(screen)
    assert "0:07  hello" in plain(out.getvalue())


def test_partials_of_two_channels_stand_side_by_side():
    screen = Screen(channels=2, stdout=Terminal())
    screen.show(partial("right", channel=1))
    screen.show(partial("left", channel=0))
    below = shown_below(screen)
    assert below.index("1  left…") < below.index("2  right…")


def test_a_lost_connection_shows_in_the_status_line_until_it_is_back():
    screen = Screen(lambda: progress(1000, 2000), stdout=Terminal())
    screen.show(Retrying("The connection was lost.", 2.0))
    assert "no connection" in shown_below(screen)
    screen.show(Reconnected(0))
    assert "no connection" not in shown_below(screen)


def test_what_the_server_sends_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\x07\r\nç") == "a [2Jb   ç"


def test_meter():
    assert meter(-96).plain == "░" * 16
    assert meter(-30).plain == "█" * 8 + "░" * 8
    assert meter(0).plain == "█" * 16


def test_clock():
    assert [clock(ms) for ms in (0, 59_999, 754_000, 3_723_000)] == ["0:00", "0:59", "12:34", "1:02:03"]
