"""One way to drive Chromium, Firefox and WebKit: what a person does with a mouse, keys and tabs."""

from __future__ import annotations

import os
import subprocess
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from playwright.sync_api import Browser, Page, Playwright
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.actions.wheel_input import WheelInput
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

ENGINES = ("chromium", "firefox", "webkit")
CHROMIUM, FIREFOX, WEBKIT_DRIVER = "/usr/bin/chromium", "/usr/bin/firefox-esr", "/usr/bin/WebKitWebDriver"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The back/forward cache is what people have; Playwright would switch it off.
KEPT_DEFAULTS = ["--disable-back-forward-cache"]
DRAG_STEPS = 8
ANSWER_S = 20  # a driver that says nothing for longer never will


def launch_chromium(playwright: Playwright, **options: Any) -> Browser:
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS, ignore_default_args=KEPT_DEFAULTS, **options
    )


def launch_firefox(playwright: Playwright, **options: Any) -> Browser:
    """Debian's Firefox, not Playwright's own build."""
    return playwright.firefox.launch(executable_path=FIREFOX, channel="moz-firefox", **options)


@contextmanager
def launch_webkit(display: str) -> Iterator[webdriver.WebKitGTK]:
    """WebKitGTK's MiniBrowser. It paints nothing, and takes no input, without a window manager."""
    environment = {**os.environ, "DISPLAY": display, "GDK_BACKEND": "x11", "LANG": "en_US.UTF-8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # selenium's own use of itself
        driver = webdriver.WebKitGTK(options=Options(), service=Service(WEBKIT_DRIVER, env=environment))
    try:
        driver.command_executor.client_config.timeout = ANSWER_S
        yield driver
    finally:
        driver.quit()


@contextmanager
def screen() -> Iterator[str]:
    """The name of a display of its own, with a window manager."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as told:
        display = f":{told.readline().strip()}"
    manager = subprocess.Popen(
        ["openbox"],
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield display
    finally:
        for process in (manager, server):
            process.terminate()
            process.wait(10)


class Tab(ABC):
    """A tab with one page. Coordinates are CSS px of the window; keys are named as in `Control+a`."""

    @abstractmethod
    def open(self, url: str) -> None: ...

    @abstractmethod
    def run(self, script: str, argument: Any = None) -> Any:
        """What an expression is, or what a function `(argument) => …` answers."""

    @abstractmethod
    def click_at(self, x: float, y: float) -> None: ...

    @abstractmethod
    def drag_to(self, x: float, y: float, to_x: float, to_y: float) -> None: ...

    @abstractmethod
    def wheel_at(self, x: float, y: float, by: int) -> None: ...

    @abstractmethod
    def press(self, key: str) -> None: ...

    @abstractmethod
    def type(self, text: str) -> None: ...

    @abstractmethod
    def wait(self, seconds: float) -> None: ...

    @abstractmethod
    def another(self) -> Tab:
        """A new tab of the same browser, with the same storage."""

    def box(self, found: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of what the expression `found` names, after it was scrolled into sight."""
        script = """() => {
          const el = FOUND;
          el.scrollIntoView({ block: "nearest" });
          const { left, top, width, height } = el.getBoundingClientRect();
          return [left, top, width, height];
        }""".replace("FOUND", found)
        left, top, width, height = self.run(script)
        return left, top, width, height

    def click(self, found: str) -> None:
        left, top, width, height = self.box(found)
        self.click_at(left + min(width / 2, 20), top + height / 2)

    def drag_over(self, found: str) -> None:
        """Selects, with the mouse, the text of a line."""
        left, top, width, height = self.box(found)
        self.drag_to(left + 1, top + height / 2, left + min(width, 600) - 1, top + height / 2)

    def until(self, condition: Callable[[], Any], within_s: float = 8) -> Any:
        """What `condition` answers as soon as it is true; AssertionError after `within_s`."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if value := condition():
                return value
            self.wait(0.05)
        raise AssertionError(f"not within {within_s} s")


class PlaywrightTab(Tab):
    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, url: str) -> None:
        self.page.goto(url)

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def click_at(self, x: float, y: float) -> None:
        self.page.mouse.click(x, y)

    def drag_to(self, x: float, y: float, to_x: float, to_y: float) -> None:
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(to_x, to_y, steps=DRAG_STEPS)
        mouse.up()

    def wheel_at(self, x: float, y: float, by: int) -> None:
        self.page.mouse.move(x, y)
        self.page.mouse.wheel(0, by)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def wait(self, seconds: float) -> None:
        self.page.wait_for_timeout(seconds * 1000)

    def another(self) -> PlaywrightTab:
        return PlaywrightTab(self.page.context.new_page())


class WebKitTab(Tab):
    KEYS: ClassVar = {
        "Control": Keys.CONTROL,
        "Shift": Keys.SHIFT,
        "PageDown": Keys.PAGE_DOWN,
        "Escape": Keys.ESCAPE,
        "Enter": Keys.ENTER,
    }

    def __init__(self, driver: webdriver.WebKitGTK, handle: str) -> None:
        self.driver, self.handle = driver, handle

    def _here(self) -> webdriver.WebKitGTK:
        self.driver.switch_to.window(self.handle)
        return self.driver

    def open(self, url: str) -> None:
        self._here().get(url)

    def run(self, script: str, argument: Any = None) -> Any:
        call = f"({script})(arguments[0])" if "=>" in script.split("\n")[0] else script
        return self._here().execute_script(f"return {call}", argument)

    def _mouse(self) -> ActionBuilder:
        return ActionBuilder(self._here(), mouse=PointerInput("mouse", "mouse"), wheel=WheelInput("wheel"), duration=20)

    def click_at(self, x: float, y: float) -> None:
        actions = self._mouse()
        actions.pointer_action.move_to_location(round(x), round(y)).pointer_down().pointer_up()
        actions.perform()

    def drag_to(self, x: float, y: float, to_x: float, to_y: float) -> None:
        actions = self._mouse()
        pointer = actions.pointer_action.move_to_location(round(x), round(y)).pointer_down()
        for step in range(1, DRAG_STEPS + 1):
            share = step / DRAG_STEPS
            pointer.move_to_location(round(x + (to_x - x) * share), round(y + (to_y - y) * share))
        pointer.pointer_up()
        actions.perform()

    def wheel_at(self, x: float, y: float, by: int) -> None:
        actions = self._mouse()
        actions.pointer_action.move_to_location(round(x), round(y))
        actions.wheel_action.scroll(round(x), round(y), 0, by)
        actions.perform()

    def press(self, key: str) -> None:
        *held, last = key.split("+")
        chain = ActionChains(self._here())
        for each in held:
            chain.key_down(self.KEYS[each])
        chain.send_keys(self.KEYS.get(last, last))
        for each in held:
            chain.key_up(self.KEYS[each])
        chain.perform()

    def type(self, text: str) -> None:
        ActionChains(self._here()).send_keys(text).perform()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def another(self) -> WebKitTab:
        self._here().switch_to.new_window("window")  # a tab would lie behind, where a mouse reaches nothing
        return WebKitTab(self.driver, self.driver.current_window_handle)
