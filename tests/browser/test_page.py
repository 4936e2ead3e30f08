"""The page in a real browser, against a real gateway with a backend that needs no models."""

import base64
import zipfile
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from serving import keys
from serving.backend import NotReady
from serving.settings import Settings
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.pictures import decode

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(chromium):
    """A browser in which nothing was refused, neither a script nor a picture."""
    chromium.get_log("browser")
    yield chromium
    chromium.get("about:blank")
    complaints = [entry["message"] for entry in chromium.get_log("browser")]
    # Chromium itself notes every answer above 399; those are what some of the tests are about.
    assert not [message for message in complaints if "Failed to load resource" not in message]


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def page(browser, backend):
    with live(backend) as url:
        browser.get(url)
        yield browser


def wait(page, ready, seconds: float = 20):
    return WebDriverWait(page, seconds, 0.05).until(ready)


def text(page, id: str) -> str:
    return page.find_element(By.ID, id).text


def cards(page) -> list[str]:
    """The sources of the cards that have arrived and have pixels."""
    return page.execute_script(
        "return [...document.querySelectorAll('#cards img')]"
        ".filter(image => image.naturalWidth == 50).map(image => image.src)"
    )


def seeds(page) -> list[int]:
    return [int(number.text) for number in page.find_elements(By.CSS_SELECTOR, "#cards .number")]


def sixteen_new(page, old: list[str]) -> list[str]:
    wait(page, lambda page: len(cards(page)) == 16 and not set(cards(page)) & set(old))
    return cards(page)


def test_generate_shows_sixteen_different_cards_with_their_seeds(page):
    first = sixteen_new(page, [])
    page.find_element(By.ID, "generate").click()
    second = sixteen_new(page, first)
    assert len(set(second)) == 16
    assert seeds(page) == [seeds(page)[0] + i for i in range(16)]


def test_the_slider_draws_the_same_seeds_with_another_truncation(page):
    first = sixteen_new(page, [])
    before = seeds(page)
    page.execute_script(
        "const s = document.getElementById('truncation'); s.value = 0.3;"
        "s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change'))"
    )
    sixteen_new(page, first)
    assert seeds(page) == before
    assert text(page, "truncation-value") == "0.30"


def test_the_link_of_a_card_draws_it_again(page):
    sixteen_new(page, [])
    page.find_elements(By.CSS_SELECTOR, "#cards .card")[3].click()
    link = page.find_element(By.ID, "closer-link").get_attribute("href")
    picture = page.find_element(By.ID, "closer-card").get_attribute("src")
    page.get("about:blank")
    page.get(link)
    wait(page, lambda page: page.find_element(By.ID, "closer").is_displayed())
    assert page.find_element(By.ID, "closer-card").get_attribute("src") == picture


def test_a_card_has_an_address_of_its_own(page, tmp_path):
    sixteen_new(page, [])
    page.find_elements(By.CSS_SELECTOR, "#cards .card")[3].click()
    picture = page.find_element(By.ID, "closer-card").get_attribute("src")
    address = page.find_element(By.ID, "closer-image").get_attribute("href")
    answer = httpx.get(address, trust_env=False)
    assert picture == f"data:image/png;base64,{base64.b64encode(answer.content).decode()}"


def test_chosen_cards_turn_into_each_other(page):
    first = sixteen_new(page, [])
    morph = page.find_element(By.ID, "morph")
    boxes = page.find_elements(By.CSS_SELECTOR, "#cards [type=checkbox]")
    boxes[2].click()
    assert not morph.is_enabled()
    boxes[9].click()
    assert morph.text == "Morph 2 cards"
    morph.click()
    wait(
        page, lambda page: page.execute_script("return document.getElementById('moving').naturalWidth") == 50
    )
    assert str(seeds(page)[2]) in page.find_element(By.ID, "moving").get_attribute("alt")
    page.find_element(By.ID, "generate").click()
    sixteen_new(page, first)
    assert not morph.is_enabled()


def test_files_are_saved_under_their_seeds(page, tmp_path):
    folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
    sixteen_new(page, [])
    seed = seeds(page)[0]
    for box in page.find_elements(By.CSS_SELECTOR, "#cards [type=checkbox]")[:2]:
        box.click()
    page.find_element(By.ID, "morph").click()
    wait(page, lambda page: page.find_element(By.ID, "moving-gif").is_displayed())
    names = {"sheet": "sheet-{}.png", "zip": "cards-{}.zip", "moving-gif": "morph-{}-{}.gif"}
    for id, name in names.items():
        page.find_element(By.ID, id).click()
        file = tmp_path / name.format(seed, seed + 1)
        wait(page, lambda page, file=file: file.exists())
    assert len(zipfile.ZipFile(tmp_path / f"cards-{seed}.zip").namelist()) == 16
    sheet = decode((tmp_path / f"sheet-{seed}.png").read_bytes()).card
    assert sheet.shape == (4 * 73 + 3, 4 * 53 + 3, 3)


def test_an_upload_shows_its_picture_and_its_score(page, tmp_path):
    bright, dark = tmp_path / "bright.png", tmp_path / "dark.jpg"
    bright.write_bytes(pictures.file(pictures.plain(70, 50, (250, 250, 250))))
    dark.write_bytes(pictures.file(pictures.plain(70, 50, (20, 20, 20)), "JPEG"))
    page.find_element(By.ID, "file").send_keys(f"{bright}\n{dark}")
    wait(page, lambda page: len(page.find_elements(By.CSS_SELECTOR, "#scores li")) == 2)
    assert [name.text for name in page.find_elements(By.CSS_SELECTOR, "#scores .name")] == [
        bright.name,
        dark.name,
    ]
    for fact in ("logit", "probability", "percentile"):
        values = [
            float(value.text.removesuffix(" %"))
            for value in page.find_elements(By.CSS_SELECTOR, f"#scores [data-fact={fact}]")
        ]
        assert values[0] > values[1]
    wait(
        page,
        lambda page: page.execute_script(
            "return [...document.querySelectorAll('#scores img')].every(i => i.naturalWidth == 50)"
        ),
    )


def test_a_generated_card_can_be_scored_from_its_dialog(page):
    sixteen_new(page, [])
    page.find_element(By.CSS_SELECTOR, "#cards .card").click()
    page.find_element(By.ID, "closer-score").click()
    wait(page, lambda page: page.find_elements(By.CSS_SELECTOR, "#scores dd"))
    assert not page.find_element(By.ID, "closer").is_displayed()


def test_a_bad_upload_is_refused_in_the_gateways_words(page, tmp_path: Path):
    junk = tmp_path / "junk.png"
    junk.write_bytes(b"not a picture")
    page.find_element(By.ID, "file").send_keys(str(junk))
    wait(page, lambda page: "PNG, JPEG, WEBP" in text(page, "scores"))


class TestWithoutModels:
    @pytest.fixture
    def backend(self):
        return FakeBackend(NotReady("The store is empty. Export a run first."))

    def test_the_page_says_why_and_draws_as_soon_as_models_are_there(self, page, backend):
        wait(page, lambda page: "The store is empty. Export a run first." in text(page, "status"))
        assert cards(page) == []
        page.find_element(By.ID, "generate").click()
        wait(page, lambda page: "The store is empty." in text(page, "draw-error"))
        backend.failure = None
        sixteen_new(page, [])
        assert backend.model.version in text(page, "status")
        assert not page.find_element(By.ID, "draw-error").is_displayed()


class TestWithKinds:
    @pytest.fixture
    def backend(self):
        return FakeBackend(classes=("elves", "goblins"))

    @staticmethod
    def choose(page, kind: str) -> None:
        Select(page.find_element(By.ID, "label")).select_by_visible_text(kind)

    @staticmethod
    def look(page, place: int) -> tuple[str, str, str]:
        """The title, the link and the picture of a card, looked at closely."""
        page.find_elements(By.CSS_SELECTOR, "#cards .card")[place].click()
        wait(page, lambda page: page.find_element(By.ID, "closer").is_displayed())
        found = (
            text(page, "closer-title"),
            page.find_element(By.ID, "closer-link").get_attribute("href"),
            page.find_element(By.ID, "closer-card").get_attribute("src"),
        )
        page.find_element(By.ID, "closer-close").click()
        return found

    def test_a_chosen_kind_draws_the_same_seeds_anew(self, page):
        first = sixteen_new(page, [])
        before = seeds(page)
        kinds = {self.look(page, place)[0].partition(", ")[2] for place in range(16)}
        assert kinds == {"elves", "goblins"}
        self.choose(page, "elves")
        wait(page, lambda page: cards(page) != first and len(cards(page)) == 16)
        elves = cards(page)
        assert seeds(page) == before
        self.choose(page, "goblins")
        sixteen_new(page, elves)
        assert self.look(page, 0)[0] == f"Seed {before[0]}, goblins"

    def test_the_link_of_a_card_draws_its_kind_again(self, page):
        sixteen_new(page, [])
        title, link, picture = self.look(page, 3)
        page.get("about:blank")
        page.get(link)
        wait(page, lambda page: page.find_element(By.ID, "closer").is_displayed())
        assert text(page, "closer-title") == title
        assert page.find_element(By.ID, "closer-card").get_attribute("src") == picture

    def test_a_link_to_a_kind_that_is_gone_draws_any(self, page):
        sixteen_new(page, [])
        address = page.current_url
        page.get("about:blank")
        page.get(f"{address}#seed=5&truncation=1&label=orcs")
        wait(page, lambda page: page.find_element(By.ID, "closer").is_displayed())
        assert text(page, "closer-title").startswith("Seed 5, ")
        assert page.find_element(By.ID, "label").get_attribute("value") == ""


def test_models_without_kinds_offer_none(page):
    sixteen_new(page, [])
    assert not page.find_element(By.ID, "kind").is_displayed()


def test_a_gateway_with_keys_asks_for_one_and_works_with_it(browser, backend, tmp_path):
    secret, stored = keys.make("visitor", ["generate", "score"])
    (tmp_path / "keys").write_text(str(stored))
    with live(backend, Settings(keys_file=tmp_path / "keys")) as url:
        browser.get(url)
        field = wait(browser, lambda page: page.find_element(By.CSS_SELECTOR, "#unlock:not([hidden]) #key"))
        assert "enter yours above" in text(browser, "draw-error")
        field.send_keys("wrong\n")
        wait(browser, lambda page: "not known" in text(page, "draw-error"))
        field.clear()
        field.send_keys(f"{secret}\n")
        wait(browser, lambda page: len(cards(page)) == 16)
        wait(browser, lambda page: not field.is_displayed())
        wait(browser, lambda page: page.switch_to.active_element.get_attribute("id") == "generate")
        browser.find_element(By.CSS_SELECTOR, "#cards .card").click()
        assert browser.find_element(By.ID, "closer-link").is_displayed()
        assert not browser.find_element(By.ID, "closer-image").is_displayed()
        kept = "return document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
        assert secret not in browser.execute_script(kept) + browser.current_url


def offline(page, really: bool) -> None:
    page.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": really, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)


def media(page, **features: str) -> None:
    named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})


def style(page, selector: str, name: str) -> str:
    return page.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name
    )


def test_it_is_light_or_dark_as_the_visitor_likes(page):
    def ground(scheme: str) -> str:
        media(page, prefers_color_scheme=scheme)
        return style(page, "body", "backgroundColor")

    try:
        assert (ground("dark"), ground("light")) == ("rgb(16, 17, 23)", "rgb(244, 243, 248)")
    finally:
        media(page)


def test_buttons_have_outlines_where_colours_are_the_visitors_own(page):
    media(page, forced_colors="active")
    try:
        for button in ("#generate", "#sheet", ".pick"):
            assert style(page, button, "borderTopColor") == style(page, button, "color")
            assert style(page, button, "borderTopWidth") == "1px"
    finally:
        media(page)


def test_the_keyboard_keeps_its_place_and_is_told_what_came(page):
    first = sixteen_new(page, [])
    page.find_element(By.ID, "generate").send_keys(Keys.ENTER)
    sixteen_new(page, first)
    assert page.switch_to.active_element.get_attribute("id") == "generate"
    assert page.find_element(By.ID, "drawn").get_attribute("textContent") == (
        f"16 cards, seeds {seeds(page)[0]} to {seeds(page)[-1]}."
    )


def test_the_last_of_many_changes_is_what_is_shown(page):
    sixteen_new(page, [])
    slider = page.find_element(By.ID, "truncation")
    for _ in range(6):
        slider.send_keys(Keys.ARROW_RIGHT)
    wait(page, lambda page: page.find_element(By.ID, "cards").get_attribute("aria-busy") == "false")
    page.find_element(By.CSS_SELECTOR, "#cards .card").click()
    assert text(page, "closer-said") == f"Truncation {float(text(page, 'truncation-value')):g}"


def test_a_link_counts_where_the_page_is_open_already(page):
    sixteen_new(page, [])
    page.execute_script("location.hash = 'seed=5&truncation=0.33'")
    wait(page, lambda page: page.find_element(By.ID, "closer").is_displayed())
    assert text(page, "closer-title") == "Seed 5"
    assert text(page, "closer-said") == "Truncation 0.33"


def test_a_link_to_no_card_says_so(page):
    sixteen_new(page, [])
    page.execute_script("location.hash = 'seed=five'")
    wait(page, lambda page: "five" in text(page, "draw-error"))
    assert not page.find_element(By.ID, "closer").is_displayed()


def test_a_gateway_that_goes_is_missed_until_it_is_back(page):
    sixteen_new(page, [])
    offline(page, True)
    try:
        page.find_element(By.ID, "generate").click()
        wait(page, lambda page: "cannot be reached" in text(page, "draw-error"))
        wait(page, lambda page: "Not ready" in text(page, "status"))
    finally:
        offline(page, False)
    wait(page, lambda page: "Models of version" in text(page, "status"))
    assert not page.find_element(By.ID, "draw-error").is_displayed()


def test_a_bad_picture_spoils_no_other(page, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(pictures.file(pictures.plain(70, 50, (250, 250, 250))))
    bad.write_bytes(b"not a picture")
    page.find_element(By.ID, "file").send_keys(f"{bad}\n{good}")
    wait(page, lambda page: len(page.find_elements(By.CSS_SELECTOR, "#scores li")) == 2)
    first, second = (item.text for item in page.find_elements(By.CSS_SELECTOR, "#scores li"))
    assert first.startswith("bad.png: ")
    assert "Percentile" in second


def drop(page, where: str, *files: Path) -> None:
    """Drop files in the middle of an element, as from the desktop."""
    page.execute_script("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", where)
    box = page.execute_script(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]",
        where,
    )
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.execute_cdp_cmd(
            "Input.dispatchDragEvent", {"type": kind, "x": box[0], "y": box[1], "data": data}
        )


def test_files_are_dropped_in_the_frame_and_nowhere_else(page, tmp_path):
    sixteen_new(page, [])
    address, good = page.current_url, tmp_path / "good.png"
    good.write_bytes(pictures.file(pictures.plain(70, 50, (250, 250, 250))))
    # A browser would open it in place of the page; one that is driven does not.
    assert page.execute_script(
        "const dataTransfer = new DataTransfer(); dataTransfer.items.add(new File(['x'], 'x.png'));"
        "const missed = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });"
        "document.querySelector('#draw-title').dispatchEvent(missed); return missed.defaultPrevented"
    )
    drop(page, "#drop", good)
    wait(page, lambda page: len(page.find_elements(By.CSS_SELECTOR, "#scores li")) == 1)
    assert page.current_url == address
    drop(page, "#drop", tmp_path)
    wait(page, lambda page: "A folder was dropped" in text(page, "score-error"))


def test_a_phone_shows_the_score_of_a_card_that_was_looked_at(page):
    size = {"width": 375, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        sixteen_new(page, [])
        page.find_element(By.CSS_SELECTOR, "#cards .card").click()
        page.find_element(By.ID, "closer-score").click()
        wait(page, lambda page: page.find_elements(By.CSS_SELECTOR, "#scores li"))
        place = page.execute_script("return document.querySelector('#scores li').getBoundingClientRect()")
        assert 0 <= place["top"] < place["bottom"] <= 740
        assert page.execute_script("return document.documentElement.scrollWidth") <= 375
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
