"""Scenarios in which sipp sends the requests and the gateway answers."""

from agent import require, until
from sipp_stage import given, scenario

_TEXT = "Grüße von sipp ✉"


def _texts(stage):
    return [message.text.strip() for message in stage.xmpp.messages if message.sender.startswith(stage.user)]


@scenario("MESSAGE", "calls", "message.answer.202")
async def message(stage):
    script = stage.script().request("MESSAGE", 1, body=_TEXT, retrans=500).recv(202)
    await stage.call(script).done()
    await until("it is read", lambda: _TEXT in _texts(stage))


@scenario("MESSAGE sent again though answered", "calls", "message.id", "sip.timer.server")
@given("udp")
async def message_again(stage):
    script = stage.script()
    for _ in range(3):
        script.request("MESSAGE", 1, body=_TEXT, branch="z9hG4bK-again").recv(202)
    await stage.call(script, "-nr").done()
    await until("it is read", lambda: _TEXT in _texts(stage))
    require(len(_texts(stage)) == 1, f"it was read {len(_texts(stage))} times")


@scenario("MESSAGE merged on two paths: 482", "calls", "sip.merged")
@given("udp")
async def message_merged(stage):
    script = stage.script().request("MESSAGE", 1, body=_TEXT, branch="z9hG4bK-path1").recv(202)
    script.request("MESSAGE", 1, body=_TEXT, branch="z9hG4bK-path2", to_tag="").recv(482)
    await stage.call(script, "-nr").done()
    await until("it is read", lambda: _TEXT in _texts(stage))
    require(len(_texts(stage)) == 1, f"it was read {len(_texts(stage))} times")


@scenario("MESSAGE with a quarter of the packets lost", "calls", "sip.timer.server", "message.id")
@given("udp")
async def message_lost(stage):
    script = stage.script().request("MESSAGE", 1, body="[call_number]", retrans=500)
    script.recv(100, optional=True).recv(202, within=30_000)
    await stage.call(script, "-m", "20", "-r", "20", "-lost", "25").done(40)
    await until("all are read", lambda: len(_texts(stage)) >= 20)
    require(sorted(map(int, _texts(stage))) == list(range(1, 21)), f"read were {sorted(_texts(stage))}")


@scenario("MESSAGE of an unknown type: 415", "calls", "sip.type", "message.content")
async def message_of_unknown_type(stage):
    script = stage.script().request("MESSAGE", 1, body="x", kind="application/x-unknown").recv(415, check=[("Accept", "text/plain")])
    await stage.call(script).done()


@scenario("MESSAGE with a compressed body: 415", "calls", "sip.type")
async def compressed(stage):
    script = stage.script().request("MESSAGE", 1, body="x", headers=["Content-Encoding: deflate"])
    await stage.call(script.recv(415, check=[("Accept-Encoding", "identity")])).done()


@scenario("Require of an unknown extension: 420", "calls", "sip.require")
async def unknown_extension(stage):
    script = stage.script().request("MESSAGE", 1, body="x", headers=["Require: x-unknown"]).recv(420, check=[("Unsupported", "x-unknown")])
    await stage.call(script).done()


@scenario("Max-Forwards 0: 483", "calls", "sip.max-forwards")
async def no_more_hops(stage):
    await stage.call(stage.script().request("MESSAGE", 1, body="x", max_forwards=0).recv(483)).done()


@scenario("unknown method: 501", "calls", "sip.method")
async def unknown_method(stage):
    script = stage.script().request("FETCH", 1).recv(501)
    await stage.call(script).done()


@scenario("OPTIONS", "calls", "sip.options")
async def options(stage):
    script = stage.script().request("OPTIONS", 1).recv(200, check=[("Allow", "SUBSCRIBE"), ("Accept", "pidf")])
    await stage.call(script).done()


@scenario("BYE, NOTIFY and INFO of no dialog: 481", "calls", "in.notify.unknown")
async def no_dialog(stage):
    script = stage.script()
    for number, (method, headers) in enumerate(
        [("BYE", []), ("NOTIFY", ["Event: presence", "Subscription-State: active"]), ("INFO", [])], 1
    ):
        script.request(method, number, to_tag=";tag=gone", headers=headers).recv(481)
    await stage.call(script).done()


@scenario("SUBSCRIBE to an unknown event package: 489", "calls", "sip.event", "out.subscribe.checks")
async def unknown_event(stage):
    script = stage.script().request("SUBSCRIBE", 1, headers=["Event: x-unknown", "Expires: 600"]).recv(489, check=[("Allow-Events", "presence")])
    await stage.call(script).done()


@scenario("SUBSCRIBE for less than the least: 423", "calls", "out.subscribe.checks")
async def too_brief(stage):
    script = stage.script().request("SUBSCRIBE", 1, headers=["Event: presence", "Expires: 5"]).recv(423, check=[("Min-Expires", "[0-9]+")])
    await stage.call(script).done()


@scenario("SUBSCRIBE, refresh and end", "calls", "out.subscribe", "out.subscribed", "out.presence", "out.logout", "out.headers")
@given("udp")
async def subscribe(stage):
    event = ["Event: presence", "Accept: application/pidf+xml"]
    script = stage.script().request("SUBSCRIBE", 1, headers=[*event, "Expires: 600"], retrans=500)
    script.recv(200, keep={"target": ("Contact", "sip:[^>]*"), "gateway": ("To", "tag=.*")}, check=[("Expires", "[0-9]+")])
    script.recv("NOTIFY", check=[("Subscription-State", "pending")]).answer(200, tag="")
    script.recv("NOTIFY", check=[("Subscription-State", "active")]).answer(200, tag="")
    script.recv("NOTIFY", check=[(None, "<basic>open</basic>")]).answer(200, tag="")
    for number, expires, state in [(2, 600, "active"), (3, 0, "terminated")]:
        script.request("SUBSCRIBE", number, "[$target]", [*event, f"Expires: {expires}"], to_tag=";[$gateway]", retrans=500)
        script.recv(200).recv("NOTIFY", check=[("Subscription-State", state)]).answer(200, tag="")
    running = stage.call(script)
    await until("the XMPP user is asked", lambda: stage.xmpp.last_presence(stage.user, "subscribe"))
    stage.xmpp.subscription(stage.user, "subscribed")
    await running.done(30)
