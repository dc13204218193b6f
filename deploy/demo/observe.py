"""What the steps look at: what somebody read, what somebody sees, what our services counted and gave as a verdict."""

import parties
from cast import ALICE
from steps import require, until


def ok(response):
    """The SIP side said yes."""
    require(response.status in (200, 202), f"answered {response.status} {response.reason}")


async def refused(cast, to, status):
    """A message of Alice is answered with this status."""
    response = await cast.alice.send(to, "Hallo?")
    require(response.status == status, f"answered {response.status} {response.reason} instead of {status}")
    return f"answered {response.status} {response.reason}"


async def message_in_pool(sender, receiver, address, text):
    """A message from phone to phone."""
    ok(await sender.send(receiver.address, text))
    received = await until("it is read", lambda: read_by_phone(receiver, text))
    require(received.sender == address, f"it says it is from {received.sender}")


async def message_to_xmpp(cast, to, client, text):
    """A message of Alice is accepted, and read by whom it was for."""
    ok(await cast.alice.send(to, text))
    received = await until(f"{to} reads it", lambda: read_by_client(client, text))
    require(received.sender.partition("/")[0] == ALICE, f"it says it is from {received.sender}")
    return received


async def message_to_sip(cast, client, text):
    """A message to Alice is read by her."""
    client.send(ALICE, text)
    received = await until("alice reads it", lambda: read_by_phone(cast.alice, text))
    require(received.sender == client.address, f"it says it is from {received.sender}")
    return received


async def bob_sees(cast, what, fits):
    """What Bob is shown of Alice."""
    return await until(f"bob sees {what}", lambda: newest(cast.bob, ALICE, fits))


async def alice_sees_bob(cast, what, fits):
    """What Alice is shown of Bob."""
    watched = cast.alice_watches_bob
    require(watched is not None, "alice is not subscribed to bob")
    await until(f"alice sees {what}", lambda: watched.document is not None and fits(watched.document))
    return watched.document


def newest(client, sender, fits):
    """The newest presence of somebody's device, if it fits."""
    presence = client.last_presence(sender, "available", "unavailable")
    return presence if presence and fits(presence) else None


def read_by_phone(phone, text):
    """The message with this text, if the phone has it."""
    return next((message for message in phone.messages if message.text == text), None)


def read_by_client(client, text):
    """The message with this text, if the client has it."""
    return next((message for message in client.messages if message.text == text), None)


def count(service, name):
    """A counter, summed over its labels."""
    return sum(value for key, value in parties.metrics(service).items() if key.startswith(name))


def verdicts_about(domain):
    """What the edge decided about a domain, oldest first."""
    return [verdict for verdict in parties.verdicts("edge-proxy") if verdict.get("partner") == domain]
