"""The README's picture: the page on a running server, captioning the bundled recording from a fake microphone.

python -m tests.web.picture http://127.0.0.1:8000 docs/images/page.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.web.browser import CHROMIUM, arguments

DEMO = Path(__file__).parents[2] / "realtime" / "assets" / "demo.wav"
LAST_UTTERANCE_GROWS = """() => {
    const lines = [...document.querySelectorAll("#lines .line")];
    return lines.length === 4 && lines[3].dataset.kind === "partial" && lines[3].innerText.split(" ").length > 2;
}"""


def main(url: str, path: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments(microphone=DEMO))
        page = browser.new_page(
            viewport={"width": 1120, "height": 700}, device_scale_factor=2, reduced_motion="reduce"
        )
        page.goto(url)
        page.keyboard.press("Space")
        page.wait_for_function(LAST_UTTERANCE_GROWS, timeout=60_000, polling=50)
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
