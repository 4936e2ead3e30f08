"""The invented words of the sample cards: names, types and rules."""

from dataclasses import dataclass

from numpy.random import Generator

EPITHETS = {
    "ember": "Ashen Cinder Blazing Scorched Kindled Emberfang Smouldering Pyre Redhot Furnace Coalborn",
    "tide": "Drowned Tidal Brine Deepwater Foaming Pearl Undertow Saltborn Rippling Sunken Azure Moonpull",
    "grove": "Mossy Thorned Rootbound Verdant Wild Bramble Leafcloaked Ancient Sapling Fernwood Blooming",
    "dusk": "Hollow Umbral Nightbound Whispering Cursed Gloomwing Violet Veiled Dreaming Graveborn Twilit",
    "dawn": "Gilded Radiant Hallowed Sunlit Noble Morning Bright Oathbound Shining Honoured Golden Haloed",
    "stone": "Craggy Dusty Iron Sunbaked Granite Wandering Stubborn Buried Clay Canyon Weathered Boulderback",
    "frost": "Rimed Glacial Pale Snowblind Crystal Winter Icebound Silent Northern Shivering Hoarfrost Bleak",
}
FIRST_SYLLABLES = "Ka Vel Mel Ith Sa Bran Oru Ny Thal Ze Lu Har Fen Dra Ul Quo Ys Tam Ril Gor Eli Wen"
LAST_SYLLABLES = "dor ra nis mar goth ven li thar una rik sha mont del eth os wyn bek rane um vara"
ORDERS = "Warden Keeper Herald Oracle Terror Scourge Envoy Shadow Heart Voice Crown Guardian"
RITES = "Rite Song Call Oath Hunger Memory Fall Wrath Blessing Theft Return Mercy"
REALMS = "Sanctum Reach Hollow Crossing Expanse Refuge Market Edge Cradle Border Throne Threshold"
KEYWORDS = "Swift Warded Kindle Burrow Soar Lurk Feast Echo Mend Charge Root Chill"

RULES = {
    "creature": (
        "{Keyword}, {other}.",
        "When {name} arrives, draw {n} cards.",
        "Whenever it strikes, each rival loses {n} life.",
        "Your other {element} creatures gain +{n}/+{m}.",
        "Pay {n}: wake this creature.",
        "If you rule {n} places, it gains {keyword}.",
        "Cannot be blocked by creatures of cost {n} or less.",
    ),
    "spell": (
        "Deal {n} damage to any rival.",
        "Return {n} creatures to their owners' hands.",
        "Look at {m} cards from your deck; keep one.",
        "Until dusk, your creatures gain {keyword} and +{n}/+0.",
        "Each player buries {n} cards.",
        "Banish a creature of cost {m} or less.",
        "Echo {m}: you may play this again from your grave.",
    ),
    "relic": (
        "Bearer gains +{n}/+{m}.",
        "Bearer gains {keyword}.",
        "Tap: add {n} {element}.",
        "Equip {n}.",
        "At dawn, put a charge on {name}.",
        "Spend {n} charges: draw a card.",
    ),
    "place": (
        "Tap: add one {element}.",
        "Arrives asleep.",
        "Tap, pay {n}: your creatures gain {keyword}.",
        "While you rule it, heal {n} at dawn.",
    ),
}
RULES["champion"] = RULES["creature"]

LORE = (
    "It remembers every winter.",
    "No map shows the way back.",
    "Ask the river, not the king.",
    "The old songs left this verse out.",
    "Even shadows keep a ledger.",
    "What sleeps here is listening.",
    "Three knocks, then run.",
    "They bowed before they knew why.",
)


@dataclass(frozen=True)
class Words:
    """What is written on one card."""

    name: str
    type_line: str
    rules: tuple[str, ...]
    lore: str


def choose(rng: Generator, words: str | tuple[str, ...]) -> str:
    """Draw one of several texts, or one word of a text."""
    choice = words.split() if isinstance(words, str) else words
    return choice[rng.integers(len(choice))]


def given_name(rng: Generator) -> str:
    """Return an invented name."""
    middle = choose(rng, LAST_SYLLABLES) if rng.random() < 0.25 else ""
    return choose(rng, FIRST_SYLLABLES) + middle + choose(rng, LAST_SYLLABLES)


def card_name(rng: Generator, layout: str, element: str, noun: str) -> str:
    """Return a name that fits the layout and the picture's noun."""
    epithet = choose(rng, EPITHETS[element])
    if layout == "champion":
        return choose(rng, (f"{given_name(rng)}, {choose(rng, ORDERS)}", f"{given_name(rng)} the {epithet}"))
    if layout == "place":
        return choose(
            rng,
            (f"{epithet} {noun}", f"{given_name(rng)} {choose(rng, REALMS)}", f"{noun} of {given_name(rng)}"),
        )
    if layout == "spell":
        return choose(
            rng,
            (f"{epithet} {noun}", f"{epithet} {choose(rng, RITES)}", f"{choose(rng, RITES)} of the {noun}"),
        )
    return choose(
        rng,
        (
            f"{epithet} {noun}",
            f"{epithet} {noun}",
            f"{noun} of {given_name(rng)}",
            f"{given_name(rng)}'s {noun}",
        ),
    )


def write_words(rng: Generator, layout: str, element: str, picture: str) -> Words:
    """Write a card: name, type line and a few rules, for a picture's name such as "fallen-leaves"."""
    noun = picture.replace("-", " ").title()
    name = card_name(rng, layout, element, noun)
    rules = RULES[layout]
    order = rng.permutation(len(rules))[: rng.integers(2, 5)]
    keywords = [str(word) for word in rng.permutation(KEYWORDS.split())]
    short_name = name.split(",")[0].split(" of ")[0]
    filled = tuple(
        rules[number].format(
            name=short_name,
            element=element,
            n=rng.integers(2, 5),
            m=rng.integers(2, 7),
            Keyword=keywords[0],
            keyword=keywords[1].lower(),
            other=keywords[2].lower(),
        )
        for number in order
    )
    return Words(name, f"{layout.title()} · {noun}", filled, choose(rng, LORE))
