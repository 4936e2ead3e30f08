"""Picture files that people, cameras, programs and attackers send, and what must come of each."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin

from serving.cards import BadCardCode
from tests.fakes import pictures, profiles
from tests.fakes.pictures import chunk, file, plain, png, riff, segment, with_chunks, with_segments

Colour = tuple[int, int, int]

CARD, GREY = (200, 60, 30), (98, 98, 98)  # plain()'s lower right colour, and that as grey
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
HALF = (227, 157, 142)  # CARD, half transparent on white
DEEP, SHADE = struct.pack(">H", 40_000), (156, 156, 156)  # a level of 16 bits, and what it is in 8
ORIENTATION = 0x0112

TO_8, TO_RGB, ON_WHITE, TURNED = "16_bit_to_8", "colour_to_rgb", "alpha_on_white", "exif_orientation"
TO_SRGB, IGNORED, FIRST = "profile_to_srgb", "profile_ignored", "first_picture"


@dataclass(frozen=True)
class Case:
    """A file, and either how a card is made of it or why none is."""

    name: str
    data: bytes
    applied: tuple[str, ...] = ()
    colour: Colour | None = CARD  # of the lowest right pixel, to 12 levels
    refused: BadCardCode | None = None


def card(name: str, data: bytes, *applied: str, colour: Colour | None = CARD) -> Case:
    """A file that becomes a card."""
    return Case(name, data, applied, colour)


def bad(name: str, data: bytes, refused: BadCardCode) -> Case:
    """A file that becomes none."""
    return Case(name, data, refused=refused)


def cases() -> list[Case]:
    """Return the corpus."""
    return [*pngs(), *damaged_pngs(), *jpegs(), *damaged_jpegs(), *webps(), *others(), *sizes(), *bombs()]


def pngs() -> list[Case]:
    """Every kind of PNG."""
    grey, palette = plain().convert("L"), plain().quantize(4)
    place = palette.getpixel((15, 19))
    half = Image.merge("RGBA", (*plain().split(), Image.new("L", (16, 20), 128)))
    colour_key = chunk(b"tRNS", struct.pack(">HHH", *CARD))
    other_key = chunk(b"tRNS", struct.pack(">HHH", 156, 156, 156))  # 40,000's upper byte
    return [
        card("rgb", file(plain())),
        card("interlaced", pictures.interlaced()),
        card("1 bit", png(0, 1, 20 * [b"\xff\x00"]), TO_RGB, colour=BLACK),
        card("2 bits grey", png(0, 2, 20 * [b"\xaa" * 4]), TO_RGB, colour=(170, 170, 170)),
        card("4 bits grey", png(0, 4, 20 * [b"\x88" * 8]), TO_RGB, colour=(136, 136, 136)),
        card("8 bits grey", file(grey), TO_RGB, colour=GREY),
        card("grey, one shade clear", file(grey, transparency=98), ON_WHITE, TO_RGB, colour=WHITE),
        card("grey with alpha", file(plain().convert("LA")), ON_WHITE, TO_RGB, colour=GREY),
        card("16 bits grey", png(0, 16, 20 * [16 * DEEP]), TO_8, TO_RGB, colour=SHADE),
        card(
            "16 bits grey, one shade clear",
            png(0, 16, 20 * [16 * DEEP], chunk(b"tRNS", DEEP)),
            TO_8,
            ON_WHITE,
            TO_RGB,
            colour=WHITE,
        ),
        card("16 bits grey with alpha", png(4, 16, 20 * [32 * DEEP]), TO_8, ON_WHITE, colour=(194, 194, 194)),
        card("16 bits rgb", png(2, 16, 20 * [48 * DEEP]), TO_8, colour=SHADE),
        card(
            "16 bits rgb, one colour clear",
            png(2, 16, 20 * [48 * DEEP], chunk(b"tRNS", 3 * DEEP)),
            TO_8,
            ON_WHITE,
            colour=WHITE,
        ),
        card(
            "16 bits rgb, another clear",
            png(2, 16, 20 * [48 * DEEP], other_key),
            TO_8,
            ON_WHITE,
            colour=SHADE,
        ),
        card("16 bits rgb with alpha", png(6, 16, 20 * [64 * DEEP]), TO_8, ON_WHITE, colour=(194, 194, 194)),
        card("one colour clear", with_chunks(file(plain()), colour_key), ON_WHITE, colour=WHITE),
        card("alpha", file(half), ON_WHITE, colour=HALF),
        card("palette", file(palette), TO_RGB),
        card("palette of 2 bits", file(palette, bits=2), TO_RGB),
        card("palette, one colour clear", file(palette, transparency=place), ON_WHITE, colour=WHITE),
        card("palette with alpha", file(palette, transparency=bytes([128] * 4)), ON_WHITE, colour=HALF),
        card("turned by EXIF", pictures.turned(6, "PNG"), TURNED),
        card("broken EXIF", with_chunks(file(plain()), chunk(b"eXIf", b"no TIFF at all"))),
        card("a wide screen's", file(plain(), icc_profile=profiles.rgb()), TO_SRGB, colour=(219, 49, 5)),
        card("sRGB by name of profile", file(plain(), icc_profile=profiles.srgb())),
        card("broken profile", file(plain(), icc_profile=b"nothing" * 30), IGNORED),
        card("profile of a press", file(plain(), icc_profile=profiles.cmyk()), IGNORED),
        card(
            "grey, of a grey scanner",
            file(grey, icc_profile=profiles.grey(1.0)),
            TO_SRGB,
            colour=(166, 166, 166),
        ),
        card("grey, of a screen", file(grey, icc_profile=profiles.rgb()), IGNORED, TO_RGB, colour=GREY),
        card("palette of a screen", file(palette, icc_profile=profiles.rgb()), TO_SRGB, colour=(219, 49, 5)),
        card("profile written as text", with_texts(icc_profile="sRGB"), IGNORED),
        card("texts", with_texts(Title="A card", Comment="é" * 5000)),
        card("gamma alone", with_chunks(file(plain()), chunk(b"gAMA", struct.pack(">I", 45455)))),
        card("something behind it", file(plain()) + b"PK\x03\x04 a zip"),
        card("one frame", with_chunks(file(plain()), *one_frame())),
        bad("animated", pictures.animated("PNG"), "animated"),
    ]


def one_frame() -> tuple[bytes, bytes]:
    """The chunks by which a PNG says that it is an animation of its one picture."""
    shown = struct.pack(">IIIIIHHBB", 0, 16, 20, 0, 0, 1, 1, 0, 0)
    return chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", shown)


def with_texts(**texts: str) -> bytes:
    """A PNG that says things."""
    info = PngImagePlugin.PngInfo()
    for keyword, value in texts.items():
        info.add_text(keyword, value, zip=len(value) > 100)
    return file(plain(), pnginfo=info)


def damaged_pngs() -> list[Case]:
    """PNGs that something happened to."""
    whole, noise = file(plain()), file(pictures.noisy(40, 40))
    pixels = noise.index(b"IDAT") + 200
    flipped = noise[:pixels] + bytes([noise[pixels] ^ 0xFF]) + noise[pixels + 1 :]
    return [
        bad("signature alone", pictures.PNG, "corrupt"),
        bad("cut in its pixels", noise[:-400], "corrupt"),
        bad("a flipped byte", flipped, "corrupt"),
        bad("no pixels", png(2, 8, [])[:33] + chunk(b"IEND", b""), "corrupt"),
        card(
            "rows that were never written",
            png(2, 8, 10 * [48 * b"a"]).replace(*header_of(10, 20)),
            colour=BLACK,
        ),
        bad("no palette", pictures.without_palette(), "corrupt"),
        bad("3 bits a channel", png(2, 3, 20 * [48 * b"a"]), "corrupt"),
        bad("no width", whole.replace(*header_of(20, 20, width=0)), "corrupt"),
        bad("truncated colour key", with_chunks(whole, chunk(b"tRNS", b"\0")), "corrupt"),
        bad("broken checksum", whole[:29] + b"\0\0\0\0" + whole[33:], "corrupt"),
    ]


def header_of(height: int, claimed: int, width: int = 16) -> tuple[bytes, bytes]:
    """The header of a PNG of 16 x height, and one that claims another size."""
    true, false = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
        for size in ((16, height), (width, claimed))
    )
    return true, false


def jpegs() -> list[Case]:
    """Every kind of JPEG."""
    whole, cmyk = file(plain(), "JPEG", quality=95), plain().convert("CMYK")
    ink = file(cmyk, "JPEG", quality=95)
    several = {"save_all": True, "append_images": [plain(colour=(0, 0, 200))], "quality": 95}
    mpo = file(plain(), "MPO", **several)
    long = segment(0xE1, b"Exif\0\0" + b"x" * 65_000)
    return [
        card("baseline", whole),
        card("progressive", file(plain(), "JPEG", quality=95, progressive=True)),
        card("arithmetic", pictures.ARITHMETIC),
        card("restart markers", file(plain(), "JPEG", quality=95, restart_marker_blocks=1)),
        card("grey", file(plain().convert("L"), "JPEG", quality=95), TO_RGB, colour=GREY),
        card("CMYK as Adobe writes it", ink, TO_RGB),
        card("CMYK without Adobe's mark", pictures.without_segment(ink, 0xEE), TO_RGB, colour=None),
        card("YCCK", file(pictures.ycck_planes(), "JPEG", quality=95).replace(*pictures.YCCK_MARK), TO_RGB),
        card("CMYK of a press", file(cmyk, "JPEG", icc_profile=profiles.cmyk()), TO_SRGB, colour=None),
        card("CMYK with a screen's profile", file(cmyk, "JPEG", icc_profile=profiles.rgb()), IGNORED, TO_RGB),
        card(
            "a wide screen's",
            file(plain(), "JPEG", quality=95, icc_profile=profiles.rgb()),
            TO_SRGB,
            colour=(219, 49, 5),
        ),
        card(
            "one piece of a profile in two",
            with_segments(whole, segment(0xE2, b"ICC_PROFILE\0\1\2" + profiles.rgb())),
        ),
        card("turned by EXIF", pictures.turned(8), TURNED),
        card("long EXIF of nothing", with_segments(whole, long)),
        card("2 MB of EXIF", with_segments(whole, *([long] * 32))),
        card("EXIF that points into itself", with_segments(whole, segment(0xE1, looping_exif()))),
        card("EXIF with an absurd orientation", pictures.turned(9999)),
        card("several pictures", mpo, FIRST),
        card("several pictures, the second cut", mpo[:-300], FIRST),
        card(
            "a list of pictures that is broken",
            with_segments(whole, segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff")),
        ),
        card("a long comment", with_segments(whole, segment(0xFE, b"x" * 60_000))),
        card("something behind it", whole + b"PK\x03\x04 a zip"),
        card("a film behind it", whole + np.random.default_rng(0).bytes(4_000_000)),
        card("fill bytes", whole[:2] + b"\xff" * 100 + whole[2:]),
    ]


def looping_exif() -> bytes:
    """EXIF whose next directory is itself, with entries that claim gigabytes."""
    entries = b"".join(struct.pack("<HHLL", 0x9000 + place, 2, 0xFFFFFFF, 8) for place in range(500))
    return b"Exif\0\0II*\0" + struct.pack("<LH", 8, 500) + entries + struct.pack("<L", 8)


def damaged_jpegs() -> list[Case]:
    """JPEGs that something happened to, and kinds that no browser shows."""
    whole, noise = file(plain(), "JPEG"), file(pictures.noisy(40, 40), "JPEG")
    frame = whole.index(b"\xff\xc0")
    return [
        bad("start alone", b"\xff\xd8\xff", "corrupt"),
        bad("header alone", whole[: frame + 19], "corrupt"),
        bad("cut in its pixels", noise[:-400], "corrupt"),
        bad("12 bits", whole.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c"), "corrupt"),
        bad("lossless", whole.replace(b"\xff\xc0", b"\xff\xc3"), "corrupt"),
        bad("5 channels", whole[: frame + 9] + b"\x05" + whole[frame + 10 :], "corrupt"),
        bad("no height", whole[: frame + 5] + b"\0\0" + whole[frame + 7 :], "corrupt"),
        bad("no tables", pictures.without_segment(whole, 0xDB), "corrupt"),
        bad("not what its header says", b"\xff\xd8\xff" + file(plain()), "corrupt"),
    ]


def webps() -> list[Case]:
    """Every kind of WebP, and broken ones."""
    lossy, lossless = file(plain(), "WEBP", quality=95), file(plain(), "WEBP", lossless=True)
    half = Image.merge("RGBA", (*plain().split(), Image.new("L", (16, 20), 128)))
    coded = lossy[12:]
    return [
        card("lossy", lossy, colour=None),
        card("lossless", lossless),
        card("alpha", file(half, "WEBP", quality=95), ON_WHITE, colour=None),
        card("lossless with alpha", file(half, "WEBP", lossless=True), ON_WHITE, colour=HALF),
        card("turned by EXIF", pictures.turned(3, "WEBP"), TURNED, colour=None),
        card("broken EXIF", file(plain(), "WEBP", lossless=True, exif=b"Exif\0\0no TIFF at all")),
        card(
            "a wide screen's",
            file(plain(), "WEBP", lossless=True, icc_profile=profiles.rgb()),
            TO_SRGB,
            colour=(219, 49, 5),
        ),
        card("broken profile", file(plain(), "WEBP", lossless=True, icc_profile=b"nothing" * 30), IGNORED),
        bad("animated", pictures.animated("WEBP"), "animated"),
        bad("cut in its pixels", file(pictures.noisy(40, 40), "WEBP")[:-400], "corrupt"),
        bad("header alone", lossy[:30], "corrupt"),
        bad("a size that lies", riff((b"VP8 ", coded[8:]), size=2**31), "corrupt"),
        bad("a canvas of another size", riff(pictures.canvas(500, 500), (b"VP8 ", coded[8:])), "corrupt"),
        bad(
            "a canvas of 16,384 x 16,384",
            riff(pictures.canvas(16_384, 16_384), (b"VP8 ", coded[8:])),
            "dimensions",
        ),
        bad("a canvas alone", riff(pictures.canvas(16, 20)), "corrupt"),
        bad("a sound", riff((b"fmt ", bytes(16)), form=b"WAVE"), "corrupt"),
    ]


def others() -> list[Case]:
    """Files of no format that is read."""
    formats = ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PDF", "AVIF", "JPEG2000")
    saved = {format: file(plain(), format) for format in formats}
    texts = {
        "text": b"not an image",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "HTML": b"<!doctype html><script>alert(1)</script>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
        "FITS": b"SIMPLE  =                    T" + bytes(2850),
        "Photoshop": b"8BPS\0\1" + bytes(100),
        "zip": b"PK\x03\x04" + bytes(100),
        "gzip": zlib.compress(bytes(10_000), wbits=31),
        "zeros": bytes(1000),
        "one byte": b"\x89",
    }
    return [
        bad("nothing", b"", "empty"),
        *(bad(name, data, "unsupported") for name, data in (saved | texts).items()),
    ]


def sizes() -> list[Case]:
    """Pictures that are too small or too large."""
    return [
        card("the smallest", file(plain(8, 8))),
        bad("7 rows", file(plain(7, 100)), "dimensions"),
        bad("7 columns", file(plain(100, 7), "JPEG"), "dimensions"),
        bad("one pixel", file(plain(1, 1), "WEBP"), "dimensions"),
        bad("one row of 60,000", file(Image.new("L", (60_000, 1))), "dimensions"),
        bad("one row above 16 megapixels", pictures.bomb(4_000, 4_001), "dimensions"),
        bad("100 megapixels", pictures.bomb(), "dimensions"),
        bad("3,600 megapixels", pictures.bomb(60_000, 60_000), "dimensions"),
        bad("as large as can be said", pictures.bomb(2**31 - 1, 2**31 - 1), "dimensions"),
        bad("a JPEG of 4,225 megapixels", jpeg_of(65_000, 65_000), "dimensions"),
        bad("a WebP of 100 megapixels", webp_of(10_000, 10_000), "dimensions"),
    ]


def jpeg_of(height: int, width: int) -> bytes:
    """A JPEG of 20x16 that claims another size."""
    whole = file(plain(), "JPEG")
    return whole.replace(struct.pack(">HH", 20, 16), struct.pack(">HH", height, width), 1)


def webp_of(height: int, width: int) -> bytes:
    """A lossless WebP of 20x16 that claims another size."""
    whole = file(plain(), "WEBP", lossless=True)
    rest = int.from_bytes(whole[21:25], "little") >> 28 << 28
    return whole[:21] + struct.pack("<L", rest | height - 1 << 14 | width - 1) + whole[25:]


def bombs() -> list[Case]:
    """Small files that would take much memory or time."""
    whole = file(plain(), "JPEG")
    mebibytes = zlib.compress(bytes(50 * 2**20), 1)
    packed = b"icc\0\0" + mebibytes
    pieces = segment(0xE1, b"Exif\0\0" + b"x" * 10)
    return [
        bad("a profile of 50 MiB", with_chunks(file(plain()), chunk(b"iCCP", packed)), "corrupt"),
        bad(
            "a text of 50 MiB",
            with_chunks(file(plain()), chunk(b"zTXt", b"Comment\0\0" + mebibytes)),
            "corrupt",
        ),
        bad(
            "30 texts of 1 MiB",
            with_chunks(file(plain()), *(pictures.text(b"%d" % n, bytes(2**20)) for n in range(30))),
            "corrupt",
        ),
        bad("20,000 chunks", with_chunks(file(plain()), *([chunk(b"prVt", b"")] * 20_000)), "corrupt"),
        bad("2,000 pieces of EXIF", with_segments(whole, *([pieces] * 2_000)), "corrupt"),
        bad("stray bytes", whole[:20] + bytes(1_000_000) + whole[20:], "corrupt"),
        bad("2,000 scans", pictures.endless_scans(2_000), "corrupt"),
        card("10 scans more than there need be", pictures.endless_scans(10, 20), TO_RGB, colour=(77, 77, 77)),
        card(
            "a row of pixels too many",
            png(2, 8, 5000 * [48 * b"\x3c"]).replace(*header_of(5000, 20)),
            colour=(60, 60, 60),
        ),
    ]


def corner(card: np.ndarray) -> np.ndarray:
    """The lowest right pixel, where plain() shows its colour whichever way it was turned."""
    return card[-3:, -3:].reshape(-1, 3).mean(axis=0)
