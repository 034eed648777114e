-- The vault. Columns are TEXT, BIGINT and BYTEA alone, which SQLite and PostgreSQL both understand. Times are
-- milliseconds since 1970, lists and maps are JSON.

CREATE TABLE vaults (
    id TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    -- In which secret store the root key rests: keychain, keyutils, file, plain.
    storage TEXT NOT NULL
);

-- The vault key, once for each key that opens it.
CREATE TABLE vault_keys (
    id TEXT PRIMARY KEY,
    vault TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
    -- root: rests in the secret store. recovery: was shown once to a person.
    purpose TEXT NOT NULL,
    created BIGINT NOT NULL,
    wrapped BYTEA NOT NULL
);

-- What a list may show. No secret stands here.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    vault TEXT NOT NULL REFERENCES vaults (id) ON DELETE CASCADE,
    -- Empty for the whole organization's.
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    fields TEXT NOT NULL,
    secret_names TEXT NOT NULL,
    tags TEXT NOT NULL,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    used BIGINT,
    verified BIGINT,
    expires BIGINT,
    checked TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- When a rotation began that has not ended.
    rotating BIGINT,
    -- The handle of the old one that is still to be revoked at its provider.
    retiring TEXT
);
CREATE UNIQUE INDEX credentials_name ON credentials (vault, project, name);

-- The data key of a credential's present version, wrapped under the vault key.
CREATE TABLE data_keys (
    credential TEXT PRIMARY KEY REFERENCES credentials (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL
);

CREATE TABLE secrets (
    credential TEXT NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    field TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (credential, field)
);
