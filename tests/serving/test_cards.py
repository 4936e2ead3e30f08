import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from serving.cards import (
    FOLDER_FORMATS,
    MAX_PIXELS,
    BadCard,
    check_size,
    decode_upload,
    encode,
    fit,
    upright_size,
)
from tests.fakes import pictures, profiles
from tests.fakes.corpus import cases, corner
from tests.fakes.pictures import decode

CORPUS = cases()

SEEDS = [
    *(pictures.file(pictures.noisy(12, 10), format) for format in FOLDER_FORMATS),
    *(pictures.animated(format) for format in ("PNG", "GIF", "WEBP")),
    pictures.turned(6),
]

CARDS = arrays(np.uint8, st.tuples(st.integers(8, 24), st.integers(8, 24), st.just(3)))


def code_of(data: bytes) -> str:
    with pytest.raises(BadCard) as refused:
        decode(data)
    return refused.value.code


def outcome(read: Callable[[], tuple[int, ...]]) -> tuple[int, ...] | str:
    try:
        return read()
    except BadCard as bad:
        return bad.code


def shade(card: np.ndarray, top: int, left: int) -> int:
    return int(card[top, left].mean())


@given(st.binary(max_size=400))
def test_any_bytes_are_a_card_or_a_bad_card(data):
    try:
        card = decode(data, FOLDER_FORMATS).card
    except BadCard:
        return
    assert card.dtype == np.uint8


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # on damaged EXIF
@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_picture_is_a_card_or_a_bad_card(original, data):
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(damaged)))
    try:
        card = decode(bytes(damaged[:end]), FOLDER_FORMATS).card
    except BadCard:
        return
    assert card.dtype == np.uint8
    assert card.ndim == 3


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # on damaged EXIF
@given(st.sampled_from(SEEDS), st.data())
def test_the_header_of_any_picture_tells_the_size_that_it_decodes_to(original, data):
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(0, 2))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    header = outcome(lambda: upright_size(io.BytesIO(damaged), FOLDER_FORMATS, MAX_PIXELS))
    whole = outcome(lambda: decode(bytes(damaged), FOLDER_FORMATS).card.shape[:2])
    assert header == whole or whole == "corrupt"  # by damage behind the header


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_tells_how_a_camera_was_held(orientation, format):
    data = pictures.turned(orientation, format)
    size = upright_size(io.BytesIO(data), FOLDER_FORMATS, MAX_PIXELS)
    assert size == decode(data).card.shape[:2] == ((16, 20) if orientation >= 5 else (20, 16))


def test_a_size_is_told_without_the_pixels():
    whole = pictures.file(pictures.noisy(200, 100))
    assert upright_size(io.BytesIO(whole[:100]), FOLDER_FORMATS, MAX_PIXELS) == (200, 100)
    assert code_of(whole[:100]) == "corrupt"


@given(CARDS)
def test_png_keeps_every_pixel(card):
    assert np.array_equal(decode(encode(card)).card, card)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_jpeg_and_webp_come_back_close_and_smaller_for_less_quality(format):
    card = np.asarray(pictures.noisy(4, 3).resize((120, 160), Image.Resampling.BICUBIC))
    picture = decode(encode(card, format, 95))
    assert picture.format == format
    assert np.abs(picture.card.astype(int) - card).mean() < 3
    assert len(encode(card, format, 20)) < len(encode(card, format, 95))


@given(CARDS, st.integers(8, 40), st.integers(8, 40))
def test_fit_gives_the_asked_size_and_leaves_a_fitting_card_alone(card, height, width):
    assert fit(card, height, width).shape == (height, width, 3)
    assert fit(card, *card.shape[:2]) is card


def test_fit_averages_what_it_shrinks():
    stripes = np.zeros((160, 120, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(fit(stripes, 16, 12).astype(int) - 127).max() <= 5


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # on damaged files
@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_file_of_the_corpus_becomes_what_it_should(case):
    if case.refused:
        with pytest.raises(BadCard) as bad:
            decode_upload(case.data, 20, 16)
        assert bad.value.code == case.refused
        return
    picture = decode_upload(case.data, 20, 16)
    assert tuple(step for step in picture.applied if step != "resize") == case.applied
    assert picture.card.shape == (20, 16, 3)
    if case.colour:
        assert np.abs(corner(picture.card) - case.colour).max() <= 12


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("case", [case for case in CORPUS if not case.refused], ids=lambda case: case.name)
def test_uploads_and_training_pictures_pass_the_same_door(case):
    picture, upload = decode(case.data), decode_upload(case.data, 20, 16)
    assert np.array_equal(fit(picture.card, 20, 16), upload.card)
    assert picture.size == upload.size == picture.card.shape[:2]
    assert picture.format == upload.format


@pytest.mark.parametrize("format", ["JPEG", "MPO"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_and_hardly_differs(format, orientation):
    several = {"save_all": True, "append_images": [pictures.plain()]} if format == "MPO" else {}
    photograph, exif = pictures.photograph(1500, 1100), pictures.exif(orientation)
    data = pictures.file(photograph, format, exif=exif, quality=90, **several)
    whole, upload = decode(data), decode_upload(data, 112, 80)
    assert "decoded_smaller" in upload.applied
    assert upload.size == whole.size == ((1500, 1100) if orientation == 1 else (1100, 1500))
    difference = np.abs(fit(whole.card, 112, 80).astype(int) - upload.card)
    assert 0 < difference.mean() < 0.5
    assert difference.max() <= 6


def test_a_jpeg_is_decoded_whole_where_half_of_it_would_not_be_plenty():
    data = pictures.file(pictures.photograph(8 * 112 - 8, 8 * 80), "JPEG")
    assert decode_upload(data, 112, 80).applied == ("resize",)


def test_the_colours_of_a_wide_screen_become_those_of_srgb():
    for colour in ((200, 60, 30), (40, 180, 90), (128, 128, 128), (255, 255, 255)):
        image = Image.new("RGB", (16, 16), colour)
        picture = decode(pictures.file(image, icc_profile=profiles.rgb()))
        assert np.abs(picture.card[0, 0] - profiles.screen_to_srgb(colour)).max() <= 2


def test_the_inks_of_a_press_become_its_own_colours():
    inks = {"C": (255, 0, 0, 0), "Y": (0, 0, 255, 0), "K": (0, 0, 0, 255), "paper": (0, 0, 0, 0)}
    drawn = {
        name: decode(
            pictures.file(
                Image.new("CMYK", (16, 16), levels), "JPEG", quality=95, icc_profile=profiles.cmyk()
            )
        ).card[0, 0]
        for name, levels in inks.items()
    }
    expected = {"C": (0, 143, 213), "Y": (252, 220, 7), "K": (42, 42, 42), "paper": (255, 255, 255)}
    for name, colour in expected.items():
        assert np.abs(drawn[name].astype(int) - colour).max() <= 25, name


@given(st.binary(max_size=600) | st.binary(max_size=200).map(lambda junk: profiles.rgb()[:-60] + junk))
def test_a_profile_is_used_or_ignored_whatever_its_bytes(profile):
    picture = decode(pictures.file(pictures.plain(), icc_profile=profile))
    assert picture.applied in ((), ("profile_to_srgb",), ("profile_ignored",))
    if picture.applied != ("profile_to_srgb",):
        assert np.array_equal(picture.card, np.asarray(pictures.plain()))


def test_folders_may_have_bmp_and_still_gif_but_no_animation():
    for format in ("BMP", "GIF"):
        picture = decode(pictures.file(pictures.plain(), format), FOLDER_FORMATS)
        assert picture.format == format.lower()
        assert shade(picture.card, 0, 0) < 30 < shade(picture.card, 19, 15)
    with pytest.raises(BadCard, match="animated"):
        decode(pictures.animated("GIF"), FOLDER_FORMATS)


def test_the_largest_picture_that_may_be_read_is_16_megapixels():
    check_size(4000, MAX_PIXELS // 4000, MAX_PIXELS)
    with pytest.raises(BadCard, match="4000x4001"):
        check_size(4000, 4001, MAX_PIXELS)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "dark"),
    [(2, (0, 1)), (3, (1, 1)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (7, (1, 1)), (8, (1, 0))],
)
def test_a_picture_is_turned_the_way_its_camera_was_held(format, orientation, dark):
    picture = decode(pictures.turned(orientation, format))
    height, width = picture.card.shape[:2]
    assert (height, width) == ((20, 16) if orientation < 5 else (16, 20))
    assert picture.applied == ("exif_orientation",)
    corners = {(y, x): shade(picture.card, y * (height - 1), x * (width - 1)) for y in (0, 1) for x in (0, 1)}
    assert min(corners, key=lambda corner: corners[corner]) == dark


@pytest.mark.parametrize("orientation", [1, 0, 9])
def test_an_upright_picture_is_left_as_it_is(orientation):
    assert decode(pictures.turned(orientation)).applied == ()


def test_16_bit_grey_keeps_its_shades():
    levels = np.array([0, 1000, 32768, 60000, 65535], np.uint16)
    grey = np.repeat(np.repeat(levels, 4)[None], 8, axis=0)
    picture = decode(pictures.file(Image.fromarray(grey)))
    assert picture.card[0, ::4, 0].tolist() == [0, 4, 128, 233, 255]
    assert picture.applied == ("16_bit_to_8", "colour_to_rgb")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_shows_white_and_not_the_colour_below(mode):
    image = Image.new(mode, (16, 16), (200, 0) if mode == "LA" else (200, 30, 30, 0))
    picture = decode(pictures.file(image))
    assert (picture.card == 255).all()
    assert picture.applied == ("alpha_on_white", *(["colour_to_rgb"] if mode == "LA" else []))


def test_half_transparent_black_is_grey():
    card = decode(pictures.file(Image.new("RGBA", (16, 16), (0, 0, 0, 128)))).card
    assert (card == 127).all()


def test_a_transparent_colour_of_a_palette_shows_white():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(0, (0, 0, 16, 8))
    picture = decode(pictures.file(image, transparency=1))
    assert picture.card[0, 0].tolist() == [0, 0, 0]
    assert picture.card[15, 0].tolist() == [255, 255, 255]
    assert picture.applied == ("alpha_on_white",)


@pytest.mark.parametrize(
    "data",
    [
        pictures.file(pictures.plain().convert("CMYK"), "JPEG", quality=95),
        pictures.file(pictures.plain().quantize(4)),
    ],
    ids=["cmyk jpeg", "palette png"],
)
def test_other_colours_become_rgb(data):
    picture = decode(data)
    assert picture.applied == ("colour_to_rgb",)
    assert np.abs(picture.card[15, 12].astype(int) - (200, 60, 30)).max() < 20


def test_what_we_write_holds_no_metadata():
    for format in ("png", "jpeg", "webp"):
        image = Image.open(io.BytesIO(encode(np.asarray(pictures.plain()), format)))
        assert not image.getexif()
        assert "icc_profile" not in image.info
