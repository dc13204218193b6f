"""sip_pool.py CERTIFICATE KEY ADDRESS PORT: the SIP pool, reduced to what a gateway asks before it calls itself ready: it
answers 200 to every request over TLS, until it is killed; says "ready" when it listens."""

import socketserver
import ssl
import sys

#: What a response repeats of its request (RFC 3261, section 8.2.6.2).
_REPEATED = ("via:", "v:", "from:", "f:", "to:", "t:", "call-id:", "i:", "cseq:")


class _Connection(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while request := self._request():
                if not request[0].startswith("SIP/2.0"):
                    self.wfile.write(_response(request))
        except OSError:
            pass  # The gateway has gone away, as some of them are made to.

    def _request(self):
        """The first line and the headers of the next one; what it carries is read and dropped."""
        lines = []
        while line := self.rfile.readline().decode(errors="replace"):
            if line.strip():
                lines.append(line.strip())
            elif lines:
                sizes = [line for line in lines if line.lower().startswith(("content-length:", "l:"))]
                self.rfile.read(int(sizes[0].partition(":")[2]) if sizes else 0)
                return lines
        return None


def _response(request):
    headers = [line for line in request[1:] if line.lower().startswith(_REPEATED)]
    return "\r\n".join(["SIP/2.0 200 OK", *map(_tagged, headers), "Content-Length: 0", "", ""]).encode()


def _tagged(line):
    is_untagged_to = line.lower().startswith(("to:", "t:")) and "tag=" not in line
    return f"{line};tag=pool" if is_untagged_to else line


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address, tls):
        self._tls = tls
        super().__init__(address, _Connection)

    def get_request(self):
        """The handshake belongs to the connection's own thread, where it cannot keep others waiting."""
        connection, peer = super().get_request()
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request, client_address):
        """A connection that breaks is the gateway's to tell."""


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(sys.argv[1], sys.argv[2])
    with _Server((sys.argv[3], int(sys.argv[4])), settings) as server:
        print("ready", flush=True)
        server.serve_forever()
