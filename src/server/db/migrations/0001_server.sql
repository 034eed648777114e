-- Times are milliseconds since 1970; lists and maps are JSON; 0 and 1 are no and yes.

-- What is known of this server as a whole: its identifier, and proof that a master key is the right one.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created BIGINT NOT NULL
);

-- The keys of each organization, wrapped under the master key. New secrets are sealed under the highest version.
CREATE TABLE organization_keys (
    org TEXT NOT NULL REFERENCES organizations (id),
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (org, version)
);

-- Who can sign in. A login is kept in lower case.
CREATE TABLE people (
    id TEXT PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    passphrase TEXT NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE members (
    org TEXT NOT NULL REFERENCES organizations (id),
    person TEXT NOT NULL REFERENCES people (id),
    role TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (org, person)
);
CREATE INDEX members_person ON members (person);

-- Access tokens, refresh tokens and API keys. What they are is a hash; the identifier is the public part.
CREATE TABLE tokens (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    -- The OAuth client, or empty for an API key.
    client TEXT NOT NULL,
    -- The name of an API key, or empty.
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    -- All tokens that came of one sign-in.
    family TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    used BIGINT,
    revoked BIGINT,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX tokens_id ON tokens (id);
CREATE INDEX tokens_family ON tokens (org, family);

-- Authorization codes: one use, one minute.
CREATE TABLE codes (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    org TEXT NOT NULL REFERENCES organizations (id),
    person TEXT NOT NULL REFERENCES people (id),
    client TEXT NOT NULL,
    redirect TEXT NOT NULL,
    challenge TEXT NOT NULL,
    permissions TEXT NOT NULL,
    family TEXT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT
);

-- Device codes, with the short code that a person types. Organization and person are set by the approval.
CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    user_code TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    permissions TEXT NOT NULL,
    -- waiting, approved, denied, spent
    state TEXT NOT NULL,
    org TEXT REFERENCES organizations (id),
    person TEXT REFERENCES people (id),
    expires BIGINT NOT NULL,
    polled BIGINT NOT NULL,
    pace BIGINT NOT NULL
);

-- Who is signed in to the portal.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    used BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

-- The link that makes the first owner.
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    purpose TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT
);

-- Failed attempts to guess something, by what was guessed at or by where they came from.
CREATE TABLE attempts (
    subject TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last BIGINT NOT NULL
);

-- What a list may show of a credential. No secret stands here.
CREATE TABLE credentials (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
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
    -- How often fields or secrets were replaced; the secrets are sealed for this version.
    version BIGINT NOT NULL,
    -- How often anything was changed; what an ETag is made of.
    revision BIGINT NOT NULL,
    rotating BIGINT,
    retiring TEXT,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX credentials_name ON credentials (org, project, name);

-- Which hosts each credential may be sent to, in lower case, with the port where it is not 443.
CREATE TABLE credential_hosts (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (org, host, credential),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);
CREATE INDEX credential_hosts_credential ON credential_hosts (org, credential);

-- The data key of a credential's present version, wrapped under a key of its organization.
CREATE TABLE data_keys (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    version BIGINT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (org, credential),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);

CREATE TABLE secrets (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    field TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (org, credential, field),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);

-- What happened, one chain for each organization. Nothing here is ever changed.
CREATE TABLE audit_events (
    org TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    entry TEXT NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    PRIMARY KEY (org, sequence)
);

-- The end of each chain. Whoever appends holds this row.
CREATE TABLE audit_heads (
    org TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
