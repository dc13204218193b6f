-- What each NOTIFY changes, of all dialogs of the SIP user's in the order of their positions: it stands in the row that every
-- step writes, so that the page of the dialogs, which has room for few, is left alone. JSON, an array for each dialog:
-- local_cseq, is_dirty, paced_until, [in_flight_cseq, in_flight_until] or null, fetch_until. Where it is NULL, no step has been
-- taken since this came, and the columns of the dialogs hold; otherwise they hold what they had when their row was written.
ALTER TABLE pair ADD COLUMN notifying TEXT;
