"""ports.py answer PORT/PROTOCOL...: answers on ports until it is killed; says "ready" when it does.
ports.py try: reads a list of [source, address, port, protocol] as JSON, and says of each whether it was answered.

Runs inside of a namespace, for `firewall.py`.
"""

import concurrent.futures
import json
import socket
import sys
import threading

#: Dropped packets say nothing. Between namespaces of one machine an answer takes well below a millisecond.
PATIENCE = 1.0
GREETING = b"here"


def answer(ports):
    """Serves IPv4 and IPv6 alike."""
    for spelled in ports:
        port, protocol = spelled.split("/")
        kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
        server = socket.socket(socket.AF_INET6, kind)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # An answer over UDP has to come from the address that was asked.
        if protocol == "udp":
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind(("::", int(port)))
        threading.Thread(target=_streams if protocol == "tcp" else _datagrams, args=[server], daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def _streams(server):
    server.listen(64)
    while True:
        connection, _ = server.accept()
        connection.sendall(GREETING)
        connection.close()


def _datagrams(server):
    while True:
        _, asked, _, peer = server.recvmsg(64, 256)
        server.sendmsg([GREETING], asked, 0, peer)


def try_all(flows):
    """Whether each flow was answered; all at once."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(flows)) as pool:
        return list(pool.map(lambda flow: is_answered(*flow), flows))


def is_answered(source, address, port, protocol):
    """Opens a connection, or sends a datagram, from one address to another."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
    with socket.socket(family, kind) as client:
        client.settimeout(PATIENCE)
        try:
            client.bind((source, 0))
            client.connect((address, port))
            if protocol == "udp":
                client.send(b"?")
            return client.recv(64) == GREETING
        except OSError:
            return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        answer(sys.argv[2:])
    elif sys.argv[1:] == ["try"]:
        print(json.dumps(try_all(json.load(sys.stdin))))
    else:
        raise SystemExit(__doc__)
