"""baresip, run as the program that it is: driven over its control socket, and read in its trace of every SIP message."""

import asyncio
import json
import re

from agent import Agent, Received, View, require

_CONTROL_PORT = 4444
_PATIENCE = 35.0
_POLL = 0.02
_CONFIG = """\
module_path /usr/lib/baresip/modules
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
sip_certificate {certificate}
sip_cafile {ca}
audio_alert none
ctrl_tcp_listen {host}:4444
module_tmp account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
"""
#: How baresip names what it knows of a contact.
_SHOWN = {"Online": (True, ""), "Busy": (True, "busy"), "Offline": (False, "")}
_CHANGE = re.compile(r"changed status from \S+ to (\S+)")
_MESSAGE = re.compile(r"MESSAGE sip:\S+ SIP/2\.0\r?\n(.*?)\r?\n\r?\n(.*?)(?=\n#|\Z)", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class BaresipAgent(Agent):
    """One program with one account and one contact, whom it watches and writes to."""

    can = frozenset({"exchange", "contact", "switch"})
    software = "baresip"

    def __init__(self, address, contact, host, transport, folder, tls=("", "")):
        super().__init__(address)
        self._contact, self._host, self._transport, self._folder, self._tls = contact, host, transport, folder, tls
        self._process = self._control = self._reader = self._answers = None
        self._trace = ""

    async def start(self):
        """Registers; returns the status."""
        self._write_files()
        with open(self._folder / "trace", "wb") as trace:
            self._process = await asyncio.create_subprocess_exec(
                "baresip", "-4", "-s", "-v", "-f", str(self._folder), "-n", self._host,
                stdin=asyncio.subprocess.DEVNULL, stdout=trace, stderr=trace,
            )  # fmt: skip
        status = await self._status("REGISTER", 0)
        # Loaded any earlier, this module publishes twice without waiting for the first entity tag (RFC 3903, section 4.1),
        # and the presence server keeps both states.
        await self.command("insmod", "presence")
        await self._status("PUBLISH", 0)
        await self.show(True)
        return status

    async def stop(self):
        """Ends it; it takes its registration back first."""
        if self._control:
            self._control.close()
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 6)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def send(self, to, text):
        """MESSAGE to the contact; returns the status of the final response."""
        require(to == self._contact, f"{to} is not its contact")
        before = len(self._read())
        await self.command("message", text)
        return await self._status("MESSAGE", before)

    async def show(self, is_open):
        """PUBLISH of all that baresip knows to say of its user."""
        before = len(self._read())
        await self.command("presence_online" if is_open else "presence_offline")
        return await self._status("PUBLISH", before)

    async def command(self, name, parameters=""):
        """One command on the control socket: JSON in a netstring."""
        if not self._control:
            self._answers, self._control = await asyncio.open_connection(self._host, _CONTROL_PORT)
        data = json.dumps({"command": name, "params": parameters, "token": name}, ensure_ascii=False).encode()
        self._control.write(b"%d:%b," % (len(data), data))
        await self._control.drain()

    def view(self, of):
        """What it says that it sees of the contact."""
        shown = next(reversed(_CHANGE.findall(self._read())), "")
        return View("active" if shown in _SHOWN else "pending", *_SHOWN.get(shown, (False, "")))

    def read(self, text):
        """A MESSAGE in the trace: there is no event of one."""
        for head, body in _MESSAGE.findall(self._read()):
            sender = re.search("sip:([^;>]+)", _field(head, "From"))
            if text in body and sender:
                return Received(sender[1], text, _field(head, "Content-Type"))
        return None

    async def _status(self, method, behind):
        """The final response to a request of this method, behind so many characters of the trace."""
        for _ in range(int(_PATIENCE / _POLL)):
            for status, head in re.findall(r"SIP/2\.0 ([2-6]\d\d) [^\n]*\n(.*?\n)\r?\n", self._read()[behind:], re.DOTALL):
                if _field(head, "CSeq").endswith(method):
                    return int(status)
            await asyncio.sleep(_POLL)
        return 408

    def _read(self):
        text = (self._folder / "trace").read_text(encoding="utf-8", errors="replace")
        return _COLOUR.sub("", text)

    def _write_files(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        kind, (ca, certificate) = self._transport, self._tls
        port = 5061 if kind == "tls" else 5060
        config = _CONFIG.format(host=self._host, port=port - (kind == "tls"), ca=ca, certificate=certificate)
        (self._folder / "config").write_text(config, encoding="ascii")
        proxy = f"sip:sip.contoso.example:{port};transport={kind}"
        account = f'<sip:{self.address};transport={kind}>;outbound="{proxy}";regint=600;pubint=600;auth_pass=none\n'
        (self._folder / "accounts").write_text(account, encoding="ascii")
        (self._folder / "contacts").write_text(f"<sip:{self._contact}>;presence=p2p\n", encoding="ascii")


def _field(head, name):
    found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", head, re.MULTILINE)
    return found[1] if found else ""
