"""The page of an audit in a real browser, from disk and without a network."""

import pytest
from selenium.webdriver.common.by import By

from tests.fakes import folders
from training.audit.audit import audit
from training.audit.exhibit import printable
from training.audit.page import write_page
from training.audit.rules import NAMES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shown(chromium, tmp_path_factory):
    """A browser that shows the audit of a folder with every fault, and the audit."""
    root = tmp_path_factory.mktemp("faulty")
    folders.faulty(root)
    found = audit(root)
    write_page(found, root / "audit.html")
    chromium.get((root / "audit.html").as_uri())
    return chromium, found


def test_every_finding_is_shown_with_its_pictures_and_nothing_is_fetched(shown):
    page, found = shown
    assert [section.get_attribute("id") for section in page.find_elements(By.CSS_SELECTOR, ".finding")] == [
        exhibit.finding.id for exhibit in found.exhibits
    ]
    for exhibit in found.exhibits:
        words = page.find_element(By.ID, exhibit.finding.id).text
        for part in (exhibit.finding.name, exhibit.finding.what, exhibit.finding.why, exhibit.finding.remedy):
            assert part in words
    broken = page.execute_script(
        "for (const image of document.images) image.loading = 'eager';"
        "return Promise.all([...document.images].map(i => i.decode().then(() => 0, () => 1)))"
        ".then(found => [found.length, found.reduce((a, b) => a + b, 0)])"
    )
    assert broken[0] > 100
    assert broken[1] == 0
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.get_log("browser") == []


def test_pairs_are_side_by_side_and_what_cannot_be_read_says_why(shown):
    page, _ = shown
    pairs = page.find_elements(By.CSS_SELECTOR, "#A3 .pair, #A4 .pair")
    assert [len(pair.find_elements(By.TAG_NAME, "img")) for pair in pairs] == [2] * 5
    assert "damaged or cut short" in page.find_element(By.ID, "A2").text


def test_a_name_with_markup_is_text(shown, tmp_path):
    page, _ = shown
    folders.sound(tmp_path / "cards", 3)
    names = folders.odd_names(tmp_path / "cards")
    write_page(audit(tmp_path / "cards"), tmp_path / "odd.html")
    address = page.current_url
    page.get((tmp_path / "odd.html").as_uri())
    labels = {image.get_attribute("alt") for image in page.find_elements(By.TAG_NAME, "img")}
    assert {printable(name) for name in names} <= labels
    assert page.find_elements(By.TAG_NAME, "script") == []
    page.get(address)


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_it_fits_any_screen(shown, width):
    page, found = shown
    page.set_window_size(width, 900)
    assert page.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert len(NAMES) == len(page.find_elements(By.CSS_SELECTOR, ".silent li")) + len(found.exhibits)
