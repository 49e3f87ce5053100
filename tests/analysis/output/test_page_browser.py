"""The report in a real, headless Chromium: no error, no request, everything that can be pressed works."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.browser_page import BROWSER, DESKTOP, DRIVER, PHONE, Page
from helpers.browser_page import browser as browser
from helpers.report_records import compared, sweep

from analysis.records.runs import Source
from analysis.views.report import write_report

pytestmark = pytest.mark.skipif(
    not (BROWSER.exists() and DRIVER.exists()), reason=f"{BROWSER} and {DRIVER} are not installed"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(sweep(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.device(DESKTOP)
    browser.prefers("light")
    browser.driver.get("about:blank")
    for kind in ("browser", "performance"):
        browser.driver.get_log(kind)
    browser.open(report)
    return browser


def test_every_tab_opens_alone_and_draws_its_plots(page: Page) -> None:
    names = page.tabs()
    assert {"overview", "curves", "trials", "samples", "health", "config", "problems"} <= set(names)
    for name in names:
        page.tab(name)
        shown = page.run(
            "return [...document.querySelectorAll('[role=tabpanel]')].filter(p => !p.hidden).map(p => p.id)"
        )
        assert shown == [name]
        page.wait_for_plots(name)
    assert page.run("return document.querySelector('#no-plots').hidden")
    page.assert_is_quiet()


def test_reward_models_compared(page: Page, tmp_path: Path) -> None:
    page.open(write_report(compared(), tmp_path / "report.html"))
    for name in page.tabs():
        page.tab(name)
        page.wait_for_plots(name)
    page.assert_is_quiet()


def test_tabs_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.driver.find_element("id", "tab-overview").send_keys(Keys.ARROW_RIGHT)
    second = page.tabs()[1]
    assert page.run("return document.activeElement.id") == f"tab-{second}"
    assert page.run("return document.querySelector('[aria-selected=true]').id") == f"tab-{second}"
    page.driver.switch_to.active_element.send_keys(Keys.END)
    assert not page.run(f"return document.querySelector('#{page.tabs()[-1]}').hidden")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.run("return document.activeElement.id") == "tab-overview"
    assert page.run("return [...document.querySelectorAll('[role=tab]')].filter(t => t.tabIndex === 0).length") == 1


def test_an_address_with_a_tab_opens_it(page: Page, report: Path) -> None:
    page.driver.get(f"{report.as_uri()}#trials")
    page.until("return !document.querySelector('#trials').hidden")


def test_numbers_sort_as_numbers_both_ways_and_what_is_missing_stays_last(page: Page) -> None:
    page.tab("trials")
    page.sort("trials", "eval/score")
    up = page.cells("trials", "eval/score")
    assert up[-4:] == ["-"] * 4
    assert [float(text) for text in up[:-4]] == sorted(float(text) for text in up[:-4])
    assert up[-5] == "1.5"
    page.sort("trials", "eval/score")
    down = page.cells("trials", "eval/score")
    assert down[:2] == ["1.5", "1.25"]
    assert down[-4:] == ["-"] * 4
    page.sort("trials", "Trial")
    assert [text.strip("★ ") for text in page.cells("trials", "Trial")] == [str(i) for i in range(12)]


def test_the_table_is_filtered_by_words_and_by_state(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    page.tab("trials")
    page.driver.find_element("css selector", "#table-trials .filter").send_keys("PRUNED 0.1")
    assert page.cells("trials", "Trial") == ["6"]
    assert page.driver.find_element("css selector", "#table-trials .count").text == "1 of 12 rows"
    page.driver.find_element("css selector", "#table-trials .filter").clear()
    Select(page.driver.find_element("css selector", "#table-trials .state")).select_by_visible_text("failed")
    page.until("return document.querySelector('#table-trials .count').textContent === '1 of 12 rows'")
    assert page.cells("trials", "Trial") == ["7"]


def test_samples_are_ordered_and_filtered(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    def order() -> list[str]:
        pairs = page.driver.find_elements("css selector", ".pair")
        return [pair.get_attribute("data-position") for pair in pairs if pair.is_displayed()]

    page.tab("samples")
    best_first = [str(i) for i in range(7, -1, -1)]
    assert order() == best_first
    select = Select(page.driver.find_element("css selector", ".order"))
    select.select_by_visible_text("most improved: vader")
    assert order() == best_first[::-1]
    select.select_by_visible_text("least improved: vader")
    assert order() == best_first
    select.select_by_visible_text("as recorded")
    assert order() == best_first[::-1]
    page.driver.find_element("css selector", ".samples .filter").send_keys("Answer P4")
    assert order() == ["4"]


def test_what_attacks_is_shown_as_text(page: Page) -> None:
    page.tab("samples")
    page.wait_for_plots("samples")
    assert (
        "<img src=x onerror=window.hacked=1>"
        in page.driver.find_element("css selector", ".pair .text:not(:empty)")
        .find_element("xpath", "ancestor::section")
        .text
    )
    assert page.run("return document.querySelectorAll('img, iframe, object, embed, link, [onerror]').length") == 0
    page.assert_is_quiet()


def test_the_policy_stops_scripts_that_are_not_the_pages_own(page: Page) -> None:
    page.run("const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.body.append(s)")
    page.run("const i = document.createElement('img'); i.src = 'https://example.org/a.png'; document.body.append(i)")
    time.sleep(0.2)
    assert page.run("return window.hacked") is None
    assert all("Content Security Policy" in entry["message"] for entry in page.driver.get_log("browser"))


def test_dark_mode_by_system_and_by_button_recolors_the_plots(page: Page) -> None:
    def ink() -> str:
        return page.run("return getComputedStyle(document.querySelector('#overview .xtitle')).fill")

    page.wait_for_plots("overview")
    ground = "return getComputedStyle(document.body).backgroundColor"
    light, light_ink = page.run(ground), ink()
    page.driver.find_element("id", "theme").click()
    assert page.run(ground) == "rgb(15, 18, 22)"
    page.until(f"return getComputedStyle(document.querySelector('#overview .xtitle')).fill !== '{light_ink}'")
    page.driver.find_element("id", "theme").click()
    assert page.run(ground) == light
    page.driver.refresh()
    page.prefers("dark")
    page.wait_for_plots("overview")
    assert page.run(ground) == "rgb(15, 18, 22)"
    page.assert_is_quiet()


@pytest.mark.parametrize("width", [320, pytest.param(360, marks=pytest.mark.slow)])
@pytest.mark.parametrize("made", [sweep, compared])
def test_nothing_is_wider_than_a_phone(page: Page, tmp_path: Path, made: Callable[[], Source], width: int) -> None:
    page.device(PHONE | {"width": width})
    page.open(write_report(made(), tmp_path / "report.html"))
    for name in page.tabs():
        page.run(f"document.querySelector('#tab-{name}').click()")
        page.wait_for_plots(name)
        # The window itself grows with what is too wide for it, so that it is no measure.
        assert page.run("return document.scrollingElement.scrollWidth") <= width, name
    page.tab("trials")
    assert page.run("const box = document.querySelector('#trials .scroll'); return box.scrollWidth > box.clientWidth")
    page.assert_is_quiet()


def test_curves_change_with_view_smoothing_metric_and_legend(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    page.tab("curves")
    page.wait_for_plots("curves")
    lines = "return document.querySelector('#curves .plot').data.length"
    num_lines = page.run(lines)
    assert num_lines > 3
    page.driver.find_element("css selector", "#curves .legend button").click()
    page.until(f"{lines} === {num_lines - 1}")
    page.run("const s = document.querySelector('.smoothing'); s.value = 0.5; s.dispatchEvent(new Event('input'))")
    page.until(f"{lines} === {2 * (num_lines - 1)}")  # the recorded values stay, pale
    select = Select(page.driver.find_element("css selector", "#curves .view"))
    select.select_by_visible_text("by ppo.kl_coef")
    assert [b.text for b in page.driver.find_elements("css selector", "#curves .legend button")] == ["0.02", "0.1"]
    Select(page.driver.find_element("css selector", "#curves .metric")).select_by_visible_text("eval/kl")
    page.until("return document.querySelector('[data-metric=\"eval/kl\"]')?.data.length > 0")
    page.assert_is_quiet()


def test_lines_without_a_name_are_hidden_together(page: Page, tmp_path: Path) -> None:
    page.open(write_report(sweep(14), tmp_path / "report.html"))
    page.tab("curves")
    page.wait_for_plots("curves")
    buttons = page.driver.find_elements("css selector", "#curves .legend button")
    # The best, the worst, and the two that failed or did not finish; the others are two pruned ones and 9 and 10.
    named = ["3", "4", "0", "1", "2", "11", "12", "13", "7", "8"]
    assert [button.text.partition(" ")[0] for button in buttons] == [*named, "others"]
    lines = "return document.querySelector('#curves .plot').data.length"
    assert page.run(lines) == 14
    buttons[-1].click()
    page.until(f"{lines} === 10")
    page.assert_is_quiet()


def test_without_decompression_the_numbers_stay_readable(page: Page, report: Path) -> None:
    script = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete window.DecompressionStream"}
    )
    try:
        page.open(report)
        note = page.until("const note = document.querySelector('#no-plots'); return !note.hidden && note.textContent")
        assert "cannot show the plots" in note
        page.tab("trials")
        assert len(page.cells("trials", "Trial")) == 12
        page.assert_is_quiet()
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_without_javascript_everything_is_one_long_page(page: Page, report: Path) -> None:
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(report)
        panels = page.driver.find_elements("css selector", "[role=tabpanel]")
        assert len(panels) > 5
        assert all(panel.is_displayed() for panel in panels)
        assert not page.driver.find_element("id", "tabs").is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_is_white_and_without_buttons_even_where_the_screen_is_dark(page: Page) -> None:
    page.driver.find_element("id", "theme").click()
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        buttons = page.driver.find_elements("css selector", "#tabs, #theme, .tools")
        assert len(buttons) > 3
        assert not [button for button in buttons if button.is_displayed()]
        assert page.run("return [...document.querySelectorAll('.panel-of-tab')].every(p => p.offsetHeight > 0)")
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        page.run("delete document.documentElement.dataset.theme")


def test_prints_every_tab_in_light_colours(page: Page) -> None:
    page.wait_for_plots("overview")
    result = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(result["data"]) > 50_000
    page.assert_is_quiet()
