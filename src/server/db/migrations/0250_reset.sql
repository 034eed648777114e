-- Links by which somebody who has forgotten their passphrase chooses another one, each good once. They are made at the
-- server's own machine.
CREATE TABLE passphrase_resets (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    -- Whether the second factor goes as well.
    second_factor BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT
);
