"""The demo's phone as an agent: a plain user agent, behind which the front end is what is looked at."""

import asyncio

from agent import Agent, Received, View
from sip_client import Phone


class PhoneAgent(Agent):
    """One phone; everything goes through its proxy."""

    can = frozenset({"messages", "watch", "publish"})

    def __init__(self, address, host, transport):
        super().__init__(address)
        self._phone, self._watched = Phone(address, host, transport), {}

    @property
    def messages(self):
        """What it read."""
        return [Received(each.sender, each.text, each.content_type) for each in self._phone.messages]

    @messages.setter
    def messages(self, _):
        pass

    async def start(self):
        """Registers; returns the status."""
        return (await self._phone.start()).status

    async def stop(self):
        """Leaves."""
        await self._phone.stop()

    async def send(self, to, text):
        """MESSAGE; returns the status of the final response."""
        return (await self._phone.send(to, text)).status

    async def watch(self, to):
        """SUBSCRIBE."""
        self._watched[to], _ = await self._phone.watch(to)

    async def unwatch(self, to):
        """Ends a subscription."""
        await self._watched[to].end()

    def view(self, of):
        """What it is shown of somebody."""
        subscription = self._watched.get(of)
        if subscription is None:
            return View()
        document = subscription.document
        if document is None:
            return View(subscription.state)
        notes = [device.note for device in document.tuples if device.note] + document.notes
        return View(subscription.state, document.open, ",".join(document.activities), list(dict.fromkeys(notes)))

    async def publish(self, is_open=True, activity=None, note=None):
        """PUBLISH."""
        await self._phone.publish(is_open, activity, note)
        await asyncio.sleep(0)
