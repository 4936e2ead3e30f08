"""What connections tell of themselves, for whoever counts them."""


class Onlooker:
    """Hears what happens, and here makes nothing of it. Every method is called on the event loop."""

    def came(self) -> None:
        """Tell of a connection that is open."""

    def went(self) -> None:
        """Tell of one that is closed."""

    def cut(self, reason: str) -> None:
        """Tell of one that the gateway ends of its own accord.

        The reason is a problem's name where one was answered, `silent` where the client had said nothing,
        `unread` where it did not read its answer, `crowded` where it made room for another one.
        """
