-- When a device asked to be let in, and from where: whoever lets it in is shown both.
ALTER TABLE devices ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN address TEXT NOT NULL DEFAULT '';

-- Whether programs are let in by a code that a person types; not where an organization says so.
ALTER TABLE organizations ADD COLUMN device_flow BIGINT NOT NULL DEFAULT 1;

-- The tokens that were given for a refresh token, for whoever lost the answer and shows it once more: sealed under a key
-- that only who has that token can have made, and for half a minute.
CREATE TABLE successors (
    org TEXT NOT NULL,
    token TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (org, token),
    FOREIGN KEY (org, token) REFERENCES tokens (org, id) ON DELETE CASCADE
);
CREATE INDEX successors_expires ON successors (expires);

-- When the sign-in began that a token came of; where nothing stands, with the token itself.
ALTER TABLE tokens ADD COLUMN family_began BIGINT;
