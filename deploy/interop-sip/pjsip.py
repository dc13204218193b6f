"""PJSIP (pjsua2): registers, publishes, watches, writes and types as a softphone built on it does.

Its event loop runs inside ours, on one thread, so nothing it calls back needs a lock.
"""

import asyncio
import re

import pjsua2 as pj
from agent import Agent, Received, View

_POLL = 0.005
_PATIENCE = 35.0
_TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}
_ACTIVITIES = {"away": pj.PJRPID_ACTIVITY_AWAY, "busy": pj.PJRPID_ACTIVITY_BUSY}
_SUBSCRIPTION = {
    pj.PJSIP_EVSUB_STATE_SENT: "trying",
    pj.PJSIP_EVSUB_STATE_ACCEPTED: "pending",
    pj.PJSIP_EVSUB_STATE_PENDING: "pending",
    pj.PJSIP_EVSUB_STATE_ACTIVE: "active",
    pj.PJSIP_EVSUB_STATE_TERMINATED: "terminated",
}


class Stack:
    """The one endpoint of this process, with one transport at one address."""

    def __init__(self, host, transport, log, tls=None, port=None):
        self.transport, self._pump = transport, None
        self._endpoint = pj.Endpoint()
        self._endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = 4
        config.logConfig.filename = str(log)
        config.logConfig.level, config.logConfig.consoleLevel, config.logConfig.msgLogging = 4, 0, 1
        config.medConfig.noVad = True
        self._endpoint.libInit(config)
        self._endpoint.audDevManager().setNullDev()
        wire = pj.TransportConfig()
        wire.boundAddress, wire.port = host, port or (5061 if transport == "tls" else 5060)
        if tls:
            wire.tlsConfig.CaListFile, wire.tlsConfig.certFile, wire.tlsConfig.privKeyFile = map(str, tls)
            wire.tlsConfig.verifyServer = wire.tlsConfig.verifyClient = wire.tlsConfig.requireClientCert = True
        self._wire = self._endpoint.transportCreate(_TRANSPORTS[transport], wire)
        self._endpoint.libStart()

    def version(self):
        """What it says of itself."""
        return f"PJSIP {self._endpoint.libVersion().full.partition('-')[0]}"

    async def __aenter__(self):
        self._pump = asyncio.ensure_future(self._handle_events())
        return self

    async def __aexit__(self, *_):
        self._pump.cancel()
        self._endpoint.libDestroy()

    def agent(self, address, proxy, registers=True):
        """A user on this endpoint."""
        return PjsipAgent(self._wire, address, f"sip:{proxy};transport={self.transport};lr;hide", registers)

    async def _handle_events(self):
        while True:
            while self._endpoint.libHandleEvents(0) > 0:
                pass
            await asyncio.sleep(_POLL)


class PjsipAgent(Agent):
    """One account."""

    can = frozenset({"messages", "watch", "publish", "typing"})
    software = "PJSIP"

    def __init__(self, wire, address, proxy, registers):
        super().__init__(address)
        self._wire, self._proxy, self._registers = wire, proxy, registers
        self._account, self._buddies = None, {}
        self.registered, self.sent = 0, {}

    async def start(self):
        """Registers; returns the status."""
        config = pj.AccountConfig()
        config.idUri = f"sip:{self.address}"
        config.sipConfig.transportId = self._wire
        config.sipConfig.proxies.append(self._proxy)
        config.presConfig.publishEnabled = self._registers
        if self._registers:
            config.regConfig.registrarUri = f"sip:{self.address.partition('@')[2]}"
        self._account = _Account(self)
        self._account.create(config)
        if self._registers:
            await _until(lambda: self.registered)
        return self.registered or 200

    async def stop(self):
        """Ends what it watches and its registration."""
        for address in list(self._buddies):
            await self.unwatch(address)
        if self._registers and self._account.getInfo().regIsActive:
            self.registered = 0
            self._account.setRegistration(False)
            await _until(lambda: self.registered, 5.0)
        self._buddies.clear()
        self._account.shutdown()
        self._account = None

    async def send(self, to, text, content_type="text/plain"):
        """MESSAGE; returns the status of the final response."""
        message = pj.SendInstantMessageParam()
        message.content, message.contentType = text, content_type
        before = self.sent.get(to, (0, 0))
        self._buddy(to).sendInstantMessage(message)
        await _until(lambda: self.sent.get(to, before)[0] > before[0])
        return self.sent.get(to, (0, 408))[1]

    async def watch(self, to):
        """SUBSCRIBE."""
        self._buddy(to).subscribePresence(True)

    async def unwatch(self, to):
        """Ends a subscription."""
        buddy = self._buddies.get(to)
        if buddy and buddy.getInfo().subState not in (pj.PJSIP_EVSUB_STATE_NULL, pj.PJSIP_EVSUB_STATE_TERMINATED):
            buddy.subscribePresence(False)
            await _until(lambda: self.view(to).state == "terminated", 5.0)

    def view(self, of):
        """What it is shown of somebody."""
        if of not in self._buddies:
            return View()
        info = self._buddies[of].getInfo()
        activity = {value: name for name, value in _ACTIVITIES.items()}.get(info.presStatus.activity, "")
        # With RPID the text is the note; without, it says Online or Offline in PJSIP's own words.
        texts = [text for text in (info.presStatus.note, info.presStatus.statusText) if text]
        return View(
            # A buddy that is watched no more has no subscription at all.
            _SUBSCRIPTION.get(info.subState, "terminated"),
            info.presStatus.status == pj.PJSUA_BUDDY_STATUS_ONLINE,
            activity,
            [text for text in dict.fromkeys(texts) if text not in ("Online", "Offline")],
        )

    async def publish(self, is_open=True, activity=None, note=None):
        """PUBLISH, or NOTIFY to those who subscribed directly."""
        status = pj.PresenceStatus()
        status.status = pj.PJSUA_BUDDY_STATUS_ONLINE if is_open else pj.PJSUA_BUDDY_STATUS_OFFLINE
        status.activity = _ACTIVITIES.get(activity, pj.PJRPID_ACTIVITY_UNKNOWN)
        status.note = note or ""
        self._account.setOnlineStatus(status)

    async def type(self, to, is_typing):
        """An isComposing document (RFC 3994)."""
        parameter = pj.SendTypingIndicationParam()
        parameter.isTyping = is_typing
        self._buddy(to).sendTypingIndication(parameter)

    def _buddy(self, address):
        if address not in self._buddies:
            config = pj.BuddyConfig()
            config.uri, config.subscribe = f"sip:{address}", False
            buddy = pj.Buddy()
            buddy.create(self._account, config)
            self._buddies[address] = buddy
        return self._buddies[address]


class _Account(pj.Account):
    """What PJSIP calls back."""

    def __init__(self, agent):
        super().__init__()
        self._agent = agent

    def onRegState(self, prm):
        self._agent.registered = prm.code

    def onInstantMessage(self, prm):
        self._agent.messages.append(Received(_address(prm.fromUri), prm.msgBody, prm.contentType))

    def onInstantMessageStatus(self, prm):
        count, _ = self._agent.sent.get(_address(prm.toUri), (0, 0))
        self._agent.sent[_address(prm.toUri)] = count + 1, prm.code

    def onTypingIndication(self, prm):
        self._agent.typing[_address(prm.fromUri)] = prm.isTyping


def _address(uri):
    found = re.search(r"sips?:([^;>?]+)", uri)
    return found[1] if found else uri


async def _until(look, patience=_PATIENCE):
    for _ in range(int(patience / _POLL)):
        if look():
            return
        await asyncio.sleep(_POLL)
