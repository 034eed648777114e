-- Outside issuers by which people sign in to an organization.
CREATE TABLE upstreams (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name in lower case.
    folded TEXT NOT NULL,
    issuer TEXT NOT NULL,
    -- Empty as long as the issuer does not know this server.
    client_id TEXT NOT NULL,
    -- Sealed; empty where there is none.
    client_secret BYTEA NOT NULL,
    scopes TEXT NOT NULL,
    -- Who is let in without an invitation, as what: a list of domains, and a map from values of a claim to roles.
    domains TEXT NOT NULL,
    domain_role TEXT NOT NULL,
    claim TEXT NOT NULL,
    roles TEXT NOT NULL,
    -- Whether a person's own second factor is asked for as well, and whether everybody sees it on the page to sign in.
    second_factor BIGINT NOT NULL,
    listed BIGINT NOT NULL,
    -- Whoever stands for it: nobody comes in as more than this person is.
    person TEXT NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    -- How often it was changed; what an ETag is made of.
    revision BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX upstreams_id ON upstreams (id);
CREATE UNIQUE INDEX upstreams_name ON upstreams (org, folded);

-- Whose account at an issuer is whose here. An account is its issuer and its subject, and nothing else of it.
CREATE TABLE upstream_accounts (
    org TEXT NOT NULL,
    upstream TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    -- invitation, rule, person
    admitted TEXT NOT NULL,
    -- What the account is called there, for its owner to read.
    title TEXT NOT NULL,
    created BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (org, upstream, issuer, subject),
    FOREIGN KEY (org, upstream) REFERENCES upstreams (org, id) ON DELETE CASCADE
);
CREATE INDEX upstream_accounts_person ON upstream_accounts (person);

-- Whoever is at an issuer now, and is to come back. Good once, in the browser that went.
CREATE TABLE upstream_attempts (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    browser BYTEA NOT NULL,
    org TEXT NOT NULL,
    upstream TEXT NOT NULL,
    -- sign-in, link, prove
    purpose TEXT NOT NULL,
    next TEXT NOT NULL,
    invitation TEXT,
    session TEXT,
    expires BIGINT NOT NULL,
    FOREIGN KEY (org, upstream) REFERENCES upstreams (org, id) ON DELETE CASCADE
);

-- The only organization that a session counts in, where its owner came by that organization's issuer; and when its owner
-- last showed who they are.
ALTER TABLE sessions ADD COLUMN only_in TEXT;
ALTER TABLE sessions ADD COLUMN proved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE half_sessions ADD COLUMN only_in TEXT;

-- Passkeys, by the identifier that the authenticator gave them.
CREATE TABLE passkeys (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    name TEXT NOT NULL,
    -- The public key, and how often it has signed; whether it may be in a backup, and is in one.
    public_key BYTEA NOT NULL,
    counted BIGINT NOT NULL,
    eligible BIGINT NOT NULL,
    backed_up BIGINT NOT NULL,
    -- How a browser reaches it: a list.
    transports TEXT NOT NULL,
    created BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX passkeys_person ON passkeys (person);

-- What a passkey is to sign: good once, for some minutes, for what it was made for.
CREATE TABLE passkey_challenges (
    id TEXT PRIMARY KEY,
    hash BYTEA NOT NULL,
    challenge BYTEA NOT NULL,
    -- add, sign-in, second-factor, prove
    purpose TEXT NOT NULL,
    -- The session, or the sign-in that is half done, which it belongs to.
    belongs TEXT NOT NULL,
    person TEXT REFERENCES people (id),
    expires BIGINT NOT NULL
);
