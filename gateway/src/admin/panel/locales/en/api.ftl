# Why the interface for programs did not do what it was asked: titles and sentences of problem documents.
problem-invalid-title = The document has mistakes
problem-invalid = { $count ->
    [one] One key does not do. Nothing was changed; “faults” says what to write.
   *[other] { $count } keys do not do. Nothing was changed; “faults” says what to write.
}
problem-absent-title = There is no such thing
problem-absent = There is no “{ $object }”.
problem-exists-title = It exists already
problem-exists = “{ $object }” exists already. Change it, or take another name.
problem-declared-title = The configuration file declares it
problem-declared = gateway.toml declares “{ $object }”, so it is changed there. Nothing was changed.
problem-stale-title = Somebody else was faster
problem-stale = { $by } has changed “{ $object }” since you read it. Nothing was changed; read it again.
problem-contended-title = Others are changing things just now
problem-contended = Others change the configuration all the time. Nothing was changed; try again.
problem-store-title = The store does not answer
problem-store = { $reason }. Nothing was changed.
problem-too-much-title = More than is stored
problem-too-much = { $reason }. Nothing was changed.
problem-not-in-force-title = Stored, and not in force
problem-not-in-force = The change is stored, and the gateway does not work by it yet: { $reason }
problem-parameter-title = A parameter does not do
problem-parameter = { $name }: { $reason }
problem-media-type-title = Another media type is needed
problem-media-type = Send the body as { $wanted }.
problem-json-title = The body is no JSON object
problem-json = Line { $line }, column { $column }: { $reason }
problem-too-large-title = The body is too large
problem-too-large = A body may have { $limit } bytes at most.
problem-version-needed-title = The version is missing
problem-version-needed = Read it first, and send its ETag as If-Match, so that you undo no change of somebody else. If-Match: * changes any version.
problem-conflict-title = It cannot be done as things are
problem-conflict = { $reason }
problem-silent-title = The gateway does not answer
problem-silent = { $reason }
problem-elsewhere-title = Another part did not do it
problem-elsewhere = { $reason }
problem-busy-here-title = Too many of these at once
problem-busy-here = As many of these are under way as are served at once. Try again when one of them has ended.
# What an operator should look at.
attention-no-edge = No edge is attached, so nothing passes to or from partners ({ $reason }). See the edges’ addresses, certificates and firewalls: causeway check.
attention-no-sip = No SIP next hop is known ({ $reason }). See sip.next_hops and DNS: causeway check.
attention-no-store = The store does not work: { $reason }. See the gateway’s log, and the space on its disk.
attention-suspended = “{ $what }” is not in force beside gateway.toml as it is now: { $reason }
attention-edges-missing = { $attached } of { $configured } configured edges are attached. See the others’ addresses, certificates and firewalls.
attention-edge-behind = The edge { $edge } does not work by the newest configuration yet. See its log.
attention-certificate-over = The certificate for { $role } is over. Put a new one in its place; nothing needs a restart.
attention-certificate-ending = { $days ->
    [one] The certificate for { $role } ends in { $days } day. Put a new one in its place; nothing needs a restart.
   *[other] The certificate for { $role } ends in { $days } days. Put a new one in its place; nothing needs a restart.
}
attention-certificate-unreadable = The certificate for { $role } cannot be read: { $reason }
attention-partner-failures = { $partner }: { $cause }
attention-bodies-shown = Message bodies are shown and logged. Turn EnableLoggingAllMessageBodies off when you need it no more.
attention-no-partner = There is no partner, so every XMPP domain is refused. Allow one.
attention-nobody-may = No user may reach XMPP partners. Let a policy for external access say who may.
attention-no-account = There is no account yet. Make the first one by the link in the gateway’s log.
