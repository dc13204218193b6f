"""The road that the browser looks at: the demo's peers and services in a namespace of their own, with the panel."""

import os
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("CAUSEWAY_DEMO_NAMESPACE", "causeway-browser")
os.environ.setdefault("CAUSEWAY_DEMO_STATE", ".browser")
sys.path.insert(0, str(HERE.parent / "demo"))

import environment  # noqa: E402
import parties  # noqa: E402
from environment import STATE, DemoError  # noqa: E402

PANEL = "http://127.0.0.1:8080"
SOCKET = STATE / "gateway.sock"
#: Pictures of the pages.
PICTURES = environment.TARGET.parent / "browser"
_LINK_PATIENCE = 10.0


def up():
    """Starts everybody with an empty memory."""
    parties.up(settle=_configure)


def down():
    """Ends everybody."""
    parties.down()


def set_up_link():
    """The link that the gateway's first start prints, for the first account."""
    give_up_at = time.monotonic() + _LINK_PATIENCE
    log = parties.service("gateway").output
    while time.monotonic() < give_up_at:
        found = re.search(rf"{re.escape(PANEL)}/[^\s\"\\]+", log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found.group()
        time.sleep(0.05)
    raise DemoError(f"the gateway printed no link to {PANEL} in {_LINK_PATIENCE:.0f} s; see {log}")


def _configure():
    (STATE / "dialback-passphrase").write_text("a passphrase of the browser tests, long enough\n", encoding="ascii")
    SOCKET.unlink(missing_ok=True)
    sip = parties.sip_leg(environment.SIP)
    environment.render("gateway.toml", STATE / "gateway.toml", folder=HERE / "conf", **sip)
