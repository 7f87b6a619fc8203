from __future__ import annotations

import pytest

from tests.web.browser import CHROMIUM, arguments
from tests.web.scripted import ScriptedServer


@pytest.fixture(scope="module")
def playwright():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright):
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments())
    yield launched
    launched.close()


@pytest.fixture(scope="module")
def running_server():
    started = ScriptedServer().start()
    yield started
    started.stop()


@pytest.fixture
def server(running_server):
    running_server.reset()
    return running_server


@pytest.fixture
def open_page(browser, server):
    """open_page(url=..., **context options) -> a page in a context of its own; any script error fails the test."""
    contexts, faults = [], []

    def open_page(url=None, init=None, browser=browser, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
        if init:
            page.add_init_script(init)
        page.goto(url or server.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def is_fault(message) -> bool:
    """Refused connections are part of the tests; what else the console calls an error is one."""
    expected = ("Failed to load resource", "WebSocket connection to")
    return message.type == "error" and not message.text.startswith(expected)


@pytest.fixture
def page(open_page):
    return open_page()
