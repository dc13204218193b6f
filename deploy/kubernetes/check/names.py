"""The cluster's name server: A records from a table, over UDP, for the pods of a check."""

import socket
import struct
import threading

A, IN, NO_SUCH_NAME = 1, 1, 3


class Names:
    """Answers until the process ends. A name that the table does not have does not exist."""

    def __init__(self, address):
        self.table = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            question, asker = self.socket.recvfrom(4096)
            self.socket.sendto(self._answer(question), asker)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
        asked, addresses = question[12 : at + 5], self.table.get(".".join(labels))
        found = (addresses or []) if kind == A else []
        code = 0 if addresses is not None else NO_SUCH_NAME
        header = question[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        records = (struct.pack(">HHHIH", 0xC00C, A, IN, 1, 4) + socket.inet_aton(each) for each in found)
        return header + asked + b"".join(records)
