-- What expires first, for the warnings above a list.
CREATE INDEX credentials_expires ON credentials (org, expires);
