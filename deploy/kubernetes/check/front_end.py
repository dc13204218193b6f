"""The SIP front end of a check: it shows its certificate, wants the gateway's, and answers OPTIONS. Nothing else.

Gateways ask their next hops now and then whether they are there (OPTIONS), and are ready when one answers.
"""

import socket
import ssl
import threading

#: One request; ours have no body.
END = b"\r\n\r\n"
#: What comes back as it came (RFC 3261, section 8.2.6.2).
REPEATED = (b"via", b"v", b"from", b"f", b"to", b"t", b"call-id", b"i", b"cseq")


class FrontEnd:
    """Listens until it is ended."""

    def __init__(self, address, folder):
        """The folder holds tls.crt, tls.key and ca.crt, the authority of the gateways."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self.context.load_verify_locations(folder / "ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server((address, 5061))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[tcp], daemon=True).start()

    def _serve(self, tcp):
        try:
            with self.context.wrap_socket(tcp, server_side=True) as tls:
                read = b""
                while received := tls.recv(65536):
                    read += received
                    while END in read:
                        head, _, read = read.lstrip(b"\r\n").partition(END)
                        if head:
                            tls.sendall(_answer(head))
        except OSError:
            # Whoever asked has gone.
            pass

    def end(self):
        """Takes no more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _answer(head):
    fields = [line for line in head.split(b"\r\n")[1:] if line.split(b":")[0].strip().lower() in REPEATED]
    return b"\r\n".join([b"SIP/2.0 200 OK", *fields, b"Content-Length: 0", b"", b""])
