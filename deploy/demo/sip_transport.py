"""How SIP messages of a phone travel: UDP and TCP at one address (RFC 3261, section 18)."""

import asyncio

from sip_message import cut, parse

_CONNECT_PATIENCE = 5.0


class Transport:
    """Listens on UDP and TCP, and keeps the connections it opened or accepted by their far end."""

    def __init__(self, address, port, receive):
        self.address, self.port = address, port
        self._receive = receive
        self._connections = {}
        self._readers = set()
        self._datagrams = self._server = None

    async def open(self):
        """Binds."""
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self.address, self.port)
        )
        self._server = await asyncio.start_server(self._accepted, self.address, self.port)

    async def send(self, data, host, port, kind):
        """Sends to a place; OSError when it cannot be reached."""
        if kind == "udp":
            self._datagrams.sendto(data, (host, port))
            return
        writer = self._connections.get((host, port)) or await self._connect(host, port)
        writer.write(data)
        await writer.drain()

    def close(self):
        """Closes everything."""
        for reader in self._readers:
            reader.cancel()
        for writer in self._connections.values():
            writer.close()
        if self._server:
            self._server.close()
        if self._datagrams:
            self._datagrams.close()

    def arrived(self, data, reply):
        """Hands over one message; noise is dropped, as a phone would."""
        try:
            message = parse(data)
        except (ValueError, UnicodeDecodeError):
            return
        self._receive(message, reply)

    async def _connect(self, host, port):
        opening = asyncio.open_connection(host, port, local_addr=(self.address, 0))
        try:
            reader, writer = await asyncio.wait_for(opening, _CONNECT_PATIENCE)
        except TimeoutError:
            raise OSError(f"no connection to {host}:{port} within {_CONNECT_PATIENCE:.0f} s") from None
        self._serve(reader, writer, (host, port))
        return writer

    async def _accepted(self, reader, writer):
        self._serve(reader, writer, writer.get_extra_info("peername")[:2])

    def _serve(self, reader, writer, place):
        self._connections[place] = writer
        task = asyncio.ensure_future(self._read(reader, writer, place))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _read(self, reader, writer, place):
        buffer = b""
        try:
            while data := await reader.read(65536):
                buffer += data
                message, buffer = cut(buffer)
                while message:
                    self.arrived(message, writer.write)
                    message, buffer = cut(buffer)
        except (OSError, ValueError):
            pass
        finally:
            if self._connections.get(place) is writer:
                del self._connections[place]
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        endpoint = self._transport._datagrams
        self._transport.arrived(data, lambda answer: endpoint.sendto(answer, addr))
