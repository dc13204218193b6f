# Live pages: streams, queues, certificates, verdicts, ladder.
nav-overview = Overview
nav-streams = Live streams
nav-queues = Queues
nav-verdicts = Verdicts
nav-certificates = Certificates
nav-ladder = Ladder
nav-explain = Explain
overview = Overview
attention = What needs attention
attention-none = Nothing needs attention.
readiness = What the gateway stands on
ready = Ready
not-ready = Not ready
numbers = Numbers
edges-attached = Edges attached
edge = Edge
edge-since = Attached since
edge-build = Version
edge-draining = Going away
edge-behind = Not yet in force there: the newest configuration
no-edges = No edge is attached: nothing passes to or from partners. Look at the link's addresses and certificates.
partners-count = { $count ->
    [one] { $count } partner
   *[other] { $count } partners
}
suspended-count = { $count ->
    [one] { $count } thing in the store does not fit the configuration file and is left out
   *[other] { $count } things in the store do not fit the configuration file and are left out
}
partner = Partner
gateway = gateway
of-partner = Domain of the partner
live-start = Renew by itself
live-stop = Stop renewing
no-partner = No partner
streams = Live streams
streams-none = No stream is open.
streams-count = { $count ->
    [one] { $count } stream
   *[other] { $count } streams
}
streams-left-out = { $count ->
    [one] { $count } more stream is not shown; ask for one partner.
   *[other] { $count } more streams are not shown; ask for one partner.
}
snapshot-effect = The last change of the configuration closed streams of { $edge }: { $gone } because the partner is gone, { $permitted } because the method is not permitted any more.
stream-state = State
stream-negotiating = Negotiating
stream-authenticated = Authenticated
stream-draining = Ending
stream-closing = Closing
stream-in = from the partner
stream-out = to the partner
stream-both = both ways
stream-pairs = Domains
stream-security = Security
stream-peer = Other end
stream-passed = Passed
stream-stanzas = { $in } in, { $out } out
stream-waiting = { $waiting } waiting, { $unacknowledged } unacknowledged
stream-since = Since
stream-last = last stanza { $moment }
stream-close = Close
stream-close-of = Close the stream of { $partner }
stream-close-hint = A closed stream is opened again as soon as there is something to send. Nothing that waits is lost.
stream-close-done = The stream is being closed.
stream-close-no-edge = That edge is not attached any more.
stream-close-no-stream = There is no such stream any more.
stream-close-silent = The edge did not answer in time. Look whether the stream is still there.
stream-close-too-many = Too many questions to edges are under way. Try again in a few seconds.
no-tls = No TLS
direct-tls = Direct TLS
answer-complete = { $edge } told everything.
answer-partial = { $edge } did not tell everything in time.
answer-silent = { $edge } did not answer in time.
answer-refused = { $edge } would not tell.
certificate = Certificate
certificate-names = Names
certificate-issuer = Issuer
certificate-ends = Valid until
certificate-left = Left
certificate-purpose = For
certificate-seen = Seen
certificate-live = live
certificate-pin = Pin:
certificate-unreadable = Cannot be read
certificates = Certificates
certificates-own = Our certificates
certificates-own-text = Those of this gateway as they are in its files now, and those that the edges show to partners. A new file is taken up without a restart.
certificates-partners = Certificates of partners
certificates-partners-text = The newest one that each server of a partner has shown on a stream or in a verdict.
certificates-none = No partner has shown a certificate yet.
days-over = { $days ->
    [one] over since { $days } day
   *[other] over since { $days } days
}
queues = Queues
queues-text = Stanzas that wait, wherever they do. Each queue has a bound; what cannot be delivered in time goes back to its sender with an error.
queues-edges = On the edges
queues-gateway = On this gateway
queues-links = Links to the edges
queues-partners = By domain
queue-empty = Nothing waits.
queue-for = For
queue-in = the gateways
queue-out = the partner
queue-what = Waiting
queue-bound = Bound
queue-most = { $count ->
    [one] { $count } stanza
   *[other] { $count } stanzas
}
queue-waiting = { $stanzas ->
    [0] nothing
    [one] { $stanzas } stanza, { $bytes } bytes, the oldest for { $seconds } s
   *[other] { $stanzas } stanzas, { $bytes } bytes, the oldest for { $seconds } s
}
queue-unacknowledged = Unacknowledged
queue-unfinished = Not finished here
queue-any-edge = until an edge is attached
verdicts = Verdicts
verdicts-text = Why something was refused or failed: how far it came, whose side it is on, and what to do.
verdicts-last = The last ones
verdicts-none = There is none.
not-a-domain = That is no domain. Write, for example, fabrikam.example.
not-a-user = That is no user. Write, for example, alice@contoso.example.
probe-now = Probe from every edge
probe-hint = Walks all steps from DNS to authentication on connections of its own; live streams are not touched. It takes up to a minute.
probe-from = Probe from { $edge }
probe-reachable = Reachable
probe-unreachable = Not reachable
probe-incomplete = Not complete
step-ok = In order
step-failed = Failed
step-skipped = Left out
remedy = What to do:
transcript = What was said
verdict-when = When
verdict-count = { $count } times since { $first }
verdict-where = Where
verdict-target = Server
verdict-copy = Text for the other side's operator
direction-in = from the partner
direction-out = to the partner
side-theirs = Their side
side-ours = A bug of ours
side-network = The network
side-operator = Our side
ladder = Ladder
ladder-text = What passed lately between a SIP user and a user of a partner, across XMPP, the link and SIP.
local-user = SIP user
remote-user = User of the partner
ladder-scope = Show
ladder-everything = Everything
ladder-conversation = Messages
ladder-subscription = Presence
ladder-hidden = What people wrote is hidden, because the message-body setting is off.
ladder-left-out = { $count ->
    [one] { $count } older step is not shown.
   *[other] { $count } older steps are not shown.
}
ladder-none = Nothing that passed between them is kept. The gateway keeps what passed last; let them try again.
ladder-steps = Every step, with its text
download-svg = Download as SVG
download-text = Download as text
explain = Explain
explain-text = Why a SIP user and a user of a partner see each other as they do.
explain-conclusion = In short
explain-statements = What it rests on
pair-remove = Remove the authorisation
pair-remove-hint = Ends what each of them may see of the other, in both directions. Both can ask again.
pair-removed = The authorisation was removed.
pair-absent = There was none.
pair-failed = It could not be removed just now. Try again.
verdict-cause = What happened
verdict-side = Whose side
# The archive of messages.
nav-archive = Archive
archive = Archive of messages
archive-text = One-to-one messages of partners whose archive is on. Every look here is noted in the audit journal.
archive-contains = Text contains
archive-none = Nothing is kept that fits.
archive-export = Export
archive-next = Older ones first: next page
archive-kept = Kept
archive-count = { $count ->
    [one] { $count } message from { $oldest } on
   *[other] { $count } messages from { $oldest } on
}
archive-who = Who
archive-message = Message
explain-policy = Who may
explain-inbound = The partner's user watches the SIP user
explain-outbound = The SIP user watches the partner's user
explain-events = What passed last
explain-verdicts = What failed
pair-remove-sure = I am sure.
test-im = Send a test message
test-im-hint = Sends a short message from the SIP user to the partner's user over the real road, and says what became of it.
test-im-delivered = Delivered to the partner
test-im-failed = Not delivered
test-im-took = { $milliseconds } ms
