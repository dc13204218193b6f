# The audit journal.
journal-title = Audit journal
journal-text = Who changed what, or was refused, newest first. Each entry holds the hash of the one before it, so that nothing can be changed or taken out unnoticed.
journal-verify = Verify the chain
journal-export = Export all (NDJSON)
journal-intact = { $count ->
    [one] The chain holds: { $count } entry is as it was written.
   *[other] The chain holds: all { $count } entries are as they were written.
}
journal-keep-hash = Keep the last hash elsewhere and compare it next time; it shows whether the end was cut off:
journal-broken = The chain breaks at entry { $seq }: the journal is not as it was written.
journal-none = No entry fits.
journal-newest = To the newest entries
journal-older = Older entries
journal-seq = Number
journal-moment = When
journal-actor = Who
journal-action = Action
journal-object = Object
journal-outcome = Outcome
journal-detail = Details
journal-hash = Hash:
journal-done = Done
journal-refused = Refused
journal-dry-run = Tried out
journal-account = account
journal-token = token
journal-local = the gateway’s machine
journal-anonymous = not signed in
journal-system = the gateway itself
