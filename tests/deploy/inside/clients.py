"""Run on the gateways' network: clients behind a balancer, from the first answer until stdin closes.

    python clients.py NAME [KEY]

They ask every gateway that DNS has under NAME and that said within the last second that it is ready. To each
that stops saying so a slow client comes as well, who has sent half of his request and sends the rest once
nobody can connect any more. Prints "under way", and at the end as JSON how many requests came to which end.
"""

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter

PORT = 8000
CLIENTS = 4
LOOKS_EVERY = 0.25
NEWS_HOLD = 1.0  # so long a balancer sends requests to a gateway that has already said that it will end
BODY = json.dumps({"n": 1}).encode()
NAME, *KEYS = sys.argv[1:]
HEADERS = {"Content-Type": "application/json", "Accept": "image/jpeg"}
if KEYS:
    HEADERS["Authorization"] = f"Bearer {KEYS[0]}"

ends: Counter[str] = Counter()
last_ready: dict[str, float] = {}
over = threading.Event()


def readiness(address: str) -> int | None:
    """Return the status of /readyz on a new connection, None where nobody answers."""
    connection = http.client.HTTPConnection(address, PORT, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def addresses() -> set[str]:
    """Look up every gateway."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(NAME, PORT, socket.AF_INET)}
    except OSError:
        return set()


def look() -> None:
    """Keep in mind who is ready; send a slow client to each who was and is not."""
    was: set[str] = set()
    while not over.is_set():
        found = {address: readiness(address) for address in addresses()}
        for address in was & {address for address, status in found.items() if status == 503}:
            threading.Thread(target=ask_slowly, args=[address]).start()
        was = {address for address, status in found.items() if status == 200}
        last_ready.update(dict.fromkeys(was, time.monotonic()))
        time.sleep(LOOKS_EVERY)


def usable() -> list[str]:
    """Return whom a balancer sends requests to."""
    return [address for address, seen in list(last_ready.items()) if time.monotonic() - seen < NEWS_HOLD]


def keep_asking(turn: int) -> None:
    """Ask for one card after another, over connections that are kept while their gateway is used."""
    connections: dict[str, http.client.HTTPConnection] = {}
    while not over.is_set():
        gateways = usable()
        for gone in connections.keys() - set(gateways):
            connections.pop(gone).close()
        if not gateways:
            time.sleep(LOOKS_EVERY)
            continue
        turn += 1
        address = gateways[turn % len(gateways)]
        connection = connections.setdefault(address, http.client.HTTPConnection(address, PORT, timeout=30))
        try:
            connection.request("POST", "/generate", BODY, HEADERS)
            answer = connection.getresponse()
            answer.read()
            ends[f"{answer.status}"] += 1
        except (OSError, http.client.HTTPException) as error:
            ends[f"lost by {type(error).__name__}"] += 1
            connections.pop(address).close()


def ask_slowly(address: str) -> None:
    """Send half a request, wait until the gateway no longer listens, and send the rest."""
    connection = http.client.HTTPConnection(address, PORT, timeout=30)
    try:
        connection.putrequest("POST", "/generate")
        for name, value in (HEADERS | {"Content-Length": str(len(BODY))}).items():
            connection.putheader(name, value)
        connection.endheaders(BODY[:3])
        while listens(address):
            time.sleep(0.1)
        connection.send(BODY[3:])
        answer = connection.getresponse()
        answer.read()
        ends[f"slow {answer.status}"] += 1
    except (OSError, http.client.HTTPException) as error:
        ends[f"slow lost by {type(error).__name__}"] += 1
    finally:
        connection.close()


def listens(address: str) -> bool:
    """Whether a connection can be had."""
    try:
        socket.create_connection((address, PORT), timeout=5).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Ask until stdin closes."""
    clients = [threading.Thread(target=keep_asking, args=[turn]) for turn in range(CLIENTS)]
    for thread in [threading.Thread(target=look), *clients]:
        thread.start()
    while not ends:
        time.sleep(0.05)
    sys.stdout.write("under way\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    sys.stdout.write(json.dumps(ends))


main()
