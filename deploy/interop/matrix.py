"""The negotiation matrix: its 18 rows as published, the kinds of servers that partners run, and what each pair of the
two has to agree on.

`agreed` is written from the published tables and knows nothing of how either side is built.
"""

from dataclasses import dataclass

REQUIRED, OPTIONAL, NOT_SUPPORTED = "Required", "Optional", "NotSupported"


@dataclass(frozen=True)
class Row:
    """One row: the settings of a partner, the methods expected, and what the operator is warned about."""

    number: int
    tls: str
    sasl: str
    dialback: bool
    methods: tuple
    warnings: tuple = ()
    reason: str = ""

    @property
    def valid(self):
        return bool(self.methods)


W1, W2, W3, W4, W5 = (
    "DialbackIneffective", "SaslRequiresTls", "SaslImpossibleWithoutTls", "PlaintextPermitted", "WeakIdentity",
)  # fmt: skip
NO_TLS_FOR_SASL = "SASL needs TLS, and dialback is off"
NOTHING_ENABLED = "neither SASL nor dialback is enabled"

ROWS = [
    Row(1, REQUIRED, REQUIRED, True, ("S",), (W1,)),
    Row(2, REQUIRED, REQUIRED, False, ("S",)),
    Row(3, OPTIONAL, REQUIRED, True, ("S", "DT", "DP"), (W2, W4)),
    Row(4, OPTIONAL, REQUIRED, False, ("S",), (W2,)),
    Row(5, NOT_SUPPORTED, REQUIRED, True, ("DP",), (W3, W4, W5)),
    Row(6, NOT_SUPPORTED, REQUIRED, False, (), reason=NO_TLS_FOR_SASL),
    Row(7, REQUIRED, OPTIONAL, True, ("S", "DT")),
    Row(8, REQUIRED, OPTIONAL, False, ("S",)),
    Row(9, OPTIONAL, OPTIONAL, True, ("S", "DT", "DP"), (W2, W4)),
    Row(10, OPTIONAL, OPTIONAL, False, ("S",), (W2,)),
    Row(11, NOT_SUPPORTED, OPTIONAL, True, ("DP",), (W3, W4, W5)),
    Row(12, NOT_SUPPORTED, OPTIONAL, False, (), reason=NO_TLS_FOR_SASL),
    Row(13, REQUIRED, NOT_SUPPORTED, True, ("DT",), (W5,)),
    Row(14, REQUIRED, NOT_SUPPORTED, False, (), reason=NOTHING_ENABLED),
    Row(15, OPTIONAL, NOT_SUPPORTED, True, ("DT", "DP"), (W4, W5)),
    Row(16, OPTIONAL, NOT_SUPPORTED, False, (), reason=NOTHING_ENABLED),
    Row(17, NOT_SUPPORTED, NOT_SUPPORTED, True, ("DP",), (W4, W5)),
    Row(18, NOT_SUPPORTED, NOT_SUPPORTED, False, (), reason=NOTHING_ENABLED),
]
VALID = [row for row in ROWS if row.valid]


@dataclass(frozen=True)
class Kind:
    """How a partner's server is set up."""

    name: str
    software: str
    #: "none", "can" or "insists".
    tls: str
    #: Whether its certificate proves its domains, and it uses it: SASL EXTERNAL.
    external: bool
    dialback: bool

    def domain(self, row):
        """The domain by which a row meets this kind of server."""
        return f"r{row.number:02}.{self.name}.example"


KINDS = [
    Kind("prosody-external", "Prosody", "insists", True, False),
    Kind("prosody-dialback", "Prosody", "insists", False, True),
    Kind("prosody-plain", "Prosody", "none", False, True),
    Kind("prosody-all", "Prosody", "can", True, True),
    Kind("ejabberd-external", "ejabberd", "insists", True, False),
    Kind("ejabberd-dialback", "ejabberd", "insists", False, True),
    Kind("ejabberd-plain", "ejabberd", "none", False, True),
    Kind("ejabberd-all", "ejabberd", "can", True, True),
]

NONE = "–"


def agreed(row, kind):
    """The method, in either direction."""
    if row.tls == REQUIRED and kind.tls == "none" or row.tls == NOT_SUPPORTED and kind.tls == "insists":
        return NONE
    if row.tls == NOT_SUPPORTED or kind.tls == "none":
        return "DP" if "DP" in row.methods and kind.dialback else NONE
    if "S" in row.methods and kind.external:
        return "S"
    return "DT" if "DT" in row.methods and kind.dialback else NONE
