"""The contact sheet: many cards on one picture."""

import math

import numpy as np

from serving.backend import Cards
from serving.cards import Card

PAPER = 255


def lay_out(cards: Cards) -> Card:
    """Put cards, uint8 (n, h, w, 3), row by row on white, as nearly as many across as down.

    The gap between them and around is a sixteenth of a card's width, 2 pixels or more.
    """
    n, height, width = cards.shape[:3]
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    gap = max(2, width // 16)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), PAPER, np.uint8)
    for index, card in enumerate(cards):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        sheet[top : top + height, left : left + width] = card
    return sheet
