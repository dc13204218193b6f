"""Steps of the conversation in which an operator does her work with `causeway`: every verb, on the road as it runs.

A step runs the command as an operator would, over the gateway's Unix socket, and looks at the exit code and at what was
said; where a verb changes something, people of the cast are the ones who notice.
"""

import asyncio
import json
import pathlib
import tempfile

import observe
from cast import ALICE, BOB, DAVE, MALLORY
from environment import GATEWAY, STATE, TARGET
from steps import require, step, until

#: As `--help` documents them.
FINE, NOT_IN_ORDER, WRONG, REFUSED = 0, 1, 2, 3
SOCKET = STATE / "gateway" / "gateway.sock"
_SERVER = f"http://{GATEWAY}:8080"
_EXPORT = pathlib.Path(__file__).resolve().parent / "conf" / "lync-partners.xml"


async def causeway(*words, ends=FINE, said=(), over=("--socket", SOCKET), typed=None):
    """Runs the command, requires its exit code and what it says, and returns its standard output."""
    process = await asyncio.create_subprocess_exec(
        *map(str, [TARGET / "causeway", *over, *words]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = (text.decode() for text in await process.communicate(typed and typed.encode()))
    line = "causeway " + " ".join(map(str, words))
    require(process.returncode == ends, f"`{line}` ended with {process.returncode}: {out[-300:]} {error[-500:]}")
    for word in said:
        require(word in out + error, f"`{line}` does not say {word}: {(out + error)[:800]}")
    return out


async def asked(*words, **how):
    """The same with `-o json`."""
    return json.loads(await causeway("-o", "json", *words, **how))


@step("operator", "looks around", within=20)
async def operator_looks(cast):
    await causeway("status")
    await causeway("settings", "get", said=["connection_limit"])
    await causeway("queues")
    await causeway("policy", "get")
    await causeway("policy", "get", "--grants")
    await causeway("verdicts", "--partner", "lamna.example", said=["lamna.example"])
    partners = (await asked("partner", "get", "--filter", "*.example"))["partners"]
    require({"fabrikam.example", "wingtip.example"} <= {partner["domain"] for partner in partners}, f"{partners}")
    return f"{len(partners)} partners, settings, queues, policies; lamna.example failed and says why"


@step("operator", "checks the set-up and two partners", within=150)
async def operator_checks(cast):
    await causeway("check", "--partner", "fabrikam.example", said=["fabrikam.example"])
    await causeway("check", "--partner", "northwind.example", ends=NOT_IN_ORDER)
    own = await causeway("check", "--own", said=["edge-1", "contoso.example"])
    return f"fabrikam.example is reached, northwind.example is not; our own set-up is in order: {len(own.splitlines())} lines"


@step("operator", "types what does not do", within=20)
async def operator_is_refused(cast):
    no_tls = ["--tls-negotiation", "NotSupported", "--sasl-negotiation", "Required"]
    await causeway("partner", "new", "a.example", *no_tls, ends=REFUSED, said=["tls_negotiation"])
    await causeway("partner", "new", "contoso.example", ends=REFUSED, said=["contoso.example"])
    await causeway("partner", "new", "10.0.0.1", ends=REFUSED, said=["domain"])
    await causeway("partner", "set", "fabrikam.example", "--description", "x", ends=REFUSED)
    await causeway("partner", "set", "nobody.example", "--description", "x", ends=REFUSED)
    await causeway("partner", "new", "a.example", "--tls-negotiation", "Sometimes", ends=WRONG)
    await causeway("settings", "set", "--keep-alive-interval", "9999", ends=REFUSED, said=["keep_alive_interval_secs"])
    require(not await _has("a.example"), "something was saved all the same")
    return "each is refused where it is typed, and nothing is saved"


async def _has(domain):
    return any(partner["domain"] == domain for partner in (await asked("partner", "get"))["partners"])


@step("operator, mallory@tailspin", "imports a partner from Lync; it federates", within=60)
async def operator_imports(cast):
    await causeway("import", "lync", _EXPORT, said=["tailspin.example", "--commit"])
    require(not await _has("tailspin.example"), "it was imported though it was only tried out")
    await causeway("import", "lync", _EXPORT, "--commit", said=["tailspin.example"])
    # What the original has no word for: its address is a loopback one here.
    await causeway("partner", "set", "tailspin.example", "--allow-private-addresses", "true")
    await until("mallory is let in", _again(cast, lambda: _mallory_writes(cast)))
    await observe.message_to_xmpp(cast, MALLORY, cast.mallory, "Willkommen")
    return "alice and mallory write to each other"


def _again(cast, write):
    """Writes until alice has read one; the first may come before the edge knows of the partner."""
    texts = []

    def look():
        if not texts or cast.mallory.error_for(texts[-1][0]):
            texts.append(write())
        return observe.read_by_phone(cast.alice, texts[-1][1])

    return look


def _mallory_writes(cast, counter=iter(range(1_000_000))):
    text = f"Darf ich jetzt? {next(counter)}"
    return cast.mallory.send(ALICE, text), text


@step("operator", "changes a partner on its live stream", within=20)
async def operator_changes(cast):
    before = await asked("partner", "get", "tailspin.example")
    tried = await asked("partner", "set", "tailspin.example", "--description", "from Lync", "--whatif")
    require(tried["dry_run"] and tried["changed"], f"the receipt says {tried}")
    await causeway("partner", "set", "tailspin.example", "--add-domain", "eu.tailspin.example", said=["additional"])
    await causeway("partner", "set", "tailspin.example", "--remove-domain", "eu.tailspin.example")
    await causeway("partner", "set", "tailspin.example", "--if-version", before["version"], "--description", "late",
                   ends=REFUSED)  # fmt: skip
    await causeway("partner", "set", "tailspin.example", "--remove-domain", "eu.tailspin.example", ends=WRONG)
    return "tried out, changed twice, and refused when based on what somebody had changed since"


@step("operator", "grants and takes back an access policy", within=20)
async def operator_grants(cast):
    await causeway("policy", "new", "Global", "--enable-xmpp-access", "true")
    await causeway("policy", "new", "Tag:Inside", "--enable-xmpp-access", "false")
    await causeway("policy", "grant", DAVE, "Inside")
    effective = await asked("policy", "effective", DAVE)
    require(effective["identity"].lower() == "tag:inside", f"the policy of dave is {effective}")
    await causeway("simulate", DAVE, BOB, "--kind", "MESSAGE", ends=NOT_IN_ORDER)
    await causeway("simulate", ALICE, BOB, "--kind", "MESSAGE", said=["passes"])
    await causeway("policy", "set", "Tag:Inside", "--enable-xmpp-access", "true")
    await causeway("simulate", DAVE, BOB, "--kind", "MESSAGE", said=["passes"])
    await causeway("policy", "revoke", DAVE)
    await causeway("policy", "remove", "Tag:Inside", "--force")
    await causeway("policy", "remove", "Global", "--force")
    return "dave could not reach partners, then could; the policies are gone again"


@step("operator", "changes the settings", within=20)
async def operator_sets(cast):
    await causeway("settings", "set", "--keep-alive-interval", "240", "--whatif", said=["tried"])
    await causeway("settings", "set", "--keep-alive-interval", "240", said=["keep_alive_interval_secs"])
    require((await asked("settings", "get"))["keep_alive_interval_secs"] == 240, "it is not in force")
    await causeway("settings", "set", "--clear", "keep-alive-interval")
    return f"240 seconds, then {(await asked('settings', 'get'))['keep_alive_interval_secs']} again"


@step("operator, alice → bob", "follows what they say", within=60)
async def operator_follows(cast):
    tap = asyncio.create_task(causeway("tap", "--partner", "fabrikam.example", "--kind", "message", "--count", "1"))
    tapped = 0
    while not tap.done():
        tapped += 1
        await observe.message_to_sip(cast, cast.bob, f"Hört jemand zu? {tapped}")
        await asyncio.wait([tap], timeout=1)
    require("Hört" not in tap.result(), "the tap shows what bob wrote")
    await causeway("explain", ALICE, BOB, said=["alice@contoso.example", "bob@fabrikam.example"])
    ladder = await causeway("trace", ALICE, BOB)
    require("MESSAGE" in ladder and "Hört" not in ladder, f"the ladder is {ladder[:500]}")
    svg = STATE / "ladder.svg"
    await causeway("trace", ALICE, BOB, "--svg", svg)
    require(svg.read_text(encoding="utf-8").lstrip().startswith("<"), "the diagram is none")
    return f"tapped without the text, explained, and drawn in {len(ladder.splitlines())} lines and as SVG"


@step("operator → bob@fabrikam", "sends a test message", within=40)
async def operator_tests(cast):
    await causeway("test-im", ALICE, BOB, "--text", "Eine Probe", said=["delivered"])
    await until("bob reads it", lambda: observe.read_by_client(cast.bob, "Eine Probe"))
    await causeway("test-im", ALICE, "nobody@northwind.example", ends=NOT_IN_ORDER, said=["not delivered"])
    return "bob reads it; the one to northwind.example is not delivered, and it says why"


@step("operator", "closes a stream", within=40)
async def operator_closes(cast):
    streams = (await asked("streams", "--partner", "fabrikam.example"))["streams"]
    require(streams, "there is no stream of fabrikam.example")
    first = streams[0]
    await causeway("streams", "close", first["edge"], first["id"], "--force")

    async def gone():
        now = (await asked("streams"))["streams"]
        return all((one["edge"], one["id"]) != (first["edge"], first["id"]) for one in now)

    while not await gone():
        await asyncio.sleep(0.1)
    await observe.message_to_sip(cast, cast.bob, "Und weiter")
    return "it is gone, and the next message finds another"


@step("operator, mallory@tailspin → alice", "takes back what they agreed on", within=40)
async def operator_parts(cast):
    cast.mallory.subscription(ALICE, "subscribe")
    await until("mallory is let in", lambda: cast.mallory.last_presence(ALICE, "subscribed"))
    await causeway("pair", "remove", ALICE, MALLORY, "--force", said=["inbound"])
    await until("mallory is told", lambda: cast.mallory.last_presence(ALICE, "unsubscribed"))
    await causeway("pair", "remove", ALICE, MALLORY, "--force", said=["so already"])
    return "mallory saw her, and is told that he does no more; a second time there is nothing to take back"


@step("operator", "lets people and programs in", within=40)
async def operator_lets_in(cast):
    await causeway("account", "new", "grace", "--role", "ViewOnlyAdministrator", typed="correct horse battery staple\n")
    await causeway("account", "get", said=["grace"])
    await causeway("account", "set", "grace", "--enabled", "false")
    await causeway("account", "remove", "grace", "--force")
    # A token is somebody's.
    await causeway("account", "new", "robot", "--role", "ViewOnlyAdministrator", typed="a long word of passage 4711\n")
    token = (await causeway("token", "new", "monitoring", "--account", "robot", "--scope", "read")).strip()
    with tempfile.NamedTemporaryFile("w", dir=STATE, suffix=".token") as file:
        file.write(token)
        file.flush()
        over = ("--server", _SERVER, "--token-file", file.name)
        await causeway("partner", "get", over=over, said=["fabrikam.example"])
        await causeway("partner", "remove", "tailspin.example", "--force", over=over, ends=REFUSED)
        [held] = (await asked("token", "get"))["tokens"]
        await causeway("token", "revoke", held["id"])
        await causeway("partner", "get", over=over, ends=REFUSED)
    await causeway("account", "remove", "robot", "--force")
    return "an account, and a token that reads, may not write, and is refused once it is revoked"


@step("operator", "reads the journal", within=30)
async def operator_audits(cast):
    await causeway("audit", "--limit", "5")
    check = await asked("audit", "--verify")
    require(check["intact"], f"{check}")
    exported = STATE / "audit.ndjson"
    exported.unlink(missing_ok=True)
    await causeway("audit", "--export", exported)
    entries = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()]
    actions = {entry["action"] for entry in entries}
    require({"partner.set", "settings.set", "policy.grant", "token.new"} <= actions, f"the journal knows {actions}")
    return f"{len(entries)} entries, intact"


@step("operator, mallory@tailspin", "saves, removes a partner, restores", within=90)
async def operator_restores(cast):
    saved = STATE / "backup.causeway"
    saved.unlink(missing_ok=True)
    await causeway("backup", saved)
    await causeway("backup", saved, ends=WRONG, said=["--force"])
    await causeway("partner", "remove", "tailspin.example", "--force")
    sent = cast.mallory.send(ALICE, "Noch da?")
    await until("mallory is refused", lambda: cast.mallory.error_for(sent))
    await causeway("restore", saved, ends=WRONG, said=["--confirm=false"])
    await causeway("restore", saved, "--confirm=false")
    require(await _has("tailspin.example"), "the partner is not back")
    await until("mallory is let in", _again(cast, lambda: _mallory_writes(cast)))
    await causeway("partner", "remove", "tailspin.example", "--force")
    return "mallory is refused without the partner, and let in when it is back; removed in the end"


@step("operator", "looks into the archive, and makes things offline", within=30)
async def operator_prepares(cast):
    await causeway("archive")
    exported = STATE / "archive.ndjson"
    exported.unlink(missing_ok=True)
    await causeway("archive", "export", exported)
    folder = pathlib.Path(tempfile.mkdtemp(dir=STATE))
    key, request = folder / "own.key", folder / "own.csr"
    offline = {"over": ()}
    await causeway("cert", "request", "--domain", "contoso.example", "--key-out", key, "--out", request, **offline)
    await causeway("dev-certs", "--out", folder / "dev", "--domain", "contoso.example", **offline)
    certificate = folder / "dev" / "contoso.example.crt"
    await causeway("cert", "inspect", certificate, "--domain", "contoso.example", **offline)
    await causeway("cert", "inspect", certificate, "--key", key, ends=NOT_IN_ORDER, **offline)
    await causeway("dns", "--domain", "contoso.example", "--edge", "edge.contoso.example", "--tlsa", certificate,
                   said=["_xmpp-server._tcp.contoso.example.", "3 1 1"], **offline)  # fmt: skip
    await causeway("completions", "bash", said=["causeway"], **offline)
    await causeway("man", "--out", folder / "man", **offline)
    require((folder / "man" / "causeway-partner-new.1").exists(), "there is no page of partner new")
    return "nothing is archived; request, certificates, records, completions and pages are made"
