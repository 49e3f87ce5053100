"""A report in a real, headless Chromium, and what a reader does with it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1280,900",
)
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
DESKTOP = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """One report in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> Any:
        """The script's value, once it is true."""
        end = time.monotonic() + 20
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)
        return value

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())

    def tab(self, name: str) -> None:
        self.driver.find_element("id", f"tab-{name}").click()

    def tabs(self) -> list[str]:
        return self.run("return [...document.querySelectorAll('[role=tab]')].map(t => t.getAttribute('aria-controls'))")

    def wait_for_plots(self, name: str) -> None:
        self.until(f"return [...document.querySelectorAll('#{name} .plot')].every(p => p.querySelector('svg, canvas'))")

    def device(self, metrics: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefers(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def cells(self, table: str, column: str) -> list[str]:
        """The visible texts below a column's head, from the top."""
        return self.run(
            """
            const table = document.querySelector('#table-' + arguments[0]);
            const at = [...table.querySelectorAll('th')].findIndex(th => th.textContent === arguments[1]);
            return [...table.querySelectorAll('tbody tr')].filter(r => !r.hidden).map(r => r.cells[at].textContent);
            """,
            table,
            column,
        )

    def sort(self, table: str, column: str) -> None:
        heads = self.driver.find_elements("css selector", f"#table-{table} th button")
        next(head for head in heads if head.text == column).click()

    def assert_is_quiet(self) -> None:
        """Nothing was logged, nothing was asked of any network, nothing from a record was run."""
        assert self.driver.get_log("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert [url[:100] for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
        assert self.run("return window.hacked") is None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Page(driver)
    finally:
        driver.quit()
