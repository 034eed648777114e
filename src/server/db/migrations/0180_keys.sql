-- The server's own keys, each wrapped under the master key. What belongs to no organization rests under the highest
-- version; a server begins with version 0.
CREATE TABLE server_keys (
    version BIGINT PRIMARY KEY,
    -- In base 64.
    wrapped TEXT NOT NULL,
    created BIGINT NOT NULL
);
INSERT INTO server_keys (version, wrapped, created) SELECT 0, value, 0 FROM settings WHERE name = 'server-key';
DELETE FROM settings WHERE name = 'server-key';

-- What is asked of one that is not there any more: the keys for these purposes alone, wrapped under the master key, some of
-- them until a time.
CREATE TABLE server_key_remains (
    version BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    until BIGINT,
    PRIMARY KEY (version, purpose)
);

-- The version under which something rests; where there is none, it is the first. A key does not go while something does.
ALTER TABLE second_factors ADD COLUMN key_version BIGINT REFERENCES server_keys (version);
ALTER TABLE upstream_secrets ADD COLUMN key_version BIGINT REFERENCES server_keys (version);
ALTER TABLE kept_upstream_secrets ADD COLUMN key_version BIGINT REFERENCES server_keys (version);
ALTER TABLE signing_keys ADD COLUMN key_version BIGINT REFERENCES server_keys (version);

-- A word that is another one each time something is sealed, and to which that is bound: it stands apart from what is sealed,
-- so that an older one put back in its place does not open. Empty for what an earlier version has sealed.
ALTER TABLE people ADD COLUMN factor_mark TEXT NOT NULL DEFAULT '';
ALTER TABLE upstreams ADD COLUMN secret_mark TEXT NOT NULL DEFAULT '';

-- The version under whose key somebody was sent away, until they come back.
ALTER TABLE upstream_attempts ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE connect_attempts ADD COLUMN key_version BIGINT NOT NULL DEFAULT 0;
