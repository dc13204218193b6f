"""What was negotiated, as the edge's log tells it: a method for each domain, or the verdict why there is none."""

import contextlib
import json
import time

from servers import edge_log

#: How the edge calls the methods. Dialback answered by certificate is dialback over TLS.
METHODS = {"sasl-external": "S", "tls-dialback": "DT", "tls-dialback-certificate": "DT", "tcp-dialback": "DP"}
_POLL = 0.2


class Outcomes:
    """What became of every domain since this was made, in one direction."""

    def __init__(self, direction):
        self._direction = direction
        self._file = open(edge_log(), encoding="utf-8", errors="replace")
        self._file.seek(0, 2)
        self._rest = ""
        self.methods = {}
        self.verdicts = {}

    def wait(self, expected, patience, quiet):
        """Reads until every domain that is expected to agree has agreed and nothing new is said of the others."""
        give_up_at = time.monotonic() + patience
        heard_at = time.monotonic()
        while time.monotonic() < give_up_at:
            if self._read():
                heard_at = time.monotonic()
            complete = all(domain in self.methods for domain in expected)
            if complete and time.monotonic() - heard_at > quiet:
                return
            time.sleep(_POLL)

    def _read(self):
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        news = False
        for line in lines:
            with contextlib.suppress(ValueError):
                news |= self._take(json.loads(line))
        return news

    def _take(self, event):
        fields = event.get("fields", event)
        if fields.get("message") == "authenticated" and fields["direction"] == self._direction:
            domain = fields["pair"].rpartition(" / ")[2]
            self.methods[domain] = METHODS[fields["method"]]
            return True
        if event.get("target") == "causeway::verdict" and fields.get("direction") == self._direction:
            self.verdicts.setdefault(fields.get("partner"), f"{fields.get('rung')}: {fields.get('cause')}")
            return True
        return False
