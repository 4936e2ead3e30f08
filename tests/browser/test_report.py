"""A run's page in a real browser, from disk and without a network."""

import json
import math
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from training.report import report
from training.run import Run

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"
FINDING = {
    "step": 2,
    "id": "D2",
    "name": "domination",
    "severity": "critical",
    "what": "It wins.",
    "over": False,
}
OTHER = FINDING | {"step": 4, "id": "D6", "name": HOSTILE, "severity": "warning", "done": "p raised"}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A real run with another sample before its last, and two findings."""
    folder = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(tiny_run.run, folder)
    run = Run.open(folder)
    run.save_sample(16, np.random.default_rng(0).integers(0, 255, (60, 56, 40, 3), np.uint8))
    run.findings.write_text(
        "".join(json.dumps(line) + "\n" for line in (FINDING, FINDING | {"step": 3, "over": True}, OTHER))
    )
    report.write(folder)
    return run


def address(run: Run) -> str:
    return (run.folder / report.NAME).as_uri()


@pytest.fixture
def page(chromium, run):
    """The page, of which nothing was refused and for which nothing was fetched."""
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(address(run))
    yield chromium
    assert chromium.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address(run)]


def wait(page, ready: Callable[[webdriver.Chrome], object]) -> None:
    WebDriverWait(page, 20, 0.05).until(ready)


def attribute(page, id: str, name: str) -> str:
    return page.find_element(By.ID, id).get_attribute(name)


def cursors(page) -> set[str]:
    return {line.get_attribute("x1") for line in page.find_elements(By.CSS_SELECTOR, "#curves .cursor")}


def charts(page) -> int:
    return len(page.find_elements(By.CSS_SELECTOR, "#curves figure"))


def test_every_chart_is_drawn_and_every_picture_has_pixels(page, run):
    assert page.title == f"{run.folder.name} · Holofoil"
    assert charts(page) >= 8
    for curve in page.find_elements(By.CSS_SELECTOR, "#curves path.curve"):
        assert "NaN" not in curve.get_attribute("d")
    wait(
        page,
        lambda page: page.execute_script("return [...document.images].every(i => !i.src || i.naturalWidth)"),
    )
    assert len(page.find_elements(By.CSS_SELECTOR, "#cards img")) == report.REAL_CARDS


def test_the_slider_changes_the_picture_and_the_cursor_by_keyboard(page):
    last, stood = attribute(page, "sample", "src"), cursors(page)
    page.find_element(By.ID, "time").send_keys(Keys.ARROW_LEFT)
    assert attribute(page, "sample", "src") != last
    assert attribute(page, "time", "aria-valuetext") == "16 images"
    assert attribute(page, "sample", "alt") == "Cards drawn after 16 images"
    assert cursors(page) != stood
    page.find_element(By.ID, "time").send_keys(Keys.ARROW_RIGHT)
    assert (attribute(page, "sample", "src"), cursors(page)) == (last, stood)


def test_play_shows_one_grid_after_the_other(page):
    last = attribute(page, "sample", "src")
    page.find_element(By.ID, "play").click()
    assert attribute(page, "sample", "src") != last
    wait(page, lambda page: page.find_element(By.ID, "play").text == "Play")
    assert attribute(page, "sample", "src") == last


def test_findings_are_marked_on_every_time_axis_and_open_where_they_are(page):
    marks = [mark.text for mark in page.find_elements(By.CSS_SELECTOR, "#curves .event text")]
    assert sorted(marks) == ["D2"] * charts(page) + ["D6"] * charts(page)
    first, second = page.find_elements(By.CSS_SELECTOR, "#findings > li")
    spans = [found.find_element(By.CLASS_NAME, "span").rect for found in (first, second)]
    assert spans[0]["x"] < spans[0]["x"] + spans[0]["width"] < spans[1]["x"]
    assert HOSTILE in second.text
    page.find_element(By.ID, "time").send_keys(Keys.END)
    first.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    wait(page, lambda page: "It wins." in first.text)
    wait(page, lambda page: attribute(page, "time", "value") == "0")


def test_a_phone_shows_it_without_scrolling_sideways(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        wait(page, lambda page: page.execute_script("return innerWidth") == 360)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        wait(
            page,
            lambda page: page.execute_script(
                "return document.querySelector('#curves svg').viewBox.baseVal.width < 360"
            ),
        )
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_is_light_or_dark_as_the_reader_likes(page):
    def ground(scheme: str) -> str:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert (ground("dark"), ground("light")) == ("rgb(16, 17, 23)", "rgb(244, 243, 248)")


def test_a_run_that_has_just_begun_claims_nothing(chromium, run, tmp_path):
    for name in ("config.json", "data.json"):
        shutil.copy(run.folder / name, tmp_path)
    report.write(tmp_path)
    chromium.get((tmp_path / report.NAME).as_uri())
    assert charts(chromium) == 0
    for id in ("findings", "facts", "reading"):
        assert "There is nothing to look at yet." in chromium.find_element(By.ID, id).text
    assert "Nothing was wrong" not in chromium.find_element(By.TAG_NAME, "body").text


def test_a_curve_that_broke_off_has_no_value_at_the_end(chromium, run, tmp_path):
    for name in ("config.json", "data.json"):
        shutil.copy(run.folder / name, tmp_path)
    lines = [
        {"step": i, "images": 8 * i, "d_loss": 1 if i < 5 else math.nan, "g_loss": 2} for i in range(1, 20)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report.write(tmp_path)
    chromium.get((tmp_path / report.NAME).as_uri())
    legend = chromium.find_element(By.CSS_SELECTOR, "#curves .legend").text
    assert legend.split() == ["discriminator", "none", "generator", "2"]


def test_numbers_that_have_blown_up_stay_short(chromium, run, tmp_path):
    for name in ("config.json", "data.json"):
        shutil.copy(run.folder / name, tmp_path)
    lines = [{"step": step, "images": 8 * step, "d_loss": -(10.0 ** (75 * step))} for step in (1, 2, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report.write(tmp_path)
    chromium.get((tmp_path / report.NAME).as_uri())
    words = [element.text for element in chromium.find_elements(By.CSS_SELECTOR, "#curves b, #curves text")]
    assert "-1e300" in words
    assert max(map(len, words)) <= len("cannot tell")
