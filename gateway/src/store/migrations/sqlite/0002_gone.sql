-- Since when none of the SIP user's devices is available, if they went while the XMPP user watched.
ALTER TABLE authorisation_in ADD COLUMN gone_ms INTEGER;
