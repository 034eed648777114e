-- What expires first, for the warnings above a list.
CREATE INDEX credentials_expires ON credentials (org, expires);

-- Where a session was last used from, so that its owner can tell one from another.
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
