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
problem-unavailable-title = This gateway is not set up for it
problem-unavailable = { $reason }
problem-elsewhere-title = Another part did not do it
problem-elsewhere = { $reason }
problem-busy-here-title = Too many of these at once
problem-busy-here = As many of these are under way as are served at once. Try again when one of them has ended.
