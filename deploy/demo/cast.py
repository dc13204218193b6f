"""The people of the conversation and what they hold in their hands."""

import asyncio

from environment import SIP_USERS, XMPP_USERS
from sip_client import Phone
from xmpp_client import Client

ALICE = "alice@contoso.example"
DAVE = "dave@contoso.example"
CAROL = "carol@contoso.example"
BOB = "bob@fabrikam.example"
EVE = "eve@wingtip.example"
MALLORY = "mallory@tailspin.example"


class Cast:
    """Alice and Dave have SIP phones, the others XMPP clients. Carol has an account and no phone that is on."""

    def __init__(self):
        self.alice, self.dave = (Phone(who, *SIP_USERS[who]) for who in (ALICE, DAVE))
        self.bob, self.eve, self.mallory = (Client(who, XMPP_USERS[who]) for who in (BOB, EVE, MALLORY))
        self.alice_watches_bob = self.alice_watches_eve = None

    async def arrive(self):
        """Everybody registers or logs in."""
        answers = await asyncio.gather(*(member.start() for member in self._everybody()))
        refused = [answer for answer in answers if answer is not None and answer.status != 200]
        if refused:
            raise OSError(f"a phone could not register: {refused[0].status} {refused[0].reason}")

    async def leave(self):
        """Everybody goes home, whatever happened."""
        await asyncio.gather(
            *(asyncio.wait_for(member.stop(), 10) for member in self._everybody()), return_exceptions=True
        )

    def _everybody(self):
        return [self.alice, self.dave, self.bob, self.eve, self.mallory]
